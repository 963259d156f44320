"""Names and ingress addresses of services."""

from standfast.lab.kube_client import Json
from standfast.lab.pods_services import HEAD, Ingress, hosts_file, stale_ingresses


def pod(name: str, ip: str, *, ready: bool = True, **spec: str) -> Json:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"app": "web"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
        "status": {"podIP": ip, "conditions": conditions},
    }


def service(name: str, shown: str = "", **spec: object) -> Json:
    ingress = [{"ip": shown}] if shown else []
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": {"app": "web"}, **spec},
        "status": {"loadBalancer": {"ingress": ingress}},
    }


BALANCED = {"type": "LoadBalancer"}


def test_a_service_is_named_after_its_first_ready_pod() -> None:
    pods = [pod("web-b", "10.0.0.2"), pod("web-a", "10.0.0.1", ready=False)]
    text = hosts_file([service("web")], pods)
    assert text == HEAD + "10.0.0.2 web.shop.svc.cluster.local web.shop.svc web.shop\n"


def test_a_service_without_ready_pods_has_no_name_unless_it_publishes_all() -> None:
    pods = [pod("web-a", "10.0.0.1", ready=False)]
    assert hosts_file([service("web")], pods) == HEAD
    assert "10.0.0.1 web.shop" in hosts_file([service("web", publishNotReadyAddresses=True)], pods)


def test_a_statefulsets_pod_has_a_name_of_its_own() -> None:
    pods = [pod("db-0", "10.0.0.3", ready=False, hostname="db-0", subdomain="db")]
    assert "10.0.0.3 db-0.db.shop.svc.cluster.local" in hosts_file([service("db")], pods)


def test_a_service_without_a_selector_leads_nowhere() -> None:
    assert hosts_file([service("web", selector=None)], [pod("web-a", "10.0.0.1")]) == HEAD


def test_a_load_balancer_shows_the_ready_pod_and_before_that_any() -> None:
    ready, other = pod("web-b", "10.0.0.2"), pod("web-a", "10.0.0.1", ready=False)
    wanted = [Ingress("shop", "web", "10.0.0.2")]
    assert stale_ingresses([service("web", **BALANCED)], [other, ready]) == wanted
    assert stale_ingresses([service("web", "10.0.0.9", **BALANCED)], [ready]) == wanted
    assert stale_ingresses([service("web", "10.0.0.2", **BALANCED)], [ready]) == []
    early = [Ingress("shop", "web", "10.0.0.1")]
    assert stale_ingresses([service("web", **BALANCED)], [other]) == early


def test_a_load_balancer_keeps_its_address_when_its_pod_is_gone() -> None:
    assert stale_ingresses([service("web", "10.0.0.2", **BALANCED)], []) == []


def test_other_services_have_no_ingress() -> None:
    assert stale_ingresses([service("web", type="ClusterIP")], [pod("web-a", "10.0.0.1")]) == []

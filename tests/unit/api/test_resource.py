"""The union of resources: which type, which thing, which budgets."""

from pydantic.alias_generators import to_snake
from tests.unit.api.documents import FILESYSTEM, POSTGRESQL, SHARED_DISK, SYSTEMD, VIP

from standfast.api.resource import RESOURCE_TYPES, HAResource, HAResourceSpec


def test_the_type_is_the_member_that_is_set() -> None:
    vip, systemd = HAResource.model_validate(VIP).spec, HAResource.model_validate(SYSTEMD).spec

    assert (vip.type, vip.target) == ("vip", "10.77.1.100/24")
    assert (systemd.type, systemd.target) == ("systemd", "web.service")
    database = HAResource.model_validate(POSTGRESQL).spec
    assert (database.type, database.target) == ("postgresql", "postgresql@15-main.service")
    mount, disk = (HAResource.model_validate(d).spec for d in (FILESYSTEM, SHARED_DISK))
    assert (mount.type, mount.target) == ("filesystem", "/srv/orders")
    assert (disk.type, disk.target) == ("sharedDisk", "[WorkloadDatastore] orders/data.vmdk")


def test_every_type_is_a_field_that_may_be_absent() -> None:
    found = {HAResourceSpec.model_fields[to_snake(name)].default for name in RESOURCE_TYPES}
    assert found == {None}


def test_budgets_are_milliseconds_for_the_agents() -> None:
    spec = HAResource.model_validate(VIP).spec

    assert (spec.start.timeout_ms, spec.stop.timeout_ms) == (60_000, 20_000)
    assert (spec.monitor.interval_ms, spec.monitor.timeout_ms) == (5_000, 4_000)
    assert (spec.on_failure.restarts, spec.on_failure.window_ms) == (3, 600_000)

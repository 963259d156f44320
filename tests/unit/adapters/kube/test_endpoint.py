"""Where the API server is: the pod's own first, then a kubeconfig."""

import base64
import pwd
from pathlib import Path
from typing import NoReturn

import pytest
import yaml

from standfast.adapters.fakes.clock import FakeClock
from standfast.adapters.kube.endpoint import (
    TOKEN_AGE_MS_MAX,
    Credential,
    Endpoint,
    load_endpoint,
)
from standfast.errors import UserError


def account(tmp_path: Path) -> dict[str, str]:
    for name, text in (("token", "t1\n"), ("ca.crt", "CA"), ("namespace", "sys")):
        (tmp_path / name).write_text(text)
    return {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "KUBERNETES_SERVICE_PORT": "6443",
        "STANDFAST_SERVICE_ACCOUNT_DIR": str(tmp_path),
    }


def test_a_pod_uses_its_service_account(tmp_path: Path) -> None:
    endpoint = load_endpoint(account(tmp_path))
    assert (endpoint.server, endpoint.namespace) == ("https://10.0.0.1:6443", "sys")
    assert endpoint.ca == "CA"


def test_an_ipv6_host_gets_its_brackets(tmp_path: Path) -> None:
    env = {**account(tmp_path), "KUBERNETES_SERVICE_HOST": "fd00::1"}
    assert load_endpoint(env).server == "https://[fd00::1]:6443"


def test_the_token_is_read_again_when_the_kubelet_has_replaced_it(tmp_path: Path) -> None:
    clock = FakeClock()
    credential = Credential(load_endpoint(account(tmp_path)), clock)
    assert credential.headers() == {"Authorization": "Bearer t1"}
    (tmp_path / "token").write_text("t2")
    assert credential.headers() == {"Authorization": "Bearer t1"}
    clock.advance(TOKEN_AGE_MS_MAX + 1)
    assert credential.headers() == {"Authorization": "Bearer t2"}


def test_a_kubeconfig_is_read_with_data_and_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("KEY")
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
        "clusters": [
            {
                "name": "k",
                "cluster": {
                    "server": "https://k:6443/",
                    "certificate-authority-data": base64.b64encode(b"CA").decode(),
                },
            }
        ],
        "users": [{"name": "u", "user": {"client-key": str(tmp_path / "key"), "token": "t"}}],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    endpoint = load_endpoint({"KUBECONFIG": str(path)})
    assert (endpoint.server, endpoint.ca, endpoint.key) == ("https://k:6443", "CA", "KEY")
    assert (endpoint.token, endpoint.namespace) == ("t", "n")


@pytest.mark.parametrize("text", ["", "current-context: none", "- a", "{"])
def test_a_kubeconfig_that_cannot_be_used_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UserError, match="cannot be used as a kubeconfig"):
        load_endpoint({"KUBECONFIG": str(path)})


def test_without_anything_the_remedy_is_a_command(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        load_endpoint({"KUBECONFIG": str(tmp_path / "none")})
    assert "KUBECONFIG" in raised.value.remedy


def test_a_user_without_a_home_has_no_kubeconfig_and_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in an image: no HOME in the environment, and no line in `passwd`."""
    monkeypatch.delenv("HOME", raising=False)

    def nobody(uid: int) -> NoReturn:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(UserError, match=r"there is no ~/\.kube/config"):
        load_endpoint({})


def test_secrets_are_not_printed() -> None:
    shown = repr(Endpoint("https://k", ca="CAPEM", token="TOKEN", key="KEYPEM"))
    assert "TOKEN" not in shown
    assert "KEYPEM" not in shown

"""Servers as people write them."""

import pytest

from standfast.adapters.vsphere.access import Access


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("vc.example", "vc.example", 443),
        ("vc.example:8443", "vc.example", 8443),
        ("[fd00::1]", "fd00::1", 443),
        ("[fd00::1]:8443", "fd00::1", 8443),
    ],
)
def test_host_and_port(server: str, host: str, port: int) -> None:
    access = Access(server, "u", "p")
    assert (access.host, access.port) == (host, port)


def test_neither_password_nor_certificates_are_printed() -> None:
    shown = repr(Access("vc", "joe", "secret", ca_pem="PEM"))
    assert "secret=" in shown
    assert "'secret'" not in shown
    assert "PEM" not in shown

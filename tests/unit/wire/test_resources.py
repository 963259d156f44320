"""Resources: the defaults of the short form are those of the API."""

from standfast.wire.resources import Systemd, Vip


def test_the_defaults_are_those_of_the_api() -> None:
    unit = Systemd(name="web", unit="web.service")
    assert unit.critical
    assert unit.on_failure.restarts == 3
    assert unit.on_failure.window_ms == 600_000
    assert unit.on_failure.then == "Failover"


def test_an_address_finds_its_interface_by_subnet_unless_named() -> None:
    assert Vip(name="vip", address="10.0.0.100/24").interface is None

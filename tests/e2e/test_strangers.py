"""What starts without having asked: found, reported, and stopped where it may not be."""

import pytest

from tests.e2e.conftest import Pair

pytestmark = pytest.mark.lab


def test_f12_a_unit_started_by_hand_on_the_standby_is_stopped_and_reported(pair: Pair) -> None:
    vm = pair.lab.vm(pair.standby)
    with pair.watched() as watch:
        pair.stop_a_stranger()
    pair.assert_undisturbed(watch)
    assert "did not start" in vm.logs("standfast-agent")


def test_a_standby_whose_unit_systemd_would_start_at_boot_does_not_stand(pair: Pair) -> None:
    vm = pair.lab.vm(pair.standby)
    wants = vm.machine.root() / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    link = wants / "web.service"
    link.symlink_to("/etc/systemd/system/web.service")
    try:
        pair.cluster.wait("Protected", "False")
        assert "after a reboot" in pair.cluster.condition("Protected")["message"]
    finally:
        link.unlink()
    pair.cluster.wait("Protected")

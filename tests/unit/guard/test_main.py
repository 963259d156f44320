"""What an earlier run of the guard left is taken up; another boot's is not."""

from standfast.guard import protocol
from standfast.guard.main import kept
from standfast.guard.protocol import MountTarget, Stage
from standfast.guard.status import LeaseStatus, lease_fields

LEASE = LeaseStatus("a", 3, 2, Stage.ARMED, 1000, (MountTarget("/srv/x"),))


def state(boot: str) -> bytes:
    return protocol.dump({"boot": boot, "leases": [lease_fields(LEASE)]})


def test_leases_of_this_boot_are_taken_up() -> None:
    assert kept(state("now"), "now") == (LEASE,)


def test_leases_of_another_boot_are_not() -> None:
    assert kept(state("before"), "now") == ()


def test_what_does_not_read_is_nothing() -> None:
    assert kept(None, "now") == ()
    assert kept(b"{", "now") == ()
    assert kept(b'{"boot": "now", "leases": [{}]}', "now") == ()

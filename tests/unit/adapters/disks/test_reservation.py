"""A disk is taken from its old holder, once and for good, and by nobody who comes too late."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from standfast.adapters.disks.keys import Key, key_of
from standfast.adapters.disks.reservation import Held, OutrankedError, Reservation, held_of
from standfast.adapters.linux.programs import Done
from standfast.errors import TransientError, UserError
from standfast.ports.resource import Claim
from tests.unit.adapters.disks.storage import Storage, StorageProgram

DISK = Path("/dev/disk/by-id/wwn-0x6000c298595bf4575739e9105b2c0c2d")
CLAIM = Claim("cluster", 1, "node-a", "boot-1", 5, suspected=False)
A5 = key_of(CLAIM)
B6 = key_of(replace(CLAIM, member="node-b", boot="boot-9", term=6))
A7 = key_of(replace(CLAIM, term=7))


def of(storage: Storage, machine: str) -> Reservation:
    return Reservation("disk", StorageProgram(storage, machine))


def test_what_the_storage_says_is_read() -> None:
    listed = "  PR generation=0x2, 2 registered reservation keys follow:\n    0x5f01\n    0xabc\n"
    reserved = (
        "  PR generation=0x2, Reservation follows:\n    Key=0x5f01\n"
        "    scope: LU_SCOPE,  type: Write Exclusive\n"
    )
    assert held_of(listed, reserved) == Held((0x5F01, 0xABC), 0x5F01, "Write Exclusive")
    nothing = "  PR generation=0x0, there are NO registered reservation keys\n"
    free = "  PR generation=0x0, there is NO reservation held\n"
    assert held_of(nothing, free) == Held((), None)


@pytest.mark.parametrize("words", ["Write Exclusive, registrants only", "Exclusive Access"])
def test_only_the_exclusive_type_shuts_everybody_out(words: str) -> None:
    """With the types for registrants, whoever registers late writes."""
    assert not Held((1,), 1, words).is_only(1)
    assert not Held((1, 2), 1, "Write Exclusive").is_only(1)
    assert Held((1,), 1, "Write Exclusive").is_only(1)


async def test_a_free_disk_is_taken() -> None:
    storage = Storage()
    assert await of(storage, "a").take(DISK, A5) is True
    assert (storage.registered, storage.holder) == ({"a": A5.value}, "a")
    assert not storage.may_write("b")


async def test_the_old_holder_is_thrown_out_and_what_it_does_is_aborted() -> None:
    storage = Storage()
    await of(storage, "a").take(DISK, A5)
    assert await of(storage, "b").take(DISK, B6) is True
    assert (storage.registered, storage.holder) == ({"b": B6.value}, "b")
    assert storage.attention == {"a"}
    assert any("--preempt-abort" in argv for _, argv in storage.commands)


async def test_whoever_is_registered_beside_the_holder_is_thrown_out_too() -> None:
    storage = Storage()
    other = replace(A5, term=4)
    await of(storage, "a").take(DISK, A5)
    storage.registered["c"] = other.value
    assert await of(storage, "b").take(DISK, B6) is True
    assert storage.registered == {"b": B6.value}


async def test_a_new_term_of_the_holder_changes_the_key_in_place() -> None:
    storage = Storage()
    await of(storage, "a").take(DISK, A5)
    assert await of(storage, "a").take(DISK, A7) is True
    assert (storage.registered, storage.holder) == ({"a": A7.value}, "a")


async def test_a_node_that_comes_too_late_is_told_so() -> None:
    """It stood still since before the takeover, and goes on with its old lease."""
    storage = Storage()
    await of(storage, "b").take(DISK, B6)
    with pytest.raises(OutrankedError, match="taken in term 6"):
        await of(storage, "a").take(DISK, A5)
    assert (storage.registered, storage.holder) == ({"b": B6.value}, "b")


@pytest.mark.parametrize(
    "late",
    [
        ("--register-ignore", "--param-sark", f"{A5.value:x}", "--param-aptpl"),
        ("--reserve", "--param-rk", f"{A5.value:x}", "--prout-type", "1"),
        (
            *("--preempt-abort", "--param-rk", f"{A5.value:x}"),
            *("--param-sark", f"{replace(B6, term=4).value:x}", "--prout-type", "1"),
        ),
        ("--register", "--param-rk", f"{A5.value:x}", "--param-sark", "0"),
    ],
)
async def test_no_command_that_was_given_late_lets_anybody_write(late: tuple[str, ...]) -> None:
    """Every one of those that a take consists of, done by a node that woke up too late."""
    storage = Storage()
    await of(storage, "a").take(DISK, A5)
    await of(storage, "b").take(DISK, B6)
    for _ in range(2):
        storage.run("a", ("sg_persist", "--out", *late, str(DISK)))
    assert not storage.may_write("a")
    assert storage.may_write("b")
    assert await of(storage, "b").is_held(DISK, B6)


async def test_a_late_registration_is_cleared_away_by_the_next_take() -> None:
    storage = Storage()
    await of(storage, "b").take(DISK, B6)
    storage.registered["a"] = A5.value
    assert await of(storage, "b").take(DISK, B6) is True
    assert storage.registered == {"b": B6.value}


async def test_the_key_of_an_earlier_boot_of_the_same_node_is_taken_over() -> None:
    storage = Storage()
    await of(storage, "a at its old port").take(DISK, A5)
    after = key_of(replace(CLAIM, boot="boot-2", term=6))
    assert await of(storage, "a").take(DISK, after) is True
    assert storage.registered == {"a": after.value}


async def test_a_clone_under_the_same_key_is_found() -> None:
    storage = Storage()
    await of(storage, "a").take(DISK, A5)
    with pytest.raises(UserError, match="one of the two is a clone"):
        await of(storage, "its clone").take(DISK, A5)
    assert (storage.registered, storage.holder) == ({"a": A5.value}, "a")
    storage.registered["its clone"] = A5.value
    with pytest.raises(UserError, match="one of the two is a clone"):
        await of(storage, "a").take(DISK, A5)


async def test_a_disk_of_somebody_else_is_left_alone() -> None:
    storage = Storage()
    storage.registered["windows"] = 0xABCD
    storage.holder = "windows"
    with pytest.raises(UserError, match="something that is not Standfast") as refused:
        await of(storage, "a").take(DISK, A5)
    assert "--clear" in refused.value.remedy
    storage.registered["windows"] = replace(A5, cluster=1).value
    with pytest.raises(UserError, match="another HACluster"):
        await of(storage, "a").take(DISK, A5)
    assert storage.holder == "windows"


@pytest.mark.parametrize("status", [5, 9])
async def test_storage_without_reservations_is_a_refusal(status: int) -> None:
    program = StorageProgram(Storage(), "a")
    program.answers = [Done(status, "Illegal request, Invalid opcode")]
    with pytest.raises(UserError, match="knows no SCSI-3 persistent reservations") as refused:
        await Reservation("disk", program).take(DISK, A5)
    assert "mode: Moving" in refused.value.remedy


async def test_storage_without_that_type_is_a_refusal() -> None:
    with pytest.raises(UserError, match="no reservations of the type Write Exclusive"):
        await of(Storage(exclusive=0), "a").take(DISK, A5)


async def test_storage_that_forgets_gives_no_lasting_reservation() -> None:
    storage = Storage(capable=0)
    assert await of(storage, "a").take(DISK, A5) is False
    assert not any("--param-aptpl" in argv for _, argv in storage.commands)
    assert not storage.may_write("b")
    storage.power_loss()
    assert storage.may_write("b")


async def test_a_reservation_outlives_a_power_loss_of_the_storage() -> None:
    storage = Storage()
    await of(storage, "a").take(DISK, A5)
    storage.power_loss()
    assert not storage.may_write("b")


async def test_what_the_storage_has_to_tell_first_is_no_failure() -> None:
    storage = Storage()
    storage.attention.add("a")
    assert await of(storage, "a").take(DISK, A5) is True


async def test_what_cannot_be_asked_is_worth_another_try() -> None:
    program = StorageProgram(Storage(), "a")
    program.answers = [Done(15, "sg_persist: error opening file: No such device")]
    with pytest.raises(TransientError, match="ended with status 15"):
        await Reservation("disk", program).take(DISK, A5)
    program.answers = [Done(6, "Unit attention")] * 5
    with pytest.raises(TransientError, match="ended with status 6"):
        await Reservation("disk", program).look(DISK)


async def test_a_question_that_hangs_is_not_followed_by_another() -> None:
    """A process that waits for storage that is away cannot be killed; one is enough."""

    class Hanging(StorageProgram):
        async def end(self) -> bool:
            return False

    program = Hanging(Storage(), "a")
    hangs: Any = object()
    program.running.add(hangs)
    with pytest.raises(TransientError, match="an earlier question to it hangs"):
        await Reservation("disk", program).look(DISK)


async def test_the_holder_alone_is_granted_it_again() -> None:
    storage = Storage()
    await of(storage, "a").take(DISK, A5)
    assert await of(storage, "a").is_granted(DISK, A5)
    assert not await of(storage, "its clone").is_granted(DISK, A5)
    storage.connects_anew("a")
    assert not await of(storage, "a").is_granted(DISK, A5)
    assert not storage.may_write("a")


async def test_storage_that_does_not_let_a_port_follow_its_initiators_older_one_is_told() -> None:
    """Linux' own target (6.1): of another port of the holder it takes no PREEMPT, though it is
    registered."""
    storage = Storage()
    await of(storage, "a").take(DISK, A5)
    storage.connects_anew("a")
    storage.mistrusted = "a"
    with pytest.raises(TransientError, match="refuses this node all the same") as refused:
        await of(storage, "a").take(DISK, A7)
    assert "switchover" in refused.value.remedy
    assert not storage.may_write("a")
    b8 = key_of(replace(CLAIM, member="node-b", boot="boot-9", term=8))
    assert await of(storage, "b").take(DISK, b8) is True
    storage.mistrusted = ""
    assert await of(storage, "a").take(DISK, key_of(replace(CLAIM, term=9))) is True
    assert list(storage.registered) == ["a"]


async def test_a_disk_that_others_take_all_the_time_is_given_up() -> None:
    """Each of our preemptions comes after somebody else's."""

    class Contested(Storage):
        term = 1

        def run(self, machine: str, argv: tuple[str, ...]) -> Done:
            if "--preempt-abort" in argv:
                self.term += 1
                self.registered["b"] = replace(B6, term=self.term).value
            return super().run(machine, argv)

    storage = Contested()
    await of(storage, "b").take(DISK, replace(B6, term=1))
    with pytest.raises(TransientError, match="others go on to do so"):
        await of(storage, "a").take(DISK, replace(A5, term=99))


async def test_it_is_given_back() -> None:
    storage = Storage()
    await of(storage, "a").take(DISK, A5)
    await of(storage, "a").give_back(DISK, A5)
    assert (storage.registered, storage.holder) == ({}, None)
    await of(storage, "a").give_back(DISK, A5)


async def test_a_late_give_back_does_not_take_it_from_a_later_term() -> None:
    storage = Storage()
    await of(storage, "a").take(DISK, A7)
    storage.run(
        "a",
        ("sg_persist", "--out", "--register", "--param-rk", A5.text[2:], "--param-sark", "0"),
    )
    assert storage.holder == "a"


@pytest.mark.parametrize("key", [A5, B6, A7])
async def test_a_look_says_whether_a_later_holder_has_it(key: Key) -> None:
    storage = Storage()
    await of(storage, "b").take(DISK, B6)
    if key == A5:
        with pytest.raises(OutrankedError):
            await of(storage, "a").is_held(DISK, key)
    else:
        assert (await of(storage, "a").is_held(DISK, key)).holder == B6.value

"""Members that leave stay in sight; who is replaced is named by uid, so that it happens once."""

from standfast.api.cluster import HACluster
from standfast.api.words import REPLACE
from standfast.controller.authorities import Entry, Register, Seat
from standfast.controller.seats import (
    DEPARTED_MAX,
    effective,
    seats_of,
    to_replace,
    without,
)
from tests.unit.controller.test_groups import cluster

BOTH = cluster()
NAMES = [node.name for node in BOTH.spec.nodes]
REGISTER = Register(members={name: Entry(uid=f"uid-{name}", enrolled=True) for name in NAMES})


def shrunk() -> HACluster:
    spec = BOTH.spec.model_copy(update={"nodes": BOTH.spec.nodes[:1]})
    return BOTH.model_copy(update={"spec": spec})


def remembered() -> Register:
    return Register(members=REGISTER.members, seats=seats_of(BOTH, REGISTER))


def test_what_is_declared_is_what_it_is() -> None:
    assert effective(BOTH, remembered()) == (BOTH, frozenset())


def test_a_node_that_was_taken_out_is_in_maintenance_until_it_is_removed() -> None:
    wide, leaving = effective(shrunk(), remembered())
    assert [node.name for node in wide.spec.nodes] == NAMES
    assert leaving == {NAMES[1]}
    last = wide.spec.nodes[1]
    assert last.maintenance
    assert last.addresses == BOTH.spec.nodes[1].addresses
    assert seats_of(shrunk(), remembered()) == remembered().seats


def test_a_witness_that_was_taken_out_is_still_one() -> None:
    register = Register(members={"w2": Entry(uid="u", enrolled=True)}, seats={"w2": Seat()})
    wide, leaving = effective(BOTH, register)
    assert "w2" in [ref.name for ref in wide.spec.witnesses]
    assert leaving == {"w2"}


def test_a_node_is_replaced_once_by_its_uid() -> None:
    uid = f"uid-{NAMES[1]}"
    asked = BOTH.model_copy(deep=True)
    asked.metadata.annotations[REPLACE] = f"{NAMES[1]}={uid}"
    assert to_replace(asked, REGISTER) == uid
    register = Register(members=REGISTER.members, lost=(uid,))
    assert to_replace(asked, register) == ""
    wide, leaving = effective(asked, register)
    assert leaving == {NAMES[1]}
    assert wide.spec.nodes[1].maintenance
    freed = without(register, [NAMES[1]], {NAMES[1]: ("10.0.0.2:7380",)})
    assert (freed.lost, list(freed.departed)) == ((), [uid])
    again = Register(members={**freed.members, NAMES[1]: Entry(uid="uid-new", enrolled=True)})
    assert to_replace(asked, again) == ""
    asked.metadata.annotations[REPLACE] = "nobody"
    assert to_replace(asked, REGISTER) == ""


def test_those_that_left_are_told_where_they_can_be_and_not_for_ever() -> None:
    register = Register()
    for number in range(DEPARTED_MAX + 3):
        name = f"n{number}"
        one = Register(
            members={name: Entry(uid=f"u{number}")},
            departed=register.departed,
            seats={name: Seat()},
        )
        register = without(one, [name], {name: ("10.0.0.1:7380",)})
    assert len(register.departed) == DEPARTED_MAX
    assert (register.members, register.seats) == ({}, {})
    nowhere = without(REGISTER, [NAMES[0]], {})
    assert nowhere.departed == {}

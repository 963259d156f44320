"""Who may be added to the voters: only who answers those that are there already."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from standfast.controller.authorities import Authorities, Entry, Register
from standfast.controller.calling import Caller
from standfast.controller.errands import Errands
from standfast.controller.members import Members
from standfast.controller.seats import seats_of
from standfast.controller.sites import Site
from standfast.core.record import MemberKind
from tests.unit.controller.test_groups import cluster
from tests.unit.controller.test_words import PAIR, Noted, line
from tests.unit.core.small_world import A, B, W, member

ALONE = replace(PAIR, members=(member(A), member(B)), incarnation=2)


@pytest.mark.parametrize(("incarnation", "started"), [(1, []), (2, ["change"])])
def test_f38_a_member_of_an_earlier_incarnation_is_not_added(
    incarnation: int, started: list[str]
) -> None:
    """It would acknowledge nothing, and the change would end the lease of whoever serves."""
    declared = cluster()
    kinds = {A: MemberKind.DATA, B: MemberKind.DATA, W: MemberKind.WITNESS}
    places = [
        SimpleNamespace(name=uid, kind=kind, addresses=(f"10.0.0.{at}",), first=None)
        for at, (uid, kind) in enumerate(kinds.items())
    ]
    members = {str(uid): Entry(uid=uid, enrolled=True) for uid in kinds}
    register = Register(members=members)
    register = msgspec.structs.replace(register, seats=seats_of(declared, register))
    holder, other = line(A, ALONE), line(B, ALONE)
    assert holder.status is not None
    holder.status = msgspec.structs.replace(holder.status, role="Active", config_committed=True)
    site = SimpleNamespace(
        key="key",
        cluster=declared,
        declared=declared,
        office=SimpleNamespace(register=register),
        places=places,
        leaving=(),
        lines={A: holder, B: other, W: line(W, replace(ALONE, incarnation=incarnation))},
    )
    noted = Noted()
    Members(cast("Authorities", None), cast("Caller", None), cast("Errands", noted)).look(
        cast("Site", site)
    )
    assert [name[0] for name in noted.names] == started

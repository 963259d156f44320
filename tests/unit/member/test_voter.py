"""The voter: durable before sent, and what a disk that refuses costs and does not cost."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from standfast.adapters.fakes import FakeClock, MemoryJournal
from standfast.core import invariants, quorum
from standfast.core.events import (
    ClockSuspect,
    Effect,
    EmergencyStop,
    LeaseWon,
    LocalChanged,
    RecordCommitted,
    ReleaseRequested,
    Stopped,
    Tick,
)
from standfast.core.ids import BootId, MemberUid, RunId
from standfast.core.record import Member, MemberKind
from standfast.core.state import Local
from standfast.errors import InvariantError, TransientError
from standfast.member.chronicle import Chronicle
from standfast.member.links import Links, Wiring
from standfast.member.mailbox import Mailbox
from standfast.member.voter import DISK_AGAIN_MS, Tools, Voter
from standfast.wire import durable
from tests.unit.member.parts import CLUSTER, config_of, process

SOLO = Member(MemberUid("solo"), "solo", MemberKind.DATA)
OTHER = Member(MemberUid("other"), "other", MemberKind.DATA)


@dataclass
class Stand:
    """A voter with everything it works with."""

    voter: Voter
    journal: MemoryJournal
    clock: FakeClock
    chronicle: Chronicle
    mailbox: Mailbox
    effects: list[Effect] = field(default_factory=list)

    def run(self, ms: int) -> None:
        end_ms = self.clock.now_ms() + ms
        while self.clock.now_ms() < end_ms:
            at_ms = self.voter.next_ms()
            step_ms = end_ms if at_ms is None else min(max(at_ms, self.clock.now_ms() + 1), end_ms)
            self.clock.advance(step_ms - self.clock.now_ms())
            self.voter.tick()

    def said(self, kind: type) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.chronicle.after(0)]


@pytest.fixture(params=[(SOLO,)])
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    clock, journal = FakeClock(), MemoryJournal()
    shared = process(MemberKind.DATA, clock)
    chronicle = Chronicle(tmp_path / "log.jsonl", lambda: None)
    effects: list[Effect] = []
    wiring = Wiring(
        cluster=CLUSTER,
        me=SOLO.uid,
        run=RunId("run-1"),
        clock=clock,
        mailbox=shared.mailbox,
        context=lambda: pytest.fail("nobody is dialled"),
        server_name=str,
        on_message=lambda _: None,
        on_connected=lambda _: None,
        on_change=lambda: None,
        on_refused=lambda _, __: None,
    )
    links = Links(wiring)
    tools = Tools(
        journal,
        links,
        clock,
        chronicle,
        effects.append,
        lambda: None,
        shared.mailbox.fail,
    )
    kept = quorum.durable_for(config_of(*request.param), SOLO.uid)
    voter = Voter(tools, kept, BootId("boot-1"), RunId("run-1"))
    yield Stand(voter, journal, clock, chronicle, shared.mailbox, effects)
    links.close()
    await shared.mailbox.close()


def begin(stand: Stand) -> None:
    """Start, with nothing to stop; not eligible yet."""
    stand.voter.start(None)
    stand.voter.take(Stopped())


def get_ready(stand: Stand) -> None:
    stand.voter.take(LocalChanged(Local(eligible=True)))


def win(stand: Stand) -> None:
    begin(stand)
    get_ready(stand)
    stand.run(1000)
    assert stand.voter.state.holding is not None


async def test_a_start_is_on_disk_before_it_returns(stand: Stand) -> None:
    stand.voter.start(None)
    kept = stand.journal.load()
    assert kept is not None
    assert durable.decode(kept) == stand.voter.state.durable
    assert isinstance(stand.effects[0], EmergencyStop)


async def test_a_single_member_wins_and_commits(stand: Stand) -> None:
    win(stand)
    assert len(stand.said(LeaseWon)) == 1
    assert stand.said(RecordCommitted)
    assert {"LeaseLost", "LeaseWon", "RecordCommitted"} <= set(stand.kinds())
    assert stand.voter.somebody_holds


async def test_while_holding_the_clock_is_looked_at_every_tick(stand: Stand) -> None:
    win(stand)
    tick_ms = stand.voter.state.record.config.timing.tick_ms
    at_ms = stand.voter.next_ms()
    assert at_ms is not None
    assert at_ms <= stand.clock.now_ms() + tick_ms


async def test_a_start_that_is_not_on_disk_takes_no_part(stand: Stand) -> None:
    stand.journal.is_broken = True
    with pytest.raises(TransientError, match="takes no part"):
        stand.voter.start(None)


async def test_a_full_disk_gains_no_lease(stand: Stand) -> None:
    begin(stand)
    stand.journal.is_broken = True
    get_ready(stand)
    stand.run(5000)
    assert stand.voter.state.holding is None
    assert not stand.said(LeaseWon)
    assert [alert.reason for alert in stand.chronicle.alerts()] == ["JournalNotWritten"]
    assert stand.voter.next_ms() == stand.voter._stepped_at_ms + DISK_AGAIN_MS
    stand.journal.is_broken = False
    get_ready(stand)
    stand.run(2000)
    assert stand.voter.state.holding is not None
    assert stand.chronicle.alerts() == ()


async def test_a_full_disk_keeps_a_lease(stand: Stand) -> None:
    win(stand)
    stand.journal.is_broken = True
    stand.run(10_000)
    assert stand.voter.state.holds(stand.clock.now_ms())


async def test_an_emergency_is_carried_out_whatever_the_disk_does(stand: Stand) -> None:
    win(stand)
    stand.effects.clear()
    stand.journal.is_broken = True
    stand.voter.take(ClockSuspect("it stood still"))
    assert stand.said(EmergencyStop)
    assert stand.voter.state.holding is None


async def test_effects_performed_by_half_end_the_process_whoever_asked(stand: Stand) -> None:
    """A request of the API gets an error as its answer, and the loop would go on."""
    win(stand)

    def refuse(effect: Effect) -> None:
        raise OSError(28, "No space left on device")

    stand.voter._tools = replace(stand.voter._tools, on_effect=refuse)
    with pytest.raises(OSError, match="No space"):
        stand.voter.take(ReleaseRequested())
    with pytest.raises(AssertionError, match="must end"):
        stand.voter.take(Tick())
    with pytest.raises(OSError, match="No space"):
        (await stand.mailbox.get())()


async def test_a_broken_invariant_ends_the_process_before_anything_is_done(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    win(stand)
    monkeypatch.setattr(invariants, "broken", lambda *_: "two at once")
    before = stand.voter.state
    stand.effects.clear()
    with pytest.raises(InvariantError, match="two at once"):
        stand.voter.take(Tick())
    assert stand.voter.state is before
    assert stand.effects == []


async def test_a_look_at_the_clock_before_anything_is_due_costs_no_step(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    win(stand)
    look_ms = stand.voter.next_ms()
    before = stand.voter.state
    monkeypatch.setattr(quorum, "step", lambda *_: pytest.fail("nothing was due"))
    due_ms = quorum.wake_at_ms(before)
    assert look_ms is not None
    assert due_ms is not None
    stand.clock.advance(due_ms - stand.clock.now_ms() - 1)
    stand.voter.tick()
    assert stand.voter.state is before
    assert stand.voter.next_ms() == due_ms


async def test_the_end_of_a_lease_is_seen_by_a_look(stand: Stand) -> None:
    win(stand)
    lease = stand.voter.state.holding
    assert lease is not None
    stand.clock.advance(lease.lease_until_ms - stand.clock.now_ms())
    stand.voter.tick()
    assert stand.said(EmergencyStop)


async def test_a_request_that_is_not_taken_says_why(stand: Stand) -> None:
    begin(stand)
    declined = stand.voter.declined(ReleaseRequested())
    assert declined is not None
    assert "does not serve" in declined.problem
    get_ready(stand)
    stand.run(1000)
    assert stand.voter.declined(ReleaseRequested()) is None


@pytest.mark.parametrize("stand", [(SOLO, OTHER)], indirect=True)
async def test_alone_of_two_nobody_stands(stand: Stand) -> None:
    begin(stand)
    get_ready(stand)
    stand.run(3000)
    assert stand.voter.state.candidacy is None, "nobody stands before all have confirmed"

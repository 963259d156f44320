"""All links of a member: copies are taken once, strangers not at all, paths are told apart."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from standfast.adapters.fakes import FakeClock
from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId, Version
from standfast.core.messages import Envelope, Hello
from standfast.core.record import Member, MemberKind
from standfast.errors import UserError
from standfast.member.link import Link
from standfast.member.links import Links, Wiring, split
from standfast.member.mailbox import Mailbox
from standfast.wire import codec, frames
from standfast.wire.frames import Facts, Splitter
from tests.unit.member.parts import Pipe

ME, OTHER = MemberUid("a"), MemberUid("b")
HELLO = Hello(Version(0, 0), Version(0, 0), "d")


def member(uid: MemberUid, *addresses: str) -> Member:
    return Member(uid, f"vm-{uid}", MemberKind.DATA, addresses)


def message(sender: MemberUid = OTHER, cluster: str = "c1") -> Envelope:
    return Envelope(ClusterUid(cluster), 1, sender, ME, BootId("boot-b"), RunId("run-b"), 1, HELLO)


@dataclass
class Reports:
    """What links report."""

    got: list[Envelope] = field(default_factory=list)
    connected: list[MemberUid] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    changes: int = 0

    def change(self) -> None:
        self.changes += 1

    def refuse(self, peer: str, problem: str) -> None:
        self.refused.append(f"{peer}: {problem}")


@dataclass
class Net:
    """The links of member a, with what they report."""

    links: Links
    clock: FakeClock
    reports: Reports

    def accept(self, host: str = "10.0.0.2", run: str = "run-b") -> tuple[Link, Pipe]:
        link, pipe = self.links.accept(OTHER, host), Pipe(host)
        assert link is not None
        pipe.connect(link)
        link.data_received(frames.frame(frames.RUN, 0, run.encode()))
        pipe.take()
        return link, pipe


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    clock, mailbox = FakeClock(), Mailbox()
    reports = Reports()
    wiring = Wiring(
        cluster=ClusterUid("c1"),
        me=ME,
        run=RunId("run-a"),
        clock=clock,
        mailbox=mailbox,
        context=ssl.create_default_context,
        server_name=lambda uid: f"{uid}.c1.standfast",
        on_message=reports.got.append,
        on_connected=reports.connected.append,
        on_change=reports.change,
        on_refused=reports.refuse,
    )
    net = Net(Links(wiring), clock, reports)
    net.links.know((member(ME), member(OTHER)))
    yield net
    net.links.close()
    await mailbox.close()


async def test_the_first_copy_counts(net: Net) -> None:
    first, _ = net.accept("10.0.1.2")
    second, _ = net.accept("10.0.2.2")
    data = frames.frame(frames.MESSAGE, 1, codec.encode(message()))
    first.data_received(data)
    second.data_received(data)
    assert net.reports.got == [message()]
    assert net.reports.connected == [OTHER, OTHER]


async def test_a_new_run_counts_from_the_beginning(net: Net) -> None:
    first, _ = net.accept()
    first.data_received(frames.frame(frames.MESSAGE, 1, codec.encode(message())))
    second, _ = net.accept(run="run-b2")
    second.data_received(frames.frame(frames.MESSAGE, 1, codec.encode(message())))
    assert len(net.reports.got) == 2


async def test_a_message_goes_over_every_path_with_one_number(net: Net) -> None:
    pipes = [net.accept(host)[1] for host in ("10.0.1.2", "10.0.2.2")]
    mine = Envelope(ClusterUid("c1"), 1, ME, OTHER, BootId("b"), RunId("r"), 1, HELLO)
    net.links.send(mine)
    sent = [pipe.take() for pipe in pipes]
    assert sent[0] == sent[1]
    (frame,) = Splitter().feed(sent[0])
    assert codec.decode(frame.payload) == mine


async def test_numbers_go_on_for_a_member_that_was_forgotten_and_is_known_again(net: Net) -> None:
    """It remembers the numbers of this run: to it, lower ones are copies that come late."""
    mine = Envelope(ClusterUid("c1"), 1, ME, OTHER, BootId("b"), RunId("r"), 1, HELLO)
    there = frames.Window()
    for _ in range(2):
        _, pipe = net.accept()
        for _ in range(300):
            net.clock.advance(1)
            net.links.send(mine)
        assert all(there.first_sight(frame.number) for frame in Splitter().feed(pipe.take()))
        net.links.know((member(ME),))
        net.links.know((member(ME), member(OTHER)))


async def test_a_sender_that_is_not_its_certificate_is_refused(net: Net) -> None:
    link, _ = net.accept()
    for number, wrong in enumerate((message(sender=MemberUid("x")), message(cluster="c2"))):
        link.data_received(frames.frame(frames.MESSAGE, number + 1, codec.encode(wrong)))
    link.data_received(frames.frame(frames.MESSAGE, 9, b"\x09garbage"))
    assert net.reports.got == []
    assert len(net.reports.refused) == 3
    assert "its certificate is b" in net.reports.refused[0]
    assert link.is_up


async def test_strangers_get_no_link(net: Net) -> None:
    assert net.links.accept(MemberUid("stranger"), "10.0.0.7") is None
    net.links.send(
        Envelope(ClusterUid("c1"), 1, ME, MemberUid("x"), BootId("b"), RunId("r"), 1, HELLO)
    )


async def test_the_same_path_again_replaces_the_older_connection(net: Net) -> None:
    _, old = net.accept("10.0.1.2")
    _, other = net.accept("10.0.2.2")
    net.accept("10.0.1.2")
    assert old.is_aborted
    assert not other.is_aborted


async def test_facts_are_told_to_all_and_to_those_who_come_later(net: Net) -> None:
    _, early = net.accept("10.0.1.2")
    net.links.tell(Facts(eligible=True))
    assert early.take() == frames.facts(Facts(eligible=True))
    net.links.tell(Facts(eligible=True))
    assert early.take() == b""


async def test_eligible_are_those_that_say_so_and_are_there(net: Net) -> None:
    link, _ = net.accept()
    assert list(net.links.eligible()) == []
    link.data_received(frames.facts(Facts(eligible=True)))
    assert list(net.links.eligible()) == [OTHER]
    before = net.reports.changes
    link.close("gone")
    assert list(net.links.eligible()) == []
    assert net.reports.changes > before


async def test_the_status_names_declared_paths_and_others(net: Net) -> None:
    net.links.know((member(ME), member(OTHER, "10.0.1.2:1", "10.0.2.2:1")))
    link, _ = net.accept("10.0.1.2")
    net.accept("192.0.2.9")
    link.data_received(frames.frame(frames.MESSAGE, 1, codec.encode(message())))
    net.clock.advance(30)
    (peer,) = net.links.status(net.clock.now_ms())
    assert (peer.reachable, peer.boot, peer.last_heard_ms) == (True, "boot-b", 30)
    assert [(path.address, path.up) for path in peer.paths] == [
        ("10.0.1.2:1", True),
        ("10.0.2.2:1", False),
        ("192.0.2.9", True),
    ]


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("10.0.0.1:7380", "10.0.0.1", 7380),
        ("[FD00:0::11]:7380", "fd00::11", 7380),
        ("witness.example:7380", "witness.example", 7380),
    ],
)
def test_addresses_are_brought_to_one_form(address: str, host: str, port: int) -> None:
    assert split(address) == (host, port)


@pytest.mark.parametrize("address", ["", "10.0.0.1", ":7380", "10.0.0.1:x", "10.0.0.1:70000"])
def test_an_address_that_does_not_read_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="does not read"):
        split(address)


async def test_who_left_the_config_is_disconnected(net: Net) -> None:
    _, pipe = net.accept()
    net.links.know((member(ME),))
    assert pipe.is_aborted
    assert net.links.status(net.clock.now_ms()) == ()


def facts_in(pipe: Pipe) -> list[Facts | None]:
    return [
        frames.read_facts(frame.payload)
        for frame in Splitter().feed(pipe.take())
        if frame.kind == frames.FACTS
    ]


async def test_invitations_are_told_to_data_nodes_only(net: Net) -> None:
    witness = MemberUid("w")
    net.links.know((member(ME), member(OTHER), Member(witness, "w", MemberKind.WITNESS, ())))
    ends = {OTHER: net.accept()[1]}
    link, ends[witness] = net.links.accept(witness, "10.0.0.3"), Pipe("10.0.0.3")
    assert link is not None
    ends[witness].connect(link)
    link.data_received(frames.frame(frames.RUN, 0, b"run-w"))
    ends[witness].take()
    net.links.tell(Facts(eligible=True, invitations={"pg": b"secret"}))
    assert facts_in(ends[OTHER]) == [Facts(eligible=True, invitations={"pg": b"secret"})]
    assert facts_in(ends[witness]) == [Facts(eligible=True)]


async def test_what_others_tell_is_kept_while_they_are_reachable(net: Net) -> None:
    link, _ = net.accept()
    told = Facts(eligible=True, invitations={"pg": b"secret"})
    link.data_received(frames.facts(told))
    assert net.links.facts(OTHER) == told
    assert net.links.facts(MemberUid("stranger")) == Facts()
    link.close("gone")
    assert net.links.facts(OTHER) == Facts()

"""One link: frames both ways, a peer that takes nothing, silence, garbage."""

from dataclasses import dataclass, field

from standfast.member import link as links
from standfast.member.link import Link
from standfast.wire import frames
from standfast.wire.frames import Facts, Frame, Splitter
from tests.unit.member.parts import Pipe


@dataclass
class Heard:
    """A peer that notes what its links report."""

    up: list[Link] = field(default_factory=list)
    down: list[Link] = field(default_factory=list)
    messages: list[Frame] = field(default_factory=list)
    facts: list[Facts] = field(default_factory=list)

    def link_up(self, link: Link) -> None:
        self.up.append(link)

    def link_down(self, link: Link) -> None:
        self.down.append(link)

    def take_message(self, link: Link, frame: Frame) -> None:
        self.messages.append(frame)

    def take_facts(self, told: Facts) -> None:
        self.facts.append(told)


@dataclass
class Ends:
    """A link with a pipe, and a clock to turn."""

    now_ms: int = 1000
    heard: Heard = field(default_factory=Heard)
    pipe: Pipe = field(default_factory=Pipe)

    def link(self, *, dialled: bool = False) -> Link:
        link = Link(self.heard, "10.0.0.1", "run-1", lambda: self.now_ms, dialled=dialled)
        self.pipe.connect(link)
        return link


def read(data: bytes) -> list[Frame]:
    return list(Splitter().feed(data))


async def test_who_dials_says_the_preface_and_both_say_their_run() -> None:
    ends = Ends()
    ends.link(dialled=True)
    said = ends.pipe.take()
    assert said.startswith(frames.PREFACE)
    assert read(said[len(frames.PREFACE) :]) == [Frame(frames.RUN, 0, b"run-1")]


async def test_a_link_is_up_once_the_other_side_said_its_run() -> None:
    ends = Ends()
    link = ends.link()
    assert not link.is_up
    link.data_received(frames.frame(frames.RUN, 0, b"run-2"))
    assert link.is_up
    assert (ends.heard.up, link.run) == ([link], "run-2")


async def test_messages_before_the_run_are_not_taken() -> None:
    ends = Ends()
    link = ends.link()
    link.data_received(frames.frame(frames.MESSAGE, 1, b"early"))
    link.data_received(frames.frame(frames.RUN, 0, b"run-2"))
    link.data_received(frames.frame(frames.MESSAGE, 2, b"now"))
    assert [frame.payload for frame in ends.heard.messages] == [b"now"]


async def test_a_ping_is_answered_and_an_answer_measured() -> None:
    ends = Ends()
    link = ends.link()
    ends.pipe.take()
    link.data_received(frames.ping(7))
    assert read(ends.pipe.take()) == [Frame(frames.PONG, 7, b"")]
    link.ping()
    (ping,) = read(ends.pipe.take())
    link.data_received(frames.frame(frames.PONG, ping.number))
    assert link.rtt_ms is not None
    link.data_received(frames.frame(frames.PONG, ping.number + 5))


async def test_a_silent_link_is_given_up() -> None:
    ends = Ends()
    link = ends.link()
    ends.now_ms += links.SILENT_MS_MAX + 1
    link.ping()
    assert ends.pipe.is_aborted
    assert ends.heard.down == [link]
    assert "nothing was heard" in link.problem


async def test_a_peer_that_takes_nothing_gets_the_newest_when_it_does() -> None:
    ends = Ends()
    link = ends.link()
    ends.pipe.take()
    link.pause_writing()
    for number in range(100):
        link.send(frames.frame(frames.MESSAGE, number))
    assert ends.pipe.take() == b""
    link.resume_writing()
    numbers = [frame.number for frame in read(ends.pipe.take())]
    assert numbers == list(range(100 - links.QUEUED_MAX, 100))


async def test_garbage_ends_the_link_and_nothing_else() -> None:
    ends = Ends()
    link = ends.link()
    link.data_received(b"\xff" * 64)
    assert ends.pipe.is_aborted
    assert "does not speak our protocol" in link.problem


async def test_facts_and_unknown_kinds() -> None:
    ends = Ends()
    link = ends.link()
    link.data_received(frames.frame(frames.RUN, 0, b"r") + frames.frame(99, 1, b"from the future"))
    link.data_received(frames.facts(Facts(eligible=True)) + frames.frame(frames.FACTS, 0, b"\xc1"))
    assert ends.heard.facts == [Facts(eligible=True)]
    assert not ends.pipe.is_aborted


async def test_sending_into_a_dead_link_is_nothing() -> None:
    ends = Ends()
    link = ends.link()
    link.close("over")
    link.send(b"x")
    link.close("again")
    assert link.problem == "over"
    assert ends.heard.down == [link]

"""The group against chance: whatever happens in whatever order, the world's rules hold.

The world asserts order, permission and truth of reports after every effect. Here resources,
graphs, faults and wishes are drawn at random; in the end all faults are healed, and what is wanted
must come true.
"""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from standfast.core import group_events as ev
from standfast.core.group_spec import Spec, Then, problems
from standfast.core.group_state import Want
from tests.unit.core.group_world import HOUR_MS, World

NAMES = ("a", "b", "c", "d")
HANGS = ("start_hangs", "stop_hangs", "stop_fails", "look_hangs", "look_blind", "check_hangs")


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Spec, ...]:
    chosen = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    return tuple(
        Spec(
            name,
            "thing",
            draw(st.sampled_from(("one", "two"))),
            depends_on=tuple(draw(st.sets(st.sampled_from(sorted(chosen[:at])), max_size=2)))
            if at
            else (),
            critical=draw(st.booleans()),
            rides_out=draw(st.booleans()),
            start_ms=3000,
            stop_ms=1000,
            failures_max=(failures_max := draw(st.integers(1, 3))),
            checks_seen=draw(st.integers(failures_max, 4)),
            restarts=draw(st.integers(0, 2)),
            window_ms=60_000,
            then=draw(st.sampled_from(Then)),
        )
        for at, name in enumerate(chosen)
    )


acts = st.one_of(
    st.tuples(st.just("run"), st.sampled_from((0, 1, 5, 60, 700, 4000, 20_000))),
    st.tuples(st.just("declare"), graphs()),
    st.tuples(st.just("permit"), st.none()),
    st.tuples(st.just("release"), st.none()),
    st.tuples(st.just("emergency"), st.none()),
    st.tuples(st.just("resume"), st.none()),
    st.tuples(st.just("adopt"), st.none()),
    st.tuples(st.just("others"), st.booleans()),
    st.tuples(st.just("decline"), st.none()),
    st.tuples(st.just("die"), st.sampled_from(NAMES)),
    st.tuples(st.just("appear"), st.sampled_from(NAMES)),
    st.tuples(st.just("unsure"), st.sampled_from(NAMES)),
    st.tuples(
        st.sampled_from(
            (*HANGS, "start_fails", "kill_hangs", "kill_lies", "down", "gone", "well")
        ),
        st.sampled_from(NAMES),
    ),
)


def act(world: World, what: str, value: object, generation: int) -> None:
    match what:
        case "run":
            world.run(value)
        case "declare":
            world.declare(*value, generation=generation)
        case "permit" if (
            world.group.want in {Want.DOWN, Want.KEEP} and not world.group.report_owed
        ):
            world.permit(term=generation)
        case "adopt" if world.group.want is Want.IDLE:
            world.feed(ev.Adopted(1, world.now_ms + HOUR_MS))
        case "release" if world.group.want is not Want.EMERGENCY:
            world.release()
        case "emergency":
            world.emergency()
        case "resume" if world.group.want is Want.RELEASE and world.group.until_ms:
            world.feed(ev.Resumed())
        case "others":
            world.feed(ev.OthersChanged(eligible=value))
        case "decline":
            world.feed(ev.HandOverDeclined("no"))
        case "die" if value in world.things and world.things[value].running:
            world.die(value)
        case "appear" if value in world.things and world.things[value].call == 0:
            world.appear(value)
        case "unsure":
            world.feed(ev.Changed(value, ev.Turned.UNSURE, "?"))
        case "start_fails" | "kill_hangs" | "kill_lies" if value in world.things:
            setattr(world.things[value], what, 2)
        case "down" if value in world.things:
            world.things[value].health = ev.Verdict.DOWN
        case "gone" if value in world.things:
            world.things[value].health = ev.Verdict.GONE
        case "well" if value in world.things:
            world.things[value].health = ev.Verdict.UP
        case (
            "start_hangs"
            | "stop_hangs"
            | "stop_fails"
            | "look_hangs"
            | "look_blind"
            | "check_hangs"
        ) if value in world.things:
            setattr(world.things[value], what, True)
        case _:
            pass


def heal(world: World) -> None:
    for thing in world.things.values():
        thing.start_hangs = thing.stop_hangs = thing.stop_fails = False
        thing.look_hangs = thing.look_blind = thing.check_hangs = False
        thing.start_fails = thing.kill_hangs = thing.kill_lies = 0
        thing.health = ev.Verdict.UP


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.lists(acts, max_size=25))
def test_whatever_happens_the_rules_hold_and_the_wish_comes_true(
    first: tuple[Spec, ...], story: list[tuple[str, object]]
) -> None:
    assert problems(first) == ()
    world = World().declare(*first)
    for at, (what, value) in enumerate(story):
        act(world, what, value, generation=at + 2)
    heal(world)
    world.run(1000).emergency().run(30_000)
    assert world.running == set()
    assert not world.group.report_owed
    assert world.alarms <= {(name, "KeepsFailing") for name in NAMES}
    world.feed(ev.OthersChanged(eligible=False)).permit(term=1000).run(60_000)
    assert world.running == set(world.group.cells)
    assert world.alarms == set()
    world.release().run(30_000)
    assert world.running == set()
    assert world.steps < 20_000

"""The graph: what cannot be one group is refused with names, and who stands on whom is known."""

from itertools import pairwise

from standfast.core.group_spec import Spec, dependents, problems, shaken_by


def named(name: str, *below: str, rides_out: bool = False) -> Spec:
    return Spec(name, "systemd", name, depends_on=below, rides_out=rides_out)


def graph(*specs: Spec) -> dict[str, Spec]:
    return {spec.name: spec for spec in specs}


def test_a_sound_graph_has_no_problems() -> None:
    assert problems((named("c", "a", "b"), named("b", "a"), named("a"))) == ()
    assert problems(()) == ()


def test_a_name_means_one_resource() -> None:
    assert problems((named("a"), named("a"))) == (
        "resource a is declared 2 times, but a name means one resource",
    )


def test_an_unknown_name_is_named_with_those_there_are() -> None:
    assert problems((named("b", "x"), named("a"))) == (
        "resource b depends on x, which is not declared in this cluster (declared: a, b)",
    )


def test_a_circle_is_shown_in_the_direction_of_depends_on() -> None:
    found = problems((named("a", "b"), named("b", "c"), named("c", "a")))
    assert len(found) == 1
    circle = found[0].split(": ")[1].split(" -> ")
    assert len(circle) == 4
    follows = {"a": "b", "b": "c", "c": "a"}
    assert all(follows[one] == two for one, two in pairwise(circle))


def test_a_resource_that_depends_on_itself_is_a_circle() -> None:
    assert problems((named("a", "a"),)) == (
        "resources depend on each other in a circle, so none can start: a -> a",
    )


def test_dependents_are_direct() -> None:
    specs = graph(named("a"), named("b", "a"), named("c", "b"))
    assert list(dependents(specs, "a")) == ["b"]


def test_a_restart_shakes_everything_above_except_what_rides_it_out() -> None:
    specs = graph(
        named("a"),
        named("b", "a"),
        named("c", "b"),
        named("vip", "b", rides_out=True),
        named("on-vip", "vip"),
        named("aside"),
    )
    assert shaken_by(specs, "a") == {"b", "c"}

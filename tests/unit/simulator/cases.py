"""Cases to play: the pair of the examples, as the command line would make it."""

from standfast.core.group_spec import Spec, Then
from standfast.core.proof import default_need, enough
from standfast.core.record import DataMode
from standfast.core.timing import Profile
from standfast.core.view import FencePolicy, Wanted, WantedNode
from standfast.simulator.scenario import Case, DeclaredFault, Span, Thing, Verb

AT = 1_000


def pair(
    data: DataMode = DataMode.NONE,
    *,
    witnesses: tuple[str, ...] = ("third",),
    fence: FencePolicy = FencePolicy.WHEN_NEEDED,
    restarts: int = 3,
    maintenance: str = "",
) -> Case:
    """Two nodes; an application and an address that follows it."""
    nodes = tuple(WantedNode(name, name == maintenance) for name in ("vm-a", "vm-b"))
    want = Wanted("web", nodes, witnesses, data, Profile.NORMAL.timing, fence)
    need = default_need(data, exclusive=False)
    app = Spec("web", "systemd", "web.service", suffices=enough(need), restarts=restarts)
    vip = Spec("vip", "vip", "10.0.0.1/24", ("web",), rides_out=True)
    assert app.then is Then.FAILOVER
    return Case(
        want, (Thing(app, Span(50, 300), Span(20, 200)), Thing(vip, Span(105, 130), Span(2, 20)))
    )


def fault(verb: Verb, who: str = "", other: str = "", *, at: int = AT, lasts: int | None = None):
    return DeclaredFault(at, verb, who, other, lasts)

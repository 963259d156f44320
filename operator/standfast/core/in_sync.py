"""Which nodes are in sync: what the active node proposes, and whom its writes wait for.

The order that keeps every acknowledged write (S3): grow the driver's set, then propose; commit,
then shrink. So writes wait for every node of the committed record, of every record proposed
since (`holding.in_sync_required`), and of those about to be proposed. A node is proposed when the
driver shows that writes wait for it and that it has all that was acknowledged before they did; it
is proposed away when it stops keeping up, because from then on no write is acknowledged at all;
at once when its driver knows that it is lost and holds every write meanwhile.

Keeping up is judged by a goal: where the active was at some moment. Once a follower has reached
it, the next goal is where the active is then. So a follower that is connected but does not write
(its disk hangs) is seen as well as one that is gone.

Source: `docs/protocol.md`, section "Rules", "In-sync set". Safety: S3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from standfast.core.ids import MemberUid

PATIENCE_MS = 2000
"""How long a follower may take to reach a goal; writes wait at most so long, and a commit more."""
NEAR_BYTES = 16 * 1024 * 1024
"""A follower this close catches up while writes wait for it."""
SETTLED_MS = 1000
"""How long it must have been close before writes wait for it."""
CALM_MS = 5000
"""Pause after it was dropped; doubles with each drop in a row, so that a flapping link does not
hold up writes again and again (F44)."""
CALM_MS_MAX = 120_000
FORGIVEN_MS = 600_000
"""In sync for so long after the last pause, earlier drops are forgotten."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A follower as the driver of one resource sees it.

    Attributes:
        position: How far it has written safely.
        near: Connected, and no further behind than `NEAR_BYTES`.
        holds_all: Writes wait for it, and it has all that was acknowledged before they did.
        lost: Writes cannot reach it now, and all of them are held until it is let go.
    """

    position: int
    near: bool
    holds_all: bool
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """The data of one resource on the active node.

    Attributes:
        position: How far they reach here.
        followers: Those that are connected.
    """

    position: int
    followers: Mapping[MemberUid, Progress] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """What the quorum says.

    Attributes:
        others: The other data nodes of the config.
        in_sync: Of the newest record.
        required: Nodes that a write must reach by what is committed and proposed.
    """

    me: MemberUid
    others: frozenset[MemberUid]
    in_sync: frozenset[MemberUid]
    required: frozenset[MemberUid]


@dataclass(frozen=True, slots=True)
class Pace:
    """What is remembered of one follower.

    Attributes:
        goal: The position it is to reach.
        since_ms: Since when.
        near_since_ms: Since when it has been near; none when it is not.
        calm_until_ms: Writes do not wait for it before.
        drops: How often in a row it was dropped.
    """

    goal: int
    since_ms: int
    near_since_ms: int | None = None
    calm_until_ms: int = 0
    drops: int = 0


Keeper = Mapping[tuple[str, MemberUid], Pace]
"""What is remembered of each follower of each resource; forgotten with the lease."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is wanted now.

    Attributes:
        require: Nodes besides this one that writes wait for.
        propose: Another set for the record; none when it is right.
        dropped: Nodes that are being given up, for the log.
    """

    require: frozenset[MemberUid]
    propose: frozenset[MemberUid] | None = None
    dropped: frozenset[MemberUid] = frozenset()


def keep(
    keeper: Keeper, view: View, seen: Mapping[str, Seen | None], now_ms: int
) -> tuple[Keeper, Plan]:
    """One look.

    Args:
        keeper: As the last look left it.
        view: What the quorum says now.
        seen: Each replicated resource; None while its data are not served here: nobody is judged
            then. Without any resource there is nothing to have: every node is in sync.
        now_ms: This node's clock.
    """
    required = view.required - {view.me}
    served = {name: data for name, data in seen.items() if data is not None}
    if len(served) < len(seen):
        return {}, Plan(required)
    paces = {
        (name, uid): _pace(keeper.get((name, uid)), uid, data, now_ms)
        for name, data in served.items()
        for uid in view.others
    }
    wanted, growing, dropped = {view.me}, set[MemberUid](), set[MemberUid]()
    for uid in view.others:
        mine = {key: pace for key, pace in paces.items() if key[1] == uid}
        late = any(now_ms - pace.since_ms >= PATIENCE_MS for pace in mine.values()) or any(
            _is_lost(data, uid) for data in served.values()
        )
        if uid in view.in_sync and late:
            dropped.add(uid)
            paces |= {key: _dropped(pace, now_ms) for key, pace in mine.items()}
        elif uid in view.in_sync:
            wanted.add(uid)
            paces |= {key: _forgiven(pace, now_ms) for key, pace in mine.items()}
        elif not late and all(_settled(pace, now_ms) for pace in mine.values()):
            growing.add(uid)
            if all(_holds_all(data, uid) for data in served.values()):
                wanted.add(uid)
    proposal = frozenset(wanted)
    changed = proposal if proposal != view.in_sync else None
    return paces, Plan(required | growing, changed, frozenset(dropped))


def _is_lost(data: Seen, uid: MemberUid) -> bool:
    follower = data.followers.get(uid)
    return follower is not None and follower.lost


def _holds_all(data: Seen, uid: MemberUid) -> bool:
    follower = data.followers.get(uid)
    return follower is not None and follower.holds_all


def _pace(pace: Pace | None, uid: MemberUid, seen: Seen, now_ms: int) -> Pace:
    """Move the goal of one follower, and see whether it is near."""
    follower = seen.followers.get(uid)
    if pace is None:
        pace = Pace(seen.position, now_ms)
    if follower is not None and follower.position >= pace.goal:
        pace = replace(pace, goal=seen.position, since_ms=now_ms)
    near = follower is not None and follower.near
    if not near:
        return replace(pace, near_since_ms=None)
    return pace if pace.near_since_ms is not None else replace(pace, near_since_ms=now_ms)


def _settled(pace: Pace, now_ms: int) -> bool:
    since_ms = pace.near_since_ms
    return (
        since_ms is not None and now_ms - since_ms >= SETTLED_MS and now_ms >= pace.calm_until_ms
    )


def _forgiven(pace: Pace, now_ms: int) -> Pace:
    return replace(pace, drops=0) if now_ms - pace.calm_until_ms >= FORGIVEN_MS else pace


def _dropped(pace: Pace, now_ms: int) -> Pace:
    """Remember that it was given up; proposing it again and again counts once."""
    if now_ms < pace.calm_until_ms:
        return pace
    calm_ms = min(CALM_MS << min(pace.drops, 10), CALM_MS_MAX)
    return replace(pace, calm_until_ms=now_ms + calm_ms, drops=pace.drops + 1)

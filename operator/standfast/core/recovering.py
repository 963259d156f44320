"""Break-glass: a new incarnation of a cluster that lost a majority of its voters for good.

Nothing in the protocol replaces a vote, so this is no step of it: whoever is left begins a new
cluster with the old one's data and name. It is safe only because every other member of the old
one is proven to run nothing (switched off by its infrastructure, or a person vouches for it), and
because a member of an older incarnation that comes back stops when it meets the new one
(`identity.admit`). The proofs are demanded by whoever makes the record (`recovery_problem`).

Source: `docs/protocol.md`, section "Identity". Safety: S1, S4.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from standfast.core.events import Declined, Recovered
from standfast.core.ids import MemberUid, Version
from standfast.core.proof import FULL
from standfast.core.record import (
    Cleared,
    Config,
    DataMode,
    Member,
    Proof,
    Record,
    former_holders,
    with_cleared,
)
from standfast.core.standing import rank_delay_ms
from standfast.core.tally import needed
from standfast.core.turn import Turn
from standfast.core.voting import promise_in_force


def recovery_problem(
    config: Config,
    left: AbstractSet[MemberUid],
    proven: AbstractSet[MemberUid],
    holds: bool,
) -> tuple[str, str] | None:
    """Why a cluster may not be recovered by those who are left, with the remedy.

    Args:
        config: In force at those who are left.
        left: Members that answer, and will go on.
        proven: Members of which a full proof is held that they run nothing.
        holds: Whether anybody who is left holds the lease or has promised it to somebody.
    """
    names = {member.uid: member.name for member in config.everyone()}
    if holds:
        return "a node holds the lease: the cluster has a majority", "kubectl standfast status"
    if all(
        sum(member.uid in left for member in electorate) >= needed(electorate)
        for electorate in config.electorates()
    ):
        return (
            f"{len(left)} of {len(names)} voters answer, which is a majority",
            "wait for the election, or remove the lost members from the spec",
        )
    if not any(
        member.uid in left for member in config.members if member.uid in config.data_nodes()
    ):
        return "no node is left that could serve", "bring a node back"
    open_ones = [name for uid, name in names.items() if uid not in left and uid not in proven]
    if open_ones:
        return (
            f"{', '.join(open_ones)} neither answer nor are proven off: they could be serving",
            f"power {', '.join(open_ones)} off; or vouch for it (recover --attest MEMBER)",
        )
    return None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a record that perhaps nobody who is left holds: of its data only.

    Args:
        version: Its version.
        in_sync: Who had every acknowledged write by it.
        position: How far the data reached by it; none when nobody knows.
    """

    version: Version
    in_sync: frozenset[MemberUid]
    position: int | None = None


def recovered_record(
    newest: Record,
    members: tuple[Member, ...],
    proofs: dict[MemberUid, Proof],
    term: int,
    *,
    approver: str = "",
    known: Known | None = None,
) -> Record:
    """The first record of the new incarnation, from the newest that anybody left holds.

    Args:
        newest: Of those who are left.
        members: Who goes on.
        proofs: By member that is left out.
        term: The highest that anybody left has seen.
        approver: Who vouches for those that are attested.
        known: The newest that is known to have been; those who are left may not hold it, and what
            it says of the data counts: a majority that is gone may have gone on without them.
    """
    version = Version(max(term, newest.version.term) + 1, 0)
    left = {member.uid for member in members}
    config = replace(
        newest.config,
        members=members,
        incarnation=newest.config.incarnation + 1,
        id=version,
        leaving=None,
        leaving_timing=None,
    )
    gone = tuple(m for m in newest.config.everyone() if m.uid not in left)
    suspects = tuple(former_holders(newest))
    cleared = tuple(
        Cleared(s, proof, approver if proof is Proof.ATTESTED else "")
        for s in suspects
        if s.member not in left
        for proof in (proofs[s.member],)
    )
    keeps_copies = config.data in {DataMode.REPLICATED, DataMode.REPLICATED_ASYNC}
    data = Known(newest.version, newest.in_sync, newest.position)
    if known is not None and known.version > newest.version:
        data = known
    return replace(
        newest,
        version=version,
        config=config,
        holder=None,
        in_sync=data.in_sync & left if keeps_copies else frozenset(config.data_nodes()),
        position=data.position,
        watchdog=None,
        suspects=tuple(s for s in suspects if s.member in left),
        cleared=with_cleared(newest.cleared, cleared),
        left_out=(*newest.left_out, *gone),
    )


def of_a_later_term(ordered: Record, term: int) -> Record:
    """The same order for members of which some have seen a later term than it names.

    Only while those who have taken it are no majority of its members: nobody can have held the
    lease under it then, and none of its members has a record of its own incarnation but this.
    """
    version = Version(max(term, ordered.version.term) + 1, 0)
    return replace(ordered, version=version, config=replace(ordered.config, id=version))


def on_recovered(turn: Turn, event: Recovered) -> None:
    """Begin anew under the record of the next incarnation, or say why not."""
    problem = _problem(turn, event.record)
    if problem is not None:
        turn.emit(Declined(*problem))
        return
    record = event.record
    hold_ms = 0  # a restart from here on waits for what an earlier one forgot
    if turn.now_ms < turn.state.boot_hold_until_ms:
        hold_ms = max(turn.config.ttl_ms, turn.durable.promised_ttl_ms)
    turn.save(record=record, term=record.version.term, voted_for=None, promised_ttl_ms=hold_ms)
    state = replace(
        turn.state,
        promise=None,
        window=None,
        candidacy=None,
        consent=None,
        heard=None,
        confirmed=frozenset(),
        stand_at_ms=None,
    )
    if turn.is_data_node:
        state = replace(state, stand_at_ms=turn.now_ms + rank_delay_ms(state))
    turn.state = state


def _problem(turn: Turn, record: Record) -> tuple[str, str] | None:
    config, mine = record.config, turn.config
    if config.cluster != turn.durable.cluster:
        return f"the record is of cluster {config.cluster}", "recover each cluster by itself"
    if config.incarnation != mine.incarnation + 1:
        said = f"the record begins incarnation {config.incarnation}, after {mine.incarnation} here"
        return said, "read the state of the members anew"
    if config.member(turn.me) is None:
        return "the record leaves this member out", "name it, or prove it off"
    seen = max(turn.durable.term, turn.record.version.term)  # a record may have come without
    if record.version.term <= seen:
        said = f"the record is of term {record.version.term}, and {seen} was seen here"
        return said, "make it of the highest term that anybody left has seen, plus one"
    if turn.state.holding is not None:
        return "this node holds the lease", "there is nothing to recover from"
    promise = promise_in_force(turn.state, turn.now_ms)
    if promise is not None and promise.holder != turn.me:
        left_ms = promise.until_ms - turn.now_ms
        return f"{promise.holder} may hold the lease for {left_ms} ms yet", "wait until it is over"
    if any(cleared.proof not in FULL for cleared in record.cleared):
        return "a former holder is cleared by less than a full proof", "prove it off"
    return None

"""`consent`, `attest`, `recover`, `replace`: what only a person can say, said in so many words.

Each shows what it is about, asks, and writes one annotation of the HACluster, which names the one
moment that it is good for and the user whom the API server authenticated; the operator carries it
to the members, who check it again. Refused for safety (exit code 3) when what is demanded is not
there.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from standfast.api import words
from standfast.api.cluster import DataMode, HACluster
from standfast.api.cluster_status import Candidate, MemberStatus, NodeStatus, PowerState, Role
from standfast.api.conditions import ConditionType, find_condition, message_and_remedy
from standfast.api.scalars import Truth
from standfast.cli import options
from standfast.cli.client import Api
from standfast.errors import RefusedError, TransientError, UserError

_EVERY_S = 0.5
_WAIT_S = 60
_TAKEN_UP_S = 3
"""A refusal that was there before is not the answer to what was said just now."""

_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
_reason = click.option("--reason", default="", help="Why, for the record.")


@click.command(
    cls=options.Command,
    short_help="Accept a loss of data so that a node may serve.",
    examples=(
        ("What would be lost, and nothing else", "consent orders --show"),
        ("Let orders-b serve although it lacks writes", "consent orders --lose orders-b"),
    ),
)
@options.cluster
@click.option("--lose", metavar="NODE", help="The node that is to lead with what it has.")
@click.option("--show", is_flag=True, help="Show what would be lost; change nothing.")
@_reason
@_yes
@options.connected
def consent(
    api: Api, cluster: str, *, lose: str | None, show: bool, reason: str, yes: bool
) -> None:
    """Let a node of CLUSTER serve although it lacks acknowledged writes.

    For when nobody serves and the node with all writes does not come back. Shows which node could
    serve, and exactly what would be lost; asks; then lets that node stand once. The consent is
    good for that boot and that record only, within five minutes, and is on record for ever.
    """
    found = api.get(HACluster, cluster)
    candidates = found.status.candidates
    if not candidates:
        raise RefusedError(
            f"no node of {cluster} waits for a consent"
            + (f": {found.status.active} serves" if found.status.active else ""),
            remedy=f"kubectl standfast explain {cluster}",
        )
    for each in candidates:
        click.echo(f"{each.node}  {each.hindrance}  record {each.record}  {each.message}")
    if show:
        return
    chosen = _chosen(cluster, candidates, lose)
    _ask(f"Let {chosen.node} serve and lose this for ever?", yes=yes)
    _say(
        api,
        cluster,
        words.CONSENT,
        words.Consent(
            node=chosen.node,
            boot=chosen.boot_id,
            record=chosen.record,
            loses=chosen.message,
            **_who(api, reason),
        ),
    )
    _follow(api, cluster, lambda now: now.status.active == chosen.node, f"{chosen.node} serves")


@click.command(
    cls=options.Command,
    short_help="Vouch that a node is switched off.",
    examples=(("orders-a has been carried out of the building", "attest orders orders-a"),),
)
@options.cluster
@options.node
@_reason
@_yes
@options.connected
def attest(api: Api, cluster: str, node: str, *, reason: str, yes: bool) -> None:
    """Vouch that NODE of CLUSTER is off, so that another may use what it used.

    The last proof, for when no infrastructure can switch it off or say so. Whoever is wrong here
    lets two nodes write to one disk: see for yourself that it is off. Your name stays on record.
    """
    found = api.get(HACluster, cluster)
    member = _member(found, node)
    if member.reachable is Truth.TRUE:
        raise RefusedError(
            f"{node} answers: it is not off",
            remedy=f"kubectl standfast switchover {cluster}; or switch its VM off",
        )
    if getattr(member, "power_state", None) is PowerState.ON:
        raise RefusedError(
            f"the infrastructure says that the VM of {node} is on",
            remedy=f"switch the VM of {node} off: that is proof enough without your word",
        )
    if member.boot_id is None:
        raise RefusedError(
            f"no boot of {node} is known, so there is nothing to vouch for",
            remedy=f"kubectl standfast status {cluster}",
        )
    _ask(f"Have you seen that {node} (boot {member.boot_id}) is off?", yes=yes)
    _say(
        api,
        cluster,
        words.ATTEST,
        words.Attestation(node=node, boot=member.boot_id, **_who(api, reason)),
    )
    click.echo(f"{node} counts as off in boot {member.boot_id}.", err=True)


@click.command(
    cls=options.Command,
    short_help="Begin anew with whoever is left after a majority is lost for good.",
    examples=(
        ("The site with orders-b and the witness burnt down", "recover orders"),
        (
            "… and no infrastructure is left to say so",
            "recover orders --attest orders-b --attest tokyo-c",
        ),
    ),
)
@options.cluster
@click.option(
    "--attest",
    "attested",
    metavar="MEMBER",
    multiple=True,
    help="You have seen that this member is off; may be given more than once.",
)
@_reason
@_yes
@options.connected
def recover(api: Api, cluster: str, *, attested: tuple[str, ...], reason: str, yes: bool) -> None:
    """Let whoever is left of CLUSTER begin it anew.

    For when most voters are lost for good: without a majority nobody may serve, and no proof
    replaces a vote. Every missing member must be proven off: its VM by the infrastructure, or by
    your word (--attest). Members that are left out stop when they meet the new cluster, and join
    again as new ones; never start them where the others cannot be reached.
    """
    found = api.get(HACluster, cluster)
    members: tuple[MemberStatus, ...] = (*found.status.nodes, *found.status.witnesses)
    left = [member for member in members if member.reachable is Truth.TRUE]
    missing = [member for member in members if member.reachable is not Truth.TRUE]
    check_recovery(found, attested)
    click.echo(f"go on:    {', '.join(member.name for member in left)}")
    for member in missing:
        how = "you vouch" if member.name in attested else "its VM is off"
        click.echo(f"left out: {member.name} ({how})")
    for sentence in told_of_data(found):
        click.echo(f"data:     {sentence}")
    _ask("Begin the cluster anew with these? What only the others have is lost.", yes=yes)
    incarnation = found.status.incarnation or 1
    _say(
        api,
        cluster,
        words.RECOVER,
        words.Recovery(incarnation=incarnation, attested=attested, **_who(api, reason)),
    )
    _follow(
        api,
        cluster,
        lambda now: (now.status.incarnation or 1) > incarnation and now.status.active is not None,
        "the cluster serves again",
    )


def told_of_data(cluster: HACluster) -> list[str]:
    """What each copy that is left is known to have, before anybody agrees to go on with it."""
    left = [node for node in cluster.status.nodes if node.reachable is Truth.TRUE]
    match cluster.spec.data:
        case DataMode.REPLICATED:
            return [_told_of_copy(cluster.metadata.name, node) for node in left]
        case DataMode.REPLICATED_ASYNC:
            return [
                f"{node.name} serves if it is known to be within spec.maxDataLoss of what the "
                f"others had, else after {_consent_word(cluster.metadata.name, node)}"
                for node in left
            ]
        case _:
            return []


def _told_of_copy(cluster: str, node: NodeStatus) -> str:
    if node.in_sync is Truth.TRUE:
        return (
            f"{node.name} has every acknowledged write, as far as anybody who was heard knew; "
            "what the others acknowledged without it after that is lost"
        )
    return (
        f"{node.name} lacks acknowledged writes: begun anew, it serves only after "
        f"{_consent_word(cluster, node)}"
    )


def _consent_word(cluster: str, node: NodeStatus) -> str:
    return f"kubectl standfast consent {cluster} --lose {node.name}"


def check_recovery(cluster: HACluster, attested: tuple[str, ...]) -> None:
    """Refuse what the operator would refuse, before anybody is asked.

    Raises:
        UserError: A name that is none.
        RefusedError: A majority is there, or a missing member is not proven off.
    """
    name = cluster.metadata.name
    members: tuple[MemberStatus, ...] = (*cluster.status.nodes, *cluster.status.witnesses)
    names = [member.name for member in members]
    unknown = [each for each in attested if each not in names]
    if unknown:
        raise UserError(
            f"{unknown[0]} is no member of {name}; its members are {', '.join(names)}",
            remedy=f"kubectl standfast status {name}",
        )
    out = [member for member in members if member.role is Role.UNCONFIGURED]  # told to leave
    left = [m for m in members if m.reachable is Truth.TRUE and m not in out]
    if 2 * len(left) > len(members):
        raise RefusedError(
            f"{len(left)} of {len(members)} voters of {name} answer, which is a majority",
            remedy=f"kubectl standfast explain {name}",
        )
    for member in members:
        is_off = getattr(member, "power_state", None) is PowerState.OFF
        is_gone = is_off or member in out
        if member not in left and not is_gone and member.name not in attested:
            raise RefusedError(
                f"{member.name} neither answers nor is proven off: it could be serving",
                remedy=f"switch it off; or, having seen that it is off: kubectl standfast recover "
                f"{name} --attest {member.name}",
            )


@click.command(
    cls=options.Command,
    short_help="Let a node that lost its disk join again as another member.",
    examples=(("After the VM of orders-b was made anew", "replace orders orders-b"),),
)
@options.cluster
@options.node
@_yes
@options.connected
def replace(api: Api, cluster: str, node: str, *, yes: bool) -> None:
    """Let NODE of CLUSTER join again as another member.

    A node whose disk was wiped has lost its votes, and under its old identity it could vote twice.
    It is removed, one committed step at a time, and then joins like a new one: with a bundle
    (kubectl standfast enroll). If it serves, it hands over first.
    """
    found = api.get(HACluster, cluster)
    member = _member(found, node)
    if member.member_uid is None:
        raise RefusedError(
            f"{node} has not joined yet",
            remedy=f"kubectl standfast enroll {cluster} {node}",
        )
    _ask(f"Remove member {member.member_uid} and let {node} join again?", yes=yes)
    patch = {"metadata": {"annotations": {words.REPLACE: f"{node}={member.member_uid}"}}}
    api.patch(HACluster, cluster, patch)
    click.echo(f"Next: kubectl standfast enroll {cluster} {node}", err=True)


def _chosen(cluster: str, candidates: tuple[Candidate, ...], lose: str | None) -> Candidate:
    for each in candidates:
        if each.node == lose:
            return each
    names = ", ".join(each.node for each in candidates)
    said = f"{lose} does not wait for a consent" if lose else "name the node that is to lead"
    raise UserError(
        f"{said}: {names} could lead",
        remedy=f"kubectl standfast consent {cluster} --lose {candidates[0].node}",
    )


def _member(cluster: HACluster, name: str) -> MemberStatus:
    members: tuple[MemberStatus, ...] = (*cluster.status.nodes, *cluster.status.witnesses)
    for member in members:
        if member.name == name:
            return member
    raise UserError(
        f"{name} is no member of {cluster.metadata.name}; its members are "
        f"{', '.join(member.name for member in members)}",
        remedy=f"kubectl standfast status {cluster.metadata.name}",
    )


def _who(api: Api, reason: str) -> dict[str, Any]:
    """Who says it, as the API server authenticated them: it refuses any other name."""
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"approver": api.user(), "at": at, "reason": reason}


def _ask(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError("nobody is there to answer", remedy="add --yes")
    click.confirm(question, abort=True, err=True)


def _say(api: Api, cluster: str, key: str, word: words.Word) -> None:
    said = words.written(word)
    api.patch(HACluster, cluster, {"metadata": {"annotations": {key: said}}})


def _follow(api: Api, cluster: str, claim: Callable[[HACluster], bool], done: str) -> None:
    """Wait until it is so; what the operator refuses is said at once."""
    began = time.monotonic()
    while True:
        now = api.get(HACluster, cluster)
        if claim(now):
            click.echo(done)
            return
        stalled = find_condition(now.status.conditions, ConditionType.STALLED.value)
        waited_s = time.monotonic() - began
        if stalled is not None and stalled.reason == "WordRefused" and waited_s > _TAKEN_UP_S:
            problem, remedy = message_and_remedy(stalled)
            raise RefusedError(problem, remedy=remedy)
        if waited_s > _WAIT_S:
            raise TransientError(
                f"not yet after {_WAIT_S} s", remedy=f"kubectl standfast explain {cluster}"
            )
        time.sleep(_EVERY_S)

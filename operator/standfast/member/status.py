"""What a member says of itself, put together from its parts: `GET /v1/status`."""

import base64
import os
import time
from pathlib import Path

import msgspec

from standfast.core.record import MemberKind, Proof
from standfast.core.state import State
from standfast.core.voting import may_lead
from standfast.member.duties import Report
from standfast.member.membership import Membership
from standfast.member.version import product_version
from standfast.wire import durable
from standfast.wire.api import (
    AttestedStatus,
    HolderStatus,
    MemberStatus,
    Role,
    SuspectStatus,
)

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Usage:
    """Processor time and memory of this process, measured between two readings."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._used = time.process_time()
        self.cpu_percent = 0.0

    def read(self) -> tuple[float, int]:
        """Percent of one core since a reading at least a second ago, and resident bytes."""
        now, used = time.monotonic(), time.process_time()
        if now - self._at >= 1:
            self.cpu_percent = round(100 * (used - self._used) / (now - self._at), 2)
            self._at, self._used = now, used
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return self.cpu_percent, pages * _PAGE_BYTES


def status_of(membership: Membership, usage: Usage) -> MemberStatus:
    """The whole status, now."""
    process = membership.process
    now_ms = process.clock.now_ms()
    enrolment = membership.credentials.enrolment
    report = membership.duties.report()
    cpu_percent, rss_bytes = usage.read()
    state = None if membership.voter is None else membership.voter.state
    common = MemberStatus(
        seq=membership.board.seq,
        member_uid="" if enrolment is None else enrolment.member_uid,
        name="" if enrolment is None else enrolment.name,
        kind="witness" if process.kind is MemberKind.WITNESS else "data",
        boot_id=process.boot,
        run=process.run,
        agent_version=product_version(),
        role="Unconfigured",
        eligible=not report.hindrances,
        ineligible_reasons=report.hindrances,
        resources=report.resources,
        resources_generation=report.generation,
        proofs=report.proofs,
        last_takeover=report.takeover,
        certificate_not_after=membership.credentials.not_after,
        cpu_percent=cpu_percent,
        rss_bytes=rss_bytes,
        alerts=membership.chronicle.alerts(),
        operator_token=membership.token,
        log_seq=membership.chronicle.seq,
    )
    if state is None:
        return common
    return _with_quorum(common, membership, state, report, now_ms)


def _with_quorum(
    common: MemberStatus, membership: Membership, state: State, report: Report, now_ms: int
) -> MemberStatus:
    record = state.record
    me = record.config.member(state.me)
    holding = state.holding
    links = membership.links
    return msgspec.structs.replace(
        common,
        name=me.name if me is not None else common.name,
        role=role_of(state, report, now_ms),
        term=state.durable.term,
        holder=_holder(state, now_ms),
        record_holder=None
        if record.holder is None
        else HolderStatus(member=record.holder.member, boot=record.holder.boot),
        record_version=(record.version.term, record.version.seq),
        in_sync=tuple(sorted(record.in_sync)),
        suspects=tuple(
            SuspectStatus(member=s.member, boot=s.boot, term=s.term) for s in record.suspects
        ),
        config_id=str(record.config.id),
        config_digest=record.config.digest,
        config=base64.b64encode(durable.encode_config(record.config)).decode(),
        config_committed=holding is not None
        and holding.committed is not None
        and holding.committed >= record.config.id,
        incarnation=record.config.incarnation,
        data_hindrance=_data_hindrance(state),
        position=state.local.position,
        record_position=record.position,
        attested=tuple(
            AttestedStatus(
                member=cleared.suspect.member,
                boot=cleared.suspect.boot,
                term=cleared.suspect.term,
                approver=cleared.approver,
            )
            for cleared in record.cleared
            if cleared.proof is Proof.ATTESTED
        ),
        lease_remaining_ms=None if holding is None else max(0, holding.lease_until_ms - now_ms),
        voted_for=state.durable.voted_for,
        peers=() if links is None else links.status(now_ms),
        releasing=holding is not None and holding.releasing,
        halted=state.durable.halted,
    )


def _data_hindrance(state: State) -> str:
    if state.me not in state.record.config.data_nodes():
        return ""
    refusal = may_lead(state.record, state.me, state.local.position)
    return "" if refusal is None else refusal.value


def role_of(state: State, report: Report, now_ms: int) -> Role:
    """One word for what this member is at the moment."""
    holding = state.holding
    if holding is not None and now_ms < holding.lease_until_ms:
        served = report.serving_term == holding.term and holding.committed is not None
        return "Active" if served else "Holding"
    # A pre-vote changes nothing at anybody: a standby that only asks is still one.
    asks_for_votes = state.candidacy is not None and not state.candidacy.ask.pre
    return "Candidate" if asks_for_votes else "Standby"


def _holder(state: State, now_ms: int) -> HolderStatus | None:
    """Who holds the lease now, as far as this member knows: itself, or by its promise."""
    if state.holds(now_ms):
        return HolderStatus(member=state.me, boot=state.boot)
    promise = state.promise
    if promise is None or now_ms >= promise.until_ms:
        return None
    return HolderStatus(member=promise.holder, boot=promise.boot)

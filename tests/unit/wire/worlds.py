"""Strategies for everything that travels: whole messages and durable states, drawn at random."""

from hypothesis import strategies as st

from standfast.core.ids import Version
from standfast.core.messages import (
    Ack,
    Ask,
    Consent,
    Envelope,
    Fenced,
    Grant,
    Hello,
    Refusal,
    Refuse,
    Release,
    Renew,
    VoteRequest,
)
from standfast.core.record import (
    Cleared,
    Config,
    DataMode,
    Holder,
    Member,
    MemberKind,
    Proof,
    Record,
    Suspect,
    WatchdogArmed,
)
from standfast.core.state import Durable, Run
from standfast.core.timing import Timing

numbers = st.integers(0, 2**62)
words = st.text(max_size=20)
versions = st.builds(Version, numbers, numbers)


def maybe(strategy):
    return st.none() | strategy


def some(strategy):
    return st.lists(strategy, max_size=3).map(tuple)


timings = st.builds(Timing, *(numbers for _ in range(6)), drift_ppm=numbers)
members = st.builds(
    Member, uid=words, name=words, kind=st.sampled_from(MemberKind), addresses=some(words)
)
configs = st.builds(
    Config,
    cluster=words,
    members=some(members),
    timing=timings,
    data=st.sampled_from(DataMode),
    incarnation=numbers,
    id=versions,
    loss_max=numbers,
    leaving=maybe(some(members)),
    leaving_timing=maybe(timings),
)
suspects = st.builds(Suspect, member=words, boot=words, term=numbers, watchdog_ms=maybe(numbers))
cleared = st.builds(Cleared, suspect=suspects, proof=st.sampled_from(Proof), approver=words)
records = st.builds(
    Record,
    version=versions,
    config=configs,
    holder=maybe(st.builds(Holder, member=words, boot=words)),
    in_sync=st.frozensets(words, max_size=3),
    position=maybe(numbers),
    watchdog=maybe(st.builds(WatchdogArmed, timeout_ms=numbers)),
    suspects=some(suspects),
    cleared=some(cleared),
    consented=st.booleans(),
)
releases = st.builds(
    Release,
    member=words,
    boot=words,
    term=numbers,
    stopped=st.booleans(),
    successor=maybe(words),
)
fenced = st.builds(Fenced, member=words, boot=words, evidence=words)
consents = st.builds(
    Consent, candidate=words, boot=words, term_min=numbers, record=versions, approver=words
)
bodies = st.one_of(
    st.builds(
        VoteRequest,
        pre=st.booleans(),
        request=numbers,
        term=numbers,
        ttl_ms=numbers,
        record=records,
        position=maybe(numbers),
        consent=maybe(consents),
        handover=maybe(releases),
    ),
    st.builds(
        Grant,
        pre=st.booleans(),
        request=numbers,
        run=words,
        term=numbers,
        config=versions,
        ttl_ms=numbers,
    ),
    st.builds(
        Refuse,
        ask=st.sampled_from(Ask),
        request=numbers,
        run=words,
        asked_term=numbers,
        term=numbers,
        reason=st.sampled_from(Refusal),
        record=maybe(records),
        release=maybe(releases),
        fenced=some(fenced),
        retry_after_ms=numbers,
    ),
    st.builds(
        Renew, term=numbers, beat=numbers, ttl_ms=numbers, version=versions, record=maybe(records)
    ),
    st.builds(
        Ack,
        beat=numbers,
        run=words,
        term=numbers,
        version=versions,
        config=versions,
        ttl_ms=numbers,
        clock_ms=numbers,
    ),
    releases,
    fenced,
    st.builds(
        Hello,
        version=versions,
        config=versions,
        config_digest=words,
        asks=st.booleans(),
        named=st.booleans(),
    ),
)
envelopes = st.builds(
    Envelope,
    cluster=words,
    incarnation=numbers,
    sender=words,
    to=words,
    boot=words,
    run=words,
    generation=numbers,
    body=bodies,
    seen_generation=numbers,
    seen_run=maybe(words),
    clean=st.booleans(),
)
durables = st.builds(
    Durable,
    cluster=words,
    me=words,
    record=records,
    generation=numbers,
    runs=some(st.builds(Run, id=words, since=numbers)),
    term=numbers,
    voted_for=maybe(words),
    promised_ttl_ms=numbers,
    fenced=some(fenced),
    halted=words,
)

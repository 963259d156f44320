"""The planted bugs, by the section of `docs/protocol.md` whose rule they break.

Each is an exact replacement that must match once: a core that moved on makes the entry fail loudly
instead of testing nothing. `dagger` marks rules that an earlier text of the protocol lacked.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug.

    Attributes:
        name: What is wrong, in words joined by dashes.
        rule: The rule it breaks, as the protocol's text has it.
        module: File below `operator/standfast`.
        old: The text that is replaced; occurs once.
        new: What it becomes.
        dagger: The rule is one of those marked † in the protocol.
    """

    name: str
    rule: str
    module: str
    old: str
    new: str
    dagger: bool = False


VOTING = (
    Mutant(
        "promise-ignored",
        "Voting 2: no promise to somebody else is in force",
        "core/voting.py",
        "    if promise is not None and (promise.holder, promise.boot) != (candidate, boot):",
        "    if False and promise is not None:",
    ),
    Mutant(
        "promise-to-any-boot",
        "Voting 2: the promise is to the candidate in that boot",
        "core/voting.py",
        "    if promise is not None and (promise.holder, promise.boot) != (candidate, boot):",
        "    if promise is not None and promise.holder != candidate:",
    ),
    Mutant(
        "voted-twice-in-a-term",
        "Voting 1: in the same term only for whom it already voted",
        "core/voting.py",
        "    if ask.term == durable.term and durable.voted_for != candidate:",
        "    if False:",
    ),
    Mutant(
        "older-term-granted",
        "Voting 1: the term is not below the voter's",
        "core/voting.py",
        "    if ask.term < durable.term:\n        return Refusal.OLD_TERM, 0\n    if ask.term == ",
        "    if ask.term == ",
    ),
    Mutant(
        "released-term-granted",
        "Voting 1: no release of that term or later is known",
        "core/voting.py",
        "    if released is not None and released.term >= ask.term:",
        "    if False:",
    ),
    Mutant(
        "boot-hold-skipped",
        "Voting 3: not within the boot hold",
        "core/voting.py",
        "    if now_ms < state.boot_hold_until_ms and durable.voted_for != candidate:",
        "    if False:",
        dagger=True,
    ),
    Mutant(
        "boot-hold-against-its-own-vote",
        "Voting 3: unless the candidate is its durable vote",
        "core/voting.py",
        "    if now_ms < state.boot_hold_until_ms and durable.voted_for != candidate:",
        "    if now_ms < state.boot_hold_until_ms:",
        dagger=True,
    ),
    Mutant(
        "older-record-elected",
        "Voting 4: the record is not older than the voter's",
        "core/voting.py",
        "    if ask.record.version < durable.record.version:",
        "    if False:",
    ),
    Mutant(
        "records-ordered-by-count-only",
        "Record: ordered by term, then by count within it",
        "core/voting.py",
        "    if ask.record.version < durable.record.version:",
        "    if ask.record.version.seq < durable.record.version.seq:",
    ),
    Mutant(
        "elected-without-the-data",
        "Voting 4: in_sync for synchronous data",
        "core/voting.py",
        "            return YES if candidate in record.in_sync else Refusal.NOT_IN_SYNC",
        "            return YES",
    ),
    Mutant(
        "nobody-asked-for-a-newer-record",
        "Standing: who may not stand by its own record asks for a newer one",
        "core/asking.py",
        "        if refusal in _BY_THE_RECORD:\n",
        "        if False:\n",
    ),
    Mutant(
        "any-distance-behind-elected",
        "Voting 4: position within the declared bound",
        "core/voting.py",
        "            return YES if behind <= record.config.loss_max else Refusal.BEHIND",
        "            return YES",
    ),
    Mutant(
        "unknown-position-elected",
        "Voting 4: position within the declared bound",
        "core/voting.py",
        "            if record.position is None or position is None:\n"
        "                return Refusal.BEHIND",
        "            if record.position is None or position is None:\n                return YES",
    ),
    Mutant(
        "consent-of-another-boot",
        "Voting 4: a consent names candidate and boot",
        "core/voting.py",
        "        and (consent.candidate, consent.boot) == (candidate, boot)",
        "        and consent.candidate == candidate",
    ),
    Mutant(
        "consent-for-another-record",
        "Voting 4: a consent names the record version",
        "core/voting.py",
        "        and consent.record == ask.record.version\n",
        "",
    ),
    Mutant(
        "consent-for-an-older-term",
        "Voting 4: a consent names the lowest term",
        "core/voting.py",
        "        and ask.term >= consent.term_min\n",
        "",
    ),
    Mutant(
        "witness-elected",
        "Voting 5: the candidate is a data node of the config",
        "core/voting.py",
        "    if candidate not in ask.record.config.data_nodes():",
        "    if False:",
    ),
    Mutant(
        "fenced-boot-elected",
        "Voting 5: not fenced in that boot",
        "core/voting.py",
        "    if is_fenced(durable, candidate, boot):",
        "    if False:",
    ),
    Mutant(
        "fence-of-another-boot-counts",
        "Fenced: binds one boot",
        "core/voting.py",
        "    return any((f.member, f.boot) == (member, boot) for f in durable.fenced)",
        "    return any(f.member == member for f in durable.fenced)",
    ),
    Mutant(
        "pre-vote-raises-the-term",
        "PreVote changes nothing at all",
        "core/voting.py",
        "    if not ask.pre:\n        _end_candidacy(turn)",
        "    if True:\n        _end_candidacy(turn)",
    ),
    Mutant(
        "candidates-record-not-stored",
        "Voting: persists the candidate's record where newer",
        "core/voting.py",
        "        if ask.record.version > turn.record.version:\n"
        "            turn.store_record(ask.record)\n",
        "",
    ),
    Mutant(
        "vote-not-durable",
        "Durable before sent: term and vote",
        "core/voting.py",
        "    if (durable.term, durable.voted_for, durable.promised_ttl_ms) != "
        "(term, holder, beyond):",
        "    if False:",
    ),
    Mutant(
        "promise-shortened",
        "Time: a promise is never shortened",
        "core/voting.py",
        "        until_ms = max(until_ms, old.until_ms)",
        "        pass",
    ),
    Mutant(
        "longer-promise-not-remembered",
        "promised_ttl: written before such a promise is given",
        "core/voting.py",
        "    beyond = ttl_ms if ttl_ms > turn.config.ttl_ms else 0",
        "    beyond = 0",
    ),
    Mutant(
        "longer-promise-lowered",
        "promised_ttl: never lowered while the holder is the same",
        "core/voting.py",
        "    if durable.voted_for == holder:\n"
        "        beyond = max(beyond, durable.promised_ttl_ms)\n",
        "",
    ),
    Mutant(
        "handover-window-ignored",
        "Voting 2: within a handover window only the successor",
        "core/voting.py",
        "    if window is not None and now_ms < window.until_ms and "
        "window.successor != candidate:",
        "    if False:",
    ),
)

RENEWING = (
    Mutant(
        "older-renewal-accepted",
        "Renewing: the term is not below the voter's",
        "core/voting.py",
        "    if renew.term < turn.durable.term:\n        return Refusal.OLD_TERM\n",
        "",
        dagger=True,
    ),
    Mutant(
        "fenced-holder-renewed",
        "Renewing: the holder's boot is not fenced",
        "core/voting.py",
        "    if is_fenced(turn.durable, envelope.sender, envelope.boot):\n"
        "        return Refusal.FENCED\n"
        "    released",
        "    released",
    ),
    Mutant(
        "renewed-after-release",
        "Renewing: no release of that term is known",
        "core/voting.py",
        "    if released is not None and released.term >= renew.term:",
        "    if False:",
    ),
    Mutant(
        "old-beat-accepted",
        "Renewing: the beat is newer than the last",
        "core/voting.py",
        "        return  # a late copy; the newer one was answered",
        "        pass",
    ),
    Mutant(
        "own-candidacy-survives-a-renewal",
        "Renewing: a renewal ends an own candidacy of its term or lower",
        "core/voting.py",
        "        turn.lose(Loss.SUPERSEDED, message)\n    _end_candidacy(turn)\n",
        "        turn.lose(Loss.SUPERSEDED, message)\n",
        dagger=True,
    ),
    Mutant(
        "superseded-lease-goes-on",
        "Holding: a renewal of a higher term ends the lease",
        "core/voting.py",
        "        turn.lose(Loss.SUPERSEDED, message)\n    _end_candidacy(turn)\n",
        "    _end_candidacy(turn)\n",
    ),
    Mutant(
        "newer-record-of-a-renewal-dropped",
        "Renewing: persists the newer record",
        "core/voting.py",
        "    if renew.record is not None and renew.record.version > turn.record.version:\n"
        "        turn.store_record(renew.record)\n",
        "",
    ),
    Mutant(
        "own-promise-not-extended",
        "Renewing: the holder extends its own promise before it sends",
        "core/holding.py",
        "    promise(turn, turn.me, turn.state.boot, holding.term, holding.ttl_ms)\n",
        "",
        dagger=True,
    ),
)

RELEASING = (
    Mutant(
        "release-of-another-boot-frees",
        "Releasing: frees a promise to that member and boot",
        "core/voting.py",
        "        and (promised.holder, promised.boot) == (release.member, release.boot)\n"
        "        and promised.term <= release.term",
        "        and promised.holder == release.member\n        and promised.term <= release.term",
    ),
    Mutant(
        "old-release-frees-a-newer-promise",
        "Releasing: of the same or a lower term",
        "core/voting.py",
        "        and promised.term <= release.term\n",
        "",
        dagger=True,
    ),
    Mutant(
        "old-release-opens-a-window",
        "Releasing: otherwise it changes nothing and opens no handover window",
        "core/voting.py",
        "        state = replace(state, promise=None, "
        "stand_at_ms=turn.now_ms + rank_delay_ms(state))\n"
        "        if release.stopped and release.successor is not None:",
        "        state = replace(state, promise=None, "
        "stand_at_ms=turn.now_ms + rank_delay_ms(state))\n"
        "    if True:\n"
        "        if release.stopped and release.successor is not None:",
        dagger=True,
    ),
    Mutant(
        "released-before-stopped",
        "Releasing: everything stopped and verified first",
        "core/holding.py",
        "    turn.emit(StopForRelease(holding.term, event.successor))",
        "    turn.emit(StopForRelease(holding.term, event.successor))\n"
        "    _release(turn, holding.term, event.successor)",
    ),
    Mutant(
        "lease-kept-after-release",
        "Releasing: the own lease and all answers counted are dropped",
        "core/holding.py",
        "    turn.emit(Released(term))\n"
        "    turn.state = replace(\n        turn.state,\n        holding=None,\n",
        "    turn.emit(Released(term))\n    turn.state = replace(\n        turn.state,\n",
        dagger=True,
    ),
    Mutant(
        "unstopped-release-proves",
        "Proof Released: a release with stopped = true",
        "core/voting.py",
        "    turn.state = state\n    if release.stopped:\n",
        "    turn.state = state\n    if True:\n",
        dagger=True,
    ),
    Mutant(
        "known-unstopped-release-proves",
        "Proof Released: a release with stopped = true",
        "core/proof.py",
        "        and release.stopped\n",
        "",
        dagger=True,
    ),
)

STANDING = (
    Mutant(
        "candidate-frees-under-an-older-lease",
        "Standing: while an older lease runs it frees nobody",
        "core/standing.py",
        "    if candidacy.ask.pre or turn.state.holds(turn.now_ms):",
        "    if candidacy.ask.pre:",
        dagger=True,
    ),
    Mutant(
        "failed-candidate-frees-nobody",
        "Standing: otherwise it drops its promise and sends a release",
        "core/standing.py",
        "    if candidacy.ask.pre or turn.state.holds(turn.now_ms):",
        "    if True:",
    ),
    Mutant(
        "stands-before-everything-stopped",
        "Holding: the emergency stop runs, and it must stand again",
        "core/asking.py",
        "        and state.must_stop is None\n",
        "",
    ),
    Mutant(
        "stands-in-maintenance",
        "Standing: it is eligible",
        "core/asking.py",
        "        (state.local.eligible or adopting)\n        and",
        "        True\n        and",
    ),
    Mutant(
        "wins-in-maintenance",
        "Standing: a candidate that may not stand any more gives up",
        "core/quorum.py",
        "    if state.candidacy is not None and state.holding is None "
        "and not event.local.eligible:",
        "    if False:",
    ),
    Mutant(
        "grant-of-another-run-counts",
        "Messages: an answer counts only for the present run",
        "core/asking.py",
        "    if candidacy is None or grant.run != turn.state.run:",
        "    if candidacy is None:",
    ),
    Mutant(
        "grant-of-another-request-counts",
        "Messages: an answer counts only for the request it names",
        "core/asking.py",
        "    if (grant.request, grant.pre, grant.term) != (ask.request, ask.pre, ask.term):",
        "    if grant.term != ask.term:",
        dagger=True,
    ),
    Mutant(
        "grant-under-another-config-counts",
        "Configuration: only answers that name a config the holder counts with",
        "core/asking.py",
        "    if not ask.pre and (grant.config != ask.record.config.id or "
        "grant.ttl_ms < ask.ttl_ms):",
        "    if not ask.pre and grant.ttl_ms < ask.ttl_ms:",
        dagger=True,
    ),
    Mutant(
        "lease-counted-from-the-answer",
        "Time: the holder counts from when it sent the request",
        "core/asking.py",
        "    until_ms = candidacy.asked_at_ms + turn.config.hold_ms(ask.ttl_ms)",
        "    until_ms = turn.now_ms + turn.config.hold_ms(ask.ttl_ms)",
    ),
    Mutant(
        "terms-of-refusals-ignored",
        "Voting: asks again with 1 + the highest term it has seen, refusals included",
        "core/asking.py",
        "    seen = max(turn.state.term_seen, refuse.term)\n"
        "    turn.state = replace(turn.state, term_seen=seen)\n",
        "",
    ),
    Mutant(
        "old-holders-not-taken-over",
        "Winning: takes over the suspects and the holder of the record it replaces",
        "core/asking.py",
        "    for suspect in former_holders(before):\n"
        "        suspects = with_suspect(suspects, suspect)\n",
        "",
        dagger=True,
    ),
    Mutant(
        "older-suspects-forgotten",
        "Winning: takes over the suspects of the record it replaces",
        "core/record.py",
        "    yield from record.suspects\n",
        "",
        dagger=True,
    ),
    Mutant(
        "in-sync-inherited",
        "Winning: in_sync = itself plus those confirmed under the new term",
        "core/asking.py",
        "        in_sync = frozenset({turn.me})\n",
        "        in_sync = before.in_sync\n",
    ),
    Mutant(
        "consent-used-twice",
        "Consent: single use",
        "core/asking.py",
        "        consent=None if ask.consent is not None else state.consent,\n",
        "",
    ),
    Mutant(
        "consent-never-expires",
        "Consent: expires on the candidate's clock",
        "core/asking.py",
        "    return state.consent if turn.now_ms < state.consent_until_ms else None",
        "    return state.consent",
    ),
)

HOLDING = (
    Mutant(
        "renewal-counted-from-the-answer",
        "Time: the holder counts from when it sent the request",
        "core/holding.py",
        "        until_ms = answered.sent_at_ms + answered.hold_ms",
        "        until_ms = turn.now_ms + answered.hold_ms",
    ),
    Mutant(
        "answer-of-another-term-counts",
        "Messages: an answer counts only for the present term",
        "core/holding.py",
        "    if holding is None or ack.run != turn.state.run or ack.term != holding.term:",
        "    if holding is None or ack.run != turn.state.run:",
        dagger=True,
    ),
    Mutant(
        "answer-under-another-config-counts",
        "Configuration: only answers that name a config the holder counts with",
        "core/holding.py",
        "    if ack.config == turn.config.id:",
        "    if True:",
        dagger=True,
    ),
    Mutant(
        "late-answers-revive-the-lease",
        "Holding: when its end is seen the lease is lost for good",
        "core/quorum.py",
        "    if lease is not None and turn.now_ms >= lease.lease_until_ms:",
        "    if False:",
    ),
    Mutant(
        "serves-before-the-first-record",
        "Winning: nothing starts before the first record is acknowledged",
        "core/state.py",
        "        return held is not None and now_ms < held.lease_until_ms and "
        "held.committed is not None",
        "        return held is not None and now_ms < held.lease_until_ms",
        dagger=True,
    ),
    Mutant(
        "clock-that-stood-still-unnoticed",
        "Model: voters' clocks that moved on much further than its own",
        "core/holding.py",
        "    return theirs_ms > allowed_ms",
        "    return False",
    ),
    Mutant(
        "writes-wait-for-the-committed-set-only",
        "In-sync: or in any record proposed since",
        "core/holding.py",
        "    return frozenset().union(*(record.in_sync for record in state.holding.proposals))",
        "    return state.holding.proposals[0].in_sync",
        dagger=True,
    ),
    Mutant(
        "writes-wait-for-the-newest-proposal-only",
        "In-sync: removed by a committed record before a write goes without",
        "core/holding.py",
        "    return frozenset().union(*(record.in_sync for record in state.holding.proposals))",
        "    return state.holding.proposals[-1].in_sync",
    ),
    Mutant(
        "own-fence-ignored",
        "S4: a fenced boot never holds again",
        "core/voting.py",
        '        turn.lose(Loss.FENCED, f"this boot is attested powered off: {fenced.evidence}")',
        "        pass",
    ),
    Mutant(
        "higher-term-in-a-refusal-ignored",
        "Holding: the holder stands again above that term",
        "core/holding.py",
        "    elif refuse.term > holding.term:",
        "    elif False:",
    ),
    Mutant(
        "nothing-is-lost-quietly",
        "Holding: the emergency stop runs at once",
        "core/turn.py",
        "            must_stop=held.term,\n",
        "",
    ),
)

PROOFS = (
    Mutant(
        "release-of-another-boot-proves",
        "Proof Released: of the suspect's boot",
        "core/proof.py",
        "        and release.boot == suspect.boot\n",
        "",
    ),
    Mutant(
        "release-of-an-older-term-proves",
        "Proof: one that names a term counts for that term and older",
        "core/proof.py",
        "        and release.term >= suspect.term\n",
        "",
        dagger=True,
    ),
    Mutant(
        "newer-suspicion-cleared-by-an-old-release",
        "Proof: one that names a term counts for that term and older",
        "core/voting.py",
        "            if same and suspect.term <= release.term:",
        "            if same:",
        dagger=True,
    ),
    Mutant(
        "power-off-of-another-boot-proves",
        "Fenced: binds one boot",
        "core/proof.py",
        "    if any((f.member, f.boot) == (suspect.member, suspect.boot) "
        "for f in state.durable.fenced):",
        "    if any(f.member == suspect.member for f in state.durable.fenced):",
    ),
    Mutant(
        "watchdog-good-for-everything",
        "Proof Watchdog: not for a shared disk",
        "core/proof.py",
        "    Need.EXCLUSIVE: FULL | {Proof.RESERVED},",
        "    Need.EXCLUSIVE: FULL | {Proof.RESERVED, Proof.WATCHDOG},",
    ),
    Mutant(
        "lease-end-good-for-everything",
        "Proof LeaseExpired: not for what the kernel does not take away",
        "core/proof.py",
        "    Need.EXCLUSIVE: FULL | {Proof.RESERVED},",
        "    Need.EXCLUSIVE: FULL | {Proof.RESERVED, Proof.LEASE_EXPIRED},",
    ),
    Mutant(
        "reservation-clears-for-good",
        "Proof Reserved: good for that disk only",
        "core/proof.py",
        "    {Proof.RELEASED, Proof.ATTESTED, Proof.POWERED_OFF, Proof.REBOOTED, Proof.OBSERVED}",
        "    {Proof.RELEASED, Proof.ATTESTED, Proof.POWERED_OFF, Proof.REBOOTED, "
        "Proof.OBSERVED, Proof.RESERVED}",
    ),
    Mutant(
        "same-boot-counts-as-rebooted",
        "Proof Rebooted: back with another boot id",
        "core/holding.py",
        "        if suspect.member == envelope.sender and suspect.boot != envelope.boot:",
        "        if suspect.member == envelope.sender:",
    ),
    Mutant(
        "one-unproven-suspect-is-let-pass",
        "Winning: the proof for every suspect",
        "core/proof.py",
        "    return tuple(s for s in record.suspects if proofs.get(s) not in good "
        "and s not in shut_out)",
        "    return tuple(s for s in record.suspects if proofs.get(s) not in good "
        "and s not in shut_out)[1:]",
        dagger=True,
    ),
    Mutant(
        "lesser-proof-kept",
        "Proof: the first that suffices wins",
        "core/turn.py",
        "        if known in FULL or (known is not None and proof not in FULL):",
        "        if known is not None:",
    ),
)

SUSPECTS = (
    Mutant(
        "reservation-good-for-every-disk",
        "Proof Reserved: good for that disk only",
        "core/proof.py",
        "    shut_out = reserved if Proof.RESERVED in good else ()",
        "    shut_out = record.suspects if reserved or True else ()",
    ),
    Mutant(
        "reservation-starts-a-resource-on-another-disk",
        "Proof Reserved: good for that disk only",
        "core/group_start.py",
        "    shut_out = group.reserved.get(spec.disk, ()) "
        "if Proof.RESERVED in spec.suffices else ()",
        "    shut_out = set().union(*group.reserved.values())",
    ),
    Mutant(
        "reservation-outlives-the-lease",
        "Proof Reserved: while its holder holds the lease",
        "core/turn.py",
        "            reserved={},\n",
        "",
    ),
    Mutant(
        "group-keeps-an-earlier-reservation",
        "Proof Reserved: while its holder holds the lease",
        "core/group.py",
        "        reserved={},  # what an earlier lease had reserved is nothing now\n",
        "",
    ),
    Mutant(
        "reservation-outlives-a-release",
        "Proof Reserved: while its holder holds the lease",
        "core/holding.py",
        "        reserved={},\n",
        "",
    ),
    Mutant(
        "watchdog-of-the-winner-counts-for-the-suspect",
        "Proof Watchdog: armed in the old holder's record",
        "core/asking.py",
        "        watchdog=state.local.watchdog,\n        suspects=suspects,",
        "        watchdog=state.local.watchdog,\n        suspects=tuple(\n"
        "            replace(s, watchdog_ms=None if state.local.watchdog is None\n"
        "            else state.local.watchdog.timeout_ms) for s in suspects\n        ),",
    ),
    Mutant(
        "watchdog-forgotten-with-the-record",
        "Proof Watchdog: goes with the suspect from record to record",
        "core/record.py",
        "        yield Suspect(by.member, by.boot, record.version.term, watchdog_ms)",
        "        yield Suspect(by.member, by.boot, record.version.term)",
    ),
    Mutant(
        "watchdog-not-waited-for",
        "Proof Watchdog: its timeout after the new holder won",
        "core/holding.py",
        "        suspect: holding.won_at_ms + wait_ms",
        "        suspect: holding.won_at_ms",
    ),
    Mutant(
        "watchdog-by-its-own-clock",
        "Proof Watchdog: both clocks drift",
        "core/proof.py",
        "    return -(-2 * suspect.watchdog_ms * fast_ppm // slow_ppm) + READ_MS",
        "    return 2 * suspect.watchdog_ms + READ_MS",
    ),
    Mutant(
        "watchdog-fed-once-only",
        "Proof Watchdog: the kernel feeds it once more when the device is closed",
        "core/proof.py",
        "    return -(-2 * suspect.watchdog_ms * fast_ppm // slow_ppm) + READ_MS",
        "    return -(-suspect.watchdog_ms * fast_ppm // slow_ppm) + READ_MS",
    ),
    Mutant(
        "attested-forgotten-with-the-term",
        "Proof Attested: shown for ever in the record",
        "core/asking.py",
        "        cleared=tuple(entry for entry in before.cleared "
        "if entry.proof is Proof.ATTESTED),\n",
        "",
    ),
    Mutant(
        "attested-dropped-with-the-oldest",
        "Proof Attested: kept longest",
        "core/record.py",
        "key=lambda at: (found[at].proof is Proof.ATTESTED, at))",
        "key=lambda at: at)",
    ),
)

COUNTING = (
    Mutant(
        "half-is-a-majority",
        "Model: a majority is more than half",
        "core/tally.py",
        "    return len(voters) // 2 + 1",
        "    return max((len(voters) + 1) // 2, 1)",
    ),
    Mutant(
        "joint-majority-by-union",
        "Configuration: a majority of each",
        "core/tally.py",
        "        if granted < majority:\n            result = Tally.PENDING",
        "        if granted < majority and electorate is config.members:\n"
        "            result = Tally.PENDING",
    ),
    Mutant(
        "joint-lease-by-the-longer",
        "Time: under every config in force",
        "core/tally.py",
        "    return min(ends)",
        "    return max(ends)",
    ),
    Mutant(
        "joint-commit-by-the-newer",
        "Configuration: commits need a majority of each",
        "core/tally.py",
        "    return min(versions)",
        "    return max(versions)",
    ),
    Mutant(
        "lease-by-the-best-voter",
        "Time: the majority-th largest",
        "core/tally.py",
        "        ends.append(known[majority - 1])",
        "        ends.append(known[0])",
    ),
    Mutant(
        "committed-by-the-best-voter",
        "Record: committed when a majority holds it",
        "core/tally.py",
        "        versions.append(known[majority - 1])",
        "        versions.append(known[0])",
    ),
)

TIMING = (
    Mutant(
        "guard-one-tick-short",
        "Time: guard covers a tick",
        "core/timing.py",
        "    return drift_ms + tick_ms + stop_budget_ms + READ_MS",
        "    return drift_ms + stop_budget_ms + READ_MS",
    ),
    Mutant(
        "guard-without-drift",
        "Time: guard covers twice the drift",
        "core/timing.py",
        "    return drift_ms + tick_ms + stop_budget_ms + READ_MS",
        "    return tick_ms + stop_budget_ms + READ_MS",
    ),
    Mutant(
        "guard-with-one-clocks-drift",
        "Time: both clocks drift",
        "core/timing.py",
        "    return drift_ms + tick_ms + stop_budget_ms + READ_MS",
        "    return drift_ms // 2 + tick_ms + stop_budget_ms + READ_MS",
    ),
    Mutant(
        "guard-without-the-stop",
        "Time: guard covers the emergency stop",
        "core/timing.py",
        "    return drift_ms + tick_ms + stop_budget_ms + READ_MS",
        "    return drift_ms + tick_ms + READ_MS",
    ),
    Mutant(
        "guard-ignores-how-clocks-are-read",
        "Time: whole milliseconds",
        "core/timing.py",
        "    return drift_ms + tick_ms + stop_budget_ms + READ_MS",
        "    return drift_ms + tick_ms + stop_budget_ms",
    ),
    Mutant(
        "guard-not-grown-for-a-longer-ttl",
        "Time: guard(ttl) for the ttl asked for",
        "core/timing.py",
        "        return max(self.guard_ms, needed)",
        "        return self.guard_ms",
    ),
    Mutant(
        "lease-without-guard",
        "Time: the holder begins to stop guard early",
        "core/timing.py",
        "        return ttl_ms - self.guard_for_ms(ttl_ms)",
        "        return ttl_ms",
    ),
)

CHANGING = (
    Mutant(
        "lease-not-cut-by-a-change",
        "Configuration: the present lease is cut to the smaller",
        "core/changing.py",
        "    cut_ms = min(assured_until_ms, now_ms + hold_ms)",
        "    cut_ms = assured_until_ms",
        dagger=True,
    ),
    Mutant(
        "joint-promises-the-shorter",
        "Configuration: voters promise the larger ttl",
        "core/record.py",
        "        return self.timing.ttl_ms if other is None else "
        "max(self.timing.ttl_ms, other.ttl_ms)",
        "        return self.timing.ttl_ms if other is None else "
        "min(self.timing.ttl_ms, other.ttl_ms)",
        dagger=True,
    ),
    Mutant(
        "joint-step-skipped",
        "Configuration: two committed steps, joint then new",
        "core/changing.py",
        "        leaving=old.members,\n        leaving_timing=old.timing,\n",
        "",
    ),
    Mutant(
        "change-finished-without-promises-under-both",
        "Configuration: only answers that name a config the holder counts with",
        "core/changing.py",
        "    if under_both_ms is None:\n        return",
        "    if under_both_ms is None:\n        under_both_ms = holding.lease_until_ms",
        dagger=True,
    ),
    Mutant(
        "two-voters-at-a-time",
        "Configuration: one voter added or removed at a time",
        "core/changing.py",
        "    if len(before ^ after) > 1:",
        "    if False:",
    ),
    Mutant(
        "change-upon-a-change",
        "Configuration: no other is open",
        "core/changing.py",
        "    if old.leaving is not None:",
        "    if False:",
    ),
    Mutant(
        "change-before-the-first-record",
        "Configuration: only after the first record of the term is committed",
        "core/holding.py",
        "    return holding is not None and holding.committed is not None and holding.renews",
        "    return holding is not None and holding.renews",
    ),
    Mutant(
        "suspect-removed-from-the-config",
        "Configuration: no suspect is removed",
        "core/changing.py",
        "        if any(suspect.member == uid for suspect in turn.record.suspects):",
        "        if False:",
    ),
    Mutant(
        "in-sync-node-removed-from-the-config",
        "Configuration: no node in in_sync is removed",
        "core/changing.py",
        "        if replicated and uid in in_sync_required(turn.state):",
        "        if False:",
    ),
    Mutant(
        "left-out-member-added-again",
        "Configuration: who was left out by a recovery comes back as a new member only",
        "core/changing.py",
        "        if member.uid in after:",
        "        if False:",
        dagger=True,
    ),
    Mutant(
        "holder-removed-from-the-config",
        "Configuration: the holder is not removed",
        "core/changing.py",
        "        if uid == turn.me:",
        "        if False:",
    ),
)

IDENTITY = (
    Mutant(
        "reverted-disk-takes-part",
        "generation: a higher counter than its own stops the member",
        "core/identity.py",
        "    if envelope.seen_generation > durable.generation:",
        "    if False:",
    ),
    Mutant(
        "incarnations-mix",
        "Majority lost: members of an older incarnation stop",
        "core/identity.py",
        "    if envelope.incarnation > mine and _leaves_out(envelope):",
        "    if False:",
    ),
    Mutant(
        "late-message-of-an-old-boot-proves-a-reboot",
        "generation: a late message is merely dropped",
        "core/identity.py",
        "    if seen is not None and envelope.generation < seen.generation:\n"
        "        return False\n",
        "",
    ),
    Mutant(
        "newer-incarnation-stops-who-is-named-in-it",
        "Majority lost: who is named waits for the order to take part",
        "core/identity.py",
        "    if envelope.incarnation > mine and _leaves_out(envelope):",
        "    if envelope.incarnation > mine:",
        dagger=True,
    ),
    Mutant(
        "recovery-with-half-a-proof",
        "Majority lost: every former holder left out is fully proven",
        "core/recovering.py",
        "    if any(cleared.proof not in FULL for cleared in record.cleared):",
        "    if False:",
    ),
    Mutant(
        "recovery-forgets-a-former-holder",
        "Majority lost: every former holder is proven or still suspected",
        "core/recovering.py",
        "    suspects = tuple(former_holders(newest))",
        "    suspects = newest.suspects",
    ),
    Mutant(
        "recovery-by-the-record-of-those-left",
        "S3: what is known of newer records counts in a recovery",
        "core/recovering.py",
        "    if known is not None and known.version > newest.version:",
        "    if False:",
    ),
    Mutant(
        "recovery-of-a-holder",
        "Majority lost: nobody who holds takes part",
        "core/recovering.py",
        "    if turn.state.holding is not None:",
        "    if False:",
    ),
    Mutant(
        "recovery-under-a-promise",
        "Majority lost: nobody who has promised takes part",
        "core/recovering.py",
        "    if promise is not None and promise.holder != turn.me:",
        "    if False:",
    ),
    Mutant(
        "recovery-ends-a-boot-hold",
        "Majority lost: what a restart forgot is waited for all the same",
        "core/recovering.py",
        "        promise=None,\n        window=None,\n",
        "        boot_hold_until_ms=turn.now_ms,\n        promise=None,\n        window=None,\n",
    ),
    Mutant(
        "recovery-forgets-a-boot-hold-with-the-next-run",
        "Majority lost: what a restart forgot is waited for, also by the run after the recovery",
        "core/recovering.py",
        "        hold_ms = max(turn.config.ttl_ms, turn.durable.promised_ttl_ms)\n",
        "        hold_ms = 0\n",
    ),
    Mutant(
        "recovery-below-a-term-seen",
        "S4: terms never go back",
        "core/recovering.py",
        "    if record.version.term <= seen:",
        "    if False:",
    ),
    Mutant(
        "recovery-skips-an-incarnation",
        "Majority lost: the next incarnation",
        "core/recovering.py",
        "    if config.incarnation != mine.incarnation + 1:",
        "    if config.incarnation <= mine.incarnation:",
    ),
    Mutant(
        "unclean-boot-proves-the-earlier-one-over",
        "Proof Rebooted: and nothing started",
        "core/identity.py",
        "    if before is not None and envelope.clean:",
        "    if before is not None:",
        dagger=True,
    ),
    Mutant(
        "unclean-answer-proves-a-reboot",
        "Proof Rebooted: and nothing started",
        "core/holding.py",
        "    if not envelope.clean:\n        return\n",
        "",
        dagger=True,
    ),
    Mutant(
        "clean-before-it-is-verified",
        "Proof Rebooted: and nothing started",
        "core/turn.py",
        "            clean=state.must_stop is None,",
        "            clean=True,",
        dagger=True,
    ),
    Mutant(
        "power-off-forgotten-by-a-late-message",
        "fenced: forgotten once the member is seen in a later boot",
        "core/identity.py",
        "    if not durable.fenced or envelope.seen_generation < turn.state.fenced_at:",
        "    if not durable.fenced:",
        dagger=True,
    ),
    Mutant(
        "power-off-of-a-suspect-forgotten",
        "fenced: the proof of a suspected boot",
        "core/identity.py",
        "        or (fenced.member, fenced.boot) in suspected\n",
        "",
        dagger=True,
    ),
    Mutant(
        "power-offs-kept-for-ever",
        "fenced: forgotten once the member has left the config",
        "core/turn.py",
        "        fenced = tuple(f for f in self.durable.fenced if f.member in known)",
        "        fenced = self.durable.fenced",
    ),
    Mutant(
        "first-config-not-confirmed",
        "Configuration: nobody stands before every member has confirmed the first one",
        "core/voting.py",
        "    return everyone <= state.confirmed | {state.me}",
        "    return True",
    ),
    Mutant(
        "adopts-the-lease-of-another-boot",
        "Restart: adopts only what its own boot and record say it held",
        "core/quorum.py",
        "    if adopted is not None and mine and now_ms < adopted.until_ms and "
        "not written.halted:",
        "    if adopted is not None and not written.halted:",
    ),
    Mutant(
        "no-stop-at-start",
        "Restart: no file, or past the deadline: emergency stop first",
        "core/quorum.py",
        "    state = replace(state, must_stop=term, last_term=term, stand_at_ms=first_at_ms)",
        "    state = replace(state, last_term=term, stand_at_ms=first_at_ms)",
    ),
    Mutant(
        "joined-node-stops-nothing",
        "Restart: a node that joins stops first once a config names it",
        "core/quorum.py",
        "    _look_who_joined(turn, state)\n",
        "",
        dagger=True,
    ),
    Mutant(
        "answered-before-fsync",
        "Durable before sent",
        "core/turn.py",
        "            self._stops.append(Persist(written))\n",
        "            self._effects.append(Persist(written))\n",
    ),
    Mutant(
        "boot-hold-for-the-usual-ttl-only",
        "boot_hold: the longest ttl it may have promised",
        "core/quorum.py",
        "    may_have_promised_ms = max(record.config.ttl_ms, written.promised_ttl_ms)",
        "    may_have_promised_ms = record.config.ttl_ms",
    ),
    Mutant(
        "shorter-config-forgets-a-longer-promise",
        "promised_ttl: kept when a config with a shorter ttl is stored",
        "core/turn.py",
        "        if record.config.ttl_ms < before.ttl_ms:",
        "        if False:",
    ),
)

EXITS = (
    Mutant(
        "says-stopped-before-it-is-verified",
        "Releasing: a release with stopped = true only when everything is verified",
        "core/voting.py",
        "        and state.holding is None\n        and state.must_stop is None\n",
        "        and state.holding is None\n",
        dagger=True,
    ),
    Mutant(
        "called-off-stop-releases",
        "Releasing: the word of a stop that was called off counts for nothing",
        "core/holding.py",
        "        if holding.releasing and event.called_off in {None, holding.called_off}:",
        "        if holding.releasing:",
    ),
    Mutant(
        "stop-under-a-lease-ends-its-emergency",
        "Releasing: what was verified under a lease says nothing about its emergency stop",
        "core/holding.py",
        "    if term is None or event.called_off not in {None, NO_LEASE}:",
        "    if term is None:",
        dagger=True,
    ),
    Mutant(
        "watchdog-told-once-only",
        "Holding: the record says of the watchdog what the guard says, as soon as it may",
        "core/quorum.py",
        "    holding.keep_watchdog(turn)\n",
        "",
    ),
    Mutant(
        "candidacy-survives-a-release",
        "Releasing: a candidacy would win a lease that knows nothing of it",
        "core/holding.py",
        "    if turn.state.candidacy is not None:\n"
        "        give_up(turn, ())  # or it would win a lease that knows nothing of the release\n",
        "",
    ),
    Mutant(
        "fenced-boot-adopts",
        "S4: a fenced boot never holds again",
        "core/quorum.py",
        "    if voting.is_fenced(written, written.me, boot):\n        adopted = None\n",
        "",
    ),
    Mutant(
        "copied-disk-takes-part",
        "generation: another machine's id",
        "core/quorum.py",
        "    halted = durable.halted or _copied(durable.machine, machine)",
        "    halted = durable.halted",
    ),
    Mutant(
        "record-of-a-higher-term-ignored",
        "Holding: a record of a higher term from another holder ends the lease at once",
        "core/voting.py",
        "    turn.lose(Loss.SUPERSEDED, message)\n\n\ndef may_lead",
        "    assert message\n\n\ndef may_lead",
    ),
    Mutant(
        "joint-heartbeat-by-the-slower",
        "Configuration: the lease is counted with the shorter hold",
        "core/record.py",
        "        return mine if other is None else min(mine, other.heartbeat_ms)",
        "        return mine if other is None else max(mine, other.heartbeat_ms)",
    ),
    Mutant(
        "joins-at-term-zero",
        "S4: terms and records go together",
        "core/quorum.py",
        "record=known, term=known.version.term)",
        "record=known)",
    ),
    Mutant(
        "known-proofs-kept-to-itself",
        "Winning: a suspect is removed once the proof is known",
        "core/voting.py",
        "    turn.send(holder, ack)\n    _tell_proofs(turn, holder)\n",
        "    turn.send(holder, ack)\n",
    ),
)

PASSIVE = (
    Mutant(
        "observation-outlives-its-value",
        "Passive voters: the same value for the promised ttl",
        "core/passive.py",
        "    if before is not None and before.slot == slot:\n        return before\n"
        "    return Observation(slot, now_ms)",
        "    since_ms = now_ms if before is None else before.since_ms\n"
        "    return Observation(slot, since_ms)",
    ),
    Mutant(
        "store-promise-shortened-by-another-write",
        "Passive voters: counted from when the reader first saw the value",
        "core/passive.py",
        "    return max(left_ms, old.ttl_ms) if kept and old is not None else left_ms",
        "    return left_ms",
    ),
    Mutant(
        "store-window-never-ends",
        "Passive voters: the same observation ends a handover window",
        "core/passive.py",
        "        else Window(window.successor, window, seen.since_ms + slot.window_ttl_ms),",
        "        else Window(window.successor, window, 10**12),",
        dagger=True,
    ),
    Mutant(
        "two-values-alike",
        "Passive voters: every value written is unique",
        "core/passive.py",
        "        count=seen.slot.count + 1,",
        "        count=seen.slot.count,",
    ),
    Mutant(
        "store-window-written-again",
        "Passive voters: a window that is over is not written again",
        "core/passive.py",
        "        window=window if window is not None and now_ms < window.until_ms else None,",
        "        window=window,",
    ),
    Mutant(
        "store-forgets-a-suspects-power-off",
        "Passive voters: the proof of a suspected boot",
        "core/passive.py",
        "        if (f.member, f.boot) in suspected\n        or ",
        "        if ",
    ),
    Mutant(
        "store-promise-without-a-clock-is-over",
        "Passive voters: it has no clock",
        "core/passive.py",
        "            promised.holder, promised.boot, promised.term, "
        "seen.since_ms + promised.ttl_ms",
        "            promised.holder, promised.boot, promised.term, seen.since_ms",
    ),
)

ALL: tuple[Mutant, ...] = (
    *VOTING,
    *RENEWING,
    *RELEASING,
    *STANDING,
    *HOLDING,
    *PROOFS,
    *SUSPECTS,
    *COUNTING,
    *TIMING,
    *CHANGING,
    *IDENTITY,
    *EXITS,
    *PASSIVE,
)

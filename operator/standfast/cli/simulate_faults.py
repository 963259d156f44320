"""The little language of `--fault`: `crash orders-a at 5s`, `cut orders-a orders-b for 10s`.

A fault is a verb, whom it befalls, and in any order `at` a moment and `for` how long. Whatever
does not read is answered with the column, with what would, and with how it is written.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from standfast.api.scalars import duration_ms
from standfast.errors import UserError
from standfast.simulator.scenario import (
    ACTIVE,
    OPERATOR,
    STANDBY,
    VCENTER,
    Case,
    DeclaredFault,
    Verb,
)

FIRST_AT_MS = 1_000
"""When the first fault happens unless it says so."""

NEXT_AFTER_MS = 5_000
"""How long after the one before, unless it says so."""

SPAN_MS_MAX = 600_000
"""From the first fault to the end of the last: more is not simulated."""

_MOMENTARY = frozenset({Verb.KILL, Verb.SWITCHOVER, Verb.HEAL})
"""Verbs that take no `for`."""


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    column: int


FORMS = {
    Verb.CRASH: "crash MEMBER",
    Verb.POWER_OFF: "power-off NODE",
    Verb.HOST_DOWN: "host-down NODE",
    Verb.REBOOT: "reboot NODE",
    Verb.STUN: "stun NODE for TIME",
    Verb.ISOLATE: "isolate MEMBER",
    Verb.CUT: "cut MEMBER MEMBER",
    Verb.KILL: "kill RESOURCE",
    Verb.KILL_AGENT: "kill-agent NODE",
    Verb.LOSE: "lose NAME",
    Verb.SWITCHOVER: "switchover [to NODE]",
    Verb.HEAL: "heal",
}
"""How each is written; the help of the command says what it means."""


def parse_faults(texts: Sequence[str], case: Case) -> tuple[DeclaredFault, ...]:
    """Return what was declared, in order of time.

    Raises:
        UserError: One of them does not read, or they are too far apart.
    """
    found: list[DeclaredFault] = []
    at_ms = FIRST_AT_MS
    for text in texts:
        fault = _Parser(text, case).fault(at_ms)
        found.append(fault)
        at_ms = fault.at_ms + NEXT_AFTER_MS
    found.sort(key=lambda fault: fault.at_ms)
    span_ms = max(fault.at_ms + (fault.lasts_ms or 0) for fault in found) - found[0].at_ms
    if span_ms > SPAN_MS_MAX:
        raise UserError(
            f"the faults span {span_ms // 1000} s, but at most {SPAN_MS_MAX // 1000} s are "
            "simulated, because everything in between is run through",
            remedy="bring them closer together: what happens in between is calm",
        )
    return tuple(found)


class _Parser:
    """One fault, word by word."""

    def __init__(self, text: str, case: Case) -> None:
        self._text = text
        self._case = case
        self._words = [_Word(m.group(), m.start()) for m in re.finditer(r"\S+", text)]
        self._form = "VERB WHOM [at TIME] [for TIME]"

    def fault(self, at_ms: int) -> DeclaredFault:
        verb = self._verb()
        self._form = f"{FORMS[verb]} [at TIME]"
        if verb not in _MOMENTARY | {Verb.STUN}:
            self._form += " [for TIME]"
        who, other = self._whom(verb)
        fault = DeclaredFault(at_ms, verb, who, other)
        while self._words:
            word = self._words.pop(0)
            match word.text:
                case "at":
                    fault = replace(fault, at_ms=self._duration("at"))
                case "for" if verb not in _MOMENTARY:
                    fault = replace(fault, lasts_ms=self._duration("for"))
                case "for":
                    raise self._wrong(word, f"{verb.value} happens in a moment and does not last")
                case _:
                    raise self._wrong(word, f"{word.text!r} is not expected here")
        if verb is Verb.STUN and fault.lasts_ms is None:
            raise self._wrong(None, "a stun needs to say how long")
        return fault

    # --- whom ----------------------------------------------------------------------------------

    def _whom(self, verb: Verb) -> tuple[str, str]:
        """Names of whom it befalls, and of the other one; "" for nobody."""
        nodes = (*self._case.node_names(), ACTIVE, STANDBY)
        members = (*nodes, *self._case.want.witnesses)
        cluster = self._case.want.name
        match verb:
            case Verb.HEAL:
                return "", ""
            case Verb.SWITCHOVER:
                return "", self._successor(nodes)
            case Verb.KILL:
                resources = tuple(thing.spec.name for thing in self._case.things)
                return self._name(f"a resource of {cluster}", resources), ""
            case Verb.LOSE:
                known = (*self._case.want.witnesses, VCENTER, OPERATOR)
                return self._name(f"a witness of {cluster}", known), ""
            case Verb.ISOLATE | Verb.CRASH:
                return self._name(f"a member of {cluster}", members), ""
            case Verb.CUT:
                known = (*members, OPERATOR)
                one = self._name(f"a member of {cluster}", known)
                return one, self._name(
                    f"another member of {cluster}", tuple(name for name in known if name != one)
                )
            case _:
                return self._name(f"a node of {cluster}", nodes), ""

    def _successor(self, nodes: tuple[str, ...]) -> str:
        if not self._words or self._words[0].text in {"at", "for"}:
            return ""
        if self._words[0].text == "to":
            self._words.pop(0)
        named = tuple(name for name in nodes if name != ACTIVE)
        return self._name(f"a node of {self._case.want.name} to move to", named)

    def _verb(self) -> Verb:
        verbs = [verb.value for verb in Verb]
        if not self._words:
            raise self._wrong(None, f"nothing is declared; what can be: {', '.join(verbs)}")
        word = self._words.pop(0)
        if word.text not in verbs:
            known = ", ".join(verbs)
            raise self._wrong(word, f"{_said(word.text, verbs)} something that happens; {known}")
        return Verb(word.text)

    def _name(self, what: str, known: tuple[str, ...]) -> str:
        listed = ", ".join(known)
        if not self._words or self._words[0].text in {"at", "for"} - set(known):
            where = self._words[0] if self._words else None
            raise self._wrong(where, f"{what} is missing; there are {listed}")
        word = self._words.pop(0)
        if word.text not in known:
            raise self._wrong(word, f"{_said(word.text, known)} {what}; there are {listed}")
        return word.text

    def _duration(self, after: str) -> int:
        if not self._words:
            raise self._wrong(None, f"a time is missing after {after!r}, such as 5s or 1500ms")
        word = self._words.pop(0)
        try:
            return duration_ms(word.text)
        except ValueError as error:
            raise self._wrong(word, str(error)) from error

    # --- what is wrong -------------------------------------------------------------------------

    def _wrong(self, word: _Word | None, problem: str) -> UserError:
        """The sentence with its column, and the place underlined; without a word, the end."""
        column = len(self._text) + 1 if word is None else word.column + 1
        width = 1 if word is None else len(word.text)
        shown = f"    {self._text}\n    {' ' * (column - 1)}{'^' * width}"
        return UserError(
            f"--fault, column {column}: {problem}\n{shown}", remedy=f"--fault '{self._form}'"
        )


def _said(text: str, known: Sequence[str]) -> str:
    """`x is not`, with the word that was probably meant."""
    near = difflib.get_close_matches(text, known, n=1)
    return f"{text!r} (did you mean {near[0]!r}?) is not" if near else f"{text!r} is not"

"""What one part of a pass has to say holds up no other part."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from standfast.controller import joining
from standfast.controller.authorities import Entry, Register
from standfast.controller.provision import Provider
from standfast.controller.sites import Provision, Site
from standfast.core.explain import Claim
from standfast.core.reasons import Reason
from standfast.core.record import MemberKind


def test_a_word_that_is_refused_holds_up_neither_members_nor_resources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An annotation stays where it is for as long as nobody takes it away."""
    nothing: Any = None
    provider = Provider(nothing, nothing, nothing, nothing, nothing)
    refused = Provision(stalled=Claim(True, Reason.WORD_REFUSED, "no"))
    looked: list[str] = []
    monkeypatch.setattr(joining, "signed_config", lambda _: "a config")
    for name in ("_spend_bundles", "_renewals", "_identities", "_hand_config"):
        monkeypatch.setattr(provider, name, lambda *_: None)
    monkeypatch.setattr(provider._words, "look", lambda _: refused)
    monkeypatch.setattr(provider._members, "look", lambda _: looked.append("members"))
    monkeypatch.setattr(provider, "_resources", lambda _: looked.append("resources"))
    site = cast("Site", SimpleNamespace(office=None))
    assert provider.provide(site) is refused
    assert looked == ["members", "resources"]


def test_bundles_are_removed_together_and_nobody_asks_about_those_that_are_spent() -> None:
    """A restart would ask the API server about every node of every cluster."""
    nothing: Any = None
    provider = Provider(nothing, nothing, nothing, nothing, nothing)
    wanted: list[tuple[str, ...]] = []
    provider._want = lambda _site, name, _act: wanted.append(name)  # type: ignore[assignment, method-assign]
    places = [
        SimpleNamespace(name=name, kind=kind)
        for name, kind in (
            ("a", MemberKind.DATA),
            ("b", MemberKind.DATA),
            ("w", MemberKind.WITNESS),
        )
    ]

    def look(**members: Entry) -> list[tuple[str, ...]]:
        wanted.clear()
        office = SimpleNamespace(register=Register(members=members))
        provider._spend_bundles(cast("Site", SimpleNamespace(office=office, places=places)))
        return list(wanted)

    joined, spent = Entry(uid="u", enrolled=True), Entry(uid="u", enrolled=True, spent=True)
    assert look(a=joined, b=joined, w=joined) == [("spend", "a", "b")]
    assert look(a=spent, b=joined, w=joined) == [("spend", "b")]
    assert look(a=spent, b=Entry(uid="u"), w=joined) == [], "it has not joined yet"
    assert look(a=spent, b=spent, w=joined) == []

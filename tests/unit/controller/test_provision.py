"""What one part of a pass has to say holds up no other part."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from standfast.controller import joining
from standfast.controller.provision import Provider
from standfast.controller.sites import Provision, Site
from standfast.core.explain import Claim
from standfast.core.reasons import Reason


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

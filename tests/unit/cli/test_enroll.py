"""The bundle: who may have one, and what to do with it."""

import base64
import json
from pathlib import Path

import pytest
from tests.unit.api import statuses
from tests.unit.cli import screens

from standfast.cli.enroll import bundle_of, check, next_steps
from standfast.errors import RefusedError, UserError

BUNDLE = json.dumps({"version": 1, "notAfter": "2026-11-24T12:00:00Z"})


def encoded(text: str) -> dict[str, str]:
    return {"bundle.json": base64.b64encode(text.encode()).decode()}


def test_a_node_that_has_not_joined_may_have_one() -> None:
    check(screens.cluster(), "vm-a")


def test_a_stranger_is_told_who_the_nodes_are() -> None:
    with pytest.raises(UserError, match="vm-x is not a node of web; its nodes are vm-a, vm-b"):
        check(screens.cluster(), "vm-x")


def test_a_node_that_has_joined_gets_no_second_vote() -> None:
    with pytest.raises(RefusedError, match="vm-a has joined web already, as member 0b0f5d0e"):
        check(screens.cluster(statuses.CLUSTER), "vm-a")


def test_the_bundle_is_the_secrets_own_text() -> None:
    assert bundle_of(encoded(BUNDLE), "web-vm-a-bundle") == BUNDLE


@pytest.mark.parametrize("secret", [{}, {"bundle.json": "%"}, encoded("not JSON")])
def test_a_secret_without_a_bundle_is_named(secret: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"Secret web-vm-a-bundle has no bundle in its key bundle"):
        bundle_of(secret, "web-vm-a-bundle")


def test_the_next_steps_name_node_file_and_moment() -> None:
    assert next_steps("vm-a", BUNDLE, Path("b.json")) == (
        "Good for one enrolment until 2026-11-24T12:00:00Z.\n"
        "Next, on vm-a: put b.json at /etc/standfast/bundle.json, then: standfast-agent install"
    )

"""The bundle: read back as written, refused with a sentence for every kind of damage."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from standfast.adapters.pki import Authority, Bootstrap, Bundle, Operator, parse_bundle
from standfast.errors import UserError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SCOPE = "3f0c-aa"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    identity = Authority.create(SCOPE, NOW).issue(Bootstrap(SCOPE), NOW)
    listen = ("10.10.1.11:7380", "[fd00::11]:7380")
    return Bundle(SCOPE, "prod/orders", "orders-a", listen, identity)


def test_it_is_read_back_as_written(bundle: Bundle) -> None:
    text = bundle.to_json()
    assert parse_bundle(text, NOW) == bundle
    assert parse_bundle(text.encode(), NOW) == bundle
    fields = json.loads(text)
    assert fields["version"] == 1
    assert fields["clusterUID"] == SCOPE
    assert fields["notAfter"] == "2026-03-02T00:00:00Z"


def test_an_expired_one_says_when_and_what_time_it_is_here(bundle: Bundle) -> None:
    with pytest.raises(UserError, match="expired at 2026-03-02 00:00 UTC, and here") as caught:
        parse_bundle(bundle.to_json(), NOW + timedelta(days=1))
    assert "timedatectl" in caught.value.remedy


@pytest.mark.parametrize("text", ["", "{", "nonsense", b"\xff\xfe\x00"])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(UserError, match="does not read as JSON"):
        parse_bundle(text, NOW)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 2}, "has version 2, and this program reads version 1"),
        ({"version": None}, "has version None"),
        ({"node": ""}, "lacks 'node'"),
        ({"key": 5}, "lacks 'key'"),
        ({"listen": []}, "lacks 'listen'"),
        ({"listen": "10.0.0.1:7380"}, "lacks 'listen'"),
        ({"listen": ["10.0.0.1"]}, "'10.0.0.1', and it must be an IP address with a port"),
        ({"listen": ["web:7380"]}, "'web:7380'"),
        ({"listen": ["10.0.0.1:0"]}, "'10.0.0.1:0'"),
        ({"certificate": "junk"}, "certificate does not read as PEM"),
        ({"key": "junk"}, "private key does not read"),
        ({"clusterUID": "other"}, "is for cluster other, but its certificate names bootstrap"),
    ],
)
def test_damage_is_named(bundle: Bundle, changes: dict[str, Any], sentence: str) -> None:
    fields = json.loads(bundle.to_json()) | changes
    with pytest.raises(UserError) as caught:
        parse_bundle(json.dumps(fields), NOW)
    assert sentence in caught.value.problem
    assert caught.value.remedy


def test_a_list_is_no_bundle() -> None:
    with pytest.raises(UserError, match="not a JSON object"):
        parse_bundle("[]", NOW)


def test_an_identity_of_another_role_is_refused() -> None:
    identity = Authority.create(SCOPE, NOW).issue(Operator(SCOPE), NOW)
    text = Bundle(SCOPE, "prod/orders", "orders-a", ("10.0.0.1:7380",), identity).to_json()
    with pytest.raises(UserError, match="its certificate names operator"):
        parse_bundle(text, NOW)

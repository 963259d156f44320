"""The API's JSON: camelCase, tolerant of fields it does not know, strict on what it does."""

from datetime import UTC, datetime

import msgspec
import pytest

from standfast.wire import api, resources


def test_a_group_reads_from_the_short_form() -> None:
    group = msgspec.json.decode(
        b"""{"generation": 4, "newer": true, "resources": [
            {"type": "vip", "name": "web-vip", "address": "10.0.0.100/24", "dependsOn": ["web"]},
            {"type": "systemd", "name": "web", "unit": "web.service", "stopTimeoutMs": 5000}]}""",
        type=api.GroupRequest,
    )
    assert group == api.GroupRequest(
        generation=4,
        resources=(
            resources.Vip(name="web-vip", address="10.0.0.100/24", depends_on=("web",)),
            resources.Systemd(name="web", unit="web.service", stop_timeout_ms=5000),
        ),
    )


def test_an_unknown_resource_type_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="Invalid value 'toaster'"):
        msgspec.json.decode(
            b'{"generation": 1, "resources": [{"type": "toaster", "name": "t"}]}',
            type=api.GroupRequest,
        )


def test_status_is_camel_case() -> None:
    status = api.MemberStatus(
        seq=1,
        member_uid="m",
        name="a",
        kind="data",
        boot_id="b",
        run="r",
        agent_version="1",
        role="Standby",
        certificate_not_after=datetime(2030, 1, 1, tzinfo=UTC),
    )
    text = msgspec.json.encode(status)
    assert b'"memberUid":"m"' in text
    assert b'"certificateNotAfter":"2030-01-01T00:00:00Z"' in text
    assert msgspec.json.decode(text, type=api.MemberStatus) == status

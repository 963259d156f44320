"""Durations, addresses, times and three-valued claims."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from standfast.api.scalars import Address, InterfaceAddress, Time, TimeMs, Truth, duration_ms


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [
        ("500ms", 500),
        ("10s", 10_000),
        ("1m30s", 90_000),
        ("2h", 7_200_000),
        ("1h1m1s1ms", 3661001),
    ],
)
def test_a_duration_counts_milliseconds(text: str, length_ms: int) -> None:
    assert duration_ms(text) == length_ms


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "1d", "-1s", "1.5s"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: write 500ms, 10s, 1m30s or 2h"):
        duration_ms(text)


@pytest.mark.parametrize("text", ["10.0.0.1", "fd00::1", "FD00:0:0::1"])
def test_addresses_of_both_families_are_taken(text: str) -> None:
    assert TypeAdapter(Address).validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["10.0.0.1/24", "10.0.0.01", "vm-a", "fe80::1%eth0", "::ffff:1.2.3.4"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Address).validate_python(text)


@pytest.mark.parametrize("text", ["10.0.0.1/24", "fd00::1/64", "10.0.0.0/24"])
def test_an_address_has_its_prefix_length(text: str) -> None:
    assert TypeAdapter(InterfaceAddress).validate_python(text) == text


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.1/33", "10.0.0.1/255.0.0.0", "0.0.0.0/0"])
def test_what_is_no_interface_address_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(InterfaceAddress).validate_python(text)


def test_unknown_is_never_rounded_to_false() -> None:
    assert [Truth.of(claim) for claim in (True, False, None)] == ["True", "False", "Unknown"]


def test_times_are_written_in_utc() -> None:
    moment = datetime(2026, 11, 23, 12, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=1)))

    assert TypeAdapter(Time).dump_python(moment, mode="json") == "2026-11-23T11:00:00Z"
    assert TypeAdapter(TimeMs).dump_python(moment, mode="json") == "2026-11-23T11:00:00.123Z"


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Time).validate_python(datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None))

"""The one file of ours in DRBD's configuration."""

from pathlib import Path

import pytest

from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drbd.text import Ends, ends_of, secret_in, written
from standfast.errors import UserError

CONFIG = DrbdConfig("data", Path("/dev/drbd3"), Path("/dev/mapper/vg-data"))
ENDS = Ends("10.0.0.1", "fd00::2")


def test_no_history_is_given_up_by_drbd_itself() -> None:
    text = written(CONFIG, ENDS, "s3cr3t", "/usr/bin/python3")
    policies = ("after-sb-0pri", "after-sb-1pri", "after-sb-2pri", "rr-conflict")
    rows = dict(row.strip().split(None, 1) for row in text.splitlines() if " " in row.strip())
    for policy in policies:
        assert rows[policy] == "disconnect;"
    assert rows["allow-two-primaries"] == "no;"
    assert rows["fencing"] == "resource-and-stonith;"
    assert rows["protocol"] == "C;"
    assert rows["on-no-data-accessible"] == "io-error;"


def test_it_says_where_the_copies_are_and_whom_to_ask() -> None:
    text = written(CONFIG, ENDS, "s3cr3t", "/usr/bin/python3")
    assert "resource standfast-data {" in text
    assert "device /dev/drbd3 minor 3;" in text
    assert "meta-disk internal;" in text
    assert "floating ipv4 10.0.0.1:7789;" in text
    assert "floating ipv6 [fd00::2]:7789;" in text
    assert "handler.py fence-peer /run/standfast/drbd-data.sock" in text
    assert secret_in(text) == "s3cr3t"
    assert secret_in("") == ""
    assert "resync-rate" not in text


def test_knobs_are_in_it() -> None:
    knobs = {"resyncMibS": 50, "isPaused": True, "verifyEveryS": 60}
    tuned = CONFIG.tuned(knobs)
    assert "resync-rate 50M;" in written(tuned, ENDS, "s", "/usr/bin/python3")
    assert (tuned.is_paused, tuned.verify_every_s) == (True, 60)
    assert tuned.file == Path("/etc/drbd.d/standfast-data.res")


def test_the_addresses_are_chosen_by_the_network() -> None:
    hosts = ("10.1.0.1", "10.2.0.1"), ("10.1.0.2", "10.2.0.2")
    assert ends_of(CONFIG, *hosts) == Ends("10.1.0.1", "10.1.0.2")
    named = DrbdConfig("data", CONFIG.device, CONFIG.disk, network="10.2.0.0/24")
    assert ends_of(named, *hosts) == Ends("10.2.0.1", "10.2.0.2")
    with pytest.raises(UserError, match="none of the addresses"):
        ends_of(named, ("10.1.0.1",), hosts[1])

"""The local status: JSON as it comes, text for people, sentences when nobody answers."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from standfast.agent.local import ask, render
from standfast.errors import TransientError
from standfast.wire import api

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_nobody_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="no agent answers at") as refused:
        ask(tmp_path / "agent.sock")
    assert refused.value.remedy == "systemctl status standfast-agent"


def test_a_status_for_people_names_what_matters() -> None:
    status = api.MemberStatus(
        seq=1,
        member_uid="uid-a",
        name="vm-a",
        kind="data",
        boot_id="b",
        run="r",
        agent_version="1",
        role="Standby",
        term=7,
        holder=api.HolderStatus(member="uid-b", boot="b2"),
        ineligible_reasons=("this node is in maintenance",),
        resources=(
            api.ResourceStatus(
                name="web", type="systemd", state="Failed", message="exit 7", since=NOW
            ),
        ),
        peers=(
            api.PeerStatus(
                member="uid-b",
                name="vm-b",
                reachable=True,
                paths=(
                    api.PathStatus(address="10.0.0.2:7380", up=True, rtt_ms=0.4),
                    api.PathStatus(address="10.0.1.2:7380", up=False, problem="no route"),
                ),
            ),
        ),
        alerts=(api.AlertStatus(reason="DiskFull", message="full", remedy="df"),),
        halted="",
    )
    text = render(status)
    for said in (
        "vm-a  Standby  term 7",
        "active   vm-b",
        "hindered this node is in maintenance",
        "resource web (systemd)  Failed  exit 7",
        "path   10.0.0.2:7380  up 0.4 ms",
        "path   10.0.1.2:7380  down  no route",
        "alert    DiskFull: full  (df)",
    ):
        assert said in text


def test_a_halted_member_says_so_first() -> None:
    status = api.MemberStatus(
        seq=1,
        member_uid="u",
        name="",
        kind="data",
        boot_id="b",
        run="r",
        agent_version="1",
        role="Standby",
        halted="it was reverted",
        lease_remaining_ms=5,
    )
    assert render(status).splitlines()[:2] == [
        "(not enrolled)  Standby  term 0",
        "  HALTED: it was reverted",
    ]

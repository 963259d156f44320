"""What the lab needs of a machine, said in one sentence with one command."""

import os

import pytest

from standfast.errors import UserError
from standfast.lab import prerequisites


def test_without_root_one_sentence_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError) as refused:
        prerequisites.require("lab")
    assert refused.value.remedy == "sudo standfast-lab up --name lab"


def test_missing_packages_are_named_in_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(prerequisites, "FILES", {"/no/such/file": "systemd"})
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError) as refused:
        prerequisites.require("lab")
    wanted = {"dbus-daemon", "iproute2", "nftables", "systemd", "util-linux"}
    assert (
        set(refused.value.remedy.removeprefix("apt install ").split()) - {"postgresql"} == wanted
    )

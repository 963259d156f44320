"""`standfast-lab` as it is typed, on a lab of VMs alone. Needs root."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from standfast.lab.lab import Lab
from tests.integration.lab_bed import bare_lab

pytestmark = [pytest.mark.root, pytest.mark.lab]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with bare_lab("cli") as lab:
        yield lab


@pytest.fixture
def cli(lab: Lab) -> Cli:
    def run(*words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "standfast.lab.main", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "STANDFAST_LAB": lab.name},
        )

    return run


def test_status_shows_vms_and_addresses_to_people_and_to_programs(lab: Lab, cli: Cli) -> None:
    text = cli("status").stdout
    for word in (lab.name, "vm-a", lab.vm("vm-b").addresses[1], lab.vm("vm-a").instance_uuid):
        assert word in text
    shown = json.loads(cli("status", "-o", "json").stdout)
    assert shown["vms"]["vm-a"]["power"] == "on"
    assert shown["lab"]["vms"][0]["instanceUUID"] == lab.vm("vm-a").instance_uuid


def test_a_vm_is_switched_frozen_and_thawed(lab: Lab, cli: Cli) -> None:
    assert cli("vm", "vm-a", "off").returncode == 0
    assert lab.vm("vm-a").now().power == "off"
    again = cli("vm", "vm-a", "off")
    assert (again.returncode, again.stderr) == (3, "error: vm-a is off already\n")
    assert cli("vm", "vm-a", "on").returncode == 0
    assert cli("vm", "vm-a", "freeze").returncode == 0
    assert lab.vm("vm-a").now().stunned
    assert "vm-a-1 is stunned" in cli("net", "show").stdout
    assert cli("vm", "vm-a", "thaw").returncode == 0
    assert not lab.vm("vm-a").now().stunned


def test_cuts_are_made_shown_and_healed(cli: Cli) -> None:
    assert cli("net", "cut", "vm-a", "--network", "2", "--one-way").returncode == 0
    assert cli("net", "show").stdout == "vm-a-2 -> * is cut\n"
    assert cli("net", "shape", "vm-b", "--loss", "5%", "--network", "1").returncode == 0
    assert "vm-b-1 loses 5.0%" in cli("net", "show").stdout
    assert cli("net", "heal").returncode == 0
    assert cli("net", "show").stdout == "nothing is cut\n"


def test_exec_and_client_become_the_command(lab: Lab, cli: Cli) -> None:
    assert cli("exec", "vm-b", "--", "hostname").stdout == "vm-b\n"
    assert cli("exec", "vm-b", "--", "sh", "-c", "exit 7").returncode == 7
    assert cli("exec", "vm-b", "--", "cat", stdin="typed").stdout == "typed"
    assert lab.state.control.client in cli("client", "--", "ip", "-br", "addr").stdout


def test_a_bundle_is_put_where_the_agent_reads_it_whether_on_or_off(lab: Lab, cli: Cli) -> None:
    place = "/etc/standfast/bundle.json"
    assert cli("enroll", "vm-a", "-", stdin='{"version": 1}').returncode == 0
    assert lab.vm("vm-a").exec(["cat", place]) == '{"version": 1}'
    assert lab.vm("vm-a").exec(["stat", "-c", "%a %U", place]) == "600 root\n"
    lab.vm("vm-a").off()
    assert cli("enroll", "vm-a", "-", stdin='{"version": 2}').returncode == 0
    lab.vm("vm-a").on()
    assert lab.vm("vm-a").exec(["cat", place]) == '{"version": 2}'


def test_the_probe_runs_in_the_client_namespace(lab: Lab, cli: Cli) -> None:
    address = lab.vm("vm-a").addresses[0]
    lines = cli("probe", "vip", address, "--port", "9", "--for", "0.3").stdout.splitlines()
    summary = json.loads(lines[-1])["summary"]
    mac = lab.state.addressing.vm_interfaces("vm-a")[0].mac
    assert list(summary["claimed_by"]) == [mac]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["vm", "vm-z", "off"], 2, "it has vm-a, vm-b"),
        (["vm", "vm-a", "kill", "oracle"], 2, "no process called oracle runs in vm-a"),
        (["net", "cut", "nobody"], 2, "these are plugged in: client, host, vm-a, vm-b"),
        (["net", "shape", "vm-a", "--loss", "much"], 2, "'much' is not a loss"),
        (["vm", "vm-a", "freeze", "--for", "long"], 2, "'long' is not a length of time"),
        (["status", "--name", "nolab"], 2, "there is no lab nolab"),
        (["up", "--name", "Not_A_Name"], 2, "at most 10 lower-case letters"),
        (["up", "--vms", "3"], 2, "exists with 2 VMs and 2 networks"),
    ],
)
def test_a_mistake_is_answered_with_what_would_work(
    cli: Cli, words: list[str], status: int, says: str
) -> None:
    done = cli(*words)
    assert done.returncode == status
    assert says in done.stderr
    assert "\n  fix: " in done.stderr
    assert "Traceback" not in done.stderr

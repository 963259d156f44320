"""The host's file bounds the cluster API: what passes, what is refused, and with which words."""

from pathlib import Path

import pytest

from standfast.agent.allowed import DEFAULT_TEXT, Allowed, load, parse, write_default
from standfast.api.crdgen import REPOSITORY
from standfast.api.resource import HAResource
from standfast.controller.groups import to_wire
from standfast.errors import UserError
from standfast.guard.settings import watchdog_of
from standfast.lab.cluster import allowed as lab_allows
from standfast.lab.cluster import documents
from standfast.ports.units import AtBoot
from standfast.wire.resources import Filesystem, Port, ReservedDisk, SharedDisk, Systemd, Vip

PATH = Path("/etc/standfast/agent.toml")
WEB = Systemd(name="web", unit="web.service")
VIP = Vip(name="vip", address="10.10.1.100/24")


UUID = "6000c298-595b-f457-5739-e9105b2c0c2d"
WWN = "/dev/disk/by-id/wwn-0x6000c298595bf4575739e9105b2c0c2d"


def allowed(
    units: str = "[]",
    addresses: str = "[]",
    directories: str = "[]",
    devices: str = "[]",
    ports: str = "[]",
) -> Allowed:
    text = (
        f"[allow]\nunits = {units}\naddresses = {addresses}\ndirectories = {directories}\n"
        f"devices = {devices}\nports = {ports}\n"
    )
    return parse(text, PATH)


def test_the_default_allows_what_people_protect() -> None:
    default = parse(DEFAULT_TEXT)
    default.check([WEB, VIP, Systemd(name="pg", unit="postgresql@15-main.service")])
    default.check([Vip(name="six", address="fd00::100/64")])
    assert default.allows_unit("container-shop.service")  # podman
    assert default.allows_unit("user-api.service")


@pytest.mark.parametrize(
    "unit",
    [
        *("ssh.service", "sshd.service", "systemd-journald.service", "dbus.service"),
        *("standfast-agent.service", "standfast-guard.service", "debug-shell.service"),
        *(
            "emergency.service",
            "modprobe@evil.service",
            "user@0.service",
            "user-runtime-dir@0.service",
        ),
        *("reboot.target", "poweroff.target", "init.scope", "system.slice", "-.mount"),
        *("web.socket", "backup.timer", "noext"),
    ],
)
def test_the_default_does_not_give_the_host_away(unit: str) -> None:
    assert not parse(DEFAULT_TEXT).allows_unit(unit)


def test_the_default_is_open_and_says_so() -> None:
    alert = parse(DEFAULT_TEXT, PATH).concern()
    assert alert is not None
    assert alert.reason == "AllowsEveryUnit"
    assert str(PATH) in alert.remedy
    assert allowed('["web.service", "app-*.service"]').concern() is None


@pytest.mark.parametrize(
    "disk",
    [SharedDisk(name="disk", uuid=UUID.upper()), ReservedDisk(name="disk", uuid=UUID)],
)
def test_a_disk_is_taken_only_if_it_is_named(disk: SharedDisk | ReservedDisk) -> None:
    """Taking it is no small thing: who uses it is stopped, and the kernel refuses writes to it."""
    with pytest.raises(UserError, match=f"resource disk uses the disk {UUID}") as refused:
        allowed(directories='["/srv/data"]').check([disk])
    assert refused.value.remedy == (
        f'add to {PATH} on this node, under [allow]: devices = ["{UUID}"]'
    )
    for entry in (UUID, UUID.upper(), WWN, f"{WWN[:-4]}*"):
        allowed(devices=f'["{entry}"]').check([disk])
    with pytest.raises(UserError, match="uses the disk"):
        allowed(devices=f'["{WWN[:-1]}0", "LABEL=x"]').check([disk])


def test_a_file_system_is_mounted_only_below_a_directory_and_from_a_disk_that_are_named() -> None:
    mount = Filesystem(name="fs", device="LABEL=x", mount_point="/srv/data/orders")
    allowed(directories='["/srv/data"]', devices='["LABEL=x"]').check([mount])
    with pytest.raises(UserError) as refused:
        parse(DEFAULT_TEXT, PATH).check([mount])
    assert refused.value.problem.startswith(
        "resource fs mounts at /srv/data/orders and uses the disk LABEL=x: "
    )
    assert 'directories = ["/srv/data/orders"]; devices = ["LABEL=x"]' in refused.value.remedy
    with pytest.raises(UserError, match="resource fs uses the disk LABEL=x"):
        allowed(directories='["/srv/data"]').check([mount])
    with pytest.raises(UserError, match="resource fs mounts at /srv/data/orders:"):
        allowed(devices='["LABEL=*"]').check([mount])


def test_a_disk_stands_for_its_partitions_and_a_pattern_for_what_it_matches() -> None:
    assert allowed(devices=f'["{UUID}"]').allows_device(f"{WWN}-part2")
    assert allowed(devices=f'["{WWN}"]').allows_device(f"{WWN}-part2")
    assert not allowed(devices=f'["{WWN}"]').allows_device(f"{WWN}-part2x")
    assert not allowed(devices=f'["{WWN}-part1"]').allows_device(WWN)
    found = allowed(devices='["/dev/disk/by-id/wwn-*", "LABEL=data-*"]')
    assert found.allows_device(WWN)
    assert found.allows_device("LABEL=data-1")
    assert not found.allows_device("/dev/disk/by-id/scsi-36000c29")
    assert not parse(DEFAULT_TEXT).allows_device(WWN)


def test_no_pattern_of_disks_leads_out_of_where_it_points() -> None:
    found = allowed(devices='["/dev/disk/by-id/*", "LABEL=*"]')
    assert not found.allows_device("/dev/disk/by-id/../../sda")
    assert not found.allows_device("LABEL=../../sda")
    assert not found.allows_device("/dev/sda")


@pytest.mark.parametrize("entry", ["sda", "/srv/disk.img", "/dev/../etc", "/dev//sda", "=x"])
def test_what_names_no_disk_is_refused(entry: str) -> None:
    with pytest.raises(UserError, match="neither a path below /dev"):
        allowed(devices=f'["{entry}"]')


def test_a_name_allows_itself_and_nothing_else() -> None:
    found = allowed('["web.service"]')
    assert found.allows_unit("web.service")
    assert not found.allows_unit("web2.service")
    assert not found.allows_unit("Web.service")


def test_a_pattern_of_another_kind_says_so_itself() -> None:
    found = allowed('["app-*", "backup-*.timer"]')
    assert found.allows_unit("app-one.service")
    assert not found.allows_unit("app-one.target")
    assert found.allows_unit("backup-daily.timer")
    assert not found.allows_unit("backup-daily.service")


def test_a_unit_of_the_system_is_allowed_by_its_name_alone() -> None:
    assert not allowed('["ssh*", "*"]').allows_unit("ssh.service")
    assert allowed('["ssh.service"]').allows_unit("ssh.service")


def test_addresses_are_bounded_by_networks() -> None:
    found = allowed(addresses='["10.10.1.96/28", "fd00:10::/64"]')
    assert found.allows_address("10.10.1.100/24")
    assert found.allows_address("fd00:10::5/64")
    assert not found.allows_address("10.10.1.1/24")
    assert not found.allows_address("fd00:11::5/64")


def test_directories_are_bounded_by_what_is_above_them() -> None:
    found = allowed(directories='["/srv/data"]')
    assert found.allows_directory("/srv/data")
    assert found.allows_directory("/srv/data/pg")
    assert not found.allows_directory("/srv/data2")
    assert not found.allows_directory("/srv")
    assert not found.allows_directory("/srv/data/../../etc")
    assert not found.allows_directory("srv/data")
    assert not parse(DEFAULT_TEXT).allows_directory("/srv/data")


def test_what_goes_beyond_the_file_is_refused_whole_with_the_line_to_add() -> None:
    found = allowed('["web.service"]', '["10.10.2.0/24"]')
    with pytest.raises(UserError) as refused:
        found.check([WEB, VIP, Systemd(name="other", unit="other.service")])
    assert refused.value.problem == (
        "resource vip takes the address 10.10.1.100; resource other is the unit other.service: "
        "/etc/standfast/agent.toml on this node does not allow it, so nothing of this declaration "
        "is taken"
    )
    assert refused.value.remedy == (
        "add to /etc/standfast/agent.toml on this node, under [allow]: "
        'addresses = ["10.10.1.100"]; units = ["other.service"]'
    )


def test_a_unit_of_the_system_is_refused_with_its_reason() -> None:
    with pytest.raises(UserError, match=r"ssh\.service \(part of the system itself"):
        parse(DEFAULT_TEXT).check([Systemd(name="x", unit="ssh.service")])


def leasing(*ports: Port) -> Systemd:
    return Systemd(name="web", unit="web.service", ports=ports)


@pytest.mark.parametrize(
    ("entries", "port", "is_allowed"),
    [
        ('["443"]', Port(number=443), True),
        ('["443"]', Port(number=443, protocol="UDP"), True),
        ('["443/tcp"]', Port(number=443, protocol="UDP"), False),
        ('["8000-8099/udp"]', Port(number=8099, protocol="UDP"), True),
        ('["8000-8099/udp"]', Port(number=8100, protocol="UDP"), False),
        ('["*"]', Port(number=1), True),
        ('["*"]', Port(number=65535), True),
        ('["*", "1-100"]', Port(number=22), False),
        ('["22"]', Port(number=22), True),
        ('["*"]', Port(number=7380), False),
        ('["*"]', Port(number=68, protocol="UDP"), False),
        ("[]", Port(number=443), False),
    ],
)
def test_ports_are_numbers_and_ranges(entries: str, port: Port, is_allowed: bool) -> None:
    found = allowed('["web.service"]', ports=entries)
    if is_allowed:
        found.check([leasing(port)])
    else:
        with pytest.raises(UserError, match="resource web leases"):
            found.check([leasing(port)])


def test_a_port_that_is_not_named_is_refused_with_the_line_to_add() -> None:
    """So it is with a file that was written before there were any."""
    old = parse('[allow]\nunits = ["web.service"]\n', PATH)
    with pytest.raises(UserError) as refused:
        old.check([leasing(Port(number=443), Port(number=53, protocol="UDP"))])
    assert "resource web leases 443/tcp, 53/udp: " in refused.value.problem
    assert refused.value.remedy.endswith('under [allow]: ports = ["443/tcp", "53/udp"]')


def test_a_port_by_which_the_host_is_reached_is_refused_with_its_reason() -> None:
    default = parse(DEFAULT_TEXT)
    default.check([leasing(Port(number=443))])
    with pytest.raises(UserError, match=r"leases 22/tcp \(by which the host itself is reached"):
        default.check([leasing(Port(number=22))])


def test_what_is_no_address_is_refused_elsewhere() -> None:
    allowed(addresses="[]").check([Vip(name="vip", address="nonsense")])


def test_what_is_not_named_is_not_allowed() -> None:
    found = parse("", PATH)
    assert not found.allows_unit("web.service")
    assert not found.allows_address("10.10.1.100/24")
    assert not found.allows_directory("/srv/data")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[allow", "Expected"),
        ("allow = 3", "allow is not a section"),
        ("[alow]", "the file has 'alow', and takes allow, boot, checks, watchdog"),
        (
            "[allow]\nunit = []",
            "has 'unit', and takes addresses, devices, .*, ports, units",
        ),
        ('[allow]\nunits = "web.service"', "units is not a list of texts"),
        ("[allow]\nunits = [3]", "units is not a list of texts"),
        ("[allow]\nports = [443]", "ports is not a list of texts"),
        ('[allow]\nports = ["https"]', "ports has 'https', which is neither a port"),
        ('[allow]\nports = ["0"]', "ports has '0', which is no port"),
        ('[allow]\nports = ["99-80"]', "ports has '99-80', which is no port"),
        ('[allow]\naddresses = ["10.10.1.300"]', "addresses has '10.10.1.300'"),
        ('[allow]\ndirectories = ["data"]', "directories has 'data'"),
        ('[allow]\ndirectories = ["/"]', "directories has '/'"),
        ('[allow]\ndirectories = ["/srv/../etc"]', "no plain absolute path"),
    ],
)
def test_a_file_that_does_not_read_allows_nothing(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as refused:
        parse(text, PATH)
    assert str(PATH) in refused.value.problem
    assert refused.value.remedy


def test_without_a_file_the_default_holds(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "agent.toml"
    assert load(path) == parse(DEFAULT_TEXT, path)
    assert write_default(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load(path) == parse(DEFAULT_TEXT, path)


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("[allow]\n")
    assert not write_default(path)
    assert path.read_text() == "[allow]\n"
    assert load(path).units == ()


def test_a_file_that_cannot_be_read_allows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.mkdir()
    with pytest.raises(UserError, match="does not say what the agent may touch"):
        load(path)


def test_the_guard_reads_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    write_default(path)
    assert watchdog_of(path) == (None, ())
    path.write_text(DEFAULT_TEXT.replace("# [watch", "[watch").replace("# device", "device"))
    load(path)
    found, troubles = watchdog_of(path)
    assert (found is not None, troubles) == (True, ())


@pytest.mark.parametrize("policy", list(AtBoot))
def test_what_happens_to_units_that_systemd_starts_by_itself(policy: AtBoot) -> None:
    assert parse(f'[boot]\nenabled_units = "{policy.value}"').at_boot is policy


def test_a_host_without_a_word_about_it_refuses() -> None:
    assert parse("").at_boot is AtBoot.REFUSE
    assert parse(DEFAULT_TEXT).at_boot is AtBoot.REFUSE


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[boot]\nenabled_units = "mask"', "can be refuse, disable, report"),
        ("[boot]\nunits = 1", r"\[boot\] has 'units', and takes enabled_units"),
        ("boot = 1", "boot is not a section"),
    ],
)
def test_a_policy_that_does_not_read(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse(text)


@pytest.mark.parametrize("name", ["03-shared-disk", "03-shared-disk/reserved"])
def test_the_file_that_the_lab_writes_for_an_example_allows_its_disks(name: str) -> None:
    example = REPOSITORY / "examples" / name
    kinds = (document for document in documents(example) if document["kind"] == "HAResource")
    declared = [HAResource.model_validate(document) for document in kinds]
    resources = [to_wire(each.metadata.name, each.spec) for each in declared]
    assert len(resources) == 4
    parse(lab_allows(example), PATH).check(resources)

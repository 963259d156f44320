"""What the agent may touch on this host, by a file that only the host's administrator writes.

The cluster API says what shall run; this file bounds it, so that whoever takes over the API cannot
start, stop or mount what the file does not name. A declaration that goes beyond it is refused
whole, with the line to add. `standfast-agent install` writes `DEFAULT_TEXT`; without a file the
same holds.

Rules. Unit patterns are those of the shell. A pattern never matches what belongs to the system
itself (`SYSTEM_UNITS`, and everything that is not a service unless the pattern says so): such a
unit is allowed only by its full name. An unknown key is refused, because a word that was mistyped
would allow or forbid nothing.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path, PurePosixPath
from typing import assert_never

from standfast.adapters.checks.config import Program
from standfast.agent import allowed_ports, programs
from standfast.agent.allowed_ports import PortRange
from standfast.agent.programs import example_of
from standfast.errors import UserError
from standfast.ports.events import Alert
from standfast.ports.units import AtBoot
from standfast.wire.resources import (
    Check,
    CommandCheck,
    Drbd,
    Filesystem,
    Postgresql,
    ReservedDisk,
    ResourceSpec,
    SharedDisk,
    Systemd,
    Vip,
)

PATH = Path("/etc/standfast/agent.toml")
OPEN = "AllowsEveryUnit"

DEFAULT_TEXT = """\
# What the Standfast agent may touch on this host. Whoever controls the cluster API cannot go
# beyond this file. The agent reads it whenever it is told what to run; no restart is needed.

[allow]
# systemd units, by name or by shell pattern. "*" is every service that is not part of the system
# itself (ssh, dbus, systemd-*, ...). Better: name what this node protects,
#   units = ["web.service", "postgresql@15-main.service"]
units = ["*"]

# Addresses that it may take, as addresses or networks.
#   addresses = ["10.10.1.100", "fd00:10::/64"]
addresses = ["0.0.0.0/0", "::/0"]

# Ports that it may shut to others while this node is not active, as "443", "53/udp", "8000-8099".
# "*" is every port but those by which the host itself is reached (ssh, Kubernetes, DHCP, ...),
# which only their number allows.
#   ports = ["5432/tcp"]
ports = ["*"]

# Directories at or below which it may mount file systems or run scripts. None is allowed unless it
# is named.
#   directories = ["/srv/data"]
directories = []

# Disks that it may take from whoever uses them, reserve, check and mount: the path or the UUID= or
# LABEL= as the HAResource names it, a shell pattern of that, or the UUID of a shared disk, which
# stands for its partitions too. None is allowed unless it is named, and never one on which this
# machine itself lives.
#   devices = ["6000c298-595b-f457-5739-e9105b2c0c2d", "/dev/disk/by-id/wwn-0x6000c29*"]
devices = []

# What happens to a protected unit that systemd would start at boot by itself, before anybody was
# asked who is active: "refuse" (this node does not stand until it is disabled), "disable" (the
# agent disables it) or "report".
[boot]
enabled_units = "refuse"

# Programs that look whether an application is well, by the name that spec.systemd.check.command of
# its HAResource has. Status 0 says so; the last line it writes is shown. It is run as `user`
# ("nobody" when not named) and killed after monitor.timeout. No program is run but these.
# [checks.orders]
# command = ["/usr/local/bin/check-orders", "--quick"]
# user = "orders"

# The guard feeds a hardware watchdog while this node may run its resources. To see that it works:
# systemctl stop standfast-guard; standfast-guard --try-watchdog. The machine is reset by it.
# [watchdog]
# device = "/dev/watchdog"
# timeout_s = 10
"""

SYSTEM_UNITS = (
    *("NetworkManager*", "apparmor*", "apt-daily*", "auditd*", "cloud-config*", "cloud-final*"),
    *("cloud-init*", "console-getty*", "container-getty*", "cron.service", "crond.service"),
    *("dbus*", "debug-shell*", "display-manager*", "dracut-*", "emergency*", "firewalld*"),
    *("fstrim*", "getty@*", "ifup@*", "init.*", "initrd-*", "iscsi*", "kexec*", "kmod*"),
    *("ldconfig*", "lvm2-*", "modprobe@*", "multipathd*", "networking*", "nftables*"),
    *("open-vm-tools*", "plymouth*", "polkit*", "qemu-guest-agent*", "quotaon*", "rc-local*"),
    *("rescue*", "rsyslog*", "serial-getty*", "ssh.*", "ssh@*", "sshd*", "standfast-*", "sudo*"),
    *("systemd-*", "udev*", "ufw*", "user-runtime-dir@*", "user@*", "vgauth*", "vmtoolsd*"),
    *("wpa_supplicant*",),
)
"""What no pattern of the file matches: losing it would lose the host."""

_SECTIONS = frozenset({"allow", "boot", "checks", "watchdog"})
_KEYS = ("units", "addresses", "directories", "devices", "ports")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BY_ID = ("/dev/disk/by-id/wwn-0x", "/dev/disk/by-id/scsi-3")
_BOOT_KEY = "enabled_units"
_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the file says.

    Args:
        path: The file, for sentences.
        units: Names and patterns.
        addresses: Networks.
        directories: Absolute, each with all below it.
        devices: Paths, tags and patterns of them; a UUID stands as the paths of that disk.
        ports: Numbers and ranges.
        at_boot: What happens to units that systemd starts by itself.
        programs: What checks may run, by name.
    """

    path: Path
    units: tuple[str, ...]
    addresses: tuple[IPv4Network | IPv6Network, ...]
    directories: tuple[PurePosixPath, ...]
    devices: tuple[str, ...] = ()
    ports: tuple[PortRange, ...] = ()
    at_boot: AtBoot = AtBoot.REFUSE
    programs: Mapping[str, Program] = field(default_factory=dict)

    def check(self, resources: Sequence[ResourceSpec]) -> None:
        """Let a declaration pass, or refuse it whole.

        Raises:
            UserError: Some of it goes beyond the file; names all of it, and what to add.
        """
        problems: list[str] = []
        lines: list[str] = []
        for resource in resources:
            match resource:
                case Systemd(unit=unit, ports=ports) | Postgresql(unit=unit, ports=ports):
                    asked = resource.check if isinstance(resource, Systemd) else None
                    found = (
                        self._unit(unit),
                        allowed_ports.refused(ports, self.ports),
                        self._asked(asked),
                    )
                    problem = " and ".join(said for said, _ in found if said)
                    line = "; ".join(another for _, another in found if another)
                case Vip(address=address):
                    problem, line = self._address(address)
                case Filesystem(mount_point=mount_point, device=device):
                    problem, line = self._directory(mount_point)
                    also, another = self._device(device, device)
                    problem = " and ".join(filter(None, (problem, also)))
                    line = "; ".join(filter(None, (line, another)))
                case SharedDisk(uuid=uuid) | ReservedDisk(uuid=uuid):
                    problem, line = self._device(uuid.lower(), _paths_of(uuid.lower())[0])
                case Drbd(disk=disk, meta_disk=meta):
                    problem, line = self._device(disk, disk)
                    if meta is not None:
                        also, another = self._device(meta, meta)
                        problem = " and ".join(filter(None, (problem, also)))
                        line = "; ".join(filter(None, (line, another)))
                case _:
                    assert_never(resource)
            if problem:
                problems.append(f"resource {resource.name} {problem}")
                lines.append(line)
        if problems:
            raise UserError(
                f"{'; '.join(problems)}: {self.path} on this node does not allow it, so nothing "
                f"of this declaration is taken",
                remedy=f"add to {self.path} on this node, under [allow]: "
                f"{'; '.join(dict.fromkeys(lines))}",
            )

    def allows_unit(self, unit: str) -> bool:
        return any(_matches(entry, unit) for entry in self.units)

    def allows_address(self, address: str) -> bool:
        """Whether an address may be taken; with or without its prefix length."""
        try:
            ip = ipaddress.ip_interface(address).ip
        except ValueError:
            return True  # it is refused as an address, with a better sentence
        return any(ip in network for network in self.addresses)

    def allows_directory(self, directory: str) -> bool:
        """Whether it may be mounted at or run from; symbolic links are not followed."""
        wanted = PurePosixPath(directory)
        if not wanted.is_absolute() or os.path.normpath(directory) != directory:
            return False
        return any(wanted.is_relative_to(entry) for entry in self.directories)

    def allows_device(self, device: str) -> bool:
        """Whether a disk may be used; symbolic links are not followed."""
        if device.startswith("/") and os.path.normpath(device) != device:
            return False
        if not device.startswith("/") and "/" in device:
            return device in self.devices  # a tag that would be read as a path
        return any(_is_device(entry, device) for entry in self.devices)

    def concern(self) -> Alert | None:
        """What a person should know of the file."""
        if "*" not in self.units:
            return None
        return Alert(
            OPEN,
            f'{self.path} allows every service of this node (units = ["*"]), so whoever controls '
            "the cluster API can start and stop all of them",
            f'name what this node protects in {self.path}, as units = ["web.service"]',
        )

    def _unit(self, unit: str) -> tuple[str, str]:
        if self.allows_unit(unit):
            return "", ""
        is_systems = any(fnmatchcase(unit, pattern) for pattern in SYSTEM_UNITS)
        why = " (part of the system itself, which only its full name allows)" if is_systems else ""
        return f"is the unit {unit}{why}", f'units = ["{unit}"]'

    def _asked(self, check: Check | None) -> tuple[str, str]:
        if check is None:
            return "", ""
        if isinstance(check, CommandCheck):
            if check.name in self.programs:
                return "", ""
            return f"is checked by the program {check.name}", example_of(check.name)
        address = check.address
        is_here = ipaddress.ip_interface(address).ip.is_loopback
        allowed = is_here or self.allows_address(address)
        return ("", "") if allowed else (f"is asked at {address}", f'addresses = ["{address}"]')

    def _address(self, address: str) -> tuple[str, str]:
        if self.allows_address(address):
            return "", ""
        ip = ipaddress.ip_interface(address).ip
        return f"takes the address {ip}", f'addresses = ["{ip}"]'

    def _device(self, said: str, device: str) -> tuple[str, str]:
        if self.allows_device(device):
            return "", ""
        return f"uses the disk {said}", f'devices = ["{said}"]'

    def _directory(self, directory: str) -> tuple[str, str]:
        if self.allows_directory(directory):
            return "", ""
        return f"mounts at {directory}", f'directories = ["{directory}"]'


def load(path: Path = PATH) -> Allowed:
    """What the file allows; the default when there is none.

    Raises:
        UserError: It does not read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = DEFAULT_TEXT
    except (OSError, UnicodeError) as error:
        raise _unreadable(path, str(error)) from error
    return parse(text, path)


def parse(text: str, path: Path = PATH) -> Allowed:
    """What a file with this text allows; raises UserError when it does not read."""
    try:
        sections = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, str(error)) from error
    _only(path, "the file", sections, _SECTIONS)
    allow = sections.get("allow", {})
    if not isinstance(allow, dict):
        raise _unreadable(path, "allow is not a section: write [allow]")
    _only(path, "[allow]", allow, _KEYS)
    units, addresses, directories, devices, ports = (_texts(path, allow, key) for key in _KEYS)
    return Allowed(
        path=path,
        units=units,
        addresses=tuple(_network(path, entry) for entry in addresses),
        directories=tuple(_directory(path, entry) for entry in directories),
        devices=tuple(name for entry in devices for name in _devices(path, entry)),
        ports=tuple(_ports(path, entry) for entry in ports),
        at_boot=_at_boot(path, sections.get("boot", {})),
        programs=programs.read(path, sections.get("checks", {})),
    )


def write_default(path: Path = PATH) -> bool:
    """Write the default file unless there is one; says whether it did."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(DEFAULT_TEXT)
    return True


def _matches(entry: str, unit: str) -> bool:
    if not _WILD.intersection(entry):
        return entry == unit
    if any(fnmatchcase(unit, pattern) for pattern in SYSTEM_UNITS):
        return False
    kind = unit.rpartition(".")[2]
    return fnmatchcase(unit, entry) and (kind == "service" or entry.endswith(f".{kind}"))


def _only(path: Path, where: str, found: dict[str, object], known: Collection[str]) -> None:
    unknown = sorted(set(found) - set(known))
    if unknown:
        names = ", ".join(sorted(known))
        raise _unreadable(path, f"{where} has {unknown[0]!r}, and takes {names}")


def _texts(path: Path, section: dict[str, object], key: str) -> tuple[str, ...]:
    """What is missing allows nothing."""
    rows = section.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, str) and row for row in rows):
        raise _unreadable(path, f'{key} is not a list of texts, as {key} = ["..."]')
    return tuple(rows)


def _at_boot(path: Path, section: object) -> AtBoot:
    if not isinstance(section, dict):
        raise _unreadable(path, "boot is not a section: write [boot]")
    _only(path, "[boot]", section, {_BOOT_KEY})
    said = section.get(_BOOT_KEY, AtBoot.REFUSE.value)
    known = {policy.value: policy for policy in AtBoot}
    if said not in known:
        raise _unreadable(path, f"{_BOOT_KEY} is {said!r}, and can be {', '.join(known)}")
    return known[said]


def _network(path: Path, entry: str) -> IPv4Network | IPv6Network:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError as error:
        raise _unreadable(path, f"addresses has {entry!r}: {error}") from error


def _directory(path: Path, entry: str) -> PurePosixPath:
    if not entry.startswith("/") or os.path.normpath(entry) != entry or entry == "/":
        raise _unreadable(path, f"directories has {entry!r}, which is no plain absolute path")
    return PurePosixPath(entry)


def _devices(path: Path, entry: str) -> tuple[str, ...]:
    if _UUID.fullmatch(entry.lower()):
        return _paths_of(entry.lower())
    is_path = entry.startswith("/dev/") and os.path.normpath(entry) == entry
    if not is_path and not re.match(r"[A-Z]+=.", entry):
        why = "neither a path below /dev, nor UUID=... or LABEL=..., nor the UUID of a disk"
        raise _unreadable(path, f"devices has {entry!r}, which is {why}")
    return (entry,)


def _paths_of(uuid: str) -> tuple[str, ...]:
    return tuple(f"{start}{uuid.replace('-', '')}" for start in _BY_ID)


def _ports(path: Path, entry: str) -> PortRange:
    try:
        return allowed_ports.read(entry)
    except ValueError as error:
        raise _unreadable(path, f"ports has {entry!r}, which is {error}") from error


def _is_device(entry: str, device: str) -> bool:
    """A disk that is named by its path, without a pattern, stands for its partitions too."""
    if _WILD.intersection(entry):
        return fnmatchcase(device, entry)
    return device == entry or re.fullmatch(re.escape(entry) + r"-part[0-9]+", device) is not None


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} does not say what the agent may touch: {why}",
        remedy=f"correct {path} on this node, or remove it and run `standfast-agent install`",
    )

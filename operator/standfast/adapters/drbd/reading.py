"""What DRBD says of a device: `/proc/drbd` of 8.4, and `drbdsetup status --json` of 9.

Pure: texts in, `Seen` out. A word that is not known here stays a word; nothing is guessed from it.
Units: DRBD counts in KiB; here everything is in bytes.
"""

import json
import re
from dataclasses import dataclass

KIB = 1024
UP_TO_DATE, CONSISTENT, OUTDATED, INCONSISTENT = (
    "UpToDate",
    "Consistent",
    "Outdated",
    "Inconsistent",
)
DISKLESS, UNKNOWN_DISK = "Diskless", "DUnknown"
PRIMARY, SECONDARY = "Primary", "Secondary"
CONNECTED, WAITING, STAND_ALONE = "Connected", "WFConnection", "StandAlone"
UNCONFIGURED = "Unconfigured"
RESYNCING = frozenset({"SyncSource", "SyncTarget", "PausedSyncS", "PausedSyncT"})
PAUSED = frozenset({"PausedSyncS", "PausedSyncT"})
VERIFYING = frozenset({"VerifyS", "VerifyT"})
IN_TOUCH = frozenset(
    {CONNECTED, "WFBitMapS", "WFBitMapT", "WFSyncUUID", "StartingSyncS", "StartingSyncT"}
    | {"Ahead", "Behind"}
    | RESYNCING
    | VERIFYING
)
"""The other node takes part: what DRBD calls a connection state at or above `Connected`."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One device at one moment.

    Attributes:
        connection: State of the connection, as DRBD words it; `Unconfigured` when there is none.
        role: Of this node.
        peer_role: `Unknown` without a connection.
        disk: State of this copy.
        peer_disk: State of the other copy, as this node knows it.
        protocol: A, B or C; "" without a connection.
        is_frozen: Writes are held: DRBD waits to be told that the other node is out (`s` for any
            reason, in the flags of /proc/drbd).
        written_bytes: To this copy since the module was loaded.
        out_of_sync_bytes: How much differs from the other copy, or may.
        done: Parts of a thousand of a resync or a verification under way; None when there is none.
        left_s: Time that it will still take, as DRBD estimates.
    """

    connection: str = UNCONFIGURED
    role: str = SECONDARY
    peer_role: str = "Unknown"
    disk: str = DISKLESS
    peer_disk: str = UNKNOWN_DISK
    protocol: str = ""
    is_frozen: bool = False
    written_bytes: int = 0
    out_of_sync_bytes: int = 0
    done: int | None = None
    left_s: int | None = None

    @property
    def is_primary(self) -> bool:
        return self.role == PRIMARY

    @property
    def is_in_touch(self) -> bool:
        return self.connection in IN_TOUCH

    @property
    def is_in_step(self) -> bool:
        """Every write reaches both copies before it is acknowledged, and both have all of them."""
        return (
            self.protocol == "C"
            and self.connection in {CONNECTED, *VERIFYING}
            and self.disk == UP_TO_DATE
            and self.peer_disk == UP_TO_DATE
        )


_VERSION = re.compile(r"^version: (\d+)\.(\d+)\.(\d+)", re.MULTILINE)
_DEVICE = re.compile(
    r"^ *(?P<minor>\d+): cs:(?P<cs>\w+)"
    r"(?: ro:(?P<ro>\w+)/(?P<pro>\w+) ds:(?P<ds>\w+)/(?P<pds>\w+) (?P<proto>[ABC ]) "
    r"(?P<flags>\S+))?"
)
_COUNTS = re.compile(r"\b(dw|oos):(\d+)")
_DONE = re.compile(r"(?:sync'ed|verified): *(\d+)\.(\d)%")
_LEFT = re.compile(r"finish: (\d+):(\d\d):(\d\d)")
_TOUCHED = {"-": False, "r": False}


def version_of(proc: str) -> tuple[int, int, int] | None:
    """The version of the module; None when that cannot be read."""
    found = _VERSION.search(proc)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def read_proc(proc: str, minor: int) -> Seen:
    """A device of 8.4 in the text of /proc/drbd; unconfigured when it is not there."""
    rows = iter(proc.splitlines())
    for row in rows:
        found = _DEVICE.match(row)
        if found is None or int(found["minor"]) != minor:
            continue
        more: list[str] = []
        for later in rows:
            if _DEVICE.match(later):
                break
            more.append(later)
        return _seen(found, "\n".join(more))
    return Seen()


def _seen(found: re.Match[str], more: str) -> Seen:
    if found["ro"] is None:
        return Seen(connection=found["cs"])
    counts = {name: int(value) * KIB for name, value in _COUNTS.findall(more)}
    done, left = _DONE.search(more), _LEFT.search(more)
    return Seen(
        connection=found["cs"],
        role=found["ro"],
        peer_role=found["pro"],
        disk=found["ds"],
        peer_disk=found["pds"],
        protocol=found["proto"].strip(),
        is_frozen=found["flags"].startswith("s"),
        written_bytes=counts.get("dw", 0),
        out_of_sync_bytes=counts.get("oos", 0),
        done=None if done is None else int(done[1]) * 10 + int(done[2]),
        left_s=None if left is None else int(left[1]) * 3600 + int(left[2]) * 60 + int(left[3]),
    )


def read_json(text: str, resource: str) -> Seen:
    """The first volume of a resource of DRBD 9, with its first peer."""
    for each in json.loads(text or "[]"):
        if each.get("name") != resource:
            continue
        volume = (each.get("devices") or [{}])[0]
        link = (each.get("connections") or [{}])[0]
        peer = (link.get("peer_devices") or [{}])[0]
        state, replication = link.get("connection-state"), peer.get("replication-state", "Off")
        is_linked = state == CONNECTED and replication not in {"Off", "Established"}
        done = peer.get("percent-in-sync")
        return Seen(
            connection=replication if is_linked else _eights(state),
            role=each.get("role", SECONDARY),
            peer_role=link.get("peer-role", "Unknown"),
            disk=volume.get("disk-state", DISKLESS),
            peer_disk=peer.get("peer-disk-state", UNKNOWN_DISK),
            protocol="C" if state == CONNECTED else "",
            is_frozen=each.get("suspended", False) is True,
            written_bytes=volume.get("written", 0) * KIB,
            out_of_sync_bytes=peer.get("out-of-sync", 0) * KIB,
            done=round(done * 10) if is_linked and done is not None else None,
        )
    return Seen()


def _eights(state: str | None) -> str:
    """A connection state of DRBD 9 in the words of 8.4."""
    return {None: STAND_ALONE, "Connecting": WAITING}.get(state, state or STAND_ALONE)

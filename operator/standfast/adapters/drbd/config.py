"""What the DRBD driver needs to know of the resource it serves."""

from dataclasses import dataclass, replace
from pathlib import Path

from standfast.ports.resource import Knobs

PREFIX = "standfast-"


@dataclass(frozen=True, slots=True)
class DrbdConfig:
    """A device with a copy on each of two nodes.

    Args:
        name: Name of the resource.
        device: What is served, as `/dev/drbd0`; its number is DRBD's minor.
        disk: What is below it on each node.
        meta_disk: Where DRBD keeps its own; None: at the end of `disk`.
        port: On which the copies talk.
        network: Subnet in which they do, as `10.20.0.0/24`; None: the members' first address.
        resync_mib_s: Most that a resync may take, in MiB a second; None: DRBD's own judgement.
        is_paused: A resync waits.
        verify_every_s: The copies are compared so often; None: never.
        etc: Where our file goes.
        state: Where our note is kept.
        run: Where the socket for DRBD's handlers is.
        proc: Where DRBD says how it does.
    """

    name: str
    device: Path
    disk: Path
    meta_disk: Path | None = None
    port: int = 7789
    network: str | None = None
    resync_mib_s: int | None = None
    is_paused: bool = False
    verify_every_s: int | None = None
    etc: Path = Path("/etc/drbd.d")
    state: Path = Path("/var/lib/standfast/drbd")
    run: Path = Path("/run/standfast")
    proc: Path = Path("/proc/drbd")

    def tuned(self, knobs: Knobs) -> "DrbdConfig":
        """The same, with what may be declared anew while it runs."""
        rate, every_s = knobs["resyncMibS"], knobs["verifyEveryS"]
        return replace(
            self,
            resync_mib_s=rate if isinstance(rate, int) else None,
            is_paused=bool(knobs["isPaused"]),
            verify_every_s=every_s if isinstance(every_s, int) else None,
        )

    @property
    def minor(self) -> int:
        return int(self.device.name.removeprefix("drbd"))

    @property
    def resource(self) -> str:
        """What DRBD calls it."""
        return f"{PREFIX}{self.name}"

    @property
    def file(self) -> Path:
        """Our one file of DRBD's configuration."""
        return self.etc / f"{self.resource}.res"

    @property
    def socket(self) -> Path:
        """Where DRBD's handlers ask."""
        return self.run / f"drbd-{self.name}.sock"

"""The agent in a VM: installed and enrolled by the same commands that a user types on his own VMs.

Called by `up` once a VM runs, and by `standfast-lab enroll`.
"""

from pathlib import Path

from standfast.errors import TransientError
from standfast.lab.vm import Power, Vm

PROGRAM = "/opt/standfast/bin/standfast-agent"
BUNDLE = Path("etc/standfast/bundle.json")
INSTALL_S = 60.0


def install(vm: Vm) -> None:
    """Runs `standfast-agent install` in a VM: its unit is enabled and started from there on.

    Raises:
        TransientError: It refused; with what it said.
    """
    done = vm.run([PROGRAM, "install"], timeout_s=INSTALL_S)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise TransientError(
            f"`{PROGRAM} install` in {vm.name} ended with status {done.returncode}: {said}",
            remedy=f"standfast-lab exec {vm.name} -- {PROGRAM} install",
        )


def put_bundle(vm: Vm, bundle: bytes) -> None:
    """Puts an enrolment bundle where the agent reads it, readable by root alone.

    The VM may be off: then the bundle waits on its disk.
    """
    vm.make_disk()
    root = vm.directory / "upper" if vm.power is Power.OFF else vm.root()
    place = root / BUNDLE
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = place.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(bundle)
    fresh.replace(place)

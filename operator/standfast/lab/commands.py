"""Runs the machine's own programs (`ip`, `nft`, …) and turns their refusals into sentences.

Called by everything in `lab` that touches the kernel. Programs are run from argument lists, never
through a shell, and a program that does not answer within its time is killed: a hanging `ip` would
otherwise hang a power-off.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from standfast.errors import TransientError, UserError

NETNS_DIR = Path("/run/netns")

PACKAGE_OF = {
    "ip": "iproute2",
    "bridge": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    timeout_s: float = 20.0,
    env: Mapping[str, str] | None = None,
) -> str:
    """Runs a program to its end.

    Returns:
        What it printed on standard output.

    Raises:
        UserError: The program is not installed.
        TransientError: It ended with another status than 0, or not within `timeout_s`.
    """
    shown = " ".join(argv)
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=env,
        )
    except FileNotFoundError as error:
        package = PACKAGE_OF.get(argv[0], argv[0])
        raise UserError(
            f"the program {argv[0]} is not on this machine", remedy=f"apt install {package}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TransientError(f"`{shown}` did not end within {timeout_s:g} s") from error
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or "it printed nothing"
        raise TransientError(f"`{shown}` ended with status {done.returncode}: {said}")
    return done.stdout


def ip_batch(lines: Sequence[str], namespace: str | None = None) -> None:
    """Runs many `ip` commands in one process and one namespace; stops at the first error."""
    if lines:
        run([*_ip(namespace), "-batch", "-"], stdin="\n".join(lines) + "\n")


def ip_json(arguments: Sequence[str], namespace: str | None = None) -> str:
    """What `ip -j` prints about a network namespace."""
    return run([*_ip(namespace), "-j", *arguments])


def enter_network(namespace: str) -> list[str]:
    """The words before a command that is to run in a network namespace.

    `ip netns exec` would mount a new /sys, in which the cgroup tree is missing.
    """
    return ["nsenter", f"--net={NETNS_DIR / namespace}", "--"]


def write_kernel_settings(namespace: str, settings: Mapping[str, str]) -> None:
    """Sets entries of /proc/sys/net of a network namespace.

    Args:
        namespace: Its name.
        settings: Dotted name below `net` -> value.
    """
    script = "".join(
        f"echo {value} > /proc/sys/net/{name.replace('.', '/')}\n"
        for name, value in settings.items()
    )
    run([*enter_network(namespace), "sh", "-e"], stdin=script)


def _ip(namespace: str | None) -> list[str]:
    return ["ip"] if namespace is None else ["ip", "-n", namespace]

"""The guard's part of the host's file: which watchdog, if any.

Only `[watchdog]` of /etc/standfast/agent.toml is read; the agent reads and judges the rest. A file
that does not read leaves the guard without a watchdog and with a sentence about it: guarding
matters more.
"""

from pathlib import Path

from standfast.guard.watchdog import Watchdog

TIMEOUT_S_DEFAULT = 10
_KEYS = frozenset({"device", "timeout_s"})


def watchdog_of(config: Path, tested: str = "") -> tuple[Watchdog | None, tuple[str, ...]]:
    """The watchdog that the file names.

    Args:
        config: The file; none means no watchdog.
        tested: When it last proved itself on this machine; "" for never.

    Returns:
        The watchdog or none, and what is the matter with the file, as sentences.
    """
    try:
        text = config.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None, ()
    except (OSError, UnicodeError) as error:
        return None, (f"{config} does not read, so no watchdog is used: {error}",)
    if "watchdog" not in text:
        return None, ()
    import tomllib  # not needed on most machines, and locked in memory once loaded

    try:
        section: object = tomllib.loads(text).get("watchdog")
    except tomllib.TOMLDecodeError as error:
        return None, (f"{config} does not read, so no watchdog is used: {error}",)
    if section is None:
        return None, ()
    if not isinstance(section, dict) or not _KEYS.issuperset(section):
        keys = " and ".join(sorted(_KEYS))
        return None, (f"{config}: [watchdog] takes {keys}, so no watchdog is used",)
    device, timeout_s = section.get("device"), section.get("timeout_s", TIMEOUT_S_DEFAULT)
    if not isinstance(device, str) or type(timeout_s) is not int or not 2 <= timeout_s <= 600:
        said = "[watchdog] needs a device as text and timeout_s from 2 to 600"
        return None, (f"{config}: {said}, so no watchdog is used",)
    return Watchdog(Path(device), timeout_s, tested), ()

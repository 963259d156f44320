"""What a unit's own settings say against protecting it: pure sentences over `UnitFacts`."""

from standfast.errors import UserError
from standfast.ports.events import Alert
from standfast.ports.units import UnitFacts


def obstacle(unit: str, resource: str, facts: UnitFacts) -> UserError | None:
    """What makes a start of `unit` impossible; None when nothing does."""
    if facts.load == "not-found":
        return UserError(
            f"{resource}: there is no systemd unit {unit} on this node",
            remedy=f"install it (systemctl cat {unit}), or correct spec.systemd.unit of "
            f"HAResource {resource}",
        )
    if facts.load == "masked":
        return UserError(
            f"{resource}: the unit {unit} is masked on this node",
            remedy=f"systemctl unmask {unit}",
        )
    if facts.load != "loaded":
        return UserError(
            f"{resource}: systemd does not load {unit}: {facts.load_error or facts.load}",
            remedy=f"systemd-analyze verify {unit}",
        )
    if facts.kind == "oneshot" and not facts.remains:
        return UserError(
            f"{resource}: {unit} has Type=oneshot without RemainAfterExit=yes, so it never counts "
            f"as running",
            remedy=f"systemctl edit {unit}, and set RemainAfterExit=yes under [Service]",
        )
    return None


def concerns(unit: str, resource: str, facts: UnitFacts) -> list[Alert]:
    """What may start `unit` without asking who is active."""
    found = []
    if facts.file in {"enabled", "enabled-runtime"}:
        found.append(
            Alert(
                "UnitEnabled",
                f"{unit} is {facts.file}: systemd starts it at boot without asking who is active",
                f"systemctl disable {unit}",
            )
        )
    if facts.restart not in {"", "no"}:
        found.append(
            Alert(
                "UnitRestartsItself",
                f"systemd restarts {unit} by itself (Restart={facts.restart}), beside the policy "
                f"of HAResource {resource}",
                f"systemctl edit {unit}, and set Restart=no under [Service]",
            )
        )
    if facts.triggered_by:
        names = " ".join(facts.triggered_by)
        found.append(
            Alert(
                "UnitTriggered",
                f"{names} can start {unit} without asking who is active",
                f"systemctl disable --now {names}",
            )
        )
    return found

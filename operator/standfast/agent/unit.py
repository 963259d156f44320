"""The agent's systemd unit, as text; every setting with its reason.

`KillMode=process`: what the agent started runs in units of its own, but a stop or a crash of the
agent must never take along a child that holds something of a resource. Restart is fast, because
the lease waits a few hundred milliseconds and no longer. There is no start limit: an agent that
does not come back is an outage. No setting gives it a mount namespace of its own (`Protect...`):
what it mounts must be mounted for everybody.
"""

from pathlib import Path

from standfast.guard import unit as guard

NAME = "standfast-agent.service"
PATH = Path("/etc/systemd/system") / NAME

CAPABILITIES = {
    "CAP_NET_ADMIN": "addresses, packet filter",
    "CAP_NET_RAW": "announcing addresses (ARP, neighbour discovery)",
    "CAP_SYS_NICE": "real-time priority, so that a busy machine does not end the lease",
    "CAP_IPC_LOCK": "memory locked, so that a full machine does not end it either",
    "CAP_SYS_RESOURCE": "a negative oom_score_adj",
    "CAP_SYS_ADMIN": "mounting, unmounting, letting a disk take writes or none",
    "CAP_SYS_RAWIO": "reserving a disk (SCSI persistent reservations)",
    "CAP_KILL": "killing what is left of a stopped unit, or keeps a mount busy",
    "CAP_DAC_READ_SEARCH": "reading /proc and cgroups of others' processes",
    "CAP_SETUID": "running a database's programs as its own user, never as root",
    "CAP_SETGID": "the same",
    "CAP_SYS_PTRACE": "naming processes that are left",
}
"""What the agent may do as root, and why."""


def unit_text(program: Path) -> str:
    """The unit that runs `program run`."""
    bound = " ".join(CAPABILITIES)
    reasons = "\n".join(f"# {name}: {why}" for name, why in CAPABILITIES.items())
    return f"""\
# Written by `standfast-agent install`; `systemctl edit {NAME}` for changes of your own.
[Unit]
Description=Standfast agent: high availability for what runs in this machine
Documentation=https://standfast.dev
Wants={guard.NAME}
After=network.target dbus.service {guard.NAME}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={program} run
Restart=always
RestartSec=20ms
TimeoutStartSec=60
TimeoutStopSec=10
WatchdogSec=10
KillMode=process
OOMPolicy=continue
OOMScoreAdjust=-900
LimitMEMLOCK=infinity
LimitRTPRIO=20
LimitNOFILE=65536
TasksMax=512
StateDirectory=standfast
StateDirectoryMode=0700
ConfigurationDirectory=standfast
ConfigurationDirectoryMode=0700
RuntimeDirectory=standfast
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
UMask=0077
{reasons}
CapabilityBoundingSet={bound}
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=no

[Install]
WantedBy=multi-user.target
"""

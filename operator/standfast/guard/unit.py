"""The guard's systemd unit, as text; every setting with its reason.

No setting gives it a mount namespace of its own (`Protect...`, `Private...`): what it unmounts
must be gone for everybody. Its priority is given by systemd beforehand, so it needs no capability
for that. `systemctl reload` starts its program anew, within a fraction of a second and
with all it knows: that is how an upgrade is done while the node is active. `systemctl stop` makes
it ask the agent to hand over, and it leaves when nothing is left to guard.
"""

from pathlib import Path

NAME = "standfast-guard.service"
PATH = Path("/etc/systemd/system") / NAME
RETIRE = "USR1"
"""This signal lets the guard forget everything and guard nothing any more: before an uninstall, by
which what runs goes on running."""

CAPABILITIES = {
    "CAP_NET_ADMIN": "taking addresses away",
    "CAP_SYS_ADMIN": "unmounting, and opening files when the machine has run out of them",
    "CAP_KILL": "killing processes of other users, on kernels without cgroup.kill",
    "CAP_DAC_OVERRIDE": "control groups and mount points that belong to other users",
    "CAP_IPC_LOCK": "memory locked, also where systemd itself may not raise the limit for it",
    "CAP_SYS_RESOURCE": "keeping itself from being killed when memory runs out",
}
"""What the guard may do as root, and why."""

FAMILIES = {
    "AF_UNIX": "the agent, systemd",
    "AF_NETLINK": "addresses",
}
"""Which kinds of sockets it may open: none that reaches another machine."""


def unit_text(program: Path) -> str:
    """The unit that runs `program`."""
    bound, families = " ".join(CAPABILITIES), " ".join(FAMILIES)
    reasons = "\n".join(f"# {name}: {why}" for name, why in {**CAPABILITIES, **FAMILIES}.items())
    return f"""\
# Written by `standfast-agent install`; `systemctl edit {NAME}` for changes of your own.
[Unit]
Description=Standfast guard: stops what is protected when this node's lease ends
Documentation=https://standfast.dev
Before=standfast-agent.service
IgnoreOnIsolate=yes
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={program}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=20ms
TimeoutStartSec=20
TimeoutStopSec=90
WatchdogSec=2
WatchdogSignal=SIGKILL
OOMPolicy=continue
OOMScoreAdjust=-1000
CPUSchedulingPolicy=fifo
CPUSchedulingPriority=30
LimitMEMLOCK=infinity
LimitCORE=0
TasksMax=16
RuntimeDirectory=standfast
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
UMask=0077
{reasons}
CapabilityBoundingSet={bound}
RestrictAddressFamilies={families}
NoNewPrivileges=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service @mount
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""

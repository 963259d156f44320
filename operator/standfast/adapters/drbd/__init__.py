"""DRBD: a block device with a copy on every node, driven by `adapters.drivers.drbd`.

What reads and decides is pure: `reading` (what the kernel says), `generations` (how two copies are
related), `plan` (what to do next, and whether writes may go on without the other node), `text`
(the one configuration file). What acts is thin: `tools` runs drbdadm, `asking` is where DRBD's
handlers (`handler`) ask.

DRBD 8.4, as kernels carry it, is driven; of DRBD 9 only the state is read. Sources: drbd.conf(5),
drbdsetup(8), drbdadm(8) of drbd-utils 9.22; drivers/block/drbd of Linux 6.1. Decisions: ADR-0042
to ADR-0044.
"""

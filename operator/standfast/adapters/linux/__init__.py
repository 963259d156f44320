"""What the agent asks of the Linux kernel: clock, disk, addresses, packet filter, frames, units.

Standard library only, apart from the D-Bus connection in `units`: netlink is spoken directly,
because the lease is extended from within the event loop several times a second and must take well
under a millisecond, and because the guard process shares these modules.
"""

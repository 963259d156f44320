"""Disks of this machine: who has them mounted, who uses them, and how that is ended for sure.

Used by the drivers of `filesystem` and `sharedDisk`. Nothing here touches a mounted file system
from the agent's own threads, because a disk that hangs would hang the agent with it: programs do,
and those can be left behind. What is mounted is read from mountinfo, which asks no disk.
"""

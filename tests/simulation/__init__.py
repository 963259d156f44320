"""The simulator put to work: fixed seeds, fresh ones, and the watchers watched.

The simulator itself is `standfast.simulator`; `README.md` lists what it assumes of Linux and where
each assumption is checked on a real kernel.
"""

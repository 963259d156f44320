"""`standfast-guard`: takes a node's resources away when their lease ends, whatever the agent does.

A process of its own beside the agent: standard library only, memory locked, real-time priority,
spared by the kernel's out-of-memory killer. It decides nothing: the agent tells it until when each
lease runs and what must be gone afterwards (`protocol`), and it keeps that over the agent's death
and its own (`state_file`). The loop is `daemon`, the rules are `leases`, the deed is `self_fence`.

Nothing here imports anything of standfast outside this package; the agent's side and the drivers
import `protocol` and `elapsed` from here. Source: `docs/protocol.md`, section 7.
"""

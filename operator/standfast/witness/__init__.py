"""The witness: a voter outside the nodes, for many clusters at once. It never becomes active.

`main` is the command line, `witness` the process, `health` answers probes. Votes, links and API
are those of `standfast.member`, the same as an agent's.
"""

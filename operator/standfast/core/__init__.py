"""The core: every decision Standfast takes, as pure functions.

Standard library only; no I/O, no clock, no randomness: time and messages are arguments, results
are values. Agent, witness, operator, simulator and `kubectl standfast simulate` all run this one
text, because two implementations of "who is active" would be a split brain in source form.

Reading order: `ids`, `timing` (the inequalities), `record` (what members agree on), `messages`,
`state`, `events`, then the rules: `voting`, `standing`, `holding`, `changing`, `identity`, put
together by `quorum.step`. `proof` says what must be proven before a resource starts, `group`
orders the resources of a node, `placement` is the operator's view, `invariants` says what must
always be true. `docs/protocol.md` tells the same in prose.
"""

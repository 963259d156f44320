"""The simulator: a cluster, its machines and its misfortunes, in one process and without a clock.

Discrete events drawn from one seed; true time belongs to the world and to nobody in it. Members
run the real `standfast.core`; everything below them (kernel lease, guard, resources, disk,
network, hypervisor) is modelled as the Linux side promises it, each promise listed with the test
that checks it on a real kernel in `tests/simulation/README.md`. The checkers watch what runs and
what was acknowledged, never what a member believes.

Used by `tests/simulation`, `make simulate` and `kubectl standfast simulate`. Imports the core and
the standard library, and `override` of typing-extensions, nothing else.

Reading order: `plan` (what a run is made of), `draw` (a plan from a seed), `clock`, `network`,
`machine` (kernel and guard), `service` (what runs), `database` (acknowledged writes), `process`
(a member), `overseer` (operators and people), `faults`, `world` (the loop), `checkers`, `story`
(how a failure is told), `shrink`.

Directed runs, of a person's own cluster: `scenario` (what is given), `directed` (the run),
`drivers` and `resources` (the declared group), `seen` and `steward` (the operator with the
declared policy), `declared` (the faults a person can name), `client` (what clients see),
`aftermath` (what is said of it).
"""

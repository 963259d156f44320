"""The operator: keeps what is declared and what is observed together.

`main` starts the process; `handlers` is the whole of kopf: an object that changed goes into the
`store`, its key into the `workqueue`. One pass per key, from scratch each time: observe
(`observation`, the only reader), plan (`core.placement`, pure), execute (`execution`, the only
writer to members and infrastructure), report (`reporting`, the only writer of status). Whatever
takes time is an `errands` item whose end brings the key back. Nothing is written while nothing
changes.
"""

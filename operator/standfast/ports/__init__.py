"""What the processes ask of the world, as Protocols: the obligations stand in the docstrings.

The agent and the witness are written against these names only. `adapters` has the real things,
`adapters.fakes` their twins in memory; one set of contract tests holds both to what is said here.
"""

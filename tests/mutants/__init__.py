"""Planted bugs: exact changes of the core's text, each breaking one rule, each to be caught.

`python -m tests.mutants` applies every one to a copy of the package, runs the unit tests of the
core and the simulator against the copy, and prints by what it was caught and after how many seeds.
Its last line is `caught N of N`. A bug that nothing catches is a hole in the tests, not in the
list.
"""

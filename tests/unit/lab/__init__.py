"""Unit tests of `standfast.lab`."""

"""`python -m standfast.guard`: the same as `standfast-guard`."""

from standfast.guard.main import main

main()

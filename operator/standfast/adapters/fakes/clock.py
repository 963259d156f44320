"""A clock that moves when it is told to."""

from collections.abc import Callable


class FakeClock:
    """The `Clock` port; `advance` moves it and tells those who keep time by it."""

    def __init__(self, now_ms: int = 1_000_000) -> None:
        self._now_ms = now_ms
        self._listeners: list[Callable[[], None]] = []

    def now_ms(self) -> int:
        return self._now_ms

    def advance(self, by_ms: int) -> None:
        """Let time pass; never backwards."""
        assert by_ms >= 0, "this clock does not go back"
        self._now_ms += by_ms
        for listener in self._listeners:
            listener()

    def on_advance(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every advance."""
        self._listeners.append(listener)

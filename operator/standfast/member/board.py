"""When a status is worth reading again: a number that grows, and those who wait for it to grow."""

import asyncio


class Board:
    """The `seq` of `MemberStatus`. Changes within one turn of the event loop count once."""

    def __init__(self) -> None:
        self.seq = 1
        self._changed = asyncio.Event()
        self._is_noted = False

    def change(self) -> None:
        """Something worth reporting is different now."""
        if not self._is_noted:
            self._is_noted = True
            asyncio.get_running_loop().call_soon(self._tell)

    async def wait_past(self, seq: int, timeout_s: float) -> None:
        """Return once `seq` is older than what there is, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.seq <= seq:
                    await self._changed.wait()
        except TimeoutError:
            pass

    def _tell(self) -> None:
        self._is_noted = False
        self.seq += 1
        self._changed.set()
        self._changed = asyncio.Event()

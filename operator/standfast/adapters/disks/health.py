"""Does a mounted file system still take writes? A program asks, which may hang in our place."""

from pathlib import Path

from standfast.adapters.linux.programs import Programs

CHECK_FILE = ".standfast-check"
_FULL = "No space left on device"


class WriteCheck:
    """Writes one block to a file of ours and has it on the disk before it says so.

    Args:
        point: Where the file system is mounted.
    """

    def __init__(self, point: Path) -> None:
        self._file = point / CHECK_FILE
        self._programs = Programs()

    async def problem(self) -> str:
        """Why it does not take writes; empty when it does."""
        if self._programs.running and not await self._programs.end():
            return f"a write to {self._file} hangs: the disk does not answer"
        done = await self._programs.run(
            *("dd", "if=/dev/zero", f"of={self._file}", "bs=512", "count=1"),
            *("conv=notrunc,fsync", "status=none"),
        )
        if done.status == 0 or _FULL in done.said:
            return ""  # a full disk is the application's to notice: another node has it no emptier
        return f"a write failed: {done.said}"

    async def end(self) -> None:
        await self._programs.end()

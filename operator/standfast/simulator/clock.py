"""The clock of one machine: it drifts, stands still while the machine is stopped, or jumps.

Only the world knows true time, in whole microseconds. A machine reads milliseconds, rounded down,
as the agent reads `CLOCK_BOOTTIME`. Rates are whole parts per million, so that a run with the same
seed is the same run on every machine.
"""

MILLION = 1_000_000


class MachineClock:
    """Elapsed time as one machine sees it.

    The kernel's clock stands still while the hypervisor has stopped the machine. A machine with a
    hypervisor clock is told by it afterwards how long that was: its agent and guard then read the
    larger of the two (`docs/protocol.md`, section 1), the kernel's own timers do not.
    """

    __slots__ = ("_kernel_us", "_true_us", "ahead_us", "frozen", "rate_ppm")

    def __init__(self, true_us: int, kernel_us: int, rate_ppm: int) -> None:
        self._true_us = true_us
        self._kernel_us = kernel_us
        self.rate_ppm = rate_ppm
        self.frozen = False
        self.ahead_us = 0

    def kernel_us(self, true_us: int) -> int:
        """The kernel's clock, exactly."""
        if self.frozen:
            return self._kernel_us
        return self._kernel_us + (true_us - self._true_us) * self.rate_ppm // MILLION

    def now_ms(self, true_us: int) -> int:
        """What agent and guard read."""
        return (self.kernel_us(true_us) + self.ahead_us) // 1000

    def when_us(self, at_ms: int) -> int:
        """The first true moment at which agent and guard read `at_ms` or later."""
        return self.when_kernel_us(at_ms * 1000 - self.ahead_us)

    def when_kernel_us(self, kernel_us: int) -> int:
        """The first true moment at which the kernel's clock shows `kernel_us` or later."""
        assert not self.frozen, "a clock that stands still reaches no moment"
        missing = kernel_us - self._kernel_us
        if missing <= 0:
            return self._true_us
        return self._true_us - (-missing * MILLION // self.rate_ppm)

    def set_rate(self, true_us: int, rate_ppm: int) -> None:
        """Change the speed from here on."""
        self._rebase(true_us)
        self.rate_ppm = rate_ppm

    def freeze(self, true_us: int) -> None:
        """The hypervisor stops the machine."""
        self._rebase(true_us)
        self.frozen = True

    def thaw(self, true_us: int, *, told: bool) -> None:
        """The machine goes on.

        Args:
            true_us: Now.
            told: It has a hypervisor clock, which agent and guard see jump; else they cannot tell
                that anything happened.
        """
        stood_us = (true_us - self._true_us) * self.rate_ppm // MILLION
        self.frozen = False
        self._true_us = true_us
        if told:
            self.ahead_us += stood_us

    def _rebase(self, true_us: int) -> None:
        self._kernel_us = self.kernel_us(true_us)
        self._true_us = true_us

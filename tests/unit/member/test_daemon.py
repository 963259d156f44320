"""The loop: acts in turn, ticks when time is due, an end that waits for what was put before."""

import asyncio

from standfast.adapters.linux.clock import BootClock
from standfast.member.daemon import Daemon
from standfast.member.mailbox import Mailbox


class Alarm:
    """Asks for a tick at given moments."""

    def __init__(self, clock: BootClock, delays_ms: list[int]) -> None:
        self.changed = asyncio.Event()
        self._clock = clock
        begin_ms = clock.now_ms()
        self._due = [begin_ms + delay_ms for delay_ms in delays_ms]
        self.rung: list[int] = []

    def next_ms(self) -> int | None:
        return self._due[0] if self._due else None

    def tick(self) -> None:
        now_ms = self._clock.now_ms()
        while self._due and self._due[0] <= now_ms:
            self.rung.append(now_ms - self._due.pop(0))
            self.changed.set()


async def test_acts_run_and_the_end_waits_for_them() -> None:
    mailbox, clock, done = Mailbox(), BootClock(), []
    daemon = Daemon(mailbox, clock, lambda: ())
    mailbox.put(lambda: done.append("first"))
    mailbox.put(lambda: mailbox.put(lambda: done.append("too late")))
    daemon.stop()
    await asyncio.wait_for(daemon.run(), 1)
    assert done == ["first"]


async def test_time_itself_is_an_event() -> None:
    mailbox, clock = Mailbox(), BootClock()
    alarm = Alarm(clock, [5, 12, 13])
    daemon = Daemon(mailbox, clock, lambda: (alarm,))
    running = asyncio.create_task(daemon.run())
    async with asyncio.timeout(2):
        while len(alarm.rung) < 3:
            alarm.changed.clear()
            await alarm.changed.wait()
    daemon.stop()
    await running
    assert all(late_ms >= 0 for late_ms in alarm.rung)


async def test_an_act_may_bring_the_next_moment_forward() -> None:
    mailbox, clock = Mailbox(), BootClock()
    alarm = Alarm(clock, [60_000])
    daemon = Daemon(mailbox, clock, lambda: (alarm,))
    running = asyncio.create_task(daemon.run())
    await asyncio.sleep(0)
    mailbox.put(lambda: alarm._due.insert(0, clock.now_ms() + 5))
    async with asyncio.timeout(2):
        await alarm.changed.wait()
    daemon.stop()
    await running

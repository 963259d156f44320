"""The mailbox: order, and faults of tasks that end the loop instead of vanishing."""

import asyncio

import pytest

from standfast.member.mailbox import Mailbox


async def test_acts_come_out_in_order() -> None:
    mailbox, done = Mailbox(), []
    for number in range(3):
        mailbox.put(lambda number=number: done.append(number))
    for _ in range(3):
        (await mailbox.get())()
    assert done == [0, 1, 2]


async def test_a_fault_in_a_task_is_raised_in_the_loop() -> None:
    mailbox = Mailbox()

    async def faulty() -> None:
        raise ZeroDivisionError

    mailbox.start(faulty(), "faulty")
    act = await mailbox.get()
    with pytest.raises(ZeroDivisionError):
        act()


async def test_an_error_can_be_put_in_the_loops_way() -> None:
    mailbox = Mailbox()
    mailbox.fail(ZeroDivisionError())
    act = await mailbox.get()
    with pytest.raises(ZeroDivisionError):
        act()


async def test_a_cancelled_task_is_no_fault() -> None:
    mailbox = Mailbox()
    task = mailbox.start(asyncio.sleep(10), "long")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert mailbox._queue.empty()


async def test_closing_ends_everything_that_was_started() -> None:
    mailbox = Mailbox()
    task = mailbox.start(asyncio.sleep(10), "long")
    await mailbox.close()
    assert task.cancelled()

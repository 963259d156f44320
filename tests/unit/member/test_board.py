"""The board: changes wake who waits, once for all changes of one turn."""

import asyncio

from standfast.member.board import Board


async def test_changes_of_one_turn_count_once() -> None:
    board = Board()
    for _ in range(5):
        board.change()
    await asyncio.sleep(0)
    assert board.seq == 2


async def test_a_waiter_wakes_with_the_change() -> None:
    board = Board()
    waiter = asyncio.create_task(board.wait_past(1, 10))
    await asyncio.sleep(0)
    board.change()
    await asyncio.wait_for(waiter, 1)
    assert board.seq == 2


async def test_what_is_old_already_is_not_waited_for() -> None:
    board = Board()
    await asyncio.wait_for(board.wait_past(0, 10), 1)


async def test_waiting_ends_with_the_time() -> None:
    board = Board()
    await asyncio.wait_for(board.wait_past(7, 0.01), 1)
    assert board.seq == 1

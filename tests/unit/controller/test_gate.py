"""A gate lets so many through at once, and is held up by nobody."""

import asyncio

import pytest

from standfast.controller.calling import LateError, NotReachedError
from standfast.controller.gate import Gate


async def test_no_more_than_so_many_are_inside_and_all_come_through() -> None:
    gate, inside, most = Gate(2, 10, LateError), 0, 0

    async def act(number: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        return number

    found = await asyncio.gather(*(gate.through(act(number)) for number in range(9)))
    assert (found, most) == (list(range(9)), 2)


async def test_who_is_slow_goes_on_outside_and_lets_the_next_one_in() -> None:
    gate, slow = Gate(1, 0.001, LateError), asyncio.Event()

    async def waits() -> str:
        await slow.wait()
        return "late"

    async def quick() -> str:
        return "quick"

    first = asyncio.create_task(gate.through(waits()))
    await asyncio.sleep(0)
    assert await gate.through(quick()) == "quick"
    slow.set()
    assert await first == "late"


async def test_an_error_comes_through_and_frees_the_place() -> None:
    gate = Gate(1, 10, LateError)

    async def breaks() -> None:
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            await gate.through(breaks())


async def test_who_gives_up_is_not_done_and_takes_no_place() -> None:
    gate, began = Gate(1, 10, LateError), 0

    async def waits() -> None:
        nonlocal began
        began += 1
        await asyncio.Event().wait()

    inside = asyncio.create_task(gate.through(waits()))
    outside = asyncio.create_task(gate.through(waits()))
    await asyncio.sleep(0.01)
    assert began == 1
    for task in (outside, inside):
        task.cancel()
    await asyncio.gather(outside, inside, return_exceptions=True)
    assert began == 1

    async def quick() -> str:
        return "quick"

    assert await gate.through(quick()) == "quick"


async def test_after_something_was_late_everybody_inside_is_waited_for() -> None:
    """Of too many handshakes at once none ends in time, and all begin anew, for ever."""
    gate = Gate(1, 0.001, LateError)
    end, inside = asyncio.Event(), 0

    async def late() -> None:
        raise LateError("late")

    async def slow() -> None:
        nonlocal inside
        inside += 1
        assert inside == 1, "nobody else is let in meanwhile"
        await end.wait()
        inside -= 1

    with pytest.raises(LateError):
        await gate.through(late())
    assert gate.is_strict
    both = [asyncio.create_task(gate.through(slow())) for _ in range(2)]
    await asyncio.sleep(0.02)
    assert inside == 1
    end.set()
    await asyncio.gather(*both)
    assert not gate.is_strict, "they were in time"


async def test_who_is_not_there_makes_the_gate_no_stricter() -> None:
    gate = Gate(1, 0.001, LateError)

    async def absent() -> None:
        raise NotReachedError("absent")

    with pytest.raises(NotReachedError):
        await gate.through(absent())
    assert not gate.is_strict

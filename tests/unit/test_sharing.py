"""One look shared by those who came while another was running."""

import asyncio
from collections.abc import Callable

import pytest

from callboard.domain.errors import Unavailable
from callboard.usecases.sharing import Shared


class Looks:
    """Counts looks; each waits until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.gates: list[asyncio.Event] = []
        self.fails: Callable[[int], bool] = lambda _number: False

    async def __call__(self) -> int:
        self.begun += 1
        number, gate = self.begun, asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        if self.fails(number):
            raise Unavailable(f"look {number}")
        return number

    async def reach(self, number: int) -> None:
        async with asyncio.timeout(5):
            while self.begun < number:
                await asyncio.sleep(0)


async def test_who_comes_while_one_looks_shares_the_next_look() -> None:
    looks = Looks()
    shared = Shared(looks)
    first = asyncio.create_task(shared())
    await looks.reach(1)
    later = [asyncio.create_task(shared()) for _ in range(50)]
    await asyncio.sleep(0)
    looks.gates[0].set()
    assert await first == 1
    await looks.reach(2)
    looks.gates[1].set()
    # Not 1: that look may have seen what was there before they asked.
    assert set(await asyncio.gather(*later)) == {2}
    assert looks.begun == 2


async def test_one_after_the_other_looks_each_time() -> None:
    looks = Looks()
    shared = Shared(looks)
    for number in (1, 2, 3):
        asked = asyncio.create_task(shared())
        await looks.reach(number)
        looks.gates[-1].set()
        assert await asked == number


async def test_a_caller_that_goes_away_takes_nothing_from_the_others() -> None:
    looks = Looks()
    shared = Shared(looks)
    gone, stays = asyncio.create_task(shared()), asyncio.create_task(shared())
    await looks.reach(1)
    gone.cancel()
    await asyncio.sleep(0)
    looks.gates[0].set()
    assert await stays == 1
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_each_caller_has_an_error_of_its_own() -> None:
    """What is noted on one, that it is on record, must not be on the others'."""
    looks = Looks()
    looks.fails = lambda _number: True
    shared = Shared(looks)
    callers = [asyncio.create_task(shared()) for _ in range(3)]
    await looks.reach(1)
    looks.gates[0].set()
    await looks.reach(4)
    for gate in looks.gates:
        gate.set()
    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(error, Unavailable) for error in errors)
    assert len({id(error) for error in errors}) == 3

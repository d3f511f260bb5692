"""How a server's memory is collected: what it starts with is not looked through again and again."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

THRESHOLDS: Final = (50_000, 20, 50)
"""A burst of creates keeps ten thousands of objects for a moment; nearly all of them go by
themselves, so looking for cycles after every 700 is work for nothing."""


@contextmanager
def collected_rarely() -> Iterator[Callable[[], None]]:
    """Collect nothing until the start is over, as the caller says by calling what it gets.

    Ten thousand agents are half a million objects that stay. Each full collection would look at
    all of them, for a third of a second, in the middle of somebody's request; a start makes
    several of them. Frozen, they are left out for good (the few cycles of imports with them).
    """
    before = gc.get_threshold()
    gc.disable()

    def started() -> None:
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.enable()

    try:
        yield started
    finally:
        gc.unfreeze()  # else libraries that count their objects at the exit report them as leaked
        gc.set_threshold(*before)
        gc.enable()

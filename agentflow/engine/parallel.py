"""Shares blocks of work out to threads and takes what they made in the blocks' order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

AHEAD = 2
"""Blocks a thread that may be made before the first that is not yet made: what is waiting takes memory."""

POLL = 0.1  # seconds; short, so that Ctrl-C gets through


def in_order(
    work: Callable[[int], T],
    take: Callable[[T], None],
    blocks: int,
    threads: int,
    tell: Callable[[int], None] | None = None,
) -> None:
    """Make blocks 0 to `blocks` - 1 by `work`, on several threads, and give them to `take` one by one, in order.

    The threads share the blocks out among themselves and hand over what they made: to wake a thread for each block
    costs more than some blocks. `tell` hears now and then, and at the end, how many were taken.
    """
    if threads <= 1:
        for block in range(blocks):
            take(work(block))
            if tell is not None:
                tell(block + 1)
        return
    line = _Line(work, take, blocks, AHEAD * threads)
    team = [threading.Thread(target=line.stand, daemon=True) for _ in range(threads)]
    for thread in team:
        thread.start()
    try:
        for thread in team:
            while thread.is_alive():
                thread.join(POLL)
                if tell is not None:
                    tell(line.taken)
    finally:
        line.stop()
        for thread in team:
            thread.join()
    if line.failure is not None:
        raise line.failure
    if tell is not None:
        tell(line.taken)


class _Line(Generic[T]):
    """What the threads share."""

    def __init__(self, work: Callable[[int], T], take: Callable[[T], None], blocks: int, ahead: int) -> None:
        self.work, self.take, self.blocks, self.ahead = work, take, blocks, ahead
        self.given, self.taken = 0, 0
        self.made: dict[int, T] = {}
        self.failure: BaseException | None = None
        self.turn = threading.Condition()

    def stop(self) -> None:
        """Give out no more."""
        with self.turn:
            self.given = self.blocks
            self.turn.notify_all()

    def stand(self) -> None:
        """Work until nothing is left."""
        try:
            while (block := self._next()) is not None:
                self._hand_over(block, self.work(block))
        except BaseException as failure:
            self.failure = self.failure or failure
            self.stop()

    def _next(self) -> int | None:
        with self.turn:
            while self.given < self.blocks and self.given - self.taken >= self.ahead:
                self.turn.wait()
            if self.given >= self.blocks:
                return None
            self.given += 1
            return self.given - 1

    def _hand_over(self, block: int, made: T) -> None:
        with self.turn:
            self.made[block] = made
            while self.taken in self.made:
                self.take(self.made.pop(self.taken))
                self.taken += 1
            self.turn.notify_all()

"""Blocks shared out to threads: all made, taken in order, never far ahead, failures told."""

from __future__ import annotations

import threading
import time

import pytest

from agentflow.engine.parallel import AHEAD, in_order


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("blocks", [0, 1, 7, 60])
def test_all_are_taken_in_order(threads: int, blocks: int) -> None:
    taken: list[int] = []
    told: list[int] = []

    def work(block: int) -> int:
        time.sleep(0.001 * (block * 7 % 3))
        return block

    in_order(work, taken.append, blocks, threads, told.append)
    assert taken == list(range(blocks))
    assert told == sorted(told)
    assert (told or [0])[-1] == blocks


def test_nobody_runs_far_ahead_of_a_slow_block() -> None:
    begun: list[int] = []
    seen: list[int] = []
    rest = threading.Event()

    def work(block: int) -> int:
        begun.append(block)
        if block == 0:
            rest.wait(0.3)
            seen.extend(begun)
        return block

    in_order(work, lambda made: None, 50, 2)
    assert sorted(seen) == list(range(2 * AHEAD))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failure_ends_the_work_and_is_raised(threads: int) -> None:
    before = threading.active_count()
    begun: list[int] = []

    def work(block: int) -> int:
        begun.append(block)
        if block == 5:
            raise ZeroDivisionError
        return block

    with pytest.raises(ZeroDivisionError):
        in_order(work, lambda made: None, 1000, threads)
    assert len(begun) < 100
    assert threading.active_count() == before

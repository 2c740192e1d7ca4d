"""With constant latencies E2E is the longest path, which brute force finds without a graph library."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

import pytest

from agentflow.engine import run_plan
from agentflow.plan import compile_plan
from tests.make import backend, tool, workflow

Edges = tuple[tuple[int, int], ...]


def dags(n: int) -> Iterator[Edges]:
    """All DAGs of n nodes whose edges lead to higher numbers."""
    pairs = list(itertools.combinations(range(n), 2))
    for size in range(len(pairs) + 1):
        yield from itertools.combinations(pairs, size)


def every_path(n: int, edges: Edges) -> Iterator[list[int]]:
    """All paths that start at any node and end at any node, one by one."""

    def onward(path: list[int]) -> Iterator[list[int]]:
        yield path
        for source, target in edges:
            if source == path[-1]:
                yield from onward([*path, target])

    for start in range(n):
        yield from onward([start])


def relaxed(seconds: list[float], edges: Edges) -> float:
    """The longest path of a larger DAG: lengthen along the edges until nothing grows any more."""
    ends = list(seconds)
    grown = True
    while grown:
        grown = False
        for source, target in edges:
            if ends[source] + seconds[target] > ends[target]:
                ends[target] = ends[source] + seconds[target]
                grown = True
    return max(ends)


def check(seconds: list[float], edges: Edges, expected: float, order: list[int]) -> None:
    """The engine's E2E, and the seconds on its critical path, are those expected."""
    needs = {node: [f"s{source}" for source, target in edges if target == node] for node in order}
    steps = {f"s{node}": tool(seconds[node], *needs[node]) for node in order}
    result = run_plan(compile_plan(workflow(steps), {"*": backend()}), 1, 0)
    assert math.isclose(result.e2e_s[0], expected, rel_tol=1e-12), (seconds, edges)
    assert math.isclose(result.critical_s.sum(), expected, rel_tol=1e-12), (seconds, edges)


def check_all(n: int, rng: random.Random) -> int:
    count = 0
    for edges in dags(n):
        seconds = [rng.uniform(0.1, 2.0) for _ in range(n)]
        expected = max(sum(seconds[node] for node in path) for path in every_path(n, edges))
        check(seconds, edges, expected, list(range(n)))
        count += 1
    return count


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_all_small_dags(n: int) -> None:
    assert check_all(n, random.Random(n)) == 2 ** (n * (n - 1) // 2)


@pytest.mark.slow
def test_all_dags_of_six_nodes() -> None:
    assert check_all(6, random.Random(6)) == 32_768


@pytest.mark.parametrize("seed", range(40))
def test_random_dags(seed: int) -> None:
    """Up to 60 nodes, written down in any order."""
    rng = random.Random(seed)
    n = rng.randint(7, 60)
    density = rng.choice([0.03, 0.1, 0.4])
    edges = tuple(pair for pair in itertools.combinations(range(n), 2) if rng.random() < density)
    seconds = [rng.uniform(0.1, 2.0) for _ in range(n)]
    order = rng.sample(range(n), n)
    check(seconds, edges, relaxed(seconds, edges), order)


def test_the_two_brute_forces_agree() -> None:
    rng = random.Random(0)
    for edges in itertools.islice(dags(5), 0, None, 7):
        seconds = [rng.uniform(0.1, 2.0) for _ in range(5)]
        longest = max(sum(seconds[node] for node in path) for path in every_path(5, edges))
        assert math.isclose(relaxed(seconds, edges), longest, rel_tol=1e-12)

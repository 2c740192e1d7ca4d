"""The engine against closed forms. Each decision is also shown to notice a rate that is off by 5 %."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from agentflow.engine import run_plan
from agentflow.plan import compile_plan
from tests.make import Step, backend, chat, fan, loop, tool, workflow

RUNS = 100_000
SEED = 20_260_101
ERROR = 1e-6
"""Probability that a right engine fails a test (with another seed): exact, by the binomial law."""

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)

Law = Callable[[float], float]


@dataclass(frozen=True)
class Theory:
    """A workflow, and the law of its E2E (s): P(E2E <= x) when all its rates are `rate` times what they are."""

    steps: dict[str, Step]
    law: Callable[[float, float], float]

    def at(self, rate: float) -> Law:
        return lambda x: self.law(x, rate)


def agrees(values: NDArray[np.float64], law: Law, points: list[float]) -> bool:
    """Whether the shares of values up to each point are those of the law, by exact binomial tests."""
    for x in points:
        count = int(np.count_nonzero(values <= x * (1 + 1e-12)))
        p = min(1.0, max(0.0, law(x)))
        if stats.binomtest(count, len(values), p).pvalue < ERROR / len(points):
            return False
    return True


def exponential(x: float, rate: float) -> float:
    return -math.expm1(-rate * x)


def order_statistic(k: int, n: int) -> Callable[[float, float], float]:
    """The k-th of n exponentials."""
    return lambda x, rate: float(stats.binom.sf(k - 1, n, exponential(x, rate)))


def erlang(k: int) -> Callable[[float, float], float]:
    return lambda x, rate: float(stats.gamma.cdf(x * rate, k))


def hedged(after: float) -> Callable[[float, float], float]:
    """An exponential whose second copy starts `after` seconds later."""
    return lambda x, rate: -math.expm1(-rate * (x + max(0.0, x - after)))


def geometric_with_backoff(p: float) -> Callable[[float, float], float]:
    """Attempts of 1 s that fail with p; waits 0.5, 1, 2, 2, ... s: attempt k ends at 1, 2.5, 4.5, 7.5, ..."""
    ends = np.cumsum([1.0, *(1.0 + min(0.5 * 2**k, 2.0) for k in range(60))])
    return lambda x, rate: 1 - (rate * p) ** int(np.count_nonzero(ends <= x * (1 + 1e-12)))


def capped_loop(p: float, most: int) -> Callable[[float, float], float]:
    """Iterations that take an exponential each and go on with p: a mixture of Erlangs."""
    weights = [(1 - p) * p**i for i in range(most - 1)] + [p ** (most - 1)]
    return lambda x, rate: sum(w * float(stats.gamma.cdf(x * rate, i + 1)) for i, w in enumerate(weights))


EXP = {"exponential": {"mean": 1.0}}
AGAIN = {"max_attempts": 100, "initial_interval": 0.0, "jitter": "none", "on": ["server_error"]}
BACKOFF = {"max_attempts": 60, "initial_interval": 0.5, "backoff_factor": 2, "max_interval": 2.0, "jitter": "none"}
FAILS = {"server_error": {"probability": 0.4, "at": "end"}}
FIVE: dict[str, Step] = {f"b{i}": tool(EXP) for i in range(5)}

THEORIES = {
    "a sum of exponentials is Erlang": Theory({"a": tool(EXP), "b": tool(EXP, "a"), "c": tool(EXP, "b")}, erlang(3)),
    "join all is the maximum": Theory({**FIVE, "j": tool(0.0, *FIVE)}, order_statistic(5, 5)),
    "join any is the minimum": Theory({**FIVE, "j": tool(0.0, *FIVE, join="any")}, order_statistic(1, 5)),
    "a quorum of 3 of 5": Theory({**FIVE, "j": tool(0.0, *FIVE, join={"quorum": 3})}, order_statistic(3, 5)),
    "a map's maximum": Theory({"m": fan(8, {"a": tool(EXP)})}, order_statistic(8, 8)),
    "a map's quorum": Theory({"m": fan(8, {"a": tool(EXP)}, join={"quorum": 6})}, order_statistic(6, 8)),
    "a map one at a time is a sum": Theory({"m": fan(4, {"a": tool(EXP)}, max_concurrency=1)}, erlang(4)),
    "retries until success thin the rate": Theory(
        {"a": tool(EXP, errors=FAILS, retry=AGAIN)}, lambda x, rate: exponential(x, 0.6 * rate)
    ),
    "geometric retries with backoff": Theory(
        {"a": tool(1.0, errors=FAILS, retry=BACKOFF)}, geometric_with_backoff(0.4)
    ),
    "a loop thins the rate": Theory(
        {"l": loop(60, {"a": tool(EXP)}, continue_probability=0.6)}, lambda x, rate: exponential(x, 0.4 * rate)
    ),
    "a loop with a bound": Theory({"l": loop(3, {"a": tool(EXP)}, continue_probability=0.6)}, capped_loop(0.6, 3)),
    "a hedge": Theory({"a": tool(EXP, hedge={"after": 0.7})}, hedged(0.7)),
    "a model call's exponential TTFT": Theory({"a": chat(1), "b": chat(1, "a")}, erlang(2)),
}


@cache
def simulated(name: str) -> NDArray[np.float64]:
    place = backend(ttft=EXP, rate=100.0)
    plan = compile_plan(workflow(THEORIES[name].steps), {"*": place})
    return np.asarray(run_plan(plan, RUNS, SEED).e2e_s)


def quantiles(law: Law) -> list[float]:
    """Where the law reaches the shares, by bisection."""
    points = []
    for share in SHARES:
        low, high = 0.0, 1000.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if law(middle) < share else (low, middle)
        points.append(high)
    return points


@pytest.mark.parametrize("name", THEORIES)
def test_the_engine_follows_the_law(name: str) -> None:
    law = THEORIES[name].at(1.0)
    assert agrees(simulated(name), law, quantiles(law))


@pytest.mark.parametrize("rate", [0.95, 1.05])
@pytest.mark.parametrize("name", THEORIES)
def test_a_rate_off_by_five_percent_is_noticed(name: str, rate: float) -> None:
    points = quantiles(THEORIES[name].at(1.0))
    assert not agrees(simulated(name), THEORIES[name].at(rate), points)


def constants_agree(values: NDArray[np.float64], expected: float) -> bool:
    return bool(np.all(np.abs(values - expected) <= 1e-9 * expected))


def test_a_sum_of_constants_is_exact() -> None:
    place = backend(ttft=0.3, rate=70.0, network=0.01, prefill_rate=9000.0)
    steps: dict[str, Any] = {"a": chat(71, input_tokens=900), "b": tool(0.7, "a"), "c": chat(1, "b")}
    plan = compile_plan(workflow(steps), {"*": place})
    values = np.asarray(run_plan(plan, 1000, SEED).e2e_s)
    expected = 2 * 0.31 + 0.1 + 1.0 + 0.7
    assert constants_agree(values, expected)
    assert not constants_agree(values, 1.05 * expected)
    assert not constants_agree(values, 0.95 * expected)

"""The event engine agrees with queueing theory: means inside a 99.9 % interval no wider than 2 % to a side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import stats

from agentflow.engine.arrivals import Arrivals, Closed, Renewal
from agentflow.engine.events import Timeline, compile_events
from agentflow.plan import Plan, compile_plan
from tests.load.contended import limited
from tests.make import backend, chat, loop, workflow

REPLICATIONS = 20


@dataclass(frozen=True)
class Seen:
    """What each replication saw: means over its runs and over its time, shape (R,) or (R, K) by resource."""

    e2e: np.ndarray
    wait: np.ndarray
    queue: np.ndarray
    busy: np.ndarray
    served_rate: np.ndarray
    throughput: np.ndarray


def observe(plan: Plan, arrivals: Arrivals, runs: int, warmup: int, seed: int = 1) -> Seen:
    compile_events(plan)
    rows = []
    for number in range(REPLICATIONS):
        times: list[float] = []
        look = Timeline(plan, arrivals, seed, number).run(
            warmup, runs, lambda ended, n, _, times=times: times.append(float(ended.times[:n, 0].sum())) or 0
        )
        served = look.counts[:, 0]
        waits, areas = look.areas[:, 2] / served, look.areas / look.clock
        rows.append((sum(times) / runs, waits, areas[:, 1], areas[:, 0], served / look.clock, look.ended / look.clock))
    return Seen(*(np.array(column) for column in zip(*rows, strict=True)))


def agrees(seen: np.ndarray, theory: float, width: float = 0.02) -> None:
    """Assert that the theory's mean is inside the interval of the replications' means, and that this is narrow."""
    half = float(stats.t.ppf(0.9995, len(seen) - 1) * seen.std(ddof=1) / math.sqrt(len(seen)))
    assert half <= width * theory, f"half-width {half / theory:.2%}"
    assert abs(seen.mean() - theory) <= half, f"{seen.mean()!r} +- {half!r}, not {theory!r}"


def station(slots: int, service: Any, name: str = "station") -> Any:
    """A backend that holds a slot for its TTFT and no longer: the answer is one token."""
    return limited(backend(name, ttft=service), concurrency=slots)


def one(slots: int, service: Any) -> Plan:
    return compile_plan(workflow({"a": chat(1)}), {"*": station(slots, service)})


def erlang_c(slots: int, load: float) -> float:
    """Probability of waiting in M/M/c (Erlang 1917); `load` in erlangs."""
    terms = [load**k / math.factorial(k) for k in range(slots)]
    last = load**slots / math.factorial(slots) * slots / (slots - load)
    return last / (sum(terms) + last)


EXPONENTIAL = {"exponential": {"mean": 1.0}}


def test_mm1() -> None:
    rho = 0.7
    seen = observe(one(1, EXPONENTIAL), Renewal(per_second=rho), 200_000, 2_000)
    agrees(seen.wait[:, 0], rho / (1 - rho))
    agrees(seen.e2e, 1 / (1 - rho))
    agrees(seen.queue[:, 0], rho**2 / (1 - rho))
    agrees(seen.busy[:, 0], rho)


@pytest.mark.parametrize("slots", [2, 4])
def test_mmc(slots: int) -> None:
    load = 0.75 * slots
    seen = observe(one(slots, EXPONENTIAL), Renewal(per_second=load), 400_000, 2_000)
    agrees(seen.wait[:, 0], erlang_c(slots, load) / (slots - load))
    agrees(seen.busy[:, 0], load)


SERVICES: Mapping[str, tuple[Any, float]] = {  # of mean 1, with the square of their coefficient of variation
    "constant": (1.0, 0.0),
    "uniform": ({"uniform": [0, 2]}, 1 / 3),
    "gamma": ({"gamma": {"mean": 1.0, "cv": 1.4142135623730951}}, 2.0),
    "lognormal": ({"lognormal": {"mu": -0.3, "sigma": 0.7745966692414834}}, math.exp(0.6) - 1),
}


@pytest.mark.parametrize("name", SERVICES)
def test_mg1(name: str) -> None:
    """Pollaczek (1930), Khinchine (1932)."""
    rho = 0.65
    service, variation = SERVICES[name]
    seen = observe(one(1, service), Renewal(per_second=rho), 250_000, 2_000)
    agrees(seen.wait[:, 0], rho * (1 + variation) / (2 * (1 - rho)))


def test_tandem() -> None:
    """Burke (1956): what leaves M/M/1 arrives at the next as a Poisson process."""
    made = workflow({"a": chat(1), "b": chat(1, "a")})
    slow = {"exponential": {"mean": 0.8}}
    plan = compile_plan(made, {"a": station(1, EXPONENTIAL, "first"), "b": station(2, slow, "second")})
    seen = observe(plan, Renewal(per_second=0.7), 300_000, 2_000)
    first, second = plan.resources[0].name == "first", plan.resources[1].name == "second"
    assert first and second
    load = 0.7 * 0.8
    agrees(seen.wait[:, 0], 0.7 / 0.3)
    agrees(seen.wait[:, 1], erlang_c(2, load) / (2 / 0.8 - 0.7), width=0.03)


def test_feedback() -> None:
    """Jackson (1957): a call that comes back with probability 1/2 makes twice the load."""
    plan = compile_plan(
        workflow({"l": loop(40, {"a": chat(1)}, continue_probability=0.5)}), {"*": station(1, EXPONENTIAL)}
    )
    rate = 0.325
    seen = observe(plan, Renewal(per_second=rate), 120_000, 2_000)
    agrees(seen.e2e, 2 / (1 - 2 * rate))
    agrees(seen.busy[:, 0], 2 * rate)


def test_closed_loop() -> None:
    """Exact mean value analysis (Reiser, Lavenberg 1980) of users who think and one queue."""
    users, think = 8, 5.0
    response, length = 0.0, 0.0
    for n in range(1, users + 1):
        response = 1.0 + length
        length = n * response / (think + response)
    seen = observe(one(1, EXPONENTIAL), Closed(number=users, think=think), 60_000, 2_000)
    agrees(seen.e2e, response)
    agrees(seen.throughput, users / (think + response))


@pytest.mark.parametrize("arrivals", [Renewal(per_second=2.0), Renewal(per_second=2.0, cv=3.0)])
def test_littles_law(arrivals: Renewal) -> None:
    seen = observe(one(3, EXPONENTIAL), arrivals, 50_000, 2_000)
    assert seen.queue.mean() == pytest.approx((seen.served_rate * seen.wait).mean(), rel=0.01)
    assert seen.busy.mean() == pytest.approx(seen.served_rate.mean(), rel=0.01)  # services last a second


@pytest.mark.parametrize("wrong", [0.95, 1.05])
def test_a_load_that_is_wrong_by_a_twentieth_is_noticed(wrong: float) -> None:
    seen = observe(one(1, EXPONENTIAL), Renewal(per_second=0.7 * wrong), 120_000, 2_000)
    with pytest.raises(AssertionError):
        agrees(seen.wait[:, 0], 0.7 / 0.3)

"""The reference's distributions against SciPy's, and its keys against SplitMix64's published output."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats  # type: ignore[import-untyped]

from agentflow.schema import Backend
from tests.make import backend, fan, tool, workflow
from tests.reference import keys, laws

N = 4000
DRAWS = [keys.sub_key(99, j) for j in range(N)]


def duration(written: Any) -> Any:
    made: Backend = backend(ttft=written)
    return made.law.measured.ttft


def count(written: Any) -> Any:
    step: Any = workflow({"m": fan(written, {"a": tool(1.0)}, max_count=100)}).steps["m"]
    return step.count


def test_splitmix64() -> None:
    """The first outputs from state 0, as in the reference implementation: mix(i * G)."""
    outputs = [keys.mix(i * keys.G) for i in (1, 2, 3)]
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_each_index_of_an_instance_counts() -> None:
    indices: list[tuple[int, ...]] = [(), (0,), (1,), (0, 0), (0, 1), (1, 0)]
    assert len({keys.instance(path, at) for path in ("a.b", "a") for at in indices}) == 12


@pytest.mark.parametrize(
    ("written", "cdf"),
    [
        ({"uniform": [1, 3]}, stats.uniform(1, 2).cdf),
        ({"lognormal": {"p50": 2, "p95": 5}}, stats.lognorm(math.log(2.5) / 1.6448536269514722, scale=2).cdf),
        ({"lognormal": {"mu": 0.5, "sigma": 0.4}}, stats.lognorm(0.4, scale=math.exp(0.5)).cdf),
        ({"exponential": {"mean": 3}, "shift": 1}, stats.expon(1, 3).cdf),
        ({"weibull": {"scale": 2, "shape": 1.5}}, stats.weibull_min(1.5, scale=2).cdf),
        ({"gamma": {"mean": 2, "cv": 0.5}}, stats.gamma(4, scale=0.5).cdf),
        ({"gamma": {"mean": 2, "cv": 2.0}}, stats.gamma(0.25, scale=8).cdf),
        ({"quantiles": {"p10": 1, "p50": 2, "p90": 4}}, stats.lognorm(math.log(2) / 1.2815515655446004, scale=2).cdf),
        (
            {"mixture": [{"weight": 3, "uniform": [0, 1]}, {"weight": 1, "uniform": [5, 6]}]},
            lambda x: 0.75 * stats.uniform(0, 1).cdf(x) + 0.25 * stats.uniform(5, 1).cdf(x),
        ),
    ],
)
def test_a_continuous_family(written: Any, cdf: Callable[[Any], Any]) -> None:
    law = duration(written)
    assert stats.kstest([laws.duration(law, draw) for draw in DRAWS], cdf).pvalue > 1e-3


def test_a_normal_is_cut_at_zero() -> None:
    law = duration({"normal": {"mean": 1, "sd": 2}})
    values = [laws.duration(law, draw) for draw in DRAWS]
    assert min(values) == 0.0
    assert sum(v == 0 for v in values) / N == pytest.approx(stats.norm.cdf(-0.5), abs=0.03)
    assert sum(v <= 3 for v in values) / N == pytest.approx(stats.norm.cdf(1), abs=0.03)


def test_quantiles_down_to_zero_are_linear_and_flat_outside() -> None:
    law = duration({"quantiles": {"p20": 0, "p50": 1, "p90": 3}})
    for draw in DRAWS[:500]:
        u = keys.uniform(draw)
        expected = 0.0 if u < 0.2 else (u - 0.2) / 0.3 if u < 0.5 else min(3.0, 1 + 2 * (u - 0.5) / 0.4)
        assert laws.duration(law, draw) == pytest.approx(expected)


def test_whole_numbers() -> None:
    ends = Counter(laws.count(count({"uniform": [2, 5]}), draw) for draw in DRAWS)
    assert sorted(ends) == [2, 3, 4, 5]
    assert stats.chisquare([ends[n] for n in (2, 3, 4, 5)]).pvalue > 1e-3
    samples = {laws.count(count({"samples": [1, 2.5, 3.4]}), draw) for draw in DRAWS}
    assert samples == {1, 3}
    shifted = {laws.count(count({"uniform": [2, 3], "shift": -3}), draw) for draw in DRAWS}
    assert shifted == {0}


def test_a_mixture_draws_its_part_by_a_key_of_its_own() -> None:
    law = duration({"mixture": [{"weight": 1, "exponential": {"mean": 1}}, {"weight": 1, "exponential": {"mean": 1}}]})
    values = [laws.duration(law, draw) for draw in DRAWS]
    assert stats.kstest(values, stats.expon.cdf).pvalue > 1e-3

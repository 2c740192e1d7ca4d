"""Paired comparisons: right intervals, narrower than without the pairing."""

from __future__ import annotations

import numpy as np
import pytest

from agentflow.analysis.compare import compare_results, paired_difference, paired_ratio
from agentflow.analysis.metrics import Metrics, Stat
from tests.analysis.made import lognormal, made


def test_a_scenario_beside_itself_is_once_as_fast() -> None:
    found = compare_results(["a", "b"], [made(lognormal(1, 1000))] * 2)
    for name, e in found.cases[1].speedup.items():
        assert e is not None and e.low is not None and e.high is not None
        skew = 1e-12 if name == "mean" else 0.02  # a quantile's own interval is not symmetric
        assert (e.low, e.value, e.high) == pytest.approx((1.0, 1.0, 1.0), abs=skew)


def test_twice_the_time_is_half_the_speed() -> None:
    times = lognormal(3, 5000)
    found = compare_results(["slow", "fast"], [made(2.0 * times), made(times)])
    assert found.baseline == 0
    for name in ("mean", "p50", "p95"):
        e = found.cases[1].speedup[name]
        assert e is not None and e.value == pytest.approx(2.0) and e.half_width == pytest.approx(0.0, abs=0.05)
        assert found.cases[1].difference_s[name].value < 0.0


@pytest.mark.parametrize("stat", ["mean", 0.5, 0.95])
def test_the_interval_of_a_ratio_covers_it(stat: Stat) -> None:
    """Correlated lognormals with the same sigma: the ratio of means and of all quantiles is 3."""
    rng, covered, repetitions = np.random.default_rng(5), 0, 1000
    for _ in range(repetitions):
        shared, mine, other = (rng.standard_normal(800) for _ in range(3))
        a = made(3.0 * np.exp(0.4 * shared + 0.3 * mine))
        b = made(np.exp(0.4 * shared + 0.3 * other))
        e = paired_ratio(Metrics(a), Metrics(b), stat)
        assert e is not None and e.low is not None and e.high is not None
        covered += e.low <= 3.0 <= e.high
    assert 0.935 <= covered / repetitions <= 0.985


def test_pairing_narrows_the_interval() -> None:
    times, other = lognormal(1, 4000), lognormal(2, 4000)
    noise = np.exp(0.05 * np.random.default_rng(3).standard_normal(4000))
    for stat in ("mean", 0.5, 0.95):
        paired = paired_difference(Metrics(made(times * noise)), Metrics(made(times)), stat).half_width
        apart = paired_difference(Metrics(made(times * noise)), Metrics(made(other)), stat).half_width
        assert paired is not None and apart is not None
        assert paired < 0.6 * apart


def test_no_ratio_to_a_time_of_zero_and_no_bounds_from_few_runs() -> None:
    assert paired_ratio(Metrics(made(np.ones(100))), Metrics(made(np.zeros(100))), 0.5) is None
    e = paired_ratio(Metrics(made(lognormal(1, 50))), Metrics(made(lognormal(1, 50))), 0.95)
    assert e is not None and (e.low, e.runs_needed) == (None, 72)


def test_unpaired_results_are_refused() -> None:
    with pytest.raises(ValueError, match="one seed"):
        compare_results(["a", "b"], [made([1.0], seed=1), made([1.0], seed=2)])

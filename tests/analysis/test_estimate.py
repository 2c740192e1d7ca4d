"""Ranks, Student's t and shares agree with SciPy; intervals cover what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agentflow.estimate import (
    mean_estimate,
    quantile_estimate,
    quantile_ranks,
    runs_needed,
    share_estimate,
    student_quantile,
)

SIZES = [6, 7, 35, 36, 71, 72, 73, 100, 367, 368, 1000, 10_000, 123_457, 1_000_000]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("p", [0.05, 0.5, 0.9, 0.95, 0.99])
def test_ranks_are_the_tightest_with_at_most_a_fortieth_on_each_side(n: int, p: float) -> None:
    ranks = quantile_ranks(n, p)
    if n < runs_needed(p):
        assert ranks is None
        return
    assert ranks is not None
    low, high = ranks
    assert stats.binom.cdf(low - 1, n, p) <= 0.025 < stats.binom.cdf(low, n, p)
    assert stats.binom.sf(high - 1, n, p) <= 0.025 < stats.binom.sf(high - 2, n, p)


@pytest.mark.parametrize(("p", "least"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688)])
def test_too_few_runs_give_no_bound_and_say_how_many_would(p: float, least: int) -> None:
    before = quantile_estimate(np.arange(float(least - 1)), p)
    assert (before.low, before.high, before.runs_needed) == (None, None, least)
    enough = quantile_estimate(np.arange(float(least)), p)
    assert enough.low is not None and enough.high is not None
    assert enough.low <= enough.value <= enough.high
    assert enough.runs_needed == 0


def test_the_value_is_numpys_quantile() -> None:
    values = np.sort(np.random.default_rng(1).exponential(size=777))
    for p in (0.013, 0.5, 0.9, 0.95, 0.99):
        assert quantile_estimate(values, p).value == pytest.approx(float(np.quantile(values, p)), rel=1e-14)


@pytest.mark.parametrize("freedom", [*range(1, 70), 100, 1000, 10**6])
def test_students_quantiles_agree_with_scipy(freedom: int) -> None:
    for p in (0.9, 0.975, 0.995):
        assert student_quantile(p, freedom) == pytest.approx(stats.t.ppf(p, freedom), rel=1e-7)


def test_wilsons_interval_agrees_with_scipy() -> None:
    for count, n in ((0, 10), (1, 10), (5, 10), (10, 10), (3, 10_000)):
        e = share_estimate(count, n)
        wilson = stats.binomtest(count, n).proportion_ci(method="wilson")
        assert (e.low, e.high) == pytest.approx((wilson.low, wilson.high), abs=1e-12)


def test_the_mean_of_one_run_has_no_interval_and_that_of_equal_runs_no_width() -> None:
    assert mean_estimate(np.array([3.0])).low is None
    e = mean_estimate(np.full(10, 3.0))
    assert (e.low, e.value, e.high) == (3.0, 3.0, 3.0)


def sample(law: str, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Lognormal, or calls of which one in ten fails and is tried again after a wait with jitter."""
    if law == "lognormal":
        return np.exp(0.6 * rng.standard_normal(shape))
    first, second = (np.exp(0.4 * rng.standard_normal(shape)) for _ in range(2))
    return first + (rng.random(shape) < 0.1) * (0.5 + 0.5 * rng.random(shape) + second)


@pytest.mark.parametrize("law", ["lognormal", "retry mixture"])
@pytest.mark.parametrize(("p", "runs"), [(0.5, 1000), (0.95, 1000), (0.99, 3000)])
def test_intervals_cover_the_true_quantile(law: str, p: float, runs: int) -> None:
    truth = float(np.quantile(sample(law, np.random.default_rng(1), (4_000_000,)), p))
    rng, covered, repetitions = np.random.default_rng(2), 0, 2000
    for _ in range(repetitions):
        e = quantile_estimate(np.sort(sample(law, rng, (runs,))), p)
        assert e.low is not None and e.high is not None
        covered += e.low <= truth <= e.high
    assert 0.935 <= covered / repetitions <= 0.98


def test_that_test_would_see_a_level_off_by_five_percent() -> None:
    rng, covered, repetitions = np.random.default_rng(2), 0, 2000
    for _ in range(repetitions):
        e = quantile_estimate(np.sort(sample("lognormal", rng, (1000,))), 0.95, level=0.90)
        assert e.low is not None and e.high is not None
        covered += e.low <= float(np.exp(0.6 * stats.norm.ppf(0.95))) <= e.high
    assert covered / repetitions < 0.935

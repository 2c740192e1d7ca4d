"""Intervals cover what they promise, and are not given where they cannot."""

from __future__ import annotations

import numpy as np
import pytest

from agentflow.estimate import quantile_estimate, runs_needed

REPETITIONS = 2000


def _lognormal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return np.exp(0.6 * rng.standard_normal(shape))


def _retry_mixture(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    base = np.exp(0.4 * rng.standard_normal(shape))
    failed = rng.random(shape) < 0.1
    return base + failed * (0.5 + 0.5 * rng.random(shape) + np.exp(0.4 * rng.standard_normal(shape)))


@pytest.mark.parametrize("law", [_lognormal, _retry_mixture])
@pytest.mark.parametrize("p", [0.5, 0.95, 0.99])
def test_intervals_cover(law, p) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(7)
    runs = 2000 if p == 0.99 else 500  # an exact interval of few values covers more than it has to
    truth = np.quantile(law(rng, (1, 4_000_000))[0], p)
    values = np.sort(law(rng, (REPETITIONS, runs)), axis=1)
    covered = 0
    for row in values:
        e = quantile_estimate(row, p)
        assert e.low is not None and e.high is not None
        covered += e.low <= truth <= e.high
    assert 0.935 <= covered / REPETITIONS <= 0.98


def test_no_bound_where_the_runs_are_too_few() -> None:
    for p, least in ((0.95, 72), (0.99, 368)):
        assert runs_needed(p) == least
        assert quantile_estimate(np.arange(least - 1.0), p).high is None
        assert quantile_estimate(np.arange(least + 0.0), p).high is not None

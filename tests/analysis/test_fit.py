"""Fits find known laws, the choice goes by unseen values, and stalls are told from tails."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agentflow.analysis.fitting.families import FAMILIES, gamma, weibull
from agentflow.analysis.fitting.fit import SPEED_SPREAD, TTFT_SPREAD, fit, held_out, split_stalls
from agentflow.analysis.fitting.laws import quantile
from agentflow.schema import Constant, LogNormal, Samples

P = np.array([0.05, 0.5, 0.95])


def test_gamma_and_weibull_agree_with_scipys_maximum_likelihood() -> None:
    x = stats.gamma(3.0, scale=0.2).rvs(500, random_state=1)
    shape, _, scale = stats.gamma.fit(x, floc=0.0)
    fitted = gamma(x)
    assert fitted.cv == pytest.approx(1 / np.sqrt(shape), rel=1e-5)
    assert fitted.mean == pytest.approx(shape * scale, rel=1e-5)
    x = stats.weibull_min(6.0, scale=100.0).rvs(500, random_state=2)
    shape, _, scale = stats.weibull_min.fit(x, floc=0.0)
    law = weibull(x)
    assert (law.shape, law.scale) == pytest.approx((shape, scale), rel=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_comes_near_a_plain_sample(family: str) -> None:
    x = np.random.default_rng(7).lognormal(-1.0, 0.25, 600)
    law = FAMILIES[family][0](x)
    np.testing.assert_allclose(quantile(law, P), np.quantile(x, P), rtol=0.17)


def test_a_floor_with_a_right_tail_is_found() -> None:
    x = 0.3 + np.random.default_rng(1).lognormal(-2.0, 0.8, 800)
    found = fit(x, spread=TTFT_SPREAD)
    assert found.family == "shifted lognormal"
    assert found.law.shift == pytest.approx(0.3, abs=0.02)
    assert found.candidates[0].score >= found.candidates[-1].score


def test_left_skewed_speeds_are_weibull() -> None:
    x = stats.weibull_min(8.0, scale=100.0).rvs(600, random_state=4)
    assert fit(x, spread=SPEED_SPREAD).family in ("weibull", "shifted weibull")


def test_two_modes_are_a_mixture_or_a_table() -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.lognormal(-1.0, 0.1, 200), rng.lognormal(1.0, 0.1, 100)])
    found = fit(x, spread=TTFT_SPREAD)
    assert found.family in ("mixture of 2 lognormals", "5 quantiles", "7 quantiles", "9 quantiles")
    np.testing.assert_allclose(quantile(found.law, [0.2, 0.9]), np.quantile(x, [0.2, 0.9]), rtol=0.1)


def test_the_choice_does_not_depend_on_the_unit() -> None:
    x = np.random.default_rng(5).gamma(4.0, 0.1, 100)
    a, b = fit(x, spread=TTFT_SPREAD), fit(1000.0 * x, spread=TTFT_SPREAD)
    assert a.family == b.family
    np.testing.assert_allclose(quantile(b.law, P), 1000.0 * quantile(a.law, P), rtol=1e-6)


def test_a_held_out_score_is_lower_than_an_in_sample_one() -> None:
    x = np.random.default_rng(6).lognormal(0.0, 0.3, 40)
    assert np.mean(held_out(x, "9 quantiles")) < np.mean(held_out(x, "lognormal"))


def test_equal_values_are_a_constant() -> None:
    assert fit(np.full(40, 2.0), spread=TTFT_SPREAD).law == Constant(value=2.0)


def test_few_requests_get_an_assumed_spread() -> None:
    found = fit(np.array([1.0, 1.0, 1.0]), spread=0.2)
    assert isinstance(found.law, LogNormal)
    assert found.law.sigma == pytest.approx(0.2 * np.sqrt(10 / 12))
    assert found.note == "3 requests: 83% of the spread is assumed"


@pytest.mark.parametrize("values", [[], [1.0, 0.0], [1.0, np.nan]])
def test_values_must_be_positive(values: list[float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        fit(np.array(values), spread=0.2)


def test_rare_far_outliers_are_stalls() -> None:
    x = np.random.default_rng(8).lognormal(-1.0, 0.2, 100)
    x[[3, 50]] = [30.0, 100.0]
    split = split_stalls(x)
    assert np.flatnonzero(~split.body).tolist() == [3, 50]
    assert split.probability == 0.02
    assert isinstance(split.excess, Samples)
    assert split.excess.values == pytest.approx((30.0, 100.0), rel=0.02)


def test_a_heavy_tail_is_no_stall() -> None:
    x = np.random.default_rng(9).lognormal(0.0, 0.9, 200)
    assert split_stalls(x).excess is None


def test_many_slow_requests_are_no_stall() -> None:
    x = np.full(100, 0.5)
    x[:10] = 30.0
    assert split_stalls(x).excess is None

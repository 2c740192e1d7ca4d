"""Densities and quantiles agree with scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from agentflow.analysis.fitting.families import harrell_davis_weights
from agentflow.analysis.fitting.laws import cdf, draw, log_density, ndtri, quantile
from agentflow.schema import (
    Constant,
    Distribution,
    Exponential,
    Gamma,
    LogNormal,
    Mixture,
    Normal,
    Quantiles,
    Samples,
    Uniform,
    Weibull,
)

P = np.array([0.001, 0.05, 0.3, 0.5, 0.8, 0.95, 0.999])

CASES: list[tuple[Distribution, Any]] = [
    (LogNormal(mu=-1.0, sigma=0.4, shift=0.2), stats.lognorm(0.4, loc=0.2, scale=np.exp(-1.0))),
    (Gamma(mean=2.0, cv=0.7), stats.gamma(1 / 0.49, scale=0.98)),
    (Gamma(mean=2.0, cv=1.5), stats.gamma(1 / 2.25, scale=4.5)),
    (Gamma(mean=90.0, cv=0.02), stats.gamma(2500, scale=0.036)),
    (Weibull(scale=100.0, shape=7.0, shift=5.0), stats.weibull_min(7.0, loc=5.0, scale=100.0)),
    (Exponential(mean=3.0), stats.expon(scale=3.0)),
    (Normal(mean=5.0, sd=1.0), stats.norm(5.0, 1.0)),
    (Uniform(low=1.0, high=4.0), stats.uniform(1.0, 3.0)),
]


@pytest.mark.parametrize(("law", "known"), CASES, ids=lambda c: getattr(c, "family", ""))
def test_against_scipy(law: Distribution, known: Any) -> None:
    x = known.ppf(P)
    np.testing.assert_allclose(quantile(law, P), x, rtol=3e-5)
    np.testing.assert_allclose(log_density(law, x), known.logpdf(x), atol=1e-6)
    np.testing.assert_allclose(cdf(law, x), P, atol=1e-5)


def test_a_quantile_table_is_a_piecewise_lognormal() -> None:
    known = stats.lognorm(0.3, scale=2.0)
    p = (0.05, 0.5, 0.95)
    law = Quantiles(points=tuple((q, float(known.ppf(q))) for q in p))
    np.testing.assert_allclose(quantile(law, P), known.ppf(P), rtol=1e-9)
    np.testing.assert_allclose(log_density(law, known.ppf(P)), known.logpdf(known.ppf(P)), atol=1e-9)


def test_a_table_that_reaches_zero_is_linear() -> None:
    law = Quantiles(points=((0.1, 0.0), (0.5, 1.0), (0.9, 3.0)))
    np.testing.assert_allclose(quantile(law, [0.05, 0.3, 0.7, 0.99]), [0.0, 0.5, 2.0, 3.0])
    with pytest.raises(TypeError, match="no density"):
        log_density(law, [1.0])


def test_a_mixtures_quantiles_invert_its_distribution_function() -> None:
    parts = (LogNormal(mu=0.0, sigma=0.1), LogNormal(mu=2.0, sigma=0.2))
    law = Mixture(weights=(3.0, 1.0), parts=parts, shift=1.0)
    np.testing.assert_allclose(cdf(law, quantile(law, P)), P, atol=1e-9)
    known = 0.75 * stats.lognorm(0.1).pdf(1.05) + 0.25 * stats.lognorm(0.2, scale=np.exp(2.0)).pdf(1.05)
    assert log_density(law, [2.05])[0] == pytest.approx(np.log(known))


def test_points_masses_have_quantiles_and_no_density() -> None:
    assert quantile(Constant(value=2.0, shift=1.0), P).tolist() == [3.0] * len(P)
    assert quantile(Samples(values=(1.0, 2.0, 9.0)), [0.1, 0.5, 0.9]).tolist() == [1.0, 2.0, 9.0]
    with pytest.raises(TypeError, match="no density"):
        log_density(Constant(value=2.0), [2.0])


def test_draws_follow_the_law() -> None:
    law = LogNormal(mu=0.0, sigma=0.5)
    for n in (500, 20_000):
        x = draw(law, n, np.random.default_rng(3))
        np.testing.assert_allclose(np.quantile(x, [0.05, 0.5, 0.95]), quantile(law, [0.05, 0.5, 0.95]), rtol=0.01)


def test_the_inverse_normal_and_the_harrell_davis_weights_against_scipy() -> None:
    np.testing.assert_allclose(ndtri(P), stats.norm.ppf(P), rtol=1e-12)
    steps = stats.beta(38 * 0.95, 38 * 0.05).cdf(np.arange(38) / 37)
    np.testing.assert_allclose(harrell_davis_weights(37, 0.95), np.diff(steps), atol=1e-4)

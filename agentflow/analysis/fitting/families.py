"""Fits of one family to a sample: each takes values and returns a law of the schema.

Durations in seconds, rates in tokens per second; all values must be positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from agentflow.analysis.fitting.laws import log_density
from agentflow.schema import Constant, Distribution, Gamma, LogNormal, Mixture, Quantiles, Weibull

Floats = NDArray[np.float64]
Fitter = Callable[[Floats], Distribution]

TABLE_5 = (0.05, 0.25, 0.50, 0.75, 0.95)
TABLE_7 = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
TABLE_9 = (0.02, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.98)

_LEAST_SIGMA = 1e-4


def constant(x: Floats) -> Constant:
    """Return the median as a constant."""
    return Constant(value=float(np.median(x)))


def lognormal(x: Floats) -> LogNormal:
    """Maximum likelihood, with the unbiased variance (small samples understate their spread)."""
    logs = np.log(x)
    sigma = float(np.std(logs, ddof=1)) if len(x) > 1 else 0.0
    return LogNormal(mu=float(np.mean(logs)), sigma=max(sigma, _LEAST_SIGMA))


def shifted_lognormal(x: Floats) -> Distribution:
    """Fit a floor and a lognormal excess above it."""
    return _best_shift(x, lognormal)


def gamma(x: Floats) -> Gamma:
    """Maximum likelihood by Newton steps on the shape (Minka, *Estimating a Gamma distribution*, 2002)."""
    mean = float(np.mean(x))
    s = max(math.log(mean) - float(np.mean(np.log(x))), 1e-10)
    k = (3.0 - s + math.sqrt((s - 3.0) ** 2 + 24.0 * s)) / (12.0 * s)
    for _ in range(20):
        step = (math.log(k) - _digamma(k) - s) / (1.0 / k - _trigamma(k))
        k = max(k - step, k / 10.0)
        if abs(step) < 1e-10 * k:
            break
    return Gamma(mean=mean, cv=1.0 / math.sqrt(min(k, 1e8)))


def weibull(x: Floats) -> Weibull:
    """Maximum likelihood: a fixed-point equation in the shape alone, by bisection."""
    logs = np.log(x / np.max(x))
    mean_log = float(np.mean(logs))

    def excess(k: float) -> float:
        w = np.exp(np.maximum(k * logs, -700.0))
        return float(np.sum(w * logs) / np.sum(w)) - 1.0 / k - mean_log

    low, high = 1e-2, 1e4
    for _ in range(80):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if excess(middle) < 0.0 else (low, middle)
    k = math.sqrt(low * high)
    scale = float(np.max(x)) * float(np.mean(np.exp(np.maximum(k * logs, -700.0)))) ** (1.0 / k)
    return Weibull(scale=scale, shape=k)


def shifted_weibull(x: Floats) -> Distribution:
    """Fit a floor and a Weibull excess above it."""
    return _best_shift(x, weibull)


def table(x: Floats, probabilities: tuple[float, ...]) -> Quantiles:
    """Quantile table with the Harrell-Davis estimator, a weighted mean of order statistics.

    It has less variance than one or two order statistics, most of all in the tail of a small sample
    (Harrell & Davis, *Biometrika* 69, 1982).
    """
    logs = np.log(np.sort(x))
    values = [math.exp(float(harrell_davis_weights(len(x), p) @ logs)) for p in probabilities]
    return Quantiles(points=tuple(zip(probabilities, np.maximum.accumulate(values).tolist(), strict=True)))


def two_lognormals(x: Floats) -> Distribution:
    """Mixture of two lognormals by expectation-maximisation, from a split at each of three quantiles."""
    logs = np.log(x)
    trials = [_em(logs, q) for q in (0.25, 0.5, 0.85)]
    scored = [(float(np.sum(log_density(law, x))), i) for i, law in enumerate(trials)]
    return trials[max(scored)[1]]


FAMILIES: Mapping[str, tuple[Fitter, int]] = MappingProxyType(
    {
        "lognormal": (lognormal, 2),
        "shifted lognormal": (shifted_lognormal, 3),
        "gamma": (gamma, 2),
        "weibull": (weibull, 2),
        "shifted weibull": (shifted_weibull, 3),
        "mixture of 2 lognormals": (two_lognormals, 5),
        "5 quantiles": (lambda x: table(x, TABLE_5), 5),
        "7 quantiles": (lambda x: table(x, TABLE_7), 7),
        "9 quantiles": (lambda x: table(x, TABLE_9), 9),
    }
)
"""Family name -> its fitter and its number of parameters."""


def harrell_davis_weights(n: int, p: float) -> Floats:
    """Weights of the `n` order statistics in the Harrell-Davis estimate of quantile `p`, shape (n,).

    Increments of the Beta((n + 1) p, (n + 1) (1 - p)) distribution function over equal steps, integrated
    on a grid with 64 points a step.
    """
    a, b = (n + 1) * p, (n + 1) * (1.0 - p)
    fine = 64
    t = (np.arange(n * fine) + 0.5) / (n * fine)
    log_f = (a - 1.0) * np.log(t) + (b - 1.0) * np.log1p(-t)
    f = np.exp(log_f - log_f.max())
    weights = f.reshape(n, fine).sum(axis=1)
    return np.asarray(weights / weights.sum())


def _best_shift(x: Floats, fit: Callable[[Floats], LogNormal | Weibull]) -> Distribution:
    # The likelihood grows without bound as the floor nears the least value, so the floor stays a mean
    # spacing below it (compare Cheng & Amin, *JRSS B* 45, 1983).
    least, median = float(np.min(x)), float(np.median(x))
    ceiling = least - max((median - least) / len(x), 1e-3 * least)
    best, best_score = fit(x), -math.inf
    for share in (0.0, *(1.0 - np.geomspace(0.9, 0.002, 24))):
        floor = share * ceiling
        law = fit(x - floor)
        score = float(np.sum(log_density(law, x - floor)))
        if score > best_score:
            best, best_score = law.model_copy(update={"shift": floor}), score
    return best


def _em(logs: Floats, split: float) -> Distribution:
    n, spread = len(logs), float(np.std(logs))
    floor = max(0.1 * spread, _LEAST_SIGMA)  # keeps a component from collapsing onto one value
    upper = (logs > np.quantile(logs, split)).astype(np.float64)
    share, centre, sigma = np.zeros(2), np.zeros(2), np.zeros(2)
    weight = np.array([1.0 - upper, upper])
    for _ in range(60):
        mass = np.maximum(weight.sum(axis=1), 1.0)
        share = mass / mass.sum()
        centre = weight @ logs / mass
        variance = (weight * (logs - centre[:, None]) ** 2).sum(axis=1) / mass
        sigma = np.maximum(np.sqrt(variance), floor)
        scores = -0.5 * ((logs - centre[:, None]) / sigma[:, None]) ** 2 + np.log(share / sigma)[:, None]
        scores -= scores.max(axis=0)
        fresh = np.exp(np.maximum(scores, -300.0))
        fresh /= fresh.sum(axis=0)
        if np.max(np.abs(fresh - weight)) < 1e-6:
            break
        weight = fresh
    if n < 2 or np.min(share * n) < 2.0:
        return LogNormal(mu=float(np.mean(logs)), sigma=max(spread, _LEAST_SIGMA))
    parts = tuple(LogNormal(mu=float(m), sigma=float(s)) for m, s in zip(centre, sigma, strict=True))
    return Mixture(weights=tuple(share.tolist()), parts=parts)


def _digamma(x: float) -> float:
    value = 0.0
    while x < 8.0:
        value, x = value - 1.0 / x, x + 1.0
    f = 1.0 / (x * x)
    return value + math.log(x) - 0.5 / x - f * (1 / 12 - f * (1 / 120 - f * (1 / 252 - f / 240)))


def _trigamma(x: float) -> float:
    value = 0.0
    while x < 8.0:
        value, x = value + 1.0 / (x * x), x + 1.0
    f = 1.0 / (x * x)
    return value + 1.0 / x + f / 2.0 + f / x * (1 / 6 - f * (1 / 30 - f * (1 / 42 - f / 30)))

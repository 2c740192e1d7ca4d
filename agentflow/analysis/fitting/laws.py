"""Density, distribution function and quantiles of the schema's distributions, in numpy alone.

The engine draws; fitting and its checks need to weigh and to compare. The formulas are those of
``docs/semantics.md``; tests hold them against scipy.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

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

Floats = NDArray[np.float64]

_STANDARD = NormalDist()
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_LOG_ZERO = -1e4  # stands for log 0: finite, so that sums stay defined
_LEAST = 1e-300
_MIN_SLOPE = 1e-4  # a flat piece of a quantile table still has a density


def ndtri(p: ArrayLike) -> Floats:
    """Inverse of the standard normal distribution function, to double accuracy (Wichura, AS 241)."""
    values = np.asarray(p, dtype=np.float64)
    return np.array([_STANDARD.inv_cdf(float(v)) for v in values.ravel()]).reshape(values.shape)


def ndtr(z: ArrayLike) -> Floats:
    """Distribution function of the standard normal."""
    values = np.asarray(z, dtype=np.float64)
    return np.array([0.5 * math.erfc(-v / math.sqrt(2.0)) for v in values.ravel()]).reshape(values.shape)


def log_density(law: Distribution, x: ArrayLike) -> Floats:
    """Log of a law's density at `x`.

    Parameters
    ----------
    law : Distribution
        Any family with a density (not ``constant``, not ``samples``).
    x : array_like, shape (n,)
        Values in the law's own unit (s, tokens/s).

    Returns
    -------
    ndarray, shape (n,)
        Log densities (1/unit); a large negative number where the density is 0.

    Raises
    ------
    TypeError
        If the family has no density.
    """
    values = np.asarray(x, dtype=np.float64) - law.shift
    match law:
        case LogNormal(mu=mu, sigma=sigma):
            return _where_positive(values, lambda v: _normal_log(np.log(v), mu, sigma) - np.log(v))
        case Gamma(mean=mean, cv=cv):
            k, theta = 1.0 / cv**2, mean * cv**2
            norm = math.lgamma(k) + k * math.log(theta)
            return _where_positive(values, lambda v: (k - 1.0) * np.log(v) - v / theta - norm)
        case Weibull(scale=scale, shape=k):
            return _where_positive(values, lambda v: _weibull_log(v, scale, k))
        case Exponential(mean=mean):
            return np.where(values >= 0.0, -values / mean - math.log(mean), _LOG_ZERO)
        case Normal(mean=mean, sd=sd):
            return _normal_log(values, mean, sd)
        case Uniform(low=low, high=high):
            inside = (values >= low) & (values <= high)
            return np.where(inside, -math.log(max(high - low, _LEAST)), _LOG_ZERO)
        case Quantiles():
            return _table_log_density(law, values)
        case Mixture(weights=weights, parts=parts):
            total = sum(weights)
            logs = [math.log(w / total) + log_density(p, values) for w, p in zip(weights, parts, strict=True)]
            return np.asarray(np.logaddexp.reduce(np.array(logs), axis=0))
    raise TypeError(f"a {law.family} law has no density")


def cdf(law: Distribution, x: ArrayLike) -> Floats:
    """Probability that a draw of `law` is at most `x`; shape as `x`."""
    values = np.asarray(x, dtype=np.float64) - law.shift
    match law:
        case Mixture(weights=weights, parts=parts):
            total = sum(weights)
            pieces = [w / total * cdf(p, values) for w, p in zip(weights, parts, strict=True)]
            return np.asarray(np.sum(pieces, axis=0))
        case LogNormal(mu=mu, sigma=sigma):
            z = (np.log(np.maximum(values, _LEAST)) - mu) / max(sigma, _LEAST)
            return np.where(values > 0.0, ndtr(np.clip(z, -38.0, 38.0)), 0.0)
        case Constant(value=value):
            return (values >= value).astype(np.float64)
    # Every other family's quantile function is at hand: invert it on a fine grid of probabilities.
    grid = _probability_grid()
    return np.interp(values, quantile(law, grid) - law.shift, grid, left=0.0, right=1.0)


def quantile(law: Distribution, p: ArrayLike) -> Floats:
    """Quantiles of a law.

    Parameters
    ----------
    law : Distribution
        Any family.
    p : array_like
        Probabilities in (0, 1).

    Returns
    -------
    ndarray
        Shape as `p`, in the law's own unit; never below 0 (durations, rates and counts are cut there).
    """
    q = np.asarray(p, dtype=np.float64)
    return np.maximum(_raw_quantile(law, q) + law.shift, 0.0)


def _raw_quantile(law: Distribution, q: Floats) -> Floats:
    match law:
        case Constant(value=value):
            return np.full(q.shape, value)
        case Uniform(low=low, high=high):
            return low + (high - low) * q
        case Normal(mean=mean, sd=sd):
            return np.maximum(mean + sd * ndtri(q), 0.0)
        case LogNormal(mu=mu, sigma=sigma):
            return np.exp(mu + sigma * ndtri(q))
        case Exponential(mean=mean):
            return -mean * np.log1p(-q)
        case Weibull(scale=scale, shape=shape):
            return scale * (-np.log1p(-q)) ** (1.0 / shape)
        case Quantiles():
            return _table_quantile(law, q)
        case Samples(values=values):
            ordered = np.asarray(values)
            return np.asarray(ordered[np.minimum((q * len(ordered)).astype(np.int64), len(ordered) - 1)])
        case Gamma(mean=mean, cv=cv):
            return _gamma_quantile(mean, cv, q)
        case Mixture(parts=parts):
            return _mixture_quantile(law, parts, q)
    raise TypeError(f"no quantiles for a {law.family} law")


def draw(law: Distribution, n: int, rng: np.random.Generator) -> Floats:
    """Stratified draws of a law: `n` quantiles, one in each of `n` equal slices, in random order."""
    u = (rng.permutation(n) + rng.uniform(size=n)) / n
    if n > 2048:  # the inverse normal is scalar code: interpolate between a grid's exact values
        grid = _probability_grid()
        return np.interp(u, grid, quantile(law, grid))
    return quantile(law, np.clip(u, 1e-9, 1.0 - 1e-9))


def _probability_grid() -> Floats:
    middle = np.linspace(0.001, 0.999, 999)
    tail = np.geomspace(1e-7, 0.00099, 60)
    return np.concatenate([tail, middle, 1.0 - tail[::-1]])


def _where_positive(values: Floats, log: object) -> Floats:
    positive = values > 0.0
    safe = np.where(positive, np.maximum(values, _LEAST), 1.0)
    out: Floats = np.where(positive, log(safe), _LOG_ZERO)  # type: ignore[operator]
    return np.maximum(out, _LOG_ZERO)


def _normal_log(x: Floats, mean: float, sd: float) -> Floats:
    z = np.clip((x - mean) / max(sd, _LEAST), -1e100, 1e100)
    return -0.5 * z * z - math.log(max(sd, _LEAST)) - _LOG_SQRT_2PI


def _weibull_log(v: Floats, scale: float, k: float) -> Floats:
    log_ratio = np.log(v) - math.log(scale)
    return math.log(k) - math.log(scale) + (k - 1.0) * log_ratio - np.exp(np.minimum(k * log_ratio, 300.0))


def _knots(law: Quantiles) -> tuple[Floats, Floats]:
    p, x = np.array(law.points, dtype=np.float64).T
    return ndtri(p), x


def _table_quantile(law: Quantiles, q: Floats) -> Floats:
    z, x = _knots(law)
    if np.min(x) <= 0.0:  # linear in u, flat outside
        return np.interp(q, np.array([p for p, _ in law.points]), x)
    target, log_x = ndtri(q), np.log(x)
    piece = np.clip(np.searchsorted(z, target, side="right") - 1, 0, len(z) - 2)
    slope = np.diff(log_x) / np.diff(z)
    return np.exp(np.minimum(log_x[piece] + slope[piece] * (target - z[piece]), 700.0))


def _table_log_density(law: Quantiles, values: Floats) -> Floats:
    z, x = _knots(law)
    if np.min(x) <= 0.0:
        raise TypeError("a quantile table that reaches 0 has no density")
    log_x = np.log(x)
    slope = np.maximum(np.diff(log_x) / np.diff(z), _MIN_SLOPE)
    at = np.log(np.maximum(values, _LEAST))
    piece = np.clip(np.searchsorted(log_x, at, side="right") - 1, 0, len(x) - 2)
    score = np.clip(z[piece] + (at - log_x[piece]) / slope[piece], -100.0, 100.0)
    out = -0.5 * score * score - _LOG_SQRT_2PI - np.log(slope[piece]) - at
    return np.maximum(np.where(values > 0.0, out, _LOG_ZERO), _LOG_ZERO)


def _gamma_quantile(mean: float, cv: float, q: Floats) -> Floats:
    # No incomplete gamma function in numpy: integrate the density on a grid in log x.
    k = 1.0 / cv**2
    low, high = min(-40.0 / k, -1.0), math.log(1.0 + 40.0 / k + 12.0 / math.sqrt(k))
    log_x = np.linspace(low, high, 20001)
    log_f = k * (log_x - np.exp(log_x))  # density of ln(x/mean), up to a constant
    f = np.exp(log_f - log_f.max())
    steps = np.concatenate([[0.0], np.cumsum((f[1:] + f[:-1]) / 2.0)])
    return mean * np.exp(np.interp(q, steps / steps[-1], log_x))


def _mixture_quantile(law: Mixture, parts: tuple[Distribution, ...], q: Floats) -> Floats:
    # Bisection on the distribution function, between the parts' own quantiles.
    own = np.array([quantile(part, q) for part in parts])
    low, high = own.min(axis=0), own.max(axis=0)
    for _ in range(60):
        middle = (low + high) / 2.0
        below = cdf(law, middle + law.shift) < q
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2.0)

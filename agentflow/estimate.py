"""Estimates and their intervals: what a finite number of runs can say, and no more.

Quantiles get order-statistic intervals: the number of values at or below the true quantile is binomial
whatever the law of the values, so two ranks bound the quantile with at least the stated confidence
(Conover, *Practical Nonparametric Statistics*, 3rd ed., section 3.2). Means get Student's interval,
shares Wilson's (1927).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Confidence of every interval, unless one asks for another."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the interval that covers its true value with probability `level`.

    Attributes
    ----------
    value
        The point estimate, in the unit of what is estimated.
    low, high
        The interval's bounds; both None where the runs are too few for an interval.
    level
        The interval's confidence.
    runs_needed
        The fewest runs that give an interval; 0 where there is one.
    """

    value: float
    low: float | None = None
    high: float | None = None
    level: float = LEVEL
    runs_needed: int = 0

    @property
    def half_width(self) -> float | None:
        """The larger distance from the value to a bound; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return max(self.high - self.value, self.value - self.low)

    def as_dict(self) -> dict[str, float | None]:
        """Return the JSON object that stands for an estimate: value, low, high, level."""
        return {"value": self.value, "low": self.low, "high": self.high, "level": self.level}

    def map(self, function: Callable[[float], float]) -> Estimate:
        """Return the estimate of an increasing function of this figure."""
        low = None if self.low is None else function(self.low)
        high = None if self.high is None else function(self.high)
        return Estimate(function(self.value), low, high, self.level, self.runs_needed)

    def at_least(self, least: float) -> Estimate:
        """Return the same of a figure that cannot be below `least`."""
        if self.low is None or self.low >= least:
            return self
        return Estimate(self.value, least, self.high, self.level, self.runs_needed)

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate times a factor >= 0."""
        return self.map(lambda figure: figure * factor)


def runs_needed(p: float, level: float = LEVEL) -> int:
    """Return the fewest values that give a two-sided interval for the quantile `p`.

    Both extremes of n values miss the quantile with probability p**n and (1 - p)**n, each of which may be
    (1 - level) / 2 at most: 6 for the median, 72 for p95, 368 for p99.
    """
    return math.ceil(math.log((1.0 - level) / 2.0) / math.log(max(p, 1.0 - p)))


@lru_cache(maxsize=1024)
def quantile_ranks(n: int, p: float, level: float = LEVEL) -> tuple[int, int] | None:
    """Return the ranks (1-based) of the order statistics that bound the quantile `p` of `n` values.

    The interval is exact and conservative: each side misses with probability (1 - level) / 2 at most.
    None where n is too small for two such ranks.
    """
    if n < runs_needed(p, level):
        return None
    first, weights = _binomial(n, p)
    tail = (1.0 - level) / 2.0
    below = int(np.searchsorted(np.cumsum(weights), tail, side="right"))
    above = int(np.searchsorted(np.cumsum(weights[::-1]), tail, side="right"))
    low, high = first + below, first + len(weights) - above
    return (low, high) if low >= 1 and high <= n else None


def _binomial(n: int, p: float) -> tuple[int, NDArray[np.float64]]:
    """Return the probabilities of Binomial(n, p) around its mean, and the count that the first is for.

    What lies outside (12 standard deviations and 30 more) is below 1e-15. The ratio of neighbours gives the
    probabilities up to a factor, and their sum gives the factor: no factorial is needed.
    """
    reach = 12.0 * math.sqrt(n * p * (1.0 - p)) + 30.0
    first, last = max(0, math.floor(n * p - reach)), min(n, math.ceil(n * p + reach))
    counts = np.arange(first, last, dtype=np.float64)
    steps = np.log((n - counts) / (counts + 1.0)) + (math.log(p) - math.log1p(-p))
    logs = np.concatenate(([0.0], np.cumsum(steps)))
    weights = np.exp(logs - logs.max())
    return first, weights / weights.sum()


def about(value: float, each: NDArray[Any]) -> Estimate:
    """Return a figure with Student's interval from what each replication finds, as wide as that of their mean."""
    half = mean_estimate(each).half_width or 0.0
    return Estimate(value, value - half, value + half)


class Ordered(Protocol):
    """Values in ascending order: an array, or what knows its order statistics."""

    def __len__(self) -> int: ...

    def __getitem__(self, rank: int, /) -> Any: ...


def quantile_estimate(ordered: Ordered, p: float, level: float = LEVEL) -> Estimate:
    """Estimate the quantile `p`, 0 < p < 1, from values in ascending order.

    The value is interpolated linearly between the two nearest order statistics (numpy's default).
    """
    n = len(ordered)
    position = (n - 1) * p
    lower = math.floor(position)
    left, right = float(ordered[lower]), float(ordered[min(lower + 1, n - 1)])
    value = left + (right - left) * (position - lower)
    ranks = quantile_ranks(n, p, level)
    if ranks is None:
        return Estimate(value, level=level, runs_needed=runs_needed(p, level))
    return Estimate(value, float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1]), level)


def mean_estimate(values: NDArray[Any], level: float = LEVEL) -> Estimate:
    """Estimate the mean of independent values, with Student's interval."""
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(mean, level=level, runs_needed=2)
    return mean_interval(mean, float(values.std(ddof=1)), len(values), level)


def mean_interval(mean: float, deviation: float, n: int, level: float = LEVEL) -> Estimate:
    """Return a mean with Student's interval, from the standard deviation of n >= 2 independent values."""
    half = student_quantile((1.0 + level) / 2.0, n - 1) * deviation / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, level)


def share_estimate(count: int, n: int, level: float = LEVEL) -> Estimate:
    """Estimate a share from `count` of `n` runs, with Wilson's interval (1927)."""
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    share, spread = count / n, z * z / n
    centre = (share + spread / 2.0) / (1.0 + spread)
    half = math.sqrt(share * (1.0 - share) * spread + spread * spread / 4.0) / (1.0 + spread)
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == n else min(1.0, centre + half)
    return Estimate(share, low, high, level)


@lru_cache(maxsize=256)
def student_quantile(p: float, freedom: int) -> float:
    """Return the quantile `p`, 0.5 <= p < 1, of Student's t with `freedom` >= 1 degrees of freedom.

    Bisection of the finite series for whole degrees of freedom up to 60 (Abramowitz and Stegun 26.7.3 and
    26.7.4); beyond, the expansion about the normal quantile (26.7.5), which is then right to 1e-8.
    """
    if freedom > 60:
        return _student_expansion(NormalDist().inv_cdf(p), float(freedom))
    low, high = 0.0, 1.0
    while _student_cdf(high, freedom) < p:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        if _student_cdf(middle, freedom) < p:
            low = middle
        else:
            high = middle
    return high


def _student_expansion(z: float, freedom: float) -> float:
    """Return Student's quantile near the normal quantile z (Abramowitz and Stegun 26.7.5)."""
    terms = (
        z,
        (z**3 + z) / 4.0,
        (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0,
        (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0,
        (79.0 * z**9 + 776.0 * z**7 + 1482.0 * z**5 - 1920.0 * z**3 - 945.0 * z) / 92160.0,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))


def _student_cdf(t: float, freedom: int) -> float:
    """Return the distribution function of Student's t at t >= 0 (Abramowitz and Stegun 26.7.3, 26.7.4)."""
    theta = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(theta)
    odd = freedom % 2 == 1
    term = cosine if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    area = 2.0 / math.pi * (theta + math.sin(theta) * total) if odd else math.sin(theta) * total
    return 0.5 + area / 2.0

"""Differences and ratios of scenarios whose runs share their draws, as narrow as the sharing makes them.

The difference of two sample quantiles of paired runs is, to first order, the mean difference of two indicators, each
over the density at its quantile (Bahadur 1966, Ann. Math. Stat. 37:577). The densities are read off the widths of the
quantiles' own order-statistic intervals, the correlation off the pairs of which one run lies at or below its quantile
and the other does not. Four such pairs more than were seen are counted (as Agresti and Min do for paired shares, 2005,
Stat. Med. 24:729), so that where hardly any run changes sides the interval does not shrink to nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentflow.analysis.metrics import Metrics, Stat
from agentflow.estimate import Estimate, about, mean_estimate

_MORE = 4.0


def difference(a: Metrics, b: Metrics, column: str, stat: Stat) -> Estimate:
    """Estimate how much larger the mean or a quantile of a per-run column is in `a` than in `b`.

    Both have the same seed and number of runs, and of replications: under load it is these that are independent.
    """
    if a.replications > 1:
        value = a.column(column, stat).value - b.column(column, stat).value
        return about(value, a.by_replication(column, stat) - b.by_replication(column, stat))
    x, y = getattr(a.result, column), getattr(b.result, column)
    if stat == "mean":
        return mean_estimate(x - y)
    first, second = a.column(column, stat), b.column(column, stat)
    return _apart(first, second, shared(x, first.value, y, second.value, stat))


def log_ratio(a: Metrics, b: Metrics, column: str, stat: Stat) -> Estimate | None:
    """Estimate the logarithm of the ratio of `a` to `b`; None where a figure or a bound is not above 0."""
    first, second = a.column(column, stat), b.column(column, stat)
    if min(first.value, second.value) <= 0.0:
        return None
    if a.replications > 1:
        rows = [m.by_replication(column, stat) for m in (a, b)]
        if min(float(row.min()) for row in rows) <= 0.0:
            return None
        return about(math.log(first.value / second.value), np.log(rows[0] / rows[1]))
    if stat == "mean":
        relative = getattr(a.result, column) / first.value - getattr(b.result, column) / second.value
        half = mean_estimate(relative).half_width
        value = math.log(first.value / second.value)
        return Estimate(value, runs_needed=2) if half is None else Estimate(value, value - half, value + half)
    if min(e.value if e.low is None else e.low for e in (first, second)) <= 0.0:
        return None
    x, y = getattr(a.result, column), getattr(b.result, column)
    correlation = shared(x, first.value, y, second.value, stat)
    return _apart(first.map(math.log), second.map(math.log), correlation)


def shared(x: NDArray[Any], x_quantile: float, y: NDArray[Any], y_quantile: float, p: float) -> float:
    """Return the correlation of two sample quantiles, from how many pairs lie on different sides."""
    apart = int(np.count_nonzero((x <= x_quantile) != (y <= y_quantile)))
    return max(-1.0, 1.0 - (apart + _MORE) / (2.0 * len(x) * p * (1.0 - p)))


def _apart(a: Estimate, b: Estimate, correlation: float) -> Estimate:
    """Return a - b from both intervals' widths and their correlation."""
    value = a.value - b.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(value, level=a.level, runs_needed=max(a.runs_needed, b.runs_needed))
    x, y = (a.high - a.low) / 2.0, (b.high - b.low) / 2.0
    half = math.sqrt(max(0.0, x * x + y * y - 2.0 * correlation * x * y))
    return Estimate(value, value - half, value + half, a.level)

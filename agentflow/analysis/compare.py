"""Comparison of scenarios over common random numbers.

Run n of one scenario and run n of another share their draws, so differences and ratios are paired. Ratios of
means get an interval by the delta method. Quantiles get the two order-statistic intervals joined by MOVER
(Zou and Donner 2008, Statistics in Medicine 27:1693), with the correlation that the pairing gives: a ratio is
a difference of logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentflow.analysis.metrics import Metrics, Stat
from agentflow.analysis.summary import STATS, Summary, summary_of
from agentflow.estimate import Estimate, about, mean_estimate
from agentflow.result import Result
from agentflow.shown import html_of


@dataclass(frozen=True)
class Case:
    """One scenario of a comparison.

    Attributes
    ----------
    label
        What tells it from the others: its backend, its workflow, or both.
    result, summary
        Its runs and their estimates.
    speedup
        How many times as fast as the baseline, by mean, p50 and p95 of E2E: the baseline's time over this one's.
        None where a time is 0.
    difference_s
        How much longer than the baseline (s), by the same figures.
    """

    label: str
    result: Result
    summary: Summary
    speedup: dict[str, Estimate | None]
    difference_s: dict[str, Estimate]


@dataclass(frozen=True)
class Comparison:
    """Scenarios side by side; `baseline` is the position of the one that the others are compared with."""

    cases: tuple[Case, ...]
    baseline: int

    def __repr__(self) -> str:
        labels = ", ".join(case.label for case in self.cases)
        return f"<Comparison of {labels}; baseline {self.cases[self.baseline].label}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the scenarios side by side."""
        return html_of(self)


def compare_results(labels: Sequence[str], results: Sequence[Result], baseline: int | None = None) -> Comparison:
    """Compare results that share their seed and number of runs.

    Parameters
    ----------
    labels
        A name for each result.
    results
        One or more.
    baseline
        Position of the one to compare with; by default the one with the longest p95.

    Raises
    ------
    ValueError
        If seeds or numbers of runs differ: the runs would not be paired.
    """
    replications = [1 if result.load is None else result.load.replications for result in results]
    if len({(r.seed, r.runs, n) for r, n in zip(results, replications, strict=True)}) != 1:
        raise ValueError("a comparison needs results of one seed and one number of runs")
    metrics = [Metrics(result) for result in results]
    summaries = [summary_of(metric) for metric in metrics]
    if baseline is None:
        baseline = max(range(len(results)), key=lambda i: summaries[i].e2e_s["p95"].value)
    base = metrics[baseline]
    cases = [
        Case(label, metric.result, summary, _speedups(base, metric), _differences(base, metric))
        for label, metric, summary in zip(labels, metrics, summaries, strict=True)
    ]
    return Comparison(tuple(cases), baseline)


def _speedups(base: Metrics, other: Metrics) -> dict[str, Estimate | None]:
    """Return how many times as fast as the baseline, by figure."""
    return {name: paired_ratio(base, other, STATS[name]) for name in ("mean", "p50", "p95")}


def _differences(base: Metrics, other: Metrics) -> dict[str, Estimate]:
    """Return how much longer than the baseline, by figure."""
    return {name: paired_difference(other, base, STATS[name]) for name in ("mean", "p50", "p95")}


def paired_ratio(above: Metrics, below: Metrics, stat: Stat) -> Estimate | None:
    """Estimate the ratio of two scenarios' mean or quantile of E2E; None where one of them is not above 0."""
    a, b = above.column("e2e_s", stat), below.column("e2e_s", stat)
    if min(a.value, b.value) <= 0.0:
        return None
    if above.replications > 1:
        logs = np.log(above.by_replication("e2e_s", stat) / below.by_replication("e2e_s", stat))
        return about(math.log(a.value / b.value), logs).map(math.exp)
    if stat == "mean":
        relative = above.result.e2e_s / a.value - below.result.e2e_s / b.value
        spread = mean_estimate(relative)
        width = spread.half_width
        log_ratio = math.log(a.value / b.value)
        if width is None:
            return Estimate(a.value / b.value, runs_needed=spread.runs_needed)
        return Estimate(log_ratio, log_ratio - width, log_ratio + width).map(math.exp)
    if min(a.value if a.low is None else a.low, b.value if b.low is None else b.low) <= 0.0:
        return None
    correlation = _correlation(above.result.e2e_s, a.value, below.result.e2e_s, b.value)
    return difference(a.map(math.log), b.map(math.log), correlation).map(math.exp)


def paired_difference(minuend: Metrics, subtrahend: Metrics, stat: Stat) -> Estimate:
    """Estimate the difference of two scenarios' mean or quantile of E2E, in seconds."""
    if minuend.replications > 1:
        each = minuend.by_replication("e2e_s", stat) - subtrahend.by_replication("e2e_s", stat)
        value = minuend.column("e2e_s", stat).value - subtrahend.column("e2e_s", stat).value
        return about(value, each)
    if stat == "mean":
        return mean_estimate(minuend.result.e2e_s - subtrahend.result.e2e_s)
    a, b = minuend.column("e2e_s", stat), subtrahend.column("e2e_s", stat)
    return difference(a, b, _correlation(minuend.result.e2e_s, a.value, subtrahend.result.e2e_s, b.value))


def difference(a: Estimate, b: Estimate, correlation: float) -> Estimate:
    """Estimate a - b from the intervals of both and the correlation of their estimates (MOVER)."""
    value = a.value - b.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(value, level=a.level, runs_needed=max(a.runs_needed, b.runs_needed))
    down, up = a.value - a.low, a.high - a.value
    b_down, b_up = b.value - b.low, b.high - b.value
    below = math.sqrt(max(0.0, down**2 + b_up**2 - 2.0 * correlation * down * b_up))
    above = math.sqrt(max(0.0, up**2 + b_down**2 - 2.0 * correlation * up * b_down))
    return Estimate(value, value - below, value + above, a.level)


def _correlation(a: NDArray[np.float64], a_quantile: float, b: NDArray[np.float64], b_quantile: float) -> float:
    """Return the correlation of two sample quantiles: that of lying at or below them."""
    in_a, in_b = a <= a_quantile, b <= b_quantile
    share_a, share_b, both = float(in_a.mean()), float(in_b.mean()), float((in_a & in_b).mean())
    variance = share_a * (1.0 - share_a) * share_b * (1.0 - share_b)
    return (both - share_a * share_b) / math.sqrt(variance) if variance > 0.0 else 0.0

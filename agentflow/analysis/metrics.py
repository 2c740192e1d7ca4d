"""The figures of one result, each as an estimate, and the names by which gates call them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentflow.errors import UsageError, did_you_mean, printable, quoted
from agentflow.estimate import (
    Estimate,
    Ordered,
    about,
    mean_estimate,
    mean_interval,
    quantile_estimate,
    quantile_ranks,
    runs_needed,
    share_estimate,
)
from agentflow.result import TOKEN_KINDS, Result, hist_edges, hist_quantile, hist_value

Dimension = Literal["seconds", "usd", "joules", "share", "count"]
Stat = float | Literal["mean"]

NO_ANSWER = ("failed", "deadline_exceeded", "budget_exceeded")
"""Outcomes of runs that were not answered."""

OUTCOMES = ("answered", "fallback", *NO_ANSWER)
"""Outcomes that every workflow can be asked about; a workflow's own labels come on top."""

_STAT = re.compile(r"(?P<subject>.+?)\.(?:(?P<mean>mean)|p(?P<percent>\d{1,2}(?:\.\d+)?))")
_COLUMNS: dict[str, tuple[str, Dimension]] = {
    "e2e": ("e2e_s", "seconds"),
    "e2e_s": ("e2e_s", "seconds"),
    "ttft": ("ttft_s", "seconds"),
    "ttft_s": ("ttft_s", "seconds"),
    "cost": ("cost_usd", "usd"),
    "cost_usd": ("cost_usd", "usd"),
    "energy": ("energy_j", "joules"),
    "energy_j": ("energy_j", "joules"),
    "calls": ("calls", "count"),
    "attempts": ("attempts", "count"),
    **{f"tokens.{kind}": (f"{kind}_tokens", "count") for kind in TOKEN_KINDS},
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A named estimate and its dimension."""

    name: str
    dimension: Dimension
    estimate: Estimate


class Metrics:
    """The figures of one result. Each column is sorted once, when it is first asked for."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self._ordered: dict[str, NDArray[Any]] = {}

    def ordered(self, column: str) -> Ordered:
        """Return a per-run column in ascending order."""
        if self.result.binned is not None:
            return self.result.binned.together(column)
        if column not in self._ordered:
            self._ordered[column] = np.sort(getattr(self.result, column))
        return self._ordered[column]

    def column(self, column: str, stat: Stat) -> Estimate:
        """Estimate the mean or a quantile of a per-run column; under load from the replications."""
        if self.replications > 1:
            return self._about(self._value(column, stat), self.by_replication(column, stat))
        if stat == "mean":
            return self._mean(column).at_least(0.0)
        return quantile_estimate(self.ordered(column), stat)

    @property
    def replications(self) -> int:
        """Independent replications that the runs come from; 1 where the runs themselves are independent."""
        return 1 if self.result.load is None else self.result.load.replications

    @property
    def groups(self) -> int:
        """Values that `by_replication` has: replications, or groups of them where runs were not kept."""
        return self.replications if self.result.binned is None else self.result.binned.groups

    def by_replication(self, column: str, stat: Stat) -> NDArray[np.float64]:
        """Return the mean or a quantile of a per-run column in each replication."""
        if self.result.binned is not None:
            parts = self.result.binned.by_group(column)
            return np.array([part.mean if stat == "mean" else part.quantile(stat) for part in parts])
        rows = getattr(self.result, column).reshape(self.replications, -1)
        found: NDArray[np.float64] = rows.mean(axis=1) if stat == "mean" else np.quantile(rows, stat, axis=1)
        return found

    def _value(self, column: str, stat: Stat) -> float:
        """Return the mean or a quantile of a per-run column."""
        if self.result.binned is not None:
            together = self.result.binned.together(column)
            return together.mean if stat == "mean" else together.quantile(stat)
        values = getattr(self.result, column)
        return float(values.mean() if stat == "mean" else np.quantile(values, stat))

    def _mean(self, column: str) -> Estimate:
        """Estimate the mean of a column of independent runs."""
        if self.result.binned is None:
            return mean_estimate(getattr(self.result, column))
        return mean_interval(self._value(column, "mean"), math.sqrt(self._variance(column)), self.result.runs)

    def _variance(self, column: str) -> float:
        """Return the variance of a column."""
        if self.result.binned is None:
            return float(getattr(self.result, column).var(ddof=1))
        return self.result.binned.together(column).squares / (self.result.runs - 1)

    def _about(self, value: float, each: NDArray[np.float64]) -> Estimate:
        """Estimate a figure of runs that depend on one another: Student's interval over the replications."""
        return about(value, each).at_least(0.0)

    def inflation(self) -> float:
        """How many runs under load tell as much as one alone: the variance of E2E's mean over that of such runs."""
        if self.replications == 1:
            return 1.0
        alone = self._variance("e2e_s") / self.result.runs
        seen = float(self.by_replication("e2e_s", "mean").var(ddof=1)) / self.groups
        return max(1.0, seen / alone) if alone > 0.0 else 1.0

    def outcome(self, name: str) -> Estimate:
        """Estimate the share of runs that end with an outcome."""
        names = self.result.outcome_names
        if self.replications > 1 and name in names:
            index = names.index(name)
            found = self._about(self._count(index) / self.result.runs, self._shares(index))
            if found.low != found.high:
                return Estimate(found.value, found.low, min(1.0, found.high or 1.0))
        return share_estimate(self._count(names.index(name)) if name in names else 0, self.result.runs)

    def _shares(self, outcome: int) -> NDArray[np.float64]:
        """Return the share of runs with an outcome in each replication."""
        if self.result.binned is not None:
            counts = self.result.binned.outcomes
            shares: NDArray[np.float64] = counts[:, outcome] / counts.sum(axis=1)
        else:
            shares = (self.result.outcome == outcome).reshape(self.replications, -1).mean(axis=1)
        return shares

    def _count(self, outcome: int) -> int:
        """Return the number of runs with an outcome."""
        if self.result.binned is not None:
            return int(self.result.binned.outcomes[:, outcome].sum())
        return int(np.count_nonzero(self.result.outcome == outcome))

    def latency(self, step: int, stat: Stat) -> Estimate:
        """Estimate the mean or a quantile of the latency of a step's visits, from its histogram.

        Visits of one run depend on one another (they share its speed factors), so the interval counts a
        run's visits as one, and under load as many runs as one as `inflation` says. It reaches to the edges of the
        bins that hold its ranks.
        """
        result = self.result
        visits = int(result.step_executions[step])
        counts = result.step_latency_hist[step]
        independent = int(min(visits, result.runs) / self.inflation())
        mean = float(result.step_latency_sum[step]) / visits if visits else 0.0
        if stat == "mean":
            if independent < 2:
                return Estimate(mean, runs_needed=2)
            return mean_interval(mean, _deviation(counts, mean), independent).at_least(0.0)
        single = np.count_nonzero(counts) == 1
        value = mean if single else hist_quantile(counts, stat)
        ranks = quantile_ranks(independent, stat)
        if ranks is None:
            return Estimate(value, runs_needed=runs_needed(stat))
        edges, cumulative = hist_edges(), np.cumsum(counts)
        low = int(np.searchsorted(cumulative, (ranks[0] - 1) / independent * visits, side="right"))
        high = int(np.searchsorted(cumulative, ranks[1] / independent * visits, side="left"))
        return Estimate(value, min(float(edges[low]), value), max(float(edges[high + 1]), value))

    def critical_share(self, step: int) -> Estimate:
        """Estimate the share of runs in which a step is on the critical path."""
        return share_estimate(int(self.result.step_critical_runs[step]), self.result.runs)


def _deviation(counts: NDArray[np.int64], mean: float) -> float:
    """Return the standard deviation of what a histogram counted about a mean."""
    used = np.flatnonzero(counts)
    if len(used) < 2:
        return 0.0
    weights = counts[used] / counts[used].sum()
    return math.sqrt(float(np.sum(weights * (hist_value(used) - mean) ** 2)))


def parse_stat(mean: str | None, percent: str | None, name: str) -> Stat:
    """Return `mean`, or a percentage such as "99.9" as a probability."""
    if mean is not None or percent is None:
        return "mean"
    p = float(percent) / 100.0
    if not 0.0 < p < 1.0:
        raise UsageError(f"{printable(name)}: a percentile lies between 0 and 100")
    return p


def figure(metrics: Metrics, name: str) -> Figure:
    """Look up a figure by name: `e2e.p95`, `tokens.output.mean`, `outcomes.failed`, `steps.plan.latency.p99`.

    Raises
    ------
    UsageError
        If there is no such figure; the message says which name comes near.
    """
    if name.startswith("outcomes."):
        return _outcome(metrics, name)
    match = _STAT.fullmatch(name)
    subject = match["subject"] if match else name
    stat: Stat = parse_stat(match["mean"], match["percent"], name) if match else "mean"
    if subject.startswith("steps."):
        return _step(metrics, name, subject, stat, has_stat=match is not None)
    column, dimension = _COLUMNS.get(subject, ("", "count"))
    if not column or (match is None and dimension != "count"):
        raise _unknown(metrics, name)
    if getattr(metrics.result, column) is None:
        what, why = ("energy", "power") if dimension == "joules" else ("cost", "price")
        raise UsageError(f"{printable(name)}: no {what} is known, because a backend of this scenario has no {why}")
    return Figure(name, dimension, metrics.column(column, stat))


def column_of(name: str) -> tuple[str, Stat] | None:
    """Return the per-run column and the statistic that a figure is; None for one that is not of a column."""
    match = _STAT.fullmatch(name)
    subject = match["subject"] if match else name
    if subject not in _COLUMNS:
        return None
    return _COLUMNS[subject][0], parse_stat(match["mean"], match["percent"], name) if match else "mean"


def _outcome(metrics: Metrics, name: str) -> Figure:
    """Look up the share of an outcome."""
    outcome = name.removeprefix("outcomes.")
    if outcome not in (*OUTCOMES, *metrics.result.outcome_names):
        raise _unknown(metrics, name)
    return Figure(name, "share", metrics.outcome(outcome))


def _step(metrics: Metrics, name: str, subject: str, stat: Stat, has_stat: bool) -> Figure:
    """Look up a figure of a step: `steps.PATH.latency.STAT` or `steps.PATH.critical_share`."""
    path, _, what = subject.removeprefix("steps.").rpartition(".")
    if path not in metrics.result.steps:
        raise _unknown(metrics, name)
    index = metrics.result.steps.index(path)
    if what in ("latency", "latency_s") and has_stat:
        return Figure(name, "seconds", metrics.latency(index, stat))
    if what == "critical_share" and not has_stat:
        return Figure(name, "share", metrics.critical_share(index))
    raise _unknown(metrics, name)


def figure_names(result: Result) -> list[str]:
    """Return the names of the usual figures of a result; other percentiles can be asked for too."""
    stats = ("mean", "p50", "p90", "p95", "p99")
    known = [name for name, column in (("cost", result.cost_usd), ("energy", result.energy_j)) if column is not None]
    subjects = ["e2e", "ttft", *known, "calls", "attempts"]
    subjects += [f"tokens.{kind}" for kind in TOKEN_KINDS]
    outcomes = dict.fromkeys((*OUTCOMES, *result.outcome_names))
    names = [f"{subject}.{stat}" for subject in subjects for stat in stats]
    names += [f"outcomes.{outcome}" for outcome in outcomes]
    names += [f"steps.{step}.latency.{stat}" for step in result.steps for stat in stats]
    return names + [f"steps.{step}.critical_share" for step in result.steps]


def _unknown(metrics: Metrics, name: str) -> UsageError:
    """Say that there is no such figure, and which comes near."""
    names = figure_names(metrics.result)
    near = f"e2e.{name}" if f"e2e.{name}" in names else did_you_mean(name, names)
    if near:
        return UsageError(f"no figure named {quoted(name)}; did you mean {near!r}?")
    known = "e2e.p95, ttft.p50, cost.mean, tokens.output.mean, calls.p99, outcomes.failed, steps.STEP.latency.p95"
    return UsageError(f"no figure named {quoted(name)}; figures are for example {known}")

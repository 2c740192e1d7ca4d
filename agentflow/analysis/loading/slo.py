"""Service level objectives: `p95<20s`, `ttft.p50<800ms`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agentflow import units
from agentflow.analysis.metrics import NO_ANSWER, Metrics, Stat
from agentflow.errors import UsageError, quoted
from agentflow.estimate import Estimate, mean_estimate
from agentflow.loaded import Load
from agentflow.result import Result

_FORM = re.compile(r"\s*(?:(?P<what>e2e|ttft)\.)?(?P<stat>mean|p\d{1,2}(?:\.\d+)?)\s*<=?\s*(?P<limit>\S.*?)\s*")


BEYOND = 4.0
"""What the time of a run without an answer counts as, at least, over the limit."""


@dataclass(frozen=True)
class Slo:
    """A bound on a statistic of the time to the answer or to the first token.

    Attributes
    ----------
    text
        As it was written.
    column
        `e2e_s` or `ttft_s`.
    stat
        "mean", or the quantile's probability.
    limit
        What it may be at most (s).
    """

    text: str
    column: str
    stat: Stat
    limit: float

    def estimate(self, result: Result) -> Estimate:
        """Estimate the statistic (s); a run without an answer counts as `BEYOND` limits.

        So does what takes longer, where a quantile is asked for: replications that miss the limit by far would else
        spread the interval over it.
        """
        most = math.inf if self.stat == "mean" else BEYOND * self.limit
        if result.binned is not None:
            said = replace(result, binned=result.binned.meeting(self.column, BEYOND * self.limit, most))
            return Metrics(said).column(self.column, self.stat)
        times = np.minimum(self.times(result), most)
        said = replace(result, ttft_s=times) if self.column == "ttft_s" else replace(result, e2e_s=times)
        return Metrics(said).column(self.column, self.stat)

    def times(self, result: Result) -> NDArray[np.float64]:
        """Return each run's time (s), `BEYOND` limits at least for one without an answer."""
        bad = [result.outcome_names.index(name) for name in NO_ANSWER if name in result.outcome_names]
        times: NDArray[np.float64] = getattr(result, self.column)
        return np.where(np.isin(result.outcome, bad), np.maximum(times, BEYOND * self.limit), times)


def parse_slo(text: str) -> Slo:
    """Read an objective such as `p95<20s`, `e2e.mean<5s` or `ttft.p50<800ms`.

    Raises
    ------
    UsageError
        If it makes no sense.
    """
    match = _FORM.fullmatch(text)
    try:
        limit = units.parse_duration(match["limit"]) if match else 0.0
    except ValueError as error:
        raise UsageError(f"--slo {quoted(text)}: {error}") from None
    if match is None or limit <= 0.0:
        raise UsageError(f"--slo {quoted(text)}: write a statistic and a time, such as p95<20s or ttft.p50<800ms")
    stat: Stat = "mean" if match["stat"] == "mean" else float(match["stat"][1:]) / 100.0
    if stat != "mean" and not 0.0 < stat < 1.0:
        raise UsageError(f"--slo {quoted(text)}: {match['stat']} is no quantile; write one such as p95")
    return Slo(text.strip(), "ttft_s" if match["what"] == "ttft" else "e2e_s", stat, limit)


def goodput(result: Result, load: Load, slo: Slo) -> Estimate:
    """Estimate the runs a second that are answered within the objective's limit."""
    rates = load.ended / np.maximum(load.window_s, 1e-300)
    if result.binned is None:
        shares = (slo.times(result) <= slo.limit).reshape(load.replications, -1).mean(axis=1)
        return mean_estimate(shares * rates)
    met = np.array([part.at_most(slo.limit) for part in result.binned.columns[slo.column]])
    return mean_estimate(met / result.binned.outcomes.sum(axis=1) * result.binned.means(rates))

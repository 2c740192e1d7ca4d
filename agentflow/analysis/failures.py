"""Why runs end without an answer: the first of them once more in full, each with the step and the error that ended it.

The Monte Carlo engine hands back how each run ended, not why; a run that is alone is the same again by its number.
Under load it is not: the event engine counts why runs fail, all of them and by the same rule, while they do.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agentflow.analysis.metrics import NO_ANSWER
from agentflow.engine.reasons import KEY, Reason, write_reasons
from agentflow.plan import Plan
from agentflow.result import Result

if TYPE_CHECKING:
    from agentflow.engine import Trace

MOST = 200
"""Runs that are looked at."""

_NODES = 40_000  # of all runs that are looked at


@dataclass(frozen=True)
class Failure:
    """What ended runs.

    Attributes
    ----------
    outcome
        `failed`, `deadline_exceeded` or `budget_exceeded`.
    error
        The kind of error; None where the deadline cut the run.
    step
        The path of the step that failed, or that the run was in when it was cut.
    share
        Share of all runs, from those that were looked at.
    by
        What of the load made the error, one of `engine.reasons.BY`; None where it was drawn, or comes from the step
        itself.
    """

    outcome: str
    error: str | None
    step: str
    share: float
    by: str | None = None


@dataclass(frozen=True)
class Failures:
    """What ended runs, the most frequent first; from the first `looked` of `of` runs without an answer."""

    rows: tuple[Failure, ...]
    looked: int
    of: int


def failures_of(plan: Plan, result: Result) -> str | None:
    """Write for a manifest why runs ended without an answer; None where all were answered, or it says so already."""
    from agentflow.engine import trace_runs

    if result.load is not None:
        return None
    wanted = [i for i, name in enumerate(result.outcome_names) if name in NO_ANSWER]
    lost = np.flatnonzero(np.isin(result.outcome, wanted))
    if not len(lost):
        return None
    looked = lost[: max(1, min(MOST, _NODES // max(1, len(plan.tables.node_i))))].tolist()
    counts = Counter(_reason(trace) for trace in trace_runs(plan, looked, result.seed))
    return write_reasons(counts, result.runs, len(lost))


def read_failures(manifest: Mapping[str, str]) -> Failures | None:
    """Read what `failures_of` wrote; None where nothing is known."""
    if KEY not in manifest:
        return None
    found = json.loads(manifest[KEY])
    return Failures(tuple(Failure(*row) for row in found["rows"]), found["looked"], found["of"])


def _reason(trace: Trace) -> Reason:
    """Return a run's outcome, and the error and the step that led to it: of the calls that failed, the last."""
    if trace.outcome == "deadline_exceeded":
        steps = {visit.node: visit.step for visit in trace.visits if not visit.composite}
        return trace.outcome, None, next((steps[node] for node in reversed(trace.path) if node in steps), ""), None
    failed = [visit for visit in trace.visits if visit.error is not None and not visit.composite]
    if not failed:
        return trace.outcome, None, "", None
    last = max(failed, key=lambda v: (v.status == "failed", v.status == "absorbed", v.end_s, v.node))
    return trace.outcome, last.error, last.step, None

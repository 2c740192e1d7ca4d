"""Why runs end without an answer: the first of them once more in full, each with the step and the error that ended it.

The engine hands back how each run ended, not why; a run that is alone is the same again by its number. Runs under load
are not: what shared resources refused is in the report of the load.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agentflow.analysis.metrics import NO_ANSWER
from agentflow.plan import Plan
from agentflow.result import Result

if TYPE_CHECKING:
    from agentflow.engine import Trace

KEY = "failures"
"""Where a result's manifest keeps the reasons."""

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
    """

    outcome: str
    error: str | None
    step: str
    share: float


@dataclass(frozen=True)
class Failures:
    """What ended runs, the most frequent first; from the first `looked` of `of` runs without an answer."""

    rows: tuple[Failure, ...]
    looked: int
    of: int


def failures_of(plan: Plan, result: Result) -> str | None:
    """Write for a manifest why runs ended without an answer; None where all were answered, or runs met."""
    from agentflow.engine import trace_runs

    if result.load is not None:
        return None
    wanted = [i for i, name in enumerate(result.outcome_names) if name in NO_ANSWER]
    lost = np.flatnonzero(np.isin(result.outcome, wanted))
    if not len(lost):
        return None
    looked = lost[: max(1, min(MOST, _NODES // max(1, len(plan.tables.node_i))))].tolist()
    counts = Counter(_reason(trace) for trace in trace_runs(plan, looked, result.seed))
    share = len(lost) / result.runs / len(looked)
    rows = [[*reason, count * share] for reason, count in counts.most_common()]
    return json.dumps({"rows": rows, "looked": len(looked), "of": len(lost)})


def read_failures(manifest: Mapping[str, str]) -> Failures | None:
    """Read what `failures_of` wrote; None where nothing is known."""
    if KEY not in manifest:
        return None
    found = json.loads(manifest[KEY])
    return Failures(tuple(Failure(*row) for row in found["rows"]), found["looked"], found["of"])


def _reason(trace: Trace) -> tuple[str, str | None, str]:
    """Return a run's outcome, and the error and the step that led to it."""
    if trace.outcome == "deadline_exceeded":
        steps = {visit.node: visit.step for visit in trace.visits}
        return trace.outcome, None, next((steps[node] for node in reversed(trace.path) if node in steps), "")
    failed = [visit for visit in trace.visits if visit.error is not None and not visit.composite]
    failed.sort(key=lambda visit: (visit.status == "failed", visit.status == "absorbed", visit.end_s))
    return (trace.outcome, failed[-1].error, failed[-1].step) if failed else (trace.outcome, None, "")

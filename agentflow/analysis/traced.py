"""Single runs in full, chosen by what they stand for: a typical one, a slow one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agentflow import documents
from agentflow.analysis.assignment import BackendLike
from agentflow.analysis.scenario import WorkflowLike, build_scenarios, load
from agentflow.analysis.setting import Setting
from agentflow.errors import UsageError
from agentflow.schema import Backend, Workflow

if TYPE_CHECKING:
    from agentflow.engine import Trace

QUANTILES = {"typical": 0.5, "slow": 0.95}
"""Which quantile of E2E a run stands for, by what it is called."""

SAMPLE = 2000
"""Runs among which a typical or a slow one is looked for."""


@dataclass(frozen=True)
class Traced:
    """Runs of one scenario in full.

    Attributes
    ----------
    workflow, assignment, seed
        The scenario; backends by step path.
    step_types
        The type of each step, by path.
    fingerprint
        Of the plan.
    traces, labels
        The runs, and what each stands for (`typical`, `slow`, or empty).
    """

    workflow: Workflow
    assignment: Mapping[str, Backend]
    seed: int
    step_types: Mapping[str, str]
    fingerprint: str
    traces: Sequence[Trace]
    labels: Sequence[str]


def trace(
    workflow: WorkflowLike,
    backend: BackendLike | None = None,
    *,
    assign: Mapping[str, BackendLike] | None = None,
    runs: Sequence[int | str] = ("typical",),
    seed: int = 0,
    sample: int = SAMPLE,
    setting: Setting | None = None,
) -> Traced:
    """Simulate single runs of a workflow in full.

    Parameters
    ----------
    workflow, backend, assign, seed, setting
        As for `simulate`.
    runs
        Numbers of runs; `typical` is the run with the median E2E among the first `sample`, `slow` that with the p95.

    Raises
    ------
    AgentflowError
        As for `simulate`, and if a run is neither a number nor one of these words.
    """
    from agentflow.engine import run_plan, trace_runs  # numba takes half a second to import
    from agentflow.plan import compile_plan

    wrong = [run for run in runs if not (run in QUANTILES if isinstance(run, str) else run >= 0)]
    if wrong or not runs:
        raise UsageError("a run is named by its number, from 0, or is typical or slow")
    document = load(workflow)
    assignment = build_scenarios(document, backend, assign, setting)[0].assignment
    plan = compile_plan(document, assignment, documents.position_of)
    words = [run for run in runs if isinstance(run, str)]
    chosen = {}
    if words:
        e2e = run_plan(plan, sample, seed).e2e_s
        chosen = {word: nearest_run(e2e, QUANTILES[word]) for word in words}
    numbers = [chosen[run] if isinstance(run, str) else run for run in runs]
    return Traced(
        workflow=document,
        assignment=assignment,
        seed=seed,
        step_types=dict(zip(plan.steps, plan.step_types, strict=True)),
        fingerprint=plan.fingerprint,
        traces=trace_runs(plan, numbers, seed),
        labels=[run if isinstance(run, str) else "" for run in runs],
    )


def nearest_run(e2e_s: np.ndarray[tuple[int, ...], np.dtype[np.float64]], p: float) -> int:
    """Return the number of the run whose E2E is the order statistic at quantile p; of equals, the first."""
    rank = min(len(e2e_s) - 1, max(0, int(np.ceil(p * len(e2e_s))) - 1))
    return int(np.flatnonzero(e2e_s == np.partition(e2e_s, rank)[rank])[0])

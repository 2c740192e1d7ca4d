"""Where the seconds go: the critical path for the mean and for the slow tail, slack, and what is lost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentflow.analysis.assignment import BackendLike
from agentflow.analysis.scenario import Progress, Scenario, WorkflowLike, build_scenarios, run_scenarios
from agentflow.analysis.setting import Setting
from agentflow.analysis.stack import by_component
from agentflow.analysis.summary import Summary, summarize
from agentflow.estimate import Estimate, mean_estimate, share_estimate
from agentflow.result import COMPONENTS, Result

if TYPE_CHECKING:
    from agentflow.plan import Plan

TAIL = 0.95
"""The slow tail: runs at or above this quantile of E2E."""

LOSSES = ("failed_attempts", "backoff", "queue", "hedge_wait", "slowest_branch")
"""What can be lost on the critical path; the last overlaps with the others, which do not overlap."""

_RECORDED_VISITS = 2_000_000
_SLACK_VISITS = 500_000


@dataclass(frozen=True)
class StepBlame:
    """One step's part in the answer time.

    Attributes
    ----------
    path, type
        The step's path and type.
    critical_share, tail_critical_share
        Share of the runs, and of the slow ones, in which the step is on the critical path.
    slack_s
        How much longer each of its visits could take without moving the answer: the mean over the runs in which it
        ran and this has a bound (s); None where there is no such run, and for composites.
    unbounded_share
        Share of the runs in which it ran and no delay of it would move the answer.
    mean_s, tail_s
        Seconds on the critical path by component: the mean over all runs, and over the slow ones.
    """

    path: str
    type: str
    critical_share: Estimate
    tail_critical_share: Estimate | None
    slack_s: Estimate | None
    unbounded_share: float
    mean_s: dict[str, float]
    tail_s: dict[str, float]


@dataclass(frozen=True)
class Loss:
    """Time on the critical path that brings nobody nearer to an answer.

    Attributes
    ----------
    name
        One of `LOSSES`: time in attempts that failed; waits before the next try; stalls and queues; waits before the
        hedge that won; time in which a join waited for its last branch alone.
    mean_s, tail_s
        Mean seconds a run, over all and over the slow ones; the latter None where the runs are too few.
    mean_share, tail_share
        The same as a share of the mean E2E of those runs.
    steps_s
        Mean seconds by step; of the slowest branch, by the step at which the branches meet.
    """

    name: str
    mean_s: Estimate
    mean_share: float
    tail_s: Estimate | None
    tail_share: float | None
    steps_s: dict[str, float]


@dataclass(frozen=True)
class Explanation:
    """Where the seconds of one scenario go.

    Attributes
    ----------
    summary
        Its estimates.
    steps
        In the order of the plan; steps that are on no critical path too.
    losses
        In the order of `LOSSES`.
    mean_total_s, tail_total_s
        What the steps' seconds add up to: the mean E2E of all runs, and of the slow ones (0 where they are too few).
    recorded_runs, tail_runs, slack_runs
        Runs that were looked at one by one for shares and losses, slow ones among all runs, and runs in which the
        slack was sought.
    """

    summary: Summary
    steps: tuple[StepBlame, ...]
    losses: tuple[Loss, ...]
    mean_total_s: float
    tail_total_s: float
    recorded_runs: int
    tail_runs: int
    slack_runs: int

    @property
    def components_s(self) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds by component over all steps: the mean over all runs, and over the slow ones."""
        mean = by_component(self.summary.critical_mean_s)
        return mean, by_component(self.summary.critical_tail_s or {})


def explain(
    workflow: WorkflowLike,
    backend: BackendLike | None = None,
    *,
    assign: Mapping[str, BackendLike] | None = None,
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    setting: Setting | None = None,
) -> Explanation:
    """Simulate a workflow and say where its seconds go.

    Parameters
    ----------
    workflow, backend, assign, runs, seed, threads, progress, setting
        As for `simulate`.

    Raises
    ------
    AgentflowError
        As for `simulate`.
    """
    return explain_scenario(build_scenarios(workflow, backend, assign, setting)[0], runs, seed, threads, progress)


def explain_scenario(
    scenario: Scenario,
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Do the same for a scenario that is at hand."""
    from agentflow import documents
    from agentflow.plan import compile_plan

    result = run_scenarios([scenario], runs, seed, threads, None, progress)[0]
    plan = compile_plan(scenario.workflow, scenario.assignment, documents.position_of)
    return explain_result(plan, result)


def explain_result(plan: Plan, result: Result) -> Explanation:
    """Explain a result by looking at runs of its plan one by one."""
    seen = _look(plan, result)
    summary = summarize(result)
    every = range(len(result.steps))
    totals = float(result.e2e_s.mean()), float(seen.e2e[seen.slow].mean()) if seen.slow.any() else 0.0
    return Explanation(
        summary=summary,
        steps=tuple(_step(summary, result, seen, step) for step in every),
        losses=tuple(_loss(result, seen, name) for name in LOSSES),
        mean_total_s=totals[0],
        tail_total_s=totals[1],
        recorded_runs=int(seen.sample.sum()),
        tail_runs=result.tail_runs,
        slack_runs=len(seen.slack),
    )


@dataclass(frozen=True)
class _Seen:
    """What the recorded runs show: shapes (R,), (R, S) and, of the slack, (first runs, S)."""

    e2e: NDArray[np.float64]
    sample: NDArray[np.bool_]
    slow: NDArray[np.bool_]
    critical: NDArray[np.bool_]
    lost: dict[str, NDArray[np.float64]]
    slack: NDArray[np.float64]


def _look(plan: Plan, result: Result) -> _Seen:
    """Record the first runs, and the slow ones, and put together what they show."""
    from agentflow.analysis.insight.slack import slack_s
    from agentflow.engine.blame import critical_seconds, critical_steps, failed_seconds, slowest_branch_seconds
    from agentflow.engine.recording import record_runs

    nodes, steps = len(plan.tables.node_i), np.arange(len(plan.steps))
    count = min(result.runs, max(20, _RECORDED_VISITS // nodes))
    wanted = min(count, max(20, _SLACK_VISITS // (nodes * len(steps))))
    slow = np.flatnonzero(result.e2e_s >= tail_limit(result)) if result.tail_runs else np.empty(0, np.int64)
    chosen = np.union1d(np.arange(count), slow[:count])
    parts: list[tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]] = []
    slack: list[NDArray[np.float64]] = []
    for recording in record_runs(plan, chosen, result.seed):
        path = recording.critical_path()
        seconds = critical_seconds(recording, path)
        column = {name: seconds[:, :, COMPONENTS.index(name)] for name in ("backoff", "queue", "wait")}
        waits = np.array([kind == "wait" for kind in plan.step_types])
        lost = {
            "failed_attempts": failed_seconds(recording, path),
            "backoff": column["backoff"],
            "queue": column["queue"],
            "hedge_wait": np.where(waits, 0.0, column["wait"]),
            "slowest_branch": slowest_branch_seconds(recording, path),
        }
        parts.append((critical_steps(recording, path), lost))
        missing = wanted - sum(len(part) for part in slack)
        if missing > 0:
            slack.append(slack_s(recording.first(missing), steps))
    return _Seen(
        e2e=result.e2e_s[chosen],
        sample=chosen < count,
        slow=np.isin(chosen, slow),
        critical=np.concatenate([part[0] for part in parts]),
        lost={name: np.concatenate([part[1][name] for part in parts]) for name in LOSSES},
        slack=np.concatenate(slack),
    )


def tail_limit(result: Result) -> float:
    """Return the order statistic of E2E from which on a run counts as slow (s)."""
    rank = math.ceil(TAIL * result.runs)
    return float(np.partition(result.e2e_s, rank - 1)[rank - 1])


def _step(summary: Summary, result: Result, seen: _Seen, step: int) -> StepBlame:
    """Put together one step's part."""
    path = result.steps[step]
    slow = seen.critical[seen.slow, step]
    slack = seen.slack[:, step]
    ran = slack[~np.isnan(slack)]
    bounded = ran[np.isfinite(ran)]
    return StepBlame(
        path=path,
        type=result.step_types[step],
        critical_share=share_estimate(int(result.step_critical_runs[step]), result.runs),
        tail_critical_share=share_estimate(int(slow.sum()), len(slow)) if len(slow) else None,
        slack_s=mean_estimate(bounded) if len(bounded) else None,
        unbounded_share=1.0 - len(bounded) / len(ran) if len(ran) else 0.0,
        mean_s=summary.critical_mean_s.get(path, {}),
        tail_s=(summary.critical_tail_s or {}).get(path, {}),
    )


def _loss(result: Result, seen: _Seen, name: str) -> Loss:
    """Estimate one loss."""
    by_step = seen.lost[name]
    per_run = by_step.sum(axis=1)
    sample, slow = per_run[seen.sample], per_run[seen.slow]
    rows = by_step[seen.sample].mean(axis=0).tolist()
    return Loss(
        name=name,
        mean_s=mean_estimate(sample),
        mean_share=_ratio(float(sample.mean()), float(seen.e2e[seen.sample].mean())),
        tail_s=mean_estimate(slow) if len(slow) else None,
        tail_share=_ratio(float(slow.mean()), float(seen.e2e[seen.slow].mean())) if len(slow) else None,
        steps_s={path: row for path, row in zip(result.steps, rows, strict=True) if row > 0.0},
    )


def _ratio(part: float, whole: float) -> float:
    """Return a share; 0 of nothing."""
    return part / whole if whole > 0.0 else 0.0

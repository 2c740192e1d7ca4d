"""Everything that is reported about one scenario, as plain values: the tables and the JSON print this."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agentflow.analysis.drift import drift_factor
from agentflow.analysis.failures import Failures, read_failures
from agentflow.analysis.loading.load import LoadReport, report_load
from agentflow.analysis.loading.slo import Slo
from agentflow.analysis.metrics import NO_ANSWER, Metrics, Stat
from agentflow.analysis.provenance import Profile, read_profiles
from agentflow.estimate import Estimate
from agentflow.result import TOKEN_KINDS, Result

STATS: dict[str, Stat] = {"mean": "mean", "p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
"""The figures that are reported of a time, by name."""

Seconds = dict[str, dict[str, float]]
"""Mean seconds a run, by step and component; what is 0 is left out."""


@dataclass(frozen=True)
class StepSummary:
    """One step.

    Attributes
    ----------
    path, type
        The step's path and type.
    executions
        Mean number of visits a run.
    latency_s
        The latency of a visit (s): mean, p50, p95.
    components_s
        Mean seconds a visit, by component.
    critical_share
        Share of the runs in which the step is on the critical path.
    tokens
        Mean tokens a run, by kind.
    cost_usd
        Mean cost a run (US dollars); None where it is not known.
    """

    path: str
    type: str
    executions: float
    latency_s: dict[str, Estimate]
    components_s: dict[str, float]
    critical_share: float
    tokens: dict[str, float]
    cost_usd: float | None


@dataclass(frozen=True)
class Summary:
    """One scenario: its estimates, its steps, and how its critical path is made up.

    Attributes
    ----------
    workflow, assignment, runs, seed, engine, manifest
        As in `Result`.
    e2e_s, ttft_s
        By name of `STATS`, in seconds.
    outcomes
        Shares of the runs, for every outcome the workflow can have.
    tokens, calls, attempts
        Means a run.
    cost_usd
        Mean and p95 (US dollars); None where a backend that was used has no price.
    energy_j
        Mean and p95 (joules); None where that of a backend is not known.
    steps
        In the order of the plan.
    critical_mean_s, critical_tail_s
        Mean seconds on the critical path over all runs, and over the slowest 5 %; None where the runs are too
        few for a tail.
    load
        What load did; None for runs that do not meet.
    drift
        Bounds of E2E (s) with the providers' day-to-day drift, by name of `STATS`; None where a backend states none.
    failures
        Why runs ended without an answer; None where all were answered, or where it is not known.
    profiles
        Date, status and assumed figures of the backends; empty where they are not known.
    """

    workflow: str
    assignment: dict[str, str]
    runs: int
    seed: int
    engine: str
    manifest: dict[str, str]
    e2e_s: dict[str, Estimate]
    ttft_s: dict[str, Estimate]
    outcomes: dict[str, Estimate]
    tokens: dict[str, Estimate]
    calls: Estimate
    attempts: Estimate
    cost_usd: dict[str, Estimate] | None
    energy_j: dict[str, Estimate] | None
    steps: tuple[StepSummary, ...]
    critical_mean_s: Seconds
    critical_tail_s: Seconds | None
    load: LoadReport | None = None
    drift: dict[str, tuple[float, float]] | None = None
    failures: Failures | None = None
    profiles: tuple[Profile, ...] = ()


def summarize(result: Result) -> Summary:
    """Estimate everything that is reported about a result."""
    return summary_of(Metrics(result))


def summary_of(metrics: Metrics, slo: Slo | None = None) -> Summary:
    """Do the same from figures some of which may be at hand already, and with the goodput under an objective."""
    result = metrics.result

    def mean_and_p95(column: str) -> dict[str, Estimate] | None:
        if getattr(result, column) is None:
            return None
        return {name: metrics.column(column, STATS[name]) for name in ("mean", "p95")}

    outcomes = {name: metrics.outcome(name) for name in result.outcome_names}
    return Summary(
        workflow=result.workflow,
        assignment=dict(result.assignment),
        runs=result.runs,
        seed=result.seed,
        engine=result.engine,
        manifest=dict(result.manifest),
        e2e_s={name: metrics.column("e2e_s", stat) for name, stat in STATS.items()},
        ttft_s={name: metrics.column("ttft_s", stat) for name, stat in STATS.items()},
        outcomes=outcomes,
        tokens={kind: metrics.column(f"{kind}_tokens", "mean") for kind in TOKEN_KINDS},
        calls=metrics.column("calls", "mean"),
        attempts=metrics.column("attempts", "mean"),
        cost_usd=mean_and_p95("cost_usd"),
        energy_j=mean_and_p95("energy_j"),
        steps=tuple(_step(metrics, index) for index in range(len(result.steps))),
        critical_mean_s=_seconds(result, result.critical_s, result.runs),
        critical_tail_s=_seconds(result, result.tail_critical_s, result.tail_runs) if result.tail_runs else None,
        load=_load(report_load(result, slo), outcomes),
        drift=_drift(metrics),
        failures=read_failures(result.manifest),
        profiles=tuple(read_profiles(result.manifest)),
    )


def _load(load: LoadReport | None, outcomes: dict[str, Estimate]) -> LoadReport | None:
    """Tell the runs that end with an answer from all that end."""
    if load is None:
        return None
    share = 1.0 - sum(e.value for name, e in outcomes.items() if name in NO_ANSWER)
    return replace(load, answered=load.throughput.value * share)


def _drift(metrics: Metrics) -> dict[str, tuple[float, float]] | None:
    """Return the bounds of E2E with the providers' drift."""
    bounds = {}
    for name, stat in STATS.items():
        factor = drift_factor(metrics.result, tail=name in ("p95", "p99"))
        if factor is None:
            return None
        value = metrics.column("e2e_s", stat).value
        bounds[name] = (value / factor, value * factor)
    return bounds


def _step(metrics: Metrics, index: int) -> StepSummary:
    """Summarize one step."""
    result = metrics.result
    visits = int(result.step_executions[index])
    components = _present(result.step_component_s[index] / max(visits, 1), result.components)
    tokens = (result.step_tokens[index] / result.runs).tolist()
    return StepSummary(
        path=result.steps[index],
        type=result.step_types[index],
        executions=visits / result.runs,
        latency_s={name: metrics.latency(index, STATS[name]) for name in ("mean", "p50", "p95")},
        components_s=components,
        critical_share=int(result.step_critical_runs[index]) / result.runs,
        tokens=dict(zip(TOKEN_KINDS, tokens, strict=True)),
        cost_usd=None if result.cost_usd is None else float(result.step_cost[index]) / result.runs,
    )


def _seconds(result: Result, totals: NDArray[np.float64], runs: int) -> Seconds:
    """Return the mean seconds by step and component, in the order of the plan."""
    rows = {step: _present(row / runs, result.components) for step, row in zip(result.steps, totals, strict=True)}
    return {step: row for step, row in rows.items() if row}


def _present(row: NDArray[np.float64], components: tuple[str, ...]) -> dict[str, float]:
    """Return the components that are not 0."""
    return {name: value for name, value in zip(components, row.tolist(), strict=True) if value != 0.0}

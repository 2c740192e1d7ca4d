"""The JSON of the command; keys are stable within a `schema_version`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from agentflow.analysis.compare import Comparison
from agentflow.analysis.gates import GateResult
from agentflow.analysis.insight.breakeven import BreakEvens
from agentflow.analysis.insight.explain import Explanation
from agentflow.analysis.insight.whatif import Ranking
from agentflow.analysis.loading.capacity import CapacityReport
from agentflow.analysis.loading.load import LoadReport
from agentflow.analysis.summary import Summary
from agentflow.estimate import Estimate

SCHEMA_VERSION = 1


def estimates(found: dict[str, Estimate] | None) -> dict[str, Any] | None:
    """Write several estimates."""
    return None if found is None else {name: e.as_dict() for name, e in found.items()}


def run_object(summary: Summary, gates: Sequence[GateResult] = ()) -> dict[str, Any]:
    """Write one scenario, as `agentflow run --json` prints it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "workflow": summary.workflow,
        "assignment": summary.assignment,
        "runs": summary.runs,
        "seed": summary.seed,
        "engine": summary.engine,
        "e2e_s": _with_drift(summary),
        "ttft_s": estimates(summary.ttft_s),
        "outcomes": {name: e.value for name, e in summary.outcomes.items()},
        "failures": failures_object(summary),
        "tokens": estimates(summary.tokens),
        "calls": summary.calls.as_dict(),
        "attempts": summary.attempts.as_dict(),
        "cost_usd": estimates(summary.cost_usd),
        "energy_j": estimates(summary.energy_j),
        "steps": {
            step.path: {
                "executions": step.executions,
                "latency_s": estimates(step.latency_s),
                "components_s": step.components_s,
                "critical_share": step.critical_share,
                "tokens": step.tokens,
                "cost_usd": step.cost_usd,
            }
            for step in summary.steps
        },
        "critical_path": {"mean_s": summary.critical_mean_s, "tail_s": summary.critical_tail_s},
        **({} if summary.load is None else {"load": load_object(summary.load)}),
        "gates": [gate_object(gate) for gate in gates],
        "profiles": [
            {
                "backend": p.name,
                "as_of": p.as_of,
                "status": p.status,
                "assumed": list(p.assumed),
                "carried_to": p.carried_to,
            }
            for p in summary.profiles
        ],
        "manifest": summary.manifest,
    }


def failures_object(summary: Summary) -> dict[str, Any] | None:
    """Write why runs ended without an answer; null where all were answered."""
    found = summary.failures
    if found is None:
        return None
    return {"runs": found.of, "runs_looked_at": found.looked, "reasons": [asdict(row) for row in found.rows]}


def load_object(load: LoadReport) -> dict[str, Any]:
    """Write what load did."""
    return {
        "arrivals": load.arrivals,
        "rate_per_s": load.rate,
        "users": load.users or None,
        "replications": load.replications,
        "warmup_runs": load.warmup,
        "throughput_per_s": load.throughput.as_dict(),
        "answered_per_s": load.answered,
        "goodput_per_s": None if load.goodput is None else load.goodput.as_dict(),
        "makespan_s": None if load.makespan_s is None else load.makespan_s.as_dict(),
        "capacity_per_s": None if load.capacity is None else {"rate": load.capacity[0], "resource": load.capacity[1]},
        "state": load.state,
        "resources": {
            r.name: {
                "slots": r.capacity,
                "offered": None if math.isnan(r.offered) else r.offered,
                "utilisation": r.utilisation.as_dict(),
                "wait_s": {"mean": r.wait_s.as_dict(), "p95": r.wait_p95_s},
                "queue": r.queue.as_dict(),
                "served": r.served,
                "rejected": r.rejected,
                "left": r.left,
            }
            for r in load.resources
        },
        "limits": {
            limit.name: {"offered": limit.offered, "passed": limit.passed, "refused": limit.refused}
            for limit in load.limits
        },
        "client": None
        if load.client is None
        else {
            "name": load.client.name,
            "cores": load.client.cores,
            "asked": load.client.asked.as_dict(),
            "wait_s": load.client.wait_s.as_dict(),
        },
        "fleets": {
            fleet.name: {
                "replicas": fleet.replicas,
                "offered": None if math.isnan(fleet.offered) else fleet.offered,
                "busy": fleet.busy.as_dict(),
                "preemptions": fleet.preemptions,
            }
            for fleet in load.fleets
        },
        "breakers": [{"name": b.name, "opened": b.opened, "refused": b.refused} for b in load.breakers],
    }


def capacity_object(reports: Sequence[CapacityReport]) -> dict[str, Any]:
    """Write how much load scenarios bear, as `agentflow capacity --json` prints it."""
    return {"schema_version": SCHEMA_VERSION, "slo": reports[0].slo.text, "scenarios": [_capacity(r) for r in reports]}


def _capacity(report: CapacityReport) -> dict[str, Any]:
    return {
        "label": report.label,
        "rate_per_s": None if report.rate is None else report.rate.as_dict(),
        "saturates": report.saturates,
        "bound": None if report.bound is None else {"rate_per_s": report.bound[0], "name": report.bound[1]},
        "alone_s": report.alone.as_dict(),
        "at": None if report.at is None else load_object(report.at),
        "points": [
            {
                "rate_per_s": point.rate,
                "objective_s": point.objective.as_dict(),
                "p50_s": point.p50.as_dict(),
                "p95_s": point.p95.as_dict(),
            }
            for point in report.points
        ],
    }


def _with_drift(summary: Summary) -> dict[str, Any]:
    """Write E2E, each estimate with the bounds of the providers' drift beside its own; null where none is known."""
    drift = summary.drift or {}
    none = (None, None)
    return {
        name: {**e.as_dict(), **dict(zip(("drift_low", "drift_high"), drift.get(name, none), strict=True))}
        for name, e in summary.e2e_s.items()
    }


def gate_object(result: GateResult) -> dict[str, Any]:
    """Write one gate."""
    return {
        "expression": result.gate.expression,
        "verdict": result.verdict,
        "estimate": result.estimate.as_dict(),
        "limit": result.limit,
        "change": result.gate.change,
        "baseline": _maybe(result.baseline),
        "scenario": result.scenario or None,
    }


def compare_object(comparison: Comparison, gates: Sequence[GateResult] = ()) -> dict[str, Any]:
    """Write a comparison, as `agentflow compare --json` prints it."""
    cases = []
    for case in comparison.cases:
        speedup = {name: None if e is None else e.as_dict() for name, e in case.speedup.items()}
        cases.append(
            {
                "label": case.label,
                **run_object(case.summary),
                "times_faster": speedup,
                "difference_s": estimates(case.difference_s),
            }
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "baseline": comparison.cases[comparison.baseline].label,
        "cases": cases,
        "gates": [gate_object(gate) for gate in gates],
    }


def explain_object(explanation: Explanation) -> dict[str, Any]:
    """Write an explanation, as `agentflow explain --json` prints it: the scenario's object and what was found."""
    return {
        **run_object(explanation.summary),
        "explanation": {
            "mean_total_s": explanation.mean_total_s,
            "tail_total_s": explanation.tail_total_s if explanation.tail_runs else None,
            "recorded_runs": explanation.recorded_runs,
            "tail_runs": explanation.tail_runs,
            "slack_runs": explanation.slack_runs,
            "steps": {
                step.path: {
                    "type": step.type,
                    "critical_share": step.critical_share.as_dict(),
                    "tail_critical_share": _maybe(step.tail_critical_share),
                    "slack_s": _maybe(step.slack_s),
                    "unbounded_share": step.unbounded_share,
                    "mean_s": step.mean_s,
                    "tail_s": step.tail_s if explanation.tail_runs else None,
                }
                for step in explanation.steps
            },
            "losses": {
                loss.name: {
                    "mean_s": loss.mean_s.as_dict(),
                    "mean_share": loss.mean_share,
                    "tail_s": _maybe(loss.tail_s),
                    "tail_share": loss.tail_share,
                    "steps_s": loss.steps_s,
                }
                for loss in explanation.losses
            },
        },
    }


def ranking_object(ranking: Ranking) -> dict[str, Any]:
    """Write a ranking, as `agentflow explain --what-if --json` prints it under "what_if"."""
    return {
        "basis": ranking.basis,
        "runs": ranking.runs,
        "seed": ranking.seed,
        "fresh_seed": ranking.fresh_seed,
        "e2e_s": estimates(ranking.e2e_s),
        "changes": [
            {
                "step": row.change.step,
                "kind": row.change.kind,
                "change": row.change.description,
                "proviso": row.change.proviso,
                "helps": row.helps,
                "gain_s": estimates(row.gain_s),
                "e2e_s": estimates(row.e2e_s),
                "unanswered": row.unanswered.as_dict(),
                "cost_usd": _maybe(row.cost_usd),
            }
            for row in ranking.rows
        ],
        "steps": dict(ranking.steps),
        "left_out": [{"step": c.step, "change": c.description, "why": why} for c, why in ranking.left_out],
    }


def break_even_object(found: BreakEvens) -> dict[str, Any]:
    """Write what a target would need, as `agentflow explain --target --json` prints it under "break_even"."""
    return {
        "target": found.target.text,
        "figure": found.target.gate.metric,
        "limit_s": found.target.limit_s,
        "now_s": found.now_s.as_dict(),
        "met": found.met,
        "rows": [
            {
                "step": row.step,
                "what": row.what,
                "suffices": row.factor is not None,
                "factor": _bounded(row.factor),
                "now": row.now,
                "needed": _bounded(row.needed),
                "floor_s": row.floor_s.as_dict(),
                "left": None
                if row.left_step is None
                else {"step": row.left_step, "component": row.left_component, "seconds": row.left_s},
            }
            for row in found.rows
        ],
        "unscalable": list(found.unscalable),
    }


def _bounded(e: Estimate | None) -> dict[str, Any] | None:
    """Write an estimate whose upper bound may be infinite: then it has none."""
    if e is None:
        return None
    return {**e.as_dict(), "high": None if e.high is None or math.isinf(e.high) else e.high}


def _maybe(e: Estimate | None) -> dict[str, Any] | None:
    """Write an estimate, or null."""
    return None if e is None else e.as_dict()

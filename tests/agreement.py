"""The engine beside the reference: the same runs, column by column and step by step."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from agentflow.engine import run_plan, trace_runs
from agentflow.plan import Plan, compile_plan
from agentflow.result import Result
from tests.reference import ReferenceRun, simulate_run
from tests.strategies import Case

TIME = 1e-9
"""Largest difference of a time, absolute (s) and relative."""

TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")


def differences(case: Case, seed: int, runs: int) -> list[str]:
    """Return what differs between the engine's runs and the reference's, in words."""
    plan = compile_plan(case.workflow, case.assignment)
    result = run_plan(plan, runs, seed)
    expected = [simulate_run(case.workflow, case.assignment, seed, run) for run in range(runs)]
    tied = any(_tied(want) for want in expected)
    found: list[str] = []
    for run, want in enumerate(expected):
        found += [f"run {run}: {text}" for text in _columns(result, run, want)]
    found += _executions(plan, result, expected)
    found += _steps(result, expected)
    if not tied:
        found += _critical(result, expected)
    return found


def _tied(want: ReferenceRun) -> bool:
    """Whether several failures at the run's last moment compete for naming it; docs/semantics.md leaves that open."""
    last = [path for path, _, _, end, status in want.visits if status == "failed" and end == want.e2e_s]
    return len({path.partition(".")[0] for path in last}) > 1


def _executions(plan: Plan, result: Result, expected: list[ReferenceRun]) -> Iterator[str]:
    """Visits that took time, step by step; whether one that takes none happened at the moment of a cut is left open."""
    traces = trace_runs(plan, range(len(expected)), result.seed)
    for trace, want in zip(traces, expected, strict=True):
        got = Counter(visit.step for visit in trace.visits if visit.end_s > visit.start_s)
        wanted = Counter(path for path, _, start, end, _ in want.visits if end > start)
        if got != wanted:
            yield f"run {trace.run}: visits {dict(got - wanted)} too many, {dict(wanted - got)} too few"
    counted = Counter(visit.step for trace in traces for visit in trace.visits if visit.status != "skipped")
    totals = dict(zip(result.steps, result.step_executions.tolist(), strict=True))
    if counted != Counter(totals):
        yield f"executions {totals}, not {dict(counted)}"


def _close(got: float, want: float) -> bool:
    return math.isclose(got, want, rel_tol=TIME, abs_tol=TIME)


def _columns(result: Result, run: int, want: ReferenceRun) -> Iterator[str]:
    outcome = result.outcome_names[int(result.outcome[run])]
    if outcome != want.outcome and not _tied(want):
        yield f"outcome {outcome}, not {want.outcome}"
    for name in ("e2e_s", "ttft_s"):
        got = float(getattr(result, name)[run])
        if not _close(got, getattr(want, name)):
            yield f"{name} {got!r}, not {getattr(want, name)!r}"
    for name in (*TOKENS, "calls", "attempts"):
        got = int(getattr(result, name)[run])
        slack = want.near_floor if name in ("output_tokens", "reasoning_tokens") else 0
        if abs(got - getattr(want, name)) > slack:
            yield f"{name} {got}, not {getattr(want, name)}"
    if result.cost_usd is not None and not want.near_floor and not _close(result.cost_usd[run], want.cost_usd):
        yield f"cost_usd {result.cost_usd[run]!r}, not {want.cost_usd!r}"
    if result.energy_j is not None and not want.near_floor and not _close(result.energy_j[run], want.energy_j):
        yield f"energy_j {result.energy_j[run]!r}, not {want.energy_j!r}"


def _steps(result: Result, expected: list[ReferenceRun]) -> Iterator[str]:
    """Each step's totals over the runs."""
    slack = sum(want.near_floor for want in expected)
    for number, path in enumerate(result.steps):
        totals = [want.steps[path] for want in expected if path in want.steps]
        for column, name in enumerate(("input", "cached", "output", "reasoning")):
            want_tokens = sum(getattr(usage, name) for usage in totals)
            if abs(int(result.step_tokens[number, column]) - want_tokens) > slack:
                yield f"step {path}: {name} {result.step_tokens[number, column]}, not {want_tokens}"
        for name in ("calls", "attempts"):
            got, count = (
                int(getattr(result, f"step_{name}")[number]),
                sum(getattr(usage, name) for usage in totals),
            )
            if got != count:
                yield f"step {path}: {name} {got}, not {count}"


def _critical(result: Result, expected: list[ReferenceRun]) -> Iterator[str]:
    """Seconds of each step and component on the critical paths, summed over the runs."""
    total: dict[tuple[str, str], float] = defaultdict(float)
    for want in expected:
        for key, seconds in want.critical_components.items():
            total[key] += seconds
    for number, path in enumerate(result.steps):
        for column, component in enumerate(result.components):
            got = float(result.critical_s[number, column])
            if not _close(got, total.get((path, component), 0.0)):
                yield f"critical {path} {component}: {got!r}, not {total.get((path, component), 0.0)!r}"

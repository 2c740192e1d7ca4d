"""The engine beside the reference: the same runs, column by column and step by step."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from agentflow.engine import run_plan
from agentflow.plan import compile_plan
from agentflow.result import Result
from tests.reference import ReferenceRun, simulate_run
from tests.strategies import Case

TIME = 1e-9
"""Largest difference of a time, absolute (s) and relative."""

TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")


def differences(case: Case, seed: int, runs: int) -> list[str]:
    """Return what differs between the engine's runs and the reference's, in words."""
    result = run_plan(compile_plan(case.workflow, case.assignment), runs, seed)
    expected = [simulate_run(case.workflow, case.assignment, seed, run) for run in range(runs)]
    found: list[str] = []
    for run, want in enumerate(expected):
        found += [f"run {run}: {text}" for text in _columns(result, run, want)]
    found += _steps(result, expected)
    found += _critical(result, expected)
    return found


def _close(got: float, want: float) -> bool:
    return math.isclose(got, want, rel_tol=TIME, abs_tol=TIME)


def _columns(result: Result, run: int, want: ReferenceRun) -> Iterator[str]:
    outcome = result.outcome_names[int(result.outcome[run])]
    if outcome != want.outcome:
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


def _steps(result: Result, expected: list[ReferenceRun]) -> Iterator[str]:
    """Each step's totals over the runs."""
    slack = sum(want.near_floor for want in expected)
    executions: Counter[str] = Counter()
    fleeting: Counter[str] = Counter()  # took no time: which ones count at the moment of a cut is left open
    for want in expected:
        executions.update(path for path, *_, status in want.visits if status not in ("skipped", "never"))
        fleeting.update(path for path, _, start, end, _ in want.visits if start == end)
    for number, path in enumerate(result.steps):
        totals = [want.steps[path] for want in expected if path in want.steps]
        if not fleeting and int(result.step_executions[number]) != executions[path]:
            yield f"step {path}: {result.step_executions[number]} executions, not {executions[path]}"
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

"""Both engines on runs that do not meet: the same results, column by column and step by step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agentflow.engine import Shape, run_load, run_plan
from agentflow.engine.arrivals import Arrivals, Batch
from agentflow.engine.load import Pilot
from agentflow.plan import Plan
from agentflow.result import Result

TIME = 1e-9
"""Largest difference of a time, absolute (s) and relative."""

COUNTS = ("outcome", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "calls", "attempts")


def run_events(plan: Plan, runs: int, seed: int, arrivals: Arrivals | None = None) -> Result:
    """Simulate runs 0 to `runs` - 1 on one timeline."""
    k = len(plan.resources)
    alone = Pilot(np.zeros(k), np.zeros(k), np.ones(1), np.zeros((len(plan.limits), 3)), np.zeros(len(plan.fleets)))
    return run_load(plan, arrivals or Batch(runs=runs), Shape(1, 0, runs), seed, threads=1, alone=alone)


def differences(plan: Plan, runs: int, seed: int, arrivals: Arrivals | None = None) -> tuple[list[str], list[str]]:
    """Return what differs between the engines, in words: in the runs, and in which steps were on their critical paths."""
    want, got = run_plan(plan, runs, seed, threads=1), run_events(plan, runs, seed, arrivals)
    return list(_runs(want, got)) + list(_steps(want, got)), list(_paths(want, got))


def _runs(want: Result, got: Result) -> Iterator[str]:
    for name in ("e2e_s", "ttft_s", "cost_usd", "energy_j"):
        if getattr(want, name) is not None:
            yield from _close(name, getattr(got, name), getattr(want, name))
    for name in COUNTS:
        ours, theirs = getattr(got, name), getattr(want, name)
        for run in np.flatnonzero(ours != theirs):
            yield f"run {run}: {name} {ours[run]}, not {theirs[run]}"


def _steps(want: Result, got: Result) -> Iterator[str]:
    """Compare steps; whether a visit that takes no time counts at the moment of a cut is left open."""
    for number, step in enumerate(want.steps):
        ours, theirs = (int(r.step_executions[number] - r.step_latency_hist[number, 0]) for r in (got, want))
        if ours != theirs:
            yield f"{step}: {ours} visits that took time, not {theirs}"
        for name in ("step_calls", "step_attempts"):
            if getattr(got, name)[number] != getattr(want, name)[number]:
                yield f"{step}: {name} {getattr(got, name)[number]}, not {getattr(want, name)[number]}"
        seconds = (r.step_component_s[number].sum(keepdims=True) for r in (got, want))
        yield from _close(f"{step}: seconds", *seconds)
        yield from _close(f"{step}: latency", got.step_latency_sum[[number]], want.step_latency_sum[[number]])


def _paths(want: Result, got: Result) -> Iterator[str]:
    yield from _close("critical", got.critical_s, want.critical_s)
    yield from _close("tail", got.tail_critical_s, want.tail_critical_s)
    for number in np.flatnonzero(got.step_critical_runs != want.step_critical_runs):
        ours, theirs = got.step_critical_runs[number], want.step_critical_runs[number]
        yield f"{want.steps[number]}: critical in {ours} runs, not {theirs}"


def _close(name: str, got: np.ndarray, want: np.ndarray) -> Iterator[str]:
    bad = ~np.isclose(got, want, rtol=TIME, atol=TIME)
    if np.any(bad):
        yield f"{name}: {np.asarray(got)[bad].tolist()[:4]}, not {np.asarray(want)[bad].tolist()[:4]} at {np.flatnonzero(bad)[:4]}"

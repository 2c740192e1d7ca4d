"""The event engine beside the SimPy reference: runs that meet at their backends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agentflow.engine.arrivals import Given
from agentflow.plan import Client, compile_plan
from agentflow.result import Result
from agentflow.schema import Backend, Capacity
from tests.agreement import _columns, _steps
from tests.load.uncontended import run_events
from tests.reference.load import simulate_load
from tests.strategies import Case


def limited(backend: Backend, **capacity: Any) -> Backend:
    """The backend with a capacity."""
    return backend.model_copy(update={"capacity": Capacity.model_validate(capacity)})


def differences(case: Case, seed: int, times: Sequence[float], client: Client | None = None) -> list[str]:
    """Return what differs between the engine's runs and the reference's, in words."""
    plan = replace(compile_plan(case.workflow, case.assignment), client=client)
    result = run_events(plan, len(times), seed, Given(times=tuple(times)))
    expected, _ = simulate_load(case.workflow, case.assignment, seed, times, client=client)
    found: list[str] = []
    for run, want in enumerate(expected):
        found += [f"run {run}: {text}" for text in _columns(result, run, want)]
    found += _steps(result, expected)
    found += _whole_paths(result)
    return found


def _whole_paths(result: Result) -> list[str]:
    """Look whether the critical paths add up to the times; which of two that end together is on it, rounding decides."""
    total, e2e = float(result.critical_s.sum()), float(result.e2e_s.sum())
    return [] if math.isclose(total, e2e, rel_tol=1e-9) else [f"critical paths of {total!r} s, not {e2e!r}"]

"""The event engine beside the SimPy reference: runs that meet at their backends."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agentflow.analysis.failures import read_failures
from agentflow.engine.arrivals import Given
from agentflow.plan import Client, compile_plan
from agentflow.result import Result
from agentflow.schema import Backend, Capacity
from tests.agreement import _columns, _steps, _tied
from tests.load.uncontended import run_events
from tests.reference import ReferenceRun
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
    if not found and not any(_tied(want) for want in expected):
        found += _causes(result, expected)
    return found


def _causes(result: Result, expected: Sequence[ReferenceRun]) -> list[str]:
    """Compare why runs ended without an answer."""
    told, got = read_failures(result.manifest), Counter[tuple[str | None, str]]()
    for row in () if told is None else told.rows:
        got[row.error, row.step] += round(row.share * result.runs)
    want = Counter(run.cause for run in expected if run.cause is not None)
    return [] if got == want else [f"causes {dict(got - want)} too many, {dict(want - got)} too few"]


def _whole_paths(result: Result) -> list[str]:
    """Look whether the critical paths add up to the times; which of two that end together is on it, rounding decides."""
    total, e2e = float(result.critical_s.sum()), float(result.e2e_s.sum())
    return [] if math.isclose(total, e2e, rel_tol=1e-9) else [f"critical paths of {total!r} s, not {e2e!r}"]

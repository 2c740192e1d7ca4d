"""What the engine promises besides agreeing with the reference: determinism, pairing, theory, limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agentflow import documents
from agentflow.engine import run_plan, trace_runs
from agentflow.engine.montecarlo import slowest
from agentflow.errors import PlanError
from agentflow.plan import MAX_NODES, compile_plan
from agentflow.plan.normal import polynomials
from tests.make import backend, chat, loop, tool, workflow

ROOT = Path(__file__).resolve().parents[1]
PLACE = {"*": backend()}


def e2e(steps: dict, runs: int = 40_000, seed: int = 3, **more: object) -> np.ndarray:
    return run_plan(compile_plan(workflow(steps, **more), PLACE), runs, seed).e2e_s


def test_another_backend_leaves_the_other_draws() -> None:
    steps = {"a": chat({"lognormal": {"p50": 50, "p95": 90}}), "b": chat({"lognormal": {"p50": 50, "p95": 90}}, "a")}
    slow, fast = backend("slow"), backend("fast", ttft=0.25, rate=40.0)
    one = run_plan(compile_plan(workflow(steps), {"a": slow, "b": slow}), 500)
    two = run_plan(compile_plan(workflow(steps), {"a": slow, "b": fast}), 500)
    assert np.array_equal(one.output_tokens, two.output_tokens)
    plan = compile_plan(workflow(steps), {"a": slow, "b": fast})
    other = compile_plan(workflow(steps), {"a": slow, "b": slow})
    for x, y in zip(trace_runs(plan, range(5)), trace_runs(other, range(5)), strict=True):
        assert x.visits[0] == y.visits[0]


@pytest.mark.parametrize("name", documents.list_workflows())
def test_a_faster_backend_lengthens_no_run(name: str) -> None:
    found = documents.load_workflow(name).model_copy(update={"budget": None})
    slow = backend("x", ttft={"lognormal": {"p50": 1.0, "p95": 3.0}}, rate={"lognormal": {"p50": 40, "p95": 60}})
    fast = backend("x", ttft={"lognormal": {"p50": 0.5, "p95": 1.5}}, rate={"lognormal": {"p50": 80, "p95": 120}})
    one = run_plan(compile_plan(found, {"*": slow}), 4000)
    two = run_plan(compile_plan(found, {"*": fast}), 4000)
    # a slow call that runs into its timeout once too often ends the run, and sooner
    lost = [name in ("failed", "deadline_exceeded") for name in one.outcome_names]
    ended = ~np.isin(one.outcome, np.flatnonzero(lost)) & ~np.isin(two.outcome, np.flatnonzero(lost))
    assert ended.mean() > 0.5
    assert (two.e2e_s <= one.e2e_s + 1e-9)[ended].all()


def test_the_normal_table_agrees_with_the_standard_library() -> None:
    from statistics import NormalDist

    from numba import njit

    from agentflow.engine.kernel import ndtri

    call: Callable[[np.ndarray, float], float] = njit(lambda table, u: ndtri(table, u))
    normal = NormalDist()
    for u in [
        *np.random.default_rng(0).random(2000).tolist(),
        1e-300,
        1e-16,
        1e-9,
        0.5 - 1e-12,
        0.5,
        0.5 + 1e-12,
        1 - 1e-12,
    ]:
        if u > 1e-16:
            assert call(polynomials().ravel(), u) == pytest.approx(normal.inv_cdf(u), abs=4e-15, rel=1e-13)


def test_components_on_the_critical_path_add_up_in_every_run() -> None:
    for name in documents.list_workflows():
        plan = compile_plan(documents.load_workflow(name), PLACE)
        for trace in trace_runs(plan, range(50)):
            assert trace.critical_s.sum() == pytest.approx(trace.e2e_s, abs=1e-9)


def test_too_large_a_plan_names_what_makes_it_so() -> None:
    big = workflow({"a": tool(1.0), "outer": loop(1000, {"inner": loop(1000, {"x": tool(1.0)})})})
    with pytest.raises(PlanError, match=r"outer.*at most 100,000 fit"):
        compile_plan(big, PLACE)
    assert MAX_NODES == 100_000


@pytest.mark.parametrize("kind", ["spread", "rising", "falling", "few values", "first ones largest"])
@pytest.mark.parametrize("size", [1, 20, 4096, 30_001])
def test_the_slowest_are_those_at_or_above_the_rank(kind: str, size: int) -> None:
    rng = np.random.default_rng(size)
    values = rng.lognormal(size=size)
    if kind == "few values":
        values = rng.integers(0, 3, size).astype(float)
    elif kind == "first ones largest":
        values[:5000] += 1000.0
    elif kind != "spread":
        values = np.sort(values)[:: 1 if kind == "rising" else -1]
    for rank in {1, max(1, size // 2), math.ceil(0.95 * size), size}:
        expected = np.flatnonzero(values >= np.sort(values)[rank - 1])
        assert np.array_equal(slowest(values, rank), expected)

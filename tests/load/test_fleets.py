"""Deployments under load are replicas that batch: the event engine's calls are served as `engine.batching` serves them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.analysis.loading.load import report_load
from agentflow.analysis.scenario import Scenario, plan_of, simulate
from agentflow.documents import resolve_backend
from agentflow.engine import Shape, run_load, run_plan
from agentflow.engine.arrivals import Given, Renewal
from agentflow.engine.batching import Fleet as Replicas
from agentflow.engine.batching import serve
from agentflow.engine.events_tables import _replica
from agentflow.errors import PlanError
from agentflow.plan import Plan
from agentflow.schema import Backend
from tests.agreement import _columns
from tests.load.contended import limited
from tests.load.fleet_reference import BatchGates
from tests.load.uncontended import run_events
from tests.make import chat, fan, served, slow_deployment, tool, workflow
from tests.reference.load import simulate_load

COUNT = {"lognormal": {"p50": 30, "p95": 90}}


def place(**more: object) -> Backend:
    law = {"deployment": {"deployment": slow_deployment(max_batch=4, chunk_tokens=16, **more)}}
    return served("own", law)


def plan_at(backend: Backend, steps: dict[str, object], **more: object) -> Plan:
    return plan_of(Scenario("x", workflow(steps, **more), {"*": backend}), loaded=True)  # type: ignore[arg-type]


@given(
    gaps=st.lists(st.sampled_from([0.0, 0.131, 1.371, 7.93]), min_size=1, max_size=30),
    seed=st.integers(0, 2**32),
    replicas=st.integers(1, 2),
    rules=st.fixed_dictionaries({"asynchronous": st.booleans(), "prefix_cache": st.booleans()}),
)
@settings(max_examples=60)
def test_calls_are_served_as_requests_are(gaps: list[float], seed: int, replicas: int, rules: dict[str, bool]) -> None:
    plan = plan_at(place(replicas=replicas), {"a": chat(COUNT, input_tokens=COUNT)})
    (fleet,) = plan.fleets
    plan = replace(plan, fleets=(replace(fleet, kv_blocks=40, **rules),))  # type: ignore[arg-type]
    times = np.cumsum(gaps)
    result = run_events(plan, len(times), seed, Given(times=tuple(times.tolist())))
    replica = _replica(plan.fleets[0])
    want = serve(
        Replicas((replica,) * replicas),
        times + fleet.overhead,
        np.maximum(result.input_tokens, 1),
        np.maximum(result.output_tokens, 1),
    )
    assert (times + result.e2e_s).tolist() == pytest.approx(want.finished.tolist(), abs=1e-9)
    assert (times + result.ttft_s).tolist() == pytest.approx(want.first_token.tolist(), abs=1e-9)
    waits = result.step_component_s[0, result.components.index("queue")]
    assert waits == pytest.approx((want.scheduled - times - fleet.overhead).sum(), abs=1e-6)


def test_runs_that_are_alone_take_about_what_the_law_says() -> None:
    """Not the same: the law of an attempt is a mean over what an iteration's scheduler does in whole steps."""
    backend = resolve_backend("deployments/llama-3.1-70b-8xh100", "llama-3.1-70b")
    steps = {"a": chat(300, input_tokens=900), "b": chat(200, "a", input_tokens=700)}
    plan = plan_at(backend, steps)
    assert plan.fleets
    alone = run_plan(replace(plan, fleets=()), 50, 0)
    batched = run_events(plan, 50, 0, Renewal(per_second=1e-4, cv=0.0))
    assert batched.e2e_s.mean() == pytest.approx(alone.e2e_s.mean(), rel=0.1)
    assert batched.output_tokens.tolist() == alone.output_tokens.tolist()


def test_load_slows_everyone_down() -> None:
    backend = resolve_backend("deployments/llama-3.1-70b-8xh100", "llama-3.1-70b")
    plan = plan_at(backend, {"a": chat(COUNT, input_tokens=900), "b": chat(COUNT, "a", input_tokens=700)})
    e2e = [float(run_events(plan, 400, 0, Renewal(per_second=rate)).e2e_s.mean()) for rate in (0.1, 5.0, 15.0)]
    assert e2e[0] < e2e[1] < e2e[2]


def test_what_is_cut_leaves_the_batch() -> None:
    """Losers of a join, timeouts and failures cancel their requests; at the end the replicas are empty."""
    slow = {"retry": {"max_attempts": 2, "initial_interval": 0.1}, "timeout": {"attempt": 45.0, "idle": 20.0}}
    steps = {
        "m": fan(4, {"x": chat(COUNT, input_tokens=20, **slow)}, join={"quorum": 2}),
        "a": chat(20, "m", input_tokens=30, errors={"server_error": 0.3, "timeout": 0.1}, hedge={"after": 5.5}),
        "t": tool(1.0, "a"),
    }
    plan = plan_at(place(), steps)
    result = run_events(plan, 200, 1, Renewal(per_second=0.01))
    assert np.all(np.isfinite(result.e2e_s))
    assert result.critical_s.sum() == pytest.approx(result.e2e_s.sum(), rel=1e-9)
    assert np.all(result.step_component_s >= -1e-9)
    assert (result.outcome == 0).sum() > 20


def test_the_load_of_replicas_is_reported() -> None:
    backend = resolve_backend("deployments/llama-3.1-70b-8xh100", "llama-3.1-70b")
    made = workflow({"a": chat(COUNT, input_tokens=900)})
    reports = {}
    for rate in (2, 400):
        result = simulate(made, backend, runs=1_000, arrivals=f"poisson:{rate}/s")
        reports[rate] = report_load(result)
    calm, flooded = reports[2], reports[400]
    assert calm is not None and flooded is not None
    assert calm.state == "stable"
    assert flooded.state == "unstable"
    assert calm.capacity is not None and calm.capacity[1] == backend.name
    assert calm.capacity == flooded.capacity
    assert calm.fleets[0].offered == pytest.approx(2 / calm.capacity[0])
    assert calm.fleets[0].busy.value < flooded.fleets[0].busy.value <= 1.0 + 1e-9


def test_other_replicas_take_nothing_from_a_checkpoint(tmp_path: Path) -> None:
    """What their scheduler may do is no figure of the plan's tables."""
    plan = plan_at(place(), {"a": chat(COUNT, input_tokens=COUNT)})
    other = replace(plan, fleets=(replace(plan.fleets[0], max_sequences=1),))
    arrivals, shape = Renewal(per_second=0.05), Shape(2, 5, 40)
    run_load(plan, arrivals, shape, threads=1, checkpoint=tmp_path)
    found = run_load(other, arrivals, shape, threads=1, checkpoint=tmp_path)
    assert np.array_equal(found.e2e_s, run_load(other, arrivals, shape, threads=1).e2e_s)
    assert len(list(tmp_path.glob("*.npz"))) == 4


def test_a_deployment_with_slots_of_its_own_is_refused() -> None:
    with pytest.raises(PlanError, match="leave its capacity out"):
        plan_at(limited(place(), concurrency=3), {"a": chat(3)})


def test_a_request_that_fits_no_cache_overflows() -> None:
    plan = plan_at(place(), {"a": chat(30, input_tokens=30, retry={"max_attempts": 1})})
    plan = replace(plan, fleets=(replace(plan.fleets[0], kv_blocks=2),))
    result = run_events(plan, 3, 0)
    assert [result.outcome_names[i] for i in result.outcome] == ["failed"] * 3


STEPS = {
    "plan": chat(COUNT, input_tokens=COUNT, timeout={"attempt": 60.0, "idle": 25.0}, retry={"max_attempts": 2}),
    "look": fan(3, {"read": chat(COUNT, input_tokens=20, errors={"server_error": 0.2, "invalid_output": 0.1})}, "plan"),
    "race": chat(COUNT, "plan", input_tokens=5, hedge={"after": 7.3}),
    "say": chat(COUNT, "look", "race", join="any", reasoning_tokens=12, input_tokens={"own": 9, "from": {"plan": 0.5}}),
}


@pytest.mark.parametrize("seed", range(6))
def test_workflows_at_replicas_agree_with_the_reference(seed: int) -> None:
    """Steps, joins, retries, hedges and cuts of runs that share batches, beside a replica that goes step by step."""
    made, backend = workflow(STEPS), place(replicas=2)
    plan = plan_of(Scenario("x", made, {"*": backend}), loaded=True)
    (fleet,) = plan.fleets
    plan = replace(plan, fleets=(replace(fleet, kv_blocks=14),))
    configs = {"own": [_replica(plan.fleets[0])] * 2}
    times = [3.71 * k for k in range(25)]
    result = run_events(plan, len(times), seed, Given(times=tuple(times)))
    expected, _ = simulate_load(
        made, {"*": backend}, seed, times,
        gates_of=lambda clock: BatchGates(clock, configs, {"own": fleet.overhead}),
    )  # fmt: skip
    found = [f"run {run}: {text}" for run, want in enumerate(expected) for text in _columns(result, run, want)]
    assert found == []
    assert result.load is not None
    assert result.step_attempts.sum() > result.step_calls.sum()
    assert (result.load.fleet_use[0, 0, 1] > 0) == (seed not in (1, 5)), "how many of the seeds preempt"

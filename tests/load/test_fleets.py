"""Deployments under load are replicas that batch: the event engine's calls are served as `engine.batching` serves them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.analysis.loading.load import report_load
from agentflow.analysis.scenario import Scenario, plan_of, simulate
from agentflow.documents import load_deployment, resolve_backend
from agentflow.documents.served import served_backend
from agentflow.engine import Shape, run_load, run_plan
from agentflow.engine.arrivals import Given, Renewal
from agentflow.engine.batching import Fleet as Replicas
from agentflow.engine.batching import serve
from agentflow.engine.events_tables import _replica
from agentflow.errors import DocumentError, PlanError
from agentflow.plan import Plan
from agentflow.result import Result
from agentflow.schema import Backend, Deployment, Workflow
from tests.agreement import _columns
from tests.load.contended import limited
from tests.load.fleet_reference import BatchGates
from tests.load.uncontended import run_events
from tests.make import chat, fan, served, slow_deployment, tool, workflow
from tests.reference.load import simulate_load

Json = dict[str, Any]
COUNT: Json = {"lognormal": {"p50": 30, "p95": 90}}


def place(cache: Json | None = None, network: object = None, **more: object) -> Backend:
    law = {"deployment": slow_deployment(max_batch=4, chunk_tokens=16, **more), "network": network}
    return served("own", {"deployment": law}) if cache is None else served("own", {"deployment": law}, cache=cache)


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


def beside_the_reference(backend: Backend, made: Workflow, seed: int, runs: int, gap: float, blocks: int) -> Result:
    """Simulate runs at replicas that go from change to change, and at the reference's, which go step by step."""
    plan = plan_of(Scenario("x", made, {"*": backend}), loaded=True)
    plan = replace(plan, fleets=tuple(replace(fleet, kv_blocks=blocks) for fleet in plan.fleets))
    first, *others = plan.fleets
    times = [gap * k for k in range(runs)]
    result = run_events(plan, runs, seed, Given(times=tuple(times)))
    configs = {"own": [_replica(first)] * first.replicas}
    decode = {"own": [made for fleet in others for made in [_replica(fleet)] * fleet.replicas]}
    expected, _ = simulate_load(
        made, {"*": backend}, seed, times,
        gates_of=lambda clock: BatchGates(
            clock, configs, {"own": first.overhead}, first.router, first.spill, decode,
            (first.handover, first.handover_per_token),
        ),
    )  # fmt: skip
    found = [f"run {run}: {text}" for run, want in enumerate(expected) for text in _columns(result, run, want)]
    assert found == []
    assert result.step_attempts.sum() > result.step_calls.sum()
    return result


@pytest.mark.parametrize("seed", range(6))
def test_workflows_at_replicas_agree_with_the_reference(seed: int) -> None:
    """Steps, joins, retries, hedges and cuts of runs that share batches, beside a replica that goes step by step."""
    result = beside_the_reference(place(replicas=2), workflow(STEPS), seed, 25, 3.71, 14)
    assert result.load is not None
    assert (result.load.fleet_use[0, 0, 1] > 0) == (seed not in (1, 5)), "how many of the seeds preempt"


HISTORY = {
    "talk": {
        "type": "loop", "max_iterations": 5, "continue_probability": 0.8,
        "steps": {
            "say": chat(COUNT, input_tokens={"own": COUNT, "history": True}, errors={"server_error": 0.15},
                        retry={"max_attempts": 3}, timeout={"attempt": 300.0, "idle": 150.0}),
        },
    },
    "look": fan(3, {"read": chat(COUNT, input_tokens=COUNT, cached_input_tokens=16)}, "talk", join={"quorum": 2}),
    "end": chat(COUNT, "look", input_tokens=COUNT, cached_input_tokens=32),
}  # fmt: skip
APART: Json = {"disaggregated": True, "kv_transfer_bandwidth": 1e4, "prefill_replicas": 2}


@pytest.mark.parametrize("router", ["least_loaded", "round_robin", "prefix_affinity"])
@pytest.mark.parametrize("apart", [{}, APART], ids=["together", "apart"])
@pytest.mark.parametrize("drafts", [{}, {"speculation": {"draft_tokens": 3, "tokens_per_step": 2}}], ids=["", "drafts"])
def test_routers_hand_overs_and_drafts_agree_with_the_reference(router: str, apart: Json, drafts: Json) -> None:
    apart_by = {"exponential": {"mean": 0.5}}  # requests that ended in one step do not come back at one moment
    backend = place(replicas=3, router=router, cache={"block": 16}, network=apart_by, **apart, **drafts)
    for seed in range(4):
        both = beside_the_reference(backend, workflow(HISTORY), seed, 25, 21.7, 40)
        assert both.cached_input_tokens.sum() > 0
        assert np.bincount(both.outcome)[0] > 2


def run_loop(router: str, rate: float = 0.02, runs: int = 400, **more: object) -> Result:
    backend = place(replicas=4, router=router, cache={}, **more)
    plan = plan_at(backend, {"talk": HISTORY["talk"]})
    return run_events(plan, runs, 0, Renewal(per_second=rate))


def test_a_run_s_prefix_is_found_where_its_router_sends_it() -> None:
    hits = {
        router: float(result.cached_input_tokens.sum() / result.input_tokens.sum())
        for router in ("round_robin", "least_loaded", "prefix_affinity")
        for result in [run_loop(router)]
    }
    assert hits["prefix_affinity"] > 1.5 * hits["round_robin"]
    assert hits["prefix_affinity"] > hits["least_loaded"]
    one = run_events(plan_at(place(cache={}), {"talk": HISTORY["talk"]}), 400, 0, Renewal(per_second=0.005))
    assert hits["prefix_affinity"] == pytest.approx(one.cached_input_tokens.sum() / one.input_tokens.sum(), rel=0.05)


def test_a_prefix_is_lost_where_others_take_its_blocks() -> None:
    found = {}
    for blocks in (30, 4_000):
        plan = plan_at(place(cache={}), {"talk": HISTORY["talk"]})
        plan = replace(plan, fleets=(replace(plan.fleets[0], kv_blocks=blocks),))
        result = run_events(plan, 400, 0, Renewal(per_second=0.006))
        found[blocks] = int(result.cached_input_tokens.sum())
    assert 0 < found[30] < 0.8 * found[4_000]


def test_a_busy_fleet_waits_less_if_the_least_loaded_is_chosen() -> None:
    size = {"mixture": [{"weight": 0.9, "value": 10}, {"weight": 0.1, "value": 200}]}
    waits = {}
    for router in ("round_robin", "least_loaded"):
        plan = plan_at(place(replicas=4, router=router), {"a": chat(size, input_tokens=8)})
        result = run_events(plan, 3_000, 1, Renewal(per_second=0.12))
        waits[router] = float(result.step_component_s[0, result.components.index("queue")])
    assert 0 < waits["least_loaded"] < 0.8 * waits["round_robin"]


def real(**more: object) -> Backend:
    found = Deployment.model_validate(load_deployment("llama-3.1-8b-h100").model_dump(by_alias=True) | more)
    return served_backend(found, "own")


def test_prompts_elsewhere_do_not_slow_answers_down() -> None:
    """Seconds a token, of the tenth of runs that have the slowest: at one replica prompts come between, apart not."""
    tpot = {}
    for name, more in (("together", {}), ("apart", {"disaggregated": True, "prefill_replicas": 2})):
        plan = plan_at(real(chunk_tokens=2048, **more), {"a": chat(100, input_tokens=8000)})
        for rate in (0.01, 2.0):
            result = run_events(plan, 400, 0, Renewal(per_second=rate))
            tpot[name, rate] = float(np.quantile((result.e2e_s - result.ttft_s) / 99, 0.9))
    assert tpot["together", 2.0] > 1.5 * tpot["together", 0.01]
    assert tpot["apart", 2.0] < 1.15 * tpot["apart", 0.01]


def test_a_cache_that_is_handed_over_takes_its_time() -> None:
    slow, fast = (
        run_events(plan_at(place(**APART | {"kv_transfer_bandwidth": speed}), {"a": chat(9, input_tokens=30)}), 1, 0)
        for speed in (1e3, 1e12)
    )
    per_token = 2 * 2 * 64 * 2  # key and value, layers, width, bytes
    assert slow.ttft_s[0] == fast.ttft_s[0]
    assert slow.e2e_s[0] - fast.e2e_s[0] == pytest.approx(30 * per_token / 1e3)


def test_drafts_yield_several_tokens_a_step_and_cost_their_check() -> None:
    steps = {"a": chat(201, input_tokens=100)}
    seconds = {}
    for name, more in (("plain", {}), ("drafts", {"speculation": {"draft_tokens": 3, "tokens_per_step": 2.5}})):
        plan = plan_at(real(**more), steps)
        alone = run_plan(replace(plan, fleets=()), 3, 0)
        batched = run_events(plan, 3, 0, Renewal(per_second=1e-5, cv=0.0))
        assert batched.e2e_s.mean() == pytest.approx(alone.e2e_s.mean(), rel=0.1)
        seconds[name] = float((batched.e2e_s - batched.ttft_s).mean())
    assert seconds["plain"] / 2.5 < seconds["drafts"] < seconds["plain"]


def test_a_router_that_looks_for_prefixes_needs_a_cache() -> None:
    with pytest.raises(PlanError, match="no prefix cache"):
        plan_at(place(replicas=2, router="prefix_affinity"), {"a": chat(3)})


def test_diffusion_keeps_its_law() -> None:
    plan = plan_at(place(diffusion={"block": 8, "steps": 4}), {"a": chat(3)})
    assert plan.fleets == ()
    made = simulate(workflow({"a": chat(3)}), plan_backend("diffusion"), runs=20, arrivals="poisson:0.01/s")
    assert made.manifest["unmoved_by_load"] == "own"


def plan_backend(kind: str) -> Backend:
    return place(**{kind: {"block": 8, "steps": 4}})


@pytest.mark.parametrize(
    ("wrong", "at", "text"),
    [
        ("router: random", "5:9", "least_loaded"),
        ("prefill_replicas: 2", "5:19", "write disaggregated: true"),
        ("kv_transfer_bandwidth: 25 GB/s", "5:24", "write disaggregated: true"),
        ("balance_threshold: 3", "5:20", "write router: prefix_affinity"),
        ("disaggregated: true", "5:16", "dgx-spark has no links; write kv_transfer_bandwidth"),
    ],
)
def test_what_makes_no_sense_is_said_where_it_stands(wrong: str, at: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"schema_version: 1\nname: own\nchip: dgx-spark\nmodel: llama-3.1-8b\n{wrong}\n")
    with pytest.raises(DocumentError) as raised:
        load_deployment(file)
    assert f"own.yaml:{at}: " in str(raised.value)
    assert text in str(raised.value)


def test_a_checkpoint_of_another_router_is_not_taken(tmp_path: Path) -> None:
    shape = Shape(2, 5, 40)
    for router in ("least_loaded", "round_robin", "least_loaded"):
        plan = plan_at(place(replicas=2, router=router), {"a": chat(COUNT)})
        run_load(plan, Renewal(per_second=0.02), shape, 0, threads=1, checkpoint=tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 4

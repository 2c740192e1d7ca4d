"""The short ways through the kernel (four draws at a time, no retries) give the bytes of the long way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow import documents
from agentflow.analysis.scenario import build_scenarios
from agentflow.engine import run_plan
from agentflow.plan import Plan, compile_plan
from agentflow.plan import layout as L
from tests.make import backend, chat, tool, workflow
from tests.strategies import Case, cases
from tests.test_determinism import digest

PROFILES = ["groq/llama-3.3-70b", "anthropic/claude-opus-4.5"]


def long_way(plan: Plan) -> Plan:
    """The plan without short ways."""
    spec_i = plan.tables.spec_i.copy()
    spec_i[:, L.S_PLAIN] = L.NO_PLAIN
    return replace(plan, tables=plan.tables._replace(spec_i=spec_i))


def same(plan: Plan, runs: int, seed: int) -> bool:
    return digest(run_plan(plan, runs, seed)) == digest(run_plan(long_way(plan), runs, seed))


@given(case=cases(), seed=st.integers(0, 2**64 - 1))
@settings(max_examples=100)
def test_generated_workflows_come_out_the_same(case: Case, seed: int) -> None:
    assert same(compile_plan(case.workflow, case.assignment), 20, seed)


@pytest.mark.parametrize("place", PROFILES)
@pytest.mark.parametrize("name", documents.list_workflows())
def test_the_catalogue_comes_out_the_same(name: str, place: str) -> None:
    scenario = build_scenarios(name, documents.load_backend(place))[0]
    assert same(compile_plan(scenario.workflow, scenario.assignment), 2000, 5)


LOGNORMAL = {"lognormal": {"p50": 40, "p95": 90}}
QUANTILES = {"quantiles": {"p5": 3, "p25": 20, "p50": 35, "p75": 61, "p95": 250, "p99": 900}}
LAWS: dict[str, tuple[dict[str, Any], int, int]] = {
    "constants": ({}, L.STRAIGHT, 0),
    "lognormal": ({"ttft": LOGNORMAL, "rate": LOGNORMAL}, L.STRAIGHT, 0),
    "quantiles": ({"ttft": QUANTILES, "rate": QUANTILES}, L.BENT, 0),
    "one table": ({"ttft": QUANTILES, "rate": LOGNORMAL}, L.BENT, 0),
    "two points": ({"ttft": {"quantiles": {"p10": 0.2, "p90": 0.9}}}, L.BENT, 0),
    "shifted": ({"ttft": {"quantiles": {"p10": 0.2, "p90": 0.9}, "shift": -0.3}}, L.BENT, 0),
    "points not positive": ({"ttft": {"quantiles": {"p10": 0, "p90": 0.9}}}, L.ODD, 0),
    "steep table": ({"ttft": {"quantiles": {"p50": 0.2, "p50.1": 0.9}}}, L.ODD, 0),
    "another family": ({"ttft": {"gamma": {"mean": 1.0, "cv": 0.5}}}, L.ODD, 0),
    "the run's factor": ({"variation": {"between_runs": 0.2}}, L.STRAIGHT, L.VARIES),
    "the call's noise": ({"variation": {"between_runs": 0.2, "between_calls": 0.3}}, L.STRAIGHT, L.VARIES),
    "stalls": ({"stall": {"probability": 0.3, "duration": LOGNORMAL}}, L.STRAIGHT, L.STALLS),
    "network": ({"network": {"uniform": [0.01, 0.1]}}, L.STRAIGHT, L.MORE_DRAWS),
}


@pytest.mark.parametrize("law", LAWS)
def test_laws_go_the_short_way_and_come_out_the_same(law: str) -> None:
    more, shape, extras = LAWS[law]
    price = {"input": 1e-6, "output": 3e-6, "cached_input": 1e-7, "per_call": 0.01}
    place = backend(prefill_rate=900.0, ttft_input_tokens=30, context=2000, price=price, **more)
    steps = {
        "a": chat(LOGNORMAL, input_tokens=QUANTILES, errors={"server_error": {"probability": 0.1}}),
        "b": chat(QUANTILES, "a", input_tokens={"own": LOGNORMAL, "from": {"a": 0.5}}, max_tokens=80),
        "c": tool(LOGNORMAL, "b", timeout="1m"),
        "d": chat(5, "c", timeout={"attempt": "20s", "idle": "3s"}),
    }
    plan = compile_plan(workflow(steps, defaults={"retry": "openai"}), {"*": place})
    places = plan.tables.place_i[plan.tables.place_i[:, L.P_BACKEND] >= 0]
    assert places[0, L.P_SHAPE] == L.BENT or shape == L.ODD  # its own input is a table
    assert places[-1, L.P_SHAPE] == shape
    assert places[-1, L.P_EXTRAS] == extras
    assert plan.tables.spec_i[:, L.S_PLAIN].all()
    assert same(plan, 3000, 11)


def test_reasoning_and_cached_input_go_the_short_way_and_come_out_the_same() -> None:
    place = backend(cache={"hit_rate": 0.7, "min_tokens": 64, "block": 16}, prefill_rate=500.0)
    steps = {
        "a": chat(LOGNORMAL, input_tokens=300, cached_input_tokens=QUANTILES, reasoning_tokens=LOGNORMAL),
        "b": chat(LOGNORMAL, "a", input_tokens=300),
    }
    plan = compile_plan(workflow(steps), {"*": place})
    assert plan.tables.place_i[:, L.P_EXTRAS].tolist() == [L.MORE_DRAWS, 0]
    assert same(plan, 3000, 11)
    result = run_plan(plan, 3000, 11)
    assert result.cached_input_tokens.any()
    assert np.all(result.reasoning_tokens > 0)

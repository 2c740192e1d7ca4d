"""The page's JavaScript beside the kernel: the same runs, to 1e-9, for any workflow and any choice of backends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentflow import documents
from agentflow.analysis.assignment import assign_backends
from agentflow.engine import run_plan, set_hedges
from agentflow.errors import PlanError
from agentflow.plan import Plan, compile_plan
from agentflow.plan import layout as L
from agentflow.plan.merge import Merged, merge_plans
from agentflow.report.page.data import engine_data
from agentflow.schema import Backend
from tests.make import backend, chat, tool, workflow
from tests.moments import MOMENTS, NEVER_STARTED
from tests.report import browser
from tests.strategies import Case, cases
from tests.strategies_calls import backends as drawn_backends

TIME = 1e-9
PLACES = ["groq", "cerebras", "together"]
OTHER_PLACES = {
    "coding-session": ["anthropic", "openai/gpt-4.1", "google/gemini-2.5-pro"]
}  # a million tokens of context


@pytest.fixture(scope="module")
def js() -> Iterator[Any]:
    engine = browser.engine()
    yield engine
    engine.close()


def merged(workflow: Any, assignments: Sequence[dict[str, Backend]], seed: int = 0) -> Merged:
    return merge_plans([set_hedges(compile_plan(workflow, assignment), seed) for assignment in assignments])


def differences(js: Any, m: Merged, runs: int, seed: int, choice: Sequence[int], tables: L.Tables | None = None,
                **knobs: list[float]) -> list[str]:  # fmt: skip
    """What differs between the page's engine and the kernel, in words; `tables` are the kernel's if not the plan's."""
    got = js({"data": engine_data(m, seed), "runs": runs, "knobs": {"choice": list(choice), **knobs}})
    want = run_plan(replace(m.plan, tables=tables or m.choose(choice)), runs, seed, threads=1)
    columns: dict[str, Any] = {
        "e2e": want.e2e_s,
        "ttft": want.ttft_s,
        "cost": want.cost_usd,
        "outcome": want.outcome,
        "tokens": np.column_stack(
            [want.input_tokens, want.cached_input_tokens, want.output_tokens, want.reasoning_tokens]
        ),
        "counts": np.column_stack([want.calls, want.attempts]),
        "critical": want.critical_s,
        "criticalRuns": want.step_critical_runs,
    }
    found = []
    for name, column in columns.items():
        if column is None:
            continue
        values = np.asarray(got[name])
        slack = TIME * runs if name == "critical" else TIME
        worst = np.argmax(np.abs(values - column.ravel()) - slack * (1 + np.abs(column.ravel())))
        if not np.isclose(values, column.ravel(), rtol=slack, atol=slack).all():
            found.append(f"{name} {worst}: {values[worst]!r}, not {column.ravel()[worst]!r}")
    return found


@pytest.mark.parametrize("name", documents.list_workflows())
def test_the_catalogue_on_every_mix_of_backends(js: Any, name: str) -> None:
    found = documents.load_workflow(name)
    m = merged(found, [assign_backends(found, place) for place in OTHER_PLACES.get(name, PLACES)])
    rng = np.random.default_rng(1)
    choices = [[k] * m.specs for k in range(len(PLACES))] + [rng.integers(0, 3, m.specs).tolist() for _ in range(3)]
    for choice in choices:
        assert differences(js, m, 500, 7, choice) == []


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    case=cases(),
    others=drawn_backends(frozenset({"families", "errors", "network", "variation", "cache"})),
    data=st.data(),
)
def test_generated_workflows(js: Any, case: Case, others: list[Backend], data: st.DataObject) -> None:
    m = merged(case.workflow, [case.assignment, {"*": others[0], **_fallbacks(case, others)}], seed=3)
    choice = data.draw(st.lists(st.integers(0, 1), min_size=m.specs, max_size=m.specs))
    assert differences(js, m, 24, 3, choice) == []


def test_what_is_spent_at_one_moment(js: Any) -> None:
    for name, case in {"never started": NEVER_STARTED, **{k: m.case for k, m in MOMENTS.items()}}.items():
        m = merged(case.workflow, [case.assignment])
        assert (name, differences(js, m, 3, 0, [0] * m.specs)) == (name, [])


def _fallbacks(case: Case, others: list[Backend]) -> dict[str, Backend]:
    return {path: others[-1] for path in case.assignment if "!" in path}


# --- the knobs: what they mean in the plan's own tables ---------------------------------------------------------


def scaled(tables: L.Tables, spec: int, q: int, factor: float) -> L.Tables:
    """Tables in which a spec's draws of quantity q come from distributions that are `factor` as large."""
    draw_i, dist_i, dist_f = tables.draw_i.copy(), tables.dist_i, tables.dist_f
    for place in range(tables.spec_i[spec, L.S_PLACE_LO], tables.spec_i[spec, L.S_PLACE_HI]):
        for j in range(tables.place_i[place, L.P_DRAW_LO], tables.place_i[place, L.P_DRAW_HI]):
            if draw_i[j, 0] == q:
                dist_i, dist_f, draw_i[j, 1] = scaled_dist(dist_i, dist_f, draw_i[j, 1], factor)
    spec_i = tables.spec_i.copy()
    spec_i[spec, L.S_PLAIN] = 0  # the kernel's short way has its own copies of the figures
    return tables._replace(draw_i=draw_i, dist_i=dist_i, dist_f=dist_f, spec_i=spec_i)


def scaled_dist(dist_i: Any, dist_f: Any, d: int, factor: float) -> tuple[Any, Any, int]:
    row, family = dist_f[d].copy(), dist_i[d, L.D_FAMILY]
    assert family in (L.CONSTANT, L.LOGNORMAL), "the cases here use no other families"
    row[L.D_SHIFT] *= factor
    if family == L.CONSTANT:
        row[L.D_SCALE] *= factor
    else:
        row[L.D_P0] += np.log(factor)
    return np.vstack([dist_i, dist_i[d]]), np.vstack([dist_f, row]), len(dist_i)


def turned() -> Merged:
    """A chain in which every knob matters."""
    law = {"ttft": {"lognormal": {"p50": 0.5, "p95": 2.0}, "shift": 0.1}, "prefill_rate": 900}
    place = backend(rate={"lognormal": {"p50": 40, "p95": 90}}, errors={"rate_limit": 0.3}, **law)
    more = {"reasoning_tokens": {"lognormal": {"p50": 60, "p95": 200}}, "retry": {"max_attempts": 2}}
    out = {"lognormal": {"p50": 50, "p95": 90}}
    steps = {
        "a": chat(out, input_tokens=700, **more),
        "t": tool(1.0, "a"),
        "b": chat(out, "t", input_tokens={"own": out, "from": {"a": 1.0}}, **more),
    }
    return merged(workflow(steps), [{"*": place}, {"*": backend("other", ttft=0.2, rate=70.0)}])


@pytest.mark.parametrize("knob", ["ttft", "speed", "output", "reasoning", "input", "tries"])
@pytest.mark.parametrize("spec", [0, 2])
def test_a_knob_does_what_the_same_change_of_the_plan_does(js: Any, knob: str, spec: int) -> None:
    m = turned()
    choice = [0] * m.specs
    tables, factor = m.choose(choice), 1.37
    values = [1.0] * m.specs
    quantities = {"ttft": L.Q_TTFT, "speed": L.Q_RATE, "output": L.Q_OUTPUT, "reasoning": L.Q_REASONING}
    if knob == "tries":
        values, layer_i = [0] * m.specs, tables.layer_i.copy()
        values[spec] = 4
        layer_i[tables.spec_i[spec, L.S_LAYER_LO] : tables.spec_i[spec, L.S_LAYER_HI], L.R_ATTEMPTS] = 4
        tables = tables._replace(layer_i=layer_i)
    elif knob == "input":
        values[spec] = factor
        spec_i = tables.spec_i.copy()
        dist_i, dist_f, spec_i[spec, L.S_INPUT] = scaled_dist(
            tables.dist_i, tables.dist_f, spec_i[spec, L.S_INPUT], factor
        )
        spec_i[spec, L.S_PLAIN] = 0  # as in `scaled`
        tables = tables._replace(spec_i=spec_i, dist_i=dist_i, dist_f=dist_f)
    else:
        values[spec] = factor
        tables = scaled(tables, spec, quantities[knob], factor)
    assert differences(js, m, 400, 0, choice, tables, **{knob: values}) == []
    assert differences(js, m, 400, 0, choice, **{knob: values}) != []  # it does make a difference


# --- the tables -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", documents.list_workflows())
def test_plans_put_together_are_each_plan(name: str) -> None:
    found = documents.load_workflow(name)
    plans = [compile_plan(found, assign_backends(found, place)) for place in OTHER_PLACES.get(name, PLACES)]
    m = merge_plans(plans)
    for k, plan in enumerate(plans):
        one = run_plan(replace(m.plan, tables=m.choose([k] * m.specs)), 200, threads=1)
        assert np.array_equal(one.e2e_s, run_plan(plan, 200, threads=1).e2e_s)


def test_plans_of_different_workflows_are_not_put_together() -> None:
    one, two = workflow({"a": tool(1.0)}), workflow({"a": tool(1.0), "b": tool(2.0)})
    plans: list[Plan] = [compile_plan(one, {}), compile_plan(two, {})]
    with pytest.raises(PlanError, match="same workflow"):
        merge_plans(plans)

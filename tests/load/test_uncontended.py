"""Runs that do not meet: the event engine gives what the Monte Carlo engine gives, run by run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.documents import list_workflows, load_backend, load_workflow
from agentflow.engine import Trace, trace_runs
from agentflow.engine.arrivals import Arrivals, Batch, Renewal
from agentflow.plan import compile_plan
from tests.load.uncontended import COUNTS, differences
from tests.make import backend, guardrail, nested, tool, workflow
from tests.moments import MOMENTS, Moment
from tests.reference import ReferenceRun, simulate_run
from tests.strategies import Case, cases

RUNS = 5
SEEDS = st.integers(0, 2**64 - 1)
ARRIVALS = st.sampled_from([Batch(runs=RUNS), Renewal(per_second=0.5), Renewal(per_second=1e-6, cv=0.0)])


def disagreements(case: Case, seed: int, arrivals: Arrivals) -> list[str]:
    plan = compile_plan(case.workflow, case.assignment)
    runs, paths = differences(plan, RUNS, seed, arrivals)
    if runs and any(calls_at_the_end(trace) for trace in trace_runs(plan, range(RUNS), seed)):
        runs = [text for text in runs if not any(f"{name} " in text for name in COUNTS[1:])]
        runs = [text for text in runs if "step_calls" not in text and "step_attempts" not in text]
    if not paths:
        return runs
    tied = [several_fail(simulate_run(case.workflow, case.assignment, seed, run)) for run in range(RUNS)]
    return runs if any(tied) else runs + paths


def calls_at_the_end(trace: Trace) -> bool:
    """Whether a call that takes no time starts at the moment when its run fails: whether it was made, is open."""
    return any(visit.calls and visit.start_s == visit.end_s == trace.e2e_s for visit in trace.visits)


def several_fail(want: ReferenceRun) -> bool:
    """Whether several calls, maybe in instances of one map, fail at a run's last moment: on whose path it is, is open."""
    last = [path for path, _, _, end, status in want.visits if status == "failed" and end == want.e2e_s]
    inner = [path for path in last if not any(other.startswith(f"{path}.") for other in last)]
    return len(inner) > 1


@given(case=cases(), seed=SEEDS, arrivals=ARRIVALS)
@settings(max_examples=200)
def test_the_engines_agree(case: Case, seed: int, arrivals: Arrivals) -> None:
    assert disagreements(case, seed, arrivals) == []


@pytest.mark.slow
@given(case=cases(most=5), seed=SEEDS, arrivals=ARRIVALS)
@settings(max_examples=5_000)
def test_the_engines_agree_over_many_workflows(case: Case, seed: int, arrivals: Arrivals) -> None:
    assert disagreements(case, seed, arrivals) == []


@pytest.mark.slow
@given(case=cases(most=8, depth=3), seed=SEEDS, arrivals=ARRIVALS)
@settings(max_examples=1_000)
def test_the_engines_agree_over_large_workflows(case: Case, seed: int, arrivals: Arrivals) -> None:
    assert disagreements(case, seed, arrivals) == []


@pytest.mark.parametrize("beside", [("b",), ("b", "c"), ("a", "b", "c")])
def test_a_guardrail_that_is_skipped_keeps_nobody_waiting(beside: tuple[str, ...]) -> None:
    steps = {
        "a": tool(1.0, routes={"x": 0.5, "y": 0.5}),
        "b": guardrail(0.5, "a.y", blocking=False),
        "c": guardrail(0.25, "a.y", blocking=False),
        "d": tool(2.0, *beside),
        "e": tool(0.5, "a"),
    }
    plan = compile_plan(workflow(steps), {})
    for arrivals in (Batch(runs=40), Renewal(per_second=1e-6, cv=0.0)):
        runs, paths = differences(plan, 40, 3, arrivals)
        assert runs + paths == []


def test_a_run_that_a_guardrail_rejects_ends_in_the_call_under_way() -> None:
    guard = {"type": "guardrail", "blocking": False, "timeout": {"idle": 0.375}, "input_tokens": 0, "output_tokens": 10}
    inner = workflow({"x": tool({"uniform": [0.25, 2.0]}), "y": tool({"uniform": [0.25, 2.0]})})
    plan = compile_plan(workflow({"guard": guard, "say": nested(inner, "guard", join="any")}), {"*": backend(ttft=1.0)})
    runs, paths = differences(plan, 40, 3, Batch(runs=40))
    assert runs + paths == []


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_what_is_spent_at_one_moment(moment: Moment) -> None:
    assert disagreements(moment.case, 0, Batch(runs=RUNS)) == []


@pytest.mark.parametrize("place", ["groq/llama-3.3-70b", "openai/gpt-4o"])
@pytest.mark.parametrize("name", list_workflows())
def test_the_engines_agree_on_the_catalogue(name: str, place: str) -> None:
    plan = compile_plan(load_workflow(name), {"*": load_backend(place)})
    runs, paths = differences(plan, 100, 3, Renewal(per_second=0.5))
    assert runs + paths == []

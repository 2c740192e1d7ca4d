"""The engine agrees with the SimPy reference, run by run, over generated workflows that use every feature."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agreement import differences
from tests.make import backend, chat, loop, tool, workflow
from tests.moments import MOMENTS, NEVER_STARTED, Moment
from tests.reference import simulate_run
from tests.strategies import Case, cases

RUNS = 5
SEEDS = st.integers(0, 2**64 - 1)


@given(case=cases(), seed=SEEDS)
@settings(max_examples=200)
def test_the_engine_agrees_with_the_reference(case: Case, seed: int) -> None:
    assert differences(case, seed, RUNS) == []


def test_what_was_cut_twice_ends_with_the_first_cut() -> None:
    """A failure wipes a loop's next round; then a join, at an earlier moment, cancels the whole loop, and its answer is revoked."""
    fails = tool(3.0, timeout={"attempt": 1.125})
    guard = {
        "type": "guardrail",
        "blocking": False,
        "timeout": {"idle": 0.0625},
        "input_tokens": 0,
        "output_tokens": 10,
    }
    steps = {
        "guard": guard,
        "slow": loop(2, {"again": loop(2, {"think": tool(2.0)}), "fails": fails}),
        "late": tool(1.0, "slow", catch=[{"errors": ["timeout"], "to": "say"}]),
        "say": tool(0.0, "guard", join={"quorum": 1}),
    }
    case = Case(workflow(steps), {"*": backend(ttft=1.0)})
    assert differences(case, 0, 3) == []
    assert simulate_run(case.workflow, case.assignment, 0, 0).e2e_s == 0.0625


def test_a_step_that_fails_at_its_join_has_made_no_call() -> None:
    """Also not in a run that comes after one in which it made one."""
    errors = {"server_error": {"probability": 0.5, "at": "end"}}
    steps = {"a": tool(1.0, errors=errors), "b": tool(1.0, errors=errors), "c": chat(0, "a", "b", join="any")}
    assert differences(Case(workflow(steps), {"*": backend()}), 0, 20) == []


def test_what_never_started_hands_on_nothing() -> None:
    assert differences(NEVER_STARTED, 0, 1) == []
    assert simulate_run(NEVER_STARTED.workflow, NEVER_STARTED.assignment, 0, 0).input_tokens == 5


def test_a_context_overflow_brings_no_retry_after_of_a_drawn_one() -> None:
    errors = {"context_overflow": {"probability": 1.0, "retry_after": 3.0}}
    retry = {"max_attempts": 2, "initial_interval": 0.5, "jitter": "none", "on": ["context_overflow"]}
    place = backend(context=30, network=0.125)
    for tokens, e2e_s in ((20, 3.25), (40, 0.75)):
        case = Case(workflow({"a": chat(0, input_tokens=tokens, errors=errors, retry=retry)}), {"*": place})
        assert differences(case, 0, 1) == []
        assert simulate_run(case.workflow, case.assignment, 0, 0).e2e_s == e2e_s


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_what_is_spent_at_one_moment(moment: Moment) -> None:
    assert differences(moment.case, 0, 3) == []
    want = simulate_run(moment.case.workflow, moment.case.assignment, 0, 0)
    assert (want.outcome, want.e2e_s, want.cost_usd) == (moment.outcome, moment.e2e_s, moment.cost_usd)


@pytest.mark.slow
@given(case=cases(most=5), seed=SEEDS)
@settings(max_examples=5_000)
def test_the_engine_agrees_with_the_reference_over_many_workflows(case: Case, seed: int) -> None:
    assert differences(case, seed, RUNS) == []


@pytest.mark.slow
@given(case=cases(most=8, depth=3), seed=SEEDS)
@settings(max_examples=500)
def test_the_engine_agrees_with_the_reference_over_large_workflows(case: Case, seed: int) -> None:
    assert differences(case, seed, RUNS) == []

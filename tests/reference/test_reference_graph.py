"""The reference against cases worked by hand: joins, failures, guardrails, composites, budgets, the answer."""

from __future__ import annotations

import pytest

from tests.make import backend, chat, fan, guardrail, loop, nested, tool, workflow
from tests.reference import ReferenceRun
from tests.reference.test_reference import ALWAYS_LIMITED, PLAIN, once


def visits(got: ReferenceRun) -> dict[str, tuple[float, float, str]]:
    """Return start, end and status by path and indices ("l.a 0")."""
    return {" ".join([path, *map(str, at)]): (start, end, status) for path, at, start, end, status in got.visits}


def test_join_all_waits_for_the_last() -> None:
    got = once({"a": tool(1.0), "b": tool(3.0), "c": tool(0.5, "a", "b")})
    assert got.e2e_s == 3.5
    assert got.critical_components == {("b", "tool"): 3.0, ("c", "tool"): 0.5}


def test_join_any_cancels_the_losers_and_counts_what_they_sent() -> None:
    steps = {
        "fast": tool(1.5),
        "slow": chat(80, input_tokens=10),
        "after": chat(80, "slow", input_tokens=1000),
        "j": tool(1.0, "fast", "after", join="any"),
    }
    got = once(steps)
    assert (got.e2e_s, got.input_tokens, got.output_tokens) == (2.5, 10, 1 + 4)
    assert visits(got)["slow"] == (0.0, 1.5, "cancelled")
    assert visits(got)["after"][2] == "never"


def test_the_answer_is_no_loser() -> None:
    steps = {"fast": tool(1.0), "slow": tool(5.0), "log": tool(1.0, "fast", "slow", join="any")}
    assert once(steps).e2e_s == 2.0
    assert once(steps, answer="slow").e2e_s == 5.0


def test_a_step_with_another_way_on_is_no_loser() -> None:
    steps = {"a": tool(1.0), "b": tool(5.0), "j": tool(1.0, "a", "b", join="any"), "k": tool(1.0, "b")}
    assert once(steps).e2e_s == 6.0


def test_a_quorum_starts_with_its_kth_branch() -> None:
    steps = {name: tool(s) for name, s in [("a", 4.0), ("b", 1.0), ("c", 2.0)]}
    got = once({**steps, "j": tool(1.0, "a", "b", "c", join={"quorum": 2})})
    assert got.critical_components == {("c", "tool"): 2.0, ("j", "tool"): 1.0}
    assert visits(got)["a"] == (0.0, 2.0, "cancelled")


def test_an_absorbed_failure_and_a_quorum_out_of_reach() -> None:
    bad = {"server_error": 1.0}
    steps = {"a": tool(1.0, errors=bad), "b": tool(2.0), "j": tool(1.0, "a", "b", join="any")}
    assert once(steps).e2e_s == 3.0
    steps["j"]["join"] = {"quorum": 2}
    got = once(steps)
    assert (got.e2e_s, got.outcome, visits(got)["j"]) == (2.0, "failed", (2.0, 2.0, "failed"))
    steps["j"]["catch"] = [{"errors": ["server_error"], "to": "h"}]
    got = once({**steps, "h": tool(4.0)})
    assert (got.e2e_s, got.outcome, visits(got)["j"][2]) == (6.0, "answered", "caught")


def test_a_quorum_starts_with_fewer_if_the_others_were_skipped() -> None:
    steps = {
        "r": tool(1.0, routes={"x": 1.0, "y": 0.0}),
        "a": tool(1.0, "r.x"),
        "b": tool(1.0, "r.y"),
        "c": tool(9.0, "b"),
        "j": tool(1.0, "a", "c", join={"quorum": 2}),
    }
    got = once(steps)
    assert (got.e2e_s, visits(got)["c"]) == (3.0, (1.0, 1.0, "skipped"))


def test_a_step_is_skipped_if_none_of_its_needs_is_active() -> None:
    got = once({"r": tool(1.0, routes={"x": 0.0, "y": 1.0}), "a": tool(5.0, "r.x"), "j": tool(1.0, "a", "r.x")})
    assert (got.e2e_s, visits(got)["j"]) == (1.0, (1.0, 1.0, "skipped"))


def test_a_failure_nobody_takes_cancels_the_rest() -> None:
    got = once({"a": tool(2.0, errors={"server_error": 1.0}), "b": chat(80, input_tokens=5)})
    assert (got.e2e_s, got.ttft_s, got.outcome) == (2.0, 2.0, "failed")
    assert (got.input_tokens, got.output_tokens) == (5, 9)
    assert got.critical_components == {("a", "tool"): 2.0}


def test_a_catch_leads_on() -> None:
    steps = {
        "a": tool(2.0, errors={"server_error": 1.0}, catch=[{"errors": ["server_error"], "to": "h"}]),
        "b": tool(9.0, "a"),
        "h": tool(1.0, outcome="escalated"),
    }
    got = once(steps)
    assert (got.e2e_s, got.outcome) == (3.0, "escalated")
    assert [visits(got)[name][2] for name in "abh"] == ["caught", "skipped", "done"]


def test_a_guardrail_beside_holds_the_answer_back() -> None:
    steps = {"g": guardrail(5.0, blocking=False), "a": chat(9, "g", stream=True)}
    got = once(steps)
    assert (got.e2e_s, got.ttft_s) == (5.0, 5.0)
    assert got.critical_components == {("g", "tool"): 5.0}
    steps["g"]["latency"] = 1.5
    got = once(steps)
    assert (got.e2e_s, got.ttft_s) == (2.0, 1.5)
    assert got.critical_components == {("a", "prefill"): 1.0, ("a", "decode"): 1.0}


def test_a_rejection_cancels_what_ran_beside_finished_or_not() -> None:
    reject = {"errors": {"content_filter": 1.0}, "catch": [{"errors": ["content_filter"], "to": "h"}]}
    steps = {
        "g": guardrail(3.0, blocking=False, **reject),
        "a": chat(9, "g", stream=True),
        "b": chat(81, "a"),
        "h": tool(4.0),
    }
    got = once(steps)
    assert (got.e2e_s, got.ttft_s, got.output_tokens) == (7.0, 7.0, 9 + 1)
    assert visits(got)["a"] == (0.0, 2.0, "cancelled")
    assert visits(got)["b"] == (2.0, 3.0, "cancelled")
    assert got.critical_components == {("g", "tool"): 3.0, ("h", "tool"): 4.0}


def test_a_revoked_edge_counts_as_skipped_for_joins_still_waiting() -> None:
    reject = {"errors": {"content_filter": 1.0}, "catch": [{"errors": ["content_filter"], "to": "h"}]}
    steps = {
        "g": guardrail(2.0, blocking=False, **reject),
        "a": tool(1.0, "g"),
        "u": tool(3.0),
        "h": tool(0.5),
        "j": tool(1.0, "a", "u"),
    }
    got = once(steps)
    assert (got.e2e_s, visits(got)["j"]) == (4.0, (3.0, 4.0, "done"))
    steps["u"]["latency"] = 1.5  # now the join has fired before the rejection, and goes with it
    assert visits(once(steps))["j"] == (1.5, 2.0, "cancelled")


def test_a_map_runs_so_many_at_a_time() -> None:
    got = once({"m": fan(5, {"a": tool(1.0), "b": tool(0.5, "a")}, max_concurrency=2)})
    assert got.e2e_s == 4.5
    assert got.critical_components == {("m.a", "tool"): 3.0, ("m.b", "tool"): 1.5}
    assert once({"m": fan(5, {"a": tool(1.0)})}).e2e_s == 1.0
    assert once({"m": fan(0, {"a": tool(1.0)}), "b": tool(1.0, "m")}).e2e_s == 1.0


def test_a_map_with_a_quorum_cancels_the_others() -> None:
    got = once({"m": fan(5, {"a": chat(9, input_tokens=10)}, max_concurrency=3, join={"quorum": 4})})
    # 0, 1, 2 end at 2; 3 and 4 start then and would both end at 4
    assert (got.e2e_s, got.calls, got.output_tokens) == (4.0, 5, 45)
    got = once({"m": fan(3, {"a": chat(9), "b": chat(9, "a")}, max_concurrency=2, join="any"), "z": tool(1.0, "m")})
    assert (got.e2e_s, got.calls, visits(got).get("m.a 2")) == (5.0, 4, None)


def test_a_map_fails_when_its_quorum_is_out_of_reach() -> None:
    steps = {"m": fan(3, {"a": chat(9, errors={"content_filter": 1.0})}, max_concurrency=1, join={"quorum": 2})}
    got = once(steps)
    assert (got.e2e_s, got.outcome, got.calls) == (4.0, "failed", 2)
    steps["m"]["join"] = "all"
    assert once(steps).e2e_s == 2.0


def test_a_loop_goes_on_as_its_draws_say() -> None:
    assert once({"l": loop(4, {"a": tool(1.0)})}).e2e_s == 4.0
    assert once({"l": loop(4, {"a": tool(1.0)}, continue_probability=0.0)}).e2e_s == 1.0
    got = once({"l": loop(3, {"a": tool(1.0), "b": tool(1.0)}, continue_probability=[1.0, 0.0])})
    assert got.e2e_s == 2.0
    assert visits(got)["l.b 1"] == (1.0, 2.0, "done")


def test_tokens_from_earlier_steps() -> None:
    inner = workflow({"p": tool(1.0, output_tokens=7), "q": tool(1.0, "p", output_tokens=11)})
    steps = {
        "m": fan(3, {"a": tool(1.0, output_tokens=5), "b": tool(1.0, "a", output_tokens=6)}),
        "l": loop(2, {"w": chat(100, input_tokens={"from": {"w": 1.0}})}, "m"),
        "n": nested(inner, "l"),
        "z": chat(1, "n", input_tokens={"own": 0.5, "from": {"m": 1, "m.a": 2, "l.w": 0.5, "n": 1, "n.p": 10}}),
    }
    got = once(steps)
    # w: 0, then 100; z: 0.5 + 18 + 2 * 15 + 50 + 11 + 70 = 179.5
    assert got.input_tokens == 100 + 180


def test_steps_that_are_not_done_hand_on_nothing() -> None:
    steps = {
        "r": tool(1.0, routes={"x": 1.0, "y": 0.0}),
        "a": tool(1.0, "r.y", output_tokens=5),
        "b": tool(1.0, "r.x", output_tokens=7),
        "z": chat(1, "a", "b", input_tokens={"from": {"a": 1, "b": 1}}),
    }
    assert once(steps).input_tokens == 7


def test_a_map_inside_a_loop_shares_the_loops_history() -> None:
    body = {
        "m": fan(2, {"a": chat(8, input_tokens={"own": 10, "history": True})}),
        "t": tool(1.0, output_tokens=3),
    }
    got = once({"l": loop(2, body)}, backend(cache={"hit_rate": 1.0}))
    assert (got.input_tokens, got.cached_input_tokens) == (2 * 10 + 2 * (10 + 19), 20)


def test_a_nested_workflow_has_its_own_defaults() -> None:
    inner = workflow({"a": chat(1, errors=ALWAYS_LIMITED)}, defaults={"retry": PLAIN})
    assert once({"n": nested(inner)}, defaults={"retry": {**PLAIN, "max_attempts": 9}}).attempts == 3
    assert once({"a": chat(1, errors=ALWAYS_LIMITED)}, defaults={"retry": PLAIN}).attempts == 3


def test_a_failed_body_fails_its_composite_which_may_be_caught() -> None:
    body = {"a": chat(9, errors={"content_filter": 1.0}), "b": chat(81)}
    catch = [{"errors": ["content_filter"], "to": "h"}]
    got = once({"l": loop(3, {"m": fan(1, body)}, catch=catch), "h": tool(1.0)})
    assert (got.e2e_s, got.outcome, got.output_tokens) == (3.0, "answered", 18)
    assert got.critical_components == {
        ("l.m.a", "prefill"): 1.0,
        ("l.m.a", "decode"): 1.0,
        ("h", "tool"): 1.0,
    }


def test_the_deadline_cuts_the_run() -> None:
    got = once({"a": tool(2.0), "b": chat(81, "a", input_tokens=5)}, budget={"deadline": 4.5})
    assert (got.e2e_s, got.outcome, got.output_tokens) == (4.5, "deadline_exceeded", 1 + 12)
    assert got.critical_components == {("a", "tool"): 2.0, ("b", "prefill"): 1.0, ("b", "decode"): 1.5}
    steps = {"a": tool(2.0), "b": chat(81, "a")}
    got = once(steps, budget={"deadline": 4.5}, answer="a")
    assert (got.e2e_s, got.outcome, got.output_tokens) == (2.0, "answered", 81)


def test_the_token_budget_fails_the_step_that_would_start() -> None:
    steps = {"a": chat(9, input_tokens=91), "b": chat(9, "a"), "c": chat(9, "b")}
    assert once(steps, budget={"tokens": 101}).outcome == "budget_exceeded"
    got = once(steps, budget={"tokens": 100})
    assert (got.e2e_s, got.outcome, got.calls) == (2.0, "budget_exceeded", 1)
    steps["b"]["catch"] = [{"errors": ["budget_exceeded"], "to": "h"}]
    assert once({**steps, "h": tool(1.0)}, budget={"tokens": 100}).e2e_s == 3.0


def test_a_loop_stops_before_the_budget_is_spent() -> None:
    steps = {"l": loop(9, {"a": chat(9, input_tokens=91)})}
    assert once(steps, budget={"tokens": 399}).e2e_s == 6.0
    assert once(steps, budget={"tokens": 400}).e2e_s == 8.0
    assert once(steps, budget={"deadline": 7.0}).e2e_s == 6.0
    place = backend(price={"input": "$1/Mtok", "output": "$1/Mtok", "per_call": 0.25})
    assert once(steps, place, budget={"usd": 0.8}).e2e_s == 6.0


def test_the_named_answer_may_come_before_the_end() -> None:
    got = once({"a": chat(9), "log": chat(81, "a")}, answer="a")
    assert (got.e2e_s, got.ttft_s, got.output_tokens) == (2.0, 1.0, 90)


def test_without_the_named_answer_the_last_step_answers() -> None:
    steps = {
        "r": tool(1.0, routes={"x": 1.0, "y": 0.0}),
        "a": tool(1.0, "r.y"),
        "b": tool(1.0, "r.x", outcome="escalated"),
    }
    got = once(steps, answer="a")
    assert (got.e2e_s, got.outcome) == (2.0, "escalated")


@pytest.mark.parametrize("latency", [1.0, 2.0])
def test_what_starts_as_it_is_cut_never_started(latency: float) -> None:
    """At 2 s `late` would start just as `j` fires, or has not started: nothing of it counts."""
    steps = {
        "a": tool(latency),
        "b": tool(2.0),
        "late": chat(9, "b", input_tokens=10),
        "j": tool(1.0, "a", "late", join="any"),
    }
    got = once(steps)
    assert (got.e2e_s, got.input_tokens, got.calls) == (latency + 1.0, 0, 0)

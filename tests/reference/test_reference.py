"""The reference against cases worked by hand: calls and their errors. See also test_reference_graph.py."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.make import backend, chat, loop, tool, workflow
from tests.reference import ReferenceRun, keys, simulate_run

ALWAYS_LIMITED = {"rate_limit": 1.0}
PLAIN = {
    "max_attempts": 3,
    "initial_interval": 0.5,
    "backoff_factor": 2,
    "max_interval": 8.0,
    "jitter": "none",
}


def once(steps: dict[str, Any], at: Any = None, run: int = 0, **more: Any) -> ReferenceRun:
    """Run once; `at` is the backend, or the assignment."""
    chosen = backend() if at is None else at
    return simulate_run(workflow(steps, **more), chosen if isinstance(chosen, dict) else {"*": chosen}, 7, run)


def run_in_which(path: str, fails: list[bool], probability: float) -> int:
    """Return the first run whose attempts 0, 1, ... of a step fail or not as asked."""
    for run in range(10_000):
        node = keys.node_key(keys.run_key(7, run), path, ())
        us = [keys.uniform(keys.attempt_draw(node, n, keys.ERROR)) for n in range(len(fails))]
        if [u < probability for u in us] == fails:
            return run
    raise AssertionError("no such run")


def test_a_chain_is_the_sum_of_its_steps() -> None:
    got = once({"a": tool(1.0), "b": tool(2.5, "a"), "c": tool(0.25, "b")})
    assert (got.e2e_s, got.ttft_s, got.outcome) == (3.75, 3.75, "answered")
    assert got.critical_components == {("a", "tool"): 1.0, ("b", "tool"): 2.5, ("c", "tool"): 0.25}
    assert (got.calls, got.attempts, got.input_tokens) == (0, 0, 0)


def test_the_measured_law() -> None:
    place = backend(
        ttft=0.5,
        rate=8.0,
        network=0.25,
        prefill_rate=100.0,
        ttft_input_tokens=50,
        stall={"probability": 1.0, "duration": 2.0},
    )
    got = once({"a": chat(17, input_tokens=150, reasoning_tokens=4)}, place)
    # 0.25 network, 2 stall, 0.5 + 100/100 prefill, 4/8 reasoning, 16/8 decode
    assert got.critical_components == {
        ("a", "network"): 0.25,
        ("a", "queue"): 2.0,
        ("a", "prefill"): 1.5,
        ("a", "reasoning"): 0.5,
        ("a", "decode"): 2.0,
    }
    assert (got.e2e_s, got.ttft_s) == (6.25, 4.25)
    assert (got.input_tokens, got.output_tokens, got.reasoning_tokens, got.calls, got.attempts) == (
        150,
        17,
        4,
        1,
        1,
    )


def test_input_below_what_the_ttft_was_measured_at_prefills_in_the_ttft() -> None:
    place = backend(ttft=0.5, prefill_rate=100.0, ttft_input_tokens=500)
    assert once({"a": chat(1, input_tokens=150)}, place).e2e_s == 0.5


def test_variation_slows_all_but_the_network() -> None:
    place = backend(network=1.0, rate=4.0, variation={"between_runs": 0.3, "between_calls": 0.2})
    run = keys.run_key(7, 0)
    node = keys.node_key(run, "a", ())
    slow = math.exp(0.3 * keys.normal(keys.backend_draw(run, "made")))
    slow *= math.exp(0.2 * keys.normal(keys.attempt_draw(node, 0, keys.CALL_NOISE)))
    assert once({"a": chat(5)}, place).e2e_s == pytest.approx(1.0 + (1.0 + 1.0) * slow, rel=1e-12)


def test_a_run_keeps_its_factor_at_a_backend() -> None:
    got = once({"a": chat(1), "b": chat(1, "a")}, backend(variation={"between_runs": 0.3}))
    assert got.critical_components["a", "prefill"] == pytest.approx(got.critical_components["b", "prefill"])


def test_explicit_cached_tokens_and_the_price() -> None:
    place = backend(
        prefill_rate=100.0,
        cache={"hit_rate": 1.0, "min_tokens": 64, "block": 64},
        price={"input": "$4/Mtok", "cached_input": "$1/Mtok", "output": "$8/Mtok", "per_call": 0.5},
    )
    got = once({"a": chat(10, input_tokens=1000, cached_input_tokens=700)}, place)
    assert got.cached_input_tokens == 640  # ten blocks of 64
    assert got.ttft_s == pytest.approx(1.0 + 3.6)
    assert got.cost_usd == pytest.approx(360 * 4e-6 + 640 * 1e-6 + 10 * 8e-6 + 0.5)


@pytest.mark.parametrize(
    "cache", [None, {"hit_rate": 0.0}, {"hit_rate": 1.0, "min_tokens": 701}, {"hit_rate": 1.0, "block": 1024}]
)
def test_what_is_not_cached(cache: Any) -> None:
    steps = {"a": chat(10, input_tokens=1000, cached_input_tokens=700)}
    assert once(steps, backend(cache=cache)).cached_input_tokens == 0


def test_max_tokens_cut_reasoning_first_then_output() -> None:
    got = once({"a": chat(50, reasoning_tokens=60, max_tokens=80)})
    assert (got.reasoning_tokens, got.output_tokens) == (60, 20)
    got = once({"a": chat(50, reasoning_tokens=60, max_tokens=80)}, backend(max_output=40))
    assert (got.reasoning_tokens, got.output_tokens) == (40, 0)


def test_the_context_cuts_the_output() -> None:
    got = once({"a": chat(50, input_tokens=90)}, backend(context=100))
    assert (got.input_tokens, got.output_tokens, got.outcome) == (90, 10, "answered")


def test_context_overflow_strikes_after_the_network_and_counts_no_tokens() -> None:
    got = once({"a": chat(50, input_tokens=90, max_tokens=11)}, backend(context=100, network=0.25))
    assert (got.e2e_s, got.outcome, got.input_tokens, got.calls, got.attempts) == (0.25, "failed", 0, 1, 1)


def test_retries_wait_longer_each_time() -> None:
    got = once({"a": chat(9, errors={"content_filter": 1.0}, retry={**PLAIN, "on": ["content_filter"]})})
    # three attempts of 1 + 8/8 s to their end, waits 0.5 and 1
    assert got.e2e_s == 3 * 2.0 + 0.5 + 1.0
    assert (got.outcome, got.calls, got.attempts, got.output_tokens) == ("failed", 1, 3, 27)
    assert got.critical_components["a", "backoff"] == 1.5


def test_a_retry_that_succeeds() -> None:
    run = run_in_which("a", [True, True, False], 0.5)
    steps = {"a": chat(9, input_tokens=10, errors={"server_error": 0.5}, retry=PLAIN)}
    got = once(steps, run=run)
    # a server error strikes at the first token, where the input counts and the output does not
    assert got.e2e_s == 1.0 + 0.5 + 1.0 + 1.0 + 2.0
    assert (got.outcome, got.attempts, got.input_tokens, got.output_tokens) == ("answered", 3, 30, 9)


def test_jitter_and_added_jitter() -> None:
    policy = {**PLAIN, "max_attempts": 2, "jitter": "full", "jitter_add": 2.0}
    got = once({"a": chat(1, errors=ALWAYS_LIMITED, retry=policy)})
    u = keys.uniform(keys.attempt_draw(keys.node_key(keys.run_key(7, 0), "a", ()), 0, keys.JITTER))
    assert got.e2e_s == pytest.approx(0.5 * (1 - u) + 2 * u, rel=1e-12)


def test_layers_multiply() -> None:
    inner = {**PLAIN, "max_attempts": 2}
    outer = {**PLAIN, "max_attempts": 2, "initial_interval": 4.0}
    got = once({"a": chat(1, errors=ALWAYS_LIMITED, retry=[inner, outer])})
    # try, 0.5, try, 4, try, 0.5 (the inner layer starts anew), try
    assert (got.attempts, got.calls, got.e2e_s) == (4, 1, 5.0)


@pytest.mark.parametrize(("told", "waited"), [(7.0, 7.0), (90.0, 0.5)])
def test_retry_after_is_respected_up_to_its_cap(told: float, waited: float) -> None:
    errors = {"rate_limit": {"probability": 1.0, "retry_after": told}}
    got = once({"a": chat(1, errors=errors, retry={**PLAIN, "max_attempts": 2, "retry_after_cap": 60})})
    assert got.e2e_s == waited


def test_errors_of_step_and_backend_add_up() -> None:
    place = backend(errors={"rate_limit": 0.5, "server_error": 0.25})
    got = once({"a": chat(9, errors={"rate_limit": {"probability": 0.25, "at": "end"}})}, place)
    assert (got.outcome, got.e2e_s in (1.0, 2.0)) == ("failed", True)


def test_the_attempt_timeout_counts_what_came_until_then() -> None:
    got = once({"a": chat(81, input_tokens=10, reasoning_tokens=8, timeout=4.5)})
    # first token at 1 + 8/8 = 2 s; 2.5 s at 8 tokens/s after it
    assert (got.e2e_s, got.outcome) == (4.5, "failed")
    assert (got.input_tokens, got.reasoning_tokens, got.output_tokens) == (10, 8, 21)


def test_the_idle_timeout_before_the_first_token_and_between_tokens() -> None:
    assert once({"a": chat(81, reasoning_tokens=80, timeout={"idle": 4.5})}).e2e_s == 4.5
    got = once({"a": chat(81, timeout={"idle": 4.5})}, backend(rate=0.125))
    assert (got.e2e_s, got.output_tokens) == (1.0 + 4.5, 1)
    assert once({"a": chat(1, timeout={"idle": 4.5})}, backend(rate=0.125)).outcome == "answered"


def test_a_hang_ends_at_the_least_timeout() -> None:
    hang = {"timeout": 1.0}
    got = once({"a": chat(9, input_tokens=10, errors=hang)}, backend(network=0.25))
    assert (got.e2e_s, got.input_tokens, got.output_tokens) == (600.0, 10, 0)
    assert got.critical_components == {("a", "network"): 0.25, ("a", "queue"): 599.75}
    assert once({"a": chat(9, errors=hang, timeout={"attempt": 30, "idle": 10})}).e2e_s == 10.0
    assert once({"a": chat(9, errors={"timeout": {"probability": 1.0, "after": 20}})}).e2e_s == 20.0
    assert once({"a": tool(1.0, errors=hang, timeout=30)}).critical_components == {("a", "tool"): 30.0}


def test_a_fallback_answers() -> None:
    bad, good = backend("bad", errors=ALWAYS_LIMITED, network=0.25), backend("good")
    steps = {"a": chat(9, fallbacks=[{"backend": "x"}, {"backend": "y"}], retry={**PLAIN, "max_attempts": 2})}
    got = once(steps, {"*": bad, "a!0": bad, "a!1": good})
    assert got.e2e_s == 2 * (0.25 + 0.5 + 0.25) + 2.0
    assert (got.outcome, got.calls, got.attempts) == ("fallback", 3, 5)


def test_a_fallback_that_does_not_take_the_error_ends_the_call() -> None:
    steps = {"a": chat(9, fallbacks=[{"backend": "x", "on": ["timeout"]}], retry="none")}
    got = once(steps, {"*": backend(errors=ALWAYS_LIMITED), "a!0": backend("good")})
    assert (got.outcome, got.e2e_s, got.calls) == ("failed", 0.0, 1)


def test_a_hedge_sends_again_and_the_loser_counts_up_to_the_win() -> None:
    got = once({"a": chat(17, input_tokens=10, hedge={"after": 1.5, "max_hedges": 2})})
    # copies at 0, 1.5 and 3 s; copy 0 is done at 3, which forestalls copy 2; copy 1 has 1 + 0.5 * 8 tokens
    assert (got.e2e_s, got.calls, got.attempts, got.input_tokens) == (3.0, 2, 2, 20)
    assert got.output_tokens == 17 + 1 + 4


def test_a_hedge_wins_where_the_first_copy_hangs() -> None:
    for run in range(10_000):
        node = keys.node_key(keys.run_key(7, run), "a", ())
        us = [keys.uniform(keys.attempt_draw(node, 1024 * copy, keys.ERROR)) for copy in range(2)]
        if us[0] < 0.5 <= us[1]:
            break
    got = once({"a": chat(17, input_tokens=10, errors={"timeout": 0.5}, hedge={"after": 1.5})}, run=run)
    assert (got.e2e_s, got.ttft_s, got.input_tokens, got.output_tokens) == (4.5, 2.5, 20, 17)
    assert got.critical_components == {("a", "wait"): 1.5, ("a", "prefill"): 1.0, ("a", "decode"): 2.0}


def test_a_hedged_call_fails_when_its_last_copy_does() -> None:
    got = once({"a": chat(17, errors={"content_filter": 1.0}, hedge={"after": 1.5, "max_hedges": 1})})
    assert (got.e2e_s, got.outcome, got.output_tokens) == (4.5, "failed", 34)
    assert got.critical_components["a", "wait"] == 1.5


def test_nobody_hedges_a_call_that_has_failed() -> None:
    got = once({"a": chat(17, errors=ALWAYS_LIMITED, hedge={"after": 1.5})})
    assert (got.e2e_s, got.calls) == (0.0, 1)


def test_history_grows_the_input_and_its_prefix_is_cached() -> None:
    body = {
        "t": tool(0.5, output_tokens=3),
        "w": chat(8, "t", input_tokens={"own": 100, "history": True}),
    }
    place = backend(cache={"hit_rate": 1.0})
    got = once({"l": loop(3, body)}, place)
    # inputs 100, 111, 122; of the second 100 and of the third 111 were sent before
    assert (got.input_tokens, got.cached_input_tokens) == (333, 211)
    assert got.output_tokens == 24


def test_a_prefix_is_not_cached_elsewhere() -> None:
    """The first iteration ends at the fallback, so the second one's first place has nothing cached."""
    body = {"w": chat(8, input_tokens={"own": 100, "history": True}, retry="none", fallbacks=[{"backend": "x"}])}
    bad = backend("bad", cache={"hit_rate": 1.0}, errors={"server_error": 1.0})
    got = once({"l": loop(2, body)}, {"*": bad, "l.w!0": backend("good", cache={"hit_rate": 1.0})})
    assert (got.input_tokens, got.cached_input_tokens) == (2 * 100 + 2 * 108, 100)


def test_a_streamed_step_shows_the_first_token() -> None:
    steps = {"a": chat(17, stream=True), "b": chat(17, "a")}
    assert once(steps).ttft_s == 1.0
    assert once({"a": chat(17), "b": chat(17, "a")}).ttft_s == 4.0
    assert once({"a": chat(17), "b": chat(17, "a", stream=False)}).ttft_s == 6.0

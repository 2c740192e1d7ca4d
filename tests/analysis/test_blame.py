"""Blame per run: components add up to E2E, the path is the reference's, losses and slack are those of brute force."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.analysis.insight.slack import slack_s
from agentflow.engine import run_plan
from agentflow.engine.blame import critical_seconds, critical_steps, failed_seconds, slowest_branch_seconds
from agentflow.engine.recording import Recording, record_runs
from agentflow.engine.replay import delayed_e2e
from agentflow.plan import compile_plan
from agentflow.plan import layout as L
from agentflow.result import COMPONENTS
from tests.make import backend, chat, fan, guardrail, loop, tool, workflow
from tests.reference import simulate_run
from tests.strategies import Case, cases

RUNS = 6
SEEDS = st.integers(0, 2**64 - 1)
LOGNORMAL = {"lognormal": {"p50": 1.0, "p95": 3.0}}


def recorded(steps: dict[str, Any], runs: int = RUNS, seed: int = 0, **more: Any) -> Recording:
    plan = compile_plan(workflow(steps, **more), {"*": backend()})
    return next(record_runs(plan, range(runs), seed))


@given(case=cases(), seed=SEEDS)
@settings(max_examples=120)
def test_components_of_the_critical_path_add_up_to_e2e_in_every_run(case: Case, seed: int) -> None:
    plan = compile_plan(case.workflow, case.assignment)
    for recording in record_runs(plan, range(RUNS), seed):
        total = critical_seconds(recording, recording.critical_path()).sum(axis=(1, 2))
        assert np.allclose(total, recording.e2e_s, rtol=1e-12, atol=1e-12)
        assert np.array_equal(recording.e2e_s, run_plan(plan, RUNS, seed).e2e_s)


@given(case=cases(), seed=SEEDS)
@settings(max_examples=60)
def test_blame_is_that_of_the_reference_in_every_run(case: Case, seed: int) -> None:
    plan = compile_plan(case.workflow, case.assignment)
    recording = next(record_runs(plan, range(RUNS), seed))
    path = recording.critical_path()
    seconds, steps = critical_seconds(recording, path), critical_steps(recording, path)
    for run in range(RUNS):
        want = simulate_run(case.workflow, case.assignment, seed, run)
        last = {v[0].partition(".")[0] for v in want.visits if v[4] == "failed" and v[3] == want.e2e_s}
        if len(last) > 1:
            continue  # several failures at the last moment: which one is named is left open
        for (step, component), amount in want.critical_components.items():
            number = plan.steps.index(step)
            assert math.isclose(seconds[run, number, COMPONENTS.index(component)], amount, rel_tol=1e-9, abs_tol=1e-9)
            assert steps[run, number]


@given(case=cases(), seed=SEEDS)
@settings(max_examples=120)
def test_a_replay_without_delay_is_the_run_itself(case: Case, seed: int) -> None:
    plan = compile_plan(case.workflow, case.assignment)
    for recording in record_runs(plan, range(RUNS), seed):
        again = delayed_e2e(recording, np.array([-1]), np.zeros((len(recording.runs), 1)))
        assert np.allclose(again[:, 0], recording.e2e_s, rtol=1e-12, atol=1e-12)


def body(rng: random.Random, depth: int, prefix: str) -> dict[str, Any]:
    """Draw a body of tools, maps, loops and guardrails with joins of all kinds."""
    steps: dict[str, Any] = {}
    for number in range(rng.randint(1, 4 if depth < 2 else 3)):
        name = f"{prefix}{number}"
        sources = rng.sample(list(steps), rng.randint(0, min(3, number)))
        needs = [f"{s}.{rng.choice('xy')}" if "routes" in steps[s] and rng.random() < 0.6 else s for s in sources]
        kind = rng.random()
        if depth and kind < 0.2:
            more = {"max_concurrency": rng.randint(1, 3)} if rng.random() < 0.6 else {}
            more |= {"join": rng.choice(["any", {"quorum": 2}])} if rng.random() < 0.4 else {}
            steps[name] = fan({"uniform": [1, 4]}, body(rng, depth - 1, prefix + "m"), *needs, **more)
        elif depth and kind < 0.35:
            steps[name] = loop(3, body(rng, depth - 1, prefix + "l"), *needs, continue_probability=0.6)
        elif depth == 2 and kind < 0.45:
            steps[name] = guardrail(LOGNORMAL, *needs, blocking=False)
        else:
            steps[name] = tool(LOGNORMAL, *needs)
            if len(sources) > 1 and rng.random() < 0.5:
                steps[name]["join"] = rng.choice(["any", {"quorum": 2}])
            if rng.random() < 0.3:
                steps[name]["routes"] = {"x": 0.5, "y": 0.5}
    return steps


def leaves(steps: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, step in steps.items():
        if "steps" in step:
            yield from leaves(step["steps"], f"{path}{name}.")
        else:
            yield path + name, step


@pytest.mark.parametrize("seed", range(40))
def test_slack_is_what_simulating_anew_with_delays_finds(seed: int) -> None:
    """No later answer up to the slack; a later one beyond it, unless a branch that was cut could have taken over."""
    steps = body(random.Random(seed), 2, "s")
    recording = recorded(steps, seed=seed)
    inside = list(leaves(steps))
    found = slack_s(recording, np.array([recording.plan.steps.index(path) for path, _ in inside]))
    cut = np.isin(recording.marks[:, :, L.V_STATUS], (L.CANCELLED, L.WIPED)).any(axis=1)

    def e2e(step: dict[str, Any], delay: float) -> np.ndarray:
        usual, step["latency"] = step["latency"], {**LOGNORMAL, "shift": delay}
        again = run_plan(compile_plan(workflow(steps), {"*": backend()}), RUNS, seed, threads=1)
        step["latency"] = usual
        return again.e2e_s

    for column, (_, step) in enumerate(inside):
        for run in np.flatnonzero(~np.isnan(found[:, column])):
            slack, answered = found[run, column], recording.e2e_s[run] + 1e-9
            if np.isinf(slack):
                assert e2e(step, 1000.0)[run] <= answered
                continue
            assert e2e(step, max(0.0, slack - 1e-6))[run] <= answered
            assert cut[run] or e2e(step, slack + 1e-5)[run] > answered


def test_slack_of_known_cases() -> None:
    steps = {"a": tool(3), "b": tool(1), "c": tool(1, "b"), "d": tool(1, "a", "c"), "log": tool(2, "b")}
    recording = recorded(steps, answer="d")
    found = slack_s(recording, np.arange(5))
    assert np.allclose(found, [[0.0, 1.0, 1.0, 0.0, np.inf]] * RUNS, atol=1e-6)
    steps = {"a": tool(3), "l": loop(2, {"b": tool(1)}), "d": tool(1, "a", "l")}
    assert np.allclose(slack_s(recorded(steps), np.array([2]))[:, 0], 0.5, atol=1e-6)  # half in each iteration


def test_time_in_failed_attempts_is_what_backoff_and_the_last_attempt_leave() -> None:
    errors, retry = {"server_error": 0.5}, {"max_attempts": 9, "initial_interval": 0.25, "jitter": "full"}
    recording = recorded({"t": tool(2, errors=errors, retry=retry)}, 400, 3)
    path = recording.critical_path()
    seconds, failed = critical_seconds(recording, path), failed_seconds(recording, path)
    done = recording.outcome == L.ANSWERED
    wanted = recording.e2e_s - seconds[:, 0, COMPONENTS.index("backoff")] - np.where(done, 2.0, 0.0)
    assert np.allclose(failed[:, 0], wanted, atol=1e-9)
    assert 1.8 < failed.mean() < 2.2  # a failure before each success, on average, of 2 s
    assert failed_seconds(recorded({"c": chat(10)}), recorded({"c": chat(10)}).critical_path()).sum() == 0.0


@pytest.mark.parametrize("seed", range(30))
def test_time_that_joins_wait_for_their_last_branch(seed: int) -> None:
    """Intervals between the last arrival but one and the last, at the joins of the longest path, as a union."""
    rng = random.Random(seed)
    n = rng.randint(3, 25)
    needs = [sorted(rng.sample(range(i), rng.randint(0, min(4, i)))) for i in range(n)]
    seconds = [rng.uniform(0.1, 2.0) for _ in range(n)]
    ends = [0.0] * n
    for i in range(n):
        ends[i] = seconds[i] + max((ends[j] for j in needs[i]), default=0.0)
    at, spans = int(np.argmax(ends)), []
    while needs[at]:
        arrivals = sorted(ends[j] for j in needs[at])
        if len(arrivals) > 1:
            spans.append((arrivals[-2], arrivals[-1]))
        at = max(needs[at], key=lambda j: ends[j])
    covered, reached = 0.0, 0.0
    for low, high in sorted(spans):
        covered += max(0.0, high - max(low, reached))
        reached = max(reached, high)
    steps = {f"s{i}": tool(seconds[i], *(f"s{j}" for j in needs[i])) for i in range(n)}
    recording = recorded(steps, 1)
    found = slowest_branch_seconds(recording, recording.critical_path())
    assert math.isclose(found.sum(), covered, rel_tol=1e-9, abs_tol=1e-12)


def test_a_map_waits_for_its_last_instance() -> None:
    recording = recorded({"m": fan(3, {"t": tool(LOGNORMAL)})}, 50)
    visits = np.flatnonzero(recording.plan.tables.node_i[:, L.N_KIND] == L.CALL)
    ordered = np.sort(recording.end[:, visits], axis=1)
    found = slowest_branch_seconds(recording, recording.critical_path())
    assert np.allclose(found[:, 0], ordered[:, 2] - ordered[:, 1])
    assert np.allclose(found[:, 1], 0.0)

"""One seed, one result: for any threads, any hash seed, any number of runs; and other steps keep their draws."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.engine import BLOCK, run_plan
from agentflow.plan import compile_plan
from agentflow.result import Result
from agentflow.schema import Backend, Workflow
from tests.make import backend, chat, fan, loop, tool, workflow
from tests.strategies import Case, cases

LOGNORMAL = {"lognormal": {"p50": 1.0, "p95": 3.0}}
COLUMNS = (
    "e2e_s",
    "ttft_s",
    "outcome",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "calls",
    "attempts",
    "cost_usd",
)


def place(name: str, speed: float = 1.0) -> Backend:
    """A backend whose times are all `speed` times as short."""
    return backend(
        name,
        ttft={"lognormal": {"p50": 1.0 / speed, "p95": 3.0 / speed}},
        rate={"lognormal": {"p50": 30.0 * speed, "p95": 50.0 * speed}},
        prefill_rate=1000.0 * speed,
        network={"exponential": {"mean": 0.2 / speed}},
        stall={"probability": 0.1, "duration": {"exponential": {"mean": 2.0 / speed}}},
        variation={"between_runs": 0.2, "between_calls": 0.2},
        errors={"rate_limit": 0.05, "server_error": 0.05},
        price={"input": "$1/Mtok", "output": "$3/Mtok"},
    )


def busy_workflow() -> Workflow:
    """A bit of everything that draws."""
    retry = {"max_attempts": 5, "jitter": "full"}
    research = {"s": tool(LOGNORMAL), "r": chat({"uniform": [10, 90]}, "s", input_tokens=200, retry=retry)}
    draft = {
        "w": chat({"lognormal": {"p50": 80, "p95": 300}}, input_tokens={"own": 90, "history": True}, retry=retry),
        "c": chat(20, "w", input_tokens={"from": {"w": 1.0}}, hedge={"after": 1.5}),
    }
    return workflow(
        {
            "p": chat({"gamma": {"mean": 50, "cv": 0.5}}, input_tokens=300, fallbacks=[{"backend": "x"}]),
            "m": fan({"uniform": [1, 4]}, research, "p", max_concurrency=2, join={"quorum": 2}),
            "d": loop(3, draft, "m", continue_probability=0.5),
            "a": chat(70, "d", input_tokens={"from": {"d.w": 1.0}}, stream=True, routes={"x": 0.5, "y": 0.5}),
            "h": tool(LOGNORMAL, "a.x"),
        },
        defaults={"retry": "openai"},
    )


def simulate(runs: int, seed: int = 11, threads: int = 1, **more: Backend) -> Result:
    assignment = {"*": place("near"), "p!0": place("spare"), **more}
    return run_plan(compile_plan(busy_workflow(), assignment), runs, seed, threads=threads)


def digest(result: Result) -> str:
    """A hash of every array of a result."""
    total = hashlib.sha256()
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if isinstance(value, np.ndarray):
            total.update(field.name.encode() + str(value.dtype).encode() + value.tobytes())
    return total.hexdigest()


def test_threads_do_not_matter() -> None:
    runs = 3 * BLOCK + 17
    assert len({digest(simulate(runs, threads=threads)) for threads in (1, 2, 4)}) == 1
    assert digest(simulate(runs)) != digest(simulate(runs, seed=12))


def test_the_hash_seed_does_not_matter(root: Path) -> None:
    code = "from tests.test_determinism import digest, simulate; print(digest(simulate(300)))"
    digests = {digest(simulate(300))}
    for hash_seed in ("0", "1", "random"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1


@pytest.mark.parametrize("runs", [1, 500, BLOCK + 3])
def test_runs_are_a_prefix_of_more_runs(runs: int) -> None:
    few, many = simulate(runs), simulate(2 * runs)
    for name in COLUMNS:
        assert getattr(few, name).tobytes() == getattr(many, name)[:runs].tobytes(), name


@pytest.mark.parametrize("path", ["p", "d.c", "a"])
def test_another_backend_for_one_step_leaves_the_others_draws(path: str) -> None:
    """Steps draw by their own names: what the others take and send stays the same."""
    before = simulate(400)
    after = simulate(400, **{path: place("far", speed=0.3)})  # type: ignore[arg-type]
    for number, step in enumerate(before.steps):
        seconds = before.step_component_s[number], after.step_component_s[number]
        # Not to the bit: what a quorum cuts is the difference of two moments, which are other ones now.
        assert np.allclose(*seconds, rtol=1e-9, atol=1e-9) == (step != path), step
        if step != path:
            assert before.step_tokens[number].tolist() == after.step_tokens[number].tolist(), step


PLAIN = frozenset({"errors", "retry", "catch", "routes", "fallbacks", "map", "loop", "nested", "history", "tokens"})


@given(case=cases(only=PLAIN), seed=st.integers(0, 2**64 - 1), speed=st.sampled_from([1.001, 2.0, 30.0]))
@settings(max_examples=60)
def test_a_faster_backend_lengthens_no_run(case: Case, seed: int, speed: float) -> None:
    slow, fast = (
        run_plan(compile_plan(case.workflow, dict.fromkeys(case.assignment, place("here", s))), 20, seed)
        for s in (1.0, speed)
    )
    assert np.all(fast.e2e_s <= slow.e2e_s * (1 + 1e-12))

"""Why runs under load fail: alone as the Monte Carlo engine says it, together by hand, and told like any other run."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.analysis import failures
from agentflow.analysis.failures import failures_of, read_failures
from agentflow.analysis.metrics import NO_ANSWER
from agentflow.documents import list_workflows, load_backend, load_workflow
from agentflow.engine import Shape, Trace, pilot, run_load, run_plan, trace_runs
from agentflow.engine.arrivals import Batch, Given, Renewal
from agentflow.engine.events_state import WHY_KINDS
from agentflow.engine.reasons import _KINDS, BY, KEY
from agentflow.plan import Client, compile_plan
from agentflow.report.tables import reasons
from agentflow.result import Result
from agentflow.schema import Backend
from tests.load.contended import limited
from tests.load.test_binned import FAILING
from tests.load.test_fleets import place, plan_at
from tests.load.test_limits import NO_RETRY, at, outcomes, tiered
from tests.load.uncontended import run_events
from tests.make import backend, chat, tool, workflow
from tests.strategies import Case, cases

RUNS = 3
SECOND = backend(ttft=1.0, rate=10.0)
FAILS = cases(always=frozenset({"errors"})) | cases(always=frozenset({"errors", "joins", "catch", "guardrail"}))


def told(result: Result) -> dict[tuple[str | None, str, str | None], int]:
    """Runs without an answer by error, step and what of the load made the error."""
    found = read_failures(result.manifest)
    assert found is None or found.looked == found.of == sum(name in NO_ANSWER for name in outcomes(result))
    return {} if found is None else {(r.error, r.step, r.by): round(r.share * result.runs) for r in found.rows}


def calls_at_the_end(trace: Trace) -> int:
    """Calls that fail, or begin, at a run's last moment: with several, which of them is named is left open."""
    return sum(v.end_s == trace.e2e_s and (v.status == "failed" or v.start_s == v.end_s) for v in trace.visits)


@given(case=cases() | FAILS, seed=st.integers(0, 2**64 - 1), spread=st.booleans())
@settings(max_examples=200)
def test_runs_that_are_alone_fail_for_the_same_reasons(case: Case, seed: int, spread: bool) -> None:
    plan = compile_plan(case.workflow, case.assignment)
    got = run_events(plan, RUNS, seed, Renewal(per_second=0.5) if spread else Batch(runs=RUNS))
    want = failures_of(plan, run_plan(plan, RUNS, seed, threads=1))
    if want != got.manifest.get(KEY):
        assert any(calls_at_the_end(trace) > 1 for trace in trace_runs(plan, range(RUNS), seed))


@pytest.mark.parametrize("name", list_workflows())
def test_the_catalogue_fails_for_the_same_reasons(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a backend that refuses two calls in a hundred for what is in them, which is never tried again."""
    monkeypatch.setattr(failures, "_NODES", 10**9)  # look at all, however large
    regular = load_backend("groq/llama-3.3-70b")
    broken = regular.model_copy(update={"errors": backend(errors={"content_filter": 0.02}).errors})
    plan = compile_plan(load_workflow(name), {"*": broken})
    want = failures_of(plan, run_plan(plan, 100, 3))
    assert want is not None
    assert run_events(plan, 100, 3, Renewal(per_second=0.5)).manifest[KEY] == want


def test_the_kinds_are_the_kernels() -> None:
    assert len(_KINDS) == WHY_KINDS
    assert set(BY.values()) <= {error for error, by in _KINDS if by is None}


def test_a_full_queue() -> None:
    """Ten at once: one is served, two wait, seven are turned away."""
    result = at([0.0] * 10, {"a": chat(1, **NO_RETRY)}, limited(SECOND, concurrency=1, max_queue=2))
    assert told(result) == {("rate_limit", "a", "queue_full"): 7}
    assert reasons(read_failures(result.manifest)) == "rate_limit (queue full) at a 70.0 %"  # type: ignore[arg-type]


def test_a_rate_limit() -> None:
    """Four requests a minute: of ten runs of two calls each, the third and later fail, the first two have both."""
    steps = {"a": chat(1, **NO_RETRY), "b": chat(1, "a", **NO_RETRY)}
    # Calls of a at 0.0, 0.1, 0.2 pass, then that of run 0's b at 1.0: those of b at 1.1 and 1.2 and ten's a are too many.
    result = at([0.0, 0.1, 0.2, *(1.5 + 0.1 * k for k in range(7))], steps, tiered(SECOND, rpm=4))
    assert told(result) == {("rate_limit", "a", "over_limit"): 7, ("rate_limit", "b", "over_limit"): 2}


def test_who_is_refused_after_retries_is_told_by_the_last() -> None:
    """Each is served once, from 0 and 2.5 s on, and then errs; of each the other try, at 3 and 0.5 s, is turned away."""
    steps = {"a": chat(1, retry={"max_attempts": 2, "jitter": "none", "initial_interval": 2.0})}
    broken = limited(backend(ttft=1.0, rate=10.0, errors={"rate_limit": {"probability": 1.0, "at": "end"}}),
                     concurrency=1, max_queue=0)  # fmt: skip
    assert told(at([0.0, 0.5], steps, broken)) == {("rate_limit", "a", None): 1, ("rate_limit", "a", "queue_full"): 1}


def test_an_open_breaker() -> None:
    """Two drawn errors open it; the eight that come later are refused."""
    step = tool(0.5, errors={"server_error": 1.0}, circuit_breaker={"failures": 2, "open_for": 1000.0}, **NO_RETRY)
    result = at([float(k) for k in range(10)], {"a": step}, SECOND)
    assert told(result) == {("server_error", "a", None): 2, ("server_error", "a", "breaker_open"): 8}


@pytest.mark.parametrize("client", [None, Client("none", 1e-9, 0.0, 0.0)])
@pytest.mark.parametrize(("ttft", "by", "number"), [(2.0, "waiting", 4), (4.0, None, 5)])
def test_a_timeout_because_of_the_queue(ttft: float, by: str | None, number: int, client: Client | None) -> None:
    """One at a time, three seconds' patience: of calls of two seconds the first ends, those of four cannot anyway.

    The second is cut while it is served; it would not have been, had it not waited.
    """
    slow = limited(backend(ttft=ttft, rate=10.0), concurrency=1)
    plan = compile_plan(workflow({"a": chat(1, timeout={"attempt": 3.0}, **NO_RETRY)}), {"*": slow})
    result = run_events(replace(plan, client=client), 5, 0, Given(times=(0.0,) * 5))
    assert told(result) == {("timeout", "a", by): number}


def test_a_call_that_hangs_does_not_fail_by_its_wait() -> None:
    """The first hangs until its patience is over, and so does the second, which waits all the while for its slot."""
    hangs = limited(backend(ttft=1.0, errors={"timeout": {"probability": 1.0}}), concurrency=1)
    assert told(at([0.0, 0.5], {"a": chat(1, timeout=3.0, **NO_RETRY)}, hangs)) == {("timeout", "a", None): 2}


def test_a_timeout_before_a_replica_takes_it() -> None:
    """Four run at once and take longer than their patience; the fifth and sixth are never scheduled."""
    plan = plan_at(place(), {"a": chat(400, input_tokens=8, timeout={"attempt": 20.0}, **NO_RETRY)})
    result = run_events(plan, 6, 0, Given(times=(0.0,) * 6))
    assert told(result) == {("timeout", "a", None): 4, ("timeout", "a", "waiting"): 2}


def test_hedged_copies_are_turned_away() -> None:
    """The first run's second copy is turned away, but its first one wins; the other runs lose both at once."""
    steps = {"a": chat(1, hedge={"after": 0.25}, **NO_RETRY)}
    result = at([0.0, 0.1, 0.2], steps, limited(SECOND, concurrency=1, max_queue=0))
    assert told(result) == {("rate_limit", "a", "queue_full"): 2}


def test_a_join_fails_by_what_its_steps_were_refused_for() -> None:
    """Both branches of the second run are turned away; the join that waits for either fails with their error."""
    steps = {"a": chat(1, **NO_RETRY), "b": chat(1, **NO_RETRY), "c": tool(1.0, "a", "b", join="any")}
    result = at([0.0, 0.5], steps, limited(SECOND, concurrency=2, max_queue=0))
    assert told(result) == {("rate_limit", "c", "queue_full"): 1}


def test_an_error_that_somebody_takes_is_no_reason() -> None:
    """Both runs go on after the refusal; one is then cut by its deadline in the step that took it."""
    steps = {
        "a": chat(1, catch=[{"errors": ["rate_limit"], "to": "b"}], **NO_RETRY),
        "b": tool(9.0),
        "c": tool(1.0, "a"),
    }
    result = at([0.0, 0.5], steps, limited(SECOND, concurrency=1, max_queue=0), budget={"deadline": 5.0})
    assert told(result) == {(None, "b", None): 1}


@pytest.mark.parametrize("columns", [True, False])
def test_runs_of_the_warm_up_do_not_count(columns: bool, tmp_path: Path) -> None:
    """All replications' runs that count and no others, whether rows are kept or bins, from a checkpoint or anew."""
    shape, arrivals = Shape(3, 40, 400), Renewal(per_second=0.5)
    alone = pilot(FAILING, 0)
    made = [
        run_load(FAILING, arrivals, shape, 1, alone=alone, columns=columns, checkpoint=folder)
        for folder in (None, tmp_path, tmp_path)
    ]
    rows = [json.loads(result.manifest[KEY]) for result in made]
    assert rows[0] == rows[1] == rows[2]
    whole = run_load(FAILING, arrivals, shape, 1, alone=alone, columns=True)
    lost = Counter(outcomes(whole))["failed"]
    assert rows[0]["of"] == rows[0]["looked"] == lost > 100
    assert sum(row[3] for row in rows[0]["rows"]) == pytest.approx(lost / shape.total)
    assert {(row[1], row[2]) for row in rows[0]["rows"]} == {("server_error", "a"), ("server_error", "b")}


def test_nothing_is_said_where_all_are_answered() -> None:
    place: Backend = limited(SECOND, concurrency=1)
    result: Any = at([0.0, 0.1], {"a": chat(1)}, place)
    assert KEY not in result.manifest and told(result) == {}

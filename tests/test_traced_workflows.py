"""Simulated ChatDev, SWE agent and coding session use as many calls and tokens as real ones, at p50 and p95."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from agentflow import Result
from benchmarks.provider_splits import data_folder
from benchmarks.traced_sessions import coding_sessions
from benchmarks.validate_workflows import (
    BEGIN,
    DOCUMENT,
    FACTS,
    LEVELS,
    QUANTITIES,
    SESSIONS,
    WITHIN,
    Measured,
    errors,
    simulated,
)

NAMES = [f"{facts.workflow} of {facts.runs}" for facts in FACTS]


@cache
def result_of(workflow: str) -> Result:
    return simulated(next(facts for facts in FACTS if facts.workflow == workflow), runs=10_000)


@pytest.mark.parametrize("facts", FACTS, ids=NAMES)
def test_calls_and_tokens_are_those_of_real_runs(facts: Measured) -> None:
    found = errors(result_of(facts.workflow), facts.quantiles)
    for p in LEVELS:
        for name, error in zip(QUANTITIES, found[p], strict=True):
            assert abs(error) <= WITHIN, f"{name} at p{100 * p:g}: {error:+.1%}"


@pytest.mark.parametrize("facts", FACTS, ids=NAMES)
def test_the_comparison_can_fail(facts: Measured) -> None:
    """A workflow with half as many tokens again would be found out."""
    more = {p: tuple(1.5 * x for x in row) for p, row in facts.quantiles.items()}
    assert all(min(row) < -WITHIN for row in errors(result_of(facts.workflow), more).values())  # type: ignore[arg-type]


def test_a_coding_session_sends_its_prefix_again() -> None:
    """96 % of the measured input is what the call before had sent too (prefix overlap in blocks of 64 tokens)."""
    result = result_of("coding-session")
    assert np.sum(result.cached_input_tokens) / np.sum(result.input_tokens) == pytest.approx(0.963, abs=0.02)


def test_the_quantiles_are_those_of_the_data() -> None:
    file = data_folder() / SESSIONS
    if not file.is_file():
        pytest.skip("the measured sessions are not here: set AGENTFLOW_DATA, or put them in ../shared/data")
    runs = coding_sessions(file)
    result = result_of("coding-session")
    for real, facts in zip((runs, runs.distinct()), [f for f in FACTS if f.workflow == "coding-session"], strict=True):
        assert len(real.totals) == facts.runs
        measured = {p: real.quantiles(p) for p in LEVELS}
        for p in LEVELS:
            assert measured[p] == pytest.approx(facts.quantiles[p], rel=1e-3)
            assert max(map(abs, errors(result, measured)[p])) <= WITHIN


def test_the_documentation_shows_the_table() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    assert BEGIN in page
    for facts in FACTS:
        assert f"{facts.quantiles[0.95][1]:,.0f}" in page

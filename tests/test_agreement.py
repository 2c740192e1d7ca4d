"""The engine agrees with the SimPy reference, run by run, over generated workflows that use every feature."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agreement import differences
from tests.strategies import Case, cases

RUNS = 5
SEEDS = st.integers(0, 2**64 - 1)


@given(case=cases(), seed=SEEDS)
@settings(max_examples=200)
def test_the_engine_agrees_with_the_reference(case: Case, seed: int) -> None:
    assert differences(case, seed, RUNS) == []


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

"""Runs until the p95 is known as well as was asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agentflow.analysis.precision import relative_half_width, run_to_precision
from agentflow.result import Result
from tests.analysis.made import lognormal, made


def test_it_stops_when_all_scenarios_are_known_well_enough() -> None:
    counts: list[int] = []

    def run(count: int) -> list[Result]:
        counts.append(count)
        return [made(lognormal(1, count, sigma)) for sigma in (0.2, 0.8)]

    results = run_to_precision(run, 100, 0.02)
    assert all(relative_half_width(result) <= 0.02 for result in results)
    assert counts == sorted(counts) and len(set(counts)) == len(counts) <= 6
    assert counts[-1] < 100_000


def test_it_stops_at_the_most_runs_and_tells_the_truth() -> None:
    results = run_to_precision(lambda count: [made(lognormal(1, count))], 100, 1e-4, most=5000)
    assert results[0].runs == 5000
    assert relative_half_width(results[0]) > 1e-4


def test_what_does_not_vary_is_known_at_once() -> None:
    assert run_to_precision(lambda count: [made(np.ones(count))], 100, 0.001)[0].runs == 100


def test_too_few_runs_know_nothing() -> None:
    assert relative_half_width(made(lognormal(1, 71))) == math.inf
    assert relative_half_width(made(np.zeros(100))) == pytest.approx(0.0)

"""The explanation of a scenario adds up, and says what the tail is made of."""

from __future__ import annotations

import json
import math

import pytest

from agentflow.analysis.insight.explain import LOSSES, explain, tail_limit
from agentflow.report.jsonable import explain_object
from tests.make import backend, chat, tool, workflow

CATALOGUE = ["support-triage", "research-report", "multi-agent", "prompt-chain-8", "tool-use"]


@pytest.mark.parametrize("name", CATALOGUE)
def test_seconds_add_up_to_the_mean_and_to_the_tail(name: str) -> None:
    found = explain(name, "together", runs=2000, seed=5)
    mean = math.fsum(x for step in found.steps for x in step.mean_s.values())
    slow = math.fsum(x for step in found.steps for x in step.tail_s.values())
    assert math.isclose(mean, found.mean_total_s, rel_tol=1e-12)
    assert math.isclose(mean, found.summary.e2e_s["mean"].value, rel_tol=1e-12)
    assert math.isclose(slow, found.tail_total_s, rel_tol=1e-12)
    for total, parts in zip((mean, slow), found.components_s, strict=True):
        assert math.isclose(math.fsum(parts.values()), total, rel_tol=1e-12)
    assert [loss.name for loss in found.losses] == list(LOSSES)
    assert all(0.0 <= loss.mean_share <= 1.0 for loss in found.losses)
    assert sum(loss.mean_share for loss in found.losses[:4]) <= 1.0
    assert json.loads(json.dumps(explain_object(found), allow_nan=False))["explanation"]["tail_runs"] == found.tail_runs


def test_what_makes_the_tail_is_told_from_what_makes_the_mean() -> None:
    steps = {
        "steady": tool(10),
        "rare": tool(
            {"mixture": [{"weight": 0.97, "uniform": [0, 0.2]}, {"weight": 0.03, "uniform": [99, 101]}]}, "steady"
        ),
    }
    found = explain(workflow(steps), backend(), runs=4000)
    steady, rare = found.steps
    assert steady.mean_s["tool"] == pytest.approx(10.0)
    assert rare.mean_s["tool"] == pytest.approx(3.1, abs=0.9)
    assert rare.tail_s["tool"] > 50 > steady.tail_s["tool"] == pytest.approx(10.0)
    assert found.tail_runs == 201


def test_shares_and_slack_of_two_racing_branches() -> None:
    exponential = {"exponential": {"mean": 1.0}}
    steps = {"a": tool(exponential), "b": tool(exponential), "end": tool(1, "a", "b")}
    found = explain(workflow(steps), backend(), runs=20_000)
    a = found.steps[0]
    assert a.critical_share.value == pytest.approx(0.5, abs=0.02)
    assert a.slack_s is not None and a.slack_s.value == pytest.approx(0.5, abs=0.03)  # half of E[max - min] = 1
    lost = {loss.name: loss.mean_s.value for loss in found.losses}
    assert lost["slowest_branch"] == pytest.approx(1.0, abs=0.05)
    assert lost["failed_attempts"] == lost["backoff"] == lost["queue"] == lost["hedge_wait"] == 0.0


def test_a_hedge_that_won_waited_first() -> None:
    slow = {"mixture": [{"weight": 0.5, "uniform": [0, 0.1]}, {"weight": 0.5, "uniform": [60, 61]}]}
    found = explain(workflow({"c": chat(1, hedge={"after": 2.0})}), backend(ttft=slow), runs=4000)
    lost = {loss.name: loss for loss in found.losses}
    assert lost["hedge_wait"].mean_s.value == pytest.approx(0.25 * 2.0, abs=0.05)  # the first slow, the copy quick
    assert lost["hedge_wait"].steps_s.keys() == {"c"}


def test_too_few_runs_have_no_tail() -> None:
    found = explain("prompt-chain-8", "groq", runs=15)
    assert found.tail_runs == 0 and found.tail_total_s == 0.0
    assert found.steps[0].tail_critical_share is None and found.losses[0].tail_s is None
    assert explain_object(found)["explanation"]["tail_total_s"] is None


def test_the_limit_of_the_tail_is_an_order_statistic() -> None:
    from agentflow import simulate

    result = simulate("prompt-chain-8", "groq", runs=1000)
    assert int((result.e2e_s >= tail_limit(result)).sum()) == result.tail_runs == 51

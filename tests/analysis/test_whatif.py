"""What would help: each change does what it says, on the same draws, and the ranking's intervals hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agentflow.analysis.insight.breakeven import break_even, parse_target
from agentflow.analysis.insight.candidates import candidates
from agentflow.analysis.insight.changes import Change, with_latency
from agentflow.analysis.insight.paired import log_ratio
from agentflow.analysis.insight.whatif import fresh_seed, rank, slow_latencies, what_if
from agentflow.analysis.metrics import Metrics
from agentflow.analysis.scenario import Scenario, build_scenarios, run_scenarios
from agentflow.errors import AgentflowError, UsageError
from agentflow.estimate import Estimate
from agentflow.result import Result
from tests.make import backend, chat, fan, guardrail, loop, nested, served, slow_deployment, tool, workflow

FAMILIES: list[Any] = [
    2.0,
    {"uniform": [1, 3], "shift": 0.5},
    {"normal": {"mean": 3, "sd": 1}},
    {"lognormal": {"p50": 1, "p95": 4}},
    {"exponential": {"mean": 2}},
    {"gamma": {"mean": 2, "cv": 0.7}},
    {"weibull": {"scale": 2, "shape": 1.5}},
    {"quantiles": {"p5": 1, "p50": 2, "p99": 9}},
    {"samples": [1, 2, 4]},
    {"mixture": [{"weight": 0.9, "uniform": [1, 2]}, {"weight": 0.1, "exponential": {"mean": 9}}]},
]


def scenario(steps: dict[str, Any], place: Any = None, **more: Any) -> Scenario:
    return build_scenarios(workflow(steps, **more), place or backend())[0]


def simulated(found: Scenario, runs: int = 400, seed: int = 0) -> Result:
    return run_scenarios([found], runs, seed)[0]


def of_kind(found: Scenario, kind: str, others: Any = (), slow: Any = None) -> list[Change]:
    return [change for change in candidates(found, others, slow) if change.kind == kind]


@pytest.mark.parametrize("latency", FAMILIES, ids=lambda d: d if isinstance(d, float) else next(iter(d)))
def test_half_as_long_is_half_of_every_draw(latency: Any) -> None:
    base = scenario({"a": tool(latency)})
    assert simulated(with_latency(base, "a", 0.5)).e2e_s == pytest.approx(simulated(base).e2e_s / 2, rel=1e-9)


def test_twice_as_fast_halves_all_of_a_call_but_the_network() -> None:
    place = backend(ttft=2.0, rate=10.0, prefill_rate=100, network=0.25)
    base = scenario({"a": chat(11, input_tokens=200)}, place)
    (change,) = of_kind(base, "faster")
    assert simulated(base).e2e_s[0] == pytest.approx(0.25 + 2 + 2 + 1)
    assert simulated(change.apply(base)).e2e_s[0] == pytest.approx(0.25 + 5 / 2)


def test_each_change_does_what_it_says() -> None:
    steps = {
        "g": guardrail(3.0),
        "a": chat(80, "g", input_tokens=100, errors={"server_error": 0.5}, retry={"max_attempts": 3}),
        "m": fan(4, {"t": tool(1.0)}, "a", max_concurrency=1),
        "s": tool(6.0, "g"),
        "b": chat(8, "a", "s", input_tokens={"own": 2000, "from": {"a": 1.0}}),
    }
    base = scenario(steps, backend(cache={"hit_rate": 1.0, "min_tokens": 1024}))
    found = {(change.step, change.kind): change for change in candidates(base, (), {"a": 5.0})}
    assert found["a", "hedge"].apply(base).workflow.steps["a"].hedge.after == 5.0
    assert found["a", "fewer_retries"].apply(base).workflow.steps["a"].retry[0].max_attempts == 2
    assert found["a", "shorter_output"].apply(base).workflow.steps["a"].output_tokens.value == pytest.approx(56)
    assert found["b", "prompt_cache"].apply(base).workflow.steps["b"].cached_input_tokens is not None
    assert ("a", "prompt_cache") not in found  # the prompt is shorter than what the backend caches
    assert found["g", "parallel_guardrail"].apply(base).workflow.steps["g"].blocking is False
    assert found["m", "more_parallel"].apply(base).workflow.steps["m"].max_concurrency is None
    assert found["b", "drop_need"].apply(base).workflow.steps["b"].needs == ("a",)
    for change in found.values():
        simulated(change.apply(base), runs=20)


def test_changes_reach_steps_in_loops_maps_and_nested_workflows() -> None:
    inner = workflow({"t": tool(4.0)})
    base = scenario({"l": loop(2, {"m": fan(2, {"w": nested(inner)})})})
    (change,) = of_kind(base, "faster")
    assert change.step == "l.m.w.t"
    assert simulated(base).e2e_s[0] == pytest.approx(8.0)
    assert simulated(change.apply(base)).e2e_s[0] == pytest.approx(4.0)


def test_a_step_goes_to_each_other_backend_that_has_its_model() -> None:
    base = scenario({"a": chat(8)}, backend("one"))
    changes = of_kind(base, "backend", [backend("one", ttft=9), backend("two", ttft=3), backend("two", ttft=4)])
    assert [change.description for change in changes] == ["on two"]
    assert simulated(changes[0].apply(base)).e2e_s[0] == pytest.approx(3 + 7 / 8)
    with pytest.raises(AgentflowError, match="gorq"):
        what_if("prompt-chain-8", "groq", others=["gorq"], runs=100)


def test_a_speed_up_of_one_step_leaves_the_draws_of_the_others() -> None:
    variation = {"between_runs": 0.5, "between_calls": 0.5}
    place = backend(ttft={"exponential": {"mean": 1}}, variation=variation)
    base = scenario({"a": chat(20), "b": chat(20, "a"), "beside": chat(1, input_tokens=1)}, place, answer="b")
    faster = next(change for change in of_kind(base, "faster") if change.step == "beside")
    assert np.array_equal(simulated(faster.apply(base)).e2e_s, simulated(base).e2e_s)


def test_the_ranking_finds_what_helps_and_where_nothing_does() -> None:
    steps = {"slow": tool({"uniform": [11, 13]}), "quick": tool({"uniform": [1, 2]}), "end": chat(16, "slow", "quick")}
    found = rank(scenario(steps, backend(ttft=0.2)), runs=1000)
    assert (found.rows[0].change.step, found.rows[0].change.kind) == ("slow", "faster")
    gain = found.rows[0].gain_s["mean"]
    assert gain.low is not None and gain.high is not None and gain.low < 6.0 < gain.high
    assert found.steps == {"slow": "helps", "quick": "nothing", "end": "helps"}
    assert found.steps_that("nothing") == ("quick",)
    assert found.fresh_seed == fresh_seed(0) != 0


def test_giving_up_early_is_quick_and_no_help() -> None:
    steps = {"a": tool(1.0, errors={"server_error": 0.5}, retry={"max_attempts": 3, "initial_interval": 5})}
    found = rank(scenario(steps), runs=1000)
    fewer = next(row for row in found.rows if row.change.kind == "fewer_retries")
    assert fewer.gain_s["mean"].value > 0.5 and fewer.fails_more and not fewer.helps
    assert fewer.unanswered.value == pytest.approx(0.125, abs=0.03)
    assert found.rows[-1] is fewer


def test_the_first_row_holds_when_it_is_run_again_alone() -> None:
    """The interval of the row that came first covers the truth in 95 % of the seeds, not fewer for having come first."""
    skewed = {"lognormal": {"p50": 2.0, "p95": 7.0}}
    base = scenario({name: tool(skewed, *needs) for name, *needs in (("a",), ("b", "a"), ("c", "b"), ("d", "c"))})
    truths: dict[str, float] = {}
    whole = float(np.quantile(simulated(base, 200_000, seed=99).e2e_s, 0.95))
    held, seeds = 0, 120
    for seed in range(seeds):
        row = rank(base, runs=500, seed=seed).rows[0]
        if row.change.step not in truths:
            alone = simulated(row.change.apply(base), 200_000, seed=99)
            truths[row.change.step] = whole - float(np.quantile(alone.e2e_s, 0.95))
        gain = row.gain_s["p95"]
        assert gain.low is not None and gain.high is not None
        held += gain.low <= truths[row.change.step] <= gain.high
    assert len(truths) == 4  # the four are alike: which comes first is luck
    assert held >= 0.91 * seeds  # 95 % less two standard errors


def test_paired_ratios_cover() -> None:
    base = scenario({"a": tool({"lognormal": {"p50": 2.0, "p95": 7.0}}), "b": tool({"exponential": {"mean": 1}}, "a")})
    faster = with_latency(base, "a", 0.8)
    truth = [float(np.quantile(simulated(s, 300_000, seed=7).e2e_s, 0.95)) for s in (faster, base)]
    held = 0
    for seed in range(200):
        a, b = (Metrics(simulated(s, 400, seed=seed + 50)) for s in (faster, base))
        e = log_ratio(a, b, "e2e_s", 0.95)
        assert e is not None and e.low is not None and e.high is not None
        held += e.low <= np.log(truth[0] / truth[1]) <= e.high
    assert held >= 0.92 * 200


def test_the_p95_of_a_steps_latency_is_where_a_hedge_begins() -> None:
    result = simulated(scenario({"a": tool({"uniform": [0, 100]}), "b": tool(1)}), 4000)
    assert slow_latencies(result) == {"a": pytest.approx(95, rel=0.03), "b": pytest.approx(1.0, rel=0.02)}


def test_large_workflows_are_tried_at_the_steps_that_matter() -> None:
    steps = {f"s{i}": tool(1.0 + i / 100) for i in range(50)}
    found = rank(scenario(steps), runs=100, most_steps=3)
    assert {row.change.step for row in found.rows} == {"s49"} | {row.change.step for row in found.rows}
    assert len(found.steps_that("untried")) == 47 and found.steps["s49"] != "untried"


@pytest.mark.parametrize(
    ("text", "metric", "limit"),
    [("p95<10s", "e2e.p95", 10), ("mean <= 800ms", "e2e.mean", 0.8), ("ttft.p50<2", "ttft.p50", 2)],
)
def test_targets_are_read(text: str, metric: str, limit: float) -> None:
    found = parse_target(text)
    assert (found.gate.metric, found.limit_s) == (metric, limit)


@pytest.mark.parametrize("text", ["p95>10s", "p95", "cost.mean<1s", "p95<ten", "outcomes.failed<1%"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--target"):
        parse_target(text)


def test_the_speed_and_the_ttft_that_break_even() -> None:
    found = break_even(workflow({"a": chat(81), "t": tool(2.0, "a")}), "p95<10s", backend(ttft=4.0, rate=8.0), runs=400)
    assert found.met is False and found.now_s.value == pytest.approx(4 + 10 + 2)
    rows = {(row.step, row.what): row for row in found.rows}
    speed = rows["a", "speed"]
    assert speed.factor is not None and speed.factor.value == pytest.approx(2.5, rel=0.003)  # 10 s of decode in 4
    assert speed.needed is not None and speed.needed.value == pytest.approx(20.0, rel=0.003)
    both = rows["a", "both"]
    assert both.factor is not None and both.factor.value == pytest.approx(14 / 8, rel=0.003)
    assert rows["a", "ttft"].factor is None and rows["a", "ttft"].floor_s.value == pytest.approx(12.0)
    assert rows["t", "time"].factor is None and rows["t", "time"].floor_s.value == pytest.approx(14.0)


def test_the_intervals_of_a_break_even_cover() -> None:
    steps = {"look": tool({"lognormal": {"p50": 2, "p95": 5}}), "think": chat({"exponential": {"mean": 60}}, "look")}
    made, place = workflow(steps), backend(ttft={"exponential": {"mean": 1}})

    def speed(runs: int, seed: int) -> Estimate:
        rows = break_even(made, "p95<20s", place, runs=runs, seed=seed).rows
        found = next(row.factor for row in rows if (row.step, row.what) == ("think", "speed"))
        assert found is not None and found.low is not None and found.high is not None
        return found

    truth = speed(200_000, 99).value
    held = [f.low <= truth <= f.high for f in (speed(1000, seed) for seed in range(80))]  # type: ignore[operator]
    assert sum(held) >= 0.9 * 80


def test_where_no_speed_suffices_the_rest_is_named() -> None:
    steps = {"a": chat(80), "tool": tool({"uniform": [11.9, 12.1]}, "a"), "b": chat(80, "tool")}
    found = break_even(workflow(steps), "p95<10s", backend(), runs=400)
    whole = found.rows[0]
    assert (whole.step, whole.what, whole.factor, whole.left_step) == (None, "both", None, "tool")
    assert whole.left_component == "tool" and whole.left_s == pytest.approx(12.0, abs=0.1)


def test_a_target_that_is_met_or_that_the_runs_cannot_tell() -> None:
    found = break_even(workflow({"a": tool(1.0)}), "p95<2s", backend(), runs=200)
    assert found.met is True and not found.rows
    spread = workflow({"a": tool({"exponential": {"mean": 1.0}})})
    straddled = break_even(spread, "p95<3.0s", backend(), runs=200)
    assert straddled.met is None
    assert break_even(spread, "p95<9s", backend(), runs=20).met is None  # no interval


def test_a_deployment_has_no_speed_to_change() -> None:
    place = served("slow/88k", {"deployment": {"deployment": slow_deployment(), "concurrency": 1}})
    found = break_even(workflow({"a": chat(5, input_tokens=9), "t": tool(4.0, "a")}), "p95<1s", place, runs=100)
    assert found.unscalable == ("a",) and {row.step for row in found.rows} == {"t"}

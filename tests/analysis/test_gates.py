"""Gates: what they can ask, and pass, fail or inconclusive from the interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agentflow.analysis.gates import Verdict, check, decide, exit_code, parse_gate
from agentflow.analysis.metrics import Metrics, figure, figure_names
from agentflow.errors import UsageError
from agentflow.estimate import Estimate
from tests.analysis.made import lognormal, made

RESULT = made(lognormal(1, 2000))


@pytest.mark.parametrize(
    ("written", "metric", "operator", "limit"),
    [
        ("e2e.p95>10s", "e2e.p95", ">", 10.0),
        (" ttft.p50 <= 800ms ", "ttft.p50", "<=", 0.8),
        ("cost.mean>0.02", "cost.mean", ">", 0.02),
        ("cost.p95>=$0.02", "cost.p95", ">=", 0.02),
        ("outcomes.failed>1%", "outcomes.failed", ">", 0.01),
        ("outcomes.answered<0.99", "outcomes.answered", "<", 0.99),
        ("steps.write.latency.p95>3s", "steps.write.latency.p95", ">", 3.0),
        ("steps.write.critical_share<50%", "steps.write.critical_share", "<", 0.5),
        ("tokens.output.mean>1.2k", "tokens.output.mean", ">", 1200.0),
        ("calls>5", "calls", ">", 5.0),
        ("e2e_s.p99.9>1m", "e2e_s.p99.9", ">", 60.0),
    ],
)
def test_gates_are_read(written: str, metric: str, operator: str, limit: float) -> None:
    gate = parse_gate(written)
    assert (gate.metric, gate.operator) == (metric, operator)
    assert check(Metrics(RESULT), gate).limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "written", ["", "e2e.p95", "e2e.p95=10s", "e2e.p95==10s", ">10s", "e2e.p95>", "a>1>2", "[red]"]
)
def test_what_is_no_gate_is_refused(written: str) -> None:
    with pytest.raises(UsageError, match="expected FIGURE"):
        parse_gate(written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("e2e.p59x>1s", "no figure named 'e2e.p59x'; did you mean 'e2e.p5"),
        ("outcomes.faild>1%", "did you mean 'outcomes.failed'?"),
        ("steps.wirte.latency.p95>1s", "did you mean 'steps.write.latency.p95'?"),
        ("nonsense>1", "no figure named 'nonsense'"),
        ("e2e>1s", "no figure named 'e2e'"),
        ("e2e.p0>1s", "between 0 and 100"),
        ("e2e.p95>10 apples", "apples"),
        ("outcomes.failed>1s", "share"),
    ],
)
def test_unknown_figures_and_units_are_refused_with_a_way_out(written: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(Metrics(RESULT), parse_gate(written))
    assert said in str(caught.value)


def test_every_listed_figure_can_be_asked_for() -> None:
    metrics = Metrics(RESULT)
    for name in figure_names(RESULT):
        assert figure(metrics, name).name == name


def test_cost_without_a_price_is_refused() -> None:
    with pytest.raises(UsageError, match="no price"):
        figure(Metrics(made([1.0, 2.0], cost_usd=None)), "cost.mean")


@pytest.mark.parametrize(
    ("low", "high", "operator", "verdict"),
    [
        (11.0, 12.0, ">", "fail"), (8.0, 9.0, ">", "pass"), (9.0, 11.0, ">", "inconclusive"),
        (8.0, 9.0, "<", "fail"), (11.0, 12.0, "<", "pass"), (9.0, 11.0, "<", "inconclusive"),
        (10.0, 10.0, ">", "pass"), (10.0, 10.0, ">=", "fail"), (10.0, 10.0, "<", "pass"), (10.0, 10.0, "<=", "fail"),
        (10.0, 11.0, ">", "inconclusive"), (9.0, 10.0, ">", "pass"), (9.0, 10.0, ">=", "inconclusive"),
        (None, None, ">", "inconclusive"),
    ],
)  # fmt: skip
def test_the_whole_interval_decides(low: float | None, high: float | None, operator: str, verdict: Verdict) -> None:
    assert decide(Estimate(10.0, low, high), operator, 10.0) == verdict


def test_an_inconclusive_gate_says_about_how_many_runs_settle_it() -> None:
    def even(runs: int) -> Metrics:  # as evenly spread as a lognormal's quantiles, so that chance plays no part
        return Metrics(made(np.exp(0.5 * stats.norm.ppf((np.arange(runs) + 0.5) / runs))))

    gate = parse_gate("e2e.p50>1.02s")
    found = check(even(1000), gate)
    assert found.verdict == "inconclusive"
    assert check(even(found.runs_needed), gate).verdict == "pass"
    assert check(even(found.runs_needed // 2), gate).verdict == "inconclusive"
    few = check(Metrics(made(lognormal(1, 50))), parse_gate("e2e.p95>1ms"))
    assert (few.verdict, few.runs_needed) == ("inconclusive", 72)


def test_exit_codes() -> None:
    assert exit_code([]) == 0
    assert exit_code(["pass", "pass"]) == 0
    assert exit_code(["pass", "inconclusive"]) == 3
    assert exit_code(["inconclusive", "fail", "pass"]) == 1


def test_a_steps_quantiles_agree_with_the_exact_ones() -> None:
    metrics = Metrics(RESULT)
    for p in (0.5, 0.95, 0.99):
        e, exact = metrics.latency(0, p), metrics.column("e2e_s", p)
        assert e.value == pytest.approx(exact.value, rel=1 / 64)
        assert e.low is not None and e.high is not None and exact.low is not None and exact.high is not None
        assert e.low <= exact.low * 1.02 and e.high >= exact.high * 0.98
    constant = Metrics(made(np.full(500, 0.8)))
    assert constant.latency(0, 0.95).value == pytest.approx(0.8, rel=1e-12)

"""Rate limits and circuit breakers, by hand: who is turned away, for how long, and what is said of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from agentflow.analysis.loading.capacity import scenario_capacities
from agentflow.analysis.loading.load import report_load
from agentflow.analysis.loading.slo import parse_slo
from agentflow.analysis.scenario import simulate
from agentflow.analysis.setting import Setting
from agentflow.engine.arrivals import Given
from agentflow.errors import UsageError
from agentflow.plan import compile_plan
from agentflow.result import Result
from agentflow.schema import Backend, Limit, Workflow
from tests.load.contended import limited
from tests.load.uncontended import run_events
from tests.make import backend, chat, tool, workflow

NO_RETRY: dict[str, Any] = {"retry": {"max_attempts": 1}}
PATIENT: dict[str, Any] = {"retry": {"max_attempts": 9, "jitter": "none", "retry_after_cap": 1000.0}}


def tiered(place: Backend, **limit: Any) -> Backend:
    """The backend for a customer of a tier with this limit."""
    return place.model_copy(update={"limits": (Limit(tier="T", **limit),), "tier": "T"})


def at(times: list[float], steps: dict[str, Any], place: Backend, **more: Any) -> Result:
    return run_events(compile_plan(workflow(steps, **more), {"*": place}), len(times), 0, Given(times=tuple(times)))


def outcomes(result: Result) -> list[str]:
    return [result.outcome_names[i] for i in result.outcome]


def causes(result: Result) -> dict[str, int]:
    report = report_load(result)
    assert report is not None
    return report.limits[0].refused


PLACE = backend(ttft=1.0, rate=10.0)


def test_requests_a_minute() -> None:
    """Two at once, then one every thirty seconds."""
    place = tiered(PLACE, rpm=2)
    result = at([0.0, 1.0, 2.0, 30.5, 31.0, 61.0], {"a": chat(1, **NO_RETRY)}, place)
    assert outcomes(result) == ["answered", "answered", "failed", "answered", "failed", "answered"]
    assert causes(result) == {"rpm": 2}


def test_retry_after_is_when_there_is_room() -> None:
    place = tiered(PLACE, rpm=2)
    result = at([0.0, 0.0, 0.0, 0.0], {"a": chat(1, **PATIENT)}, place)
    assert result.e2e_s.tolist() == pytest.approx([1.0, 1.0, 31.0, 61.0])
    assert result.attempts.tolist() == [1, 1, 2, 3]  # two are told 30 s; the second of them comes too late once more


def test_a_capped_client_does_not_wait_for_it() -> None:
    retry = {"max_attempts": 2, "jitter": "none", "initial_interval": 2.0, "retry_after_cap": 10.0}
    result = at([0.0, 0.0, 0.0], {"a": chat(1, retry=retry)}, tiered(PLACE, rpm=2))
    assert outcomes(result) == ["answered", "answered", "failed"]
    assert result.e2e_s[2] == pytest.approx(2.0)


@pytest.mark.parametrize(("reserves", "passes"), [(None, 3), ("max_tokens", 1), ("nothing", 4)])
def test_what_is_set_aside(reserves: str | None, passes: int) -> None:
    """600 tokens a minute; calls of 200 in, 100 out and 400 at most, all at once."""
    place = tiered(PLACE, tpm=600, reserves=reserves)
    result = at([0.0] * 4, {"a": chat(100, input_tokens=200, max_tokens=400, **NO_RETRY)}, place)
    assert outcomes(result).count("answered") == passes


def test_what_was_not_used_is_given_back() -> None:
    place = tiered(PLACE, tpm=600, reserves="max_tokens")
    steps = {"a": chat(100, input_tokens=200, max_tokens=400, **NO_RETRY)}
    # The first ends at 1 + 99 / 10 = 10.9 s and has used 300 of 600; 10 more tokens flow in each second.
    assert outcomes(at([0.0, 10.8], steps, place)) == ["answered", "failed"]
    assert outcomes(at([0.0, 41.0], steps, place)) == ["answered", "answered"]
    keeps = tiered(PLACE, tpm=600, reserves="nothing")
    # Two calls in a row use 600 after they have been let in; the third finds none, the fourth waits for one token.
    assert outcomes(at([0.0, 0.0, 10.95, 11.1], steps, keeps)) == ["answered", "answered", "answered", "answered"]
    assert outcomes(at([0.0] * 4 + [10.95], steps, keeps)) == ["answered"] * 4 + ["failed"]


def test_cached_input_counts_where_it_says_so() -> None:
    place = backend(ttft=1.0, rate=10.0, cache={"hit_rate": 1.0})
    steps = {"a": chat(1, input_tokens=500, cached_input_tokens=400, **NO_RETRY)}
    assert outcomes(at([0.0] * 5, steps, tiered(place, itpm=500, counts_cached=False))) == ["answered"] * 5
    assert outcomes(at([0.0] * 5, steps, tiered(place, itpm=500))).count("answered") == 1


def test_requests_at_a_time() -> None:
    result = at([0.0, 0.5, 1.2], {"a": chat(1, **NO_RETRY)}, tiered(PLACE, concurrency=1))
    assert outcomes(result) == ["answered", "failed", "answered"]
    assert causes(result) == {"concurrency": 1}


def test_what_never_fits_fails() -> None:
    result = at([0.0], {"a": chat(1, input_tokens=900, **PATIENT)}, tiered(PLACE, itpm=500))
    assert outcomes(result) == ["failed"]
    assert result.attempts.tolist() == [9]


def test_a_refused_call_goes_to_its_fallback() -> None:
    step = chat(1, fallbacks=[{"backend": "spare"}], **NO_RETRY)
    plan = compile_plan(workflow({"a": step}), {"a": tiered(PLACE, rpm=1), "a!0": backend("spare", ttft=5.0)})
    result = run_events(plan, 2, 0, Given(times=(0.0, 0.5)))
    assert outcomes(result) == ["answered", "fallback"]
    assert result.e2e_s.tolist() == pytest.approx([1.0, 5.0])


BROKEN = {"errors": {"server_error": 1.0}, **NO_RETRY}


def breaker_report(result: Result) -> tuple[int, int]:
    report = report_load(result)
    assert report is not None
    (breaker,) = report.breakers
    return breaker.opened, breaker.refused


def test_a_breaker_opens_and_tries_again() -> None:
    """A tool that fails for a second each time: two failures open it for 10 s, each trial fails and opens it again."""
    step = tool(
        1.0,
        circuit_breaker={"failures": 2, "open_for": "10s"},
        errors={"server_error": {"probability": 1.0, "at": "end"}},
    )
    times = [0.0, 2.0, 4.0, 12.9, 13.1, 15.0, 24.2]
    result = at(times, {"a": step}, PLACE)
    assert result.e2e_s.tolist() == pytest.approx([1, 1, 0, 0, 1, 0, 1])
    assert breaker_report(result) == (3, 3)


def test_a_breaker_closes_after_its_trials() -> None:
    """Run 0 and 1 meet a full rate limit; then there is room, and two trials in a row close the breaker."""
    step = chat(1, circuit_breaker={"failures": 1, "open_for": "20s", "trials": 2}, **NO_RETRY)
    result = at([0.0, 0.1, 5.0, 31.0, 31.5, 31.6, 70.0, 130.0], {"a": step}, tiered(PLACE, rpm=1))
    assert outcomes(result)[:3] == ["answered", "failed", "failed"]
    assert result.attempts.tolist()[:3] == [1, 1, 0]
    assert result.attempts.tolist()[3:6] == [1, 0, 0]  # 31.0 is refused by the limit: it opens again, for 31.5 and 31.6
    assert outcomes(result)[6:] == ["answered", "answered"]


def test_a_refused_attempt_is_not_tried_again_and_costs_nothing() -> None:
    place = backend(ttft=1.0, rate=10.0, price={"input": "$1/Mtok", "output": "$1/Mtok", "per_call": 1.0})
    step = chat(1, errors={"server_error": {"probability": 1.0, "at": "end"}}, retry={"max_attempts": 5, "jitter": "none"},
                circuit_breaker={"failures": 2, "open_for": "1000s"})  # fmt: skip
    result = at([0.0, 100.0], {"a": step}, place)
    assert result.attempts.tolist() == [2, 0]
    assert result.calls.tolist() == [1, 0]
    assert result.cost_usd is not None
    assert result.cost_usd[1] == 0.0
    assert outcomes(result) == ["failed", "failed"]
    assert result.e2e_s.tolist() == pytest.approx([3.5, 0.0])


def test_steps_with_the_same_breaker_share_it() -> None:
    breaker = {"failures": 1, "open_for": "1000s"}
    broken = {"server_error": {"probability": 1.0, "at": "end"}}
    steps = {
        "a": chat(
            1, circuit_breaker=breaker, errors=broken, catch=[{"errors": ["server_error"], "to": "b"}], **NO_RETRY
        ),
        "b": chat(1, circuit_breaker=breaker, **NO_RETRY),
    }
    assert at([0.0], steps, PLACE).attempts.tolist() == [1]
    steps["b"]["circuit_breaker"] = {"failures": 2, "open_for": "1000s"}
    assert at([0.0], steps, PLACE).attempts.tolist() == [2]


def test_a_tier_is_one_of_the_backends() -> None:
    with pytest.raises(ValidationError, match="no tier named 'U'"):
        backend(limits=[{"tier": "T", "rpm": 2}], tier="U")
    free = backend(limits=[{"tier": "Free", "rpm": 2}])
    assert free.limit is None
    placed = Setting(tier="free").apply({"*": free})["*"]
    assert placed.limit is not None
    with pytest.raises(UsageError, match="no backend here has a tier 'gold'; there are Free"):
        Setting(tier="gold").apply({"*": free})


def chain() -> Workflow:
    return workflow({"a": chat(1), "b": chat(1, "a")})


def test_offered_load_is_over_the_limit() -> None:
    place = tiered(PLACE, rpm=60)
    result = simulate(chain(), place, runs=600, arrivals="poisson:0.6/s")
    report = report_load(result)
    assert report is not None
    assert report.limits[0].offered["rpm"] == pytest.approx(1.2)
    assert report.state == "unstable"
    assert report.capacity == (pytest.approx(0.5), "made (T) rpm")


def test_the_capacity_of_mm1() -> None:
    """M/M/1: the p95 of the time in the system is ln 20 / (mu - lambda), so 10 s are held up to 1 - ln 20 / 10."""
    place = limited(backend("q", ttft={"exponential": {"mean": 1.0}}), concurrency=1)
    (found,) = scenario_capacities(workflow({"a": chat(1)}), "p95<10s", place, runs=300_000)
    assert found.rate is not None and found.rate.low is not None and found.rate.high is not None
    truth = 1.0 - float(np.log(20.0)) / 10.0
    assert found.rate.low <= truth <= found.rate.high
    assert found.rate.value == pytest.approx(truth, rel=0.03)
    assert found.bound == (pytest.approx(1.0, rel=0.05), "q")
    assert not found.saturates
    rates = [point.rate for point in found.points]
    assert rates == sorted(rates)
    p95 = [point.p95.value for point in found.points]
    assert all(b > a * 0.98 for a, b in pairwise(p95))


def test_a_capacity_that_nothing_or_everything_bounds() -> None:
    free, slow = scenario_capacities(
        chain(), "p95<5s", [PLACE, limited(backend("slow", ttft=9.0), concurrency=1)], runs=200
    )
    assert free.rate is None
    assert slow.rate is not None and slow.rate.value == 0.0
    (wide,) = scenario_capacities(chain(), "p95<9000s", limited(PLACE, concurrency=1), runs=200)
    assert wide.saturates


@pytest.mark.parametrize("text", ["p95", "p95<", "p95<-1s", "x.p95<1s", "p0<1s", "p95<1 parsec", ""])
def test_an_objective_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_slo(text)

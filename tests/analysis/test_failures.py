"""Why runs end without an answer, and what is seen of it before they run."""

from __future__ import annotations

import datetime

import pytest

from agentflow.analysis.context import overflows
from agentflow.analysis.failures import MOST, read_failures
from agentflow.analysis.provenance import Profile, standing
from agentflow.analysis.scenario import simulate
from agentflow.analysis.summary import summarize
from agentflow.analysis.trends import parse_trend, project
from agentflow.report.tables import reasons
from tests.make import backend, chat, loop, tool, workflow


def test_a_prompt_beyond_the_context_is_named_with_its_step() -> None:
    made = workflow({"look": tool(1.0), "read": chat(10, "look", input_tokens=5000)})
    result = simulate(made, backend(context=4096), runs=500)
    found = summarize(result).failures
    assert found is not None and (found.looked, found.of) == (MOST, 500)
    assert [(row.outcome, row.error, row.step, row.share) for row in found.rows] == [
        ("failed", "context_overflow", "read", 1.0)
    ]
    assert reasons(found) == "context_overflow at read 100 % (from the first 200 of 500)"


def test_reasons_are_counted_by_error_and_step() -> None:
    body = {"try": tool(1.0, errors={"server_error": 0.2}), "ask": tool(1.0, "try", errors={"invalid_output": 0.1})}
    result = simulate(workflow({"again": loop(1, body)}), runs=300)
    found = read_failures(result.manifest)
    assert found is not None and found.looked == found.of == int((result.outcome == 2).sum())
    shares = {(row.error, row.step): row.share for row in found.rows}
    assert shares.keys() == {("server_error", "again.try"), ("invalid_output", "again.ask")}
    assert shares["server_error", "again.try"] == pytest.approx(0.2, abs=0.07)
    assert sum(shares.values()) == pytest.approx(float((result.outcome == 2).mean()))


def test_a_deadline_names_the_step_that_it_cut() -> None:
    made = workflow({"a": tool(1.0), "slow": tool(9.0, "a")}, budget={"deadline": 5.0})
    found = read_failures(simulate(made, runs=20).manifest)
    assert found is not None
    assert [(row.outcome, row.error, row.step) for row in found.rows] == [("deadline_exceeded", None, "slow")]


def test_runs_that_are_answered_have_no_reasons() -> None:
    assert summarize(simulate(workflow({"a": tool(1.0)}), runs=20)).failures is None


@pytest.mark.parametrize(
    ("step", "seen"),
    [
        ({"input_tokens": 5000}, [(True, False)]),
        ({"input_tokens": 4096}, [(True, False)]),
        ({"input_tokens": 4095}, []),
        ({"input_tokens": 3000, "max_tokens": 2000}, [(True, False)]),
        ({"input_tokens": 3000, "media": {"images": 2, "tokens_per_image": 1000}}, [(True, False)]),
        ({"input_tokens": {"lognormal": {"p50": 4500, "p95": 9000}}}, [(False, False)]),
        ({"input_tokens": {"lognormal": {"p50": 2000, "p95": 9000}}}, []),
        ({"input_tokens": 5000, "fallbacks": [{"backend": "big"}]}, [(True, True)]),
    ],
)
def test_prompts_that_do_not_fit_are_seen_beforehand(step: dict[str, object], seen: list[tuple[bool, bool]]) -> None:
    made = workflow({"read": chat(10, **step)})
    found = overflows(made, {"read": backend(context=4096), "read!0": backend("big", context=200_000)})
    assert [(item.always, item.rescued) for item in found] == seen


def test_what_is_seen_beforehand_comes_true() -> None:
    made = workflow({"read": chat(10, input_tokens=4096)})
    result = simulate(made, backend(context=4096), runs=20)
    assert "4,097 tokens" in result.manifest["context"] and read_failures(result.manifest) is not None
    assert (
        "context"
        not in simulate(workflow({"read": chat(10, input_tokens=4095)}), backend(context=4096), runs=20).manifest
    )


def test_the_standing_of_profiles_is_one_line() -> None:
    new = Profile("a/x", "2026-07-10", "current", ("drift",))
    old = Profile("b/x", "2024-09-10", "historical", ("drift", "variation.between_runs", "variation.between_calls"))
    assert standing([new]) == "of 2026-07; assumed in them: drift"
    assert standing([new, old, new]) == (
        "1 of 2024-09, 1 of 2026-07; historical: b/x; assumed in them: drift, variation (1 of 2)"
    )
    assert standing([]) == ""


def test_a_profile_that_trends_carried_says_from_when() -> None:
    made = backend(as_of="2026-02-10")
    carried = project(made, datetime.date(2028, 5, 1), speed=parse_trend("x2/yr"))
    found = summarize(simulate(workflow({"a": chat(3)}), carried, runs=20)).profiles
    assert (found[0].as_of, found[0].carried_to) == ("2026-02-10", "2028-05-01")
    assert standing(found).startswith("of 2026-02 carried to 2028-05")


def test_a_result_says_what_it_stands_on() -> None:
    made = backend(as_of="2026-02-10", evidence=[{"figures": ["ttft"], "source": "a guess", "kind": "assumed"}])
    found = summarize(simulate(workflow({"a": chat(3)}), made, runs=20)).profiles
    assert found == (Profile("made", "2026-02-10", "current", ("ttft",)),)

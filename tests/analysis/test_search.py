"""Sweeps give what the same change of the document gives; the optimum is that of trying all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentflow import simulate
from agentflow.analysis.insight import optimize as optimizing
from agentflow.analysis.insight.optimize import optimize
from agentflow.analysis.insight.sweep import parse_vary, sweep
from agentflow.cli import run
from agentflow.errors import AgentflowError, UsageError
from agentflow.schema import Workflow
from tests.make import backend, chat, fan, tool, workflow

PRICE = {"input": "$1/Mtok", "output": "$1/Mtok"}


def made() -> Workflow:
    steps = {
        "a": chat(81, input_tokens=100, errors={"server_error": 0.5}),
        "m": fan(4, {"t": tool(1.0)}, "a"),
        "b": chat(41, "m", input_tokens=10),
    }
    return workflow(steps, defaults={"retry": {"max_attempts": 2, "initial_interval": 1, "jitter": "none"}})


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("b.speed=1,2", 5.0, 2.5), ("b.ttft=1,3", 1.1, 3.3), ("b.output_tokens=1,2", 5.0, 10.125),
        ("latency=1,0.5", 1.0, 0.5), ("m.max_concurrency=4,1", 1.0, 4.0), ("b.input_tokens=1,3", 0.1, 0.3),
    ],
)  # fmt: skip
def test_a_sweep_moves_the_answer_by_what_the_change_is(text: str, first: float, last: float) -> None:
    """Prefill of 100 tokens/s, 8 tokens/s written: each case says what the part that moves takes before and after."""
    found = sweep(made(), [text], backend(ttft=1.0, rate=8.0, prefill_rate=100), runs=50)
    before, after = (case.result.e2e_s for case in found.comparison.cases)
    answered = found.comparison.cases[0].result.outcome == 0
    assert (after - before)[answered] == pytest.approx(last - first)


def test_tries_of_the_documents_defaults_are_swept_too() -> None:
    found = sweep(made(), ["max_attempts=1,5", "a.speed=1,2"], backend(), runs=10_000)
    assert found.values == (("1", "1"), ("1", "2"), ("5", "1"), ("5", "2"))
    failed = [case.summary.outcomes["failed"].value for case in found.comparison.cases]
    assert failed == pytest.approx([0.5, 0.5, 0.5**5, 0.5**5], abs=0.03)


def test_a_swept_backend_is_an_assigned_one() -> None:
    found = sweep("prompt-chain-8", ["draft.backend=groq,cerebras"], "together", runs=200)
    want = simulate("prompt-chain-8", "together", assign={"draft": "cerebras"}, runs=200)
    assert found.comparison.cases[1].result.e2e_s == pytest.approx(want.e2e_s, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("speed", "write WHAT=1,2,4"), ("sped=1", "did you mean 'speed'"), ("speed=", "name the values"),
        ("speed=0", "above 0"), ("max_attempts=1.5", "whole number"), ("speed=fast", "a number such as"),
        ("x.speed=1", "no step named 'x'"), ("m.t.speed=1", "m.t has no speed"), ("b.latency=1", "b has no latency"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_refused_with_a_way_out(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        sweep(made(), [parse_vary(text)], backend(), runs=10)
    assert said in str(caught.value)
    with pytest.raises(UsageError, match="at most"):
        sweep(made(), ["speed=" + ",".join(["1"] * 21), "ttft=" + ",".join(["1"] * 21)], backend(), runs=10)


def place(name: str, speed: float, dollars: str) -> Any:
    return backend(name, ttft=0.1, rate=speed, price={"input": dollars, "output": dollars})


QUICK, MIDDLE, CHEAP = place("quick", 100, "$9/Mtok"), place("middle", 40, "$3/Mtok"), place("cheap", 10, "$1/Mtok")


def test_the_optimum_spends_where_it_buys_the_most() -> None:
    """`long` writes 1,000 tokens and `short` 10, so the money goes to `long`."""
    steps = {"long": chat(1000), "short": chat(10, "long")}
    free = optimize(workflow(steps), [CHEAP, QUICK], runs=100)
    assert free.best is not None and set(free.best.places.values()) == {"quick"} and free.proven
    tight = optimize(workflow(steps), [CHEAP, QUICK], limit_usd=0.00902, runs=100)
    assert tight.best is not None and tight.best.places == {"long": "quick", "short": "cheap"}
    none = optimize(workflow(steps), [CHEAP, QUICK], limit_usd=0.0001, runs=100)
    assert none.best is None and none.time_s is None
    assert [row.places["long"] for row in tight.front] == ["quick", "quick", "cheap", "cheap"]


def test_a_local_search_finds_the_best_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {f"s{i}": chat({"exponential": {"mean": 50 * (i + 1)}}, *([f"s{i - 1}"] if i else [])) for i in range(5)}
    for limit in (None, 0.002, 0.004):
        arguments: Any = {"limit_usd": limit, "runs": 200}
        monkeypatch.setattr(optimizing, "MOST", 1000)
        every = optimize(workflow(steps), [CHEAP, MIDDLE, QUICK], **arguments)
        monkeypatch.setattr(optimizing, "MOST", 1)
        some = optimize(workflow(steps), [CHEAP, MIDDLE, QUICK], **arguments)
        assert every.proven and not some.proven and some.looked < 0.6 * every.looked
        assert every.best is not None and some.best is not None
        assert some.best.time_s <= 1.05 * every.best.time_s


def test_runs_that_are_not_answered_count_against_an_assignment() -> None:
    broken = backend("broken", ttft=0.01, rate=1000.0, errors={"server_error": 0.3}, price=PRICE)
    steps = {"a": chat(50)}
    assert optimize(workflow(steps), [broken, CHEAP], runs=200).best.places == {"a": "broken"}  # type: ignore[union-attr]
    careful = optimize(workflow(steps), [broken, CHEAP], least_answered=0.99, runs=200)
    assert careful.best is not None and careful.best.places == {"a": "cheap"} and careful.best.answered == 1.0


def test_what_cannot_be_optimized_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to choose"):
        optimize(workflow({"t": tool(1.0)}), [CHEAP])
    with pytest.raises(UsageError, match="no price"):
        optimize(workflow({"a": chat(1)}), [backend()], limit_usd=1.0, runs=20)
    with pytest.raises(AgentflowError, match="gorq"):
        optimize("prompt-chain-8", ["gorq"])


def test_the_commands_print_and_write_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["optimize", "tool-use", "--backends", "groq,cerebras", "--max-cost", "$1", "--runs", "200"]
    assert run([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["proven"] and set(found["best"]["places"]) == {"react.think", "decide"}
    assert run(arguments) == 0
    text = capsys.readouterr().out
    assert "what less money buys" in text and max(map(len, text.splitlines())) <= 80
    swept = ["sweep", "tool-use", "--backend", "groq", "--vary", "react.think.speed=1,2", "--runs", "200"]
    assert run([*swept, "--json"]) == 0
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert [case["values"] for case in cases] == [{"react.think.speed": "1"}, {"react.think.speed": "2"}]
    assert run(swept) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert run(["optimize", "tool-use", "--backends", "groq", "--max-cost", "much"]) == 2

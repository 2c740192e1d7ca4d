"""Who answers what: assign, then the step, then the argument, then the defaults."""

from __future__ import annotations

import pytest

from agentflow.analysis.assignment import assign_backends, model_steps
from agentflow.analysis.scenario import build_scenarios, find_baseline
from agentflow.errors import AgentflowError, UsageError
from agentflow.schema import Backend, Workflow
from tests.make import backend, chat, fan, guardrail, loop, nested, tool, workflow

MODEL = {"model": "llama-3.3-70b"}


def names(made: Workflow, place: str | Backend | None = None, **assign: str) -> dict[str, str]:
    found = assign_backends(made, place, {key.replace("__", "."): value for key, value in assign.items()})
    return {path: chosen.name for path, chosen in found.items()}


def test_each_wins_over_what_is_further_out() -> None:
    steps = {"a": chat(1), "b": chat(1, backend="groq"), "c": chat(1)}
    made = workflow(steps, defaults=MODEL | {"backend": "together"})
    assert names(made) == {
        "a": "together/llama-3.3-70b", "b": "groq/llama-3.3-70b", "c": "together/llama-3.3-70b",
    }  # fmt: skip
    assert names(made, "fireworks", c="cerebras") == {
        "a": "fireworks/llama-3.3-70b", "b": "groq/llama-3.3-70b", "c": "cerebras/llama-3.3-70b",
    }  # fmt: skip
    assert names(made, None, b="sambanova")["b"] == "sambanova/llama-3.3-70b"


def test_a_whole_profile_answers_any_model() -> None:
    made = workflow({"a": chat(1)}, defaults=MODEL)
    assert names(made, "openai/gpt-4.1") == {"a": "openai/gpt-4.1"}
    assert names(made, backend("mine")) == {"a": "mine"}


def test_steps_in_composites_have_paths_and_nested_workflows_their_own_defaults() -> None:
    inner = workflow({"x": chat(1)}, defaults={"model": "llama-3.1-8b", "backend": "groq"})
    body = {"read": chat(1), "look": tool(1.0), "check": guardrail(1.0)}
    steps = {"m": fan(2, body), "l": loop(2, {"w": chat(1)}), "n": nested(inner), "g": {"type": "guardrail", **MODEL}}
    made = workflow(steps, defaults=MODEL | {"backend": "together"})
    assert [item.path for item in model_steps(made)] == ["m.read", "l.w", "n.x", "g"]
    assert names(made)["n.x"] == "groq/llama-3.1-8b"
    assert names(made, m="cerebras", n__x="fireworks") == {
        "m.read": "cerebras/llama-3.3-70b", "l.w": "together/llama-3.3-70b", "n.x": "fireworks/llama-3.1-8b",
        "g": "together/llama-3.3-70b",
    }  # fmt: skip


def test_fallbacks_stay_with_the_provider_unless_they_name_one() -> None:
    step = chat(1, fallbacks=[{"model": "llama-3.1-8b"}, {"backend": "groq"}])
    made = workflow({"a": step}, defaults=MODEL | {"backend": "together"})
    assert names(made) == {
        "a": "together/llama-3.3-70b", "a!0": "together/llama-3.1-8b", "a!1": "groq/llama-3.3-70b",
    }  # fmt: skip


def test_without_a_backend_the_providers_of_the_model_are_listed() -> None:
    with pytest.raises(UsageError) as caught:
        assign_backends(workflow({"a": chat(1), "b": chat(1)}, defaults=MODEL))
    assert "no backend for a, b" in str(caught.value)
    assert "groq" in str(caught.value) and "--backend" in str(caught.value)


def test_what_changes_nothing_is_refused() -> None:
    made = workflow({"write": chat(1), "look": tool(1.0)}, defaults=MODEL | {"backend": "groq"})
    with pytest.raises(UsageError, match="did you mean 'write'"):
        assign_backends(made, None, {"wirte": "groq"})
    with pytest.raises(UsageError, match="no step of that name calls a model"):
        assign_backends(made, None, {"look": "groq"})
    with pytest.raises(AgentflowError, match="did you mean"):
        assign_backends(made, "grok")


def test_scenarios_are_named_by_what_differs() -> None:
    made = workflow({"a": chat(1)}, defaults=MODEL)
    assert [s.label for s in build_scenarios(made, ["groq", "cerebras"])] == ["groq", "cerebras"]
    assert [s.label for s in build_scenarios(made, ["groq", "groq"])] == ["groq", "groq (2)"]
    other = made.model_copy(update={"name": "other"})
    scenarios = build_scenarios([made, other], "groq")
    assert [s.label for s in scenarios] == ["made", "other"]
    assert build_scenarios([made, other], ["groq", "cerebras"])[0].label == "made on groq"
    assert find_baseline(scenarios, "other") == 1
    with pytest.raises(UsageError, match="there are made, other"):
        find_baseline(scenarios, "groq")
    with pytest.raises(UsageError, match="at least one"):
        build_scenarios(made, [])

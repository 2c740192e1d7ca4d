"""Every workflow of the catalogue says what it is, where its figures come from, and runs without a flag."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from agentflow import Result, load_backend, load_workflow, simulate
from agentflow.analysis.assignment import model_steps
from agentflow.documents import list_backends, list_workflows
from agentflow.engine import run_plan
from agentflow.plan import compile_plan
from benchmarks import draw_workflows, models
from benchmarks.simpy_w1 import Lean
from benchmarks.simpy_w1 import simulate as simulate_in_simpy
from tests.recorded import ROOT

FILES = sorted((ROOT / "workflows").glob("*.yaml"))
NAMES = [path.stem for path in FILES]
STARTER = {
    "prompt-chain-8",
    "reflection",
    "tool-use",
    "planning",
    "multi-agent",
    "support-triage",
    "research-report",
    "w1",
}
PATTERNS = {
    "routing", "sectioning", "voting", "orchestrator-workers", "evaluator-optimiser", "react", "reflexion",
    "plan-and-execute", "llm-compiler", "tree-of-thoughts", "self-consistency", "debate", "mixture-of-agents", "rag",
    "corrective-rag", "self-rag", "metagpt", "chatdev", "swe-agent", "rpa-chain", "long-context", "multimodal",
    "reasoning", "mixture-of-experts", "evaluation", "voice-assistant", "code-review", "coding-session",
}  # fmt: skip
OTHER_MODELS = {"mixture-of-experts": "gpt-oss-120b", "coding-session": "claude-sonnet-4.5"}
OTHER_BACKENDS = {"coding-session": "anthropic"}
LONG_CONTEXTS = {"coding-session": 1_000_000}
RUNS = 20_000


@cache
def simulated(name: str) -> Result:
    return simulate(name, runs=RUNS, seed=1)


def share(result: Result, outcome: str) -> float:
    if outcome not in result.outcome_names:
        return 0.0
    return float(np.mean(result.outcome == result.outcome_names.index(outcome)))


def test_the_starter_catalogue_is_there() -> None:
    assert set(NAMES) >= STARTER | PATTERNS
    assert set(list_workflows()) >= set(NAMES)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_says_what_it_is_and_where_its_figures_come_from(path: Path) -> None:
    workflow = load_workflow(path.stem)
    assert workflow.name == path.stem
    assert len(workflow.description) > 30
    assert "assumed" in workflow.source or "measured" in workflow.source
    assert workflow.defaults.model == OTHER_MODELS.get(path.stem, "llama-3.3-70b")
    assert workflow.defaults.backend == OTHER_BACKENDS.get(path.stem, "together")


@pytest.mark.parametrize("name", NAMES)
def test_runs_without_a_flag(name: str) -> None:
    result = simulated(name)
    assert result.runs == RUNS
    assert np.all(np.isfinite(result.e2e_s))
    assert np.all(result.e2e_s > 0)
    assert np.all(result.ttft_s <= result.e2e_s)
    assert share(result, "answered") > 0.9
    assert share(result, "failed") < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_its_budget_is_realistic(name: str) -> None:
    """Rarely exceeded, and not so wide that it bounds nothing."""
    budget, result = load_workflow(name).budget, simulated(name)
    assert share(result, "budget_exceeded") < 0.02
    assert share(result, "deadline_exceeded") < 0.02
    if budget is not None and budget.tokens is not None:
        tokens = result.input_tokens + result.output_tokens + result.reasoning_tokens
        assert np.quantile(tokens, 0.99) > 0.2 * budget.tokens


@pytest.mark.parametrize("name", NAMES)
def test_runs_on_every_provider_that_has_its_models(name: str) -> None:
    wanted = {step.model for step in model_steps(load_workflow(name))}
    profiles = list_backends()
    providers = {profile.partition("/")[0] for profile in profiles}
    able = [p for p in sorted(providers) if all(f"{p}/{model}" in profiles for model in wanted)]
    assert len(able) >= (1 if name in OTHER_BACKENDS else 4)
    for provider in able:
        result = simulate(name, provider, runs=200, seed=1)
        assert {backend.partition("/")[0] for backend in result.assignment.values()} == {provider}


def test_w1_is_the_reference_workload() -> None:
    """The same figures as the plain SimPy model: both p50 and p95 of E2E, attempts and tokens within 2 %."""
    ours = run_plan(models.w1(), runs=200_000, seed=1)
    theirs = simulate_in_simpy(Lean, 60_000, seed=1)
    assert np.mean(ours.attempts) == pytest.approx(8.45, rel=0.005)
    assert np.mean(ours.attempts) == pytest.approx(theirs.attempts / 60_000, rel=0.01)
    assert np.mean(ours.input_tokens) == pytest.approx(theirs.input_tokens / 60_000, rel=0.01)
    assert np.mean(ours.output_tokens) == pytest.approx(theirs.output_tokens / 60_000, rel=0.01)
    for q in (0.5, 0.95):
        assert np.quantile(ours.e2e_s, q) == pytest.approx(np.quantile(theirs.e2e_s, q), rel=0.02)


def test_every_workflow_has_its_picture() -> None:
    """`python -m benchmarks.draw_workflows` draws them anew."""
    assert draw_workflows.PAGE.read_text(encoding="utf-8") == draw_workflows.page(NAMES)


def test_every_workflow_runs_on_every_backend_whose_context_suffices() -> None:
    """One model for all steps, whatever the backend's; a slow one may run into the workflow's timeouts."""
    backends = [load_backend(name) for name in list_backends()]
    wide = [backend for backend in backends if backend.context is None or backend.context >= 131_072]
    assert len(wide) > 80
    for name in NAMES:
        workflow, least = load_workflow(name), LONG_CONTEXTS.get(name, 131_072)
        able = [backend for backend in wide if backend.context is None or backend.context >= least]
        assert len(able) >= 20
        for backend in able:
            result = run_plan(compile_plan(workflow, {"*": backend}), 20, seed=1, threads=1)
            assert np.all(np.isfinite(result.e2e_s)), (name, backend.name)
            assert np.all(result.e2e_s > 0), (name, backend.name)
            assert np.mean(result.output_tokens > 0) > 0.5, (name, backend.name)

"""The user's region, trends to a date, the providers' drift, the directory of backends."""

from __future__ import annotations

import datetime
import json
import math

import pytest

from agentflow import documents, load_backend, simulate
from agentflow.analysis.directory import choose, entry_of, law_points
from agentflow.analysis.drift import Z95, drift_factor
from agentflow.analysis.region import WARM, from_region
from agentflow.analysis.setting import Setting
from agentflow.analysis.trends import parse_trend
from agentflow.documents import load_network
from agentflow.errors import UsageError
from agentflow.schema.distribution import median

DAY = datetime.date(2028, 5, 1)


def test_a_region_adds_a_third_of_the_difference_to_a_new_connection() -> None:
    groq, network = load_backend("groq/llama-3.3-70b"), load_network()
    near = median(network.edges["groq"]["us-central"])
    far = median(network.edges["groq"]["eu-hetzner"])
    warm = from_region(groq, "eu-hetzner", network).law.measured.network
    cold = from_region(groq, "eu-hetzner", network, new_connections=True).law.measured.network
    assert median(warm) == pytest.approx(WARM * (far - near), rel=1e-9)
    assert median(cold) == pytest.approx(far - near, rel=1e-9)
    assert from_region(groq, "us-central", network) is groq
    assert any("network" in item.figures for item in from_region(groq, "eu-hetzner", network).evidence)


def test_an_unknown_region_is_told_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="eu-hetzner"):
        from_region(load_backend("groq/llama-3.3-70b"), "eu-hetzne", load_network())


def test_the_region_shows_in_every_call() -> None:
    here = simulate("prompt-chain-8", "groq", runs=300)
    there = simulate("prompt-chain-8", "groq", runs=300, setting=Setting(region="eu-hetzner"))
    added = there.e2e_s - here.e2e_s
    assert (added > 0).all()
    assert there.step_component_s[:, there.components.index("network")].sum() == pytest.approx(added.sum(), rel=1e-6)
    assert "eu-hetzner" in there.manifest["assumptions"]


def test_trends_need_a_date_and_a_date_a_trend() -> None:
    with pytest.raises(UsageError, match="--when"):
        Setting(price=parse_trend("-86%/yr"))
    with pytest.raises(UsageError, match="trend"):
        Setting(when=DAY)


def test_prices_and_speeds_follow_their_trends() -> None:
    setting = Setting(price=parse_trend("-50%/yr"), speed=parse_trend("x2/yr"), when=DAY)
    now, then = (
        simulate("prompt-chain-8", "groq", runs=300),
        simulate("prompt-chain-8", "groq", runs=300, setting=setting),
    )
    as_of = load_backend("groq/llama-3.3-70b").as_of
    assert as_of is not None
    factor = 0.5 ** ((DAY - as_of).days / 365.25)
    assert now.cost_usd is not None and then.cost_usd is not None
    assert then.cost_usd.mean() == pytest.approx(now.cost_usd.mean() * factor, rel=1e-9)
    decode = now.components.index("decode")
    assert then.critical_s[:, decode].sum() == pytest.approx(now.critical_s[:, decode].sum() * factor, rel=1e-6)


def test_drift_is_first_order_and_of_one_backend() -> None:
    """Stretching the whole TTFT law and the whole speed law by hand moves E2E by as much."""
    result = simulate("prompt-chain-8", "groq", runs=2000)
    columns = result.components
    prefill = result.critical_s[:, columns.index("prefill")].sum() / result.critical_s.sum()
    decode = result.critical_s[:, columns.index("decode")].sum() / result.critical_s.sum()
    factor = drift_factor(result)
    assert factor == pytest.approx(math.exp(Z95 * math.hypot(0.175 * prefill, 0.095 * decode)), rel=1e-9)
    assert json.loads(result.manifest["drift"]) == {"groq/llama-3.3-70b": [0.175, 0.095]}


def test_without_a_stated_drift_none_is_shown() -> None:
    backend = documents.placeholder_backend()
    assert drift_factor(simulate("prompt-chain-8", backend, runs=100)) is None


def test_the_directory_filters_and_sorts() -> None:
    today = datetime.date(2026, 11, 21)
    entries = [entry_of(load_backend(name), today) for name in documents.list_backends() if name.startswith("groq/")]
    fast = choose(entries, sort="speed")
    speeds = [entry.tokens_per_s for entry in fast if entry.tokens_per_s is not None]
    assert speeds == sorted(speeds, reverse=True)
    assert {entry.status for entry in choose(entries, status="current")} == {"current"}
    with pytest.raises(UsageError, match="no backend with model"):
        choose(entries, model="llama-33-70b")


def test_the_law_of_a_backend_grows_with_its_output() -> None:
    first, last = law_points(load_backend("groq/llama-3.3-70b"), tokens=(1, 500), runs=2000)
    assert first.total_s["p50"].value == pytest.approx(first.ttft_s["p50"].value)
    assert last.total_s["p50"].value == pytest.approx(0.15 + 499 / 543.3, rel=0.10)


def test_effort_draws_the_models_own_thinking() -> None:
    text = "schema_version: 1\nname: x\nsteps:\n  a: {type: chat, effort: high, output_tokens: 10}\n"
    thinking = simulate(documents.parse_workflow(text), "openai/gpt-5", runs=2000)
    assert sorted(thinking.reasoning_tokens)[1000] == pytest.approx(7000, rel=0.05)
    assert simulate(documents.parse_workflow(text), "openai/gpt-4.1", runs=10).reasoning_tokens.sum() == 0
    with pytest.raises(Exception, match="it has low, medium, high"):
        simulate(documents.parse_workflow(text.replace("high", "wild")), "openai/gpt-5", runs=10)

"""Every shipped provider profile loads, names the source of each figure and meets its cited total."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from agentflow.documents import load_backend
from agentflow.schema import Backend, Quantiles

FOLDER = Path(__file__).parent.parent / "backends" / "providers"
FILES = sorted(FOLDER.glob("*/*.yaml"))
NAMES = [f"{file.parent.name}/{file.stem}" for file in FILES]

WANTED = {
    "groq": {"llama-3.1-8b", "llama-3.3-70b", "llama-4-maverick", "gpt-oss-120b", "gpt-oss-20b", "kimi-k2"},
    "cerebras": {"llama-3.1-8b", "llama-3.3-70b", "llama-4-maverick", "qwen3-235b-a22b", "gpt-oss-120b"},
    "sambanova": {"llama-3.1-8b", "llama-3.1-405b", "llama-3.3-70b", "deepseek-v3", "deepseek-r1"},
    "together": {"llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b", "llama-3.3-70b", "kimi-k2"},
    "fireworks": {"llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b", "llama-3.3-70b", "kimi-k2"},
    "deepinfra": {"llama-3.1-8b", "llama-3.1-70b", "llama-3.3-70b", "gpt-oss-120b", "deepseek-r1"},
    "bedrock": {"llama-3.1-8b", "llama-3.3-70b", "claude-sonnet-4"},
    "azure": {"llama-3.1-8b", "llama-3.3-70b", "gpt-4o"},
    "baseten": {"kimi-k2", "gpt-oss-120b"},
    "openai": {"gpt-4o", "gpt-4.1", "gpt-5", "gpt-5.5", "o3"},
    "anthropic": {"claude-sonnet-4", "claude-sonnet-4.5", "claude-haiku-4.5", "claude-opus-4.7"},
    "google": {"gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-flash"},
    "mistral": {"mistral-medium-3", "mistral-large-3"},
    "deepseek": {"deepseek-v3", "deepseek-r1"},
}
DRAWS = 20_001


@pytest.fixture(scope="module")
def profiles() -> dict[str, Backend]:
    return {name: load_backend(str(file)) for name, file in zip(NAMES, FILES, strict=True)}


@pytest.fixture(params=NAMES)
def profile(request: pytest.FixtureRequest, profiles: dict[str, Backend]) -> Backend:
    return profiles[request.param]


def figures(backend: Backend) -> set[str]:
    """Names of the figures that a profile states, as its evidence must name them."""
    law = backend.law.measured
    named = {"ttft", "decode_rate"}
    named |= {key for key in ("ttft_input_tokens", "prefill_rate", "stall", "network") if getattr(law, key)}
    named |= {key for key in ("measured_from", "thinking", "drift") if getattr(law, key)}
    named |= {"limits"} if backend.limits else set()
    named |= {"price.batch"} if backend.price is not None and backend.price.batch is not None else set()
    named |= {f"variation.{key}" for key in ("between_runs", "between_calls") if getattr(law.variation, key)}
    named |= {key for key in ("context", "max_output", "price", "cache", "power", "errors") if getattr(backend, key)}
    return named | ({"status"} if backend.status == "retired" else set())


def sampled(points: Quantiles, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draws of a quantile table by docs/semantics.md: ln x linear in z, also beyond the outer points."""
    normal = NormalDist()
    z = np.array([normal.inv_cdf(p) for p, _ in points.points])
    y = np.log([x for _, x in points.points])
    u = rng.standard_normal(DRAWS)
    segment = np.clip(np.searchsorted(z, u) - 1, 0, len(z) - 2)
    slope = (y[segment + 1] - y[segment]) / (z[segment + 1] - z[segment])
    result: NDArray[np.float64] = np.exp(y[segment] + slope * (u - z[segment]))
    return result


def median_time(backend: Backend, thinking: int, output: int) -> float:
    """Median seconds from sending to the last of `thinking + output` tokens, at the TTFT's own input."""
    law, rng = backend.law.measured, np.random.default_rng(2026)
    assert isinstance(law.ttft, Quantiles) and isinstance(law.decode_rate, Quantiles)
    stall = np.zeros(DRAWS)
    if law.stall is not None:
        stall[rng.random(DRAWS) < law.stall.probability] = law.stall.duration.value
    slow = np.exp(law.variation.between_runs * rng.standard_normal(DRAWS))
    tokens = (thinking + max(0, output - 1)) / sampled(law.decode_rate, rng)
    return float(np.median((stall + sampled(law.ttft, rng) + tokens) * slow))


def test_the_catalogue_is_wide_enough() -> None:
    assert len(NAMES) >= 80
    for provider, models in WANTED.items():
        assert {f"{provider}/{model}" for model in models} <= set(NAMES)


def test_a_profile_is_named_like_its_file(profiles: dict[str, Backend]) -> None:
    for name, backend in profiles.items():
        model = name.split("/")[1].split("@")[0]
        assert (backend.name, backend.provider) == (name, name.split("/")[0])
        assert backend.model == model == model.lower()
        assert (backend.status == "historical") == ("@" in name)


def test_every_figure_has_evidence(profile: Backend) -> None:
    covered = {figure for entry in profile.evidence for figure in entry.figures}
    assert figures(profile) <= covered
    assert "total_500" in covered


def test_every_source_is_named_and_dated(profile: Backend) -> None:
    assert profile.as_of is not None and profile.description
    for entry in profile.evidence:
        assert entry.source.strip() and entry.date is not None
        assert entry.kind in ("measured", "published", "derived", "assumed")
        assert entry.url is None or entry.url.startswith("https://")
        assert entry.kind not in ("derived", "assumed") or entry.note, "says how, or why"


def test_quantiles_are_monotone_and_units_sane(profile: Backend) -> None:
    law = profile.law.measured
    assert isinstance(law.ttft, Quantiles) and isinstance(law.decode_rate, Quantiles)
    for table in (law.ttft, law.decode_rate):
        assert {0.05, 0.5, 0.95} <= {p for p, _ in table.points}
        assert all(a <= b for (_, a), (_, b) in zip(table.points, table.points[1:], strict=False))
    ttft = {p: x for p, x in law.ttft.points}
    assert 0.02 <= ttft[0.5] <= 60
    assert ttft[0.95] <= 5 * ttft[0.5], "a longer tail is a stall"
    assert all(0.5 <= rate <= 5000 for _, rate in law.decode_rate.points)
    assert law.prefill_rate is not None and 1000 <= law.prefill_rate <= 100_000
    assert profile.context is None or 2048 <= profile.context <= 10_000_000


def test_prices_are_sane(profile: Backend) -> None:
    if profile.price is None:
        return
    price = profile.price
    assert 0 < price.input <= price.output * 1.0001 <= 200e-6
    assert price.cached_input is None or 0 < price.cached_input <= price.input


def test_the_cited_total_is_met(profile: Backend) -> None:
    (cited,) = [entry.value for entry in profile.evidence if "total_500" in entry.figures]
    assert cited is not None
    assert median_time(profile, 0, 500) == pytest.approx(cited, rel=0.10)


def test_the_first_answer_after_thinking_is_met(profile: Backend) -> None:
    for entry in profile.evidence:
        if "first_answer_2000" in entry.figures:
            assert entry.value is not None
            assert median_time(profile, 2000, 1) == pytest.approx(entry.value, rel=0.10)


def test_the_measured_total_is_met(profiles: dict[str, Backend]) -> None:
    measured = [(b, e.value) for b in profiles.values() for e in b.evidence if "total_150" in e.figures]
    assert len(measured) >= 3
    for backend, value in measured:
        assert value is not None and median_time(backend, 0, 150) == pytest.approx(value, rel=0.10)


def test_cerebras_as_launched(profiles: dict[str, Backend]) -> None:
    for model, speed in (("llama-3.1-8b", 1800.0), ("llama-3.1-70b", 450.0)):
        launch = profiles[f"cerebras/{model}@2024-08"]
        table = launch.law.measured.decode_rate
        assert isinstance(table, Quantiles) and math.isclose({p: x for p, x in table.points}[0.5], speed)
        assert launch.as_of is not None and launch.as_of.isoformat() == "2024-08-27"

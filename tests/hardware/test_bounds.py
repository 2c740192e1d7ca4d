"""The worked example of 'How much AI inference can we do?' and single-user speeds of other architectures."""

import json
from pathlib import Path

import pytest

from agentflow.analysis.bounds import batch_for_rate, bounds, rate_for_price, usd_per_mtok
from agentflow.documents import load_deployment
from agentflow.errors import UsageError
from agentflow.hardware import token_time
from agentflow.report.roofline import bounds_table, plot_roofline


def test_worked_example_of_gpt_4() -> None:
    d = load_deployment("gpt-4-128xa100")
    b = bounds(d, batches=(1, 1024))
    assert b.flop == pytest.approx(560e9, rel=0.001)
    assert b.compute_bound == pytest.approx(557, rel=0.001)
    assert b.memory_bound == pytest.approx(3.64, rel=0.001)
    real = rate_for_price(4.9, 1.0)
    assert real == pytest.approx(56.7, rel=0.001)
    assert b.memory_bound < real < b.compute_bound
    batch = batch_for_rate(d, real)
    assert 5 < batch / 128 < 40
    assert b.points[1].usd_per_mtok == pytest.approx(usd_per_mtok(b.points[1].per_chip, 1.0))


def test_newer_chips_beside_it() -> None:
    rates = [bounds(load_deployment(f"gpt-4-128x{n}"), batches=(2048,)).points[0].per_chip
             for n in ("a100", "h100", "h200", "b200")]  # fmt: skip
    assert rates == sorted(rates)
    assert 1.3 < rates[2] / rates[1] < 1.8


def test_llama_70b_on_eight_h100() -> None:
    d = load_deployment("llama-3.1-70b-8xh100")
    rates = {}
    for context in (8_000, 32_000):
        b = bounds(d, context=context)
        assert b.compute_bound * 8 == pytest.approx(100_000, rel=0.15)  # input tokens/s, the bound
        assert b.estimate.bound == "kv"  # long prompts: caches take the bandwidth
        rates[context] = b.estimate.per_chip * 8
    assert rates[32_000] < 3200 < rates[8_000]  # output tokens/s


def test_shares_stay_below_the_peaks() -> None:
    for name in (
        "llama-3.1-70b-8xh100",
        "deepseek-v3-8xb200",
        "deepseek-v3-8xb200-mtp",
        "gpt-4-128xa100",
        "llada-8b-h100",
    ):
        for p in bounds(load_deployment(name)).points:
            assert 0 < p.compute_share < 1
            assert 0 < p.bandwidth_share < 1


def test_shares_count_what_drafts_and_refinements_compute() -> None:
    plain, drafted, diffused = (
        bounds(load_deployment(name), batches=(1,)).points[0]
        for name in ("deepseek-v3-8xb200", "deepseek-v3-8xb200-mtp", "llada-8b-h100")
    )
    assert drafted.compute_share > 2 * plain.compute_share  # four tokens checked in a step hardly longer
    assert diffused.compute_share > 0.5 > diffused.bandwidth_share


def test_out_of_reach() -> None:
    with pytest.raises(UsageError, match="never yields"):
        batch_for_rate(load_deployment("gpt-4-128xa100"), 600)


@pytest.mark.parametrize(
    ("name", "cited"),
    [
        ("groq-llama-3.1-8b", 751), ("groq-llama-3.1-70b", 250),
        ("cerebras-llama-3.1-8b", 1800), ("cerebras-llama-3.1-70b", 450),
        ("cerebras-llama-3.1-405b-speculative", 969),
        ("sambanova-llama-3.1-8b", 1042), ("sambanova-llama-3.1-70b", 457), ("sambanova-llama-3.1-405b", 129),
    ],
)  # fmt: skip
def test_single_user_speeds_within_a_quarter_of_the_cited(name: str, cited: float) -> None:
    assert 1 / token_time(load_deployment(name), 1, 600) == pytest.approx(cited, rel=0.25)


def test_json_table_and_plot(tmp_path: Path) -> None:
    b = bounds(load_deployment("llama-3.1-8b-h100"), usd_per_chip_hour=2.0)
    parsed = json.loads(json.dumps(b.to_json()))
    assert parsed["schema_version"] == 1
    assert len(parsed["points"]) == len(b.points) == bounds_table(b).row_count
    plot_roofline([b], tmp_path / "roofline.png")
    assert (tmp_path / "roofline.png").stat().st_size > 5000

"""Continuous batching against real vLLM runs and SimPy, and what the data sheet says of a step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agentflow.documents import load_chip, load_deployment, load_engine, load_model
from agentflow.engine.batching import Replica, StepTable, serve
from agentflow.hardware import (
    cache_blocks,
    decode_step_time,
    handover_seconds,
    iteration_table,
    memory_fit,
    prefill_time,
)
from agentflow.schema.deployment import Deployment
from agentflow.schema.quantities import BYTES
from benchmarks.batching_speed import agree
from benchmarks.hardware_data import data_folder
from benchmarks.serving_data import Run, read_runs
from benchmarks.serving_fit import Fit, errors, fit, from_data_sheet, predict
from benchmarks.validate_serving import BLIND, FIRST, OTHERS_MIXED, TARGETS

H100 = "llama-3.1-8b-h100"


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    folder = data_folder()
    file = folder / "serving" / "vllm_requests.csv" if folder else None
    if file is None or not file.exists():
        pytest.skip("serving/vllm_requests.csv is not here: set AGENTFLOW_DATA to the folder of the measurements")
    return read_runs(file)


@pytest.fixture(scope="module")
def made_up() -> Run:
    """A run whose law is known: the catalogue's, with other constants."""
    rng = np.random.default_rng(5)
    run = Run(
        "H100", "Qwen3-30B-A3B", 1, 2, 32, 1024, np.cumsum(rng.exponential(0.02, 90)),
        rng.integers(50, 2000, 90), rng.integers(20, 200, 90), np.zeros(90), np.zeros(90),
    )  # fmt: skip
    truth = Fit(run, 45)
    served = predict(run, truth.replica(truth.start * np.array([1.3, 0.8, 1.5, 1.0, 1.2, 0.7]), 1 << 30))
    return replace(run, first=served.first_token, last=served.finished)


def test_half_of_a_real_run_predicts_the_other_half(runs: list[Run]) -> None:
    assert {run.gpu for run in runs} >= set(TARGETS)
    for run in runs:
        if run.gpu in TARGETS:
            score = errors(run, predict(run, fit(run, FIRST)), slice(FIRST, None))
            assert all(s <= t for s, t in zip(score, TARGETS[run.gpu], strict=True)), (run.name, score)


def test_the_data_sheet_alone_predicts_real_runs(runs: list[Run]) -> None:
    for run in runs:
        e2e, _, _ = errors(run, predict(run, from_data_sheet(run, OTHERS_MIXED.get(run.gpu))), slice(None))
        assert e2e <= BLIND, (run.name, e2e)


def test_constants_that_made_a_run_are_found(made_up: Run) -> None:
    found = fit(made_up, 45)
    assert max(errors(made_up, predict(made_up, found), slice(45, None))) < 0.002


@pytest.mark.parametrize(("batch", "context"), [(1, 100.0), (16, 1000.0), (64, 4000.0)])
def test_plain_steps_are_decode_steps(batch: int, context: float) -> None:
    d = load_deployment(H100)
    t = iteration_table(d, 64, 512)
    seconds = t.plain_seconds[batch] + t.kv * batch * context
    assert seconds == pytest.approx(decode_step_time(d, batch, context), rel=0.01)


def test_a_prompt_alone_takes_its_prefill() -> None:
    d = load_deployment(H100)
    t = iteration_table(d, 8, 8192)
    for tokens in (3, 150, 333, 512, 2048, 5000, 8192):
        alone = t.mixed_seconds[tokens] + t.pair * tokens * (tokens + 1) / 2
        assert alone == pytest.approx(prefill_time(d, tokens), rel=0.01)


def test_blocks_are_what_vllm_says_on_an_80_gb_card() -> None:
    """Its log: 79.14 GiB in all, nine tenths of them taken, 54.93 GiB left for the cache of an 8B model in bf16."""
    d = Deployment(name="x", chip=load_chip("h100-sxm"), model=load_model("llama-3.1-8b"), engine=load_engine("vllm"))
    held = 16 * cache_blocks(d) * 32 * 2 * 8 * 128 * BYTES[d.kv]
    assert held / 2**30 == pytest.approx(54.93, rel=0.01)
    assert cache_blocks(d, utilisation=0.8) < cache_blocks(d)
    assert cache_blocks(d, 32) == cache_blocks(d) // 2
    apple = d.model_copy(update={"chip": load_chip("apple-m4-max")})
    assert 0 < cache_blocks(apple) * 16 < memory_fit(apple, 1.0).sequences


def test_blocks_follow_from_what_the_driver_shows() -> None:
    """An L4's 24 GiB are 22.03 with error correction; nine tenths of what is missing is missing in the cache."""
    d = Deployment(name="x", chip=load_chip("l4"), model=load_model("qwen3-4b"), engine=load_engine("vllm"))
    nominal = d.model_copy(update={"chip": d.chip.model_copy(update={"visible_memory": None})})
    assert d.chip.visible_memory == 22.03 * 2**30
    block = 16 * 36 * 2 * 8 * 128 * BYTES[d.kv]
    lost = 0.9 * (0.983 * 24 - 22.03) * 2**30
    assert (cache_blocks(nominal) - cache_blocks(d)) * block == pytest.approx(lost, rel=0.01)


def test_a_cache_is_handed_over_at_the_speed_of_the_links() -> None:
    d = load_deployment("llama-3.1-70b-8xh100")  # 320 KiB a token in bf16, an eighth on each chip
    link = d.chip.link_bandwidth * d.engine.constants(d.chip.family).link
    assert handover_seconds(d) == pytest.approx(320 * 1024 * BYTES[d.kv] / 2 / 8 / link)
    alone = d.model_copy(update={"chip": d.chip.model_copy(update={"link_bandwidth": None})})
    assert handover_seconds(alone) == float("inf")


def test_a_deployment_serves(made_up: Run) -> None:
    d = load_deployment(H100)
    t = iteration_table(d, 32, 1024)
    law = StepTable(t.plain_seconds, t.mixed_seconds, t.sequence, t.kv, t.mixed_kv, t.pair)
    served = serve(Replica(law, 1024, 32, cache_blocks(d)), made_up.arrival, made_up.prompt, made_up.output)
    assert (served.finished > served.first_token).all()


def test_equals_simpy_on_the_reference_workload() -> None:
    assert agree(60) < 1e-9

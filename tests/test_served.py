"""Workflows on deployments and on measured tables: seconds, tokens, joules and dollars by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentflow import documents, simulate
from agentflow.errors import CapacityError, DocumentError, UsageError
from agentflow.hardware import call_energy, deployment_law, serve
from agentflow.result import Result
from agentflow.schema import Backend
from tests import make

LLAMA = "deployments/llama-3.1-70b-8xh100"


def one_call(backend: Backend | str, tokens: int = 1000, output: int = 500, **more: Any) -> Result:
    step = make.chat(output, input_tokens=tokens, model="any", **more)
    return simulate(make.workflow({"ask": step}), backend, runs=1)


def components(result: Result) -> dict[str, float]:
    return dict(zip(result.components, result.critical_s[0].tolist(), strict=True))


def test_a_call_takes_what_the_hardware_room_says() -> None:
    d = documents.load_deployment("llama-3.1-70b-8xh100")
    load = serve(d, 16, 1000, 500)
    result = one_call(f"{LLAMA}@16")
    law = deployment_law(d, 16)
    found = components(result)
    assert found["decode"] == pytest.approx(499 * load.tpot, rel=1e-6)
    assert found["queue"] == pytest.approx(law.waiting)
    assert found["prefill"] == pytest.approx(load.ttft.prefill, rel=0.1)  # a quadratic of the prompt, fitted
    assert result.e2e_s[0] == pytest.approx(law.ttft(1000) + 499 * load.tpot, rel=1e-9)


def test_gaps_grow_with_the_answer() -> None:
    law = deployment_law(documents.load_deployment("llama-3.1-70b-8xh100"), 1)
    gaps = sum(law.token_fixed + law.token_per_context * (50_000 + i) for i in range(1, 20_000))
    found = one_call(LLAMA, 50_000, 20_000)
    assert components(found)["decode"] == pytest.approx(gaps, rel=1e-9)
    half = one_call(LLAMA, 50_000, 10_000)
    assert components(found)["decode"] > 2.005 * components(half)["decode"]


def test_a_cut_counts_the_tokens_whose_gaps_are_over() -> None:
    law = deployment_law(documents.load_deployment("llama-3.1-70b-8xh100"), 1)
    limit = law.ttft(50_000) + 25.0
    result = one_call(LLAMA, 50_000, 20_000, timeout=limit)
    gaps = np.cumsum(law.token_fixed + law.token_per_context * (50_000 + np.arange(1, 20_000)))
    assert result.output_tokens[0] == 1 + np.searchsorted(gaps, 25.0)
    assert 1000 < result.output_tokens[0] < 20_000


def test_more_load_is_waited_for_and_slows_down() -> None:
    alone, busy = (components(one_call(f"{LLAMA}@{load}")) for load in (1, 256))
    assert busy["queue"] > 3 * alone["queue"]
    assert busy["prefill"] == pytest.approx(alone["prefill"])
    assert busy["decode"] > 2 * alone["decode"]


def test_a_cached_prefix_is_not_prefilled_again() -> None:
    cold, warm = one_call(LLAMA, 30_000, 10), one_call(LLAMA, 30_000, 10, cached_input_tokens=29_000)
    assert warm.cached_input_tokens[0] == 28_992  # whole blocks of 16
    assert components(warm)["prefill"] < 0.2 * components(cold)["prefill"]
    assert components(warm)["decode"] == pytest.approx(components(cold)["decode"])  # it is attended to all the same


def test_speculation_and_diffusion_are_laws_like_others() -> None:
    plain, draft = (one_call(f"deployments/deepseek-v3-8xb200{kind}") for kind in ("", "-mtp"))
    assert components(draft)["decode"] < 0.8 * components(plain)["decode"]
    assert components(one_call("deployments/llada-8b-h100"))["decode"] > 0


def test_energy_is_that_of_the_tokens() -> None:
    d = documents.load_deployment("llama-3.1-70b-8xh100")
    joules = call_energy(d, 16, 1000, 500)
    assert joules is not None
    result = one_call(f"{LLAMA}@16", 2000, 100)
    assert result.energy_j is not None
    assert result.energy_j[0] == pytest.approx(2000 * joules[0] + 100 * joules[1])
    alone = one_call(LLAMA, 2000, 100)
    assert alone.energy_j is not None and alone.energy_j[0] > result.energy_j[0]  # a batch shares the weights' reads
    assert one_call(make.backend()).energy_j is None


def test_the_price_is_that_of_the_chips_time() -> None:
    d = documents.load_deployment("gpt-4-128xa100")
    result = one_call("deployments/gpt-4-128xa100@64", 1000, 500)
    load = serve(d, 64, 1000, 500)
    requests = load.tokens_per_second / 500
    assert result.cost_usd is not None
    assert result.cost_usd[0] == pytest.approx(128 * 1.0 / 3600 / requests, rel=1e-6)
    assert one_call(LLAMA).cost_usd is None  # its document gives no price


def test_a_table_is_read_between_its_rows() -> None:
    rows = [
        {"concurrency": c, "input_tokens": n, "ttft": 0.1 * c + n / 10_000, "tpot": 0.01 * c + n / 1e6}
        for c in (1, 9)
        for n in (1000, 3000)
    ]
    made = make.served("curves", {"table": {"concurrency": 5, "rows": rows}})
    found = components(one_call(made, 2000, 101))
    assert found["queue"] == pytest.approx(0.4)  # 0.5 s at this load less 0.1 s at the least
    assert found["prefill"] == pytest.approx(0.1 + 0.2)
    assert found["decode"] == pytest.approx(100 * (0.05 + 0.002))
    beyond, short = one_call(made, 5000, 101), one_call(made, 10, 101)
    assert components(beyond)["prefill"] == pytest.approx(0.1 + 0.5)
    assert "longest" in beyond.manifest["extrapolated"]
    assert components(short)["prefill"] == pytest.approx(0.2)
    assert "extrapolated" not in short.manifest


def test_a_table_does_not_guess_beyond_its_loads() -> None:
    rows = [{"concurrency": 1, "ttft": 0.1, "tpot": 0.01}, {"concurrency": 4, "ttft": 0.2, "tpot": 0.02}]
    with pytest.raises(ValueError, match="rows go from 1 to 4"):
        make.served("curves", {"table": {"concurrency": 5, "rows": rows}})
    with pytest.raises(ValueError, match="twice"):
        make.served("curves", {"table": {"rows": [*rows, rows[0]]}})


DOCUMENT = """schema_version: 1
name: own
provider: own
model: llama-3.1-70b
law:
  deployment: {deployment: %s, concurrency: 8}
"""


def problems(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        documents.parse_backend(text, "f.yaml")
    return str(caught.value)


def test_a_document_names_a_deployment_or_holds_one() -> None:
    named = documents.parse_backend(DOCUMENT % "llama-3.1-70b-8xh100")
    held = documents.parse_backend(
        DOCUMENT % "{name: own, chip: h100-sxm, model: llama-3.1-70b, engine: vllm, tensor_parallel: 8,"
        " weights: fp8, kv: fp8}"
    )
    assert one_call(named).e2e_s[0] == one_call(held).e2e_s[0] > one_call(LLAMA).e2e_s[0]
    assert documents.parse_backend(documents.dump(held)) == held


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("llama-3.1-70b-8xh10", "f.yaml:6:28: law.deployment.deployment: no deployment is named"),
        ("llama-3.1-70b-8xh10", "did you mean 'llama-3.1-70b-8xh100'?"),
        ("{name: x, chip: h100-smx, model: llama-3.1-70b}", "f.yaml:6:44: law.deployment.deployment.chip: no chip"),
        ("{name: x, chip: h100-sxm, model: llama-3.1-70b}", "tensor_parallel 2 would fit"),
        ("{name: x, chip: h100-sxm, model: llama-3.1-70b, tensor_paralel: 8}", "did you mean 'tensor_parallel'?"),
        ("{name: x, chip: h100-sxm, model: llama-3.1-8b, weights: fp9}", "no dtype is named 'fp9'"),
        ("{name: x, chip: {name: c, kind: gpu, family: f, flops: {bf16: 1 W}, memory: 1 GB, bandwidth: 1 GB/s},"
         " model: llama-3.1-8b}", "'W' is no unit of it"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(written: str, message: str) -> None:
    assert message in problems(DOCUMENT % written)


def test_one_law_and_no_more() -> None:
    assert "has more than one law" in problems(
        (DOCUMENT % "llama-3.1-70b-8xh100") + "  measured: {ttft: 1s, decode_rate: 50}\n"
    )
    assert "has no law" in problems(DOCUMENT.partition("  deployment")[0].rstrip() + " {}\n")


def test_a_deployment_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, name, text in (
        (
            "chips",
            "big",
            "{name: big, kind: gpu, family: hopper, flops: {bf16: 1 PFLOP/s}, memory: 1 TB, bandwidth: 9 TB/s}",
        ),
        ("deployments", "mine", "{name: mine, chip: big, model: llama-3.1-70b, engine: vllm}"),
    ):
        (tmp_path / "backends" / folder).mkdir(parents=True)
        (tmp_path / "backends" / folder / f"{name}.yaml").write_text(text)
    monkeypatch.setenv("AGENTFLOW_PATH", str(tmp_path))
    by_name = one_call("deployments/mine@4")
    by_path = one_call(str(tmp_path / "backends" / "deployments" / "mine.yaml") + "@4")
    assert by_name.e2e_s[0] == by_path.e2e_s[0]
    assert "mine" in documents.list_names("deployment")


def test_a_load_is_a_number() -> None:
    with pytest.raises(UsageError, match="such as @64"):
        one_call(f"{LLAMA}@many")
    assert one_call("deployments/phone-llama-3.2-3b@0.5").e2e_s[0] > 0  # half of the time nobody asks


def test_a_deployment_that_cannot_be_is_no_backend() -> None:
    d = documents.load_deployment("llama-3.1-70b-4090-offload").model_copy(update={"offloaded_layers": 0})
    with pytest.raises(CapacityError, match="would fit"):
        documents.served_backend(d, "x")

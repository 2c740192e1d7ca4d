"""Read the measured rows (they are not part of the repository) as deployments and loads.

Two sets, described in the data folder's README: Splitwise (Llama-2-70B on A100 and H100) and InferenceX
(serving engines on H100 to GB200). What the InferenceX rows encode in an odd way is normalised here, openly:
chips where tensor and expert parallelism were multiplied, recipes with speculative decoding that no column
marks, the release of the engine, and rows that no aggregated deployment can explain.
"""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from agentflow.documents import load_chip, load_model
from agentflow.hardware.capacity import memory_fit
from agentflow.schema.deployment import Deployment, Engine, Speculation

DRAFT_TOKENS = 3  # the published multi-token-prediction recipes draft two or three tokens
MODELS = {
    "DeepSeek-R1": "deepseek-v3",
    "DeepSeek-V3": "deepseek-v3",
    "DeepSeek-R1-NVFP4": "deepseek-v3",
    "Kimi-K2.5": "kimi-k2.5",
    "GLM-5": "glm-5",
    "Llama-3.1-70B": "llama-3.1-70b",
    "Llama-3.3-70B-Instruct": "llama-3.1-70b",
    "Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "Llama-3.1-8B-Instruct-FP8": "llama-3.1-8b",
    "MiniMax-M2.5": "minimax-m2.5",
    "Qwen3-235B-A22B-FP8": "qwen3-235b-a22b",
    "Qwen3-235B-A22B": "qwen3-235b-a22b",
    "Qwen3-32B": "qwen3-32b",
    "Qwen3-32B-FP8": "qwen3-32b",
    "Qwen3-32B-NVFP4": "qwen3-32b",
    "Qwen3.5-397B-A17B": "qwen3.5-397b-a17b",
    "gpt-oss-120b": "gpt-oss-120b",
    "gpt-oss-20b": "gpt-oss-20b",
}
CHIPS = {"h100_sxm": "h100-sxm", "h200_sxm": "h200-sxm", "b200_sxm": "b200-sxm", "b300_sxm": "b300-sxm",
         "gb200": "gb200", "gb300": "gb300", "a100_sxm": "a100-80gb", "l40s": "l40s"}  # fmt: skip


@dataclass(frozen=True)
class Serving:
    """One measured serving run: seconds."""

    deployment: Deployment
    engine: str
    concurrency: float
    input_tokens: float
    output_tokens: float
    ttft: float
    tpot: float
    unexplained: str = ""  # why no aggregated deployment can explain the row; empty for most

    @property
    def configuration(self) -> tuple[Any, ...]:
        """What was run, in whatever release; cross-validation keeps one configuration's runs together."""
        d = self.deployment
        shape = (d.chips, d.attention_data_parallel, d.expert_parallel, d.weights, d.expert_weights)
        return (
            self.pair,
            self.engine.split("-")[0],
            shape,
            self.input_tokens,
            self.output_tokens,
            self.concurrency,
        )

    @property
    def pair(self) -> str:
        """Chip and model."""
        return f"{self.deployment.chip.name} x {self.deployment.model.name}"


@dataclass(frozen=True)
class Kernel:
    """One measured prefill and decode step of Splitwise: seconds."""

    chip: str
    model: str
    tensor_parallel: int
    prompt: int
    batch: int
    output: int
    prefill: float
    decode: float

    @property
    def cell(self) -> tuple[Any, ...]:
        """The configuration; repeats share it."""
        return (self.chip, self.model, self.tensor_parallel, self.prompt, self.batch, self.output)


def data_folder() -> Path | None:
    """Where the measurements are, or None."""
    named = os.environ.get("AGENTFLOW_DATA")
    candidates = [Path(named)] if named else [up / "shared" / "data" for up in Path(__file__).resolve().parents]
    return next((path for path in candidates if (path / "hardware").is_dir()), None)


def _rows(path: Path) -> list[dict[str, str]]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def splitwise(folder: Path) -> list[Kernel]:
    """Splitwise cells, medians of repeats, without synthetic and anomalous (TP2, batch 64) rows."""
    cells: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    for row in _rows(folder / "hardware" / "splitwise_perf_model.csv"):
        chip = {"a100-80gb": "a100-80gb", "h100-80gb": "h100-sxm"}.get(row["hardware"])
        tensor, batch = int(row["tensor_parallel"]), int(row["batch_size"])
        if chip is None or (tensor == 2 and batch >= 64 and "llama" in row["model"]):
            continue
        key = (chip, row["model"], tensor, int(row["prompt_size"]), batch, int(row["token_size"]))
        cells.setdefault(key, []).append((float(row["prompt_time"]) / 1e3, float(row["token_time"]) / 1e3))
    out = []
    for key, times in cells.items():
        prefill, decode = (sorted(t[i] for t in times)[len(times) // 2] for i in (0, 1))
        out.append(Kernel(*key, prefill, decode))
    return out


def _number(text: str, default: float = 1.0) -> float:
    return float(text) if text not in ("", "nan") else default


def engine_release(backend: str, version: str) -> str:
    """Name the engine document that a version belongs to; rows without a version are from autumn 2025."""
    if backend == "trtllm":
        return "tensorrt-llm-1.0" if version.startswith("1.0") else (
            "tensorrt-llm-1.1" if version.startswith("1.1") or not version else "tensorrt-llm")  # fmt: skip
    if backend == "sglang":
        return "sglang-0.5.5" if not version else "sglang-0.5.6" if version.startswith("0.5.6") else "sglang"
    if version.startswith("0.12"):
        return "vllm-0.12"
    return "vllm-0.11" if not version or re.match(r"0\.(9|10|11)", version) else "vllm"


def _speculative(model: str, row: dict[str, str], chips: float, source: str) -> bool:
    """Recipes that draft tokens, known by image, date and shape, as no column says so.

    The rows of these recipes are twice as fast at small batch as the same configuration in a neighbouring
    release.
    """
    version, system, expert = row["backend_version"], row["system"], _number(row["moe_ep_size"])
    if model == "qwen3.5-397b-a17b":
        return row["precision"] == "fp8" and chips == 4 and expert <= 1
    if model != "deepseek-v3" or system == "gb200":
        return False
    if row["backend"] == "trtllm":
        dated = re.search(r"measured=(\d{4})", source)
        return version == "1.2.0rc6.post3" or (version.startswith("1.1") and bool(dated and dated[1] >= "2026"))
    sglang = row["backend"] == "sglang" and version == "0.5.9" and system == "b200_sxm" and row["precision"] == "fp8"
    return sglang and expert <= 1 and source.startswith("model=")


def _shape(row: dict[str, str], model: str, undo: bool = True) -> tuple[int, int, bool]:
    """Chips, attention data parallelism, whole experts: undoing tp x ep where both are the same chips."""
    tensor, data = _number(row["tp_size"]), _number(row["attention_dp_size"]) or 1.0
    slices, whole = _number(row["moe_tp_size"]) or 1.0, _number(row["moe_ep_size"]) or 1.0
    square = undo and slices > 1 and slices == whole and slices * whole in (tensor, data)
    wide = tensor == data > 1 and whole == tensor * data
    if square:
        return int(slices), int(slices) if data > 1 else 1, True
    if wide:
        return int(tensor), int(tensor), True
    if tensor < slices * whole and model == "qwen3-235b-a22b" and data == 1:
        return int(slices * whole), int(slices * whole / tensor), whole > 1
    return int(tensor * data), int(data), whole > 1


@cache
def _engine(name: str) -> Engine:
    return Engine(name=name)


def inferencex(folder: Path, infer_drafts: bool = True) -> list[Serving]:
    """InferenceX rows; a run that several dumps repeat, to within 0.5 %, counts once.

    Without `infer_drafts` no row is taken for one with speculative decoding, as no column says so.
    """
    kept: dict[tuple[Any, ...], list[Serving]] = {}
    for row in _rows(folder / "hardware" / "inferencex.csv"):
        name = MODELS.get(row["model_path"].split("/")[-1])
        if row["mode"] != "agg" or not row["silicon_tpot_ms"] or name is None or row["system"] not in CHIPS:
            continue
        found = _serving(row, name)
        if not infer_drafts:
            found = replace(found, deployment=found.deployment.model_copy(update={"speculation": None}))
        same = kept.setdefault(found.configuration, [])
        if not any(_close(found.tpot, r.tpot) and _close(found.ttft, r.ttft) for r in same):
            same.append(found)
    return [run for runs in kept.values() for run in runs]


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= 0.005 * b


def _serving(row: dict[str, str], name: str) -> Serving:
    found = _as_shaped(row, name, undo=True)
    if found.unexplained == TOO_SMALL:  # then the number was not a product
        found = _as_shaped(row, name, undo=False)
    return found


TOO_SMALL = "the weights do not fit the chips that the row states"


def _as_shaped(row: dict[str, str], name: str, undo: bool) -> Serving:
    source, model = row["silicon_data_source"], load_model(name)
    chips, data, whole = _shape(row, name, undo)
    dynamo = "gtl_" in source
    marked = re.search(r"silicon_concurrency=(\d+)", source)
    concurrency = float(marked[1]) if marked else _number(row["batch_size"])
    precision = row["precision"] or "bf16"
    narrow = precision in ("fp4", "int4")
    why = "Dynamo front end, tokens counted otherwise" if dynamo else ""
    if model.attention.heads % (chips // data) and not why:
        why = "tensor parallelism does not divide the heads: a disaggregated system's chips in all"
    moe = model.experts is not None
    disaggregated = why.endswith("in all")
    if disaggregated:  # half of the chips decode, attention data-parallel and experts over all of them
        chips = data = chips // 2
    deployment = Deployment(
        name="row",
        chip=load_chip(CHIPS[row["system"]]),
        model=model,
        engine=_engine(engine_release(row["backend"], row["backend_version"])),
        tensor_parallel=max(chips // data, 1),
        attention_data_parallel=data,
        expert_parallel=(whole or disaggregated) and moe,
        weights="bf16" if narrow and moe else precision,  # type: ignore[arg-type]
        expert_weights=precision,  # type: ignore[arg-type]
        kv="bf16" if precision == "bf16" else "fp8",
        speculation=Speculation(draft_tokens=DRAFT_TOKENS, tokens_per_step=2.3)
        if _speculative(name, row, chips, source)
        else None,
        max_batch=100_000,
        disaggregated=disaggregated,
    )
    engine = engine_release(row["backend"], row["backend_version"])
    fit = memory_fit(deployment, float(row["isl"]) + float(row["osl"]))
    if fit.sequences < 1 and not why:
        why = TOO_SMALL
    ttft, tpot = float(row["silicon_ttft_ms"]) / 1e3, float(row["silicon_tpot_ms"]) / 1e3
    return Serving(deployment, engine, concurrency, float(row["isl"]), float(row["osl"]), ttft, tpot, why)

"""Real runs of vLLM, request by request: read a table of them, and find what ran in the catalogue.

A table has a row a request with the columns of ``serving/vllm_requests.csv``: gpu, model, tp, dp, max_num_seqs,
max_num_batched_tokens, input_tokens, output_tokens, arrival_s, first_token_s, last_token_s; ep and dtype may be there.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agentflow.documents import list_names, load_chip, load_engine, load_model
from agentflow.errors import UsageError, did_you_mean, listed, quoted
from agentflow.plan.layout import F64, I64
from agentflow.schema.deployment import Deployment

NUMBERS = ("arrival_s", "input_tokens", "output_tokens", "first_token_s", "last_token_s")
NEEDED = ("gpu", "model", "max_num_seqs", "max_num_batched_tokens", *NUMBERS)
SETTINGS = ("gpu", "model", "tp", "dp", "ep", "dtype", "max_num_seqs", "max_num_batched_tokens")
DTYPES = {"": None, "auto": None, "bfloat16": "bf16", "bf16": "bf16", "float16": "bf16", "fp16": "bf16", "half": "bf16"}
DTYPES |= {name: "fp8" for name in ("fp8", "float8", "float8_e4m3", "float8_e4m3fn", "fp8_e4m3", "fp8_e4m3fn")}
DTYPES |= {"int8": "int8", "int4": "int4", "awq": "int4", "fp4": "fp4", "nvfp4": "fp4"}
USUAL = {
    "a100": "a100-80gb", "h100": "h100-sxm", "h200": "h200-sxm", "b200": "b200-sxm", "b300": "b300-sxm",
    "v100": "v100-32gb", "3090": "rtx-3090", "4090": "rtx-4090", "5090": "rtx-5090", "a6000": "rtx-a6000",
    "6000ada": "rtx-6000-ada", "rtx6000pro": "rtx-pro-6000", "pro6000": "rtx-pro-6000", "gb10": "dgx-spark",
}  # fmt: skip
"""Chips of several kinds, and the one that is meant where a table does not say which; and names that are shortened."""

MAKERS = re.compile(
    r"nvidia|geforce|\bamd\b|instinct|tesla|blackwell|server edition|(?<=max-q) workstation|\bedition|generation"
    r"|hbm\d\w?|sxm\d?|\boam\b"
)
MEMORY = re.compile(r"\b\d+ ?gb\b")
VARIANTS = re.compile(
    r"-(instruct|thinking|chat|coder|hf|it|qat|base|bf16|fp16|fp8|nvfp4|dynamic|awq|gptq|int[48]|w\d+a\d+"
    r"|quantized\.w\d+a\d+|1m|\d{4}|v0[\d.]*)(?=-|$)"
)
NARROW = (("fp8", "fp8"), ("nvfp4", "fp4"), ("awq|int4|w4a16", "int4"), ("int8|w8a8", "int8"))
"""What a model's name says of its weights."""

DISTILLED = re.compile(r"^deepseek-r1(-\d{4})?(-distill)?-(?=qwen|llama)")
STUDENTS = {"qwen-7b": "qwen2.5-7b", "qwen-14b": "qwen2.5-14b", "qwen-32b": "qwen2.5-32b",
            "llama-8b": "llama-3.1-8b", "llama-70b": "llama-3.1-70b"}  # fmt: skip
"""What the models are that were distilled from DeepSeek R1."""

SAME = {"llama-3.3-70b": "llama-3.1-70b", "llama-3-70b": "llama-3.1-70b", "llama-3-8b": "llama-3.1-8b",
        "mistral-small-3.1-24b": "mistral-small-24b", "mistral-small-3.2-24b": "mistral-small-24b",
        "deepseek-r1": "deepseek-v3", "deepseek-v3.1": "deepseek-v3",
        "llama-4-scout-17b-16e": "llama-4-scout", "llama-4-maverick-17b-128e": "llama-4-maverick"}  # fmt: skip
"""Other models of an architecture that the catalogue has, and longer names."""

TENSOR_PARALLEL = {("RTXPRO6000", "Qwen3-32B"): 2}
"""Where the shared table's column is wrong: it says 1, but the run's own configuration says 2 (LLMServingSim,
bench/examples/RTXPRO6000/Qwen3-32B/config.json), and one such card cannot read 65 GB in 25 ms."""


@dataclass(frozen=True)
class Run:
    """One run; columns by request in the order of arrival, in seconds and tokens."""

    gpu: str
    model: str
    tensor_parallel: int
    replicas: int
    max_sequences: int
    token_budget: int
    arrival: F64
    prompt: I64
    output: I64
    first: F64
    last: F64
    expert_parallel: bool = False
    weights: str | None = None
    chip_named: str | None = None
    model_named: str | None = None

    @property
    def name(self) -> str:
        """What ran on what."""
        return f"{self.model} on {self.replicas * self.tensor_parallel} x {self.gpu}"


def read_runs(file: Path, chips: Mapping[str, str] | None = None, models: Mapping[str, str] | None = None) -> list[Run]:
    """Read a table; requests without an answer are left out.

    Parameters
    ----------
    file : Path
    chips, models : mapping
        What the table's names mean in the catalogue, or the paths of documents; under "" for all other names.

    Raises
    ------
    UsageError
        If a column is missing, a value is no number, or no request was answered.
    """
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    missing = [name for name in NEEDED if not rows or name not in rows[0]]
    if missing:
        raise UsageError(f"{file}: no column {listed(missing)}; a row a request needs {listed(NEEDED)}")
    answered = [row for row in rows if all((row[name] or "").strip() for name in NUMBERS)]
    keys = dict.fromkeys(tuple(row.get(name) or "" for name in SETTINGS) for row in answered)
    if not keys:
        raise UsageError(f"{file}: no request has {listed(NUMBERS)}")
    runs = []
    for key in keys:
        own = [row for row in answered if tuple(row.get(name) or "" for name in SETTINGS) == key]
        try:
            run = _run(dict(zip(SETTINGS, key, strict=True)), own)
        except ValueError as error:
            raise UsageError(f"{file}: {key[1]} on {key[0]}: {error}") from None
        runs.append(_named(run, chips or {}, models or {}))
    return runs


def _run(settings: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> Run:
    rows = sorted(rows, key=lambda r: float(r["arrival_s"]))
    column = {name: np.array([float(r[name]) for r in rows]) for name in NUMBERS}
    keep = (column["output_tokens"] >= 1) & (column["input_tokens"] >= 1)
    column = {name: values[keep] for name, values in column.items()}
    dtype = settings["dtype"].strip().lower().removeprefix("torch.")
    if dtype not in DTYPES:
        raise ValueError(f"the dtype {quoted(dtype)} is not known; there are {listed(sorted(filter(None, DTYPES)))}")
    gpu, model = settings["gpu"], settings["model"]
    tensor = _whole(settings["tp"])
    return Run(
        gpu,
        model,
        TENSOR_PARALLEL.get((gpu, model), tensor) if tensor == 1 else tensor,
        _whole(settings["dp"]),
        _whole(settings["max_num_seqs"]),
        _whole(settings["max_num_batched_tokens"]),
        column["arrival_s"],
        column["input_tokens"].astype(np.int64),
        column["output_tokens"].astype(np.int64),
        column["first_token_s"],
        column["last_token_s"],
        settings["ep"].strip().lower() in ("true", "1", "yes"),
        next((weights for said, weights in NARROW if re.search(said, model.lower())), DTYPES[dtype]),
    )


def _whole(text: str) -> int:
    """Read a count that may be missing (1) or written as a float."""
    return int(float(text)) if text.strip() else 1


def _named(run: Run, chips: Mapping[str, str], models: Mapping[str, str]) -> Run:
    return replace(run, chip_named=chips.get(run.gpu, chips.get("")), model_named=models.get(run.model, models.get("")))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())


def catalogue_chip(gpu: str) -> str:
    """Find a table's GPU in the catalogue.

    Raises
    ------
    UsageError
        If none is like it, or several are.
    """
    short = MAKERS.sub("", gpu.lower().replace("_", " "))
    wanted, bare = _plain(short), _plain(MEMORY.sub("", short))
    known = list_names("chip")
    found = [name for name in known if _plain(name) == wanted]
    if not found:
        found = [USUAL[bare]] if bare in USUAL else [name for name in known if _plain(name) == bare]
    return _only(found, "chip", gpu, known)


def catalogue_model(model: str) -> str:
    """Find a table's model in the catalogue, whatever its maker's prefix and its variant.

    Raises
    ------
    UsageError
        If none is like it, or several are.
    """
    short = model.lower().split("/")[-1].removeprefix("meta-")
    bare = DISTILLED.sub("", short)
    name = VARIANTS.sub("", bare)
    name = STUDENTS.get(name, name) if bare != short else SAME.get(name, name)
    wanted = _plain(name)
    known = list_names("model")
    return _only([name for name in known if _plain(name) == wanted], "model", model, known)


def _only(found: Sequence[str], kind: str, written: str, known: Sequence[str]) -> str:
    if len(found) == 1:
        return found[0]
    near = did_you_mean(written.lower(), known)
    several = f"it may be {listed(found)}" if found else f"did you mean {quoted(near)}?" if near else ""
    raise UsageError(
        f"the catalogue has no one {kind} called {quoted(written)}; {several + '; ' if several else ''}"
        f"write --{kind} {shlex.quote(written + '=NAME')}, or the path of a document of your own for NAME "
        f"(`agentflow list {kind}s` names them, `agentflow schema {kind}` says what it has)"
    )


def deployment(run: Run) -> Deployment:
    """Make what ran from the catalogue's documents.

    Data-parallel engines share the experts of a mixture: vLLM slices or spreads those over all of them, and they step
    together, so that one deployment stands for all. Engines of a dense model have nothing in common: it stands for one.

    Raises
    ------
    AgentflowError
        If chip or model are not known, or do not fit one another.
    """
    model = load_model(run.model_named or catalogue_model(run.model))
    experts = model.experts is not None
    # A table's dtype is that of activations; weights that are published in fewer bits stay as they are.
    weights = None if run.weights == "bf16" and model.weights != "bf16" else run.weights
    return Deployment(
        name="run",
        chip=load_chip(run.chip_named or catalogue_chip(run.gpu)),
        model=model,
        engine=load_engine("vllm"),
        tensor_parallel=run.tensor_parallel,
        attention_data_parallel=run.replicas if experts else 1,
        expert_parallel=run.expert_parallel and experts and run.tensor_parallel * run.replicas > 1,
        weights=weights,  # type: ignore[arg-type]  # a document's word, which the schema looks at
    )

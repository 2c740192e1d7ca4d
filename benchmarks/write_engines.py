"""Fit the engines' constants on the measured rows and write ``backends/engines/*.yaml``.

python -m benchmarks.write_engines
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import splitwise_fit
from benchmarks.hardware_data import data_folder, inferencex, splitwise
from benchmarks.hardware_fit import DECODE, FIRST, HANDED_ON, RESERVED, Fitted, fit_serving, table

ENGINES = Path(__file__).resolve().parent.parent / "backends" / "engines"
TITLES = {
    "vllm": "vLLM 0.15 to 0.19 (2026).",
    "vllm-0.12": "vLLM 0.12 (end of 2025) as NVIDIA's own comparison ran it.",
    "vllm-0.11": "vLLM of autumn 2025, up to 0.11.",
    "sglang": "SGLang 0.5.9 and later (2026).",
    "sglang-0.5.6": "SGLang 0.5.6.",
    "sglang-0.5.5": "SGLang of November 2025; its first tokens waited seconds for kernels to compile.",
    "tensorrt-llm": "TensorRT-LLM 1.2 and later (2026).",
    "tensorrt-llm-1.1": "TensorRT-LLM 1.1 (2025).",
    "tensorrt-llm-1.0": "TensorRT-LLM 1.0.",
}
INFERENCEX = "InferenceX, 2025-10 to 2026-04, ai-dynamo/aiconfigurator @095f58a silicon_sample.csv (Apache-2.0)"
IN_MODEL = 0.75 * 989 / 780
"""What Hopper's fitted `compute` is of the best product there: 780 of 989 TFLOP/s, H100 (gist Chillee/2ec89696)."""
READS = (921.3 / 1008) / (1727.5 / 1935)
"""Share of its bandwidth at which GDDR6X is read over that of HBM: clpeak on an RTX 4090, PyTorch on an A800."""
PCIE = {"allreduce_latency": 24.6e-6, "link": round(22.2 / 64, 3)}
BOARDS = {
    "ada": {"compute": min(1.0, round(IN_MODEL * 179.2 / 165, 3)), **PCIE},
    "consumer-blackwell": {"compute": round(IN_MODEL * 457.6 / 503.8, 3), **PCIE},
    "consumer-ampere": {"compute": round(IN_MODEL * 81 / 80, 3), **PCIE},
    "workstation-ampere": {"compute": round(IN_MODEL * 95 / 154.8, 3), **PCIE},
    "hopper-pcie": PCIE,
    "turing": PCIE,
}
"""Boards without NVLink, from kernels alone: 16-bit products on four cards, NCCL's all-reduce over PCIe 5."""
MEASURED = ("ada", "consumer-blackwell")
READ_FASTER = {"ada": ("bandwidth", "kv_bandwidth")}
BOARD_SOURCE = (
    "Hopper's constants but for compute, link, allreduce_latency and, on Ada, bandwidths: best bf16 products by "
    "cuBLASLt (xzwgit/gpu-flops-bench @14a1e5e, README: RTX 4090 179.2, RTX PRO 6000 457.6 TFLOP/s) times 0.95, "
    "what a model reaches of them on Hopper; NCCL's default all-reduce among RTX PRO 6000 on PCIe 5 "
    "(voipmonitor/rtx6kpro @29f3863: 22.2 GB/s of 64 at 32 MB, 24.6 microseconds for 256 bytes among eight cards,"
    " 14.1 among four); memory read at 921 of 1008 GB/s by clpeak on an RTX 4090 (krrishnarraj/clpeak #106) over "
    "1727 of 1935 by PyTorch on an A800 (mli/transformers-benchmarks #4)"
)
OLDER_SOURCE = (
    "as consumer-blackwell, with best fp16 products by PyTorch (mli/transformers-benchmarks @04df81d, README: RTX 3090 "
    "Ti 81 TFLOP/s of 80 that accumulate in fp32, RTX A6000 95 of 154.8); on PCIe boards of Hopper and on Turing "
    "products are Hopper's, as no measurement of them was found"
)
SPLITWISE = "Splitwise, Mutinifni/splitwise-sim @8f99e7d, data/perf_model.csv (MIT)"


class _Plain(yaml.SafeDumper):
    """Without anchors: the catalogue is read by a loader that refuses them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def engine_document(fitted: Fitted, name: str, rows: int) -> dict[str, Any]:
    """One release's constants on both families."""
    names = fitted.decode.names
    families: dict[str, dict[str, float]] = {}
    for family in names["f"]:
        groups = {
            "e": np.array([names["e"].index(name)]),
            "g": np.array([names["g"].index(name.split("-")[0])]),
            "f": np.array([names["f"].index(family)]),
        }
        values = fitted.constants(groups)
        families[family] = {k: _round(float(np.ravel(v)[0])) for k, v in values.items() if k != "tokens_per_step"}
        families[family]["handed_on"] = HANDED_ON
        families[family]["reserved_output"] = RESERVED[name.split("-")[0]]
        if name == "vllm-0.11":
            # Seven runs with 512 clients stream about 20,000 tokens/s whatever the chips: one API server
            # process.
            families[family]["frontend_rate"] = 20_000
    families["hopper-low-latency"] = families["hopper"] | {
        "allreduce_latency": families["hopper"]["allreduce_latency"] / 10
    }
    boards = BOARDS if name == "vllm" else {}
    families |= {family: families["hopper"] | changed for family, changed in boards.items()}
    for family in boards:
        families[family] |= {k: _round(families["hopper"][k] * READS) for k in READ_FASTER.get(family, ())}
    return {
        "schema_version": 1,
        "name": name,
        "description": TITLES[name],
        "default": families["hopper"],
        "families": families,
        "evidence": [
            {
                "figures": sorted((DECODE | FIRST).keys() - {"tokens_per_step"}),
                "source": INFERENCEX,
                "n": rows,
                "kind": "fitted",
                "note": "relative errors of TPOT and TTFT, all engines together; see docs/validation.md",
            },
            {
                "figures": ["default"],
                "source": "Hopper's constants, for families without measurements",
                "kind": "assumed",
            },
            {"figures": ["handed_on"], "source": "kernels as in the engines' model code, not fused", "kind": "assumed"},
            *(_boards_evidence() if boards else []),
        ],
    }


def _boards_evidence() -> list[dict[str, Any]]:
    older = sorted(BOARDS.keys() - set(MEASURED))
    return [
        {"figures": sorted(MEASURED), "source": BOARD_SOURCE, "kind": "assumed"},
        {"figures": older, "source": OLDER_SOURCE, "kind": "assumed"},
    ]


def main() -> None:
    folder = data_folder()
    if folder is None:
        raise SystemExit("set AGENTFLOW_DATA to the folder with the measurements")
    rows = [
        r for r in inferencex(folder) if not r.unexplained and not (r.engine == "vllm-0.11" and r.concurrency >= 512)
    ]
    fitted = fit_serving(table(rows))
    documents = [
        engine_document(fitted, name, sum(r.engine == name for r in rows)) for name in fitted.decode.names["e"]
    ]
    kernels = splitwise(folder)
    early = splitwise_fit.fit(kernels)
    families = {
        family: {
            k: _round(v) for k, v in c.model_dump().items() if k in (*splitwise_fit.SPEC, "large_message", "handed_on")
        }
        for family, c in early.items()
    }
    documents.append(
        {
            "schema_version": 1,
            "name": "vllm-0.2",
            "description": "vLLM of 2023: a Python host launches each kernel and samples each sequence.",
            "default": families["hopper"],
            "families": families,
            "evidence": [{"figures": [*splitwise_fit.SPEC], "source": SPLITWISE, "n": len(kernels), "kind": "fitted"}],
        }
    )
    for document in documents:
        text = yaml.dump(document, Dumper=_Plain, sort_keys=False, width=118, allow_unicode=True)
        (ENGINES / f"{document['name']}.yaml").write_text(text)
    print({name: _round(float(np.exp(v))) for name, v in _accepted(fitted).items()})


def _accepted(fitted: Fitted) -> dict[str, float]:
    """Log tokens a step of multi-token prediction, by engine."""
    (_, first), (_, groups) = fitted.decode.at["tokens_per_step"]
    return {g: fitted.decode_at[first] + fitted.decode_at[groups + i] for i, g in enumerate(fitted.decode.names["g"])}


if __name__ == "__main__":
    main()

"""Single-user speeds that others cite, each with its source; `benchmarks.hardware_tables` compares."""

from __future__ import annotations

from typing import Any

AA_2024 = "Artificial Analysis, in SambaNova's blog, 2024-09-10"
AA_2025 = "Artificial Analysis, median, 2025-08-14"

# deployment, cited tokens/s of one user, source, what was fitted on it
CITED: list[tuple[str, float, str, str]] = [
    ("groq-llama-3.1-8b", 751, AA_2024, "layer_overhead"),
    ("groq-llama-3.1-70b", 250, AA_2024, "bandwidth"),
    ("cerebras-llama-3.1-8b", 1800, "Cerebras blog, 2024-08-27", "mesh_latency"),
    ("cerebras-llama-3.1-70b", 450, "Cerebras blog, 2024-08-27", "mesh_latency"),
    ("cerebras-llama-3.1-70b-speculative", 2148, "D. Kim, How is Cerebras so Fast?, late 2024", "tokens_per_step"),
    ("cerebras-llama-3.1-405b-speculative", 969, "Artificial Analysis, in Tom's Hardware, 2024-11-20", ""),
    ("sambanova-llama-3.1-8b", 1042, AA_2024, "layer_overhead"),
    ("sambanova-llama-3.1-70b", 457, AA_2024, "tokens_per_step"),
    ("sambanova-llama-3.1-405b", 129, AA_2024, ""),
    ("taalas-llama-3.1-8b", 15600, "trade press, 2026", "layer_overhead"),
    ("petals-bloom-176b", 1, "Petals README, 2023: about one step a second", "link_latency"),
    ("petals-llama-2-70b", 5.5, "Petals README, 2023-07: 5 to 6 steps a second for LLaMA 65B, of the same layers", ""),
    ("phi-4-epyc", 28.7, "ahelpme.com, llama.cpp, 2025", "bandwidth"),
]

# Llama 2 7B Q4_0 in llama.cpp: chip, tokens/s, what was fitted on it
LLAMA_CPP: list[tuple[str, float, str]] = [
    ("apple-m2-ultra", 94.3, "a family's two constants"), ("apple-m3-ultra", 92.1, "a family's two constants"),
    ("apple-m4-max", 83.1, "a family's two constants"), ("rtx-4090", 189.0, "layer_overhead"),
    ("rtx-5090", 300.4, "layer_overhead"), ("h100-sxm", 280.7, "layer_overhead"),
    ("a100-80gb", 200.9, "layer_overhead"),
    ("dgx-spark", 57.2, ""),
]  # fmt: skip

_LPU: dict[str, Any] = {"weights": "int8", "kv": "int8"}
# chip, model, engine, deployment, cited tokens/s, source
OTHERS: list[tuple[str, str, str, dict[str, Any], float, str]] = [
    ("groq-lpu", "llama-2-7b", "groq", {"pipeline_parallel": 40} | _LPU, 750, "TechPowerUp, 2024-02"),
    ("groq-lpu", "llama-2-70b", "groq", {"pipeline_parallel": 576} | _LPU, 300, "TechPowerUp, 2024-02"),
    ("groq-lpu", "mixtral-8x7b", "groq", {"pipeline_parallel": 320} | _LPU, 480, "TechPowerUp, 2024-02"),
    ("groq-lpu", "gpt-oss-120b", "groq", {"pipeline_parallel": 1000} | _LPU, 539, AA_2025),
    ("groq-lpu", "qwen3-32b", "groq", {"pipeline_parallel": 300} | _LPU, 600, AA_2025),
    ("cerebras-wse3", "gpt-oss-120b", "cerebras", {"pipeline_parallel": 8}, 1707, AA_2025),
    ("sambanova-sn40l", "qwen3-32b", "sambanova", {"tensor_parallel": 16}, 349, AA_2025),
]  # fmt: skip

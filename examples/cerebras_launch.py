"""How many times faster was Cerebras at its launch, end to end, and why less than the ratio of tokens a second?

Claim: 1,800 tokens/s for Llama 3.1 8B and 450 for 70B, 20 times faster than clouds of GPUs (Cerebras, "Introducing
Cerebras Inference: AI at Instant Speed", 2024-08-27).
From the shell: agentflow compare prompt-chain-8 --backend cerebras/llama-3.1-70b@2024-08 --backend
groq/llama-3.1-70b@2024-09 --backend fireworks/llama-3.1-70b@2024-09

The same chain of eight on each backend of that month, over the same random numbers. Together has no profile of that
month; its own of August 2025 stands in, marked +. The H100 server is the roofline of this package at 16 requests at a
time with vLLM of 2026, which is faster than that of the month: a bound in favour of the GPU, marked *.
"""

from __future__ import annotations

import textwrap

from agentflow import Comparison, compare
from agentflow.result import TOKEN_KINDS

LAUNCH = {
    "8b": ("cerebras/llama-3.1-8b@2024-08", "sambanova/llama-3.1-8b@2024-09", "groq/llama-3.1-8b@2024-09",
           "fireworks/llama-3.1-8b@2024-09", "together/llama-3.1-8b", "deployments/llama-3.1-8b-h100@16"),
    "70b": ("cerebras/llama-3.1-70b@2024-08", "sambanova/llama-3.1-70b@2024-09", "groq/llama-3.1-70b@2024-09",
            "fireworks/llama-3.1-70b@2024-09", "together/llama-3.1-70b", "deployments/llama-3.1-70b-8xh100-bf16@16"),
}  # fmt: skip
OUTPUT = TOKEN_KINDS.index("output")
MARKS = {"together": "+", "deployments": "*"}
GROUPS = {
    "GPUs of that month": ("fireworks",),
    "GPUs of later (+, *)": ("together", "deployments"),
    "other chips of that month": ("groq", "sambanova"),
}


def speeds(comparison: Comparison) -> list[float]:
    """Return the output tokens a second of decoding in each case: tokens over decode time, all calls together."""
    index = comparison.cases[0].result.components.index("decode")
    results = [case.result for case in comparison.cases]
    return [float(r.step_tokens[:, OUTPUT].sum() / r.step_component_s[:, index].sum()) for r in results]


def span(ratios: list[float]) -> str:
    """Write `3.5`, or `1.3 to 1.4`."""
    low, high = f"{min(ratios):.1f}", f"{max(ratios):.1f}"
    return low if low == high else f"{low} to {high}"


def main() -> None:
    """Print the two ratios for each rival, and what of Cerebras' own time is not decoding."""
    verdicts = []
    for size, backends in LAUNCH.items():
        found = compare("prompt-chain-8", backends, runs=10_000, seed=2, baseline=backends[0])
        speed, fastest = speeds(found), found.cases[0]
        print(f"Llama 3.1 {size}{'':29} tok/s    p50 in s  Cerebras is faster, end to end  by tok/s")
        ratios = {}
        for case, rate in zip(found.cases, speed, strict=True):
            name = case.label + MARKS.get(case.label.partition("/")[0], "")
            p50, times = case.summary.e2e_s["p50"], case.speedup["p50"]
            assert times is not None and times.low is not None and times.high is not None
            ratio = f"{1 / times.value:.2f} [{1 / times.high:.2f}, {1 / times.low:.2f}] times"
            print(f"  {name:42}{rate:6,.0f}  {p50.value:9.2f}  {ratio:>31}  {speed[0] / rate:8.2f}")
            ratios[name] = (1 / times.value, speed[0] / rate)
        decode = sum(row.get("decode", 0.0) for row in fastest.summary.critical_mean_s.values())
        rest = 1 - decode / fastest.summary.e2e_s["mean"].value
        told = []
        for group, providers in GROUPS.items():
            rivals = [pair for name, pair in ratios.items() if name.partition("/")[0] in providers]
            ends, rates = ([pair[i] for pair in rivals] for i in (0, 1))
            told.append(f"{span(ends)} times as fast end to end as {group}, where tokens/s say {span(rates)}")
        verdicts.append(
            f"{size} is {'; '.join(told)}; {rest:.0%} of the time on Cerebras is not decoding but prefill, network and "
            "queue"
        )
        print()
    print(textwrap.fill("Verdict: " + ". ".join(verdicts) + ".", 100))


if __name__ == "__main__":
    main()

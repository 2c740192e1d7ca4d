"""Reasoning models: what does thinking cost in seconds along a chain?

Claim: reasoning models answer better and think for a moment first; in a chain the moments add up (no single source).
From the shell: agentflow compare reasoning --backend cerebras/gpt-oss-120b --backend together/gpt-oss-120b

The catalogue's chain of eight with each call thinking at an effort: as many hidden tokens as the profile says for it
(medians derived from the TTFT with and without thinking, Artificial Analysis 2026-07). gpt-oss-120b has no measured
effort: it thinks 1,500 tokens a call (p95 2,840, the spread of hidden reasoning over all hosts; assumed), on five
hosts of very different speed. No model thinks better here: only the wait and its price are computed.
"""

from __future__ import annotations

import textwrap

from agentflow import Result, Workflow, load_workflow, simulate, summarize
from agentflow.schema import Distribution, LogNormal

EFFORTS = {
    "openai/gpt-5": ("low", "medium", "high"),
    "openai/gpt-5-mini": ("medium", "high"),
    "anthropic/claude-sonnet-4.5": ("usual",),
}
HOSTS = ("cerebras", "groq", "fireworks", "together", "azure")
USUAL = LogNormal(mu=7.3132, sigma=0.388)  # median 1,500, p95 2,840


def chain(effort: str | None = None, tokens: Distribution | None = None) -> Workflow:
    """Return the chain with each call thinking at an effort, or so many tokens; no bound on tokens, time or attempt."""
    whole = load_workflow("prompt-chain-8")
    thinking = {"effort": effort, "reasoning_tokens": tokens}
    steps = {name: step.model_copy(update=thinking) for name, step in whole.steps.items()}
    calm = whole.defaults.model_copy(update={"timeout": None})
    return whole.model_copy(update={"steps": steps, "defaults": calm, "budget": None})


def row(label: str, result: Result, plain: Result) -> float:
    """Print one line; return the seconds that thinking adds to the median."""
    p50, p95 = (summarize(result).e2e_s[name] for name in ("p50", "p95"))
    added = p50.value - summarize(plain).e2e_s["p50"].value
    cost = result.cost_usd.mean() if result.cost_usd is not None else float("nan")
    share = (result.critical_s[:, result.components.index("reasoning")].sum()) / result.e2e_s.sum()
    told = f"{p50.value:.0f} [{p50.low:.0f}, {p50.high:.0f}]"
    print(f"{label:42}{told:>16}{p95.value:7.0f}{added:+9.0f}{added / 8:+8.1f}{share:9.0%}{cost:10.4f}")
    return added


def main() -> None:
    """Print each effort beside no thinking, then one model's thinking on five hosts."""
    print(f"{'seconds, eight links':42}{'p50':>16}{'p95':>7}{'added':>9}{'a link':>8}{'thinking':>9}{'$ a run':>10}")
    for backend, efforts in EFFORTS.items():
        plain = simulate(chain(), backend, runs=5_000, seed=9)
        row(f"{backend}, no thinking", plain, plain)
        for effort in efforts:
            row(f"{backend}, {effort}", simulate(chain(effort), backend, runs=5_000, seed=9), plain)
    added = {}
    for host in HOSTS:
        backend = f"{host}/gpt-oss-120b"
        plain = simulate(chain(), backend, runs=5_000, seed=9)
        added[host] = row(f"{backend}, 1,500", simulate(chain(tokens=USUAL), backend, runs=5_000, seed=9), plain)
    fast, slow = min(added, key=added.__getitem__), max(added, key=added.__getitem__)
    verdict = (
        f"Verdict: eight calls that think 1,500 tokens each wait {added[fast]:.0f} s longer on {fast} and "
        f"{added[slow]:.0f} s on {slow}: the same thought costs {added[slow] / added[fast]:.0f} times the "
        "seconds. Thinking is decoding that nobody reads, so there speed is all that counts."
    )
    print("\n" + textwrap.fill(verdict, 100))


if __name__ == "__main__":
    main()

"""Evaluations: 2,000 examples through a 5-step agent, on each backend, in how many minutes?

Claim: evaluations take too long to run on every change; said by many, measured by few: no single source.
From the shell: agentflow run evaluation --backend groq --arrivals closed:64 --tier Developer --runs 2000

Each example is one simulated run of the catalogue's evaluation. The runs are handed, in order, to 1, 16 and 64 parallel
workers; the suite ends when the last worker does. Ten suites of other random numbers give the range. That the backend
is as fast with 64 callers as with one is assumed. Beside it is what no number of workers beats: all calls and tokens
over the requests and tokens a minute of the provider's best published tier, each model at its own limit.
"""

from __future__ import annotations

import heapq
import textwrap

import numpy as np
from numpy.typing import NDArray

from agentflow import Result, load_backend, simulate
from agentflow.result import TOKEN_KINDS

BACKENDS = ("cerebras", "groq", "sambanova", "together", "fireworks", "openai/gpt-4.1", "anthropic/claude-sonnet-4.5",
            "deployments/llama-3.1-70b-8xh100@64")  # fmt: skip
EXAMPLES, SUITES = 2_000, 10
WORKERS = (1, 16, 64)


def makespan(seconds: NDArray[np.float64], workers: int) -> float:
    """Return when the last of the workers ends, each taking the next example when it is free."""
    free = [0.0] * workers
    for duration in seconds:
        heapq.heappush(free, heapq.heappop(free) + float(duration))
    return max(free)


def bound(result: Result) -> tuple[float, str] | None:
    """Return the fewest minutes that the rate limits allow for all examples, and which limit it is; None if unknown."""
    use: dict[str, NDArray[np.float64]] = {}
    for step, backend in result.assignment.items():
        row = result.steps.index(step)
        tokens = dict(zip(TOKEN_KINDS, result.step_tokens[row] / result.runs * EXAMPLES, strict=True))
        sent = tokens["input"]
        made = tokens["output"] + tokens["reasoning"]
        calls = result.step_attempts[row] / result.runs * EXAMPLES
        use[backend] = use.get(backend, np.zeros(3)) + np.array([calls, sent, made])
    found = []
    for backend, (calls, sent, made) in use.items():
        if backend.startswith("deployments/"):
            continue
        tiers = []
        for limit in load_backend(backend).limits:
            parts = [(calls, limit.rpm, "requests"), (sent + made, limit.tpm, "tokens"), (sent, limit.itpm, "input"),
                     (made, limit.otpm, "output")]  # fmt: skip
            known = [(amount / rate, f"{what}, {limit.tier}") for amount, rate, what in parts if rate]
            tiers += [max(known)] if known else []
        found += [min(tiers)] if tiers else []
    return max(found) if found else None


def main() -> None:
    """Print the minutes of a suite on each backend and the bound of its rate limit."""
    print(
        f"{'minutes for 2,000 examples':40}" + "".join(f"{workers:>24}" for workers in WORKERS) + "   rate limit allows"
    )
    ends, bounds = {}, {}
    for name in BACKENDS:
        result = simulate("evaluation", name, runs=EXAMPLES * SUITES, seed=11)
        suites = result.e2e_s.reshape(SUITES, EXAMPLES)
        row = f"{name:40}"
        for workers in WORKERS:
            minutes = np.array([makespan(suite, workers) for suite in suites]) / 60
            row += f"{f'{np.median(minutes):.1f} [{minutes.min():.1f}, {minutes.max():.1f}]':>24}"
            ends[name, workers] = float(np.median(minutes))
        limit = bound(result)
        if limit is not None:
            bounds[name] = limit[0]
        print(row + (f"   {limit[0]:.1f} ({limit[1]})" if limit else "   unknown"))
    most = WORKERS[-1]
    real = {name: max(ends[name, most], bounds.get(name, 0.0)) for name in BACKENDS}
    limited = [name for name in BACKENDS if bounds.get(name, 0.0) > ends[name, most]]
    best, worst = min(bounds, key=real.__getitem__), max(bounds, key=real.__getitem__)
    one = [ends[name, 1] for name in BACKENDS]
    free = [name for name in BACKENDS if name not in bounds]
    verdict = (
        f"Verdict: with {most} workers and the best published tier {real[best]:.1f} minutes ({best}) to "
        f"{real[worst]:.0f} ({worst}); there the rate limit, not the speed, decides on {', '.join(limited) or 'none'}. "
        f"Of {', '.join(free)} no limit is known: {min(ends[n, most] for n in free):.1f} to "
        f"{max(ends[n, most] for n in free):.1f} minutes by their speed alone, which is a bound and does not compare. "
        f"One worker takes {min(one):.0f} to {max(one):.0f} minutes, whatever the limits."
    )
    print("\n" + textwrap.fill(verdict, 100))


if __name__ == "__main__":
    main()

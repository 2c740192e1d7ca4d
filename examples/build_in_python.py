"""Build a workflow in Python, without a file, and ask where its seconds go.

A retrieval-augmented answer: rewrite the question, look up two indexes side by side, answer. Then the same
with a faster backend for the answer only: run n of both draws the same random numbers, so the difference is
the backend's alone.
"""

from __future__ import annotations

import numpy as np

from agentflow import Workflow, simulate

QUESTION = {"lognormal": {"p50": 400, "p95": 900}}

workflow = Workflow.model_validate(
    {
        "name": "rag",
        "description": "Rewrite the question, look it up in two indexes, answer.",
        "source": "an example; every figure is assumed",
        "defaults": {"model": "llama-3.3-70b", "backend": "together"},
        "steps": {
            "rewrite": {
                "type": "chat",
                "model": "llama-3.1-8b",
                "input_tokens": QUESTION,
                "output_tokens": 60,
            },
            "keywords": {
                "type": "retrieval",
                "needs": ["rewrite"],
                "latency": {"lognormal": {"p50": "60ms", "p95": "250ms"}},
                "output_tokens": 1200,
            },
            "vectors": {
                "type": "retrieval",
                "needs": ["rewrite"],
                "latency": {"lognormal": {"p50": "120ms", "p95": "400ms"}},
                "output_tokens": 1800,
            },
            "answer": {
                "type": "chat",
                "needs": ["keywords", "vectors"],
                "input_tokens": {"own": 500, "from": {"keywords": 1.0, "vectors": 1.0}},
                "output_tokens": {"lognormal": {"p50": 300, "p95": 700}},
            },
        },
    }
)


def main() -> None:
    """Print the stack of the mean, then what a faster backend for one step is worth."""
    before = simulate(workflow, runs=20_000, seed=7)
    print(f"mean E2E {before.e2e_s.mean():.2f} s, of which on the critical path")
    for step, seconds in zip(before.steps, before.critical_s / before.runs, strict=True):
        parts = zip(before.components, seconds, strict=True)
        told = ", ".join(f"{component} {mean:.2f} s" for component, mean in parts if mean >= 0.005)
        print(f"  {step:9}{seconds.sum() / before.e2e_s.mean():5.0%}  {told}")

    after = simulate(workflow, assign={"answer": "groq"}, runs=20_000, seed=7)
    saved = before.e2e_s - after.e2e_s
    print(f"with {after.assignment['answer']} for the answer: mean E2E {after.e2e_s.mean():.2f} s")
    print(f"  saves {saved.mean():.2f} s on average, at least {np.quantile(saved, 0.05):.2f} s in 95 % of runs")


if __name__ == "__main__":
    main()

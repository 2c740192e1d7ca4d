"""A support case that took 11 minutes takes 2: which part of that is the model's speed?

Claim: customers of Klarna "resolve their errands in less than 2 mins compared to 11 mins previously" (Klarna, press
release "Klarna AI assistant handles two-thirds of customer service chats in its first month", 2024-02-27).
From the shell: agentflow compare voice-assistant --backend cerebras --backend anthropic/claude-haiku-4.5

Before: a person at a median of 11 minutes. After: two to three rounds; the customer writes (median 15 s, assumed) and
reads the answer at 250 words a minute (5.6 tokens a second), between them the model
looks up and answers. Nothing is known of Klarna's rounds; what is computed is how much of 2 minutes, and of the 9
saved, a faster or slower model can be.
"""

from __future__ import annotations

import textwrap

from agentflow import compare, parse_workflow, simulate

BACKENDS = ("cerebras", "groq", "together", "openai/gpt-4.1", "anthropic/claude-sonnet-4.5")
BEFORE = parse_workflow("""
schema_version: 1
name: before
steps: {case: {type: human, latency: {lognormal: {p50: 11m, p95: 30m}}}}
""")
AFTER = parse_workflow("""
schema_version: 1
name: after
defaults: {model: llama-3.3-70b, retry: openai, timeout: 60s}
steps:
  rounds:
    type: loop
    max_iterations: 3
    continue_probability: [1.0, 0.5]
    steps:
      write: {type: human, latency: {lognormal: {p50: 15s, p95: 45s}}, output_tokens: 40}
      sort: {type: chat, needs: [write], input_tokens: 700, output_tokens: 8}
      look_up: {type: tool, needs: [sort], latency: {lognormal: {p50: 0.3s, p95: 1.5s}}, output_tokens: 600}
      answer:
        type: chat
        needs: [look_up]
        input_tokens: {own: 900, from: {look_up: 1.0}, history: true}
        output_tokens: {lognormal: {p50: 130, p95: 350}}
      read: {type: human, needs: [answer], latency: {lognormal: {p50: 23s, p95: 63s}}}
""")


def main() -> None:
    """Print each backend's case, the model's share of it, and of the minutes saved."""
    before = simulate(BEFORE, runs=20_000, seed=4).e2e_s.mean()
    cases = compare(AFTER, BACKENDS, runs=20_000, seed=4).cases
    print(f"before: mean {before / 60:.1f} min, a person\n")
    print(f"{'after':30}{'p50':>8}{'mean':>8}   {'95 % interval':16}{'of which the model':>20}")
    model, mean = {}, {}
    for case in cases:
        label = case.label
        critical, estimate = case.summary.critical_mean_s, case.summary.e2e_s["mean"]
        model[label] = sum(sum(critical.get(f"rounds.{step}", {}).values()) for step in ("sort", "answer"))
        mean[label] = estimate.value
        share = f"{model[label]:9.1f} s, {model[label] / estimate.value:4.0%}"
        print(
            f"{label:30}{case.summary.e2e_s['p50'].value:6.0f} s{estimate.value:6.0f} s   "
            f"{f'[{estimate.low:.1f}, {estimate.high:.1f}]':16}{share}"
        )
    fast, slow = min(model, key=model.__getitem__), max(model, key=model.__getitem__)
    saved, by_speed = before - mean[slow], mean[slow] - mean[fast]
    verdict = (
        f"Verdict: {saved:.0f} s are saved with the slowest model here, by not waiting for a person; the "
        f"fastest saves {by_speed:.0f} s more. The model's speed is {by_speed / (saved + by_speed):.1%} of the "
        "gain: the rest is the customer's own typing and reading, and the missing queue."
    )
    print("\n" + textwrap.fill(verdict, 100))


if __name__ == "__main__":
    main()

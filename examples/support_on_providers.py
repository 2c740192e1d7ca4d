"""Compare providers for a support desk: the same thousands of cases on each, so the differences are theirs.

People handle some of the cases and take minutes, on every provider alike: what a faster one is worth shows in
the median and in the time until the customer's answer is there, hardly in the p99.
"""

from __future__ import annotations

from agentflow import compare

PROVIDERS = ("together", "fireworks", "sambanova", "groq", "cerebras")


def main() -> None:
    """Print a row a provider."""
    comparison = compare("support-triage", PROVIDERS, runs=20_000, seed=3, baseline="together")
    print(f"{'':10} {'p50':>7} {'p95':>7} {'p99':>8}  {'cost of 1,000':>13}  how many times as fast, by p50")
    for position, case in enumerate(comparison.cases):
        e2e, cost, times = case.summary.e2e_s, case.summary.cost_usd, case.speedup["p50"]
        priced = f"${1000 * cost['mean'].value:.2f}" if cost else "unknown"
        faster = f"{times.value:.2f} [{times.low:.2f}, {times.high:.2f}]" if times else ""
        print(
            f"{case.label:10} {e2e['p50'].value:5.2f} s {e2e['p95'].value:5.1f} s {e2e['p99'].value:6.0f} s  "
            f"{priced:>13}  {'the baseline' if position == comparison.baseline else faster}"
        )


if __name__ == "__main__":
    main()

"""A small model for routing and extraction, a big one for the answer: how much faster and cheaper?

Claim: easy steps belong on smaller models and hard ones on more capable ones, for cost and speed (Anthropic, "Building
effective agents", 2024-12-19, on routing).
From the shell: agentflow run support-triage --backend anthropic/claude-haiku-4.5 --assign
write=anthropic/claude-sonnet-4.5

Support triage has one call that writes and four that screen, sort, extract and review. All five on the big model, then
the four on a small one of the same provider. Cases that a person takes over are left out of the times: they take
minutes on any model. That the small model sorts as well is assumed; a wrong route is not simulated.
"""

from __future__ import annotations

import textwrap

import numpy as np

from agentflow import Estimate, load_workflow, simulate
from agentflow.analysis.compare import difference
from agentflow.estimate import mean_estimate, quantile_estimate

SMALL_STEPS = ("screen", "classify", "extract", "review")
PAIRS = (
    ("together/llama-3.3-70b", "together/llama-3.1-8b"),
    ("groq/llama-3.3-70b", "groq/llama-3.1-8b"),
    ("openai/gpt-4.1", "openai/gpt-4.1-nano"),
    ("anthropic/claude-sonnet-4.5", "anthropic/claude-haiku-4.5"),
    ("google/gemini-2.5-pro", "google/gemini-2.5-flash-lite"),
)
RUNS = 20_000


def faster(big: np.ndarray, both: np.ndarray) -> Estimate:
    """Return how many times as fast the median has become, with a cautious interval: as if the runs were not paired."""
    before, after = (quantile_estimate(np.sort(column), 0.5) for column in (big, both))
    return difference(before.map(np.log), after.map(np.log), correlation=0.0).map(np.exp)


def main() -> None:
    """Print both medians, what the small model saves in time and money, for each pair."""
    workflow = load_workflow("support-triage")
    print(f"{'big':30}{'small':30}{'p50 before':>11}{'after':>8}{'times as fast':>20}{'cost of 1,000':>18}{'saved':>7}")
    speed, money, own = {}, {}, []
    for big, small in PAIRS:
        all_big = simulate(workflow, assign=dict.fromkeys((*SMALL_STEPS, "write"), big), runs=RUNS, seed=7)
        mixed = dict.fromkeys(SMALL_STEPS, small) | {"write": big}
        both = simulate(workflow, assign=mixed, runs=RUNS, seed=7)
        answered = (all_big.outcome == all_big.outcome_names.index("answered")) & (
            both.outcome == both.outcome_names.index("answered")
        )
        times = faster(all_big.e2e_s[answered], both.e2e_s[answered])
        assert all_big.cost_usd is not None and both.cost_usd is not None
        before, after = mean_estimate(all_big.cost_usd).value, mean_estimate(both.cost_usd).value
        seconds = {step: float(both.critical_s[both.steps.index(step)].sum()) for step in mixed}
        own.append(seconds["write"] / sum(seconds.values()))
        speed[big], money[big] = times, 1 - after / before
        print(
            f"{big:30}{small:30}{np.median(all_big.e2e_s[answered]):9.2f} s{np.median(both.e2e_s[answered]):6.2f} s"
            f"{f'{times.value:.2f} [{times.low:.2f}, {times.high:.2f}]':>20}"
            f"{f'${1000 * before:.2f} > ${1000 * after:.2f}':>18}{money[big]:7.0%}"
        )
    least, most = min(speed, key=lambda b: speed[b].value), max(speed, key=lambda b: speed[b].value)
    verdict = (
        f"Verdict: {speed[least].value:.2f} ({least}) to {speed[most].value:.2f} ({most}) times as fast, and "
        f"{min(money.values()):.0%} to {max(money.values()):.0%} cheaper: the call that writes stays, "
        f"and is {min(own):.0%} to {max(own):.0%} of the models' seconds then."
    )
    print("\n" + textwrap.fill(verdict, 100))


if __name__ == "__main__":
    main()

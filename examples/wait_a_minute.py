"""Do six or eight linked calls take a minute?

Claim: "Link 6 or 8 of these together, you wait a minute to get an answer", said of agents on GPUs in 2024 by sellers of
faster chips; we found no primary source.
From the shell: agentflow run prompt-chain-8 --backend anthropic/claude-sonnet-4.5 --fail-if 'e2e.p50>60s'

The first six and all eight links of the catalogue's chain, at the catalogue's answers (median 350 tokens) and at
1,000 tokens a link. The claim is about GPUs of 2024: their profiles stand apart from later ones (the H100 server is the
roofline of this package with vLLM of 2026) and from other chips. The last column: the share of runs of eight long links
that take a minute or more.
"""

from __future__ import annotations

import textwrap

from agentflow import Workflow, compare, load_workflow
from agentflow.estimate import share_estimate
from agentflow.schema import Constant

GROUPS = {
    "GPUs of 2023 and 2024": (
        "fireworks/llama-3.1-70b@2024-09", "fireworks/llama-3.1-405b@2024-09", "fireworks/llama-2-70b@2023-12",
    ),
    "later GPUs, or hardware that nobody names": (
        "together", "fireworks", "openai/gpt-4.1", "anthropic/claude-sonnet-4.5", "deployments/llama-3.1-70b-8xh100@64",
    ),
    "other chips": ("cerebras", "groq", "sambanova"),
}  # fmt: skip
BACKENDS = tuple(name for group in GROUPS.values() for name in group)
MINUTE = 60.0


def chain(links: int, tokens: int | None = None) -> Workflow:
    """Return the first links of the catalogue's chain, each with so many tokens if that is said; no deadline."""
    whole = load_workflow("prompt-chain-8")
    steps = dict(list(whole.steps.items())[:links])
    if tokens is not None:
        fixed = {"output_tokens": Constant(value=tokens)}
        steps = {name: step.model_copy(update=fixed) for name, step in steps.items()}
    name = f"{links} x {tokens or 350}"
    return whole.model_copy(update={"name": name, "steps": steps, "budget": None})


def main() -> None:
    """Print a row a backend: the medians of four chains, then for which a minute is the rule."""
    chains = (chain(6), chain(8), chain(6, 1000), chain(8, 1000))
    cases = compare(chains, BACKENDS, runs=4_000, seed=1).cases
    print(
        f"{'p50 (s), links x tokens':36}"
        + "".join(f"{chain.name:>23}" for chain in chains)
        + f"{'a minute or more':>22}"
    )
    rule: dict[str, list[str]] = {chain.name: [] for chain in chains}
    for position, backend in enumerate(BACKENDS):
        row = f"{backend:36}"
        for block, links in enumerate(chains):
            p50 = cases[block * len(BACKENDS) + position].summary.e2e_s["p50"]
            assert p50.low is not None
            row += f"{f'{p50.value:.1f} [{p50.low:.1f}, {p50.high:.1f}]':>23}"
            if p50.low > MINUTE:
                rule[links.name].append(backend)
        case = cases[len(BACKENDS) * (len(chains) - 1) + position]
        late = share_estimate(int((case.result.e2e_s >= MINUTE).sum()), case.result.runs)
        print(f"{row}  {f'{late.value:.1%} [{late.low:.1%}, {late.high:.1%}]':>20}")
    told = []
    for group, members in GROUPS.items():
        late_ones = [sum(name in found for name in members) for found in rule.values()]
        told.append(f"{', '.join(map(str, late_ones))} of {len(members)} profiles of {group}")
    verdict = (
        f"Verdict: with {', '.join(name.replace(' x ', ' links of ') for name in rule)} tokens the median run takes "
        f"more than a minute on {'; on '.join(told)}."
    )
    print("\n" + textwrap.fill(verdict, 100))


if __name__ == "__main__":
    main()

"""Guardrail in parallel or blocking, hedging, fan-out: where does more parallelism stop paying?

Claim: guardrails in parallel are free, hedged requests cut the tail (Dean and Barroso, "The tail at scale", CACM 56:2,
2013: hedging after the p95 sends few more requests), and more workers are faster (Anthropic, "How we built our
multi-agent research system", 2025-06-13).
From the shell: agentflow explain research-report --backend openai/gpt-4.1

An answer behind a guardrail of a small model that rejects 5 %; an answer that is asked for again when it is late, on a
steady backend and on one that stalls; and 6,400 tokens of work shared by 1 to 128 workers, whose reports (a tenth of
their work, 150 tokens at least, assumed) are merged. Rate limits and the load that parallel calls cause are left out.
"""

from __future__ import annotations

import itertools
import textwrap

from agentflow import Workflow, compare, parse_workflow
from agentflow.analysis.compare import paired_ratio
from agentflow.analysis.metrics import Metrics

HEAD = "schema_version: 1\nname: {name}\ndefaults: {{model: gpt-4.1, backend: openai, retry: openai}}\nsteps:\n"
GUARDED = (
    HEAD
    + """\
  guard: {{type: guardrail, model: gpt-4.1-nano, blocking: {blocking}, input_tokens: 800, output_tokens: 5,
          errors: {{content_filter: 0.05}}, catch: [{{errors: [content_filter], to: refusal}}]}}
  answer: {{type: chat, needs: [guard], input_tokens: 800, output_tokens: {{lognormal: {{p50: 300, p95: 700}}}}}}
  refusal: {{type: tool, latency: 10ms, outcome: rejected}}
"""
)
HEDGED = (
    HEAD
    + """\
  answer: {{type: chat, input_tokens: 1500, output_tokens: 200{hedge}}}
"""
)
FANNED = (
    HEAD
    + """\
  work: {{type: map, count: {width}, steps: {{part: {{type: chat, input_tokens: 2000,
         output_tokens: {{lognormal: {{p50: {part}, p95: {most}}}}}}}}}}}
  merge: {{type: chat, needs: [work], input_tokens: {merged}, output_tokens: 400}}
"""
)
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128)
LITTLE = 0.15
STEADY, STALLING = "openai/gpt-4.1", "deepinfra/llama-4-maverick"


def fanned(width: int) -> Workflow:
    """Return 6,400 tokens of work shared by so many workers; p95 of a part is twice its median."""
    part, report = 6400 // width, max(150, 640 // width)
    text = FANNED.format(name=f"{width} workers", width=width, part=part, most=2 * part, merged=500 + width * report)
    return parse_workflow(text)


def table(
    title: str, workflows: list[Workflow], backend: str | None = None
) -> tuple[list[float], list[float], list[float]]:
    """Print times and costs; return the medians, how many times as fast p99 is as the first's, and the costs."""
    found = compare(workflows, backend, runs=20_000, seed=10, baseline=workflows[0].name)
    metrics = [Metrics(case.result) for case in found.cases]
    print(f"{title:36}{'p50':>7}{'p95':>8}{'p99':>8}{'times as fast, p50':>22}{'p99':>21}{'$ of 1,000':>12}")
    medians, tails, costs = [], [], []
    for case, metric in zip(found.cases, metrics, strict=True):
        e2e, cost = case.summary.e2e_s, case.summary.cost_usd
        ratios = [paired_ratio(metrics[0], metric, stat) for stat in (0.5, 0.99)]
        told = [f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]" for ratio in ratios if ratio]
        assert cost is not None and ratios[1] is not None
        times = "".join(f"{e2e[name].value:{width}.2f}" for name, width in (("p50", 7), ("p95", 8), ("p99", 8)))
        print(f"  {case.label:34}{times}{told[0]:>22}{told[1]:>21}{1000 * cost['mean'].value:12.2f}")
        medians.append(e2e["p50"].value)
        tails.append(ratios[1].value)
        costs.append(cost["mean"].value)
    print()
    return medians, tails, costs


def main() -> None:
    """Print the three tables and where each stops paying."""
    guarded = [
        parse_workflow(GUARDED.format(name=name, blocking=blocking))
        for name, blocking in (("blocking", "true"), ("in parallel", "false"))
    ]
    guard, _, _ = table("guardrail", guarded)
    hedges = {"no hedge": "", "after p95": "p95", "after p75": "p75", "two at once": "1ms"}
    texts = {name: f", hedge: {{after: {after}}}" if after else "" for name, after in hedges.items()}
    workflows = [parse_workflow(HEDGED.format(name=name, hedge=hedge)) for name, hedge in texts.items()]
    told = []
    for backend in (STEADY, STALLING):
        _, tail, price = table(f"hedging, {backend}", workflows, backend)
        extra = [cost / price[0] - 1 for cost in price]
        told.append(
            f"{tail[1]:.2f} times as fast on {backend} for {extra[1]:+.0%} money, a hedge after the p75 {tail[2]:.2f}"
            f" ({extra[2]:+.0%}), two at once {tail[3]:.2f} ({extra[3]:+.0%})"
        )
    fan, _, _ = table("fan-out", [fanned(width) for width in WIDTHS])
    gains = [1 - after / before for before, after in itertools.pairwise(fan)]
    stop = next((WIDTHS[i] for i, gain in enumerate(gains) if gain < LITTLE), WIDTHS[-1])
    verdict = (
        f"Verdict: a parallel guardrail takes {guard[0] - guard[1]:.2f} s off the median, and pays for answers "
        f"that it throws away. A hedge after the p95 makes p99 {told[0]}; {told[1]}: it pays where the tail is "
        f"longer than a whole call. Doubling the workers gains {gains[0]:.0%} at first, {gains[-1]:.0%} at "
        f"last, and less than {LITTLE:.0%} from {stop} on: the merge remains."
    )
    print("\n" + textwrap.fill(verdict, 100))


if __name__ == "__main__":
    main()

"""Gate a workflow in CI: exit with 1 if it misses its service level, with 3 if the runs cannot tell.

The same from the shell: agentflow run prompt-chain-8 --precision 1% --fail-if 'e2e.p95>30s' ...
"""

from __future__ import annotations

import sys

from agentflow import simulate
from agentflow.analysis.gates import check, exit_code, parse_gate
from agentflow.analysis.metrics import Metrics

GATES = (
    "e2e.p95 > 30s",
    "ttft.p50 > 20s",
    "cost.mean > $0.02",
    "outcomes.failed > 0.1%",
    "attempts.p99 > 12",
)


def main() -> int:
    """Print each gate's verdict beside the estimate that decided it."""
    result = simulate("prompt-chain-8", runs=5_000, precision=0.01, seed=11)
    print(f"{result.workflow}: {result.runs:,} runs for a p95 known to 1 %")
    metrics = Metrics(result)
    checked = [check(metrics, parse_gate(gate)) for gate in GATES]
    for one in checked:
        e = one.estimate
        interval = "too few runs" if e.low is None else f"[{e.low:.4g}, {e.high:.4g}]"
        print(f"  {one.verdict:12} {one.gate.expression:24} {e.value:.4g} {interval}")
    return exit_code([one.verdict for one in checked])


if __name__ == "__main__":
    sys.exit(main())

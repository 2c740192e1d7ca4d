"""Measure the event engine on the reference workload W2, in one run beside the same work in SimPy.

    python -m benchmarks.speed_load [--rounds 7] [--runs 100000]

Rates are workflows per CPU-second, medians of interleaved rounds; one thread each. The engine does all it does for
`run --arrivals`: warm-up, columns, critical paths, waits, totals by step.
"""

from __future__ import annotations

import argparse
import statistics
import time

from agentflow.documents import load_workflow
from agentflow.engine import Shape, pilot, run_load
from agentflow.engine.arrivals import Renewal
from agentflow.plan import Plan, compile_plan
from agentflow.schema import Capacity
from benchmarks import models
from benchmarks.simpy_w2 import RATE, SLOTS, simulate

SIMPY_RUNS = 3_000


def w2() -> Plan:
    """Compile W2: W1's calls at backends that have their slots in common."""
    slots = Capacity(concurrency=SLOTS, shared="w2")
    places = {path: backend.model_copy(update={"capacity": slots}) for path, backend in models.w1_assignment().items()}
    return compile_plan(load_workflow(str(models.ROOT / "workflows" / "w1.yaml")), places)


def main() -> None:
    """Print the rates, and what both see."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=100_000)
    chosen = parser.parse_args()
    plan, arrivals = w2(), Renewal(per_second=RATE)
    alone = pilot(plan, 0)
    engine, reference = [], []
    for seed in range(chosen.rounds):
        began = time.process_time()
        result = run_load(plan, arrivals, Shape(1, 200, chosen.runs), seed, threads=1, alone=alone)
        engine.append((chosen.runs + 200) / (time.process_time() - began))
        began = time.process_time()
        made = simulate(SIMPY_RUNS, seed)
        reference.append(SIMPY_RUNS / (time.process_time() - began))
    fast, slow = statistics.median(engine), statistics.median(reference)
    assert result.load is not None
    wait = float(result.load.areas[0, 0, 2] / result.load.counts[0, 0, 0])
    load = float(RATE * alone.work[0] / SLOTS)
    print(f"offered load {load:.3f}; E2E mean {result.e2e_s.mean():.2f} s, wait {wait:.3f} s")
    print(f"SimPy: wait {made.waited / made.totals.attempts:.3f} s over {SIMPY_RUNS:,} workflows")
    print(f"{fast:,.0f} workflows a CPU-second, SimPy {slow:,.0f}: {fast / slow:.0f} times")


if __name__ == "__main__":
    main()

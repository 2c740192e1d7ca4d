"""Measure the memory of a simulation under load by its runs: workload W2, each size in a process of its own.

    python -m benchmarks.memory_load [--runs 100000 1000000 5000000] [--threads 2]

Printed is the peak of the resident memory (of the kernel's own count, `ru_maxrss`) above what it was before the first
run, with the machine code loaded; the figures' text is made too. One line without columns, one with a value a run.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

SIZES = (100_000, 1_000_000, 5_000_000)
REPLICATIONS, WARMUP = 20, 200


def peak() -> float:
    """Return the peak of this process's resident memory (MB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def measure(runs: int, threads: int, columns: bool) -> None:
    """Simulate, and print the memory (MB), the CPU time (s) and the p95 (s)."""
    from agentflow.analysis.summary import summarize
    from agentflow.engine import Shape, pilot, run_load
    from agentflow.engine.arrivals import Renewal
    from benchmarks.simpy_w2 import RATE
    from benchmarks.speed_load import w2

    plan, arrivals = w2(), Renewal(per_second=RATE)
    alone = pilot(plan, 0)
    summarize(run_load(plan, arrivals, Shape(REPLICATIONS, WARMUP, 100), threads=threads, alone=alone))
    before, began = peak(), time.process_time()
    shape = Shape(REPLICATIONS, WARMUP, runs // REPLICATIONS)
    p95 = summarize(run_load(plan, arrivals, shape, threads=threads, alone=alone, columns=columns)).e2e_s["p95"]
    took = time.process_time() - began
    print(f"{runs:,} | {peak() - before:.0f} | {took:.1f} | {p95.value:.4f} [{p95.low:.4f}, {p95.high:.4f}]")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=SIZES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", nargs=2, metavar=("RUNS", "COLUMNS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one is not None:
        measure(int(chosen.one[0]), chosen.threads, chosen.one[1] == "columns")
        return
    print("| columns | runs | MB above the import | CPU s | p95, s |\n|---|--:|--:|--:|---|")
    for columns in ("bins", "columns"):
        for runs in chosen.runs:
            command = [sys.executable, "-m", "benchmarks.memory_load", "--one", str(runs), columns]
            done = subprocess.run(
                [*command, "--threads", str(chosen.threads)], check=True, capture_output=True, text=True
            )
            print(f"| {columns} | {done.stdout.strip()} |", flush=True)


if __name__ == "__main__":
    main()

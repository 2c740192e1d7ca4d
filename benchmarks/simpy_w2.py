"""The reference workload W2 in SimPy: W1's workflows at one backend of 32 slots, Poisson arrivals at load 0.8.

``Plain`` is W1's plain model (a process for each step and each attempt, an event at the first token and one at
the end, visits and the critical path), with the least that the queue adds: a request for a slot around each attempt.
"""

from __future__ import annotations

import sys
import time

import simpy

from benchmarks.simpy_w1 import Plain, Visit, Waits

SLOTS = 32
RATE = 0.523  # workflows a second: load 0.8


class Loaded(Plain):
    """Everything a process, at shared slots."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.server = simpy.Resource(self.env, capacity=SLOTS)
        self.waited = 0.0

    def attempt(self, visit: Visit, tokens: int) -> Waits:
        """Try a call once: wait for a slot, hold it."""
        asked = self.env.now
        with self.server.request() as request:
            yield request
            self.waited += self.env.now - asked
            return (yield from super().attempt(visit, tokens))


def simulate(runs: int, seed: int) -> Loaded:
    """Simulate ``runs`` workflows of W2."""
    simulation = Loaded(seed)
    simulation.env.process(simulation.arrivals(runs, RATE))
    simulation.env.run()
    return simulation


def main(runs: int = 20_000) -> None:
    """Print its speed, and what W2 looks like."""
    began = time.process_time()
    made = simulate(runs, 1)
    seconds = time.process_time() - began
    ordered = sorted(made.totals.e2e_s)
    print(
        f"{runs / seconds:,.0f} workflows per CPU-second, {made.totals.attempts / runs:.2f} attempts a workflow, "
        f"E2E mean {sum(ordered) / runs:.2f} s, p95 {ordered[int(runs * 0.95)]:.2f} s, "
        f"mean wait {made.waited / made.totals.attempts:.3f} s"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

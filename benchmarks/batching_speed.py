"""Measure continuous batching alone, in one run beside SimPy on the same calls, and check that both say the same.

    python -m benchmarks.batching_speed [--rounds 7] [--runs 1000]

SimPy runs W3, whose calls are recorded; then the replica alone serves them, in SimPy and compiled. Rates are calls per
CPU-second, medians of interleaved rounds; the compiled replica serves the calls many times over.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from agentflow.documents import load_deployment
from agentflow.engine.batching import Pool, Replica, Served, StepLaw, StepTable, serve
from agentflow.hardware import cache_blocks, iteration_table
from benchmarks.simpy_w1 import Waits
from benchmarks.simpy_w3 import (
    BLOCK,
    BLOCKS,
    BUDGET,
    CACHED,
    EACH,
    FIXED,
    MOST,
    Batched,
    Call,
    simulate,
)

W3 = Replica(
    StepLaw(fixed=FIXED, sequence=EACH, kv=CACHED),
    token_budget=BUDGET,
    max_sequences=MOST,
    kv_blocks=BLOCKS,
    block_size=BLOCK,
    asynchronous=False,
    prefix_cache=False,
)
REPEATS = 40
LOAD = 0.8


def columns_of(calls: list[Call]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrivals, prompts and outputs."""
    return tuple(np.array([getattr(c, name) for c in calls]) for name in ("arrival", "prompt", "output"))  # type: ignore[return-value]


class Compiled(Batched):
    """W3 in SimPy, but for the replica: that is the compiled one, told of each call as it arrives."""

    def __init__(self, seed: int) -> None:
        self.pool = Pool([W3])
        super().__init__(seed)

    def submit(self, prompt: int, output: int) -> Call:
        call = super().submit(prompt, output)
        self.pool.submit(len(self.calls) - 1, self.env.now, prompt, output)
        return call

    def replica(self) -> Waits:
        """Wait for the next change of the batch, or for a call that may bring it forward."""
        while True:
            self.wake = self.env.event()
            ends = self.pool.next_event_time()
            yield self.wake if ends == np.inf else self.wake | self.env.timeout(max(ends - self.env.now, 0.0))
            if self.pool.next_event_time() <= self.env.now:
                yield self.env.timeout(0)  # whoever arrives at the same moment comes first
            for token in self.pool.advance(float(np.nextafter(self.env.now, np.inf))):
                call = self.calls[token.request]
                if token.first:
                    call.first_at = token.time
                    call.first.succeed()
                if token.last:
                    call.last_at = token.time
                    call.last.succeed()


def agree(runs: int) -> float:
    """Return the largest difference of a first or last token's time between SimPy and the compiled replica (s)."""
    first, second = (np.array([(c.first_at, c.last_at) for c in made.calls]) for made in (
        simulate(runs, 1), simulate(runs, 1, Compiled)))  # fmt: skip
    return float(np.abs(first - second).max())


def shape(prompt: int, output: int, calls: int = 20_000) -> tuple[Callable[[], Served], int]:
    """Calls of one shape, Poisson arrivals, Llama-3.1-8B on an H100: what others' simulators are measured on."""
    d = load_deployment("llama-3.1-8b-h100")
    replica = Replica(StepTable(**asdict(iteration_table(d, 256, 2048))), 2048, 256, cache_blocks(d))
    rng = np.random.default_rng(0)
    alone = float(serve(replica, np.zeros(256), prompt, output).finished.max()) / 256  # a full batch, one by one
    arrivals = np.cumsum(rng.exponential(alone / LOAD, calls))
    return lambda: serve(replica, arrivals, prompt, output), calls


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of some work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def replay(calls: list[Call]) -> None:
    """Serve recorded calls in SimPy."""
    simulation = Batched(0)
    simulation.env.process(simulation.replay(calls))
    simulation.env.run()


def measure(runs: int, rounds: int) -> dict[str, float]:
    """Calls per CPU-second of SimPy's W3, of its replica alone, and of the compiled replica."""
    calls = simulate(runs, 1).calls
    columns = columns_of(calls)

    def compiled() -> None:
        for _ in range(REPEATS):
            serve(W3, *columns)

    cases: dict[str, tuple[Callable[[], object], int]] = {
        "SimPy, W3": (lambda: simulate(runs, 1), len(calls)),
        "SimPy, the replica alone": (lambda: replay(calls), len(calls)),
        "compiled, the replica alone": (compiled, REPEATS * len(calls)),
        "compiled, 2,048 tokens in and 512 out": shape(2048, 512),
        "compiled, 1,024 tokens in and 256 out": shape(1024, 256),
    }
    for work, _ in list(cases.values())[2:]:
        work()
    samples: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (work, many) in cases.items():
            samples[name].append(many / timed(work))
    return {name: statistics.median(rates) for name, rates in samples.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=1000, help="workflows of W3 in SimPy")
    options = parser.parse_args()
    print(f"largest difference of a token's time: {agree(options.runs):.1e} s\n")
    rates = measure(options.runs, options.rounds)
    fastest = rates["compiled, the replica alone"]
    print("| | calls per CPU-second | ns a call | compiled is faster by |\n|---|--:|--:|--:|")
    for name, rate in rates.items():
        faster = f"{fastest / rate:,.0f} x" if "SimPy" in name else ""
        print(f"| {name} | {rate:,.0f} | {1e9 / rate:,.0f} | {faster} |")


if __name__ == "__main__":
    main()

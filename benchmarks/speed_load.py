"""Measure the event engine on the reference workloads W2 and W3, in one run beside SimPy and plain C.

    python -m benchmarks.speed_load [--rounds 7] [--quick] [--record]

Rates are workflows per CPU-second, medians of interleaved rounds; one thread each. The engine does all it does for
`run --arrivals`: warm-up, columns, critical paths, waits, totals by step. First all of them are asked for means over
independent replications: those of the others must agree with the engine's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agentflow.documents import load_workflow, resolve_backend
from agentflow.engine import Shape, pilot, run_load
from agentflow.engine.arrivals import Renewal
from agentflow.estimate import student_quantile
from agentflow.plan import Fleet, Plan, compile_plan
from agentflow.schema import Capacity
from benchmarks import models, plain_c, simpy_w2, simpy_w3
from benchmarks.plain_c import NoCompiler, Simulate
from benchmarks.simpy_w2 import RATE, SLOTS
from benchmarks.speed import Case, measure, record

MARK, UNTIL = "<!-- W2 and W3: written by speed_load --record -->", "<!-- until here -->"
WARMUP = 200
EDGE = 100  # runs of SimPy before those that count, and after
REPLICATIONS = 10
LEVEL = 0.999
ENGINE, SIMPY = "engine", "SimPy"
C_PROGRAMS = {
    "C": (),
    "C, each attempt with draws of its own": ("KEYED",),
    "C, nothing kept by step": ("BARE",),
}
ARRIVALS = Renewal(per_second=RATE)

Means = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Mean E2E (s), and mean wait of an attempt (s) or nothing, of each replication."""


def w2() -> Plan:
    """Compile W2: W1's calls at backends that have their slots in common."""
    slots = Capacity(concurrency=SLOTS, shared="w2")
    places = {path: backend.model_copy(update={"capacity": slots}) for path, backend in models.w1_assignment().items()}
    return compile_plan(load_workflow(str(models.ROOT / "workflows" / "w1.yaml")), places)


def w3() -> Plan:
    """Compile W3: W1's workflow at a deployment, of which only that it batches is left; its replica is W3's."""
    backend = resolve_backend("deployments/llama-3.1-70b-8xh100", "llama-3.1-70b")
    plan = compile_plan(load_workflow(str(models.ROOT / "workflows" / "w1.yaml")), {"*": backend})
    fleet = Fleet(
        name="w3",
        backend=0,
        replicas=1,
        token_budget=simpy_w3.BUDGET,
        max_sequences=simpy_w3.MOST,
        kv_blocks=simpy_w3.BLOCKS,
        overhead=0.0,
        plain_seconds=tuple(simpy_w3.FIXED + simpy_w3.EACH * n for n in range(simpy_w3.MOST + 1)),
        mixed_seconds=(simpy_w3.FIXED,) * (simpy_w3.BUDGET + 1),
        sequence=simpy_w3.EACH,
        kv=simpy_w3.CACHED,
        mixed_kv=simpy_w3.CACHED,
        pair=0.0,
        asynchronous=False,
        prefix_cache=False,
    )
    return replace(plan, fleets=(fleet,))


@dataclass(frozen=True)
class Peer:
    """One row: what is measured, and `means(replications)`, which says what it sees."""

    case: Case
    means: Callable[[int], Means]

    @property
    def name(self) -> str:
        """How the row is called."""
        return self.case.name


def engine(plan: Plan, runs: int, runs_of_means: int) -> Peer:
    """Simulate a plan under load with the event engine."""
    alone = pilot(plan, 0)

    def work() -> tuple[int, int]:
        result = run_load(plan, ARRIVALS, Shape(1, WARMUP, runs), seed=1, threads=1, alone=alone)
        return _with_warmup(runs, int(result.step_attempts.sum()))

    def means(replications: int) -> Means:
        e2e, waits = [], []
        for seed in range(replications):
            result = run_load(plan, ARRIVALS, Shape(1, WARMUP, runs_of_means), seed=seed, threads=1, alone=alone)
            assert result.load is not None
            e2e.append(result.e2e_s.mean())
            if plan.resources:
                waits.append(result.load.areas[0, 0, 2] / result.load.counts[0, 0, 0])
        return np.array(e2e), np.array(waits)

    return Peer(Case(ENGINE, work), means)


def in_c(name: str, simulate: Simulate, runs: int, runs_of_means: int) -> Peer:
    """Simulate W2 in C."""

    def work() -> tuple[int, int]:
        return _with_warmup(runs, int(simulate(WARMUP, runs, 1).runs["attempts"].sum()))

    def means(replications: int) -> Means:
        made = [simulate(WARMUP, runs_of_means, seed) for seed in range(replications)]
        waits = [m.wait_s for m in made] if made[0].totals.any() else []  # BARE keeps none
        return np.array([m.runs["e2e_s"].mean() for m in made]), np.array(waits)

    return Peer(Case(name, work), means)


def in_simpy(kind: type[simpy_w2.Loaded] | type[simpy_w3.Batched], runs: int, runs_of_means: int) -> Peer:
    """Simulate W2 or W3 in SimPy."""

    def work() -> tuple[int, int]:
        simulation = kind(1)
        simulation.env.process(simulation.arrivals(runs, RATE))
        simulation.env.run()
        return runs, simulation.totals.attempts

    def means(replications: int) -> Means:
        seen = [_steady(kind(seed), runs_of_means) for seed in range(replications)]
        return np.array([e2e for e2e, _ in seen]), np.array([wait for _, wait in seen if wait is not None])

    return Peer(Case(SIMPY, work), means)


def _with_warmup(runs: int, attempts: int) -> tuple[int, int]:
    return runs + WARMUP, round(attempts * (runs + WARMUP) / runs)


def _steady(simulation: simpy_w2.Loaded | simpy_w3.Batched, runs: int) -> tuple[float, float | None]:
    """Mean E2E of the runs that end once a start is over and before the arrivals are, and the mean wait since then."""
    totals, env = simulation.totals, simulation.env
    env.process(simulation.arrivals(runs + 2 * EDGE, RATE))
    env.run(until=EDGE / RATE)
    ended, attempts = len(totals.e2e_s), totals.attempts
    before = getattr(simulation, "waited", 0.0)
    env.run()
    e2e = float(np.mean(totals.e2e_s[ended:-EDGE]))
    if not isinstance(simulation, simpy_w2.Loaded):
        return e2e, None
    return e2e, (simulation.waited - before) / (totals.attempts - attempts)


def differences(one: Means, other: Means, level: float = LEVEL) -> list[tuple[float, float]]:
    """Differences of the means that both know, E2E first, each with the half-width of its interval (s)."""
    found = []
    for a, b in zip(one, other, strict=True):
        if len(a) and len(b):
            spread = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
            least = min(len(a), len(b)) - 1
            found.append((float(a.mean() - b.mean()), float(student_quantile((1.0 + level) / 2.0, least) * spread)))
    return found


def peers_of_w2(quick: bool = False) -> list[Peer]:
    """List what simulates W2 here, each as many runs; says so where there is no compiler.

    SimPy makes a fifth more a second of the first 3,000 runs than of 100,000: they begin in an empty system.
    """
    runs, seen = (20_000, 2_000) if quick else (100_000, 20_000)
    rows = [engine(w2(), runs, seen), in_simpy(simpy_w2.Loaded, 500 if quick else runs, 300 if quick else 2_000)]
    try:
        rows += [in_c(name, plain_c.compiled(*defines), runs, seen) for name, defines in C_PROGRAMS.items()]
    except NoCompiler as error:
        print(f"W2 without C: {error}", file=sys.stderr)
    return rows


def peers_of_w3(quick: bool = False) -> list[Peer]:
    """List what simulates W3."""
    runs, seen = (5_000, 1_000) if quick else (40_000, 10_000)
    return [engine(w3(), runs, seen), in_simpy(simpy_w3.Batched, 100 if quick else 4_000, 100 if quick else 500)]


def table(peers: list[Peer], rounds: int, replications: int = REPLICATIONS) -> str:
    """Ask all for their means, measure them, and lay it out in Markdown; raises SystemExit if two disagree."""
    seen = {peer.name: peer.means(replications) for peer in peers}
    for name, means in seen.items():
        for difference, width in differences(means, seen[ENGINE]):
            if abs(difference) > width > 0.0:
                raise SystemExit(f"{name} and the engine disagree by {difference:.3f} s, more than {width:.3f} s")
    rates = measure([peer.case for peer in peers], rounds)
    lines = [
        "| | workflows per CPU-second | ns per attempt | the engine's rate by this | mean E2E (s) | mean wait (s) |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, rate in rates.items():
        by = rates[ENGINE]["workflows_per_cpu_s"] / rate["workflows_per_cpu_s"]
        shown = "" if name == ENGINE else f"{by:,.0f}" if by > 10 else f"{by:.2f}"
        e2e, wait = (_mean(values) for values in seen[name])
        speed = f"{rate['workflows_per_cpu_s']:,.0f} | {rate['ns_per_attempt']:,.0f}"
        lines.append(f"| {name} | {speed} | {shown} | {e2e} | {wait} |")
    return "\n".join(lines)


def _mean(values: NDArray[np.float64]) -> str:
    if not len(values):
        return ""
    width = student_quantile((1.0 + LEVEL) / 2.0, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} ± {width:.3f}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: whether it runs, not how fast")
    parser.add_argument("--record", action="store_true", help="also write the tables into benchmarks/README.md")
    chosen = parser.parse_args()
    parts = []
    for name, peers in (("W2", peers_of_w2(chosen.quick)), ("W3", peers_of_w3(chosen.quick))):
        parts.append(f"**{name}**\n\n{table(peers, chosen.rounds)}")
        print(f"{parts[-1]}\n")
    if chosen.record:
        record("\n\n".join(parts), MARK, UNTIL)


if __name__ == "__main__":
    main()

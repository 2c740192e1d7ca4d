"""Drives the kernel over blocks of runs, on several threads, with the same bytes for any number of them.

Totals are added up within blocks of a fixed number of runs and then in the order of the blocks, so that neither
threads nor the order in which they finish show in the last bits.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from math import ceil
from typing import Any

import numpy as np

from agentflow.binned import Binned
from agentflow.engine.parallel import in_order
from agentflow.engine.state import Output, Work, new_output, new_work
from agentflow.plan import Plan
from agentflow.plan import layout as L
from agentflow.plan.layout import F64, I64
from agentflow.result import COMPONENTS, Result, binned_columns, hist_quantile

BLOCK = 4096
"""Runs of a block."""

PILOT_RUNS = 2000
"""Runs from which the quantile of a hedge is taken."""

BEYOND = "inputs longer than the longest of a measured table"
"""What a result's manifest says where calls asked for more than was measured."""

TAIL = 0.95
"""The slow tail: runs at or above this quantile of E2E."""

Progress = Callable[[int, int], None]


def needs_compile() -> bool:
    """Whether the first run has to compile the kernel, which takes some seconds."""
    from agentflow.engine.helpers import is_compiled
    from agentflow.engine.kernel import simulate_block

    return not is_compiled(simulate_block)


def compile_kernel(plan: Plan) -> None:
    """Compile the kernel, or load it, before threads call it."""
    from agentflow.engine.helpers import compiling
    from agentflow.engine.kernel import simulate_block

    with compiling():
        if not simulate_block.signatures:
            simulate_block(plan.tables, new_work(plan), new_output(plan, 0), np.empty(0, np.int64), np.uint64(0))


@dataclass
class _Lane:
    """What one thread owns: the kernel's state and the histogram it counts in."""

    work: Work
    histogram: I64


class _Lanes:
    """Hands each thread its lane."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.made: list[_Lane] = []
        self.local = threading.local()
        self.lock = threading.Lock()

    def mine(self) -> _Lane:
        """Return the lane of this thread."""
        lane: _Lane | None = getattr(self.local, "lane", None)
        if lane is None:
            lane = _Lane(new_work(self.plan), new_output(self.plan, 0).histogram)
            self.local.lane = lane
            with self.lock:
                self.made.append(lane)
        return lane


def run_plan(
    plan: Plan,
    runs: int,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Simulate runs 0 to `runs` - 1 of a plan.

    Parameters
    ----------
    plan : Plan
    runs : int
        At least 1.
    seed : int
        Any integer; taken modulo 2**64.
    threads : int, optional
        By default one a core. The result does not depend on it.
    progress : callable, optional
        Is told now and then the runs done and their number.

    Returns
    -------
    Result
    """
    compile_kernel(plan)
    plan = set_hedges(plan, seed)
    total = _Total(plan, runs)
    lanes, blocks = _Lanes(plan), ceil(runs / BLOCK)
    count = threads or len(os.sched_getaffinity(0))

    def work(block: int) -> Output:
        first = block * BLOCK
        numbers = np.arange(first, min(first + BLOCK, runs), dtype=np.int64)
        return _run_block(plan, lanes, numbers, seed, total.rows, first)

    def tell(taken: int) -> None:
        if progress is not None:
            progress(min(taken * BLOCK, runs), runs)

    in_order(work, total.add, blocks, min(count, blocks), tell)
    histogram = sum((lane.histogram for lane in lanes.made[1:]), lanes.made[0].histogram)
    beyond = sum(int(lane.work.counter[L.K_BEYOND]) for lane in lanes.made)
    return total.result(histogram, seed, _tail(plan, total.rows.times[:, 0], seed), beyond > 0)


def _run_block(plan: Plan, lanes: _Lanes, runs: I64, seed: int, rows: Output | None = None, at: int = 0) -> Output:
    from agentflow.engine.kernel import simulate_block

    lane = lanes.mine()
    output = new_output(plan, len(runs), lane.histogram, rows, at)
    simulate_block(plan.tables, lane.work, output, runs, np.uint64(seed % 2**64))
    return output


class _Total:
    """The rows of all runs, which the blocks fill, and the totals, added up in the order of the blocks."""

    def __init__(self, plan: Plan, runs: int) -> None:
        self.plan = plan
        self.rows = new_output(plan, runs)

    def add(self, output: Output) -> None:
        for name in ("step_f", "critical", "critical_runs"):
            whole = getattr(self.rows, name)
            whole += getattr(output, name)

    def columns(self) -> dict[str, Any]:
        plan, rows = self.plan, self.rows
        return {
            "e2e_s": rows.times[:, 0],
            "ttft_s": rows.times[:, 1],
            "outcome": rows.outcome,
            "input_tokens": rows.tokens[:, 0],
            "cached_input_tokens": rows.tokens[:, 1],
            "output_tokens": rows.tokens[:, 2],
            "reasoning_tokens": rows.tokens[:, 3],
            "calls": rows.counts[:, 0],
            "attempts": rows.counts[:, 1],
            "cost_usd": rows.cost if plan.priced else None,
            "energy_j": rows.energy if plan.powered else None,
        }

    def result(
        self,
        histogram: I64,
        seed: int,
        tail: tuple[F64, int],
        beyond: bool,
        binned: tuple[int, Binned] | None = None,
    ) -> Result:
        plan, rows, f = self.plan, self.rows, self.rows.step_f
        use = f[:, L.ST_USE : L.ST_USE + L.NUSE]

        def whole(column: int) -> I64:
            return np.rint(use[:, column]).astype(np.int64)

        return Result(
            workflow=plan.workflow,
            assignment=dict(plan.assignment),
            runs=len(rows.outcome) if binned is None else binned[0],
            seed=seed,
            engine="montecarlo",
            steps=plan.steps,
            step_types=plan.step_types,
            components=COMPONENTS,
            outcome_names=plan.outcome_names,
            **self.columns() if binned is None else binned_columns(binned[1]),
            binned=None if binned is None else binned[1],
            step_executions=np.rint(f[:, L.ST_EXECUTIONS]).astype(np.int64),
            step_latency_sum=f[:, L.ST_LATENCY].copy(),
            step_latency_hist=histogram,
            step_component_s=f[:, L.ST_COMP : L.ST_COMP + L.NCOMP].copy(),
            step_tokens=np.column_stack([whole(c) for c in (L.U_INPUT, L.U_CACHED, L.U_OUTPUT, L.U_REASONING)]),
            step_cost=use[:, L.U_COST].copy(),
            step_calls=whole(L.U_CALLS),
            step_attempts=whole(L.U_ATTEMPTS),
            step_critical_runs=rows.critical_runs,
            critical_s=rows.critical,
            tail_critical_s=tail[0],
            tail_runs=tail[1],
            manifest=_manifest(plan) | ({"extrapolated": BEYOND} if beyond else {}),
        )


def _manifest(plan: Plan) -> dict[str, str]:
    try:
        own = version("agentflow-sim")
    except PackageNotFoundError:
        own = "unknown"
    return {
        "agentflow": own,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "plan_fingerprint": plan.fingerprint,
    }


def _tail(plan: Plan, e2e: F64, seed: int) -> tuple[F64, int]:
    """Critical seconds of the slow tail, by simulating its runs once more: keyed draws make them the same."""
    if len(e2e) < 20:
        return np.zeros((len(plan.steps), L.NCOMP)), 0
    runs = slowest(e2e, ceil(TAIL * len(e2e)))
    lanes, critical = _Lanes(plan), np.zeros((len(plan.steps), L.NCOMP))
    for lo in range(0, len(runs), BLOCK):
        critical += _run_block(plan, lanes, runs[lo : lo + BLOCK], seed).critical
    return critical, len(runs)


def slowest(values: F64, rank: int) -> I64:
    """Find the places of the values at or above the one of a rank (1 is the smallest), in order.

    Most are ruled out by a bound from the first of them, so that few are sorted and copied.
    """
    bound = np.quantile(values[:BLOCK], max(0.0, rank / len(values) - 0.05))
    places = np.flatnonzero(values >= bound)
    left = rank - (len(values) - len(places))
    if left < 1:
        places, left = np.arange(len(values)), rank
    kept = values[places]
    return places[kept >= np.partition(kept, left - 1)[left - 1]].astype(np.int64)


def set_hedges(plan: Plan, seed: int) -> Plan:
    """Set the hedges that wait for a quantile of their step's own latency, from a pilot without hedges."""
    if not plan.hedge_quantiles:
        return plan
    spec_i, spec_f = plan.tables.spec_i.copy(), plan.tables.spec_f.copy()
    for spec, _, _ in plan.hedge_quantiles:
        spec_i[spec, L.S_HEDGES] = 0
    bare = replace(plan, tables=plan.tables._replace(spec_i=spec_i), hedge_quantiles=())
    pilot = run_plan(bare, PILOT_RUNS, seed, threads=1)
    for spec, step, p in plan.hedge_quantiles:
        spec_f[spec, L.S_HEDGE_AFTER] = hist_quantile(pilot.step_latency_hist[step], p)
    return replace(plan, tables=plan.tables._replace(spec_f=spec_f), hedge_quantiles=())

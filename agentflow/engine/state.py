"""The arrays that the kernel writes: the state of the run under way, and what a block of runs adds up to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentflow.plan import Plan
from agentflow.plan import layout as L
from agentflow.plan.layout import F64, I32, I64
from agentflow.result import HIST_BINS


class Work(NamedTuple):
    """State of the run under way; made once a thread, never allocated in the loop."""

    sf: F64
    si: I64
    visited: I32
    redo: I32
    fail_t: F64
    fail_node: I64
    slot_t: F64
    slot_node: I64
    exported: F64
    value: F64
    tries: I64
    backend_stamp: I64
    backend_factor: F64
    step_stamp: I64
    plain: I64
    mark: I64
    counter: I64


class Output(NamedTuple):
    """What a block of runs adds up to; see `agentflow.result.Result` for the meaning."""

    times: F64
    outcome: NDArray[np.uint8]
    tokens: I64
    counts: I32
    cost: F64
    energy: F64
    step_f: F64
    histogram: I64
    critical: F64
    critical_runs: I64


WIDTHS: dict[type, dict[str, int]] = {
    L.Tables: dict.fromkeys(L.Tables._fields, 1)
    | {"node_i": L.NODE_COLUMNS, "pred_i": L.EDGE_COLUMNS, "ref_i": 2, "draw_i": 2}
    | {"spec_i": L.SPEC_COLUMNS, "spec_f": L.SPEC_FLOATS, "place_i": L.PLACE_COLUMNS, "place_f": L.PLACE_FLOATS}
    | {"error_i": L.ERROR_COLUMNS, "error_f": L.ERROR_FLOATS, "layer_i": L.LAYER_COLUMNS, "layer_f": L.LAYER_FLOATS}
    | {"backend_i": L.BACKEND_COLUMNS, "backend_f": L.BACKEND_FLOATS}
    | {"dist_i": L.DIST_COLUMNS, "dist_f": L.DIST_FLOATS},
    Work: dict.fromkeys(Work._fields, 1) | {"sf": L.STATE_COLUMNS, "si": L.VISIT_COLUMNS},
    Output: dict.fromkeys(Output._fields, 1)
    | {"times": 2, "tokens": 4, "counts": 2, "step_f": L.STEP_COLUMNS, "histogram": HIST_BINS, "critical": L.NCOMP},
}
"""Columns of the arrays that the kernel sees, by tuple and field; 1 for a list. The kernel's code has them fixed."""

FROZEN: set[type] = {L.Tables}
"""The tuples that the kernel only reads."""


def new_work(plan: Plan) -> Work:
    """Make the state of one thread; its size does not depend on the number of runs."""
    t = plan.tables
    n, steps, backends = len(t.node_i), len(plan.steps), len(t.backend_f)
    stamps = np.zeros((n + 1, L.VISIT_COLUMNS), np.int64)
    counter = np.zeros(L.COUNTERS, np.int64)
    counter[L.K_NODES], counter[L.K_STEPS] = n, steps
    counter[L.K_PRICED], counter[L.K_POWERED] = plan.priced, plan.powered
    return Work(
        sf=L.aligned(np.zeros((n + 1, L.STATE_COLUMNS))),
        si=stamps,
        visited=np.zeros(n + 1, np.int32),
        redo=np.zeros(n + 1, np.int32),
        fail_t=np.full(n + 1, np.inf),
        fail_node=np.full(n + 1, -1, np.int64),
        slot_t=np.zeros(plan.slots + 1),
        slot_node=np.zeros(plan.slots + 1, np.int64),
        exported=np.zeros(plan.exports + 1),
        value=np.zeros(L.Q_LATENCY + 1),
        tries=np.ones(L.MAX_LAYERS, np.int64),
        backend_stamp=np.zeros(backends + 1, np.int64),
        backend_factor=np.ones(backends + 1),
        step_stamp=np.zeros(steps, np.int64),
        plain=np.zeros(steps, np.int64),
        mark=np.zeros(n + 1, np.int64),
        counter=counter,
    )


ROWS = ("times", "outcome", "tokens", "counts", "cost", "energy")
"""The fields of an output that have a row a run; the others are totals."""


def new_output(
    plan: Plan,
    runs: int,
    histogram: I64 | None = None,
    rows: Output | None = None,
    at: int = 0,
    every: bool = False,
) -> Output:
    """Make the rows of a block of runs and its empty totals.

    Counts can go on in a `histogram`; the block's rows can be those of `rows` from `at` on. Where nothing has a
    price, or draws power, that column has one row (fresh memory costs more than the work of a short run), but for
    `every`.
    """
    steps = len(plan.steps)
    if rows is None:
        return Output(
            times=np.empty((runs, 2)),
            outcome=np.empty(runs, np.uint8),
            tokens=np.empty((runs, 4), np.int64),
            counts=np.empty((runs, 2), np.int32),
            cost=np.empty(runs if plan.priced or every else 1),
            energy=np.empty(runs if plan.powered or every else 1),
            **_totals(steps, histogram),
        )
    return Output(
        times=rows.times[at : at + runs],
        outcome=rows.outcome[at : at + runs],
        tokens=rows.tokens[at : at + runs],
        counts=rows.counts[at : at + runs],
        cost=rows.cost[at : at + runs] if plan.priced else np.empty(1),
        energy=rows.energy[at : at + runs] if plan.powered else np.empty(1),
        **_totals(steps, histogram),
    )


def _totals(steps: int, histogram: I64 | None) -> dict[str, NDArray[Any]]:
    return {
        "step_f": L.aligned(np.zeros((steps, L.STEP_COLUMNS))),
        "histogram": np.zeros((steps, HIST_BINS), np.int64) if histogram is None else histogram,
        "critical": np.zeros((steps, L.NCOMP)),
        "critical_runs": np.zeros(steps, np.int64),
    }

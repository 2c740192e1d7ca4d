"""The arrays that the kernel writes: the state of the run under way, and what a block of runs adds up to."""

from __future__ import annotations

from typing import NamedTuple

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


def new_work(plan: Plan) -> Work:
    """Make the state of one thread; its size does not depend on the number of runs."""
    t = plan.tables
    n, steps, backends = len(t.node_i), len(plan.steps), len(t.backend_f)
    stamps = np.zeros((n + 1, L.VISIT_COLUMNS), np.int64)
    return Work(
        sf=np.zeros((n + 1, L.STATE_COLUMNS)),
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
        counter=np.zeros(L.K_BEYOND + 1, np.int64),
    )


def new_output(plan: Plan, runs: int, histogram: I64 | None = None) -> Output:
    """Make the rows of a block of runs and its empty totals; counts can go on in a histogram."""
    steps = len(plan.steps)
    return Output(
        times=np.empty((runs, 2)),
        outcome=np.empty(runs, np.uint8),
        tokens=np.empty((runs, 4), np.int64),
        counts=np.empty((runs, 2), np.int32),
        cost=np.empty(runs),
        energy=np.empty(runs),
        step_f=np.zeros((steps, L.STEP_COLUMNS)),
        histogram=np.zeros((steps, HIST_BINS), np.int64) if histogram is None else histogram,
        critical=np.zeros((steps, L.NCOMP)),
        critical_runs=np.zeros(steps, np.int64),
    )

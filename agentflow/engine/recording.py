"""Runs kept in full, as arrays over runs and nodes, with the critical path of each.

The kernel leaves the state of a run in its `Work`; here it is copied run by run, so that analysis can look at
every visit of many runs at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentflow.engine.montecarlo import _Lanes, compile_kernel, set_hedges
from agentflow.engine.state import new_output
from agentflow.plan import Plan
from agentflow.plan import layout as L
from agentflow.plan.layout import F64, I64

Mask = NDArray[np.bool_]

CELLS = 200_000
"""Visits (runs x nodes) that are held at a time: about 60 MB."""


@dataclass(frozen=True, eq=False)
class Recording:
    """R runs of a plan of N nodes in full.

    Attributes
    ----------
    plan
        With its hedges set.
    runs
        Numbers of the runs, shape (R,).
    e2e_s, outcome
        As in `Result`, shape (R,).
    state, marks
        The kernel's rows of a visit, columns F_* and V_* of `agentflow.plan.layout`; shapes (R, N, .).
    entered
        Whether the node was reached in the run, shape (R, N).
    last, answer
        Nodes, shape (R,): where the critical path ends, and the answer, or -1 where there is none.
    """

    plan: Plan
    runs: I64
    e2e_s: F64
    outcome: NDArray[np.uint8]
    state: F64
    marks: I64
    entered: Mask
    last: I64
    answer: I64

    @property
    def start(self) -> F64:
        """Moments at which visits started (s)."""
        return self.state[:, :, L.F_START]

    @property
    def end(self) -> F64:
        """Moments at which visits ended (s)."""
        return self.state[:, :, L.F_END]

    @property
    def failed_s(self) -> F64:
        """Seconds that a visit spent in attempts that failed."""
        return self.state[:, :, L.F_FAILED]

    @property
    def components_s(self) -> F64:
        """Seconds of visits by component, shape (R, N, C)."""
        return self.state[:, :, L.F_COMP : L.F_COMP + L.NCOMP]

    def status(self, node: int) -> I64:
        """How a node's visits ended (`NONE` where there was none), shape (R,)."""
        return np.where(self.entered[:, node], self.marks[:, node, L.V_STATUS], L.NONE)

    def edge(self, e: int) -> tuple[F64, Mask]:
        """Return when edge e was resolved, and whether it was active; as the kernel's `edge`."""
        tables = self.plan.tables
        source, kind, errors = (int(x) for x in tables.pred_i[e])
        status = self.status(source)
        if kind == L.EDGE_NEED:
            return self.end[:, source], status == L.DONE
        if kind == L.EDGE_CATCH:
            error = np.maximum(self.marks[:, source, L.V_ERR], 0)
            return self.end[:, source], (status == L.CAUGHT) & ((errors >> error) & 1 == 1)
        route = self.marks[:, source, L.V_ROUTE]
        if kind <= L.EDGE_BESIDE:
            taken = (kind == L.EDGE_BESIDE) | (route == L.EDGE_BESIDE_ROUTE - kind)
            return self.start[:, source], (status != L.SKIPPED) & (status != L.NONE) & taken
        return self.end[:, source], (status == L.DONE) & (route == kind)

    def edges_into(self, node: int) -> range:
        """Return the edges into a node."""
        row = self.plan.tables.node_i[node]
        return range(int(row[L.N_PRED_LO]), int(row[L.N_PRED_HI]))

    def first(self, count: int) -> Recording:
        """Return the first runs of these."""
        part = {
            name: getattr(self, name)[:count]
            for name in ("runs", "e2e_s", "outcome", "state", "marks", "entered", "last", "answer")
        }
        return replace(self, **part)

    def critical_path(self) -> Mask:
        """Return which nodes the critical path of each run goes through, composites' own too, shape (R, N)."""
        on = np.zeros(self.entered.shape, np.bool_)
        codes = self.marks[:, :, L.V_CRIT]
        node = self.last.copy()
        while np.any(node >= 0):
            rows = np.flatnonzero(node >= 0)
            at = node[rows]
            on[rows, at] = True
            code = codes[rows, at]
            while np.any(beside := (code >= 0) & (code & 1 == 1)):  # the source ran beside: its own start decided
                code[beside] = codes[rows[beside], code[beside] >> 1]
            node[rows] = np.where(code >= 0, code >> 1, -1)
        return on


def record_runs(plan: Plan, runs: Sequence[int] | I64, seed: int = 0) -> Iterator[Recording]:
    """Simulate runs and keep them in full, some at a time so that memory is bounded.

    Parameters
    ----------
    plan
        A compiled plan.
    runs
        Numbers of runs, each at least 0; run n is the same as in `run_plan` with this seed.
    seed
        As for `run_plan`.
    """
    compile_kernel(plan)
    plan = set_hedges(plan, seed)
    numbers = np.asarray(runs, np.int64)
    some = max(1, CELLS // len(plan.tables.node_i))
    lanes = _Lanes(plan)
    for lo in range(0, len(numbers), some):
        yield _record(plan, lanes.mine().work, numbers[lo : lo + some], seed)


def _record(plan: Plan, work: Any, runs: I64, seed: int) -> Recording:
    """Keep these runs."""
    from agentflow.engine.kernel import simulate_block

    count, nodes = len(runs), len(plan.tables.node_i)
    state = np.empty((count, nodes, L.STATE_COLUMNS))
    marks = np.empty((count, nodes + 1, L.VISIT_COLUMNS), np.int64)
    stamps = np.empty((count, 1), np.int64)
    e2e, outcome, output = np.empty(count), np.empty(count, np.uint8), new_output(plan, 1)
    for i in range(count):
        simulate_block(plan.tables, work, output, runs[i : i + 1], np.uint64(seed % 2**64))
        state[i], marks[i] = work.sf[:nodes], work.si
        stamps[i] = work.counter[L.K_STAMP]
        e2e[i], outcome[i] = output.times[0, 0], output.outcome[0]
    own = marks[:, nodes]
    return Recording(
        plan=plan,
        runs=runs,
        e2e_s=e2e,
        outcome=outcome,
        state=state,
        marks=marks[:, :nodes],
        entered=marks[:, :nodes, L.V_STAMP] == stamps,
        last=own[:, L.V_CRIT].copy(),
        answer=own[:, L.V_ROUTE].copy(),
    )

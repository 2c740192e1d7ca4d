"""Drives the event kernel: feeds it arrivals, grows its tables, takes its rows."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agentflow.engine import events_state as E
from agentflow.engine.events_tables import (
    Resource,
    grow_flights,
    grow_heap,
    grow_slots,
    new_pools,
    new_rows,
    wiring,
)
from agentflow.errors import AgentflowError
from agentflow.plan import Plan
from agentflow.plan.layout import F64, I32, I64

Arrivals = Iterator[tuple[F64, I32]]
"""Blocks of arrival times (s, ascending) and tenants; in a closed system of think times."""

STRIDE = 1 << 40
"""Between the numbers of the first runs of two replications."""

EVENTS = 4_000_000
"""Events between two looks at Ctrl-C: about a second."""

ROWS = 4096
"""Runs that may end between two looks."""

_COMPILING = threading.Lock()


def needs_compile() -> bool:
    """Whether the first run has to compile the event kernel, which takes half a minute."""
    from agentflow.engine.events_kernel import advance

    if advance.signatures:
        return False
    return not os.path.exists(advance._cache._cache_file._index_path)


def compile_events(plan: Plan) -> None:
    """Compile the kernel, or load it, before threads call it; at LLVM's first level, as the other one."""
    from numba import config

    from agentflow.engine.events_kernel import advance

    with _COMPILING:
        if advance.signatures:
            return
        usual, lighter = config.OPT, getattr(config, "_OptLevel", None)
        wires = wiring(plan)
        try:
            if lighter is not None:
                config.OPT = lighter(1)
            advance(plan.tables, wires, new_pools(plan, wires, ()), new_rows(plan, 1), np.uint64(0), 0)
        finally:
            config.OPT = usual


@dataclass
class Timeline:
    """One system from empty on: its state, what arrives, and the rows of the runs that have ended.

    Parameters
    ----------
    plan : Plan
    arrivals : iterator
        Blocks of arrival times and tenants, without end or as many as there are runs.
    resources : sequence of Resource
    seed : int
    replication : int
        Its runs are numbered from `replication * STRIDE`.
    users : int
        In a closed system, their number: `arrivals` then gives the think time before each run.
    """

    plan: Plan
    arrivals: Arrivals
    resources: Sequence[Resource] = ()
    seed: int = 0
    replication: int = 0
    users: int = 0

    def __post_init__(self) -> None:
        self.wires = wiring(self.plan, self.resources)
        self.pools = new_pools(self.plan, self.wires, self.resources)
        self.rows = new_rows(self.plan, ROWS)
        self.pools.count[E.C_OFFSET] = self.replication * STRIDE
        if self.users:
            self.pools.count[E.C_CLOSED] = 1
            self._admit_users()

    def _admit_users(self) -> None:
        """Let each user think for the first time."""
        self._feed()
        while self.pools.count[E.C_LEN] < self.users:
            self._feed()
        thinks = self.pools.arrive_t[: self.users]
        order = np.lexsort((np.arange(self.users), thinks))
        while len(self.pools.heap_t) < 4 * self.users:
            self.pools = grow_heap(self.pools, 2 * len(self.pools.heap_t))
        for i, user in enumerate(order):
            self.pools.heap_t[i] = thinks[user]
            self.pools.heap_k[i] = (E.K_USER << E.KIND_SHIFT) | (i + 1)
            self.pools.heap_p[i] = int(user) << 32
        self.pools.count[E.C_HEAP] = self.pools.count[E.C_SEQ] = self.users
        self.pools.count[E.C_POS] = self.users

    def _feed(self) -> None:
        """Append the next block of arrivals to what is left of the last."""
        times, tenants = next(self.arrivals, (np.array([np.inf]), np.zeros(1, np.int32)))
        pos, end = int(self.pools.count[E.C_POS]), int(self.pools.count[E.C_LEN])
        self.pools = self.pools._replace(
            arrive_t=np.concatenate([self.pools.arrive_t[pos:end], times]),
            arrive_tenant=np.concatenate([self.pools.arrive_tenant[pos:end], tenants]),
        )
        self.pools.count[E.C_POS], self.pools.count[E.C_LEN] = 0, len(self.pools.arrive_t)

    def run(self, first: int, last: int, take: Callable[[E.Rows, int], None]) -> None:
        """Go on until all runs from number `first` to `last` - 1 have ended.

        Parameters
        ----------
        first, last : int
            Runs that are written down; those before warm the system up, those after keep it busy.
        take : callable
            Is given the buffer and how many rows it holds, whenever it is full and at the end. The totals in it go on
            adding up.
        """
        count = self.pools.count
        count[E.C_FIRST], count[E.C_LAST], count[E.C_LEFT] = first, last, last - first
        while self._advance() != E.DONE:
            if count[E.C_ROWS] == ROWS:
                take(self.rows, ROWS)
                count[E.C_ROWS] = 0
        take(self.rows, int(count[E.C_ROWS]))
        count[E.C_ROWS] = 0

    def _advance(self) -> int:
        """Let the kernel go on, and give it what it asks for."""
        from agentflow.engine.events_kernel import advance

        why = int(advance(self.plan.tables, self.wires, self.pools, self.rows, np.uint64(self.seed % 2**64), EVENTS))
        pools = self.pools
        if why == E.NEED_ARRIVALS:
            self._feed()
        elif why == E.NEED_SLOTS:
            width = len(self.plan.tables.node_i) + 1
            self.pools = grow_slots(pools, width, self.plan.exports, 2 * len(pools.slot_i))
        elif why == E.NEED_FLIGHTS:
            self.pools = grow_flights(pools, 2 * len(pools.fi))
        elif why == E.NEED_HEAP:
            self.pools = grow_heap(pools, 2 * len(pools.heap_t))
        elif why == E.STARVED:
            raise AgentflowError("more runs were asked for than arrive")
        return why


def run_numbers(rows: E.Rows, n: int) -> I64:
    """Return the numbers of the runs in a buffer."""
    numbers: I64 = rows.run[:n].copy()
    return numbers

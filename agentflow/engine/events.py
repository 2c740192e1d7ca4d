"""Drives the event kernel: feeds it arrivals, grows its tables, takes its rows, looks at its resources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

import numpy as np

from agentflow.engine import batching_state as S
from agentflow.engine import events_state as E
from agentflow.engine.arrivals import Arrivals
from agentflow.engine.events_tables import (
    UNBOUNDED,
    copies_of,
    grow_flights,
    grow_heap,
    grow_slots,
    new_pools,
    new_rows,
    wiring,
)
from agentflow.errors import AgentflowError
from agentflow.plan import Plan
from agentflow.plan.layout import F64, I64

STRIDE = 1 << 40
"""Between the numbers of the first runs of two replications."""

EVENTS = 4_000_000
"""Events between two looks at Ctrl-C: about a second."""

ROWS = 1024
"""Runs that may end between two looks."""

BLOCKS = 8
"""Blocks of arrivals that are fed at once, at most."""

Take = Callable[[E.Rows, int, int], int]


def events_need_compile() -> bool:
    """Whether the first run has to compile the event kernel, which takes half a minute."""
    from agentflow.engine.events_kernel import advance
    from agentflow.engine.helpers import is_compiled

    return not is_compiled(advance)


def compile_events(plan: Plan) -> None:
    """Compile the kernel, or load it, before threads call it."""
    from agentflow.engine.events_kernel import advance
    from agentflow.engine.helpers import compiling

    with compiling(optimisation=2):
        if not advance.signatures:
            wires = wiring(plan)
            advance(plan.tables, wires, new_pools(plan, wires), new_rows(plan, 1, 1), np.uint64(0), 0)


@dataclass(frozen=True)
class Look:
    """The resources at one moment, their counts and areas since the start; K resources, B bins.

    Attributes
    ----------
    clock : float
        The moment (s).
    ended : int
        Runs that have ended.
    areas : float64[K, 4]
        Busy slots x s, queue length x s, sum of waits (s), sum of their squares.
    counts : int64[K, 3]
        Calls served, turned away, and gone from the queue before their turn.
    waits : int64[K, B]
        Waits by bin.
    limits : int64[Q, 8]
        Attempts that passed each rate limit, and those that it turned away, by cause.
    tokens : float64[Q, 2]
        Input and output tokens that were used under each.
    breakers : int64[J, 2]
        How often each breaker opened, and the attempts that it refused.
    client : float64[3]
        Core-seconds that were asked of the client, seconds waited for them, and how often they were asked for.
    fleets : float64[F, 2]
        Seconds in which replicas' steps ran, and how often a request lost its blocks.
    """

    clock: float
    ended: int
    areas: F64
    counts: I64
    waits: I64
    limits: I64
    tokens: F64
    breakers: I64
    client: F64
    fleets: F64

    def since(self, earlier: Look) -> Look:
        """Return the differences to an earlier look."""
        return Look(*(getattr(self, item.name) - getattr(earlier, item.name) for item in fields(self)))


class Timeline:
    """One system, empty at first: its state, what arrives, and the rows of the runs that end.

    Parameters
    ----------
    plan : Plan
    arrivals : Arrivals
    seed : int
    replication : int
        Its runs are numbered from `replication * STRIDE`: a replication's draws are its own, run n of the first one
        is run n of the Monte Carlo engine.
    kept : int, optional
        Have a row for each of so many runs that count, by its number, instead of a buffer of rows.
    paths : int
        Critical paths that may be written down between two looks.
    """

    def __init__(
        self,
        plan: Plan,
        arrivals: Arrivals,
        seed: int = 0,
        replication: int = 0,
        kept: int | None = None,
        paths: int = ROWS,
    ) -> None:
        self.plan = plan
        self.arrivals = arrivals
        self.seed = seed
        self.blocks = arrivals.blocks(seed, replication)
        self.ahead = 1
        self.wires = wiring(plan, arrivals.tenants)
        self.pools = new_pools(plan, self.wires, arrivals.tenants)
        self.rows = new_rows(plan, ROWS if kept is None else kept, paths)
        self.pools.counter[E.C_BY_NUMBER] = kept is not None
        self.pools.counter[E.C_MOST_ROWS] = ROWS if kept is None else UNBOUNDED
        self.pools.counter[E.C_MOST_PATHS] = paths
        self.pools.counter[E.C_OFFSET] = replication * STRIDE
        if arrivals.users:
            self._admit_users()

    def _admit_users(self) -> None:
        """Let each user of a closed loop think for the first time."""
        users = self.arrivals.users
        while int(self.pools.counter[E.C_LEN]) < users:
            self._feed()
        pools = self.pools = grow_heap(self.pools, 4 * users + len(self.pools.heap_t))
        thinks = pools.arrive_t[:users]
        for i, user in enumerate(np.lexsort((np.arange(users), thinks))):
            pools.heap_t[i] = thinks[user]
            pools.heap_k[i] = (E.K_USER << E.KIND_SHIFT) | (i + 1)
            pools.heap_p[i] = int(user) << 32
        pools.counter[[E.C_HEAP, E.C_SEQ, E.C_POS]] = users
        pools.counter[E.C_CLOSED] = 1

    def _feed(self) -> None:
        """Append the next blocks of arrivals, more each time, to what is left; after the end, none ever."""
        found = list(islice(self.blocks, self.ahead)) or [(np.array([np.inf]), np.zeros(1, np.int32))]
        times, tenants = (np.concatenate(column) for column in zip(*found, strict=True))
        self.ahead = min(2 * self.ahead, BLOCKS)
        pools = self.pools
        pos, end = int(pools.counter[E.C_POS]), int(pools.counter[E.C_LEN])
        self.pools = pools._replace(
            arrive_t=np.concatenate([pools.arrive_t[pos:end], times]),
            arrive_tenant=np.concatenate([pools.arrive_tenant[pos:end], tenants]),
        )
        self.pools.counter[E.C_POS], self.pools.counter[E.C_LEN] = 0, len(self.pools.arrive_t)

    def run(self, warmup: int, runs: int, take: Take) -> Look:
        """Let runs go by, then write down the next ones.

        Parameters
        ----------
        warmup : int
            Runs that arrive before those that count.
        runs : int
            Runs that count. Others go on arriving until the last of them has ended.
        take : callable
            Is given the buffers, how many rows they hold and how many paths, whenever one is full, and at the end.
            Says how many paths, the first ones, are to stay.

        Returns
        -------
        Look
            What the resources did between the arrivals of the first and the last run that counts; to the last end,
            where nothing arrives any more.
        """
        count = self.pools.counter
        count[E.C_FIRST], count[E.C_LAST], count[E.C_LEFT] = warmup, warmup + runs, runs
        self._until(warmup, take)
        before = self.look()
        whole = self.arrivals.size is not None and self.arrivals.size <= warmup + runs
        self._until(UNBOUNDED if whole else warmup + runs, take)
        after = self.look()
        self._until(UNBOUNDED, take)
        self._hand_on(take)
        return after.since(before)

    def _hand_on(self, take: Take) -> None:
        """Let the buffers be emptied."""
        count = self.pools.counter
        stay = take(self.rows, int(count[E.C_ROWS]), int(count[E.C_PATHS]))
        count[E.C_ROWS], count[E.C_PATHS] = 0, stay

    def pass_over(self, bound: float) -> None:
        """Write down no critical path of a run whose E2E is below a bound (s)."""
        self.pools.clock[E.N_SLOW] = bound

    def _until(self, arrived: int, take: Take) -> None:
        """Go on until this many runs have arrived, or all that count have ended."""
        count = self.pools.counter
        count[E.C_STOP] = arrived
        while (why := self._advance()) not in (E.DONE, E.REACHED):
            if why == E.NEED_ROWS:
                self._hand_on(take)

    def _advance(self, most: int = EVENTS) -> int:
        """Let the kernel go on for so many events at most, and give it what it asks for."""
        from agentflow.engine.events_kernel import advance

        seed = np.uint64(self.seed % 2**64)
        why = int(advance(self.plan.tables, self.wires, self.pools, self.rows, seed, most))
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

    def look(self) -> Look:
        """Look at the resources now; copies for tenants are taken together."""
        pools, clock = self.pools, float(self.pools.clock[E.N_CLOCK])
        f, i = pools.res_f, pools.res_i
        areas = f[:, [E.Y_BUSY, E.Y_LENGTH, E.Y_WAIT, E.Y_WAIT2]]
        ff, state, r = pools.ff, pools.fi[:, E.F_STATE], pools.fi[:, E.F_RES]
        begun = pools.slot_f[pools.fi[:, E.F_SLOT], E.T_ARRIVAL] + ff[:, E.A_T0] + ff[:, E.A_NET]
        served, queued = (state == E.SERVED) & (r >= 0), (state == E.QUEUED) & (r >= 0)
        np.add.at(areas[:, 0], r[served], clock - begun[served] - ff[served, E.A_WAIT])
        np.add.at(areas[:, 1], r[queued], clock - begun[queued])
        counts = i[:, [E.R_SERVED, E.R_REJECTED, E.R_LEFT]]
        waits = pools.wait_hist.copy()
        waits[:, 0] += counts[:, 0] - waits.sum(axis=1)  # those that did not wait
        tenants = self.arrivals.tenants
        slots = [copies_of(r, tenants) for r in self.plan.resources]
        limits = [copies_of(q, tenants) for q in self.plan.limits]
        breakers = pools.breaker_i[: len(self.plan.breakers), [E.J_OPENED, E.J_REFUSED]]
        return Look(
            clock,
            int(pools.counter[E.C_ENDED]),
            _together(areas, slots),
            _together(counts, slots),
            _together(waits, slots),
            _together(pools.limit_i[:, E.M_ADMITTED :], limits),
            _together(pools.limit_f[:, E.G_IN : E.G_OUT + 1], limits),
            breakers.copy(),
            pools.client_f[:, E.Z_BUSY : E.Z_BURSTS + 1].sum(axis=0),
            _together(self._replicas(clock), [fleet.replicas for fleet in self.plan.fleets]),
        )

    def _replicas(self, clock: float) -> F64:
        """Seconds that each replica's steps have run by now, and its preemptions."""
        f, i = self.pools.replica_f, self.pools.replica_i
        running = np.where(i[:, S.R_ACTIVE] == 1, np.minimum(clock, f[:, S.Y_NEXT]) - f[:, S.Y_START], 0.0)
        return np.column_stack([f[:, S.Y_BUSY] + running, i[:, S.R_PREEMPTIONS]])


def _together(rows: Any, copies: Sequence[int]) -> Any:
    """Add up the rows of each one's copies."""
    if not copies:
        return rows[:0].copy()
    starts = np.cumsum([0, *copies])
    return np.add.reduceat(rows[: starts[-1]], starts[:-1], axis=0)

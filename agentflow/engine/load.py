"""Simulates a plan under load: independent replications of a warmed-up system, put together in their order."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agentflow.binned import NOT_KEPT
from agentflow.engine import events_state as E
from agentflow.engine.arrivals import Arrivals, Batch
from agentflow.engine.checkpoint import digest_of, kept, pack, unpack
from agentflow.engine.events import Timeline, compile_events
from agentflow.engine.gathered import KEPT_RUNS, Arrays, Everything, Groups, Shape, gather
from agentflow.engine.montecarlo import Progress, _Total, set_hedges
from agentflow.engine.parallel import in_order
from agentflow.engine.reasons import KEY, count_reasons, write_reasons
from agentflow.engine.state import ROWS
from agentflow.loaded import Load
from agentflow.plan import Plan
from agentflow.plan import layout as L
from agentflow.plan.layout import F64
from agentflow.result import HIST_BINS, Result

PILOT_RUNS = 2000
"""Runs alone, from which the work is learnt that a run brings."""

FLOOD_RUNS = 1000
"""Runs at once, from which the capacity of replicas that batch is learnt."""

UNLIMITED = 2**40

BINNED = "from bins 1/512 wide, for the runs were not kept; --save or columns=True keeps them"
"""What the manifest says where only bins of the columns are left."""

_LOOKS = ("clock", "ended", "areas", "counts", "limits", "breakers", "client", "fleets")


@dataclass(frozen=True)
class Pilot:
    """What a run is when it is alone.

    Attributes
    ----------
    work : float64[K]
        Slot-seconds that it asks of each resource.
    calls : float64[K]
        Calls that it sends to each.
    e2e_s : float64[n]
        Times of all runs, in ascending order.
    asks : float64[Q, 3]
        Requests, input and output tokens that it asks of each rate limit.
    batched : float64[F]
        Seconds of a replica that it takes of each fleet where so many batch that more would not help.
    """

    work: F64
    calls: F64
    e2e_s: F64
    asks: F64
    batched: F64 = field(default_factory=lambda: np.zeros(0))


def pilot(plan: Plan, seed: int = 0) -> Pilot:
    """Simulate runs that do not meet."""
    plan = set_hedges(plan, seed)
    compile_events(plan)
    free = replace(
        plan,
        resources=tuple(replace(r, concurrency=UNLIMITED, max_queue=None, per_tenant=False) for r in plan.resources),
        limits=tuple(replace(q, bounds=(None,) * 6, concurrency=None, per_tenant=False) for q in plan.limits),
        place_breakers=(-1,) * len(plan.place_breakers),
        client=None,
        fleets=(),
    )
    timeline = Timeline(free, Batch(runs=PILOT_RUNS), seed, kept=PILOT_RUNS)
    timeline.pass_over(np.inf)
    look = timeline.run(0, PILOT_RUNS, lambda *_: 0)
    return Pilot(
        look.areas[:, 0] / PILOT_RUNS,
        look.counts[:, 0] / PILOT_RUNS,
        np.sort(timeline.rows.times[:, 0]),
        np.column_stack([look.limits[:, 0], look.tokens]) / PILOT_RUNS,
        _flood(replace(free, fleets=plan.fleets), seed),
    )


def _flood(plan: Plan, seed: int) -> F64:
    """Let many runs come at once, so that batches are as full as they get; returns a replica's seconds a run."""
    if not plan.fleets:
        return np.zeros(0)
    bare = replace(plan, tables=_patient(plan.tables))
    return Timeline(bare, Batch(runs=FLOOD_RUNS), seed).run(0, FLOOD_RUNS, lambda *_: 0).fleets[:, 0] / FLOOD_RUNS


def _patient(tables: L.Tables) -> L.Tables:
    """Return tables without timeouts and deadline: in a flood all would strike."""
    spec_f, totals = tables.spec_f.copy(), tables.totals.copy()
    spec_f[:, [L.S_ATTEMPT, L.S_IDLE]] = np.inf
    totals[0] = np.inf
    return tables._replace(spec_f=spec_f, totals=totals)


def _replicate(plan: Plan, arrivals: Arrivals, shape: Shape, seed: int, number: int, columns: bool) -> Arrays:
    """Simulate one replication; returns what is kept of its runs, its totals, and what its resources did, by name."""
    timeline, kept = gather(plan, arrivals, shape, seed, number, columns)
    totals = timeline.rows
    look = timeline.run(shape.warmup, shape.runs, kept.add)
    return {
        **kept.arrays(),
        **pack(look),
        "step_f": totals.step_f,
        "critical": totals.critical,
        "critical_runs": totals.critical_runs,
        "histogram": totals.histogram,
        "why": totals.why,
        "beyond": np.asarray(int(timeline.pools.counter[E.C_BEYOND]) > 0),
    }


def run_load(
    plan: Plan,
    arrivals: Arrivals,
    shape: Shape,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    written: str = "",
    alone: Pilot | None = None,
    checkpoint: Path | None = None,
    columns: bool | None = None,
) -> Result:
    """Simulate a plan under load.

    Parameters
    ----------
    plan : Plan
    arrivals : Arrivals
    shape : Shape
        Replications, runs of each, and runs before those.
    seed : int
        Any integer; taken modulo 2**64. Run n of replication 0 draws what run n of the Monte Carlo engine draws.
    threads : int, optional
        By default one a core. The result does not depend on it.
    progress : callable, optional
        Is told the runs done and their number, after each replication.
    written : str
        The arrivals as the user wrote them, for the result.
    alone : Pilot, optional
        What a run is alone, if that is known already.
    checkpoint : Path, optional
        Folder of the replications that are done: they are read from there, and those that are missing written to it.
    columns : bool, optional
        Whether to keep every run's row. By default up to `KEPT_RUNS` of them; else the result has their bins, and the
        memory does not grow with the runs.

    Returns
    -------
    Result
        The replications' runs one after the other, and `load`.
    """
    plan = set_hedges(plan, seed)
    compile_events(plan)
    alone = pilot(plan, seed) if alone is None else alone
    columns = shape.total <= KEPT_RUNS if columns is None else columns
    total = _Sum(plan, shape, columns)

    def tell(taken: int) -> None:
        if progress is not None:
            progress(taken * shape.runs, shape.total)

    def make(number: int) -> Mapping[str, Any]:
        return _replicate(plan, arrivals, shape, seed, number, columns)

    work: Callable[[int], Mapping[str, Any]] = make
    if checkpoint is not None:
        from agentflow.engine.events_kernel import VERSION

        what = (plan.fingerprint, plan.client, plan.fleets, arrivals, shape, seed, columns)
        digest = digest_of(VERSION, np.__version__, *what)
        work = kept(checkpoint, digest, make)
    in_order(work, total.add, shape.replications, threads or len(os.sched_getaffinity(0)), tell)
    return replace(total.result(seed), engine="events", load=_load(plan, arrivals, total, written, alone))


class _Sum:
    """What the replications add up to, taken one by one, in their order."""

    def __init__(self, plan: Plan, shape: Shape, columns: bool) -> None:
        self.shape = shape
        self.runs = Everything(plan, shape) if columns else Groups(plan, shape)
        self.total = _Total(plan, 0)
        self.histogram = np.zeros((len(plan.steps), HIST_BINS), np.int64)
        self.waits = np.zeros((len(plan.resources), HIST_BINS), np.int64)
        self.why = np.zeros((len(plan.steps) + 1, E.WHY_COLUMNS), np.int64)
        self.looks: dict[str, list[Any]] = {name: [] for name in (*_LOOKS, "span")}
        self.beyond = False

    def add(self, arrays: Mapping[str, Any]) -> None:
        """Take the next replication."""
        self.runs.add(len(self.looks["span"]), arrays)
        for name in ("step_f", "critical", "critical_runs"):
            whole = getattr(self.total.rows, name)
            whole += arrays[name]
        self.histogram += arrays["histogram"]
        self.why += arrays["why"]
        look = unpack(arrays)
        self.waits += look.waits
        for name in _LOOKS:
            self.looks[name].append(getattr(look, name))
        self.looks["span"].append(arrays["span"])
        self.beyond |= bool(arrays["beyond"])

    def each(self, name: str, dtype: type = np.float64) -> Any:
        """Return what each replication's look says."""
        return np.array(self.looks[name], dtype)

    def result(self, seed: int) -> Result:
        """Return all but the load."""
        found = self._columns(seed)
        facts = {"quantiles": BINNED} if isinstance(self.runs, Groups) else {}
        if lost := int(self.why.sum()):
            facts[KEY] = write_reasons(count_reasons(self.why, found.steps), self.shape.total, lost)
        return replace(found, manifest=found.manifest | facts)

    def _columns(self, seed: int) -> Result:
        """Return the runs and the totals."""
        runs, tail = self.runs, self.runs.tail()
        if isinstance(runs, Groups):
            return self.total.result(self.histogram, seed, tail, self.beyond, (self.shape.total, runs.binned()))
        self.total.rows = self.total.rows._replace(**{name: getattr(runs.rows, name) for name in ROWS})
        return self.total.result(self.histogram, seed, tail, self.beyond)


def _load(plan: Plan, arrivals: Arrivals, total: _Sum, written: str, alone: Pilot) -> Load:
    tenants = np.array([arrivals.tenants if r.per_tenant else 1 for r in plan.resources], np.int64)
    moments = total.runs.moments if isinstance(total.runs, Everything) else None
    return Load(
        arrivals=written,
        rate=arrivals.rate,
        users=arrivals.users,
        tenants=arrivals.tenants,
        replications=total.shape.replications,
        warmup=total.shape.warmup,
        resources=tuple(r.name for r in plan.resources),
        capacity=tenants * np.array([r.concurrency for r in plan.resources], np.int64),
        work=alone.work,
        window_s=total.each("clock"),
        ended=total.each("ended", np.int64),
        areas=total.each("areas"),
        counts=total.each("counts", np.int64),
        wait_hist=total.waits,
        limits=tuple(q.name for q in plan.limits),
        limit_rates=np.array([q.rates(arrivals.tenants) for q in plan.limits]).reshape(-1, E.NBUCKETS),
        limit_asks=alone.asks,
        limit_counts=total.each("limits", np.int64),
        breakers=tuple(b.name for b in plan.breakers),
        breaker_counts=total.each("breakers", np.int64),
        client="" if plan.client is None else plan.client.name,
        client_cores=0 if plan.client is None else plan.client.cores * plan.client.processes,
        client_use=total.each("client"),
        fleets=tuple(fleet.name for fleet in plan.fleets),
        fleet_replicas=np.array([fleet.replicas for fleet in plan.fleets], np.int64),
        fleet_work=alone.batched,
        fleet_use=total.each("fleets"),
        span_s=total.each("span"),
        arrival_s=NOT_KEPT if moments is None else moments[:, 0].copy(),
        end_s=NOT_KEPT if moments is None else moments[:, 1].copy(),
    )

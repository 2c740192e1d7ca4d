"""Simulates a plan under load: independent replications of a warmed-up system, put together in their order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from agentflow.engine import events_state as E
from agentflow.engine.arrivals import Arrivals, Batch
from agentflow.engine.checkpoint import digest_of, kept, pack, unpack
from agentflow.engine.events import Look, Timeline, compile_events
from agentflow.engine.montecarlo import TAIL, Progress, _Total, set_hedges
from agentflow.engine.parallel import in_order
from agentflow.engine.state import ROWS, Output, new_output
from agentflow.loaded import Load
from agentflow.plan import Plan
from agentflow.plan import layout as L
from agentflow.plan.layout import F64, I64
from agentflow.result import Result

PILOT_RUNS = 2000
"""Runs alone, from which the work is learnt that a run brings."""

FLOOD_RUNS = 1000
"""Runs at once, from which the capacity of replicas that batch is learnt."""

UNLIMITED = 2**40


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
    times: list[F64] = []
    look = Timeline(free, Batch(runs=PILOT_RUNS), seed).run(
        0, PILOT_RUNS, lambda rows, n: times.append(rows.times[:n, 0].copy())
    )
    return Pilot(
        look.areas[:, 0] / PILOT_RUNS,
        look.counts[:, 0] / PILOT_RUNS,
        np.sort(np.concatenate(times)),
        np.column_stack([look.limits[:, 0], look.tokens]) / PILOT_RUNS,
        _flood(replace(free, fleets=plan.fleets), seed),
    )


def _flood(plan: Plan, seed: int) -> F64:
    """Let many runs come at once, so that batches are as full as they get; returns a replica's seconds a run."""
    if not plan.fleets:
        return np.zeros(0)
    bare = replace(plan, tables=_patient(plan.tables))
    return (
        Timeline(bare, Batch(runs=FLOOD_RUNS), seed).run(0, FLOOD_RUNS, lambda rows, n: None).fleets[:, 0] / FLOOD_RUNS
    )


def _patient(tables: L.Tables) -> L.Tables:
    """Return tables without timeouts and deadline: in a flood all would strike."""
    spec_f, totals = tables.spec_f.copy(), tables.totals.copy()
    spec_f[:, [L.S_ATTEMPT, L.S_IDLE]] = np.inf
    totals[0] = np.inf
    return tables._replace(spec_f=spec_f, totals=totals)


@dataclass
class _Replication:
    """One replication's rows, by the number of the run; and the paths of its slowest runs."""

    output: Output
    moments: F64
    paths: tuple[F64, I64, F64]
    look: Look
    beyond: bool

    def arrays(self) -> dict[str, Any]:
        """Return all of it as arrays by name."""
        named = dict(zip(("slow_times", "slow_runs", "slow_paths"), self.paths, strict=True))
        return pack(self.output, self.look) | named | {"moments": self.moments, "beyond": np.asarray(self.beyond)}


def _replication(arrays: Mapping[str, Any]) -> _Replication:
    """Build it again from its arrays."""
    output, look = unpack(arrays)
    paths = (arrays["slow_times"], arrays["slow_runs"], arrays["slow_paths"])
    return _Replication(output, arrays["moments"], paths, look, bool(arrays["beyond"]))


def _replicate(plan: Plan, arrivals: Arrivals, shape: Shape, seed: int, number: int) -> _Replication:
    """Simulate one replication."""
    runs = shape.runs
    timeline = Timeline(plan, arrivals, seed, number)
    totals = timeline.rows
    whole = new_output(plan, runs, totals.histogram, every=True)._replace(
        step_f=totals.step_f, critical=totals.critical, critical_runs=totals.critical_runs
    )
    moments = np.empty((runs, 2))
    slowest = _Slowest(shape.kept)

    def take(rows: E.Rows, n: int) -> None:
        at = rows.run[:n] - shape.warmup
        columns: tuple[Any, ...] = whole[:6]
        buffers: tuple[Any, ...] = rows[:6]
        for column, buffer in zip(columns, buffers, strict=True):
            column[at] = buffer[:n]
        moments[at] = rows.moments[:n]
        paths = rows.path.reshape(len(rows.run), -1)[:n]
        whole.critical[...] += paths.sum(axis=0).reshape(whole.critical.shape)
        slowest.add(rows.times[:n, 0], at, paths)

    look = timeline.run(shape.warmup, runs, take)
    beyond = int(timeline.pools.counter[E.C_BEYOND]) > 0
    return _Replication(whole, moments, slowest.all(), look, beyond)


class _Slowest:
    """Keeps the critical paths of the slowest runs, a few more than are needed."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.kept: list[tuple[F64, I64, F64]] = []
        self.held = 0
        self.bound = -np.inf  # what is below is not among the slowest

    def add(self, times: F64, runs: I64, paths: F64) -> None:
        """Look at a buffer's runs."""
        chosen = np.flatnonzero(times >= self.bound)
        self.kept.append((times[chosen], runs[chosen], paths[chosen]))
        self.held += len(chosen)
        if self.held > 1.25 * self.most + 1024:
            self._prune()

    def all(self) -> tuple[F64, I64, F64]:
        """Return times, numbers and paths of what is kept."""
        times, runs, paths = (np.concatenate(parts) for parts in zip(*self.kept, strict=True))
        return times, runs, paths

    def _prune(self) -> None:
        times, runs, paths = self.all()
        chosen = np.argpartition(times, len(times) - self.most)[len(times) - self.most :]
        self.kept, self.held = [(times[chosen], runs[chosen], paths[chosen])], len(chosen)
        self.bound = float(times[chosen].min())


@dataclass(frozen=True)
class Shape:
    """How a simulation under load is cut up: replications of so many runs, each after a warm-up of so many."""

    replications: int
    warmup: int
    runs: int

    @property
    def kept(self) -> int:
        """Paths of slow runs to keep of each replication: those of its slowest fifth, all the slowest in most cases."""
        return 1 + min(ceil((1.0 - TAIL) * self.runs * self.replications), ceil(0.2 * self.runs))


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

    Returns
    -------
    Result
        The replications' runs one after the other, and `load`.
    """
    plan = set_hedges(plan, seed)
    compile_events(plan)
    alone = pilot(plan, seed) if alone is None else alone
    found: list[_Replication] = []

    def tell(taken: int) -> None:
        if progress is not None:
            progress(taken * shape.runs, shape.replications * shape.runs)

    def work(number: int) -> _Replication:
        return _replicate(plan, arrivals, shape, seed, number)

    if checkpoint is not None:
        from agentflow.engine.events_kernel import VERSION

        digest = digest_of(VERSION, np.__version__, plan.fingerprint, plan.fleets, plan.client, arrivals, shape, seed)
        read = kept(checkpoint, digest, lambda number: _replicate(plan, arrivals, shape, seed, number).arrays())

        def work(number: int) -> _Replication:
            return _replication(read(number))

    in_order(
        work,
        found.append,
        shape.replications,
        threads or len(os.sched_getaffinity(0)),
        tell,
    )
    return _put_together(plan, arrivals, shape, seed, found, written, alone)


def _put_together(
    plan: Plan, arrivals: Arrivals, shape: Shape, seed: int, found: list[_Replication], written: str, alone: Pilot
) -> Result:
    total = _Total(plan, shape.replications * shape.runs)
    for number, replication in enumerate(found):
        rows = slice(number * shape.runs, (number + 1) * shape.runs)
        for name in ROWS:
            column = getattr(total.rows, name)
            if len(column) == len(total.rows.outcome):
                column[rows] = getattr(replication.output, name)
        total.add(replication.output)
    histogram = sum((r.output.histogram for r in found[1:]), found[0].output.histogram)
    beyond = any(replication.beyond for replication in found)
    result = total.result(histogram, seed, _tail(plan, total.rows.times[:, 0], found), beyond)
    return replace(result, engine="events", load=_load(plan, arrivals, shape, found, written, alone))


def _tail(plan: Plan, e2e: F64, found: list[_Replication]) -> tuple[F64, int]:
    """Critical seconds of the slow tail, from the paths that were kept."""
    if len(e2e) < 20:
        return np.zeros((len(plan.steps), L.NCOMP)), 0
    rank = ceil(TAIL * len(e2e))
    limit = np.partition(e2e, rank - 1)[rank - 1]
    critical, n = np.zeros(len(plan.steps) * L.NCOMP), 0
    for replication in found:
        times, _, paths = replication.paths
        slow = times >= limit
        critical += paths[slow].sum(axis=0)
        n += int(np.count_nonzero(slow))
    return critical.reshape(-1, L.NCOMP), n


def _load(plan: Plan, arrivals: Arrivals, shape: Shape, found: list[_Replication], written: str, alone: Pilot) -> Load:
    looks = [replication.look for replication in found]
    moments = np.concatenate([replication.moments for replication in found])
    tenants = np.array([arrivals.tenants if r.per_tenant else 1 for r in plan.resources], np.int64)
    return Load(
        arrivals=written,
        rate=arrivals.rate,
        users=arrivals.users,
        tenants=arrivals.tenants,
        replications=shape.replications,
        warmup=shape.warmup,
        resources=tuple(r.name for r in plan.resources),
        capacity=tenants * np.array([r.concurrency for r in plan.resources], np.int64),
        work=alone.work,
        window_s=np.array([look.clock for look in looks]),
        ended=np.array([look.ended for look in looks], np.int64),
        areas=np.array([look.areas for look in looks]),
        counts=np.array([look.counts for look in looks], np.int64),
        wait_hist=np.sum([look.waits for look in looks], axis=0, dtype=np.int64),
        limits=tuple(q.name for q in plan.limits),
        limit_rates=np.array([q.rates(arrivals.tenants) for q in plan.limits]).reshape(-1, E.NBUCKETS),
        limit_asks=alone.asks,
        limit_counts=np.array([look.limits for look in looks], np.int64),
        breakers=tuple(b.name for b in plan.breakers),
        breaker_counts=np.array([look.breakers for look in looks], np.int64),
        client="" if plan.client is None else plan.client.name,
        client_cores=0 if plan.client is None else plan.client.cores * plan.client.processes,
        client_use=np.array([look.client for look in looks]),
        fleets=tuple(fleet.name for fleet in plan.fleets),
        fleet_replicas=np.array([fleet.replicas for fleet in plan.fleets], np.int64),
        fleet_work=alone.batched,
        fleet_use=np.array([look.fleets for look in looks]),
        arrival_s=moments[:, 0].copy(),
        end_s=moments[:, 1].copy(),
    )

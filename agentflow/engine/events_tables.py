"""Makes the tables of the event engine: the wiring that follows from a plan, the state of the runs in flight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from agentflow.engine import events_state as E
from agentflow.engine.batching_state import (
    POLICIES,
    Batches,
    Behind,
    Replica,
    StepLaw,
    StepTable,
    grow_requests,
    new_batches,
)
from agentflow.engine.state import new_output
from agentflow.plan import Breaker, Client, Fleet, Limiter, Plan, Resource
from agentflow.plan import layout as L
from agentflow.plan.layout import F64, I32, I64
from agentflow.plan.resources import SPANS
from agentflow.result import HIST_BINS

UNBOUNDED = 2**62


def wiring(plan: Plan, tenants: int = 1) -> E.Wiring:
    """Turn a plan around: which joins an end leads to, and when they are settled."""
    t = plan.tables
    n = len(t.node_i)
    edges = [(int(s), node, int(k)) for node in range(n) for s, k, _ in t.pred_i[_span(t.node_i[node], L.N_PRED_LO)]]
    beside = [(s, node) for s, node, k in edges if k <= L.EDGE_BESIDE and k != L.EDGE_CATCH]
    ends = [(s, node) for s, node, k in edges if k > L.EDGE_BESIDE or k == L.EDGE_CATCH]
    guards = sorted({int(g) for g in t.guards[: _used(t.node_i, L.N_GUARD_HI)]})
    revoked = [(g, node) for g in guards for node in _guarded_by(t, g)]
    succ_lo, succ = _lists(ends, n)
    beside_lo, besides = _lists(beside, n)
    revoke_lo, revoke = _lists(revoked, n)
    pending = np.zeros(n + 1, np.int32)
    np.add.at(pending, [node for _, node, _ in edges], 1)
    order = np.array([_order(t.node_i, node, n) for node in range(n)], np.int64)
    top = t.node_i[:, L.N_SCOPE] == n
    waits = (t.node_i[:, L.N_KIND] == L.CALL) | (t.node_i[:, L.N_KIND] == L.BEGIN)
    starts = np.flatnonzero(top & waits & (pending[:n] == 0)).astype(np.int32)
    pool, copies = _pools(len(t.backend_i), [(r.backends, copies_of(r, tenants)) for r in plan.resources])
    limit, limits = _pools(len(t.backend_i), [((q.backend,), copies_of(q, tenants)) for q in plan.limits])
    breaker = np.array([*plan.place_breakers, -1], np.int32)
    lean = _lean(t, breaker, limit) * (plan.client is None)
    guard_bit = _bits(t, guards, n)
    calls = int(np.count_nonzero(t.node_i[:, L.N_KIND] == L.CALL))
    hedges = 2 + int(t.spec_i[:, L.S_HEDGES].max())
    return E.Wiring(
        succ_lo=succ_lo,
        succ=succ,
        beside_lo=beside_lo,
        beside=besides,
        pending=pending,
        order=order,
        starts=starts,
        guard_bit=guard_bit,
        revoke_lo=revoke_lo,
        revoke=revoke,
        pool=pool,
        tenants=copies,
        limit=limit,
        limit_tenants=limits,
        breaker=breaker,
        client=_client(plan.client),
        fleet=_fleets_of(len(t.backend_i), plan.fleets),
        fleet_first=np.cumsum([0, *(fleet.replicas for fleet in plan.fleets)]).astype(np.int32),
        fleet_many=np.array([*(fleet.replicas for fleet in plan.fleets), 0], np.int32),
        fleet_overhead=np.array([*(fleet.overhead for fleet in plan.fleets), 0.0]),
        step_rank=-np.array(plan.priorities, np.float64),
        lean=lean,
        single=_single(t),
        plain=_plain(t, lean, guard_bit),
        sizes=np.array(
            [
                _top_steps(t, n),
                calls * (1 if hedges == 2 else hedges) + 8 + max((q.max_sequences for q in plan.fleets), default=0),
                plan.exports,
                len(guards),
                int(np.count_nonzero(t.node_i[:, L.N_FLAGS] & L.STREAM)),
                n,
                len(starts),
                len(plan.steps) * L.NCOMP,
            ],
            np.int64,
        ),
    )


def _span(row: I32, column: int) -> slice:
    return slice(int(row[column]), int(row[column + 1]))


def _used(node_i: I32, column: int) -> int:
    return int(node_i[:, column].max()) if len(node_i) else 0


def _lists(pairs: Iterable[tuple[int, int]], n: int) -> tuple[I32, I32]:
    """Turn (from, to) pairs into ranges of a flat list."""
    rows: list[list[int]] = [[] for _ in range(n)]
    for source, target in pairs:
        rows[source].append(target)
    bounds = np.zeros(n + 1, np.int32)
    bounds[1:] = np.cumsum([len(row) for row in rows])
    return bounds, np.array([*(x for row in rows for x in row), 0], np.int32)


def _guarded_by(t: L.Tables, guard: int) -> list[int]:
    """Visits of the guardrail's own scope that come after it."""
    same = t.node_i[:, L.N_SCOPE] == t.node_i[guard, L.N_SCOPE]
    return [int(v) for v in np.flatnonzero(same) if guard in t.guards[_span(t.node_i[v], L.N_GUARD_LO)]]


def _bits(t: L.Tables, guards: list[int], n: int) -> I64:
    """Give each guardrail that runs beside a bit of its own within its scope, in the order of the plan."""
    bits = np.zeros(n + 1, np.int64)
    seen: dict[tuple[int, int], dict[int, int]] = {}
    for g in guards:
        scope = seen.setdefault((int(t.node_i[g, L.N_SCOPE]), 0), {})
        step = int(t.node_i[g, L.N_STEP])
        bits[g] = 1 << scope.setdefault(step, len(scope) % 62)
    return bits


def _order(node_i: I32, node: int, n: int) -> int:
    """When a node's join is settled among the others of one moment: inner scopes first, then by position."""
    kind = node_i[node, L.N_KIND]
    scope = node if kind in (L.IEND, L.END) else int(node_i[node, L.N_SCOPE])
    phase = E.PH_CLOSE if kind in (L.IEND, L.END, L.CHECK) else E.PH_JOIN
    return (scope << E.SCOPE_SHIFT) | (phase << E.PHASE_SHIFT) | node


def _lean(t: L.Tables, breaker: I32, limit: I32) -> I64:
    """Whether all places of a spec are plain: no network, stall, noise, cache, reasoning, limit, breaker; no hedges."""
    plain = (t.place_i[:, L.P_SHAPE] != L.UNFIT) & (t.place_i[:, L.P_EXTRAS] == 0)
    plain &= (breaker[: len(plain)] < 0) & (limit[t.place_i[:, L.P_BACKEND]] < 0)
    found = [
        bool(plain[int(row[L.S_PLACE_LO]) : int(row[L.S_PLACE_HI])].all())
        and row[L.S_LAW] == L.LAW_MODEL
        and row[L.S_HEDGES] == 0
        for row in t.spec_i
    ]
    return np.array(found, np.int64)


def _single(t: L.Tables) -> I32:
    """Return the step that a node waits for, where that is one to be done and nothing else decides, or -1."""
    edges = [t.pred_i[_span(row, L.N_PRED_LO)] for row in t.node_i]
    alone = [
        len(found) == 1 and found[0, 1] == L.EDGE_NEED and row[L.N_JOIN] == 0 and not row[L.N_FLAGS] & L.GUARDED
        for row, found in zip(t.node_i, edges, strict=True)
    ]
    return np.array([*(e[0, 0] if one else -1 for e, one in zip(edges, alone, strict=True)), -1], np.int32)


def _plain(t: L.Tables, lean: I64, guard_bit: I64) -> I64:
    """Say of a lean call which nothing but its draws decides 1, if earlier outputs are part of its input 2, else 0."""
    call = t.node_i[:, L.N_KIND] == L.CALL
    spec = np.where(call, t.node_i[:, L.N_SPEC], 0)
    unrouted = t.spec_i[:, L.S_ROUTE_LO] == t.spec_i[:, L.S_ROUTE_HI]
    found = call & (lean[spec] == 1) & unrouted[spec] & (guard_bit[:-1] == 0) & bool(np.isinf(t.totals[1:3]).all())
    refers = (t.node_i[:, L.N_REF_LO] < t.node_i[:, L.N_REF_HI]) | (t.node_i[:, L.N_HIST] >= 0)
    return np.array([*np.where(found, 1 + refers, 0), 0], np.int64)


def _top_steps(t: L.Tables, n: int) -> int:
    kind = t.node_i[:, L.N_KIND]
    return int(np.count_nonzero((t.node_i[:, L.N_SCOPE] == n) & ((kind == L.CALL) | (kind == L.END))))


def _pools(backends: int, shared: Sequence[tuple[Sequence[int], int]]) -> tuple[I32, I32]:
    """First row of what each backend uses, or -1, and of each row how many copies stand side by side."""
    pool = np.full(backends, -1, np.int32)
    copies: list[int] = []
    for rows, number in shared:
        pool[list(rows)] = len(copies)
        copies += [number] * number
    return pool, np.array([*copies, 1], np.int32)


def copies_of(shared: Resource | Limiter, tenants: int) -> int:
    """How many copies of a resource there are, one a tenant where each has its own."""
    return tenants if shared.per_tenant else 1


def _limits(limits: Sequence[Limiter]) -> tuple[F64, I64]:
    """Make the state of rate limits: full buckets."""
    limit_f = np.zeros((len(limits) + 1, E.G_COLUMNS))
    limit_i = np.zeros((len(limits) + 1, E.M_COLUMNS), np.int64)
    for f, i, limit in zip(limit_f, limit_i, limits, strict=False):
        sizes = [UNBOUNDED if bound is None else bound for bound in limit.bounds]
        f[E.G_LEVEL : E.G_LEVEL + E.NBUCKETS] = f[E.G_SIZE : E.G_SIZE + E.NBUCKETS] = sizes
        f[E.G_RATE : E.G_RATE + E.NBUCKETS] = [
            0.0 if bound is None else bound / span for bound, span in zip(limit.bounds, SPANS, strict=True)
        ]
        i[E.M_RESERVES], i[E.M_CACHED] = E.RESERVES.index(limit.reserves), limit.counts_cached
        i[E.M_MOST] = UNBOUNDED if limit.concurrency is None else limit.concurrency
    return limit_f, limit_i


def _client(client: Client | None) -> F64:
    """Write down what the client needs."""
    if client is None:
        return np.zeros(6)
    before = client.before * client.cpu_per_call
    return np.array(
        [before, client.cpu_per_call - before, client.cpu_per_chunk, client.fixed, client.cores, client.processes],
        np.float64,
    )


IDLE = Replica(StepLaw(fixed=1.0), token_budget=1, max_sequences=1)
"""Stands where a plan has no replicas: an array has a row at least."""


def _replica(fleet: Fleet) -> Replica:
    """Make one of a fleet's replicas."""
    table = StepTable(fleet.plain_seconds, fleet.mixed_seconds, fleet.sequence, fleet.kv, fleet.mixed_kv, fleet.pair)
    rules = {"asynchronous": fleet.asynchronous, "prefix_cache": fleet.prefix_cache}
    return Replica(
        table, fleet.token_budget, fleet.max_sequences, fleet.kv_blocks, tokens_per_step=fleet.tokens_per_step, **rules
    )


def _routers(fleets: Sequence[Fleet]) -> list[Behind]:
    """Write the router before each fleet's replicas."""
    first = np.cumsum([0, *(fleet.replicas for fleet in fleets)]).tolist()
    return [
        Behind(
            fleet.replicas, POLICIES[fleet.router], fleet.spill, -1 if fleet.decode is None else first[fleet.decode],
            fleet.handover, fleet.handover_per_token,
        )
        for fleet in fleets
    ]  # fmt: skip


def _fleets_of(backends: int, fleets: Sequence[Fleet]) -> I32:
    """Fleet of each backend, or -1."""
    found = np.full(backends + 1, -1, np.int32)
    for number, fleet in enumerate(fleets):
        if fleet.backend is not None:
            found[fleet.backend] = number
    return found


def _breakers(breakers: Sequence[Breaker]) -> tuple[F64, I64]:
    """Make the state of circuit breakers: closed."""
    breaker_f = np.zeros((len(breakers) + 1, E.H_COLUMNS))
    breaker_i = np.zeros((len(breakers) + 1, E.J_COLUMNS), np.int64)
    for f, i, breaker in zip(breaker_f, breaker_i, breakers, strict=False):
        f[E.H_OPEN_FOR] = breaker.open_for
        i[[E.J_FAILURES, E.J_ERRORS, E.J_TRIALS]] = breaker.failures, breaker.errors, breaker.trials
    return breaker_f, breaker_i


def new_rows(plan: Plan, rows: int, paths: int) -> E.Rows:
    """Make room for so many runs that end and so many critical paths, and empty totals."""
    columns = new_output(plan, rows, every=True)
    return E.Rows(
        *columns,
        run=np.empty(rows, np.int64),
        moments=np.empty((rows, 2)),
        slow=np.empty(paths),
        path=np.zeros(paths * len(plan.steps) * L.NCOMP),
        order=np.arange(paths, dtype=np.int32),
        why=np.zeros((len(plan.steps) + 1, E.WHY_COLUMNS), np.int64),
    )


def new_pools(plan: Plan, wires: E.Wiring, tenants: int = 1, runs: int = 64) -> E.Pools:
    """Make the state of an empty system with room for this many runs in flight."""
    n = len(plan.tables.node_i)
    margin = int(wires.sizes[E.SZ_MARGIN])  # with room for many events between two looks at it
    flights = 4 * runs + 8 * margin
    copies = [r for r in plan.resources for _ in range(copies_of(r, tenants))]
    edges = len(wires.succ) + len(wires.beside)
    res_i = np.zeros((len(copies) + 1, E.R_COLUMNS), np.int64)
    res_i[:, [E.R_HEAD, E.R_TAIL]] = -1
    for row, r in zip(res_i, copies, strict=False):
        row[E.R_CAP], row[E.R_QUEUE] = r.concurrency, E.QUEUES.index(r.queue)
        row[E.R_MAX_QUEUE] = UNBOUNDED if r.max_queue is None else r.max_queue
    limit_f, limit_i = _limits([q for q in plan.limits for _ in range(copies_of(q, tenants))])
    breaker_f, breaker_i = _breakers(plan.breakers)
    replicas = [made for fleet in plan.fleets for made in [_replica(fleet)] * fleet.replicas] or [IDLE]
    pools = E.Pools(
        heap_t=np.zeros(0),
        heap_k=np.zeros(0, np.int64),
        heap_p=np.zeros(0, np.int64),
        slot_f=np.zeros((0, E.T_COLUMNS)),
        slot_i=np.zeros((0, E.I_COLUMNS), np.int64),
        slot_key=np.zeros(0, np.uint64),
        sf=np.zeros((0, L.STATE_COLUMNS)),
        si=np.zeros((0, E.X_COLUMNS), np.int64),
        visited=np.zeros(0, np.int32),
        exported=np.zeros(0),
        ff=np.zeros((0, E.A_COLUMNS)),
        fi=np.zeros((0, E.F_COLUMNS), np.int32),
        free_flights=np.zeros(0, np.int32),
        res_i=res_i,
        res_f=np.zeros((len(copies) + 1, E.Y_COLUMNS)),
        wait_hist=np.zeros((len(copies) + 1, HIST_BINS), np.int64),
        limit_f=limit_f,
        limit_i=limit_i,
        breaker_f=breaker_f,
        breaker_i=breaker_i,
        client_f=np.zeros((1 if plan.client is None else plan.client.processes, E.Z_COLUMNS)),
        ready=np.zeros(2 * edges + 6 * (n + 2), np.int64),
        value=np.zeros(L.Q_LATENCY + 1),
        step_stamp=np.zeros(len(plan.steps), np.int64),
        counter=np.zeros(E.COUNTERS, np.int64),
        noted=np.zeros(E.NOTED, np.int64),
        clock=np.array([0.0, -np.inf]),
        arrive_t=np.zeros(0),
        arrive_tenant=np.zeros(0, np.int32),
        replica_due=np.full(len(replicas), np.inf),
        replica_seq=np.zeros(len(replicas), np.int64),
        turns=_turns(len(replicas)),
        **new_batches(replicas, 0, _routers(plan.fleets))._asdict(),
    )
    pools.counter[E.C_FREE_SLOT] = -1
    pools.counter[E.C_REPLICAS] = len(replicas)
    pools.counter[E.C_STOP] = UNBOUNDED
    pools = grow_slots(pools, n + 1, plan.exports, runs)
    pools = grow_flights(pools, flights)
    return grow_heap(pools, 2 * flights + 32 * margin)


def _turns(replicas: int) -> I32:
    """Return the tree of whose turn it is, before any replica has something to do: the leaves, then who won."""
    turns = np.arange(2 * replicas, dtype=np.int32) - replicas
    for node in range(replicas - 1, 0, -1):
        turns[node] = turns[2 * node]
    return turns


def _grown(a: np.ndarray, rows: int) -> np.ndarray:
    made = L.aligned(np.zeros((rows, *a.shape[1:]), a.dtype))
    made[: len(a)] = a
    return made


def grow_slots(pools: E.Pools, width: int, exports: int, runs: int) -> E.Pools:
    """Make room for this many runs in flight."""
    before = len(pools.slot_i)
    grown = pools._replace(
        slot_f=_grown(pools.slot_f, runs),
        slot_i=_grown(pools.slot_i, runs),
        slot_key=_grown(pools.slot_key, runs),
        sf=_grown(pools.sf, runs * width),
        si=_grown(pools.si, runs * width),
        visited=_grown(pools.visited, runs * width),
        exported=_grown(pools.exported, runs * exports),
    )
    grown.slot_i[before:, E.I_NEXT] = [*range(before + 1, runs), pools.counter[E.C_FREE_SLOT]]
    grown.counter[E.C_FREE_SLOT], grown.counter[E.C_MOST_SLOTS] = before, runs
    return grown


def grow_flights(pools: E.Pools, flights: int) -> E.Pools:
    """Make room for this many attempts under way."""
    before = len(pools.fi)
    requests = grow_requests(Batches(*(getattr(pools, name) for name in Batches._fields)), flights)
    free = pools.free_flights[: pools.counter[E.C_FREE_FLIGHTS]]
    grown = pools._replace(
        ff=_grown(pools.ff, flights),
        fi=_grown(pools.fi, flights),
        free_flights=_grown(np.concatenate([free, np.arange(before, flights, dtype=np.int32)[::-1]]), flights),
        **requests._asdict(),
    )
    grown.fi[before:, E.F_SIB] = -1
    grown.counter[E.C_FREE_FLIGHTS] += flights - before
    grown.counter[E.C_MOST_FLIGHTS] = flights
    return grown


def grow_heap(pools: E.Pools, events: int) -> E.Pools:
    """Make room for this many events."""
    pools.counter[E.C_MOST_EVENTS] = events
    names, before = ("heap_t", "heap_k", "heap_p"), len(pools.heap_t)
    grown = pools._replace(**{name: _grown(getattr(pools, name), events + 4) for name in names})
    grown.heap_t[before:] = np.inf  # four children can be compared wherever there is one
    return grown

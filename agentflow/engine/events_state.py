"""What the event kernel reads besides a plan, and what it writes: tables of events, runs, calls and resources.

Columns are named by a prefix for the table: X of a visit (after those of `plan.layout`), T and I of a run in flight
(floats and integers), A and F of an attempt under way (floats and integers), Y and R of a resource, C counters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentflow.engine.batching_state import Batches
from agentflow.engine.state import FROZEN, WIDTHS, Output
from agentflow.plan import layout as L
from agentflow.plan.layout import F64, I32, I64, U64
from agentflow.plan.resources import BUCKETS
from agentflow.result import HIST_BINS

# visits: status of one under way, and columns of W.si: some stand where only the Monte Carlo engine has others, so that
# what every visit needs lies within a line of the cache; the others after those of the layout
RUNNING = 8
X_PEND, X_FLIGHT, X_GUARDS = L.V_FORCED, L.V_AT, L.V_PLAIN
(X_ITER, X_DONE, X_FAILED, X_HEAD, X_TAIL, X_NEXT, X_REPLICA, X_FREED) = range(L.VISIT_COLUMNS, L.VISIT_COLUMNS + 8)
X_COLUMNS = 24
X_BY = X_DONE  # of a call that failed: what of the load made its error; what stands there else is of maps alone

# events that happen at one moment happen in this order
(K_END, K_ARRIVE, K_STREAM, K_REPLICA, K_HEDGE, K_TODO, K_DEADLINE, K_USER) = range(8)
KIND_SHIFT = 58

# what is left to settle in a run, in the order of its scope, then phase, then node
SCOPE_SHIFT, PHASE_SHIFT, NODE_MASK = 20, 18, (1 << 18) - 1
ITEM_MASK, TURN_SHIFT, TURN_MASK = (1 << 38) - 1, 38, (1 << 20) - 1
PH_REJECT, PH_FAIL, PH_JOIN, PH_CLOSE = range(4)

# runs in flight
T_ARRIVAL, T_NOW, T_SERVICE, T_BEST, T_USE = range(5)
T_TURN = T_USE + L.NUSE  # the moment at which it last had to wait for its turn to settle
T_COLUMNS = 16
(I_RUN, I_COUNTS, I_STAMP, I_VISITED, I_TOP, I_TENANT, I_BEST, I_FALLBACK) = range(8)
(I_NEXT, I_USER, I_ALIVE, I_GEN, I_TURN) = range(8, 13)
I_COLUMNS = 16

# attempts under way
(FREE, BACKOFF, ON_WAY, QUEUED, SERVED, TIMER, WON, LOST, REFUSED, HANDLED, BATCHED) = range(11)
(
    A_T0,
    A_NET,
    A_PREFILL,
    A_GAP,
    A_OUT,
    A_WAIT,
    A_LENGTH,
    A_END,
    A_STALL,
    A_GROWTH,
    A_REASONING,
    A_CACHED,
    A_CLIENT,  # seconds at the client before the request is sent
    A_START,
    A_FIRST,
    A_HANG,
    A_RETRY_AFTER,
    A_RANK,
    A_SEQ,  # when it came into a ranked queue
    A_SET_IN,  # tokens set aside by a rate limit
    A_SET_OUT,
    A_FLOW,  # core-seconds a second that its chunks ask for
    A_SHOWN,  # how late the client shows its first token
    A_PROMPT,  # tokens that a replica that batches computes
) = range(24)
A_COMP = 24
A_COLUMNS = A_COMP + 16
(
    F_SLOT,
    F_NODE,
    F_PLACE,
    F_GEN,
    F_STATE,
    F_ERR,
    F_KIND,
    F_CUT,  # whether a timeout ends it
    F_CALLED,  # attempts at this place; -1 before the first of all
    F_RES,
    F_LIMIT,
    F_BREAKER,
    F_TRY,
    F_TRIES,
    F_TRIES2,
    F_TRIES3,
    F_SIB,  # the next copy of a hedged call; -1 where there is none
    F_COPY,
    F_AT,
    F_NEXT,
    F_PREV,
    F_CHILD,
    F_ERA,  # the breaker's when it began
    F_REPLICA,
) = range(24)
F_COLUMNS = 32

# resources
FIFO, PRIORITY, SJF, LAS, AGE = range(5)
QUEUES = ("fifo", "priority", "sjf", "las", "age")
(R_CAP, R_QUEUE, R_MAX_QUEUE, R_BUSY, R_LENGTH, R_HEAD, R_TAIL, R_SERVED, R_REJECTED, R_LEFT) = range(10)
R_COLUMNS = 10
(Y_BUSY, Y_LENGTH, Y_WAIT, Y_WAIT2) = range(4)
Y_COLUMNS = 4

# rate limits: six buckets (level, size, refill a second), the moment of the levels, and what was used
NBUCKETS = len(BUCKETS)
(B_RPM, B_RPD, B_TPM, B_TPD, B_ITPM, B_OTPM) = range(NBUCKETS)
G_LEVEL, G_SIZE, G_RATE, G_AT, G_IN, G_OUT = 0, NBUCKETS, 2 * NBUCKETS, 3 * NBUCKETS, 3 * NBUCKETS + 1, 3 * NBUCKETS + 2
G_COLUMNS = 3 * NBUCKETS + 3
(M_RESERVES, M_CACHED, M_BUSY, M_MOST, M_ADMITTED, M_REFUSED) = range(6)
CAUSES = (*BUCKETS, "concurrency")
M_COLUMNS = M_REFUSED + len(CAUSES)
(BY_INPUT, BY_NOTHING, BY_MAX_TOKENS) = range(3)
RESERVES = (None, "nothing", "max_tokens")
ENOUGH = 1e-9  # share of a bucket that may be missing: what rounding takes from a wait that was just long enough

# why runs end without an answer: what of the load made an error, above the error's own bits; and the columns of a
# table by step (the first row is for none) and outcome: no error, each kind that was drawn, what of the load made one
BY_NONE, BY_QUEUE, BY_LIMIT, BY_BREAKER, BY_WAIT = range(5)
ERROR_BITS = 3
WHY_ERROR, WHY_BY = 1, len(L.ERRORS)
WHY_KINDS = WHY_BY + BY_WAIT + 1
WHY_COLUMNS = 3 * WHY_KINDS

# circuit breakers
(CLOSED, OPEN, HALF_OPEN) = range(3)
(
    J_STATE,
    J_ERA,
    J_ROW,  # failures in a row
    J_FAILURES,
    J_ERRORS,
    J_TRIALS,
    J_TRYING,
    J_PASSED,
    J_REFUSED,
    J_OPENED,
) = range(10)
J_COLUMNS = 10
H_UNTIL, H_OPEN_FOR = range(2)
H_COLUMNS = 2

# the client: what it needs, and one row a process: unfinished work (s), the moment of that, what chunks ask for
(O_BEFORE, O_AFTER, O_CHUNK, O_FIXED, O_CORES, O_PROCESSES) = range(6)
(Z_WORK, Z_AT, Z_FLOW, Z_BUSY, Z_WAITED, Z_BURSTS) = range(6)
Z_COLUMNS = 6

# moments: the last event's; and the least E2E of which the critical path is written down
N_CLOCK, N_SLOW = range(2)

# counters
(
    C_HEAP,
    C_SEQ,
    C_RUNS,
    C_POS,
    C_LEN,
    C_FREE_SLOT,
    C_FREE_FLIGHTS,  # how many of the attempts' rows are free: `Pools.free_flights`, the last of which is taken first
    C_BEYOND,  # as L.K_BEYOND: what the helpers of `engine.kernel` count
    C_HOLE,  # whether the first event has been taken out of the heap, and its place is still to be filled
    C_ROWS,
    C_READY,
    C_FIRST,
    C_LAST,
    C_LEFT,
    C_MOST,
    C_CLOSED,
    C_OFFSET,
    C_STOP,
    C_ENDED,
    C_MOST_ROWS,
    C_MOST_SLOTS,
    C_MOST_FLIGHTS,
    C_MOST_EVENTS,
    C_BY_NUMBER,  # whether a run's row is the one of its number
    C_PATHS,
    C_MOST_PATHS,
    C_NOTED,
    C_REPLICAS,
) = range(28)
COUNTERS = 28
# why the kernel came back
(DONE, NEED_ARRIVALS, NEED_ROWS, NEED_SLOTS, NEED_FLIGHTS, NEED_HEAP, TICKED, STARVED, REACHED) = range(9)


NOTED = 512  # visits whose latencies are put into the histogram at once


class Wiring(NamedTuple):
    """What follows from a plan for a walk in the order of events; N nodes, B backends.

    succ_lo int32[N + 1] into succ: the nodes whose joins wait for a node's end; beside_lo, beside the same for
    its start (guardrails that run beside); pending int32[N]: edges into a node; order int64[N]: when it is settled;
    starts: top-level nodes that wait for nothing; guard_bit int64[N]; revoke_lo, revoke: what a rejection may
    take back; pool int32[B]: first resource of a backend or -1; tenants int32[R]: how many copies a
    resource has, one a tenant; limit int32[B], limit_tenants the same for rate limits; breaker int32[places];
    client float64[6]: what the client needs, no cores if it needs nothing; fleet int32[B]: replicas that batch, or -1;
    single int32[N]: the one step that a plain join waits for, or -1; plain int64[N]: 1 for a lean call without
    routes, guardrails beside and budgets, 2 if it has references or a history, else 0;
    fleet_first, fleet_many: its replicas; fleet_overhead: seconds of a request before they know of it.
    """

    succ_lo: I32
    succ: I32
    beside_lo: I32
    beside: I32
    pending: I32
    order: I64
    starts: I32
    guard_bit: I64
    revoke_lo: I32
    revoke: I32
    pool: I32
    tenants: I32
    limit: I32
    limit_tenants: I32
    breaker: I32
    client: F64
    fleet: I32
    fleet_first: I32
    fleet_many: I32
    fleet_overhead: F64
    step_rank: F64
    lean: I64
    single: I32
    plain: I64
    sizes: I64


SZ_TOP, SZ_MARGIN, SZ_EXPORTS, SZ_GUARDS, SZ_STREAMS, SZ_NODES, SZ_STARTS, SZ_PATH = range(8)


class Pools(NamedTuple):
    """State of all runs in flight. The tables grow: H events, S runs, F attempts; R resources.

    The next change of each replica's batch stands apart from the other events, for every request that comes may move
    it: replica_due, and replica_seq, when that was scheduled; turns int32[2 x replicas]: a tournament, whose winner,
    turns[1], is due first.
    """

    heap_t: F64
    heap_k: I64
    heap_p: I64
    slot_f: F64
    slot_i: I64
    slot_key: U64
    sf: F64
    si: I64
    visited: I32
    exported: F64
    ff: F64
    fi: I32
    free_flights: I32
    res_i: I64
    res_f: F64
    wait_hist: I64
    limit_f: F64
    limit_i: I64
    breaker_f: F64
    breaker_i: I64
    client_f: F64
    ready: I64
    value: F64
    step_stamp: I64
    counter: I64
    noted: I64
    clock: F64
    arrive_t: F64
    arrive_tenant: I32
    replica_due: F64
    replica_seq: I64
    turns: I32
    # the fields of `batching_state.Batches`, for whose functions this is one; a request has its attempt's row
    limits: I64
    law: F64
    steps: F64
    replica_i: I64
    replica_f: F64
    phases: I64
    heap_key: I64
    heap_id: I64
    notes: I64
    told: I64
    request_i: I64
    request_f: F64


class Rows(NamedTuple):
    """Runs that have ended, by number or those since the last look in the order of their ends, and totals by step.

    The first ten as in `engine.state.Output`; run int64[M]; moments float64[M, 2]: arrival and end (s). Of runs whose
    E2E is not below a bound: slow float64[K]: E2E (s); path float64[K x S x C]: seconds on the critical path, by step
    and component; order int32[K]: in which row each is written, one after the other. why int64[S + 1, .]: runs without
    an answer, by what ended them (`engine.reasons`).
    """

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
    run: I64
    moments: F64
    slow: F64
    path: F64
    order: I32
    why: I64


WIDTHS[Wiring] = dict.fromkeys(Wiring._fields, 1)
WIDTHS[Pools] = (
    dict.fromkeys(Pools._fields, 1)
    | {"slot_f": T_COLUMNS, "slot_i": I_COLUMNS, "sf": L.STATE_COLUMNS, "si": X_COLUMNS}
    | {"ff": A_COLUMNS, "fi": F_COLUMNS, "res_i": R_COLUMNS, "res_f": Y_COLUMNS, "wait_hist": HIST_BINS}
    | {
        "limit_f": G_COLUMNS,
        "limit_i": M_COLUMNS,
        "breaker_f": H_COLUMNS,
        "breaker_i": J_COLUMNS,
        "client_f": Z_COLUMNS,
    }
    | {name: WIDTHS[Batches][name] for name in Batches._fields}
)
WIDTHS[Rows] = dict.fromkeys(Rows._fields, 1) | WIDTHS[Output] | {"moments": 2, "why": WHY_COLUMNS}
FROZEN.add(Wiring)

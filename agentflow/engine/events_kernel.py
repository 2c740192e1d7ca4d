"""The compiled event engine: one timeline, many runs in flight, shared backends; one interpreter for every plan.

It reads the tables that the Monte Carlo kernel reads and follows the same rules with the same draws, but in the order
of time: an event ends an attempt, the visit's end resolves edges, joins fire, calls start. Where a backend has a
capacity, an attempt first waits for a slot. `docs/semantics.md` says what a run means.

Times of a run count from its arrival, as in the Monte Carlo kernel, so that nothing is lost to rounding on a long
timeline; only the event queue and the resources know absolute time. Events at one moment happen by kind and then in
the order in which they were scheduled; what they lead to in a run is settled once all ends of the moment have been
seen. The kernel allocates nothing: where a table is full it returns, the caller grows the table, and it goes on.

Small functions come from `engine.kernel`; their source is part of this kernel's cache key (see `SOURCES`).
"""

from __future__ import annotations

import sys
from math import inf
from typing import Any

import numpy as np
from numba import njit

from agentflow.engine import batching_kernel, constants, helpers, lanes, lowering, state
from agentflow.engine import batching_state as S
from agentflow.engine import events_state as E
from agentflow.engine import kernel as mc
from agentflow.engine.batching_kernel import cancel as leave_replica
from agentflow.engine.batching_kernel import change, decoded, fits, route, seconds_on_way, submit, tokens_kept
from agentflow.engine.constants import GOLDEN
from agentflow.engine.helpers import OPTIONS, helper
from agentflow.engine.kernel import (
    SLOWEST,
    U1,
    U64,
    crit_code,
    draw,
    draw_key,
    four_draws,
    gaps_in,
    lasting,
    mix,
    ndtri,
    noise_of_call,
    rare,
    route_of,
    served,
    span,
    strike,
    uniform,
    wait_of_layer,
    whole,
)
from agentflow.engine.kernel import exp as exp_
from agentflow.engine.lowering import reference
from agentflow.plan import layout as L
from agentflow.result import HIST_BINS, HIST_OFFSET

put_lanes: Any = lanes.put_lanes
add_lanes: Any = lanes.add_lanes
add_row: Any = lanes.add_row
least_of_four: Any = lanes.least_of_four

inlined = helper(forceinline=True)
compiled = helper()
NCOMP = L.NCOMP
LOW32 = (1 << 32) - 1
AT_ONCE = 1e-13  # share of a moment by which it may differ from itself: what slots hand on is rounded


# --- the event queue -----------------------------------------------------------------------------------


@compiled
def push(W, t, key, what):  # type: ignore[no-untyped-def]
    """Put an event into the heap, in the order of (time, key); where the first one has been taken, from there down."""
    if W.counter[E.C_HOLE]:
        W.counter[E.C_HOLE] = 0
        sink(W, W.counter[E.C_HEAP], t, key, what)
    else:
        i = W.counter[E.C_HEAP]
        W.counter[E.C_HEAP] = i + 1
        sift_up(W, i, t, key, what)


@inlined
def sift_up(W, i, t, key, what):  # type: ignore[no-untyped-def]
    """Let an event rise from place i to where it belongs."""
    while i > 0:
        parent = (i - 1) >> 2
        tp = W.heap_t[parent]
        if tp < t or (tp == t and W.heap_k[parent] <= key):
            break
        W.heap_t[i] = tp
        W.heap_k[i] = W.heap_k[parent]
        W.heap_p[i] = W.heap_p[parent]
        i = parent
    W.heap_t[i] = t
    W.heap_k[i] = key
    W.heap_p[i] = what


@inlined
def sink(W, n, t, key, what):  # type: ignore[no-untyped-def]
    """Let an event sink from the top of the heap of n, four children a node, and rise again to where it belongs.

    Most events belong near the bottom (Wegener 1993). The children are compared at once, without branches, which could
    not be foreseen; equal times are rare, and after the last event times are inf.
    """
    i = np.int64(0)
    child = np.int64(1)
    while child < n:
        least, tied = least_of_four(W.heap_t, child)
        best = child + least if not tied else first_of(W, child, child + 4)
        W.heap_t[i] = W.heap_t[best]
        W.heap_k[i] = W.heap_k[best]
        W.heap_p[i] = W.heap_p[best]
        i = best
        child = 4 * i + 1
    sift_up(W, i, t, key, what)


@inlined
def fill(W):  # type: ignore[no-untyped-def]
    """Close the hole that an event left which led to no other: the last one fills it."""
    W.counter[E.C_HOLE] = 0
    n = W.counter[E.C_HEAP] - 1
    W.counter[E.C_HEAP] = n
    t = W.heap_t[n]
    W.heap_t[n] = inf
    if n > 0:
        sink(W, n, t, W.heap_k[n], W.heap_p[n])


@compiled
def first_of(W, child, end):  # type: ignore[no-untyped-def]
    """The first event of places child to end - 1."""
    best = child
    for other in range(child + 1, end):
        t, first = W.heap_t[other], W.heap_t[best]
        if t < first or (t == first and W.heap_k[other] < W.heap_k[best]):
            best = np.int64(other)
    return best


@inlined
def next_key(W, kind):  # type: ignore[no-untyped-def]
    """Key of an event of this kind that is scheduled now."""
    W.counter[E.C_SEQ] += 1
    return np.int64((np.int64(kind) << E.KIND_SHIFT) | W.counter[E.C_SEQ])


@inlined
def schedule(W, f, slot, moment, kind):  # type: ignore[no-untyped-def]
    """Schedule the next event of attempt f, at a moment of its run; an earlier one is void."""
    gen = (W.fi[f, E.F_GEN] + 1) & 0x7FFFFFFF
    W.fi[f, E.F_GEN] = gen
    W.ff[f, E.A_END] = moment
    push(W, W.slot_f[slot, E.T_ARRIVAL] + moment, next_key(W, kind), (np.int64(f) << 32) | gen)


# --- what is left to settle --------------------------------------------------------------------------------


@compiled
def ready_push(W, item):  # type: ignore[no-untyped-def]
    """Note something to settle in the run at hand."""
    i = W.counter[E.C_READY]
    W.counter[E.C_READY] = i + 1
    while i > 0:
        parent = (i - 1) >> 1
        if W.ready[parent] <= item:
            break
        W.ready[i] = W.ready[parent]
        i = parent
    W.ready[i] = item


@inlined
def ready_drop(W):  # type: ignore[no-untyped-def]
    """Take out the first thing to settle."""
    n = W.counter[E.C_READY] - 1
    W.counter[E.C_READY] = n
    last = W.ready[n]
    i = np.int64(0)
    child = np.int64(1)
    while child < n:
        if child + 1 < n and W.ready[child + 1] < W.ready[child]:
            child += 1
        if last <= W.ready[child]:
            break
        W.ready[i] = W.ready[child]
        i = child
        child = 2 * i + 1
    W.ready[i] = last


@inlined
def item(scope, phase, node):  # type: ignore[no-untyped-def]
    """Name a thing to settle."""
    return (np.int64(scope) << E.SCOPE_SHIFT) | (np.int64(phase) << E.PHASE_SHIFT) | np.int64(node)


# --- resources -----------------------------------------------------------------------------------------------


@inlined
def note_wait(P, Q, W, O, r, waited):  # type: ignore[no-untyped-def]
    """Count the wait of a call that did wait."""
    W.res_f[r, E.Y_WAIT] += waited
    W.res_f[r, E.Y_WAIT2] += waited * waited
    place = (np.float64(waited).view(np.int64) >> 45) - HIST_OFFSET
    place = place if place > 0 else np.int64(0)
    W.wait_hist[r, place if place < HIST_BINS - 1 else HIST_BINS - 1] += 1


@inlined
def before(W, a, b):  # type: ignore[no-untyped-def]
    """Whether attempt a goes before b in a ranked queue."""
    ra, rb = W.ff[a, E.A_RANK], W.ff[b, E.A_RANK]
    return ra < rb or (ra == rb and W.ff[a, E.A_SEQ] < W.ff[b, E.A_SEQ])


@inlined
def meld(W, a, b):  # type: ignore[no-untyped-def]
    """Make one pairing heap of two; -1 is the empty one."""
    if a < 0:
        return b
    if b < 0:
        return a
    if before(W, b, a):
        a, b = b, a
    child = W.fi[a, E.F_CHILD]
    W.fi[b, E.F_NEXT] = child
    if child >= 0:
        W.fi[child, E.F_PREV] = b
    W.fi[b, E.F_PREV] = a
    W.fi[a, E.F_CHILD] = b
    return a


@compiled
def merge_children(W, first):  # type: ignore[no-untyped-def]
    """Make one pairing heap of siblings, in two passes (Fredman et al. 1986)."""
    pairs = np.int64(-1)
    while first >= 0:
        a = first
        b = W.fi[a, E.F_NEXT]
        if b < 0:
            W.fi[a, E.F_NEXT] = pairs
            pairs = a
            break
        first = W.fi[b, E.F_NEXT]
        a = meld(W, a, b)
        W.fi[a, E.F_NEXT] = pairs
        pairs = a
    root = np.int64(-1)
    while pairs >= 0:
        following = W.fi[pairs, E.F_NEXT]
        W.fi[pairs, E.F_NEXT] = -1
        root = meld(W, root, pairs)
        pairs = following
    if root >= 0:
        W.fi[root, E.F_PREV] = -1
        W.fi[root, E.F_NEXT] = -1
    return root


@compiled
def ranked_put(P, Q, W, O, r, f):  # type: ignore[no-untyped-def]
    """Put an attempt into a ranked queue."""
    slot = W.fi[f, E.F_SLOT]
    queue = W.res_i[r, E.R_QUEUE]
    rank = 0.0
    if queue == E.PRIORITY:
        rank = Q.step_rank[P.node_i[W.fi[f, E.F_NODE], L.N_STEP]]
    elif queue == E.SJF:
        rank = W.ff[f, E.A_LENGTH]
    elif queue == E.LAS:
        rank = np.floor(W.slot_f[slot, E.T_SERVICE] * 1e9 + 0.5)  # equal services are to be equal
    else:
        rank = W.slot_f[slot, E.T_ARRIVAL]
    W.ff[f, E.A_RANK] = rank
    W.counter[E.C_SEQ] += 1
    W.ff[f, E.A_SEQ] = np.float64(W.counter[E.C_SEQ])
    W.fi[f, E.F_CHILD] = -1
    W.fi[f, E.F_NEXT] = -1
    W.fi[f, E.F_PREV] = -1
    root = meld(W, W.res_i[r, E.R_HEAD], f)
    W.fi[root, E.F_PREV] = -1
    W.res_i[r, E.R_HEAD] = root


@compiled
def ranked_take(W, r, f):  # type: ignore[no-untyped-def]
    """Take an attempt out of a ranked queue, wherever it stands."""
    below = merge_children(W, W.fi[f, E.F_CHILD])
    root = W.res_i[r, E.R_HEAD]
    if f == root:
        W.res_i[r, E.R_HEAD] = below
        return
    left, right = W.fi[f, E.F_PREV], W.fi[f, E.F_NEXT]
    if W.fi[left, E.F_CHILD] == f:
        W.fi[left, E.F_CHILD] = right
    else:
        W.fi[left, E.F_NEXT] = right
    if right >= 0:
        W.fi[right, E.F_PREV] = left
    root = meld(W, root, below)
    W.fi[root, E.F_PREV] = -1
    W.fi[root, E.F_NEXT] = -1
    W.res_i[r, E.R_HEAD] = root


@compiled
def put(P, Q, W, O, r, f):  # type: ignore[no-untyped-def]
    """Queue an attempt at a resource."""
    W.res_i[r, E.R_LENGTH] += 1
    if W.res_i[r, E.R_QUEUE] != E.FIFO:
        ranked_put(P, Q, W, O, r, f)
        return
    tail = W.res_i[r, E.R_TAIL]
    W.fi[f, E.F_PREV] = tail
    W.fi[f, E.F_NEXT] = -1
    if tail >= 0:
        W.fi[tail, E.F_NEXT] = f
    else:
        W.res_i[r, E.R_HEAD] = f
    W.res_i[r, E.R_TAIL] = f


@compiled
def take(W, r, f):  # type: ignore[no-untyped-def]
    """Take an attempt out of a resource's queue."""
    W.res_i[r, E.R_LENGTH] -= 1
    if W.res_i[r, E.R_QUEUE] != E.FIFO:
        ranked_take(W, r, f)
        return
    left, right = W.fi[f, E.F_PREV], W.fi[f, E.F_NEXT]
    if left >= 0:
        W.fi[left, E.F_NEXT] = right
    else:
        W.res_i[r, E.R_HEAD] = right
    if right >= 0:
        W.fi[right, E.F_PREV] = left
    else:
        W.res_i[r, E.R_TAIL] = left


@inlined
def serve(P, Q, W, O, f, r, waited):  # type: ignore[no-untyped-def]
    """Let an attempt have a slot, after a wait of so many seconds."""
    W.res_i[r, E.R_BUSY] += 1
    W.res_i[r, E.R_SERVED] += 1
    W.fi[f, E.F_STATE] = E.SERVED
    plan_end(P, Q, W, O, f, waited)
    schedule(W, f, W.fi[f, E.F_SLOT], W.ff[f, E.A_T0] + W.ff[f, E.A_LENGTH], E.K_END)
    if Q.client[E.O_CHUNK] > 0.0:
        expect_stream(P, Q, W, O, f)


@compiled
def serve_next(P, Q, W, O, r, clock):  # type: ignore[no-untyped-def]
    """Let the first in the queue have the slot that became free."""
    head = W.res_i[r, E.R_HEAD]
    take(W, r, head)
    begin = W.ff[head, E.A_T0] + W.ff[head, E.A_NET]
    waited = clock - W.slot_f[W.fi[head, E.F_SLOT], E.T_ARRIVAL] - begin
    waited = waited if waited > 0.0 else 0.0
    note_wait(P, Q, W, O, r, waited)
    W.res_f[r, E.Y_LENGTH] += waited
    serve(P, Q, W, O, head, r, waited)


@inlined
def release(P, Q, W, O, f, r, length, clock):  # type: ignore[no-untyped-def]
    """Free the slot of an attempt that ends after this length; the first in the queue takes it."""
    held = length - W.ff[f, E.A_NET] - W.ff[f, E.A_WAIT]
    W.res_f[r, E.Y_BUSY] += held
    W.slot_f[W.fi[f, E.F_SLOT], E.T_SERVICE] += held
    W.res_i[r, E.R_BUSY] -= 1
    if W.res_i[r, E.R_HEAD] >= 0 and W.res_i[r, E.R_BUSY] < W.res_i[r, E.R_CAP]:
        serve_next(P, Q, W, O, r, clock)


@inlined
def arrive(P, Q, W, O, f, r):  # type: ignore[no-untyped-def]
    """An attempt reaches its backend: it is served, queued or turned away."""
    if W.res_i[r, E.R_BUSY] < W.res_i[r, E.R_CAP]:
        serve(P, Q, W, O, f, r, 0.0)
    else:
        wait_for_slot(P, Q, W, O, f, r)


@compiled
def wait_for_slot(P, Q, W, O, f, r):  # type: ignore[no-untyped-def]
    """All slots are busy: an attempt joins the queue, where it may time out, or is turned away."""
    spec = P.node_i[W.fi[f, E.F_NODE], L.N_SPEC]
    if W.res_i[r, E.R_LENGTH] >= W.res_i[r, E.R_MAX_QUEUE]:
        W.res_i[r, E.R_REJECTED] += 1
        turn_away(P, Q, W, O, f, -1.0, E.BY_QUEUE)
        return
    plan_end(P, Q, W, O, f, 0.0)
    W.ff[f, E.A_WAIT] = inf
    W.fi[f, E.F_STATE] = E.QUEUED
    put(P, Q, W, O, r, f)
    bound = min(P.spec_f[spec, L.S_ATTEMPT], P.spec_f[spec, L.S_IDLE])
    if W.fi[f, E.F_KIND] == L.TIMEOUT:
        bound = min(bound, W.ff[f, E.A_HANG])
    if bound < inf:
        W.ff[f, E.A_LENGTH] = bound
        schedule(W, f, W.fi[f, E.F_SLOT], W.ff[f, E.A_T0] + bound, E.K_END)


@compiled
def turn_away(P, Q, W, O, f, retry_after, by):  # type: ignore[no-untyped-def]
    """Let an attempt fail with `rate_limit` where it has reached its backend."""
    W.fi[f, E.F_RES] = -1 - by
    W.fi[f, E.F_STATE] = E.SERVED
    W.fi[f, E.F_KIND] = L.RATE_LIMIT
    W.fi[f, E.F_ERR] = L.RATE_LIMIT
    W.fi[f, E.F_AT] = L.AT_START
    W.fi[f, E.F_CUT] = 0
    W.ff[f, E.A_RETRY_AFTER] = retry_after
    W.ff[f, E.A_WAIT] = 0.0
    W.ff[f, E.A_LENGTH] = W.ff[f, E.A_NET]
    schedule(W, f, W.fi[f, E.F_SLOT], W.ff[f, E.A_T0] + W.ff[f, E.A_NET], E.K_END)


# --- rate limits and circuit breakers ------------------------------------------------------------------------


@compiled
def refill(W, q, t):  # type: ignore[no-untyped-def]
    """Bring a rate limit's buckets to a moment of the timeline."""
    passed = t - W.limit_f[q, E.G_AT]
    W.limit_f[q, E.G_AT] = t
    for k in range(E.NBUCKETS):
        level = W.limit_f[q, E.G_LEVEL + k] + passed * W.limit_f[q, E.G_RATE + k]
        W.limit_f[q, E.G_LEVEL + k] = min(level, W.limit_f[q, E.G_SIZE + k])


@inlined
def asked(k, tokens_in, tokens_out):  # type: ignore[no-untyped-def]
    """What an attempt takes from bucket k."""
    if k == E.B_RPM or k == E.B_RPD:
        return 1.0
    return (0.0 if k == E.B_OTPM else tokens_in) + (0.0 if k == E.B_ITPM else tokens_out)


@compiled
def admit(P, Q, W, O, f, q):  # type: ignore[no-untyped-def]
    """Let an attempt pass a rate limit, which sets its tokens aside, or turn it away; return whether it passes."""
    place, slot = W.fi[f, E.F_PLACE], W.fi[f, E.F_SLOT]
    tokens = W.sf[slot * (Q.sizes[E.SZ_NODES] + 1) + W.fi[f, E.F_NODE], L.F_INPUT]
    refill(W, q, W.slot_f[slot, E.T_ARRIVAL] + W.ff[f, E.A_T0] + W.ff[f, E.A_NET])
    reserves = W.limit_i[q, E.M_RESERVES]
    set_in = 0.0 if reserves == E.BY_NOTHING else tokens - (0.0 if W.limit_i[q, E.M_CACHED] else W.ff[f, E.A_CACHED])
    set_out = 0.0
    if reserves == E.BY_MAX_TOKENS and P.place_f[place, L.P_MAX_TOKENS] < inf:
        room = P.backend_f[P.place_i[place, L.P_BACKEND], L.B_CONTEXT] - tokens
        set_out = max(0.0, min(P.place_f[place, L.P_MAX_TOKENS], room))
    wait, cause = -1.0, np.int64(-1)
    if W.limit_i[q, E.M_BUSY] >= W.limit_i[q, E.M_MOST]:
        cause = np.int64(E.NBUCKETS)
    for k in range(E.NBUCKETS):
        level, size, rate = W.limit_f[q, E.G_LEVEL + k], W.limit_f[q, E.G_SIZE + k], W.limit_f[q, E.G_RATE + k]
        need = asked(k, set_in, set_out)
        if rate == 0.0 or (level + E.ENOUGH * size >= need and (need > 0.0 or level > 0.0)):
            continue
        missing = (min(need, size) if need > 0.0 else 1.0) - level
        if missing / rate > wait:
            wait = missing / rate
            cause = np.int64(k) if cause != E.NBUCKETS else cause
    if cause >= 0:
        W.limit_i[q, E.M_REFUSED + cause] += 1
        W.fi[f, E.F_LIMIT] = -1
        turn_away(P, Q, W, O, f, wait, E.BY_LIMIT)
        return False
    for k in range(E.NBUCKETS):
        W.limit_f[q, E.G_LEVEL + k] -= asked(k, set_in, set_out)
    W.limit_i[q, E.M_ADMITTED] += 1
    W.limit_i[q, E.M_BUSY] += 1
    W.fi[f, E.F_LIMIT] = q
    W.ff[f, E.A_SET_IN] = set_in
    W.ff[f, E.A_SET_OUT] = set_out
    return True


@compiled
def settle_limit(P, Q, W, O, f, length, tokens, cached, out):  # type: ignore[no-untyped-def]
    """An attempt that passed a rate limit is over: count what it used instead of what was set aside."""
    q = W.fi[f, E.F_LIMIT]
    W.fi[f, E.F_LIMIT] = -1
    refill(W, q, W.slot_f[W.fi[f, E.F_SLOT], E.T_ARRIVAL] + W.ff[f, E.A_T0] + length)
    used = tokens - (0.0 if W.limit_i[q, E.M_CACHED] else cached)
    more_in, more_out = used - W.ff[f, E.A_SET_IN], out - W.ff[f, E.A_SET_OUT]
    for k in range(E.B_TPM, E.NBUCKETS):
        level = W.limit_f[q, E.G_LEVEL + k] - asked(k, more_in, more_out)
        W.limit_f[q, E.G_LEVEL + k] = min(level, W.limit_f[q, E.G_SIZE + k])
    W.limit_i[q, E.M_BUSY] -= 1
    W.limit_f[q, E.G_IN] += used
    W.limit_f[q, E.G_OUT] += out


@inlined
def turn_breaker(W, k, to):  # type: ignore[no-untyped-def]
    """Change a breaker's state; what began before no longer counts."""
    W.breaker_i[k, E.J_STATE] = to
    W.breaker_i[k, E.J_ERA] += 1
    W.breaker_i[k, E.J_ROW] = 0
    W.breaker_i[k, E.J_TRYING] = 0
    W.breaker_i[k, E.J_PASSED] = 0


@compiled
def permits(W, f, k, t):  # type: ignore[no-untyped-def]
    """Whether a breaker lets an attempt begin at this moment of the timeline."""
    i = W.breaker_i
    if i[k, E.J_STATE] == E.OPEN and t >= W.breaker_f[k, E.H_UNTIL]:
        turn_breaker(W, k, E.HALF_OPEN)
    if i[k, E.J_STATE] == E.OPEN or (
        i[k, E.J_STATE] == E.HALF_OPEN and i[k, E.J_TRYING] + i[k, E.J_PASSED] >= i[k, E.J_TRIALS]
    ):
        i[k, E.J_REFUSED] += 1
        return False
    if i[k, E.J_STATE] == E.HALF_OPEN:
        i[k, E.J_TRYING] += 1
    W.fi[f, E.F_BREAKER] = k
    W.fi[f, E.F_ERA] = i[k, E.J_ERA]
    return True


@compiled
def tell_breaker(W, f, err, t):  # type: ignore[no-untyped-def]
    """Tell a breaker how an attempt ended: -1 well, -2 cut, else its error."""
    k = W.fi[f, E.F_BREAKER]
    W.fi[f, E.F_BREAKER] = -1
    i = W.breaker_i
    if i[k, E.J_ERA] != W.fi[f, E.F_ERA]:
        return
    failed = err >= 0 and (i[k, E.J_ERRORS] >> err) & 1 == 1
    if i[k, E.J_STATE] == E.HALF_OPEN:
        i[k, E.J_TRYING] -= 1
        if err == -1:
            i[k, E.J_PASSED] += 1
            if i[k, E.J_PASSED] >= i[k, E.J_TRIALS]:
                turn_breaker(W, k, E.CLOSED)
    elif err == -1:
        i[k, E.J_ROW] = 0
    elif failed:
        i[k, E.J_ROW] += 1
        failed = i[k, E.J_ROW] >= i[k, E.J_FAILURES]
    if failed:
        turn_breaker(W, k, E.OPEN)
        i[k, E.J_OPENED] += 1
        W.breaker_f[k, E.H_UNTIL] = t + W.breaker_f[k, E.H_OPEN_FOR]


@compiled
def refuse(W, f, now):  # type: ignore[no-untyped-def]
    """An open breaker lets an attempt not begin."""
    W.fi[f, E.F_STATE] = E.REFUSED
    W.fi[f, E.F_ERR] = L.SERVER_ERROR
    W.ff[f, E.A_LENGTH] = 0.0
    schedule(W, f, W.fi[f, E.F_SLOT], now, E.K_END)


# --- the client ------------------------------------------------------------------------------------------------


@inlined
def process_of(Q, W, f):  # type: ignore[no-untyped-def]
    """Row of the client process in which an attempt's run lives."""
    return W.slot_i[W.fi[f, E.F_SLOT], E.I_RUN] % np.int64(Q.client[E.O_PROCESSES])


@compiled
def work_off(Q, W, c, t):  # type: ignore[no-untyped-def]
    """Bring a process's unfinished work to a moment of the timeline: chunks flow in, its cores work it off."""
    passed = t - W.client_f[c, E.Z_AT]
    flow = W.client_f[c, E.Z_FLOW]
    W.client_f[c, E.Z_AT] = t
    W.client_f[c, E.Z_BUSY] += flow * passed
    W.client_f[c, E.Z_WORK] = max(0.0, W.client_f[c, E.Z_WORK] + (flow - Q.client[E.O_CORES]) * passed)


@compiled
def burst(Q, W, f, t, cpu):  # type: ignore[no-untyped-def]
    """Let a process do something for an attempt after all that it has been asked before; return how long it takes."""
    c = process_of(Q, W, f)
    work_off(Q, W, c, t)
    wait = W.client_f[c, E.Z_WORK] / Q.client[E.O_CORES]
    W.client_f[c, E.Z_WORK] += cpu
    W.client_f[c, E.Z_BUSY] += cpu
    W.client_f[c, E.Z_WAITED] += wait
    W.client_f[c, E.Z_BURSTS] += 1.0
    return wait + cpu


@compiled
def expect_stream(P, Q, W, O, f):  # type: ignore[no-untyped-def]
    """Schedule the first token of an attempt, whose chunks from then on ask for the client's cores."""
    first = W.ff[f, E.A_NET] + W.ff[f, E.A_WAIT] + W.ff[f, E.A_STALL] + W.ff[f, E.A_PREFILL]
    first += span(W.ff[f, E.A_GAP], W.ff[f, E.A_GROWTH], W.ff[f, E.A_REASONING])
    if first < W.ff[f, E.A_LENGTH] and W.fi[f, E.F_KIND] != L.TIMEOUT:
        moment = W.slot_f[W.fi[f, E.F_SLOT], E.T_ARRIVAL] + W.ff[f, E.A_T0] + first
        push(W, moment, next_key(W, E.K_STREAM), (np.int64(f) << 32) | W.fi[f, E.F_GEN])


@compiled
def begin_stream(Q, W, f, clock):  # type: ignore[no-untyped-def]
    """The first token of an attempt is there."""
    rest, chunk = W.ff[f, E.A_OUT] - 1.0, Q.client[E.O_CHUNK]
    W.ff[f, E.A_SHOWN] = burst(Q, W, f, clock, chunk)
    if rest >= 1.0:
        seen = W.ff[f, E.A_GAP] + W.ff[f, E.A_GROWTH] * W.ff[f, E.A_REASONING]
        W.ff[f, E.A_FLOW] = chunk * rest / span(seen, W.ff[f, E.A_GROWTH], rest)
        W.client_f[process_of(Q, W, f), E.Z_FLOW] += W.ff[f, E.A_FLOW]


@compiled
def end_stream(Q, W, f, t):  # type: ignore[no-untyped-def]
    """No more chunks of an attempt come."""
    c = process_of(Q, W, f)
    work_off(Q, W, c, t)
    W.client_f[c, E.Z_FLOW] = max(0.0, W.client_f[c, E.Z_FLOW] - W.ff[f, E.A_FLOW])
    W.ff[f, E.A_FLOW] = 0.0


@compiled
def hand_over(P, Q, W, O, f, v, now, clock):  # type: ignore[no-untyped-def]
    """An attempt's answer, or its error, is there: the client has to look at it."""
    spec = P.node_i[W.fi[f, E.F_NODE], L.N_SPEC]
    seconds = burst(Q, W, f, clock, Q.client[E.O_AFTER])
    if P.spec_i[spec, L.S_HEDGES] > 0:
        W.ff[f, E.A_COMP + L.C_CLIENT] += seconds
    else:
        W.sf[v, L.F_COMP + L.C_CLIENT] += seconds
    W.fi[f, E.F_STATE] = E.HANDLED
    schedule(W, f, W.fi[f, E.F_SLOT], now + seconds, E.K_END)


# --- replicas that batch ---------------------------------------------------------------------------------------


@inlined
def watch(W, r):  # type: ignore[no-untyped-def]
    """Note when a replica's batch changes next, and whose turn that makes it."""
    due = W.replica_f[r, S.Y_NEXT]
    if due != W.replica_due[r]:
        W.replica_due[r] = due
        W.counter[E.C_SEQ] += 1
        W.replica_seq[r] = W.counter[E.C_SEQ]
        replay(W, (r + W.counter[E.C_REPLICAS]) >> 1)


@inlined
def replay(W, i):  # type: ignore[no-untyped-def]
    """Play the matches of a tournament again, from node i to the final."""
    while i > 0:
        a, b = W.turns[2 * i], W.turns[2 * i + 1]
        ta, tb = W.replica_due[a], W.replica_due[b]
        W.turns[i] = b if tb < ta or (tb == ta and W.replica_seq[b] < W.replica_seq[a]) else a
        i >>= 1


@compiled
def tokens_of(W, f):  # type: ignore[no-untyped-def]
    """Tokens that an attempt generates, at least the one that every answer has."""
    return max(np.int64(1), np.int64(W.ff[f, E.A_REASONING] + W.ff[f, E.A_OUT]))


@inlined
def fits_fleet(W, r, prompt, output):  # type: ignore[no-untyped-def]
    """Whether a request fits replica r, and those that would decode it, alone."""
    other = W.limits[r, S.G_DECODE]
    return fits(W, r, prompt, output) and (other < 0 or fits(W, other, prompt, output))


@inlined
def keep_prefix(P, Q, W, f, r, slot, spec, clock):  # type: ignore[no-untyped-def]
    """A loop's history is cached only where it was computed, until others take its blocks; a declared prefix always."""
    node, base = W.fi[f, E.F_NODE], slot * (Q.sizes[E.SZ_NODES] + 1)
    prev = base + P.node_i[node, L.N_PREV]
    if W.ff[f, E.A_CACHED] > 0.0 and P.spec_i[spec, L.S_CACHED] < 0:
        kept = tokens_kept(W, r, W.si[prev, E.X_FREED], clock) if W.si[prev, E.X_REPLICA] == r else 0.0
        W.ff[f, E.A_CACHED] = min(W.ff[f, E.A_CACHED], kept)
    W.si[base + node, E.X_REPLICA] = r


@inlined
def note_freed(Q, W, f, r):  # type: ignore[no-untyped-def]
    """Note when an attempt's blocks were freed at the replica that computed its prompt."""
    v = W.fi[f, E.F_SLOT] * (Q.sizes[E.SZ_NODES] + 1) + W.fi[f, E.F_NODE]
    if W.si[v, E.X_REPLICA] == r:
        W.si[v, E.X_FREED] = W.request_i[f, S.Q_EVICTED]


@compiled
def hand_cache_over(P, Q, W, f, r, clock):  # type: ignore[no-untyped-def]
    """A prompt is done at a prefilling replica: its cache is on its way to those that decode, unless time is up."""
    note_freed(Q, W, f, r)
    slot = W.fi[f, E.F_SLOT]
    base = W.slot_f[slot, E.T_ARRIVAL]
    prompt = W.ff[f, E.A_PROMPT]
    W.request_f[f, S.Z_FINISHED] = -1.0
    lands = clock + seconds_on_way(W, r, prompt) - base
    bound = W.ff[f, E.A_T0] + P.spec_f[P.node_i[W.fi[f, E.F_NODE], L.N_SPEC], L.S_ATTEMPT]
    if bound <= lands:
        schedule(W, f, W.fi[f, E.F_SLOT], bound, E.K_END)
    else:
        schedule(W, f, W.fi[f, E.F_SLOT], lands, E.K_ARRIVE)


@compiled
def join_decode(P, W, f):  # type: ignore[no-untyped-def]
    """A prompt's cache reaches the replicas that decode."""
    r = route(W, W.limits[W.fi[f, E.F_REPLICA], S.G_DECODE], W.slot_i[W.fi[f, E.F_SLOT], E.I_RUN])
    clock = W.slot_f[W.fi[f, E.F_SLOT], E.T_ARRIVAL] + W.ff[f, E.A_END]
    W.fi[f, E.F_REPLICA] = r
    prompt = np.int64(W.ff[f, E.A_PROMPT])
    submit(W, r, f, clock, prompt, np.int64(0), prompt, tokens_of(W, f))
    watch(W, r)
    bound = P.spec_f[P.node_i[W.fi[f, E.F_NODE], L.N_SPEC], L.S_ATTEMPT]
    if bound < inf:
        schedule(W, f, W.fi[f, E.F_SLOT], W.ff[f, E.A_T0] + bound, E.K_END)


@compiled
def join_batch(P, Q, W, O, f, fleet, tokens):  # type: ignore[no-untyped-def]
    """An attempt reaches the replica that the router of its fleet chooses."""
    slot = W.fi[f, E.F_SLOT]
    r = route(W, np.int64(Q.fleet_first[fleet]), W.slot_i[slot, E.I_RUN])
    spec = P.node_i[W.fi[f, E.F_NODE], L.N_SPEC]
    now = W.ff[f, E.A_T0] + W.ff[f, E.A_NET]
    prompt, output = max(np.int64(1), np.int64(tokens)), tokens_of(W, f)
    W.ff[f, E.A_PROMPT] = prompt
    W.fi[f, E.F_REPLICA] = r
    W.fi[f, E.F_CUT] = 0
    W.fi[f, E.F_ERR] = W.fi[f, E.F_KIND]
    if W.fi[f, E.F_KIND] == L.TIMEOUT or not fits_fleet(W, r, prompt, output):
        if W.fi[f, E.F_KIND] != L.TIMEOUT:
            turn_away(P, Q, W, O, f, -1.0, E.BY_NONE)
            W.fi[f, E.F_KIND] = L.CONTEXT_OVERFLOW
            W.fi[f, E.F_ERR] = L.CONTEXT_OVERFLOW
            return
        W.fi[f, E.F_STATE] = E.SERVED
        plan_end(P, Q, W, O, f, 0.0)
        schedule(W, f, W.fi[f, E.F_SLOT], W.ff[f, E.A_T0] + W.ff[f, E.A_LENGTH], E.K_END)
        return
    W.fi[f, E.F_STATE] = E.BATCHED
    W.ff[f, E.A_WAIT] = inf
    W.request_f[f, S.Z_FIRST] = -1.0
    W.request_f[f, S.Z_FINISHED] = -1.0
    clock = W.slot_f[slot, E.T_ARRIVAL] + now
    keep_prefix(P, Q, W, f, r, slot, spec, clock)
    here = output if W.limits[r, S.G_DECODE] < 0 else np.int64(1)
    submit(W, r, f, clock, prompt, np.int64(W.ff[f, E.A_CACHED]), np.int64(0), here)
    watch(W, r)
    bound = min(P.spec_f[spec, L.S_ATTEMPT], P.spec_f[spec, L.S_IDLE])
    if bound < inf:
        schedule(W, f, W.fi[f, E.F_SLOT], W.ff[f, E.A_T0] + bound, E.K_END)


@compiled
def stop_batched(P, Q, W, O, f, now, clock):  # type: ignore[no-untyped-def]
    """An attempt at a replica is over, by itself or cut: write down how its time went, as the law of one would."""
    r = W.fi[f, E.F_REPLICA]
    base = W.slot_f[W.fi[f, E.F_SLOT], E.T_ARRIVAL] + W.ff[f, E.A_T0]
    finished = W.request_f[f, S.Z_FINISHED] >= 0.0
    if not finished and leave_replica(W, r, f, clock):
        watch(W, r)
    note_freed(Q, W, f, r)
    length = now - W.ff[f, E.A_T0]
    scheduled, first = W.request_f[f, S.Z_SCHEDULED], W.request_f[f, S.Z_FIRST]
    W.ff[f, E.A_LENGTH] = length
    W.ff[f, E.A_STALL] = 0.0
    W.ff[f, E.A_GROWTH] = 0.0
    W.ff[f, E.A_GAP] = 1.0
    W.ff[f, E.A_WAIT] = max(0.0, scheduled - base - W.ff[f, E.A_NET]) if scheduled >= 0.0 else inf
    W.ff[f, E.A_PREFILL] = inf
    if first >= 0.0:
        W.ff[f, E.A_PREFILL] = first - base - W.ff[f, E.A_NET] - W.ff[f, E.A_WAIT]
        gaps = np.float64(tokens_of(W, f) - 1)
        if not finished:
            gaps = np.float64(decoded(W, r, f)) + 0.5
        if gaps > 0.0:
            W.ff[f, E.A_GAP] = max(length - (first - base), 1e-12) / gaps


@compiled
def end_batched(P, Q, W, O, f, now, clock):  # type: ignore[no-untyped-def]
    """An attempt at a replica ends by its last token, its error or a timeout."""
    stop_batched(P, Q, W, O, f, now, clock)
    kind, at = W.fi[f, E.F_KIND], W.fi[f, E.F_AT]
    first = W.request_f[f, S.Z_FIRST]
    broken = kind >= 0 and at == L.AT_FIRST and first >= 0.0
    if broken or W.request_f[f, S.Z_FINISHED] >= 0.0:
        W.fi[f, E.F_ERR] = kind
    else:
        W.fi[f, E.F_ERR] = L.TIMEOUT
        W.fi[f, E.F_CUT] = 1


@compiled
def change_batch(P, Q, W, O, r, clock):  # type: ignore[no-untyped-def]
    """The batch of a replica changes: first tokens, last tokens; return the attempt that ends now if there is one only.

    Where several end, each has an event of its own: what they lead to is settled after the last.
    """
    W.replica_due[r] = -1.0
    told = change(W, r)
    only, ends = np.int64(-1), 0
    for i in range(told):
        f, what = W.told[i] >> 2, W.told[i] & 3
        spec = P.node_i[W.fi[f, E.F_NODE], L.N_SPEC]
        arrival = W.slot_f[W.fi[f, E.F_SLOT], E.T_ARRIVAL]
        now = clock - arrival
        now += max(0.0, clock - (arrival + now))  # not before now by rounding
        broken = W.fi[f, E.F_KIND] >= 0 and W.fi[f, E.F_AT] == L.AT_FIRST
        if what & S.NOTE_LAST and not broken and W.limits[r, S.G_DECODE] >= 0 and tokens_of(W, f) > 1:
            hand_cache_over(P, Q, W, f, r, clock)
        elif what & S.NOTE_LAST or broken:
            ends += 1
            if ends == 1 and arrival + now == clock:
                only = f
                W.ff[f, E.A_END] = now
            else:
                schedule_both(W, only, f, now)
                only = np.int64(-1)
        elif P.spec_f[spec, L.S_IDLE] < P.spec_f[spec, L.S_ATTEMPT]:
            W.fi[f, E.F_GEN] = (W.fi[f, E.F_GEN] + 1) & 0x7FFFFFFF
            if P.spec_f[spec, L.S_ATTEMPT] < inf:
                schedule(W, f, W.fi[f, E.F_SLOT], W.ff[f, E.A_T0] + P.spec_f[spec, L.S_ATTEMPT], E.K_END)
        more = W.request_f[f, S.Z_FINISHED] < 0.0
        if what & S.NOTE_FIRST and more and not broken and Q.client[E.O_CHUNK] > 0.0:
            W.ff[f, E.A_SHOWN] = burst(Q, W, f, clock, Q.client[E.O_CHUNK])
    watch(W, r)
    return only


@compiled
def schedule_both(W, first, f, now):  # type: ignore[no-untyped-def]
    """Schedule the end of an attempt, after that of the one that ended alone so far."""
    if first >= 0:
        schedule(W, first, W.fi[first, E.F_SLOT], W.ff[first, E.A_END], E.K_END)
    schedule(W, f, W.fi[f, E.F_SLOT], now, E.K_END)


# --- one attempt -----------------------------------------------------------------------------------------


@inlined
def smooth_end(P, spec, waited, prefill, gap, out):  # type: ignore[no-untyped-def]
    """Length of a lean attempt that runs to its end, and whether no timeout strikes before."""
    first, rest = waited + prefill, out - 1.0
    end = first + (rest if rest > 0.0 else 0.0) * gap
    idle = P.spec_f[spec, L.S_IDLE]
    return end, (first <= idle) & (gap <= idle) & (end <= P.spec_f[spec, L.S_ATTEMPT])


@inlined
def plan_end(P, Q, W, O, f, waited):  # type: ignore[no-untyped-def]
    """How an attempt will end if nobody cuts it, once it is known how long it waited for its slot."""
    spec = P.node_i[W.fi[f, E.F_NODE], L.N_SPEC]
    kind = W.fi[f, E.F_KIND]
    end, smooth = smooth_end(P, spec, waited, W.ff[f, E.A_PREFILL], W.ff[f, E.A_GAP], W.ff[f, E.A_OUT])
    if smooth and Q.lean[spec] == 1 and is_whole(kind, W.fi[f, E.F_AT]):
        W.ff[f, E.A_WAIT] = waited
        W.fi[f, E.F_ERR] = kind
        W.fi[f, E.F_CUT] = 0
        W.ff[f, E.A_LENGTH] = end
    else:
        plan_any_end(P, Q, W, O, f, waited)


@inlined
def is_whole(kind, at):  # type: ignore[no-untyped-def]
    """Whether an attempt with this error runs to its end."""
    return kind < 0 or (at == L.AT_END and kind != L.TIMEOUT)


@compiled
def plan_any_end(P, Q, W, O, f, waited):  # type: ignore[no-untyped-def]
    """`plan_end` for all attempts."""
    spec = P.node_i[W.fi[f, E.F_NODE], L.N_SPEC]
    kind, at = W.fi[f, E.F_KIND], W.fi[f, E.F_AT]
    gap, growth = W.ff[f, E.A_GAP], W.ff[f, E.A_GROWTH]
    out, reasoning = W.ff[f, E.A_OUT], W.ff[f, E.A_REASONING]
    t_net = W.ff[f, E.A_NET]
    W.ff[f, E.A_WAIT] = waited
    W.fi[f, E.F_CUT] = 0
    t_prefill = t_net + waited + W.ff[f, E.A_STALL] + W.ff[f, E.A_PREFILL]
    t_first = t_prefill + span(gap, growth, reasoning)
    seen = gap + growth * reasoning
    end = t_first + span(seen, growth, max(0.0, out - 1.0))
    end = lasting(end, kind, W.ff[f, E.A_HANG], at, t_net if at == L.AT_START else t_prefill)
    if kind == L.TIMEOUT:
        t_first = inf
    bound = P.spec_f[spec, L.S_IDLE]
    if t_first > bound:
        idle = bound
    elif out >= 2.0 and seen + growth * (out - 2.0) > bound:
        before = 0.0 if seen > bound else np.floor((bound - seen) / growth) + 1.0
        idle = t_first + span(seen, growth, before) + bound
    else:
        idle = inf
    idle = min(idle, P.spec_f[spec, L.S_ATTEMPT])
    err = kind
    if idle < end:
        end, err = idle, np.int64(L.TIMEOUT)
        W.fi[f, E.F_CUT] = 1
    W.fi[f, E.F_ERR] = err
    W.ff[f, E.A_LENGTH] = end


@compiled
def error_of(P, place, u, ak):  # type: ignore[no-untyped-def]
    """`kernel.strike`, out of line."""
    return strike(P, place, u, ak)


@compiled
def slowdown(P, b, run_key, ak):  # type: ignore[no-untyped-def]
    """Slowdown of one attempt: the run's factor for the backend times the call's own noise."""
    s = 1.0
    sd = P.backend_f[b, L.B_SD_RUN]
    if sd > 0.0:
        s = exp_(sd * ndtri(P.normal, uniform(mix(run_key ^ P.backend_key[b]))))
    if P.backend_f[b, L.B_SD_CALL] > 0.0:
        s *= noise_of_call(P, b, ak)
    return s


@compiled
def cached_tokens(P, Q, W, O, base, node, b, spec, tokens, node_key):  # type: ignore[no-untyped-def]
    """Input tokens of this visit that backend b has in its prefix cache."""
    hit = P.backend_f[b, L.B_HIT]
    if hit <= 0.0:
        return 0.0
    d = P.spec_i[spec, L.S_CACHED]
    prev = P.node_i[node, L.N_PREV]
    cached = 0.0
    if d >= 0:
        cached = whole(rare(P, d, draw_key(node_key, L.QV_CACHED)))
    elif prev >= 0:
        same = W.si[base + prev, L.V_STAMP] == W.si[base + node, L.V_STAMP]
        if same and W.si[base + prev, L.V_STATUS] != L.NONE and W.si[base + prev, L.V_BACKEND] == b:
            cached = W.sf[base + prev, L.F_INPUT]
    cached = min(cached, tokens)
    if cached < P.backend_f[b, L.B_CACHE_MIN] or uniform(draw_key(node_key, L.QV_HIT)) >= hit:
        return 0.0
    block = P.backend_f[b, L.B_CACHE_BLOCK]
    return np.floor(cached / block) * block


@inlined
def begin_lean(P, Q, W, O, f, slot, node, spec, place, tokens, now, ttft, rate, out, ak):  # type: ignore[no-untyped-def]
    """Send off the first attempt of a lean call, whose quantities are drawn."""
    f_ = P.place_f
    if uniform(draw_key(ak, L.Q_ERROR)) < f_[place, L.P_ERR_TOTAL] or tokens > f_[place, L.P_LONGEST]:
        begin_any(P, Q, W, O, f, now)
        return
    most, room = f_[place, L.P_MAX_TOKENS], f_[place, L.P_CONTEXT] - tokens
    room = room if room < most else most
    more = tokens - f_[place, L.P_TTFT_INPUT]
    out = whole(out)
    out = out if out < room else room
    prefill = ttft + (more if more > 0.0 else 0.0) * f_[place, L.P_PREFILL]
    gap = 1.0 / (rate if rate > SLOWEST else SLOWEST)
    length, smooth = smooth_end(P, spec, 0.0, prefill, gap, out)
    row = f * E.A_COLUMNS
    put_lanes(W.ff, row + E.A_T0, (now, 0.0, prefill, gap))
    put_lanes(W.ff, row + E.A_STALL, (0.0, 0.0, 0.0, 0.0))
    put_lanes(W.ff, row + E.A_OUT, (out, 0.0, length, now + length))
    W.ff[f, E.A_CLIENT] = 0.0
    r = np.int64(Q.pool[P.place_i[place, L.P_BACKEND]])
    if r >= 0 and Q.tenants[r] > 1:
        r += W.slot_i[slot, E.I_TENANT] % Q.tenants[r]
    W.fi[f, E.F_RES] = r
    if r >= 0 and W.res_i[r, E.R_BUSY] >= W.res_i[r, E.R_CAP]:
        W.fi[f, E.F_KIND] = -1
        wait_for_slot(P, Q, W, O, f, r)
        return
    if r >= 0:
        W.res_i[r, E.R_BUSY] += 1
        W.res_i[r, E.R_SERVED] += 1
    put_lanes(W.fi, f * E.F_COLUMNS + E.F_STATE, (E.SERVED, np.int64(-1), np.int64(-1), np.int64(0)))
    if not smooth:
        plan_any_end(P, Q, W, O, f, 0.0)
    schedule(W, f, slot, now + W.ff[f, E.A_LENGTH] if not smooth else now + length, E.K_END)


@compiled
def begin_any(P, Q, W, O, f, now):  # type: ignore[no-untyped-def]
    """Draw any attempt and send it off."""
    slot, node, place = W.fi[f, E.F_SLOT], W.fi[f, E.F_NODE], W.fi[f, E.F_PLACE]
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    spec = P.node_i[node, L.N_SPEC]
    run_key = W.slot_key[slot]
    node_key = mix(run_key ^ P.node_hash[node])
    ak = node_key + U64 * (np.uint64(W.fi[f, E.F_TRY]) + U1) * GOLDEN
    ra = -1.0
    W.ff[f, E.A_T0] = now
    W.ff[f, E.A_CLIENT] = 0.0
    W.ff[f, E.A_FLOW] = 0.0
    W.ff[f, E.A_SHOWN] = 0.0
    W.fi[f, E.F_RES] = -1
    W.fi[f, E.F_LIMIT] = -1
    k = np.int64(Q.breaker[place])
    if k >= 0 and not permits(W, f, k, W.slot_f[slot, E.T_ARRIVAL] + now):
        refuse(W, f, now)
        return
    kind, at, hang = np.int64(-1), np.int64(0), 0.0
    total = P.place_f[place, L.P_ERR_TOTAL]
    if total > 0.0:
        u = uniform(draw_key(ak, L.Q_ERROR))
        if u < total:
            kind, at, ra, hang = error_of(P, place, u, ak)
    net, stall, reasoning, cached = 0.0, 0.0, 0.0, 0.0
    r = q = fleet = np.int64(-1)
    if P.spec_i[spec, L.S_LAW] == L.LAW_MODEL:
        tokens = W.sf[base + node, L.F_INPUT]
        b = np.int64(P.place_i[place, L.P_BACKEND])
        room = P.backend_f[b, L.B_CONTEXT] - tokens
        if max(1.0, P.spec_f[spec, L.S_MAX_TOKENS]) > room:
            kind, at, ra = np.int64(L.CONTEXT_OVERFLOW), np.int64(L.AT_START), -1.0
        room = max(0.0, min(P.place_f[place, L.P_MAX_TOKENS], room))
        for j in range(P.place_i[place, L.P_DRAW_LO], P.place_i[place, L.P_DRAW_HI]):
            what = P.draw_i[j, 0]
            W.value[what] = draw(P, P.draw_i[j, 1], ak, what)
        s = slowdown(P, b, run_key, ak)
        cached = cached_tokens(P, Q, W, O, base, node, b, spec, tokens, node_key)
        if P.place_i[place, L.P_REASONING]:
            reasoning = min(whole(W.value[L.Q_REASONING]), room)
        if P.place_i[place, L.P_NETWORK]:
            net = W.value[L.Q_NETWORK]
        if Q.client[E.O_CORES] > 0.0:
            client = burst(Q, W, f, W.slot_f[slot, E.T_ARRIVAL] + now, Q.client[E.O_BEFORE]) + Q.client[E.O_FIXED]
            W.ff[f, E.A_CLIENT] = client
            net += client
        chance = P.backend_f[b, L.B_STALL]
        if chance > 0.0 and uniform(draw_key(ak, L.Q_STALL)) < chance:
            stall = s * rare(P, P.backend_i[b, L.B_STALL_DIST], draw_key(ak, L.Q_STALL_TIME))
        prefill, gap, growth = 0.0, 0.0, 0.0
        if P.backend_i[b, L.B_LAW] == L.LAW_MEASURED:
            more = max(0.0, tokens - cached - P.backend_f[b, L.B_TTFT_INPUT])
            prefill = W.value[L.Q_TTFT] + more * P.backend_f[b, L.B_PREFILL]
            gap = s / max(W.value[L.Q_RATE], SLOWEST)
        elif Q.fleet[b] < 0:  # replicas that batch have a law for steps instead
            wait, prefill, gap, growth = served(P, W, b, tokens, cached)
            stall, gap, growth = stall + wait * s, gap * s, growth * s
        W.ff[f, E.A_NET] = net
        W.ff[f, E.A_STALL] = stall
        W.ff[f, E.A_PREFILL] = prefill * s
        W.ff[f, E.A_GAP] = gap
        W.ff[f, E.A_GROWTH] = growth
        W.ff[f, E.A_REASONING] = reasoning
        W.ff[f, E.A_OUT] = min(whole(W.value[L.Q_OUTPUT]), room - reasoning)
        W.ff[f, E.A_CACHED] = cached
        r = np.int64(Q.pool[b])
        if r >= 0 and Q.tenants[r] > 1:
            r += W.slot_i[slot, E.I_TENANT] % Q.tenants[r]
        q = np.int64(Q.limit[b])
        if q >= 0 and Q.limit_tenants[q] > 1:
            q += W.slot_i[slot, E.I_TENANT] % Q.limit_tenants[q]
        bound = min(P.spec_f[spec, L.S_ATTEMPT], P.spec_f[spec, L.S_IDLE])
        if kind == L.TIMEOUT:
            bound = min(bound, hang)
        elif kind >= 0 and at == L.AT_START:
            bound = net
        fleet = np.int64(Q.fleet[b])
        if fleet >= 0:
            net += Q.fleet_overhead[fleet]
            W.ff[f, E.A_NET] = net
        if bound <= net:  # over before it is there
            r = q = fleet = np.int64(-1)
    else:
        d = np.int64(P.draw_i[P.place_i[place, L.P_DRAW_LO], 1])
        latency = rare(P, d, draw_key(ak, L.Q_LATENCY))
        out = 0.0
        if P.place_i[place, L.P_OUTPUT]:
            out = whole(rare(P, np.int64(P.draw_i[P.place_i[place, L.P_DRAW_LO] + 1, 1]), draw_key(ak, L.Q_OUTPUT)))
        W.ff[f, E.A_OUT] = out
        end = lasting(latency, kind, hang, at, 0.0 if at == L.AT_START else latency)
        bound = min(P.spec_f[spec, L.S_IDLE], P.spec_f[spec, L.S_ATTEMPT])
        W.fi[f, E.F_ERR] = kind
        if bound < end:
            end, ra = bound, -1.0
            W.fi[f, E.F_ERR] = L.TIMEOUT
        W.ff[f, E.A_LENGTH] = end
    W.ff[f, E.A_HANG] = hang
    W.ff[f, E.A_RETRY_AFTER] = ra
    W.fi[f, E.F_KIND] = kind
    W.fi[f, E.F_AT] = at
    W.fi[f, E.F_CUT] = 0
    W.fi[f, E.F_RES] = r
    W.fi[f, E.F_LIMIT] = -2 - q if q >= 0 else -1  # it has not passed yet
    if r < 0 and q < 0 and fleet < 0:
        W.fi[f, E.F_STATE] = E.SERVED
        if P.spec_i[spec, L.S_LAW] == L.LAW_MODEL:
            plan_end(P, Q, W, O, f, 0.0)
        schedule(W, f, W.fi[f, E.F_SLOT], now + W.ff[f, E.A_LENGTH], E.K_END)
        if Q.client[E.O_CHUNK] > 0.0 and P.spec_i[spec, L.S_LAW] == L.LAW_MODEL:
            expect_stream(P, Q, W, O, f)
    elif net > 0.0:
        W.fi[f, E.F_STATE] = E.ON_WAY
        W.ff[f, E.A_WAIT] = inf
        schedule(W, f, W.fi[f, E.F_SLOT], now + net, E.K_ARRIVE)
    else:
        reach(P, Q, W, O, f)


@compiled
def reach(P, Q, W, O, f):  # type: ignore[no-untyped-def]
    """An attempt reaches its backend: first its rate limit, then its slots."""
    if W.fi[f, E.F_STATE] == E.BATCHED:
        join_decode(P, W, f)
        return
    q, r = -2 - W.fi[f, E.F_LIMIT], W.fi[f, E.F_RES]
    if q >= 0 and not admit(P, Q, W, O, f, q):
        return
    fleet = np.int64(Q.fleet[P.place_i[W.fi[f, E.F_PLACE], L.P_BACKEND]])
    if fleet >= 0:
        v = W.fi[f, E.F_SLOT] * (Q.sizes[E.SZ_NODES] + 1) + W.fi[f, E.F_NODE]
        join_batch(P, Q, W, O, f, fleet, W.sf[v, L.F_INPUT])
        return
    if r >= 0:
        arrive(P, Q, W, O, f, r)
        return
    W.fi[f, E.F_STATE] = E.SERVED
    plan_end(P, Q, W, O, f, 0.0)
    schedule(W, f, W.fi[f, E.F_SLOT], W.ff[f, E.A_T0] + W.ff[f, E.A_LENGTH], E.K_END)
    if Q.client[E.O_CHUNK] > 0.0:
        expect_stream(P, Q, W, O, f)


@compiled
def add_parts(A, row, column, net, queue, prefill, reasoning, decode):  # type: ignore[no-untyped-def]
    """Add an attempt's seconds to a row of components."""
    A[row, column + L.C_NETWORK] += net
    A[row, column + L.C_QUEUE] += queue
    A[row, column + L.C_PREFILL] += prefill
    A[row, column + L.C_REASONING] += reasoning
    A[row, column + L.C_DECODE] += decode


@compiled
def charge(P, Q, W, O, f, v, spec, length, err):  # type: ignore[no-untyped-def]
    """Count what an attempt of this length used; the error is -1 for success and -2 for a cut."""
    hedged = P.spec_i[spec, L.S_HEDGES] > 0
    if W.fi[f, E.F_CALLED] < 0:
        W.fi[f, E.F_CALLED] = 0
        if Q.lean[spec] == 1:
            clear_use(W, v)
    if P.spec_i[spec, L.S_LAW] != L.LAW_MODEL:
        if hedged:
            W.ff[f, E.A_COMP + P.spec_i[spec, L.S_COMP]] += length
        else:
            W.sf[v, L.F_COMP + P.spec_i[spec, L.S_COMP]] += length
        return length
    place = W.fi[f, E.F_PLACE]
    b = P.place_i[place, L.P_BACKEND]
    kind, at = W.fi[f, E.F_KIND], W.fi[f, E.F_AT]
    gap, growth = W.ff[f, E.A_GAP], W.ff[f, E.A_GROWTH]
    reasoning, out = W.ff[f, E.A_REASONING], W.ff[f, E.A_OUT]
    tokens, cached = W.sf[v, L.F_INPUT], W.ff[f, E.A_CACHED]
    t_net = W.ff[f, E.A_NET]
    t_queue = t_net + W.ff[f, E.A_WAIT] + W.ff[f, E.A_STALL]
    t_prefill = t_queue + W.ff[f, E.A_PREFILL]
    t_first = t_prefill + span(gap, growth, reasoning)
    seen = gap + growth * reasoning
    stopped = kind >= 0 and (kind == L.TIMEOUT or at != L.AT_END)
    counted = length >= t_net if kind == L.TIMEOUT else kind < 0 or at != L.AT_START
    if kind == L.TIMEOUT:
        t_queue = t_prefill = t_first = inf
    if err == -2:
        stopped = counted = True
    elif W.fi[f, E.F_CUT]:
        stopped, counted = True, length >= t_net
    if stopped:
        if length < t_first or (err == kind and at != L.AT_END):
            out = 0.0
            if length > t_prefill:
                reasoning = min(reasoning, gaps_in(gap, growth, length - t_prefill))
            else:
                reasoning = 0.0
        else:
            out = min(out, 1.0 + gaps_in(seen, growth, length - t_first))
        t_net = min(length, t_net)
        t_queue = min(length, t_queue)
        t_prefill = min(length, t_prefill)
        t_first = min(length, t_first)
    client = min(t_net, W.ff[f, E.A_CLIENT])
    if hedged:
        W.ff[f, E.A_COMP + L.C_CLIENT] += client
        add_parts(
            W.ff,
            f,
            E.A_COMP,
            t_net - client,
            t_queue - t_net,
            t_prefill - t_queue,
            t_first - t_prefill,
            length - t_first,
        )
    else:
        W.sf[v, L.F_COMP + L.C_CLIENT] += client
        add_parts(
            W.sf,
            v,
            L.F_COMP,
            t_net - client,
            t_queue - t_net,
            t_prefill - t_queue,
            t_first - t_prefill,
            length - t_first,
        )
        W.si[v, L.V_BACKEND] = b
    W.fi[f, E.F_CALLED] += 1
    if W.fi[f, E.F_CALLED] == 1:
        W.sf[v, L.F_USE + L.U_CALLS] += 1.0
    W.sf[v, L.F_USE + L.U_ATTEMPTS] += 1.0
    cost = P.backend_f[b, L.B_PRICE_CALL]
    if counted:
        W.sf[v, L.F_USE + L.U_INPUT] += tokens
        W.sf[v, L.F_USE + L.U_CACHED] += cached
        W.sf[v, L.F_USE + L.U_OUTPUT] += out
        W.sf[v, L.F_USE + L.U_REASONING] += reasoning
        W.sf[v, L.F_USE + L.U_ENERGY] += (tokens - cached) * P.backend_f[b, L.B_JOULE_IN]
        W.sf[v, L.F_USE + L.U_ENERGY] += (out + reasoning) * P.backend_f[b, L.B_JOULE_OUT]
        cost += (
            (tokens - cached) * P.backend_f[b, L.B_PRICE_IN]
            + cached * P.backend_f[b, L.B_PRICE_CACHED]
            + out * P.backend_f[b, L.B_PRICE_OUT]
            + reasoning * P.backend_f[b, L.B_PRICE_REASONING]
        )
    W.sf[v, L.F_USE + L.U_COST] += cost
    if W.fi[f, E.F_LIMIT] >= 0:
        used = 1.0 if counted else 0.0
        settle_limit(P, Q, W, O, f, length, used * tokens, used * cached, used * (out + reasoning))
    return t_first


@inlined
def leave(P, Q, W, O, f, length, clock):  # type: ignore[no-untyped-def]
    """Give back what an attempt holds: its slot, or its place in the queue."""
    r = W.fi[f, E.F_RES]
    if r < 0:
        return
    if W.fi[f, E.F_STATE] == E.SERVED:
        release(P, Q, W, O, f, r, length, clock)
    elif W.fi[f, E.F_STATE] == E.QUEUED:
        W.res_i[r, E.R_LEFT] += 1
        W.res_f[r, E.Y_LENGTH] += length - W.ff[f, E.A_NET]
        take(W, r, f)
    W.fi[f, E.F_RES] = -1


@inlined
def free_flight(W, f):  # type: ignore[no-untyped-def]
    """Put an attempt's row back; its pending event is void."""
    W.fi[f, E.F_GEN] = (W.fi[f, E.F_GEN] + 1) & 0x7FFFFFFF
    W.fi[f, E.F_STATE] = E.FREE
    n = W.counter[E.C_FREE_FLIGHTS]
    W.free_flights[n] = f
    W.counter[E.C_FREE_FLIGHTS] = n + 1


@compiled
def new_flight(P, Q, W, O, slot, node, copy, now):  # type: ignore[no-untyped-def]
    """Make the row of a copy of a call."""
    n = W.counter[E.C_FREE_FLIGHTS] - 1
    W.counter[E.C_FREE_FLIGHTS] = n
    f = np.int64(W.free_flights[n])
    spec = P.node_i[node, L.N_SPEC]
    row = f * E.F_COLUMNS
    put_lanes(W.fi, row + E.F_SLOT, (slot, node, P.spec_i[spec, L.S_PLACE_LO], W.fi[f, E.F_GEN]))
    put_lanes(W.fi, row + E.F_TRY, (1024 * copy, np.int64(1), np.int64(1), np.int64(1)))
    put_lanes(W.fi, row + E.F_CALLED, (np.int64(-1), np.int64(-1), np.int64(-1), np.int64(-1)))
    W.ff[f, E.A_START] = now
    v = slot * (Q.sizes[E.SZ_NODES] + 1) + node
    before = W.si[v, E.X_FLIGHT]
    W.si[v, E.X_FLIGHT] = f
    if P.spec_i[spec, L.S_HEDGES] > 0:
        W.fi[f, E.F_SIB] = before
        W.fi[f, E.F_COPY] = copy
        for c in range(NCOMP):
            W.ff[f, E.A_COMP + c] = 0.0
    return f


@inlined
def next_try(P, Q, W, O, f, spec, err):  # type: ignore[no-untyped-def]
    """Wait of the first retry layer that takes the error, or -1 when none has tries left."""
    lo, hi = np.int64(P.spec_i[spec, L.S_LAYER_LO]), np.int64(P.spec_i[spec, L.S_LAYER_HI])
    for layer in range(lo, hi):
        index = layer - lo
        tries = W.fi[f, E.F_TRIES + index]
        if (P.layer_i[layer, L.R_ON] >> err) & 1 and tries < P.layer_i[layer, L.R_ATTEMPTS]:
            W.fi[f, E.F_TRIES + index] = tries + 1
            for inner in range(index):
                W.fi[f, E.F_TRIES + inner] = 1
            return wait_for_retry(P, Q, W, O, f, layer, tries - 1, index)
    return -1.0


@compiled
def wait_for_retry(P, Q, W, O, f, layer, k, index):  # type: ignore[no-untyped-def]
    """k-th wait of a retry layer (s)."""
    node_key = mix(W.slot_key[W.fi[f, E.F_SLOT]] ^ P.node_hash[W.fi[f, E.F_NODE]])
    ak = node_key + U64 * (np.uint64(W.fi[f, E.F_TRY]) + U1) * GOLDEN
    return wait_of_layer(P, layer, k, W.ff[f, E.A_RETRY_AFTER], ak, index)


@inlined
def finish_lean(P, Q, W, O, f, slot, node, v, length, now):  # type: ignore[no-untyped-def]
    """End the visit of a lean call whose first attempt ran to its end and did not fail: most of what ever happens.

    Does what `charge`, `go_on`, `finish_visit` and `book` would; four columns at a time.
    """
    waited, out = W.ff[f, E.A_WAIT], W.ff[f, E.A_OUT]
    first = waited + W.ff[f, E.A_PREFILL]
    place, f_ = W.fi[f, E.F_PLACE], P.place_f
    tokens = W.sf[v, L.F_INPUT]
    cost = tokens * f_[place, L.P_PRICE_IN] + out * f_[place, L.P_PRICE_OUT] + f_[place, L.P_PRICE_CALL]
    W.sf[v, L.F_FIRST] = first + W.ff[f, E.A_T0]
    W.sf[v, L.F_OUT] = out
    W.sf[v, L.F_END] = now
    W.si[v, L.V_STATUS] = L.DONE
    W.si[v, L.V_FALLBACK] = 0
    free_flight(W, f)
    tallied, counted = (tokens, 0.0, out, 0.0), (cost, 1.0, 1.0, 0.0)
    early, late = (0.0, 0.0, waited, first - waited), (0.0, length - first, 0.0, 0.0)
    at = v * L.STATE_COLUMNS
    put_lanes(W.sf, at + L.F_USE, tallied)
    put_lanes(W.sf, at + L.F_USE + 4, counted)
    put_lanes(W.sf, at + L.F_COMP, early)
    put_lanes(W.sf, at + L.F_COMP + 4, late)
    used = slot * E.T_COLUMNS + E.T_USE
    add_lanes(W.slot_f, used, tallied)
    add_lanes(W.slot_f, used + 4, counted)
    if W.slot_i[slot, E.I_COUNTS] == 1:
        step = P.node_i[node, L.N_STEP]
        note_visit(W, O, step, now - W.sf[v, L.F_START])
        row = step * L.STEP_COLUMNS + L.ST_USE
        add_lanes(O.step_f, row, tallied)
        add_lanes(O.step_f, row + 4, counted)
        add_lanes(O.step_f, row + L.NUSE, early)
        add_lanes(O.step_f, row + L.NUSE + 4, late)
    if P.node_i[node, L.N_FLAGS] & L.TOP:
        note_end(W, slot, node, now)
    resolve(P, Q, W, O, slot, node)


@inlined
def note_visit(W, O, step, latency):  # type: ignore[no-untyped-def]
    """Count a visit of a step."""
    O.step_f[step, L.ST_EXECUTIONS] += 1.0
    O.step_f[step, L.ST_LATENCY] += latency
    place = (np.float64(latency).view(np.int64) >> 45) - HIST_OFFSET
    place = place if place > 0 else np.int64(0)
    i = W.counter[E.C_NOTED]
    W.noted[i] = step * HIST_BINS + (place if place < HIST_BINS - 1 else HIST_BINS - 1)
    W.counter[E.C_NOTED] = i + 1
    if i == E.NOTED - 1:
        fill_histogram(W, O)


@compiled
def fill_histogram(W, O):  # type: ignore[no-untyped-def]
    """Count the latencies that were noted: one by one, each would push what the next visit needs out of the cache."""
    for i in range(W.counter[E.C_NOTED]):
        O.histogram[np.int64(0), W.noted[i]] += 1
    W.counter[E.C_NOTED] = 0


@inlined
def note_end(W, slot, node, now):  # type: ignore[no-untyped-def]
    """Remember the top-level visit that ended last."""
    best = W.slot_f[slot, E.T_BEST]
    if now > best or (now == best and node > W.slot_i[slot, E.I_BEST]):
        W.slot_f[slot, E.T_BEST] = now
        W.slot_i[slot, E.I_BEST] = node


@inlined
def end_of_attempt(P, Q, W, O, f, clock):  # type: ignore[no-untyped-def]
    """An attempt, or the wait after it, ends by itself; return whether the next one begins."""
    slot, node = W.fi[f, E.F_SLOT], W.fi[f, E.F_NODE]
    v = slot * (Q.sizes[E.SZ_NODES] + 1) + node
    spec = P.node_i[node, L.N_SPEC]
    now = W.ff[f, E.A_END]
    state = W.fi[f, E.F_STATE]
    if state != E.SERVED:
        if state == E.BACKOFF:
            return True
        if state == E.REFUSED:
            return after_attempt(P, Q, W, O, f, np.int64(L.SERVER_ERROR), now)
        if state == E.HANDLED:
            return go_on(P, Q, W, O, f, v, spec, W.ff[f, E.A_FIRST], W.fi[f, E.F_ERR], now)
        if state == E.BATCHED:
            end_batched(P, Q, W, O, f, now, clock)
        if state == E.QUEUED:
            W.fi[f, E.F_ERR] = L.TIMEOUT
            W.fi[f, E.F_CUT] = 1
    if W.fi[f, E.F_CUT]:
        W.ff[f, E.A_RETRY_AFTER] = -1.0
    length, err = W.ff[f, E.A_LENGTH], W.fi[f, E.F_ERR]
    leave(P, Q, W, O, f, length, clock)
    if Q.lean[spec] == 1 and err < 0 and W.fi[f, E.F_CALLED] < 0:
        finish_lean(P, Q, W, O, f, slot, node, v, length, now)
        return False
    first = charge(P, Q, W, O, f, v, np.int64(spec), length, err)
    if W.fi[f, E.F_BREAKER] >= 0:
        tell_breaker(W, f, err, clock)
    if Q.client[E.O_CORES] > 0.0 and P.spec_i[spec, L.S_LAW] == L.LAW_MODEL:
        if W.ff[f, E.A_FLOW] > 0.0:
            end_stream(Q, W, f, clock)
        W.ff[f, E.A_FIRST] = first + W.ff[f, E.A_T0] + W.ff[f, E.A_SHOWN]
        if err != L.TIMEOUT:
            hand_over(P, Q, W, O, f, v, now, clock)
            return False
    return go_on(P, Q, W, O, f, v, spec, first + W.ff[f, E.A_T0], err, now)


@inlined
def go_on(P, Q, W, O, f, v, spec, first, err, now):  # type: ignore[no-untyped-def]
    """What follows an attempt that is over; return whether the next one begins."""
    slot, node = W.fi[f, E.F_SLOT], W.fi[f, E.F_NODE]
    if err >= 0 or P.spec_i[spec, L.S_HEDGES] > 0:
        W.ff[f, E.A_FIRST] = first
        return after_attempt(P, Q, W, O, f, err, now)
    W.sf[v, L.F_FIRST] = first
    W.sf[v, L.F_OUT] = W.ff[f, E.A_OUT]
    W.si[v, L.V_FALLBACK] = 1 if W.fi[f, E.F_PLACE] > P.spec_i[spec, L.S_PLACE_LO] else 0
    free_flight(W, f)
    finish_visit(P, Q, W, O, slot, node, np.int64(-1), now)
    return False


@compiled
def after_attempt(P, Q, W, O, f, err, now):  # type: ignore[no-untyped-def]
    """What follows an attempt that failed, or one of a hedged call; return whether the next one begins."""
    slot, node = W.fi[f, E.F_SLOT], W.fi[f, E.F_NODE]
    v = slot * (Q.sizes[E.SZ_NODES] + 1) + node
    spec = P.node_i[node, L.N_SPEC]
    hedged = P.spec_i[spec, L.S_HEDGES] > 0
    if err < 0:
        W.fi[f, E.F_STATE] = E.WON
        ready_push(W, np.int64(node))
        return False
    wait = -1.0
    if W.fi[f, E.F_STATE] != E.REFUSED:
        wait = next_try(P, Q, W, O, f, spec, err)
        W.fi[f, E.F_TRY] += 1
    if wait >= 0.0:
        if hedged:
            W.ff[f, E.A_COMP + L.C_BACKOFF] += wait
        else:
            W.sf[v, L.F_COMP + L.C_BACKOFF] += wait
        W.fi[f, E.F_STATE] = E.BACKOFF
        W.ff[f, E.A_LENGTH] = wait
        schedule(W, f, W.fi[f, E.F_SLOT], now + wait, E.K_END)
        return False
    place = W.fi[f, E.F_PLACE]
    if place + 1 < P.spec_i[spec, L.S_PLACE_HI] and (P.place_i[place + 1, L.P_TAKES] >> err) & 1:
        W.fi[f, E.F_PLACE] = place + 1
        W.fi[f, E.F_TRIES] = 1
        W.fi[f, E.F_TRIES2] = 1
        W.fi[f, E.F_TRIES3] = 1
        W.fi[f, E.F_CALLED] = 0
        return True
    err |= made_by(P, Q, W, O, f, spec, err) << E.ERROR_BITS
    if hedged:
        W.fi[f, E.F_ERR] = err
        W.fi[f, E.F_STATE] = E.LOST
        ready_push(W, np.int64(node))
        return False
    free_flight(W, f)
    finish_visit(P, Q, W, O, slot, node, err, now)
    return False


@inlined
def made_by(P, Q, W, O, f, spec, err):  # type: ignore[no-untyped-def]
    """What of the load made the error with which an attempt ended for good; its plan is lost."""
    state = W.fi[f, E.F_STATE]
    if state == E.REFUSED:
        return np.int64(E.BY_BREAKER)
    if err != L.TIMEOUT:
        return np.int64(-1 - W.fi[f, E.F_RES])
    waited = P.spec_i[spec, L.S_LAW] == L.LAW_MODEL and W.ff[f, E.A_WAIT] > 0.0
    if state == E.BATCHED:
        waited = W.ff[f, E.A_WAIT] == inf
    elif waited:
        plan_any_end(P, Q, W, O, f, 0.0)
        waited = W.fi[f, E.F_ERR] != L.TIMEOUT
    return np.int64(E.BY_WAIT if waited else E.BY_NONE)


@compiled
def cut_flight(P, Q, W, O, f, now, clock):  # type: ignore[no-untyped-def]
    """Cut a copy of a call; what starts at this very moment never did."""
    state = W.fi[f, E.F_STATE]
    if state == E.TIMER or state == E.WON or state == E.LOST or state == E.REFUSED:
        return
    slot, node = W.fi[f, E.F_SLOT], W.fi[f, E.F_NODE]
    v = slot * (Q.sizes[E.SZ_NODES] + 1) + node
    spec = np.int64(P.node_i[node, L.N_SPEC])
    if state == E.BACKOFF:
        unused = W.ff[f, E.A_END] - now
        if P.spec_i[spec, L.S_HEDGES] > 0:
            W.ff[f, E.A_COMP + L.C_BACKOFF] -= unused
        else:
            W.sf[v, L.F_COMP + L.C_BACKOFF] -= unused
        return
    if state == E.HANDLED:
        unused = W.ff[f, E.A_END] - now
        if P.spec_i[spec, L.S_HEDGES] > 0:
            W.ff[f, E.A_COMP + L.C_CLIENT] -= unused
        else:
            W.sf[v, L.F_COMP + L.C_CLIENT] -= unused
        return
    if state == E.BATCHED:
        stop_batched(P, Q, W, O, f, now, clock)
    length = now - W.ff[f, E.A_T0]
    leave(P, Q, W, O, f, length, clock)
    if W.ff[f, E.A_FLOW] > 0.0:
        end_stream(Q, W, f, clock)
    if W.fi[f, E.F_BREAKER] >= 0:
        tell_breaker(W, f, np.int64(-2), clock)
    if length > AT_ONCE * now:
        charge(P, Q, W, O, f, v, spec, length, np.int64(-2))
    elif W.fi[f, E.F_LIMIT] >= 0:
        settle_limit(P, Q, W, O, f, length, 0.0, 0.0, 0.0)


# --- visits -------------------------------------------------------------------------------------------------


@inlined
def touch(Q, W, v, node, stamp):  # type: ignore[no-untyped-def]
    """Make a row this run's own."""
    if W.si[v, L.V_STAMP] != stamp:
        put_lanes(W.si, v * E.X_COLUMNS + L.V_STATUS, (L.NONE, stamp, np.int64(Q.pending[node]), np.int64(-1)))


@inlined
def notify(P, Q, W, O, base, s, stamp):  # type: ignore[no-untyped-def]
    """One more edge into node s is resolved."""
    v = base + s
    touch(Q, W, v, s, stamp)
    left = W.si[v, E.X_PEND] - 1
    W.si[v, E.X_PEND] = left
    if left == 0 or P.node_i[s, L.N_JOIN] > 0:
        ready_push(W, Q.order[s])


@compiled
def resolve(P, Q, W, O, slot, node):  # type: ignore[no-untyped-def]
    """A node has ended: tell the joins that wait for it."""
    n = Q.sizes[E.SZ_NODES]
    stamp = W.slot_i[slot, E.I_STAMP]
    for i in range(Q.succ_lo[node], Q.succ_lo[node + 1]):
        notify(P, Q, W, O, slot * (n + 1), np.int64(Q.succ[i]), stamp)
    if P.node_i[node, L.N_SCOPE] == n:
        kind = P.node_i[node, L.N_KIND]
        if kind == L.CALL or kind == L.END:
            W.slot_i[slot, E.I_TOP] += 1
            if W.slot_i[slot, E.I_TOP] == Q.sizes[E.SZ_TOP]:
                ready_push(W, item(n, E.PH_CLOSE, n))


@compiled
def tell_beside(P, Q, W, O, slot, guard):  # type: ignore[no-untyped-def]
    """A guardrail starts or never will: tell the joins that it runs beside."""
    for i in range(Q.beside_lo[guard], Q.beside_lo[guard + 1]):
        notify(P, Q, W, O, slot * (Q.sizes[E.SZ_NODES] + 1), np.int64(Q.beside[i]), W.slot_i[slot, E.I_STAMP])


@inlined
def enter(P, Q, W, O, slot, node, now, crit):  # type: ignore[no-untyped-def]
    """Put a visit on the list of its run."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    v = base + node
    n = W.slot_i[slot, E.I_VISITED]
    W.visited[base + n] = node
    W.slot_i[slot, E.I_VISITED] = n + 1
    put_lanes(W.sf, v * L.STATE_COLUMNS + L.F_START, (now, now, inf, 0.0))
    put_lanes(W.si, v * E.X_COLUMNS + L.V_CRIT, (crit, np.int64(0), np.int64(-1), np.int64(0)))


@inlined
def clear_use(W, v):  # type: ignore[no-untyped-def]
    """Empty what a visit used and where its time went."""
    for c in range(L.F_USE, L.F_COMP + NCOMP):
        W.sf[v, c] = 0.0


@compiled
def spent(W, slot, column):  # type: ignore[no-untyped-def]
    """Tokens (column 0) or dollars of the visits that have ended."""
    u = W.slot_f
    if column == 1:
        return u[slot, E.T_USE + L.U_COST]
    return u[slot, E.T_USE + L.U_INPUT] + u[slot, E.T_USE + L.U_OUTPUT] + u[slot, E.T_USE + L.U_REASONING]


@inlined
def book(P, Q, W, O, slot, v, node):  # type: ignore[no-untyped-def]
    """A visit has ended: add what it used to its run's totals, and to those of its step if the run counts."""
    counts = W.slot_i[slot, E.I_COUNTS] == 1
    step = P.node_i[node, L.N_STEP]
    if counts:
        note_visit(W, O, step, W.sf[v, L.F_END] - W.sf[v, L.F_START])
    if P.node_i[node, L.N_KIND] != L.CALL:
        return
    row, used = v * L.STATE_COLUMNS, slot * E.T_COLUMNS + E.T_USE
    add_row(W.slot_f, used, W.sf, row + L.F_USE)
    add_row(W.slot_f, used + 4, W.sf, row + L.F_USE + 4)
    if counts:
        to = step * L.STEP_COLUMNS + L.ST_USE
        add_row(O.step_f, to, W.sf, row + L.F_USE)
        add_row(O.step_f, to + 4, W.sf, row + L.F_USE + 4)
        add_seconds(W, O.step_f, to + L.NUSE, v, False)


@compiled
def finish_visit(P, Q, W, O, slot, node, err, now):  # type: ignore[no-untyped-def]
    """A visit ends by itself, or a composite does: its status, what a failure leads to, its edges."""
    v = slot * (Q.sizes[E.SZ_NODES] + 1) + node
    W.sf[v, L.F_END] = now
    book(P, Q, W, O, slot, v, node)
    if err == -1:
        W.si[v, L.V_STATUS] = L.DONE
        if W.si[v, L.V_FALLBACK] == 1:
            W.slot_i[slot, E.I_FALLBACK] = 1
        if P.node_i[node, L.N_FLAGS] & L.TOP:
            note_end(W, slot, node, now)
    else:
        fail_visit(P, Q, W, O, v, node, err)
    resolve(P, Q, W, O, slot, node)


@compiled
def fail_visit(P, Q, W, O, v, node, err):  # type: ignore[no-untyped-def]
    """Set the status that a failure means, and note what it leads to."""
    scope = P.node_i[node, L.N_SCOPE]
    W.si[v, E.X_BY] = err >> E.ERROR_BITS
    err &= (1 << E.ERROR_BITS) - 1
    W.si[v, L.V_ERR] = err
    if (P.node_i[node, L.N_CATCH] >> err) & 1:
        W.si[v, L.V_STATUS] = L.CAUGHT
    elif P.node_i[node, L.N_FLAGS] & L.ABSORB:
        W.si[v, L.V_STATUS] = L.ABSORBED
    else:
        W.si[v, L.V_STATUS] = L.FAILED
        ready_push(W, item(scope, E.PH_FAIL, node))
    if Q.guard_bit[node]:
        ready_push(W, item(scope, E.PH_REJECT, node))


@compiled
def cancel(P, Q, W, O, slot, node, now, clock):  # type: ignore[no-untyped-def]
    """Cut a visit that is under way, or one that has not started; return whether there was anything to cut."""
    v = slot * (Q.sizes[E.SZ_NODES] + 1) + node
    status = W.si[v, L.V_STATUS]
    if status == L.NONE:
        W.si[v, L.V_STATUS] = L.WIPED
        W.sf[v, L.F_START] = now
        W.sf[v, L.F_END] = now
        W.sf[v, L.F_CUT] = inf
        W.sf[v, L.F_OUT] = 0.0
        W.si[v, E.X_GUARDS] = 0
        return True
    if status != E.RUNNING:
        return False
    W.sf[v, L.F_END] = now
    W.sf[v, L.F_OUT] = 0.0
    never = now - W.sf[v, L.F_START] <= AT_ONCE * now
    W.si[v, L.V_STATUS] = L.WIPED if never else L.CANCELLED
    if P.node_i[node, L.N_KIND] == L.CALL:
        shown = np.int64(-1)
        f = W.si[v, E.X_FLIGHT]
        while f >= 0:
            state = W.fi[f, E.F_STATE]
            alive = state != E.TIMER and state != E.WON and state != E.LOST
            if alive and (shown < 0 or W.fi[f, E.F_COPY] < W.fi[shown, E.F_COPY]):
                shown = f
            cut_flight(P, Q, W, O, f, now, clock)
            f = W.fi[f, E.F_SIB]
        if shown >= 0 and P.spec_i[P.node_i[node, L.N_SPEC], L.S_HEDGES] > 0:
            take_parts(P, Q, W, O, v, shown)
        free_flights(W, v)
        if never:
            clear_use(W, v)
    if not never and (P.node_i[node, L.N_KIND] == L.CALL or P.node_i[node, L.N_KIND] == L.END):
        book(P, Q, W, O, slot, v, node)
    return True


@compiled
def take_parts(P, Q, W, O, v, f):  # type: ignore[no-untyped-def]
    """Let a hedge copy stand for its visit."""
    for c in range(NCOMP):
        W.sf[v, L.F_COMP + c] = W.ff[f, E.A_COMP + c]
    W.sf[v, L.F_COMP + L.C_WAIT] += W.ff[f, E.A_START] - W.sf[v, L.F_START]
    W.si[v, L.V_BACKEND] = P.place_i[W.fi[f, E.F_PLACE], L.P_BACKEND]


@compiled
def free_flights(W, v):  # type: ignore[no-untyped-def]
    """Put back the rows of all copies of a visit."""
    f = W.si[v, E.X_FLIGHT]
    while f >= 0:
        following = W.fi[f, E.F_SIB]
        W.fi[f, E.F_SIB] = -1
        free_flight(W, f)
        f = following
    W.si[v, E.X_FLIGHT] = -1


@compiled
def cancel_range(P, Q, W, O, slot, lo, hi, now, clock):  # type: ignore[no-untyped-def]
    """Cancel what is under way among these nodes."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    stamp = W.slot_i[slot, E.I_STAMP]
    for node in range(lo, hi):
        if W.si[base + node, L.V_STAMP] == stamp and W.si[base + node, L.V_STATUS] == E.RUNNING:
            cancel(P, Q, W, O, slot, np.int64(node), now, clock)


@compiled
def cancel_losers(P, Q, W, O, slot, join, now, clock):  # type: ignore[no-untyped-def]
    """Cancel the visits that lead only to this join; those that have not started never will."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    stamp = W.slot_i[slot, E.I_STAMP]
    lo, hi = np.int64(P.node_i[join, L.N_LOSER_LO]), np.int64(P.node_i[join, L.N_LOSER_HI])
    for i in range(lo, hi):
        node = np.int64(P.losers[i])
        touch(Q, W, base + node, node, stamp)
        W.si[base + node, E.X_NEXT] = 1 if cancel(P, Q, W, O, slot, node, now, clock) else 0
    for i in range(lo, hi):
        node = np.int64(P.losers[i])
        kind = P.node_i[node, L.N_KIND]
        outermost = P.node_i[node, L.N_SCOPE] == P.node_i[join, L.N_SCOPE] and (kind == L.CALL or kind == L.END)
        if W.si[base + node, E.X_NEXT] == 1 and outermost:
            resolve(P, Q, W, O, slot, node)


# --- edges and joins ------------------------------------------------------------------------------------------


@inlined
def edge(P, Q, W, O, base, e, now, stamp):  # type: ignore[no-untyped-def]
    """Edge e as it stands now: (whether it is resolved, when it was, whether it is active)."""
    p = base + P.pred_i[e, 0]
    kind = P.pred_i[e, 1]
    status = W.si[p, L.V_STATUS]
    known = W.si[p, L.V_STAMP] == stamp and status != L.NONE
    if not known:
        return False, 0.0, False
    stays = W.sf[p, L.F_CUT] > now
    if kind == L.EDGE_NEED:
        return status != E.RUNNING, W.sf[p, L.F_END], status == L.DONE and stays
    if kind >= 0:
        return status != E.RUNNING, W.sf[p, L.F_END], status == L.DONE and stays and W.si[p, L.V_ROUTE] == kind
    if kind == L.EDGE_CATCH:
        taken = status == L.CAUGHT and (P.pred_i[e, 2] >> W.si[p, L.V_ERR]) & 1 == 1
        return status != E.RUNNING, W.sf[p, L.F_END], taken and stays
    passes = (status == L.DONE or status == E.RUNNING) and stays
    if kind <= L.EDGE_BESIDE_ROUTE:
        passes = passes and W.si[p, L.V_ROUTE] == L.EDGE_BESIDE_ROUTE - kind
    return True, W.sf[p, L.F_START], passes


@compiled
def latest_edge(P, Q, W, O, base, lo, hi, now, stamp):  # type: ignore[no-untyped-def]
    """The edge that was resolved last (the first of equals), and how many are active."""
    at, crit, active = -1.0, np.int64(-1), 0
    for e in range(lo, hi):
        _, t, ok = edge(P, Q, W, O, base, e, now, stamp)
        active += 1 if ok else 0
        if t > at:
            at, crit = t, np.int64(e)
    return crit, active


@compiled
def slow_join(P, Q, W, O, base, node, now, stamp):  # type: ignore[no-untyped-def]
    """Join of k edges: (1 start, 0 skip, 2 fail, -1 wait; deciding edge; error)."""
    lo, hi, k = np.int64(P.node_i[node, L.N_PRED_LO]), np.int64(P.node_i[node, L.N_PRED_HI]), P.node_i[node, L.N_JOIN]
    n, done = 0, 0
    at, crit = -1.0, np.int64(-1)
    for e in range(lo, hi):
        resolved, t, ok = edge(P, Q, W, O, base, e, now, stamp)
        done += 1 if resolved else 0
        if ok:
            n += 1
            if t > at:
                at, crit = t, np.int64(e)
    if n >= k:
        return 1, crit, np.int64(-1)
    if done < hi - lo:
        return -1, np.int64(-1), np.int64(-1)
    crit, _ = latest_edge(P, Q, W, O, base, lo, hi, now, stamp)
    worst, fail = -1.0, np.int64(-1)
    for e in range(lo, hi):
        p = base + P.pred_i[e, 0]
        if W.si[p, L.V_STATUS] == L.ABSORBED and W.sf[p, L.F_CUT] > now and W.sf[p, L.F_END] > worst:
            worst, fail = W.sf[p, L.F_END], np.int64(e)
    if fail >= 0:
        p = base + P.pred_i[fail, 0]
        return 2, crit, W.si[p, L.V_ERR] | (W.si[p, E.X_BY] << E.ERROR_BITS)
    return 1 if n > 0 else 0, crit, np.int64(-1)


@compiled
def guards_of(P, Q, W, O, base, node, now, stamp):  # type: ignore[no-untyped-def]
    """The guardrails whose rejection takes this visit back: those of its active edges."""
    mask = np.int64(0)
    for e in range(P.node_i[node, L.N_PRED_LO], P.node_i[node, L.N_PRED_HI]):
        _, _, ok = edge(P, Q, W, O, base, e, now, stamp)
        if ok:
            p = P.pred_i[e, 0]
            mask |= W.si[base + p, E.X_GUARDS]
            if P.pred_i[e, 1] != L.EDGE_CATCH:
                mask |= Q.guard_bit[p]
    return mask


@compiled
def output_of(P, Q, W, O, slot, v):  # type: ignore[no-untyped-def]
    """Visible output tokens of a value: a node's, or one that a composite exports."""
    n = Q.sizes[E.SZ_NODES]
    if v >= n:
        return W.exported[slot * Q.sizes[E.SZ_EXPORTS] + v - n]
    row = slot * (n + 1) + v
    known = W.si[row, L.V_STAMP] == W.slot_i[slot, E.I_STAMP] and W.si[row, L.V_STATUS] != L.NONE
    return W.sf[row, L.F_OUT] if known else 0.0


@compiled
def export(P, Q, W, O, slot, node, first, last):  # type: ignore[no-untyped-def]
    """Add up what a composite hands on, over its iterations or instances first <= i < last."""
    at = np.int64(P.node_i[node, L.N_LIST_LO])
    n = Q.sizes[E.SZ_NODES]
    while at < P.node_i[node, L.N_LIST_HI]:
        target, width, rows = np.int64(P.lists[at]), np.int64(P.lists[at + 1]), np.int64(P.lists[at + 2])
        at += 3
        x = 0.0
        for i in range(at + first * width, at + last * width):
            x += output_of(P, Q, W, O, slot, np.int64(P.lists[i]))
        if target < n:
            W.sf[slot * (n + 1) + target, L.F_OUT] = x
        else:
            W.exported[slot * Q.sizes[E.SZ_EXPORTS] + target - n] = x
        at += rows * width


@compiled
def from_before(P, Q, W, O, slot, node, now):  # type: ignore[no-untyped-def]
    """Input that a visit takes from earlier steps' outputs and its loop's history (tokens)."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    x = 0.0
    for i in range(P.node_i[node, L.N_REF_LO], P.node_i[node, L.N_REF_HI]):
        when = base + P.ref_i[i, 1]
        status = W.si[when, L.V_STATUS]
        over = W.si[when, L.V_STAMP] == W.slot_i[slot, E.I_STAMP] and status != L.NONE and status != E.RUNNING
        if over and W.sf[when, L.F_CUT] > now:
            x += P.ref_f[i] * output_of(P, Q, W, O, slot, np.int64(P.ref_i[i, 0]))
    hist = P.node_i[node, L.N_HIST]
    if hist >= 0:
        x += W.sf[base + hist, L.F_OUT]
    return x


# --- starting -------------------------------------------------------------------------------------------------


@inlined
def start_plain(P, Q, W, O, slot, node, now):  # type: ignore[no-untyped-def]
    """Start the visit of a plain call: nothing but its draws and its input decides how it goes."""
    v = slot * (Q.sizes[E.SZ_NODES] + 1) + node
    spec = np.int64(P.node_i[node, L.N_SPEC])
    place = np.int64(P.spec_i[spec, L.S_PLACE_LO])
    W.si[v, L.V_STATUS] = E.RUNNING
    node_key = mix(W.slot_key[slot] ^ P.node_hash[node])
    own, ttft, rate, out = four_draws(P, W, place, node_key)
    own += P.spec_f[spec, L.S_MEDIA]
    if Q.plain[node] > 1:
        own += from_before(P, Q, W, O, slot, node, now)
    tokens = whole(own)
    W.sf[v, L.F_INPUT] = tokens
    f = new_flight(P, Q, W, O, slot, node, np.int64(0), now)
    begin_lean(P, Q, W, O, f, slot, node, spec, place, tokens, now, ttft, rate, out, node_key + U64 * GOLDEN)


@compiled
def start_call(P, Q, W, O, slot, node, now, clock):  # type: ignore[no-untyped-def]
    """Start the visit of any call: its budget, its route, its input, its first attempt."""
    v = slot * (Q.sizes[E.SZ_NODES] + 1) + node
    spec = np.int64(P.node_i[node, L.N_SPEC])
    place = np.int64(P.spec_i[spec, L.S_PLACE_LO])
    lean = Q.lean[spec] == 1
    own = ttft = rate = out = tokens = 0.0
    if not lean:
        clear_use(W, v)
    W.si[v, L.V_STATUS] = E.RUNNING
    W.si[v, E.X_REPLICA] = -1
    node_key = mix(W.slot_key[slot] ^ P.node_hash[node])
    W.si[v, L.V_ROUTE] = route_of(P, spec, node_key)
    if Q.guard_bit[node]:
        tell_beside(P, Q, W, O, slot, node)
    if P.node_i[node, L.N_FLAGS] & L.BILLED:
        if spent(W, slot, 0) >= P.totals[1] or spent(W, slot, 1) >= P.totals[2]:
            clear_use(W, v)
            finish_visit(P, Q, W, O, slot, node, np.int64(L.BUDGET_EXCEEDED), now)
            return
        x = P.spec_f[spec, L.S_MEDIA]
        if lean:
            own, ttft, rate, out = four_draws(P, W, place, node_key)
            x += own
        elif P.spec_i[spec, L.S_INPUT] >= 0:
            x += draw(P, P.spec_i[spec, L.S_INPUT], node_key, L.QV_INPUT)
        if P.node_i[node, L.N_REF_HI] > P.node_i[node, L.N_REF_LO] or P.node_i[node, L.N_HIST] >= 0:
            x += from_before(P, Q, W, O, slot, node, now)
        tokens = whole(x)
        W.sf[v, L.F_INPUT] = tokens
    f = new_flight(P, Q, W, O, slot, node, np.int64(0), now)
    if lean:
        begin_lean(P, Q, W, O, f, slot, node, spec, place, tokens, now, ttft, rate, out, node_key + U64 * GOLDEN)
        return
    begin_any(P, Q, W, O, f, now)
    if P.spec_i[spec, L.S_HEDGES] > 0 and P.spec_f[spec, L.S_HEDGE_AFTER] < inf:
        timer = new_flight(P, Q, W, O, slot, node, np.int64(0), now)
        W.fi[timer, E.F_STATE] = E.TIMER
        W.fi[timer, E.F_COPY] = 1
        schedule(W, timer, slot, now + P.spec_f[spec, L.S_HEDGE_AFTER], E.K_HEDGE)


@compiled
def look_at_copies(P, Q, W, O, slot, node, now, clock):  # type: ignore[no-untyped-def]
    """See whether the copies of a hedged call decide it."""
    v = slot * (Q.sizes[E.SZ_NODES] + 1) + node
    if W.si[v, L.V_STATUS] != E.RUNNING:
        return
    won, lost, running = np.int64(-1), np.int64(-1), False
    f = W.si[v, E.X_FLIGHT]
    while f >= 0:
        state = W.fi[f, E.F_STATE]
        if state == E.WON:
            if won < 0 or W.fi[f, E.F_COPY] < W.fi[won, E.F_COPY]:
                won = f
        elif state == E.LOST:
            earlier = lost >= 0 and (
                W.ff[f, E.A_END] < W.ff[lost, E.A_END]
                or (W.ff[f, E.A_END] == W.ff[lost, E.A_END] and W.fi[f, E.F_COPY] > W.fi[lost, E.F_COPY])
            )
            lost = lost if earlier else f
        elif state != E.TIMER:
            running = True
        f = W.fi[f, E.F_SIB]
    if won < 0 and running:
        return
    f = W.si[v, E.X_FLIGHT]
    while f >= 0:
        cut_flight(P, Q, W, O, f, now, clock)
        f = W.fi[f, E.F_SIB]
    last = won if won >= 0 else lost
    take_parts(P, Q, W, O, v, last)
    err = np.int64(-1)
    if won >= 0:
        W.sf[v, L.F_FIRST] = W.ff[won, E.A_FIRST]
        W.sf[v, L.F_OUT] = W.ff[won, E.A_OUT]
        W.si[v, L.V_FALLBACK] = 1 if W.fi[won, E.F_PLACE] > P.spec_i[P.node_i[node, L.N_SPEC], L.S_PLACE_LO] else 0
    else:
        err = W.fi[lost, E.F_ERR]
    free_flights(W, v)
    finish_visit(P, Q, W, O, slot, node, err, now)


@compiled
def hedge(P, Q, W, O, timer, clock):  # type: ignore[no-untyped-def]
    """Start the next copy of a call that is still undecided."""
    slot, node, copy = W.fi[timer, E.F_SLOT], W.fi[timer, E.F_NODE], W.fi[timer, E.F_COPY]
    now = W.ff[timer, E.A_END]
    v = slot * (Q.sizes[E.SZ_NODES] + 1) + node
    look_at_copies(P, Q, W, O, slot, node, now, clock)
    if W.si[v, L.V_STATUS] != E.RUNNING:
        return
    f = new_flight(P, Q, W, O, slot, node, copy, now)
    begin_any(P, Q, W, O, f, now)
    spec = P.node_i[node, L.N_SPEC]
    if copy < P.spec_i[spec, L.S_HEDGES]:
        W.fi[timer, E.F_COPY] = copy + 1
        schedule(W, timer, slot, W.sf[v, L.F_START] + (copy + 1) * P.spec_f[spec, L.S_HEDGE_AFTER], E.K_HEDGE)


@compiled
def open_composite(P, Q, W, O, slot, node, now, crit, mask):  # type: ignore[no-untyped-def]
    """Start a composite: its scope, its first iteration, or a map's first instances."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    stamp = W.slot_i[slot, E.I_STAMP]
    end = np.int64(P.node_i[node, L.N_MATE])
    W.si[base + node, L.V_STATUS] = L.DONE
    touch(Q, W, base + end, end, stamp)
    enter(P, Q, W, O, slot, end, now, crit)
    W.si[base + end, L.V_STATUS] = E.RUNNING
    W.si[base + end, E.X_GUARDS] = mask
    W.si[base + end, E.X_ITER] = 0
    if P.node_i[node, L.N_KIND2] != L.MAP:
        resolve(P, Q, W, O, slot, node)
        return
    key = mix(W.slot_key[slot] ^ P.node_hash[node])
    count = np.int64(whole(rare(P, np.int64(P.node_i[node, L.N_SPEC]), draw_key(key, L.QV_COUNT))))
    count = min(count, np.int64(P.node_i[end, L.N_INDEX]))
    W.si[base + end, L.V_ROUTE] = count
    W.si[base + end, E.X_DONE] = 0
    W.si[base + end, E.X_FAILED] = 0
    W.si[base + end, E.X_HEAD] = -1
    W.si[base + end, E.X_TAIL] = -1
    if count == 0:
        ready_push(W, Q.order[end])
        return
    width = np.int64(P.node_i[node, L.N_SLOTS])
    width = min(width, count) if width > 0 else count
    for _ in range(width):
        start_instance(P, Q, W, O, slot, end, now, node * 2)


@compiled
def start_instance(P, Q, W, O, slot, end, now, crit):  # type: ignore[no-untyped-def]
    """Start the next instance of a map."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    stamp = W.slot_i[slot, E.I_STAMP]
    i = W.si[base + end, E.X_ITER]
    W.si[base + end, E.X_ITER] = i + 1
    closing = np.int64(P.pred_i[P.node_i[end, L.N_PRED_LO] + i, 0])
    opening = np.int64(P.node_i[closing, L.N_MATE])
    touch(Q, W, base + opening, opening, stamp)
    enter(P, Q, W, O, slot, opening, now, crit)
    W.si[base + opening, L.V_STATUS] = L.DONE
    touch(Q, W, base + closing, closing, stamp)
    enter(P, Q, W, O, slot, closing, now, crit)
    W.si[base + closing, L.V_STATUS] = E.RUNNING
    resolve(P, Q, W, O, slot, opening)


@compiled
def skip(P, Q, W, O, slot, node, now, crit, verdict, err):  # type: ignore[no-untyped-def]
    """A step does not start: it is skipped, or fails by an absorbed failure."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    W.si[base + node, L.V_STATUS] = L.SKIPPED
    clear_use(W, base + node)
    where = node
    if P.node_i[node, L.N_KIND] == L.BEGIN:
        where = np.int64(P.node_i[node, L.N_MATE])
        touch(Q, W, base + where, where, W.slot_i[slot, E.I_STAMP])
        enter(P, Q, W, O, slot, where, now, crit)
        W.si[base + where, L.V_STATUS] = L.SKIPPED
        export(P, Q, W, O, slot, where, np.int64(0), np.int64(0))
    if Q.guard_bit[node]:
        tell_beside(P, Q, W, O, slot, node)
    if verdict == 2:
        finish_visit(P, Q, W, O, slot, where, err, now)
    else:
        resolve(P, Q, W, O, slot, where)


@inlined
def fire(P, Q, W, O, slot, node, now, clock):  # type: ignore[no-untyped-def]
    """Look at a join: start, skip or fail the step, or go on waiting."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    stamp = W.slot_i[slot, E.I_STAMP]
    if W.si[base + node, L.V_STATUS] != L.NONE or W.si[base + P.node_i[node, L.N_SCOPE], L.V_STATUS] != E.RUNNING:
        return
    single = np.int64(Q.single[node])
    p = base + single
    if single >= 0 and Q.plain[node] and W.si[p, L.V_STATUS] == L.DONE and W.sf[p, L.F_CUT] > now:
        enter(P, Q, W, O, slot, node, now, single * 2)
        start_plain(P, Q, W, O, slot, node, now)
        return
    lo, hi, k = P.node_i[node, L.N_PRED_LO], P.node_i[node, L.N_PRED_HI], P.node_i[node, L.N_JOIN]
    verdict, err, crit = 1, np.int64(-1), np.int64(-1)
    if k == 0:
        crit, active = latest_edge(P, Q, W, O, base, lo, hi, now, stamp)
        if active == 0 and hi > lo:
            verdict = 0
    else:
        verdict, crit, err = slow_join(P, Q, W, O, base, np.int64(node), now, stamp)
        if verdict < 0:
            return
        if verdict == 1 and P.node_i[node, L.N_LOSER_HI] > P.node_i[node, L.N_LOSER_LO]:
            cancel_losers(P, Q, W, O, slot, node, now, clock)
    code = crit_code(P, crit)
    mask = np.int64(0)
    if P.node_i[node, L.N_FLAGS] & L.GUARDED:
        mask = guards_of(P, Q, W, O, base, node, now, stamp)
    enter(P, Q, W, O, slot, node, now, code)
    if verdict != 1:
        skip(P, Q, W, O, slot, node, now, code, verdict, err)
        return
    W.si[base + node, E.X_GUARDS] = mask
    if Q.plain[node]:
        start_plain(P, Q, W, O, slot, node, now)
    elif P.node_i[node, L.N_KIND] == L.BEGIN:
        open_composite(P, Q, W, O, slot, node, now, code, mask)
    else:
        start_call(P, Q, W, O, slot, node, now, clock)


# --- closing --------------------------------------------------------------------------------------------------


@compiled
def close_composite(P, Q, W, O, slot, end, now, crit, err, first, last):  # type: ignore[no-untyped-def]
    """A composite ends."""
    v = slot * (Q.sizes[E.SZ_NODES] + 1) + end
    W.si[v, L.V_CRIT] = crit
    export(P, Q, W, O, slot, end, first, last)
    finish_visit(P, Q, W, O, slot, end, err, now)


@compiled
def fail_scope(P, Q, W, O, slot, scope, inner, now, clock):  # type: ignore[no-untyped-def]
    """A failure that nothing takes ends its scope: what is under way in it is cancelled."""
    n = Q.sizes[E.SZ_NODES]
    base = slot * (n + 1)
    if W.si[base + inner, L.V_STATUS] != L.FAILED or W.sf[base + inner, L.F_CUT] <= now:
        return
    if W.si[base + scope, L.V_STATUS] != E.RUNNING:
        return
    err = W.si[base + inner, L.V_ERR]
    if scope == n:
        cancel_range(P, Q, W, O, slot, np.int64(0), n, now, clock)
        outcome = np.int64(L.RUN_BUDGET if err == L.BUDGET_EXCEEDED else L.RUN_FAILED)
        finish_run(P, Q, W, O, slot, now, inner, np.int64(-1), outcome, now, clock)
        return
    opening = np.int64(P.node_i[scope, L.N_MATE])
    cancel_range(P, Q, W, O, slot, opening + 1, scope, now, clock)
    if P.node_i[scope, L.N_KIND] == L.IEND:
        close_instance(P, Q, W, O, slot, scope, now, inner * 2, np.int64(L.FAILED), err)
        return
    i = W.si[base + scope, E.X_ITER]
    first, last = i, i + 1
    if P.node_i[scope, L.N_KIND2] == L.WORKFLOW:
        first, last = np.int64(0), np.int64(1)
    close_composite(P, Q, W, O, slot, scope, now, inner * 2, err, first, last)


@compiled
def close_instance(P, Q, W, O, slot, node, now, crit, status, err):  # type: ignore[no-untyped-def]
    """An instance of a map ends; the map has a look."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    v = base + node
    W.sf[v, L.F_END] = now
    W.si[v, L.V_CRIT] = crit
    W.si[v, L.V_STATUS] = status
    W.si[v, L.V_ERR] = err
    W.si[v, E.X_NEXT] = -1
    end = np.int64(P.node_i[P.node_i[node, L.N_PREV], L.N_MATE])
    tail = W.si[base + end, E.X_TAIL]
    if tail >= 0:
        W.si[base + tail, E.X_NEXT] = node
    else:
        W.si[base + end, E.X_HEAD] = node
    W.si[base + end, E.X_TAIL] = node
    W.si[base + end, E.X_DONE if status == L.DONE else E.X_FAILED] += 1
    ready_push(W, Q.order[end])


@compiled
def kth_instance(P, Q, W, O, base, lo, hi, k, status, stamp):  # type: ignore[no-untyped-def]
    """The edge of the k-th instance that ended with this status, in the order of time and index."""
    floor_t, floor_e = -1.0, np.int64(-1)
    for _ in range(k):
        best, at = inf, np.int64(-1)
        for e in range(lo, hi):
            p = base + P.pred_i[e, 0]
            if W.si[p, L.V_STAMP] != stamp or W.si[p, L.V_STATUS] != status:
                continue
            t = W.sf[p, L.F_END]
            later = t > floor_t or (t == floor_t and e > floor_e)
            if later and t < best:
                best, at = t, np.int64(e)
        floor_t, floor_e = best, at
    return floor_e


@compiled
def last_instance(P, Q, W, O, base, lo, hi, status, stamp):  # type: ignore[no-untyped-def]
    """The edge of the instance that ended last with this status."""
    last, at = -1.0, np.int64(-1)
    for e in range(lo, hi):
        p = base + P.pred_i[e, 0]
        ours = W.si[p, L.V_STAMP] == stamp and W.si[p, L.V_STATUS] == status
        if ours and W.sf[p, L.F_END] >= last:
            last, at = W.sf[p, L.F_END], np.int64(e)
    return at


@compiled
def close_map(P, Q, W, O, slot, end, now, clock):  # type: ignore[no-untyped-def]
    """See whether a map is decided; else let the next instances have the places that became free."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    stamp = W.slot_i[slot, E.I_STAMP]
    begin = np.int64(P.node_i[end, L.N_MATE])
    count = W.si[base + end, L.V_ROUTE]
    k = np.int64(P.node_i[end, L.N_JOIN])
    need = count if k == 0 else min(k, count)
    done, failed = W.si[base + end, E.X_DONE], W.si[base + end, E.X_FAILED]
    lo = np.int64(P.node_i[end, L.N_PRED_LO])
    if done >= need or count - failed < need:
        crit, err = begin * 2, np.int64(-1)
        if count > 0:
            if done >= need:
                e = (
                    last_instance(P, Q, W, O, base, lo, lo + count, L.DONE, stamp)
                    if done == need
                    else kth_instance(P, Q, W, O, base, lo, lo + count, need, L.DONE, stamp)
                )
            else:
                e = kth_instance(P, Q, W, O, base, lo, lo + count, count - need + 1, L.FAILED, stamp)
                err = W.si[base + P.pred_i[e, 0], L.V_ERR]
            crit = np.int64(P.pred_i[e, 0]) * 2
        cancel_range(P, Q, W, O, slot, begin + 1, end, now, clock)
        close_composite(P, Q, W, O, slot, end, now, crit, err, np.int64(0), W.si[base + end, E.X_ITER])
        return
    while W.si[base + end, E.X_HEAD] >= 0:
        freed = W.si[base + end, E.X_HEAD]
        W.si[base + end, E.X_HEAD] = W.si[base + freed, E.X_NEXT]
        if W.si[base + end, E.X_ITER] < count:
            start_instance(P, Q, W, O, slot, end, now, freed * 2)
    W.si[base + end, E.X_TAIL] = -1


@compiled
def iteration_spend(P, Q, W, O, base, lo, hi, stamp, column):  # type: ignore[no-untyped-def]
    """Tokens (column 0) or dollars that the visits of an iteration have spent."""
    x = 0.0
    for node in range(lo, hi):
        v = base + node
        status = W.si[v, L.V_STATUS]
        if P.node_i[node, L.N_KIND] != L.CALL or W.si[v, L.V_STAMP] != stamp or status == L.NONE or status == L.WIPED:
            continue
        if column == 0:
            x += W.sf[v, L.F_USE + L.U_INPUT] + W.sf[v, L.F_USE + L.U_OUTPUT] + W.sf[v, L.F_USE + L.U_REASONING]
        else:
            x += W.sf[v, L.F_USE + L.U_COST]
    return x


@compiled
def close_iteration(P, Q, W, O, slot, node, now):  # type: ignore[no-untyped-def]
    """Close a loop's iteration, and start the next one or end the loop."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    stamp = W.slot_i[slot, E.I_STAMP]
    end, opening = np.int64(P.node_i[node, L.N_MATE]), np.int64(P.node_i[node, L.N_PREV])
    crit, _ = latest_edge(P, Q, W, O, base, P.node_i[node, L.N_PRED_LO], P.node_i[node, L.N_PRED_HI], now, stamp)
    enter(P, Q, W, O, slot, node, now, crit_code(P, crit))
    W.si[base + node, L.V_STATUS] = L.DONE
    out = W.sf[base + opening, L.F_OUT] if P.node_i[opening, L.N_KIND] == L.CHECK else 0.0
    for i in range(P.node_i[node, L.N_LIST_LO], P.node_i[node, L.N_LIST_HI]):
        out += output_of(P, Q, W, O, slot, np.int64(P.lists[i]))
    W.sf[base + node, L.F_OUT] = out
    key = mix(W.slot_key[slot] ^ P.node_hash[node])
    go_on = uniform(draw_key(key, L.QV_GO_ON)) < P.node_p[node]
    if now - W.sf[base + opening, L.F_END] > P.totals[0] - now:
        go_on = False
    for column in range(2):
        bound = P.totals[1 + column]
        if go_on and bound < inf:
            left = bound - spent(W, slot, column)
            if iteration_spend(P, Q, W, O, base, opening + 1, node, stamp, column) > left:
                go_on = False
    index = np.int64(P.node_i[node, L.N_INDEX])
    if go_on:
        W.si[base + end, E.X_ITER] = index + 1
        resolve(P, Q, W, O, slot, node)
    else:
        close_composite(P, Q, W, O, slot, end, now, node * 2, np.int64(-1), index, index + 1)


@compiled
def close(P, Q, W, O, slot, node, now, clock):  # type: ignore[no-untyped-def]
    """All steps of a body are resolved: close the iteration, the instance, the composite or the run."""
    n = Q.sizes[E.SZ_NODES]
    base = slot * (n + 1)
    if node == n:
        if W.si[base + n, L.V_STATUS] == E.RUNNING:
            end_run(P, Q, W, O, slot, now, clock)
        return
    kind = P.node_i[node, L.N_KIND]
    stamp = W.slot_i[slot, E.I_STAMP]
    if kind == L.CHECK:
        open_ = W.si[base + P.node_i[node, L.N_MATE], L.V_STATUS] == E.RUNNING
        if open_ and W.si[base + node, L.V_STATUS] == L.NONE:
            close_iteration(P, Q, W, O, slot, node, now)
        return
    if W.si[base + node, L.V_STATUS] != E.RUNNING:
        return
    if kind == L.END and P.node_i[node, L.N_KIND2] == L.MAP:
        close_map(P, Q, W, O, slot, node, now, clock)
        return
    e, _ = latest_edge(P, Q, W, O, base, P.node_i[node, L.N_PRED_LO], P.node_i[node, L.N_PRED_HI], now, stamp)
    crit = crit_code(P, e)
    if kind == L.IEND:
        close_instance(P, Q, W, O, slot, node, now, crit, np.int64(L.DONE), np.int64(-1))
        return
    i = W.si[base + node, E.X_ITER]
    close_composite(P, Q, W, O, slot, node, now, crit, np.int64(-1), i, i + 1)


@compiled
def reject(P, Q, W, O, slot, guard, now, clock):  # type: ignore[no-untyped-def]
    """A guardrail beside rejects: what was started through it is taken back, finished or not."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    stamp = W.slot_i[slot, E.I_STAMP]
    if W.sf[base + guard, L.F_CUT] <= now:
        return
    bit = Q.guard_bit[guard]
    for i in range(Q.revoke_lo[guard], Q.revoke_lo[guard + 1]):
        node = np.int64(Q.revoke[i])
        v = base + node
        status = W.si[v, L.V_STATUS]
        if W.si[v, L.V_STAMP] != stamp or status == L.NONE or not W.si[v, E.X_GUARDS] & bit:
            continue
        lo = np.int64(P.node_i[node, L.N_MATE]) if P.node_i[node, L.N_KIND] == L.END else node
        running = status == E.RUNNING
        cancel_range(P, Q, W, O, slot, lo, node + 1, now, clock)
        for inner in range(lo, node + 1):
            if W.si[base + inner, L.V_STAMP] == stamp and W.si[base + inner, L.V_STATUS] != L.NONE:
                W.sf[base + inner, L.F_CUT] = min(W.sf[base + inner, L.F_CUT], now)
        if running:
            resolve(P, Q, W, O, slot, node)


# --- the end of a run ----------------------------------------------------------------------------------------


@compiled
def held_back(P, Q, W, O, base, node, t, stamp, strict):  # type: ignore[no-untyped-def]
    """Moment t of a visit, held back by the guardrails beside its path: (moment, guardrail or -1)."""
    by = np.int64(-1)
    for i in range(P.node_i[node, L.N_GUARD_LO], P.node_i[node, L.N_GUARD_HI]):
        g = base + P.guards[i]
        status = W.si[g, L.V_STATUS]
        if W.si[g, L.V_STAMP] != stamp or status == L.NONE:
            continue
        if strict and (status == L.CANCELLED or status == L.FAILED or status == E.RUNNING):
            return inf, np.int64(P.guards[i])
        if status == L.DONE and W.sf[g, L.F_END] > t:
            t, by = W.sf[g, L.F_END], np.int64(P.guards[i])
    return t, by


@inlined
def stands(W, v):  # type: ignore[no-untyped-def]
    """Whether a visit is done and not revoked."""
    return W.si[v, L.V_STATUS] == L.DONE and W.sf[v, L.F_CUT] == inf


@compiled
def answer_node(P, Q, W, O, slot):  # type: ignore[no-untyped-def]
    """The visit that is the answer, or -1: the named one if it is done, else the top-level one that ends last."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    named = np.int64(P.totals[3])
    if named >= 0 and W.si[base + named, L.V_STAMP] == W.slot_i[slot, E.I_STAMP] and stands(W, base + named):
        return named
    if Q.sizes[E.SZ_GUARDS] == 0:
        return W.slot_i[slot, E.I_BEST]
    best, at = -1.0, np.int64(-1)
    for i in range(W.slot_i[slot, E.I_VISITED]):
        node = np.int64(W.visited[base + i])
        t = W.sf[base + node, L.F_END]
        if P.node_i[node, L.N_FLAGS] & L.TOP and (t > best or (t == best and node > at)) and stands(W, base + node):
            best, at = t, node
    return at


@compiled
def last_visit(P, Q, W, O, slot):  # type: ignore[no-untyped-def]
    """The visit that ended last."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    best, at = -1.0, np.int64(-1)
    for i in range(W.slot_i[slot, E.I_VISITED]):
        node = np.int64(W.visited[base + i])
        t = W.sf[base + node, L.F_END]
        if (t > best or (t == best and node > at)) and W.si[base + node, L.V_STATUS] != L.WIPED:
            best, at = t, node
    return at


@compiled
def last_cut(P, Q, W, O, slot, now):  # type: ignore[no-untyped-def]
    """The call under way at a cut that started last."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    best, at = -1.0, np.int64(-1)
    for i in range(W.slot_i[slot, E.I_VISITED]):
        node = np.int64(W.visited[base + i])
        ours = P.node_i[node, L.N_KIND] == L.CALL and W.si[base + node, L.V_STATUS] == L.CANCELLED
        t = W.sf[base + node, L.F_START]
        if ours and W.sf[base + node, L.F_END] == now and (t > best or (t == best and node > at)):
            best, at = t, node
    return at


@compiled
def end_run(P, Q, W, O, slot, now, clock):  # type: ignore[no-untyped-def]
    """Everything of a run has ended: which visit was the answer, and when it was shown."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    stamp = W.slot_i[slot, E.I_STAMP]
    answer = answer_node(P, Q, W, O, slot)
    if answer >= 0:
        e2e, by = held_back(P, Q, W, O, base, answer, W.sf[base + answer, L.F_END], stamp, False)
        finish_run(P, Q, W, O, slot, e2e, by if by >= 0 else answer, answer, np.int64(L.ANSWERED), now, clock)
        return
    last = last_visit(P, Q, W, O, slot)
    if last >= 0 and P.node_i[last, L.N_KIND] == L.END and W.si[base + last, L.V_STATUS] == L.CANCELLED:
        inner = last_cut(P, Q, W, O, slot, W.sf[base + last, L.F_END])  # a rejection cut it, its path ends in its call
        if P.node_i[last, L.N_MATE] < inner < last:
            W.si[base + last, L.V_CRIT] = inner * 2
    finish_run(P, Q, W, O, slot, now, last, answer, np.int64(L.RUN_FAILED), now, clock)


@compiled
def deadline(P, Q, W, O, slot, clock):  # type: ignore[no-untyped-def]
    """The deadline strikes: a run that has not shown its answer is cut."""
    n = Q.sizes[E.SZ_NODES]
    base = slot * (n + 1)
    now = P.totals[0]
    named = np.int64(P.totals[3])
    if named >= 0 and W.si[base + named, L.V_STAMP] == W.slot_i[slot, E.I_STAMP] and stands(W, base + named):
        shown, _ = held_back(P, Q, W, O, base, named, W.sf[base + named, L.F_END], W.slot_i[slot, E.I_STAMP], True)
        if shown <= now:
            return
    cancel_range(P, Q, W, O, slot, np.int64(0), n, now, clock)
    last = last_cut(P, Q, W, O, slot, now)
    if last < 0:
        last = last_visit(P, Q, W, O, slot)
    finish_run(P, Q, W, O, slot, now, last, np.int64(-1), np.int64(L.DEADLINE_EXCEEDED), now, clock)


@compiled
def finish_run(P, Q, W, O, slot, e2e, end_node, answer, outcome, now, clock):  # type: ignore[no-untyped-def]
    """Write a run's row, if it is one of those that count, and free its place."""
    n = Q.sizes[E.SZ_NODES]
    W.si[slot * (n + 1) + n, L.V_STATUS] = L.DONE
    if W.slot_i[slot, E.I_COUNTS] == 1:
        if outcome != L.ANSWERED:
            note_failure(P, Q, W, O, slot, end_node, outcome)
        add_run(P, Q, W, O, slot, e2e, end_node, answer, outcome, now)
        W.counter[E.C_LEFT] -= 1
    W.slot_i[slot, E.I_GEN] = (W.slot_i[slot, E.I_GEN] + 1) & 0x7FFFFFFF
    W.slot_i[slot, E.I_ALIVE] = 0
    W.slot_i[slot, E.I_NEXT] = W.counter[E.C_FREE_SLOT]
    W.counter[E.C_FREE_SLOT] = slot
    W.counter[E.C_RUNS] -= 1
    W.counter[E.C_ENDED] += 1
    W.counter[E.C_READY] = 0
    if W.counter[E.C_CLOSED]:
        think = W.arrive_t[W.counter[E.C_POS]]
        W.counter[E.C_POS] += 1
        push(W, clock + think, next_key(W, E.K_USER), W.slot_i[slot, E.I_USER] << 32)


@compiled
def note_failure(P, Q, W, O, slot, end_node, outcome):  # type: ignore[no-untyped-def]
    """Count what ended a run without an answer, as `analysis.failures` finds it for one that is alone."""
    if outcome == L.DEADLINE_EXCEEDED:
        at, kind = last_call(P, Q, W, O, slot, end_node), np.int64(0)
    else:
        at, kind = last_failure(P, Q, W, O, slot)
    row = P.node_i[at, L.N_STEP] + 1 if at >= 0 else 0
    O.why[row, (outcome - L.RUN_FAILED) * E.WHY_KINDS + kind] += 1


@compiled
def last_call(P, Q, W, O, slot, node):  # type: ignore[no-untyped-def]
    """The last call on a critical path that ends in this node, or -1."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    while node >= 0:
        status = W.si[base + node, L.V_STATUS]
        if P.node_i[node, L.N_KIND] == L.CALL and status != L.SKIPPED and status != L.WIPED:
            return node
        code = W.si[base + node, L.V_CRIT]
        while code >= 0 and code & 1:
            code = W.si[base + (code >> 1), L.V_CRIT]
        node = code >> 1 if code >= 0 else np.int64(-1)
    return node


@compiled
def last_failure(P, Q, W, O, slot):  # type: ignore[no-untyped-def]
    """The call that failed last, one that nothing took before one that was absorbed or caught: (node or -1, kind)."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    worst, last, at, kind = np.int64(0), -1.0, np.int64(-1), np.int64(0)
    for i in range(W.slot_i[slot, E.I_VISITED]):
        node = np.int64(W.visited[base + i])
        status = W.si[base + node, L.V_STATUS]
        rank = np.int64(status == L.CAUGHT) + 2 * np.int64(status == L.ABSORBED) + 3 * np.int64(status == L.FAILED)
        revoked = W.sf[base + node, L.F_CUT] < inf
        if rank == 0 or rank < worst or revoked or P.node_i[node, L.N_KIND] != L.CALL:
            continue
        t = W.sf[base + node, L.F_END]
        if rank > worst or t > last or (t == last and node > at):
            worst, last, at = rank, t, node
    if at >= 0:
        by = W.si[base + at, E.X_BY]
        kind = E.WHY_BY + by if by > 0 else E.WHY_ERROR + W.si[base + at, L.V_ERR]
    return at, kind


@compiled
def first_shown(P, Q, W, O, slot, answer):  # type: ignore[no-untyped-def]
    """When the user saw the first token, or inf."""
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    stamp = W.slot_i[slot, E.I_STAMP]
    ttft = inf
    if Q.sizes[E.SZ_STREAMS] > 0:
        for i in range(W.slot_i[slot, E.I_VISITED]):
            node = np.int64(W.visited[base + i])
            if P.node_i[node, L.N_FLAGS] & L.STREAM and stands(W, base + node):
                seen, _ = held_back(P, Q, W, O, base, node, W.sf[base + node, L.F_FIRST], stamp, True)
                ttft = min(ttft, seen)
    if ttft == inf and answer >= 0 and P.node_i[answer, L.N_FLAGS] & (L.BILLED | L.NO_STREAM) == L.BILLED:
        ttft, _ = held_back(P, Q, W, O, base, answer, W.sf[base + answer, L.F_FIRST], stamp, True)
    return ttft


@compiled
def add_run(P, Q, W, O, slot, e2e, end_node, answer, outcome, now):  # type: ignore[no-untyped-def]
    """Write the run's row."""
    if outcome == L.ANSWERED:
        if W.slot_i[slot, E.I_FALLBACK] == 1:
            outcome = np.int64(L.FALLBACK)
        if answer >= 0 and P.node_i[answer, L.N_LABEL] >= 0:
            outcome = np.int64(P.node_i[answer, L.N_LABEL])
    i = W.counter[E.C_ROWS]
    W.counter[E.C_ROWS] = i + 1
    if W.counter[E.C_BY_NUMBER]:
        i = W.slot_i[slot, E.I_RUN] - W.counter[E.C_FIRST]
    O.run[i] = W.slot_i[slot, E.I_RUN]
    O.moments[i, 0] = W.slot_f[slot, E.T_ARRIVAL]
    O.moments[i, 1] = W.slot_f[slot, E.T_ARRIVAL] + now
    O.times[i, 0] = e2e
    O.times[i, 1] = min(first_shown(P, Q, W, O, slot, answer), e2e)
    O.outcome[i] = outcome
    O.tokens[i, 0] = np.int64(W.slot_f[slot, E.T_USE + L.U_INPUT])
    O.tokens[i, 1] = np.int64(W.slot_f[slot, E.T_USE + L.U_CACHED])
    O.tokens[i, 2] = np.int64(W.slot_f[slot, E.T_USE + L.U_OUTPUT])
    O.tokens[i, 3] = np.int64(W.slot_f[slot, E.T_USE + L.U_REASONING])
    O.counts[i, 0] = np.int32(W.slot_f[slot, E.T_USE + L.U_CALLS])
    O.counts[i, 1] = np.int32(W.slot_f[slot, E.T_USE + L.U_ATTEMPTS])
    O.cost[i] = W.slot_f[slot, E.T_USE + L.U_COST]
    O.energy[i] = W.slot_f[slot, E.T_USE + L.U_ENERGY]
    add_path(P, Q, W, O, slot, end_node, e2e)


@inlined
def add_path(P, Q, W, O, slot, end_node, e2e):  # type: ignore[no-untyped-def]
    """Follow the critical path from the last visit back; that of a slow run is written down by itself too."""
    kept = e2e >= W.clock[E.N_SLOW]
    start = np.int64(0)
    if kept:
        row = O.order[W.counter[E.C_PATHS]]
        start = row * Q.sizes[E.SZ_PATH]
        W.counter[E.C_PATHS] += 1
        O.slow[row] = e2e
        for c in range(start, start + Q.sizes[E.SZ_PATH]):
            O.path[c] = 0.0
    base = slot * (Q.sizes[E.SZ_NODES] + 1)
    stamp = W.slot_i[slot, E.I_STAMP]
    node = np.int64(end_node)
    while node >= 0:
        v = base + node
        kind = P.node_i[node, L.N_KIND]
        if (kind == L.CALL or kind == L.END) and W.si[v, L.V_STATUS] != L.SKIPPED:
            step = P.node_i[node, L.N_STEP]
            if W.step_stamp[step] != stamp:
                W.step_stamp[step] = stamp
                O.critical_runs[step] += 1
            if kind == L.CALL:
                lean = Q.lean[P.node_i[node, L.N_SPEC]] == 1
                add_seconds(W, O.critical, step * NCOMP, v, lean)
                if kept:
                    add_seconds(W, O.path, start + step * NCOMP, v, lean)
        code = W.si[v, L.V_CRIT]
        while code >= 0 and code & 1:
            code = W.si[base + (code >> 1), L.V_CRIT]
        node = code >> 1 if code >= 0 else np.int64(-1)


@inlined
def add_seconds(W, table, at, v, lean):  # type: ignore[no-untyped-def]
    """Add a visit's components to a table, from index `at` on; a lean one has only the first eight."""
    row = v * L.STATE_COLUMNS + L.F_COMP
    add_row(table, at, W.sf, row)
    add_row(table, at + 4, W.sf, row + 4)
    if not lean:
        for c in range(8, NCOMP):
            table[at + c] += W.sf[v, L.F_COMP + c]


# --- the main loop --------------------------------------------------------------------------------------------


@inlined
def next_is_now(W, clock):  # type: ignore[no-untyped-def]
    """Whether there is another event of this moment."""
    if W.replica_due[W.turns[1]] <= clock:
        return True
    if W.counter[E.C_HOLE] == 0:
        return W.counter[E.C_HEAP] > 0 and W.heap_t[0] <= clock
    a, b = W.heap_t[1], W.heap_t[2]
    c, d = W.heap_t[3], W.heap_t[4]
    ab, cd = b if b < a else a, d if d < c else c
    return (cd if cd < ab else ab) <= clock


@compiled
def turn_of(W, slot, clock):  # type: ignore[no-untyped-def]
    """Key of what a run settles at a moment at which others do, too: those that had to wait first go first."""
    if W.slot_f[slot, E.T_TURN] != clock:
        W.slot_f[slot, E.T_TURN] = clock
        W.counter[E.C_SEQ] += 1
        W.slot_i[slot, E.I_TURN] = W.counter[E.C_SEQ] & E.TURN_MASK
    return (np.int64(E.K_TODO) << E.KIND_SHIFT) | (W.slot_i[slot, E.I_TURN] << E.TURN_SHIFT)


@compiled
def spill(W, slot, now, clock):  # type: ignore[no-untyped-def]
    """Put off what is left to settle until other events of this moment have happened."""
    what = (np.int64(slot) << 32) | W.slot_i[slot, E.I_GEN]
    turn = turn_of(W, slot, clock)
    for i in range(W.counter[E.C_READY]):
        push(W, clock, turn | W.ready[i], what)
    W.counter[E.C_READY] = 0
    W.slot_f[slot, E.T_NOW] = now


@inlined
def settle(P, Q, W, O, slot, todo, now, clock):  # type: ignore[no-untyped-def]
    """Deal with one thing that events have led to in a run: a rejection, a failure, a join, a closing."""
    node = todo & E.NODE_MASK
    phase = (todo >> E.PHASE_SHIFT) & 3
    if phase == E.PH_JOIN:
        fire(P, Q, W, O, slot, node, now, clock)
    elif phase == E.PH_CLOSE:
        close(P, Q, W, O, slot, node, now, clock)
    elif phase == E.PH_FAIL:
        fail_scope(P, Q, W, O, slot, todo >> E.SCOPE_SHIFT, node, now, clock)
    elif todo >> E.SCOPE_SHIFT == 0:
        look_at_copies(P, Q, W, O, slot, node, now, clock)
    else:
        reject(P, Q, W, O, slot, node, now, clock)


@compiled
def begin_run(P, Q, W, O, user, seed_key, clock):  # type: ignore[no-untyped-def]
    """A run arrives."""
    n = Q.sizes[E.SZ_NODES]
    slot = W.counter[E.C_FREE_SLOT]
    W.counter[E.C_FREE_SLOT] = W.slot_i[slot, E.I_NEXT]
    run = W.counter[E.C_MOST]
    W.counter[E.C_MOST] = run + 1
    W.counter[E.C_RUNS] += 1
    stamp = run + 1
    base = slot * (n + 1)
    W.slot_i[slot, E.I_RUN] = run
    W.slot_i[slot, E.I_STAMP] = stamp
    W.slot_i[slot, E.I_VISITED] = 0
    W.slot_i[slot, E.I_TOP] = 0
    W.slot_i[slot, E.I_USER] = user
    W.slot_i[slot, E.I_ALIVE] = 1
    W.slot_i[slot, E.I_TENANT] = user
    W.slot_f[slot, E.T_ARRIVAL] = clock
    for c in range(E.T_SERVICE, E.T_COLUMNS):
        W.slot_f[slot, c] = 0.0
    W.slot_f[slot, E.T_BEST] = W.slot_f[slot, E.T_TURN] = -1.0
    W.slot_i[slot, E.I_BEST] = -1
    W.slot_i[slot, E.I_FALLBACK] = 0
    W.slot_i[slot, E.I_COUNTS] = 1 if W.counter[E.C_FIRST] <= run < W.counter[E.C_LAST] else 0
    W.slot_key[slot] = mix(seed_key + np.uint64(run + W.counter[E.C_OFFSET]) * GOLDEN)
    W.si[base + n, L.V_STAMP] = stamp
    W.si[base + n, L.V_STATUS] = E.RUNNING
    for x in range(slot * Q.sizes[E.SZ_EXPORTS], (slot + 1) * Q.sizes[E.SZ_EXPORTS]):
        W.exported[x] = 0.0
    if P.totals[0] < inf:
        what = (np.int64(slot) << 32) | W.slot_i[slot, E.I_GEN]
        push(W, clock + P.totals[0], next_key(W, E.K_DEADLINE), what)
    for i in range(Q.sizes[E.SZ_STARTS]):
        node = np.int64(Q.starts[i])
        touch(Q, W, base + node, node, stamp)
        ready_push(W, Q.order[node])
    return slot


@compiled
def room(P, Q, W, O):  # type: ignore[no-untyped-def]
    """How many events may happen, whatever they bring, before the caller is needed, and what for then.

    An event begins and ends a run at most, and schedules and sends off no more than `SZ_MARGIN` says.
    """
    c, margin = W.counter, Q.sizes[E.SZ_MARGIN]
    events, why = min(c[E.C_MOST_ROWS] - c[E.C_ROWS], c[E.C_MOST_PATHS] - c[E.C_PATHS]), E.NEED_ROWS
    left = c[E.C_MOST_SLOTS] - c[E.C_RUNS]
    if left < events:
        events, why = left, E.NEED_SLOTS
    left = c[E.C_FREE_FLIGHTS] // margin
    if left < events:
        events, why = left, E.NEED_FLIGHTS
    left = (c[E.C_MOST_EVENTS] - c[E.C_HEAP] - c[E.C_READY]) // (3 * margin + 8)
    if left < events:
        events, why = left, E.NEED_HEAP
    left = c[E.C_STOP] - c[E.C_MOST]
    if left < events:
        events, why = left, E.REACHED
    left = c[E.C_LEN] - c[E.C_POS]
    if left < events:
        events, why = left, E.NEED_ARRIVALS
    return events, why


@compiled
def advance_events(P, Q, W, O, seed, most):  # type: ignore[no-untyped-def]
    """`advance`, with its tuples by reference."""
    seed_key = mix(np.uint64(seed) + GOLDEN)
    closed = W.counter[E.C_CLOSED] == 1
    events = np.int64(0)
    free = np.int64(0)
    while W.counter[E.C_LEFT] > 0:
        if W.counter[E.C_HOLE]:
            fill(W)
        if free == 0:
            free, why = room(P, Q, W, O)
            if free <= 0:
                return why
            if events >= most:
                return E.TICKED
            free = min(free, most - events)
            events += free
        free -= 1
        pos = W.counter[E.C_POS]
        slot, now = np.int64(-1), 0.0
        replica = np.int64(W.turns[1])
        due = W.replica_due[replica]
        first = W.heap_t[0] if W.counter[E.C_HEAP] > 0 else inf
        if not closed and (W.arrive_t[pos] < min(due, first) or min(due, first) == inf):
            clock = W.arrive_t[pos]
            if clock == inf:
                return E.STARVED
            W.counter[E.C_POS] = pos + 1
            slot = begin_run(P, Q, W, O, np.int64(W.arrive_tenant[pos]), seed_key, clock)
        else:
            if due < first or (due == first and W.heap_k[0] >> E.KIND_SHIFT > E.K_REPLICA):
                clock, key, kind = due, np.int64(0), np.int64(E.K_END)
                W.clock[E.N_CLOCK] = clock
                id_ = change_batch(P, Q, W, O, replica, clock)
                if id_ < 0:
                    continue
                gen = W.fi[id_, E.F_GEN]
            else:
                clock, key, what = first, W.heap_k[0], W.heap_p[0]
                W.counter[E.C_HOLE] = 1
                kind = key >> E.KIND_SHIFT
                id_, gen = what >> 32, what & LOW32
            if kind <= E.K_HEDGE:
                if W.fi[id_, E.F_GEN] != gen:
                    continue
                slot = W.fi[id_, E.F_SLOT]
                now = W.ff[id_, E.A_END]
                if kind == E.K_END:
                    if end_of_attempt(P, Q, W, O, id_, clock):
                        begin_any(P, Q, W, O, id_, now)
                elif kind == E.K_ARRIVE:
                    reach(P, Q, W, O, id_)
                elif kind == E.K_STREAM:
                    begin_stream(Q, W, id_, clock)
                else:
                    hedge(P, Q, W, O, id_, clock)
            elif kind == E.K_USER:
                slot = begin_run(P, Q, W, O, id_, seed_key, clock)
            elif W.slot_i[id_, E.I_GEN] == gen:
                if kind == E.K_TODO:
                    slot, now = id_, W.slot_f[id_, E.T_NOW]
                    ready_push(W, key & E.ITEM_MASK)
                else:
                    deadline(P, Q, W, O, id_, clock)
        W.clock[E.N_CLOCK] = clock
        while W.counter[E.C_READY] > 0:
            todo = W.ready[0]
            if next_is_now(W, clock):
                if W.counter[E.C_HOLE]:
                    fill(W)
                mine = turn_of(W, slot, clock) | todo
                sooner = W.counter[E.C_HEAP] > 0 and W.heap_t[0] <= clock and W.heap_k[0] < mine
                if sooner or W.replica_due[W.turns[1]] <= clock:
                    spill(W, slot, now, clock)
                    break
            ready_drop(W)
            settle(P, Q, W, O, slot, todo, now, clock)
    return E.DONE


def _entry(sources: int) -> Any:
    """Make the function that Python calls; what it holds on to is part of its key in the cache."""

    @njit(cache=True, nogil=True, **OPTIONS)
    def advance(P, Q, W, O, seed, most):  # type: ignore[no-untyped-def]
        """Go on for `most` events at most, or until a table is full; returns why it stopped."""
        if sources == 0:
            return np.int64(-1)
        pools: Any = reference(W)  # type: ignore[call-arg]
        rows: Any = reference(O)
        why = advance_events(reference(P), reference(Q), pools, rows, seed, most)
        fill_histogram(pools, rows)
        return np.int64(why)

    return advance


SOURCES = (batching_kernel, constants, helpers, lanes, lowering, mc, state, E, L, S, HIST_BINS, HIST_OFFSET)
VERSION = helpers.digest(sys.modules[__name__], *SOURCES)
"""Digest of all that is compiled in: what a checkpoint depends on."""

advance = _entry(helpers.digest(*SOURCES))

"""The compiled Monte Carlo engine: one interpreter for every plan.

Each run is computed by one walk over the plan's nodes in topological order; nothing is shared between
runs, so no event queue is needed. What a later moment takes back (losers of a join, the rest of a scope that
failed, a deadline) is mended by evaluating the visits under way again with a cut: draws are keyed, so the
second evaluation sees what the first saw. `docs/semantics.md` says what a run means.

All compiled code is in this one file, and in `lowering`: numba's cache is keyed by the file of the entry point and does
not notice an edit elsewhere, so what is imported is part of the entry point's own key (decision 0001). Shapes: N nodes,
E edges, S steps, B backends, R runs of a block.
"""

from __future__ import annotations

from math import inf, log, sqrt
from typing import Any

import numpy as np
from numba import njit

from agentflow.engine import constants, helpers, lanes, lowering, state
from agentflow.engine.constants import (
    EXP_HIGH,
    EXP_INVERSE,
    EXP_LOW,
    EXP_PAIRS,
    EXP_ROUND,
    GOLDEN,
    MUL1,
    MUL2,
    NORMAL_MASK,
    NORMAL_OFFSET,
    NORMAL_ONE,
    TOP_BIT,
    UNIT,
)
from agentflow.engine.helpers import OPTIONS, helper
from agentflow.engine.lowering import reference
from agentflow.plan import layout as L
from agentflow.result import HIST_BINS, HIST_OFFSET

U1, U11, U27, U30, U31, U64 = (np.uint64(n) for n in (1, 11, 27, 30, 31, 64))
COPY_STRIDE = np.uint64(1024)
NCOMP = L.NCOMP
four_normals: Any = lanes.four_normals
four_lines: Any = lanes.four_lines
four_exps: Any = lanes.four_exps
SLOWEST = 1e-3  # tok/s; a rate that draws 0 must not stop the clock

inlined = helper(forceinline=True)
compiled = helper()
fused = helper(forceinline=True, fastmath={"contract"})


# --- random numbers ---------------------------------------------------------------------------------


@inlined
def mix(z):  # type: ignore[no-untyped-def]
    """Finalise a 64-bit state (SplitMix64: Steele, Lea, Flood 2014)."""
    z = (z ^ (z >> U30)) * MUL1
    z = (z ^ (z >> U27)) * MUL2
    return z ^ (z >> U31)


@inlined
def uniform(k):  # type: ignore[no-untyped-def]
    """Turn a 64-bit draw into a number in (0, 1)."""
    return (np.float64(np.int64(k >> U11)) + 0.5) * UNIT


@inlined
def draw_key(node_key, q):  # type: ignore[no-untyped-def]
    """Key of quantity q below a node's (or an attempt's) key."""
    return mix(node_key + np.uint64(q) * GOLDEN)


@fused
def lower_ndtri(normal, m):  # type: ignore[no-untyped-def]
    """Inverse normal distribution function up to 1/2, from the polynomials of `agentflow.plan.normal`."""
    bits = np.float64(m).view(np.int64)
    i = (bits >> 47) - NORMAL_OFFSET
    i = i if i > 0 else np.int64(0)
    t = np.int64(((bits & NORMAL_MASK) << 5) | NORMAL_ONE).view(np.float64) - 1.5
    t2 = t * t
    i <<= 3
    high = normal[i + 4] + t * normal[i + 5] + t2 * normal[i + 6]
    return (normal[i] + t * normal[i + 1]) + t2 * ((normal[i + 2] + t * normal[i + 3]) + t2 * high)


@inlined
def ndtri(normal, u):  # type: ignore[no-untyped-def]
    """Inverse normal distribution function."""
    z = lower_ndtri(normal, u if u < 0.5 else 1.0 - u)
    return z if u < 0.5 else -z


@inlined
def normal_draw(normal, k):  # type: ignore[no-untyped-def]
    """`ndtri` of `uniform(k)`, whose half the highest bit tells."""
    u = uniform(k)
    v = 1.0 - u
    z = np.float64(lower_ndtri(normal, u if u < v else v)).view(np.int64)
    return np.int64(z ^ np.int64(k & TOP_BIT)).view(np.float64)


@fused
def exp(x):  # type: ignore[no-untyped-def]
    """Return e to the x to within an ulp, from a table of 2 to the i/128; a call would spill every float."""
    x = x if x < 700.0 else 700.0
    x = x if x > -700.0 else -700.0
    shifted = x * EXP_INVERSE + EXP_ROUND
    k = np.float64(shifted).view(np.int64)
    n = shifted - EXP_ROUND
    r = (x - n * EXP_HIGH) - n * EXP_LOW
    i = (k & 127) << 1
    scale = np.int64(EXP_PAIRS[i] + ((k >> 7) << 52)).view(np.float64)
    r2 = r * r
    high = (0.5 + r * (1.0 / 6.0)) + r2 * (1.0 / 24.0 + r * (1.0 / 120.0))
    return scale + scale * ((np.int64(EXP_PAIRS[i + 1]).view(np.float64) + r) + r2 * high)


@inlined
def gamma(normal, k, shape):  # type: ignore[no-untyped-def]
    """Standard gamma draw by rejection (Marsaglia, Tsang 2000), on sub-keys of k."""
    a = shape if shape >= 1.0 else shape + 1.0
    d = a - 1.0 / 3.0
    c = 1.0 / sqrt(9.0 * d)
    x = d
    j = np.uint64(1)
    while True:
        z = ndtri(normal, uniform(mix(k + j * GOLDEN)))
        v = uniform(mix(k + (j + U1) * GOLDEN))
        t = 1.0 + c * z
        t = t * t * t
        if t > 0.0 and log(v) < 0.5 * z * z + d - d * t + d * log(t):
            x = d * t
            break
        j += np.uint64(2)
    if shape < 1.0:
        x *= uniform(k) ** (1.0 / shape)
    return x


@inlined
def from_table(normal, table, lo, n, logs, u):  # type: ignore[no-untyped-def]
    """Quantile table: linear in (z, ln x), or in (u, x) and flat outside where a point is not positive."""
    w = ndtri(normal, u) if logs else u
    i = 1
    while i < n - 1 and w > table[lo + i]:
        i += 1
    w0, w1 = table[lo + i - 1], table[lo + i]
    x0, x1 = table[lo + n + i - 1], table[lo + n + i]
    if not logs:
        w = min(max(w, w0), w1)
    x = x0 + (x1 - x0) * (w - w0) / (w1 - w0)
    return exp(x) if logs else x


@compiled
def draw_rare(P, d, k):  # type: ignore[no-untyped-def]
    """Value of any distribution; a plain call, for what is not worth a place in the hot path."""
    dist_i, dist_f, table, normal = P.dist_i, P.dist_f, P.table, P.normal
    shift = 0.0
    while dist_i[d, L.D_FAMILY] == L.MIXTURE:
        shift += dist_f[d, L.D_SHIFT]
        lo, n = dist_i[d, L.D_OFF], dist_i[d, L.D_LEN]
        u = uniform(k)
        i = 0
        while i < n - 1 and u >= table[lo + i]:
            i += 1
        d = np.int64(table[lo + n + i])
        k = mix(k + GOLDEN)
    family = dist_i[d, L.D_FAMILY]
    a, b = dist_f[d, L.D_P0], dist_f[d, L.D_P1]
    shift += dist_f[d, L.D_SHIFT]
    u = uniform(k)
    x = dist_f[d, L.D_SCALE]
    if family == L.LOGNORMAL:
        x = exp(a + b * ndtri(normal, u))
    elif family == L.UNIFORM:
        x = a + (b - a) * u
    elif family == L.DISCRETE:
        x = np.floor(a + (b - a + 1.0) * u)
    elif family == L.NORMAL:
        x = max(0.0, a + b * ndtri(normal, u))
    elif family == L.EXPONENTIAL:
        x = -a * log(1.0 - u)
    elif family == L.WEIBULL:
        x = a * (-log(1.0 - u)) ** (1.0 / b)
    elif family == L.GAMMA:
        x = a * gamma(normal, k, b)
    elif family == L.QUANTILES:
        x = from_table(normal, table, dist_i[d, L.D_OFF], dist_i[d, L.D_LEN], a > 0.0, u)
    elif family == L.SAMPLES:
        x = table[dist_i[d, L.D_OFF] + np.int64(np.floor(u * dist_i[d, L.D_LEN]))]
    return max(0.0, x + shift)


@inlined
def rare(P, d, k):  # type: ignore[no-untyped-def]
    """Value of distribution d for the draw k, called out of line."""
    return draw_rare(P, np.int64(d), k)


@inlined
def lognormal(normal, mu, sigma, shift, scale, k):  # type: ignore[no-untyped-def]
    """Lognormal draw; a constant is one whose mu and sigma are 0."""
    x = scale * exp(mu + sigma * normal_draw(normal, k)) + shift
    return x if x > 0.0 else 0.0


@inlined
def draw(P, d, k, q):  # type: ignore[no-untyped-def]
    """Value of distribution d for quantity q below key k, the common families in line."""
    if P.dist_i[d, L.D_FAMILY] <= L.LOGNORMAL:
        f = P.dist_f
        return lognormal(P.normal, f[d, L.D_P0], f[d, L.D_P1], f[d, L.D_SHIFT], f[d, L.D_SCALE], draw_key(k, q))
    return rare(P, d, draw_key(k, q))


@inlined
def whole(x):  # type: ignore[no-untyped-def]
    """Round a token count."""
    return np.floor(x + 0.5)


# --- one attempt ------------------------------------------------------------------------------------


@inlined
def strike(P, place, u, ak):  # type: ignore[no-untyped-def]
    """What the error uniform u means: (kind, where it strikes, Retry-After or -1, length of a hang)."""
    for e in range(P.place_i[place, L.P_ERR_LO], P.place_i[place, L.P_ERR_HI]):
        if u < P.error_f[e, L.E_CUM]:
            d = P.error_i[e, L.E_RETRY_AFTER]
            ra = rare(P, d, draw_key(ak, L.Q_RETRY_AFTER)) if d >= 0 else -1.0
            return (
                np.int64(P.error_i[e, L.E_KIND]),
                np.int64(P.error_i[e, L.E_AT]),
                ra,
                P.error_f[e, L.E_AFTER],
            )
    return np.int64(-1), np.int64(0), -1.0, 0.0


@compiled
def factor_of_run(P, W, b, run_key, stamp):  # type: ignore[no-untyped-def]
    """Draw the slowdown that a run keeps at backend b."""
    factor = exp(P.backend_f[b, L.B_SD_RUN] * ndtri(P.normal, uniform(mix(run_key ^ P.backend_key[b]))))
    W.backend_stamp[b] = stamp
    W.backend_factor[b] = factor
    return factor


@compiled
def noise_of_call(P, b, ak):  # type: ignore[no-untyped-def]
    """Draw the slowdown of one attempt alone."""
    return exp(P.backend_f[b, L.B_SD_CALL] * ndtri(P.normal, uniform(draw_key(ak, L.Q_NOISE))))


@inlined
def slowdown(P, W, b, run_key, stamp, ak):  # type: ignore[no-untyped-def]
    """Slowdown of one attempt: the run's factor for the backend times the call's own noise."""
    s = 1.0
    if P.backend_f[b, L.B_SD_RUN] > 0.0:
        if W.backend_stamp[b] == stamp:
            s = W.backend_factor[b]
        else:
            s = factor_of_run(P, W, np.int64(b), run_key, stamp)
    if P.backend_f[b, L.B_SD_CALL] > 0.0:
        s *= noise_of_call(P, np.int64(b), ak)
    return s


@compiled
def cached_tokens(P, W, node, b, spec, tokens, node_key):  # type: ignore[no-untyped-def]
    """Input tokens of this visit that backend b has in its prefix cache."""
    hit = P.backend_f[b, L.B_HIT]
    d = P.spec_i[spec, L.S_CACHED]
    prev = P.node_i[node, L.N_PREV]
    cached = 0.0
    if d >= 0:
        cached = whole(rare(P, d, draw_key(node_key, L.QV_CACHED)))
    elif prev >= 0 and W.si[prev, L.V_STAMP] == W.si[node, L.V_STAMP] and W.si[prev, L.V_BACKEND] == b:
        cached = W.sf[prev, L.F_INPUT]
    cached = min(cached, tokens)
    if cached < P.backend_f[b, L.B_CACHE_MIN] or uniform(draw_key(node_key, L.QV_HIT)) >= hit:
        return 0.0
    block = P.backend_f[b, L.B_CACHE_BLOCK]
    return np.floor(cached / block) * block


@inlined
def wait_of_layer(P, layer, k, ra, ak, index):  # type: ignore[no-untyped-def]
    """k-th wait of a retry layer (s)."""
    if ra >= 0.0 and P.layer_i[layer, L.R_RESPECT] == 1 and ra <= P.layer_f[layer, L.R_CAP]:
        return ra
    wait = P.layer_f[layer, L.R_INITIAL]
    top = P.layer_f[layer, L.R_MAX]
    for _ in range(k):
        wait *= P.layer_f[layer, L.R_FACTOR]
    u = uniform(draw_key(ak, L.Q_JITTER + index))
    return min(wait, top) * (1.0 - P.layer_f[layer, L.R_JITTER] * u) + P.layer_f[layer, L.R_ADD] * u


@inlined
def next_try(P, W, spec, err, ra, ak):  # type: ignore[no-untyped-def]
    """Wait of the first retry layer that takes the error, or -1 when none has tries left."""
    lo, hi = P.spec_i[spec, L.S_LAYER_LO], P.spec_i[spec, L.S_LAYER_HI]
    for layer in range(lo, hi):
        tries = W.tries[layer - lo]
        if (P.layer_i[layer, L.R_ON] >> err) & 1 and tries < P.layer_i[layer, L.R_ATTEMPTS]:
            W.tries[layer - lo] = tries + 1
            for inner in range(layer - lo):
                W.tries[inner] = 1
            return wait_of_layer(P, layer, tries - 1, ra, ak, layer - lo)
    return -1.0


@compiled
def column_at(table, lo, n, column, x):  # type: ignore[no-untyped-def]
    """Column of a table by length at x: straight lines; flat before the first length, never down after the last."""
    at = lo + column * n
    if n == 1 or x <= table[lo]:
        return table[at]
    i = 1
    while i < n - 1 and x > table[lo + i]:
        i += 1
    y0, y1 = table[at + i - 1], table[at + i]
    y = y0 + (y1 - y0) * (x - table[lo + i - 1]) / (table[lo + i] - table[lo + i - 1])
    return y if x <= table[lo + n - 1] else max(y, y1)


@compiled
def served(P, W, b, tokens, cached):  # type: ignore[no-untyped-def]
    """Law of a deployment or a table: seconds of (queue, prefill, first gap, growth from gap to gap)."""
    f = P.backend_f
    if P.backend_i[b, L.B_LAW] == L.LAW_TABLE:
        lo, n, new = np.int64(P.backend_i[b, L.B_TABLE]), np.int64(P.backend_i[b, L.B_LENGTHS]), tokens - cached
        if n > 1 and tokens > P.table[lo + n - 1]:
            W.counter[L.K_BEYOND] += 1
        t = P.table
        return column_at(t, lo, n, 1, new), column_at(t, lo, n, 2, new), column_at(t, lo, n, 3, tokens), 0.0
    growth = f[b, L.B_GROWTH]
    square = f[b, L.B_SQUARE] * (tokens * tokens - cached * cached)
    prefill = f[b, L.B_FIXED] + f[b, L.B_PREFILL] * (tokens - cached) + square
    return f[b, L.B_WAITING], prefill, f[b, L.B_TOKEN] + growth * (tokens + 1.0), growth


@inlined
def span(gap, growth, n):  # type: ignore[no-untyped-def]
    """Seconds of n gaps, each `growth` longer than the one before."""
    return n * (gap + growth * 0.5 * (n - 1.0))


@inlined
def gaps_in(gap, growth, t):  # type: ignore[no-untyped-def]
    """Whole gaps that fit into t seconds: `span` inverted."""
    if growth == 0.0:
        return np.floor(t / gap)
    half = gap - 0.5 * growth
    return np.floor(2.0 * t / (half + sqrt(half * half + 2.0 * growth * t)))


@inlined
def lasting(end, kind, hang, at, moment):  # type: ignore[no-untyped-def]
    """End of an attempt that its error or its own end decides, before timeouts."""
    if kind < 0 or (at == L.AT_END and kind != L.TIMEOUT):
        return end
    return hang if kind == L.TIMEOUT else moment


@inlined
def evaluate_copy(P, W, node, spec, copy, begin, cut, node_key, run_key, stamp, tokens):  # type: ignore[no-untyped-def]
    """One hedge copy of a call: all its attempts over retries and fallbacks, up to `cut`.

    Adds what it used to the visit's row of W.sf and leaves its components there. Returns (end, error, first
    visible token, visible output, place); the error is -1 for success and -2 for a cut.
    """
    c_net = c_queue = c_prefill = c_reasoning = c_decode = c_backoff = c_other = c_failed = 0.0
    u_in = u_cached = u_out = u_reasoning = u_cost = u_attempts = u_energy = 0.0
    for c in range(L.MAX_LAYERS):
        W.tries[c] = 1
    t = begin
    place = np.int64(P.spec_i[spec, L.S_PLACE_LO])
    modelled = P.spec_i[spec, L.S_LAW] == L.LAW_MODEL
    bound_attempt, bound_idle = P.spec_f[spec, L.S_ATTEMPT], P.spec_f[spec, L.S_IDLE]
    a = COPY_STRIDE * np.uint64(copy)
    err = np.int64(-1)
    first = begin
    out = 0.0
    u_calls = 1.0
    while True:
        ak = node_key + U64 * (a + U1) * GOLDEN
        for j in range(P.place_i[place, L.P_DRAW_LO], P.place_i[place, L.P_DRAW_HI]):
            q = P.draw_i[j, 0]
            W.value[q] = draw(P, P.draw_i[j, 1], ak, q)
        ra = -1.0
        kind, at, hang = np.int64(-1), np.int64(0), 0.0
        total = P.place_f[place, L.P_ERR_TOTAL]
        if total > 0.0:
            u = uniform(draw_key(ak, L.Q_ERROR))
            if u < total:
                kind, at, ra, hang = strike(P, place, u, ak)
        err = kind
        if modelled:
            b = np.int64(P.place_i[place, L.P_BACKEND])
            u_attempts += 1.0
            s = slowdown(P, W, b, run_key, stamp, ak)
            cached = 0.0
            if P.backend_f[b, L.B_HIT] > 0.0:
                cached = cached_tokens(P, W, node, b, np.int64(spec), tokens, node_key)
            room = P.backend_f[b, L.B_CONTEXT] - tokens
            if max(1.0, P.spec_f[spec, L.S_MAX_TOKENS]) > room:
                kind, at, ra = np.int64(L.CONTEXT_OVERFLOW), np.int64(L.AT_START), -1.0
                err = kind
            room = max(0.0, min(P.place_f[place, L.P_MAX_TOKENS], room))
            reasoning = 0.0
            if P.place_i[place, L.P_REASONING]:
                reasoning = min(whole(W.value[L.Q_REASONING]), room)
            out = min(whole(W.value[L.Q_OUTPUT]), room - reasoning)
            t_net = W.value[L.Q_NETWORK] if P.place_i[place, L.P_NETWORK] else 0.0
            t_queue = t_net
            stall = P.backend_f[b, L.B_STALL]
            if stall > 0.0 and uniform(draw_key(ak, L.Q_STALL)) < stall:
                t_queue += s * rare(P, P.backend_i[b, L.B_STALL_DIST], draw_key(ak, L.Q_STALL_TIME))
            growth = 0.0
            if P.backend_i[b, L.B_LAW] == L.LAW_MEASURED:
                more = max(0.0, tokens - cached - P.backend_f[b, L.B_TTFT_INPUT])
                t_prefill = t_queue + (W.value[L.Q_TTFT] + more * P.backend_f[b, L.B_PREFILL]) * s
                gap = s / max(W.value[L.Q_RATE], SLOWEST)
            else:
                wait, prefill, gap, growth = served(P, W, b, tokens, cached)
                t_queue += wait * s
                t_prefill, gap, growth = t_queue + prefill * s, gap * s, growth * s
            seen = gap + growth * reasoning  # the first gap that the user sees
            t_first = t_prefill + span(gap, growth, reasoning)
            end = t_first + span(seen, growth, max(0.0, out - 1.0))
            end = lasting(end, kind, hang, at, t_net if at == L.AT_START else t_prefill)
            stopped = kind >= 0 and (kind == L.TIMEOUT or at != L.AT_END)
            counted = end >= t_net if kind == L.TIMEOUT else kind < 0 or at != L.AT_START
            if kind == L.TIMEOUT:
                t_queue = t_prefill = t_first = inf
            if t_first > bound_idle:
                idle = bound_idle
            elif out >= 2.0 and seen + growth * (out - 2.0) > bound_idle:
                before = 0.0 if seen > bound_idle else np.floor((bound_idle - seen) / growth) + 1.0
                idle = t_first + span(seen, growth, before) + bound_idle
            else:
                idle = inf
            idle = min(idle, bound_attempt)
            if idle < end:
                end, err, stopped, counted = idle, np.int64(L.TIMEOUT), True, idle >= t_net
                ra = -1.0
            if t + end > cut:
                end, err, stopped, counted = cut - t, np.int64(-2), True, True
            used_reasoning, used_out = reasoning, out
            if stopped:
                if end < t_first or (err == kind and at != L.AT_END):
                    used_out = 0.0
                    used_reasoning = 0.0
                    if end > t_prefill:
                        used_reasoning = min(reasoning, gaps_in(gap, growth, end - t_prefill))
                else:
                    used_out = min(out, 1.0 + gaps_in(seen, growth, end - t_first))
                t_net = min(end, t_net)
                t_queue = min(end, t_queue)
                t_prefill = min(end, t_prefill)
                t_first = min(end, t_first)
            c_net += t_net
            c_queue += t_queue - t_net
            c_prefill += t_prefill - t_queue
            c_reasoning += t_first - t_prefill
            c_decode += end - t_first
            first = t + t_first
            if counted:
                u_in += tokens
                u_cached += cached
                u_out += used_out
                u_reasoning += used_reasoning
                u_energy += (tokens - cached) * P.backend_f[b, L.B_JOULE_IN]
                u_energy += (used_out + used_reasoning) * P.backend_f[b, L.B_JOULE_OUT]
                u_cost += (
                    (tokens - cached) * P.backend_f[b, L.B_PRICE_IN]
                    + cached * P.backend_f[b, L.B_PRICE_CACHED]
                    + used_out * P.backend_f[b, L.B_PRICE_OUT]
                    + used_reasoning * P.backend_f[b, L.B_PRICE_REASONING]
                )
            u_cost += P.backend_f[b, L.B_PRICE_CALL]
        else:
            out = whole(W.value[L.Q_OUTPUT]) if P.place_i[place, L.P_OUTPUT] else 0.0
            end = lasting(W.value[L.Q_LATENCY], kind, hang, at, 0.0 if at == L.AT_START else W.value[L.Q_LATENCY])
            idle = min(bound_idle, bound_attempt)
            if idle < end:
                end, err, ra = idle, np.int64(L.TIMEOUT), -1.0
            if t + end > cut:
                end, err = cut - t, np.int64(-2)
            c_other += end
            first = t + end
        t += end
        if err < 0:
            break
        c_failed += end
        wait = next_try(P, W, spec, err, ra, ak)
        a += U1
        if wait >= 0.0:
            if t + wait >= cut:
                c_backoff += cut - t
                err = np.int64(-2)
                break
            c_backoff += wait
            t += wait
            continue
        if place + 1 >= P.spec_i[spec, L.S_PLACE_HI] or not (P.place_i[place + 1, L.P_TAKES] >> err) & 1:
            break
        if t >= cut:
            err = np.int64(-2)
            break
        place += 1
        u_calls += 1.0
        for c in range(L.MAX_LAYERS):
            W.tries[c] = 1
    if err == -2:
        t = cut
    if modelled:
        W.sf[node, L.F_USE + L.U_INPUT] += u_in
        W.sf[node, L.F_USE + L.U_CACHED] += u_cached
        W.sf[node, L.F_USE + L.U_OUTPUT] += u_out
        W.sf[node, L.F_USE + L.U_REASONING] += u_reasoning
        W.sf[node, L.F_USE + L.U_COST] += u_cost
        W.sf[node, L.F_USE + L.U_CALLS] += u_calls
        W.sf[node, L.F_USE + L.U_ATTEMPTS] += u_attempts
        W.sf[node, L.F_USE + L.U_ENERGY] += u_energy
    W.sf[node, L.F_FAILED] = c_failed
    W.sf[node, L.F_COMP + L.C_CLIENT] = 0.0
    W.sf[node, L.F_COMP + L.C_NETWORK] = c_net
    W.sf[node, L.F_COMP + L.C_QUEUE] = c_queue
    W.sf[node, L.F_COMP + L.C_PREFILL] = c_prefill
    W.sf[node, L.F_COMP + L.C_REASONING] = c_reasoning
    W.sf[node, L.F_COMP + L.C_DECODE] = c_decode
    W.sf[node, L.F_COMP + L.C_BACKOFF] = c_backoff
    W.sf[node, L.F_COMP + L.C_TOOL] = 0.0
    W.sf[node, L.F_COMP + L.C_HUMAN] = 0.0
    W.sf[node, L.F_COMP + L.C_WAIT] = 0.0
    if not modelled:
        W.sf[node, L.F_COMP + P.spec_i[spec, L.S_COMP]] = c_other
    return t, err, first, out, place


@compiled
def evaluate(P, W, node, spec, begin, cut, node_key, run_key, stamp, tokens):  # type: ignore[no-untyped-def]
    """One visit of a call, its hedge copies included; same result as `evaluate_copy`.

    With hedges the copies are gone through twice: first to find the winner, then, each cut at the win, to count
    what they used; the winner comes last, so that its components stay in the visit's row.
    """
    W.si[node, L.V_PLAIN] = 0
    for c in range(L.NUSE):
        W.sf[node, L.F_USE + c] = 0.0
    copies = P.spec_i[spec, L.S_HEDGES]
    after = P.spec_f[spec, L.S_HEDGE_AFTER]
    win, lost, winner, last, started = inf, -1.0, np.int64(-1), np.int64(0), np.int64(0)
    copy = np.int64(0)
    counting = copies == 0
    win_cut = cut
    while True:
        tc = begin + copy * after if copies > 0 else begin
        bound = cut if counting and copy == winner else win_cut
        t, err, first, out, place = evaluate_copy(P, W, node, spec, copy, tc, bound, node_key, run_key, stamp, tokens)
        if not counting:
            started = copy + 1
            if err == -1 and t < win:
                win, winner = t, copy
            elif err != -1 and t > lost:
                lost, last = t, copy
            nxt = begin + (copy + 1) * after
            if copy < copies and nxt < win and nxt < cut and (winner >= 0 or nxt < lost):
                copy += 1
                continue
            counting = True
            for c in range(L.NUSE):
                W.sf[node, L.F_USE + c] = 0.0
            win_cut = min(cut, win)
            if winner < 0:
                winner = last
            copy = np.int64(0) if winner != 0 or started == 1 else np.int64(1)
            continue
        if copies == 0 or copy == winner:
            break
        copy += 1
        if copy == winner:
            copy += 1
        if copy >= started:
            copy = winner
    if copy > 0:
        W.sf[node, L.F_COMP + L.C_WAIT] += tc - begin
    return t, err, first, out, place


@compiled
def draw_odd(P, W, place, node_key):  # type: ignore[no-untyped-def]
    """Draw the four quantities of a plain call whose families have no place in the hot path."""
    ak = node_key + U64 * GOLDEN
    d = P.place_i
    W.value[0] = draw_rare(P, np.int64(d[place, L.P_POINTS]), draw_key(node_key, L.QV_INPUT))
    W.value[1] = draw_rare(P, np.int64(d[place, L.P_POINTS + 1]), draw_key(ak, L.Q_TTFT))
    W.value[2] = draw_rare(P, np.int64(d[place, L.P_POINTS + 2]), draw_key(ak, L.Q_RATE))
    W.value[3] = draw_rare(P, np.int64(d[place, L.P_POINTS + 3]), draw_key(ak, L.Q_OUTPUT))


@inlined
def bent(P, place, lane, z, straight):  # type: ignore[no-untyped-def]
    """Logarithm of a lane's draw: on the line, or where it has a quantile table, between its points."""
    n = P.place_i[place, L.P_LENGTHS + lane]
    if n == 0:
        return straight
    lo = np.int64(P.place_i[place, L.P_POINTS + lane])
    i = np.int64(1)
    for j in range(1, n - 1):
        i += 1 if z > P.table[lo + j] else 0
    w0, w1 = P.table[lo + i - 1], P.table[lo + i]
    x0, x1 = P.table[lo + n + i - 1], P.table[lo + n + i]
    return x0 + (x1 - x0) * (z - w0) / (w1 - w0)


@inlined
def four_draws(P, W, place, node_key):  # type: ignore[no-untyped-def]
    """Own input, TTFT, decode rate and output of a plain call's first attempt; the same values as `draw`."""
    shape = P.place_i[place, L.P_SHAPE]
    if shape == L.ODD:
        draw_odd(P, W, np.int64(place), node_key)
        return W.value[0], W.value[1], W.value[2], W.value[3]
    row = np.int64(place) * L.PLACE_FLOATS + L.P_LANES
    z = four_normals(P.normal, node_key)
    y = four_lines(P.place_f, row, z)
    if shape == L.BENT:
        y0, y1 = bent(P, place, 0, z[0], y[0]), bent(P, place, 1, z[1], y[1])
        y2, y3 = bent(P, place, 2, z[2], y[2]), bent(P, place, 3, z[3], y[3])
        return four_exps(P.place_f, row, (y0, y1, y2, y3))
    return four_exps(P.place_f, row, y)


@compiled
def draw_extras(P, W, node, spec, place, tokens, node_key):  # type: ignore[no-untyped-def]
    """Draw a plain call's network and reasoning, and look up its cached input, into W.value."""
    ak = node_key + U64 * GOLDEN
    b = np.int64(P.place_i[place, L.P_BACKEND])
    W.value[L.Q_NETWORK] = W.value[L.Q_REASONING] = W.value[L.Q_TTFT] = 0.0
    for j in range(P.place_i[place, L.P_DRAW_LO], P.place_i[place, L.P_DRAW_HI]):
        q = P.draw_i[j, 0]
        if q == L.Q_NETWORK or q == L.Q_REASONING:
            W.value[q] = draw_rare(P, np.int64(P.draw_i[j, 1]), draw_key(ak, q))
    if P.backend_f[b, L.B_HIT] > 0.0:
        W.value[L.Q_TTFT] = cached_tokens(P, W, node, b, spec, tokens, node_key)


@inlined
def plain_call(P, W, node, spec, begin, cut, node_key, run_key, stamp):  # type: ignore[no-untyped-def]
    """The visit of a model call that goes well at once, same result as `evaluate`; the error is -3 if it does not."""
    place = P.spec_i[spec, L.S_PLACE_LO]
    ak = node_key + U64 * GOLDEN
    own, ttft, rate, out = four_draws(P, W, place, node_key)
    u = uniform(draw_key(ak, L.Q_ERROR))
    tokens = with_references(P, W, node, begin, P.spec_f[spec, L.S_MEDIA] + own)
    W.sf[node, L.F_INPUT] = tokens
    f = P.place_f
    s, t_net, t_queue, cached, reasoning = 1.0, 0.0, 0.0, 0.0, 0.0
    extras = P.place_i[place, L.P_EXTRAS]
    if extras != 0:
        b = P.place_i[place, L.P_BACKEND]
        s = slowdown(P, W, b, run_key, stamp, ak)
        if extras & L.MORE_DRAWS:
            draw_extras(P, W, node, spec, np.int64(place), tokens, node_key)
            t_net, reasoning, cached = W.value[L.Q_NETWORK], whole(W.value[L.Q_REASONING]), W.value[L.Q_TTFT]
            t_queue = t_net
        if extras & L.STALLS and uniform(draw_key(ak, L.Q_STALL)) < P.backend_f[b, L.B_STALL]:
            t_queue += s * rare(P, P.backend_i[b, L.B_STALL_DIST], draw_key(ak, L.Q_STALL_TIME))
    most = f[place, L.P_MAX_TOKENS]
    room = f[place, L.P_CONTEXT] - tokens
    room = room if room < most else most
    reasoning = reasoning if reasoning < room else room
    room -= reasoning
    out = whole(out)
    out = out if out < room else room
    more = tokens - cached - f[place, L.P_TTFT_INPUT]
    more = more if more > 0.0 else 0.0
    ready = t_queue + (ttft + more * f[place, L.P_PREFILL]) * s
    gap = s / (rate if rate > SLOWEST else SLOWEST)
    first = ready + reasoning * gap
    rest = out - 1.0
    end = first + (rest if rest > 0.0 else 0.0) * gap
    idle = P.spec_f[spec, L.S_IDLE]
    ok = (
        (u >= f[place, L.P_ERR_TOTAL])
        & (tokens <= f[place, L.P_LONGEST])
        & (end <= P.spec_f[spec, L.S_ATTEMPT])
        & (first <= idle)
        & (gap <= idle)
        & (begin + end <= cut)
    )
    cost = tokens * f[place, L.P_PRICE_IN] + out * f[place, L.P_PRICE_OUT]
    if t_queue > 0.0 or extras & L.MORE_DRAWS:
        no_call(W, node)
        W.si[node, L.V_PLAIN] = 0
        cost = (
            (tokens - cached) * f[place, L.P_PRICE_IN]
            + cached * f[place, L.P_PRICE_CACHED]
            + out * f[place, L.P_PRICE_OUT]
            + reasoning * f[place, L.P_PRICE_REASONING]
        )
        W.sf[node, L.F_USE + L.U_CACHED] = cached
        W.sf[node, L.F_USE + L.U_REASONING] = reasoning
        W.sf[node, L.F_COMP + L.C_NETWORK] = t_net
        W.sf[node, L.F_COMP + L.C_QUEUE] = t_queue - t_net
        W.sf[node, L.F_COMP + L.C_REASONING] = first - ready
    elif W.si[node, L.V_PLAIN] == 0:
        no_call(W, node)
        W.si[node, L.V_PLAIN] = 1
    W.sf[node, L.F_USE + L.U_INPUT] = tokens
    W.sf[node, L.F_USE + L.U_OUTPUT] = out
    W.sf[node, L.F_USE + L.U_COST] = cost + f[place, L.P_PRICE_CALL]
    W.sf[node, L.F_USE + L.U_CALLS] = 1.0
    W.sf[node, L.F_USE + L.U_ATTEMPTS] = 1.0
    W.sf[node, L.F_COMP + L.C_PREFILL] = ready - t_queue
    W.sf[node, L.F_COMP + L.C_DECODE] = end - first
    return begin + end, np.int64(-1 if ok else -3), begin + first, out, np.int64(place)


@inlined
def plain_wait(P, W, node, spec, begin, cut, node_key):  # type: ignore[no-untyped-def]
    """The visit of a tool, person or wait that goes well at once, same result as `evaluate`; else the error is -3."""
    place = P.spec_i[spec, L.S_PLACE_LO]
    ak = node_key + U64 * GOLDEN
    lo = P.place_i[place, L.P_DRAW_LO]
    end = draw_rare(P, np.int64(P.draw_i[lo, 1]), draw_key(ak, L.Q_LATENCY))
    out = 0.0
    if P.place_i[place, L.P_OUTPUT]:
        out = whole(draw_rare(P, np.int64(P.draw_i[lo + 1, 1]), draw_key(ak, L.Q_OUTPUT)))
    ok = (
        (uniform(draw_key(ak, L.Q_ERROR)) >= P.place_f[place, L.P_ERR_TOTAL])
        & (end <= P.spec_f[spec, L.S_ATTEMPT])
        & (end <= P.spec_f[spec, L.S_IDLE])
        & (begin + end <= cut)
    )
    no_call(W, node)
    W.si[node, L.V_PLAIN] = 0
    W.sf[node, L.F_COMP + P.spec_i[spec, L.S_COMP]] = end
    return begin + end, np.int64(-1 if ok else -3), begin + end, out, np.int64(place)


# --- joins ------------------------------------------------------------------------------------------


@inlined
def edge(P, W, e):  # type: ignore[no-untyped-def]
    """Edge e: (when it is resolved, whether it is active, when a guardrail revokes it)."""
    p = P.pred_i[e, 0]
    kind = P.pred_i[e, 1]
    status = W.si[p, L.V_STATUS]
    t = W.sf[p, L.F_END]
    cut = W.sf[p, L.F_CUT]
    if kind == L.EDGE_NEED:
        return t, status == L.DONE, cut
    if kind == L.EDGE_CATCH:
        return t, status == L.CAUGHT and (P.pred_i[e, 2] >> W.si[p, L.V_ERR]) & 1 == 1, cut
    if kind == L.EDGE_BESIDE:
        if status == L.CAUGHT or status == L.FAILED or status == L.ABSORBED:
            cut = min(cut, t)
        return W.sf[p, L.F_START], status != L.SKIPPED, cut
    if kind <= L.EDGE_BESIDE_ROUTE:
        if status == L.CAUGHT or status == L.FAILED or status == L.ABSORBED:
            cut = min(cut, t)
        return (
            W.sf[p, L.F_START],
            status != L.SKIPPED and W.si[p, L.V_ROUTE] == L.EDGE_BESIDE_ROUTE - kind,
            cut,
        )
    return t, status == L.DONE and W.si[p, L.V_ROUTE] == kind, cut


@inlined
def join_all(P, W, lo, hi):  # type: ignore[no-untyped-def]
    """Join of all edges: (moment, deciding edge, whether any is active, revocation)."""
    r, crit, active = 0.0, np.int64(-1), lo == hi
    if hi - lo == 1 and P.pred_i[lo, 1] == L.EDGE_NEED:
        p = P.pred_i[lo, 0]
        return W.sf[p, L.F_END], np.int64(lo), W.si[p, L.V_STATUS] == L.DONE, inf
    for e in range(lo, hi):
        t, ok, _ = edge(P, W, e)
        active = active or ok
        if t > r or crit < 0:
            r, crit = t, np.int64(e)
    cut = inf
    return r, crit, active, cut


@inlined
def active_at(P, W, lo, hi, r):  # type: ignore[no-untyped-def]
    """How many edges are active at moment r, and the earliest revocation of those."""
    n, cut = 0, inf
    for e in range(lo, hi):
        t, ok, c = edge(P, W, e)
        if ok and t <= r and c > r:
            n += 1
            cut = min(cut, c)
    return n, cut


@inlined
def kth_time(P, W, lo, hi, k):  # type: ignore[no-untyped-def]
    """Earliest moment at which k edges are active: (moment or inf, deciding edge)."""
    best, crit = inf, np.int64(-1)
    for e in range(lo, hi):
        t, ok, c = edge(P, W, e)
        if not ok or c <= t or t >= best:
            continue
        if k > 1:
            n, _ = active_at(P, W, lo, hi, t)
            if n < k:
                continue
        best, crit = t, np.int64(e)
    return best, crit


@compiled
def join_slow(P, W, lo, hi, k):  # type: ignore[no-untyped-def]
    """Join of k edges (0: all) with revocations: (moment, edge, 1 start 0 skip 2 fail, revocation, error)."""
    if k > 0:
        r, crit = kth_time(P, W, lo, hi, k)
        if crit >= 0:
            _, cut = active_at(P, W, lo, hi, r)
            return r, crit, 1, cut, np.int64(-1)
    r, crit, _, _ = join_all(P, W, lo, hi)
    n, cut = active_at(P, W, lo, hi, r)
    if k > 0:
        worst, fail = -1.0, np.int64(-1)
        for e in range(lo, hi):
            p = P.pred_i[e, 0]
            stays = W.si[p, L.V_STATUS] == L.ABSORBED and W.sf[p, L.F_END] <= r and W.sf[p, L.F_CUT] > r
            if stays and W.sf[p, L.F_END] > worst:
                worst, fail = W.sf[p, L.F_END], np.int64(e)
        if fail >= 0:
            return r, crit, 2, cut, np.int64(W.si[P.pred_i[fail, 0], L.V_ERR])
    return r, crit, 1 if n > 0 or lo == hi else 0, cut, np.int64(-1)


@inlined
def crit_code(P, e):  # type: ignore[no-untyped-def]
    """How the critical path steps back over edge e: 2 x source, odd where the source runs beside."""
    if e < 0:
        return np.int64(-1)
    return np.int64(P.pred_i[e, 0]) * 2 + (1 if P.pred_i[e, 1] <= L.EDGE_BESIDE else 0)


# --- what a visit does to the state -------------------------------------------------------------------


@inlined
def enter(W, node, start, crit, cut, stamp):  # type: ignore[no-untyped-def]
    """Put a visit on the list of this run."""
    n = W.counter[L.K_VISITED]
    W.visited[n] = node
    W.counter[L.K_VISITED] = n + 1
    W.sf[node, L.F_START] = start
    W.sf[node, L.F_END] = start
    W.sf[node, L.F_CUT] = cut
    W.sf[node, L.F_OUT] = 0.0
    W.si[node, L.V_CRIT] = crit
    W.si[node, L.V_STAMP] = stamp
    W.si[node, L.V_BACKEND] = -1
    W.si[node, L.V_FALLBACK] = 0
    W.si[node, L.V_AT] = n


@inlined
def finish(P, W, node, err, t):  # type: ignore[no-untyped-def]
    """Set the status that an end with this error means, and fail the scope where nothing takes it."""
    W.sf[node, L.F_END] = t
    W.si[node, L.V_ERR] = err
    if err == -1:
        W.si[node, L.V_STATUS] = L.DONE
    elif err == -2:
        W.si[node, L.V_STATUS] = L.CANCELLED
    elif (P.node_i[node, L.N_CATCH] >> err) & 1:
        W.si[node, L.V_STATUS] = L.CAUGHT
    elif P.node_i[node, L.N_FLAGS] & L.ABSORB:
        W.si[node, L.V_STATUS] = L.ABSORBED
    else:
        W.si[node, L.V_STATUS] = L.FAILED
        scope = P.node_i[node, L.N_SCOPE]
        if t < W.fail_t[scope]:
            W.fail_t[scope] = t
            W.fail_node[scope] = node


@inlined
def cut_back(P, W, node, t):  # type: ignore[no-untyped-def]
    """Take back what a visit did after moment t; calls under way go on the list to be evaluated again."""
    status = W.si[node, L.V_STATUS]
    if W.sf[node, L.F_END] <= t:
        return
    if status == L.WIPED:  # by a cut that, as it turns out, was not the first
        W.sf[node, L.F_START] = t
        W.sf[node, L.F_END] = t
        return
    ran = P.node_i[node, L.N_KIND] == L.CALL and status != L.SKIPPED and W.sf[node, L.F_END] > W.sf[node, L.F_START]
    if ran and W.sf[node, L.F_START] < t:
        n = W.counter[L.K_REDO]
        W.redo[n] = node
        W.counter[L.K_REDO] = n + 1
        return
    if W.sf[node, L.F_START] >= t:
        W.si[node, L.V_STATUS] = L.WIPED
        W.sf[node, L.F_START] = t
        for c in range(L.F_USE, L.F_COMP + NCOMP):
            W.sf[node, c] = 0.0
    elif status != L.SKIPPED:
        W.si[node, L.V_STATUS] = L.CANCELLED
    W.sf[node, L.F_END] = t
    W.sf[node, L.F_OUT] = 0.0


@compiled
def cut_since(P, W, position, t):  # type: ignore[no-untyped-def]
    """Cut all visits from a position of the list on."""
    for i in range(position, W.counter[L.K_VISITED]):
        cut_back(P, W, W.visited[i], t)


@compiled
def still_failed(P, W, scope, position):  # type: ignore[no-untyped-def]
    """Whether a scope's failure stands; a join may have cancelled the step that failed, or a later failure is first."""
    node = W.fail_node[scope]
    if W.si[node, L.V_STATUS] == L.FAILED and W.sf[node, L.F_END] == W.fail_t[scope]:
        return True
    W.fail_t[scope], W.fail_node[scope] = inf, -1
    for i in range(position, W.counter[L.K_VISITED]):
        node = W.visited[i]
        ours = P.node_i[node, L.N_SCOPE] == scope and P.node_i[node, L.N_KIND] != L.IEND
        if ours and W.si[node, L.V_STATUS] == L.FAILED and W.sf[node, L.F_END] < W.fail_t[scope]:
            W.fail_t[scope], W.fail_node[scope] = W.sf[node, L.F_END], node
    return W.fail_node[scope] >= 0


@compiled
def cut_losers(P, W, node, t, stamp):  # type: ignore[no-untyped-def]
    """Cut the visits that lead only to this join."""
    for i in range(P.node_i[node, L.N_LOSER_LO], P.node_i[node, L.N_LOSER_HI]):
        loser = P.losers[i]
        if W.si[loser, L.V_STAMP] == stamp:
            cut_back(P, W, loser, t)


@inlined
def output_of(W, v):  # type: ignore[no-untyped-def]
    """Visible output tokens of a value: a node's, or one that a composite exports."""
    n = W.counter[L.K_NODES]
    return W.sf[v, L.F_OUT] if v < n else W.exported[v - n]


@inlined
def export(P, W, node, first, last, ok):  # type: ignore[no-untyped-def]
    """Add up what a composite hands on, over its iterations or instances first <= i < last."""
    at = P.node_i[node, L.N_LIST_LO]
    n = W.counter[L.K_NODES]
    while at < P.node_i[node, L.N_LIST_HI]:
        target, width, rows = P.lists[at], P.lists[at + 1], P.lists[at + 2]
        at += 3
        x = 0.0
        if ok:
            for i in range(at + first * width, at + last * width):
                x += output_of(W, P.lists[i])
        if target < n:
            W.sf[target, L.F_OUT] = x
        else:
            W.exported[target - n] = x
        at += rows * width


@compiled
def export_again(P, W, position):  # type: ignore[no-untyped-def]
    """Add up anew what cancelled composites hand on, from a position of the list of visits on."""
    for i in range(position, W.counter[L.K_VISITED]):
        node = W.visited[i]
        if P.node_i[node, L.N_KIND] != L.END:
            continue
        if W.si[node, L.V_STATUS] != L.CANCELLED and W.si[node, L.V_STATUS] != L.WIPED:
            continue
        kind, last = P.node_i[node, L.N_KIND2], W.si[node, L.V_ROUTE]
        first, stop = np.int64(0), np.int64(1)
        if kind == L.MAP:
            stop = last
        elif kind == L.LOOP:
            first = last if last >= 0 else np.int64(P.node_i[node, L.N_INDEX] - 1)
            stop = first + 1
        out = W.sf[node, L.F_OUT]
        export(P, W, node, first, stop, True)
        W.sf[node, L.F_OUT] = out


@inlined
def input_tokens(P, W, node, spec, start, node_key):  # type: ignore[no-untyped-def]
    """Input of this visit: its own, media, earlier steps' outputs and the loop's history (tokens)."""
    x = P.spec_f[spec, L.S_MEDIA]
    d = P.spec_i[spec, L.S_INPUT]
    if d >= 0:
        x += draw(P, d, node_key, L.QV_INPUT)
    return with_references(P, W, node, start, x)


@inlined
def with_references(P, W, node, start, x):  # type: ignore[no-untyped-def]
    """Add earlier steps' outputs and the loop's history to a visit's own input, and round (tokens)."""
    for i in range(P.node_i[node, L.N_REF_LO], P.node_i[node, L.N_REF_HI]):
        when = P.ref_i[i, 1]
        if (
            W.si[when, L.V_STAMP] == W.si[node, L.V_STAMP]
            and W.sf[when, L.F_END] <= start
            and W.sf[when, L.F_CUT] > start
        ):
            x += P.ref_f[i] * output_of(W, P.ref_i[i, 0])
    hist = P.node_i[node, L.N_HIST]
    if hist >= 0:
        x += W.sf[hist, L.F_OUT]
    return whole(x)


@inlined
def route_of(P, spec, node_key):  # type: ignore[no-untyped-def]
    """Route that a finished step takes, or -1 where it has none."""
    lo, hi = P.spec_i[spec, L.S_ROUTE_LO], P.spec_i[spec, L.S_ROUTE_HI]
    if lo == hi:
        return np.int64(-1)
    u = uniform(draw_key(node_key, L.QV_ROUTE))
    i = lo
    while i < hi - 1 and u >= P.route_f[i]:
        i += 1
    return np.int64(i - lo)


# --- composites ---------------------------------------------------------------------------------------


@compiled
def skip_composite(P, W, begin, t, crit, stamp):  # type: ignore[no-untyped-def]
    """Mark a composite's end as skipped at t; what it exports is 0."""
    end = P.node_i[begin, L.N_MATE]
    enter(W, end, t, crit, inf, stamp)
    W.si[end, L.V_STATUS] = L.SKIPPED
    export(P, W, end, 0, 0, False)


@inlined
def do_begin(P, W, node, run_key):  # type: ignore[no-untyped-def]
    """Open a composite: its scope is whole, a map draws its width and frees its slots."""
    end = P.node_i[node, L.N_MATE]
    W.fail_t[end] = inf
    W.fail_node[end] = -1
    W.si[end, L.V_ROUTE] = -1
    if P.node_i[node, L.N_KIND2] == L.MAP:
        key = mix(run_key ^ P.node_hash[node])
        count = whole(rare(P, P.node_i[node, L.N_SPEC], draw_key(key, L.QV_COUNT)))
        W.si[end, L.V_ROUTE] = min(np.int64(count), np.int64(P.node_i[end, L.N_INDEX]))
        lo = P.node_i[node, L.N_SLOT_LO]
        for i in range(lo, lo + P.node_i[node, L.N_SLOTS]):
            W.slot_t[i] = W.sf[node, L.F_START]
            W.slot_node[i] = node


@inlined
def free_slot(P, W, begin):  # type: ignore[no-untyped-def]
    """The slot of a map that is free first."""
    lo = P.node_i[begin, L.N_SLOT_LO]
    best = np.int64(lo)
    for i in range(lo + 1, lo + P.node_i[begin, L.N_SLOTS]):
        if W.slot_t[i] < W.slot_t[best]:
            best = np.int64(i)
    return best


@inlined
def iteration_spend(W, first, last, column):  # type: ignore[no-untyped-def]
    """What the visits from one position of the list to another have spent."""
    x = 0.0
    for i in range(first, last):
        node = W.visited[i]
        if column == 0:
            x += tokens_of(W, node)
        else:
            x += W.sf[node, L.F_USE + L.U_COST]
    return x


@inlined
def tokens_of(W, node):  # type: ignore[no-untyped-def]
    """Tokens that a visit used: input, output and reasoning."""
    return W.sf[node, L.F_USE + L.U_INPUT] + W.sf[node, L.F_USE + L.U_OUTPUT] + W.sf[node, L.F_USE + L.U_REASONING]


@compiled
def do_check(P, W, node, run_key, stamp):  # type: ignore[no-untyped-def]
    """Close a loop's iteration; whether the loop goes on."""
    end = P.node_i[node, L.N_MATE]
    r, e, _, _ = join_all(P, W, P.node_i[node, L.N_PRED_LO], P.node_i[node, L.N_PRED_HI])
    opening = P.node_i[node, L.N_PREV]
    cut = W.sf[P.node_i[end, L.N_MATE], L.F_CUT]
    enter(W, node, r, crit_code(P, e), cut, stamp)
    if P.node_i[opening, L.N_KIND] == L.CHECK:
        W.sf[node, L.F_OUT] = W.sf[opening, L.F_OUT]
    for i in range(P.node_i[node, L.N_LIST_LO], P.node_i[node, L.N_LIST_HI]):
        W.sf[node, L.F_OUT] += output_of(W, P.lists[i])
    key = mix(run_key ^ P.node_hash[node])
    go_on = uniform(draw_key(key, L.QV_GO_ON)) < P.node_p[node]
    if r - W.sf[opening, L.F_END] > P.totals[0] - r:
        go_on = False
    if W.si[node, L.V_FORCED] == W.counter[L.K_RUN] or cut <= r:
        go_on = False
    if W.fail_t[end] < inf and still_failed(P, W, end, W.si[P.node_i[end, L.N_MATE], L.V_AT]):
        go_on = False
    W.si[node, L.V_STATUS] = L.DONE
    W.si[node, L.V_ROUTE] = 1 if go_on else 0
    W.si[end, L.V_ROUTE] = -1 if go_on else P.node_i[node, L.N_INDEX]
    return go_on


@compiled
def do_iend(P, W, node, stamp):  # type: ignore[no-untyped-def]
    """Close a map's instance and free its slot."""
    opening = P.node_i[node, L.N_MATE]
    r, e, _, _ = join_all(P, W, P.node_i[node, L.N_PRED_LO], P.node_i[node, L.N_PRED_HI])
    crit = crit_code(P, e)
    status = np.int64(L.DONE)
    err = np.int64(-1)
    if W.fail_t[node] < inf and still_failed(P, W, node, W.si[opening, L.V_AT]):
        inner = W.fail_node[node]
        r, crit, err = W.fail_t[node], inner * 2, W.si[inner, L.V_ERR]
        cut_since(P, W, W.si[opening, L.V_AT] + 1, r)
        status = np.int64(L.FAILED)
    if W.counter[L.K_REDO] > 0:
        return r, False
    enter(W, node, r, crit, W.sf[opening, L.F_CUT], stamp)
    W.si[node, L.V_STATUS] = status
    W.si[node, L.V_ERR] = err
    begin = P.node_i[node, L.N_PREV]
    if P.node_i[begin, L.N_SLOTS] > 0:
        slot = W.si[opening, L.V_ROUTE]
        W.slot_t[slot] = r
        W.slot_node[slot] = node
    return r, True


@inlined
def map_end(P, W, end, count):  # type: ignore[no-untyped-def]
    """When a map ends and through which instance: (moment, edge, error)."""
    begin = P.node_i[end, L.N_MATE]
    lo = P.node_i[end, L.N_PRED_LO]
    k = np.int64(P.node_i[end, L.N_JOIN])
    need = count if k == 0 else min(k, count)
    r, e, err = W.sf[begin, L.F_END], np.int64(-1), np.int64(-1)
    if count == 0:
        return r, e, err
    r, e = kth_instance(P, W, lo, lo + count, need, L.DONE)
    if e < 0:
        r, e = kth_instance(P, W, lo, lo + count, count - need + 1, L.FAILED)
        err = W.si[P.pred_i[e, 0], L.V_ERR]
    return r, e, err


@inlined
def kth_instance(P, W, lo, hi, k, status):  # type: ignore[no-untyped-def]
    """The k-th end among the instances with this status: (moment, edge or -1 when there are fewer)."""
    n = 0
    last, at_last = -1.0, np.int64(-1)
    for e in range(lo, hi):
        p = P.pred_i[e, 0]
        if W.si[p, L.V_STATUS] == status:
            n += 1
            if W.sf[p, L.F_END] >= last:
                last, at_last = W.sf[p, L.F_END], np.int64(e)
    if n < k:
        return inf, np.int64(-1)
    if n == k:
        return last, at_last
    floor_t, floor_e = -1.0, np.int64(-1)
    for _ in range(k):
        best, at = inf, np.int64(-1)
        for e in range(lo, hi):
            p = P.pred_i[e, 0]
            t = W.sf[p, L.F_END]
            later = t > floor_t or (t == floor_t and e > floor_e)
            if W.si[p, L.V_STATUS] == status and later and t < best:
                best, at = t, np.int64(e)
        floor_t, floor_e = best, at
    return floor_t, floor_e


@compiled
def do_end(P, W, node, stamp):  # type: ignore[no-untyped-def]
    """Close a composite; False when visits in it have to be evaluated again first."""
    begin = P.node_i[node, L.N_MATE]
    kind = P.node_i[node, L.N_KIND2]
    last = W.si[node, L.V_ROUTE]
    err = np.int64(-1)
    first, stop = np.int64(0), np.int64(1)
    if kind == L.MAP:
        r, e, err = map_end(P, W, node, last)
        crit = crit_code(P, e) if e >= 0 else np.int64(begin) * 2
        stop = last
        if err >= 0 or P.node_i[node, L.N_JOIN] > 0:
            cut_since(P, W, W.si[begin, L.V_AT] + 1, r)
    elif last >= 0:
        check = W.visited[W.counter[L.K_VISITED] - 1]
        r, crit = W.sf[check, L.F_END], np.int64(check) * 2
        first, stop = last, last + 1
    else:
        r, e, _, _ = join_all(P, W, P.node_i[node, L.N_PRED_LO], P.node_i[node, L.N_PRED_HI])
        crit = crit_code(P, e)
        if kind == L.LOOP:
            first = np.int64(P.node_i[node, L.N_INDEX] - 1)
            stop = first + 1
    if kind != L.MAP and W.fail_t[node] < inf and still_failed(P, W, node, W.si[begin, L.V_AT]):
        inner = W.fail_node[node]
        r, crit, err = W.fail_t[node], inner * 2, W.si[inner, L.V_ERR]
        cut_since(P, W, W.si[begin, L.V_AT] + 1, r)
    if W.counter[L.K_REDO] > 0:
        return r, False
    if err >= 0 or kind == L.MAP:
        export_again(P, W, W.si[begin, L.V_AT] + 1)
    cut = W.sf[begin, L.F_CUT]
    enter(W, node, W.sf[begin, L.F_START], crit, cut, stamp)
    if cut <= r:
        r, err = cut, np.int64(-2)
    finish(P, W, node, err, r)
    export(P, W, node, first, stop, True)
    return r, True


# --- the end of a run -----------------------------------------------------------------------------------


@compiled
def leads_to(P, W, guard, node, stamp):  # type: ignore[no-untyped-def]
    """Whether a visit was started through a chain of active edges from a guardrail."""
    W.counter[L.K_MARK] += 1
    mark = W.counter[L.K_MARK]
    W.redo[0] = node
    W.mark[node] = mark
    n = 1
    while n > 0:
        n -= 1
        v = W.redo[n]
        kind = P.node_i[v, L.N_KIND]
        opening = P.node_i[v, L.N_PREV] if kind == L.IBEGIN else P.node_i[v, L.N_MATE] if kind == L.END else -1
        if opening >= 0 and W.mark[opening] != mark:
            W.mark[opening] = mark
            W.redo[n] = opening
            n += 1
        if kind == L.END:
            continue  # what ended a composite did not start it
        for e in range(P.node_i[v, L.N_PRED_LO], P.node_i[v, L.N_PRED_HI]):
            p = P.pred_i[e, 0]
            t, ok, _ = edge(P, W, e)
            if not ok or t > W.sf[v, L.F_START] or W.si[p, L.V_STAMP] != stamp or W.mark[p] == mark:
                continue
            if p == guard:
                return True
            W.mark[p] = mark
            W.redo[n] = p
            n += 1
    return False


@inlined
def held_back(P, W, node, t, stamp, strict):  # type: ignore[no-untyped-def]
    """Moment t of a visit, held back by the guardrails beside its path: (moment, guardrail or -1)."""
    by = np.int64(-1)
    for i in range(P.node_i[node, L.N_GUARD_LO], P.node_i[node, L.N_GUARD_HI]):
        g = P.guards[i]
        if W.si[g, L.V_STAMP] != stamp:
            continue
        status = W.si[g, L.V_STATUS]
        withheld = strict and (status == L.CANCELLED or status == L.FAILED)
        late = status == L.DONE and W.sf[g, L.F_END] > t
        if not (withheld or late) or not leads_to(P, W, np.int64(g), np.int64(node), stamp):
            continue
        if withheld:
            return inf, np.int64(g)
        if late:
            t, by = W.sf[g, L.F_END], np.int64(g)
    return t, by


@inlined
def stands(W, node):  # type: ignore[no-untyped-def]
    """Whether a visit is done and not revoked."""
    return W.si[node, L.V_STATUS] == L.DONE and W.sf[node, L.F_CUT] == inf


@inlined
def answer_node(P, W, stamp):  # type: ignore[no-untyped-def]
    """The visit that is the answer, or -1: the named one if it is done, else the top-level one that ends last."""
    named = np.int64(P.totals[3])
    if named >= 0 and W.si[named, L.V_STAMP] == stamp and stands(W, named):
        return named
    best, at = -1.0, np.int64(-1)
    for i in range(W.counter[L.K_VISITED]):
        node = W.visited[i]
        if P.node_i[node, L.N_FLAGS] & L.TOP and W.sf[node, L.F_END] >= best and stands(W, node):
            best, at = W.sf[node, L.F_END], np.int64(node)
    return at


@compiled
def settles_before(P, W, node, other, t):  # type: ignore[no-untyped-def]
    """Whether of two visits that start at moment t `node` is first: inside composites, then in the plan's order."""
    a, b = np.int64(node), np.int64(other)
    while P.node_i[a, L.N_SCOPE] != P.node_i[b, L.N_SCOPE]:  # up to the scope of both: an outer one closes later
        if P.node_i[a, L.N_SCOPE] < P.node_i[b, L.N_SCOPE]:
            a = np.int64(P.node_i[a, L.N_SCOPE])
        else:
            b = np.int64(P.node_i[b, L.N_SCOPE])
    x = np.int64(P.node_i[a, L.N_MATE]) if a != node else a
    y = np.int64(P.node_i[b, L.N_MATE]) if b != other else b
    before, beside = W.sf[x, L.F_START] < t, W.sf[y, L.F_START] < t
    return before if before != beside else a < b


@inlined
def failed_first(P, W, closing, t):  # type: ignore[no-untyped-def]
    """The visit whose failure ended a composite at moment t, if one did and the composite did not start then."""
    node = np.int64(closing)
    while W.si[node, L.V_STATUS] != L.DONE:
        kind = P.node_i[node, L.N_KIND]
        if kind != L.IEND and (kind != L.END or W.sf[node, L.F_START] == t):
            break
        node = np.int64(W.si[node, L.V_CRIT] >> 1)
    return node


@compiled
def cut_before(P, W, node, own, t):  # type: ignore[no-untyped-def]
    """Whether a visit that was cut at moment t had been by when `own` starts there: failures first, joins in order."""
    if W.sf[node, L.F_CUT] == t:  # by a rejection
        return True
    known = False
    for i in range(W.counter[L.K_VISITED]):
        join = W.visited[i]
        if W.sf[join, L.F_START] != t or W.si[join, L.V_STATUS] == L.SKIPPED or W.si[join, L.V_STATUS] == L.WIPED:
            continue
        for j in range(P.node_i[join, L.N_LOSER_LO], P.node_i[join, L.N_LOSER_HI]):
            if P.losers[j] == node:
                known = True
                if settles_before(P, W, np.int64(join), own, t):
                    return True
    scope = np.int64(P.node_i[node, L.N_SCOPE])
    while scope < W.counter[L.K_NODES]:
        status = W.si[scope, L.V_STATUS]
        if W.sf[scope, L.F_END] == t and status != L.CANCELLED and status != L.WIPED:
            known = True
            cause = failed_first(P, W, scope, t)
            if W.sf[cause, L.F_START] < t or settles_before(P, W, cause, own, t):
                return True
        scope = np.int64(P.node_i[scope, L.N_SCOPE])
    return not known


@inlined
def ended_before(P, W, node, own, t):  # type: ignore[no-untyped-def]
    """Whether a visit had ended when `own` starts, at moment t: ends come first, then joins in their order."""
    if W.sf[node, L.F_END] != t:
        return W.sf[node, L.F_END] < t
    if W.sf[node, L.F_START] == t:
        return node != own and settles_before(P, W, np.int64(node), own, t)
    return W.si[node, L.V_STATUS] != L.CANCELLED or cut_before(P, W, np.int64(node), own, t)


@compiled
def spent_by(P, W, t, column, own):  # type: ignore[no-untyped-def]
    """Tokens (column 0) or dollars that visits have used that had ended when `own` starts, at moment t."""
    x = 0.0
    for i in range(W.counter[L.K_VISITED]):
        node = W.visited[i]
        if P.node_i[node, L.N_KIND] == L.CALL and ended_before(P, W, node, own, t):
            x += tokens_of(W, node) if column == 0 else W.sf[node, L.F_USE + L.U_COST]
    return x


@inlined
def may_be_over(P, W):  # type: ignore[no-untyped-def]
    """Whether a run spent so much that a visit may have started over the budget; a loop may ask for as much again."""
    tokens, usd = 0.0, 0.0
    for i in range(W.counter[L.K_VISITED]):
        node = W.visited[i]
        if P.node_i[node, L.N_KIND] == L.CALL:
            tokens += tokens_of(W, node)
            usd += W.sf[node, L.F_USE + L.U_COST]
    return 2.0 * tokens >= P.totals[1] or 2.0 * usd >= P.totals[2]


@compiled
def over_budget(P, W, until):  # type: ignore[no-untyped-def]
    """The first visit, in time, that starts over the budget (or loop that goes on over it), or -1."""
    best, at = until, np.int64(-1)
    for i in range(W.counter[L.K_VISITED]):
        node = W.visited[i]
        t = W.sf[node, L.F_START]
        kind = P.node_i[node, L.N_KIND]
        if t > best or W.si[node, L.V_FORCED] == W.counter[L.K_RUN]:
            continue
        if t == until and (W.si[node, L.V_STATUS] != L.FAILED or W.sf[node, L.F_END] > t):
            continue  # cut as it starts; what fails at once may be what cuts
        if t == best and at >= 0 and not settles_before(P, W, np.int64(node), at, t):
            continue
        billed = kind == L.CALL and P.node_i[node, L.N_FLAGS] & L.BILLED and W.si[node, L.V_STATUS] != L.SKIPPED
        goes_on = kind == L.CHECK and W.si[node, L.V_ROUTE] == 1
        for column in range(2):
            bound = P.totals[1 + column]
            if bound == inf or not (billed or goes_on):
                continue
            left = bound - spent_by(P, W, t, column, np.int64(node))
            if goes_on:
                first = W.si[P.node_i[node, L.N_PREV], L.V_AT] + 1
                over = iteration_spend(W, first, W.si[node, L.V_AT], column) > left
            else:
                over = left <= 0.0
            if over:
                best, at = t, np.int64(node)
    return at


@compiled
def add_run(P, W, O, i, e2e, end_node, answer, outcome, stamp):  # type: ignore[no-untyped-def]
    """Write the run's row and add its visits to the totals by step."""
    ttft = inf
    used_fallback = False
    cost, calls, attempts, energy = 0.0, 0.0, 0.0, 0.0
    t_in, t_cached, t_out, t_reasoning = 0.0, 0.0, 0.0, 0.0
    for v in range(W.counter[L.K_VISITED]):
        node = W.visited[v]
        kind = P.node_i[node, L.N_KIND]
        status = W.si[node, L.V_STATUS]
        if (kind != L.CALL and kind != L.END) or status == L.SKIPPED or status == L.WIPED:
            continue
        step = P.node_i[node, L.N_STEP]
        latency = W.sf[node, L.F_END] - W.sf[node, L.F_START]
        O.step_f[step, L.ST_LATENCY] += latency
        place = (np.float64(latency).view(np.int64) >> 45) - HIST_OFFSET
        O.histogram[step, min(max(place, 0), HIST_BINS - 1)] += 1
        if kind == L.END:
            O.step_f[step, L.ST_EXECUTIONS] += 1.0
            continue
        if W.si[node, L.V_PLAIN]:
            W.plain[step] += 1
            O.step_f[step, L.ST_USE + L.U_INPUT] += W.sf[node, L.F_USE + L.U_INPUT]
            O.step_f[step, L.ST_USE + L.U_OUTPUT] += W.sf[node, L.F_USE + L.U_OUTPUT]
            O.step_f[step, L.ST_USE + L.U_COST] += W.sf[node, L.F_USE + L.U_COST]
            O.step_f[step, L.ST_COMP + L.C_PREFILL] += W.sf[node, L.F_COMP + L.C_PREFILL]
            O.step_f[step, L.ST_COMP + L.C_DECODE] += W.sf[node, L.F_COMP + L.C_DECODE]
        else:
            O.step_f[step, L.ST_EXECUTIONS] += 1.0
            for c in range(L.NUSE + NCOMP):
                O.step_f[step, L.ST_USE + c] += W.sf[node, L.F_USE + c]
            energy += W.sf[node, L.F_USE + L.U_ENERGY]
            t_cached += W.sf[node, L.F_USE + L.U_CACHED]
            t_reasoning += W.sf[node, L.F_USE + L.U_REASONING]
        t_in += W.sf[node, L.F_USE + L.U_INPUT]
        t_out += W.sf[node, L.F_USE + L.U_OUTPUT]
        cost += W.sf[node, L.F_USE + L.U_COST]
        calls += W.sf[node, L.F_USE + L.U_CALLS]
        attempts += W.sf[node, L.F_USE + L.U_ATTEMPTS]
        used_fallback = used_fallback or (W.si[node, L.V_FALLBACK] == 1 and status == L.DONE)
        if P.node_i[node, L.N_FLAGS] & L.STREAM and stands(W, node):
            seen, _ = held_back(P, W, node, W.sf[node, L.F_FIRST], stamp, True)
            ttft = min(ttft, seen)
    if ttft == inf and answer >= 0 and P.node_i[answer, L.N_FLAGS] & (L.BILLED | L.NO_STREAM) == L.BILLED:
        ttft, _ = held_back(P, W, answer, W.sf[answer, L.F_FIRST], stamp, True)
    if outcome == L.ANSWERED:
        if used_fallback:
            outcome = np.int64(L.FALLBACK)
        if answer >= 0 and P.node_i[answer, L.N_LABEL] >= 0:
            outcome = np.int64(P.node_i[answer, L.N_LABEL])
    O.times[i, 0] = e2e
    O.times[i, 1] = min(ttft, e2e)
    O.outcome[i] = outcome
    O.tokens[i, 0] = np.int64(t_in)
    O.tokens[i, 1] = np.int64(t_cached)
    O.tokens[i, 2] = np.int64(t_out)
    O.tokens[i, 3] = np.int64(t_reasoning)
    O.counts[i, 0] = np.int32(calls)
    O.counts[i, 1] = np.int32(attempts)
    O.cost[i * W.counter[L.K_PRICED]] = cost  # of one row where nothing has a price
    O.energy[i * W.counter[L.K_POWERED]] = energy
    node = np.int64(end_node)
    while node >= 0:
        kind = P.node_i[node, L.N_KIND]
        status = W.si[node, L.V_STATUS]
        if (kind == L.CALL or kind == L.END) and status != L.SKIPPED:
            step = P.node_i[node, L.N_STEP]
            if W.step_stamp[step] != stamp:
                W.step_stamp[step] = stamp
                O.critical_runs[step] += 1
            if kind == L.CALL and W.si[node, L.V_PLAIN]:
                O.critical[step, L.C_PREFILL] += W.sf[node, L.F_COMP + L.C_PREFILL]
                O.critical[step, L.C_DECODE] += W.sf[node, L.F_COMP + L.C_DECODE]
            elif kind == L.CALL:
                for c in range(NCOMP):
                    O.critical[step, c] += W.sf[node, L.F_COMP + c]
        code = W.si[node, L.V_CRIT]
        while code >= 0 and code & 1:
            code = W.si[code >> 1, L.V_CRIT]
        node = code >> 1 if code >= 0 else np.int64(-1)


@inlined
def last_visit(P, W):  # type: ignore[no-untyped-def]
    """The visit that ended last."""
    best, at = -1.0, np.int64(-1)
    for i in range(W.counter[L.K_VISITED]):
        node = W.visited[i]
        if W.sf[node, L.F_END] >= best and W.si[node, L.V_STATUS] != L.WIPED:
            best, at = W.sf[node, L.F_END], np.int64(node)
    return at


@inlined
def last_cut(P, W, t):  # type: ignore[no-untyped-def]
    """The call under way at a cut that started last."""
    best, at = -1.0, np.int64(-1)
    for i in range(W.counter[L.K_VISITED]):
        node = W.visited[i]
        ours = P.node_i[node, L.N_KIND] == L.CALL and W.si[node, L.V_STATUS] == L.CANCELLED
        if ours and W.sf[node, L.F_END] == t and W.sf[node, L.F_START] >= best:
            best, at = W.sf[node, L.F_START], np.int64(node)
    return at


@inlined
def last_end(P, W):  # type: ignore[no-untyped-def]
    """When the last visit of the run ended."""
    t = 0.0
    for i in range(W.counter[L.K_VISITED]):
        t = max(t, W.sf[W.visited[i], L.F_END])
    return t


@compiled
def verdict_of_run(P, W, stamp):  # type: ignore[no-untyped-def]
    """How a run ends before anything is cut: (outcome, cut or inf, e2e, last visit of its path, answer)."""
    n = W.counter[L.K_NODES]
    deadline = P.totals[0]
    answer = answer_node(P, W, stamp)
    e2e, end_node = 0.0, answer
    if answer >= 0:
        e2e, by = held_back(P, W, answer, W.sf[answer, L.F_END], stamp, False)
        if by >= 0:
            end_node = by
    failed = inf
    if W.fail_t[n] < inf and still_failed(P, W, n, 0):
        failed = W.fail_t[n]
    named = np.int64(P.totals[3])
    if failed < inf and (failed <= deadline or (answer == named and named >= 0 and e2e <= min(deadline, failed))):
        node = W.fail_node[n]
        budget = W.si[node, L.V_ERR] == L.BUDGET_EXCEEDED
        return (
            np.int64(L.RUN_BUDGET if budget else L.RUN_FAILED),
            failed,
            failed,
            np.int64(node),
            np.int64(-1),
        )
    if failed < inf or ((e2e if answer == named and named >= 0 else last_end(P, W)) > deadline):
        return np.int64(L.DEADLINE_EXCEEDED), deadline, deadline, np.int64(-1), np.int64(-1)
    if answer < 0:
        e2e = last_end(P, W)
        for i in range(W.counter[L.K_VISITED]):
            if W.sf[W.visited[i], L.F_END] == e2e:
                end_node = np.int64(W.visited[i])
        return np.int64(L.RUN_FAILED), inf, e2e, end_node, answer
    return np.int64(L.ANSWERED), inf, e2e, end_node, answer


# --- the entry point --------------------------------------------------------------------------------------


@inlined
def no_call(W, node):  # type: ignore[no-untyped-def]
    """Empty the row of a visit that makes no call."""
    W.sf[node, L.F_FAILED] = 0.0
    for c in range(L.F_USE, L.F_COMP + NCOMP):
        W.sf[node, c] = 0.0


@compiled
def simulate_runs(P, W, O, runs, seed):  # type: ignore[no-untyped-def]
    """`simulate_block`, with its tuples by reference."""
    n = W.counter[L.K_NODES]
    base = mix(np.uint64(seed) + GOLDEN)
    budgeted = P.totals[1] < inf or P.totals[2] < inf
    for i in range(runs.shape[0]):
        run_key = mix(base + np.uint64(runs[i]) * GOLDEN)
        W.counter[L.K_RUN] += 1
        run_stamp = W.counter[L.K_RUN]
        decided = False
        outcome, e2e, end_node, answer = np.int64(0), 0.0, np.int64(-1), np.int64(-1)
        stamp = np.int64(0)
        again = True
        while again:
            again = False
            W.counter[L.K_STAMP] += 1
            stamp = W.counter[L.K_STAMP]
            W.counter[L.K_VISITED] = 0
            W.counter[L.K_REDO] = 0
            W.fail_t[n] = inf
            pc = np.int64(0)
            redo_i = np.int64(0)
            redo_cut = inf
            while True:
                if redo_i < W.counter[L.K_REDO]:
                    redoing = True
                    node = np.int64(W.redo[redo_i])
                    redo_i += 1
                    begin, cut, tokens = W.sf[node, L.F_START], redo_cut, W.sf[node, L.F_INPUT]
                else:
                    redoing = False
                    W.counter[L.K_REDO] = 0
                    redo_i = np.int64(0)
                    if pc == n:
                        if decided:
                            break
                        outcome, redo_cut, e2e, end_node, answer = verdict_of_run(P, W, stamp)
                        if budgeted and may_be_over(P, W):
                            over = over_budget(P, W, redo_cut)
                            if over >= 0:
                                W.si[over, L.V_FORCED] = run_stamp
                                again = True
                                break
                        if redo_cut == inf:
                            break
                        decided = True
                        cut_since(P, W, 0, redo_cut)
                        continue
                    node = pc
                    kind = P.node_i[node, L.N_KIND]
                    if kind >= L.CHECK:
                        if kind == L.CHECK:
                            pc = pc + 1 if do_check(P, W, node, run_key, stamp) else np.int64(P.node_i[node, L.N_MATE])
                            continue
                        if kind == L.IBEGIN:
                            opening = P.node_i[node, L.N_PREV]
                            end = P.node_i[node, L.N_MATE]
                            if P.node_i[node, L.N_INDEX] >= W.si[end, L.V_ROUTE]:
                                pc = np.int64(end)
                                continue
                            begin, crit = W.sf[opening, L.F_END], np.int64(opening) * 2
                            slot = np.int64(-1)
                            if P.node_i[opening, L.N_SLOTS] > 0:
                                slot = free_slot(P, W, opening)
                                begin, crit = W.slot_t[slot], W.slot_node[slot] * 2
                            enter(W, node, begin, crit, W.sf[opening, L.F_CUT], stamp)
                            W.si[node, L.V_STATUS] = L.DONE
                            W.si[node, L.V_ROUTE] = slot
                            closing = P.node_i[node, L.N_SPEC]
                            W.fail_t[closing] = inf
                            pc += 1
                            continue
                        if kind == L.IEND:
                            r, closed = do_iend(P, W, node, stamp)
                            redo_cut = r
                            pc += 1 if closed else 0
                            continue
                        if kind == L.END:
                            r, closed = do_end(P, W, node, stamp)
                            redo_cut = r
                            pc += 1 if closed else 0
                            continue
                    lo, hi, k = (
                        P.node_i[node, L.N_PRED_LO],
                        P.node_i[node, L.N_PRED_HI],
                        P.node_i[node, L.N_JOIN],
                    )
                    if k == 0 and P.node_i[node, L.N_FLAGS] & L.GUARDED == 0:
                        begin, e, active, cut = join_all(P, W, lo, hi)
                        verdict = 1 if active else 0
                        why = np.int64(-1)
                    else:
                        begin, e, verdict, cut, why = join_slow(P, W, np.int64(lo), np.int64(hi), np.int64(k))
                        if verdict == 1 and P.node_i[node, L.N_LOSER_HI] > P.node_i[node, L.N_LOSER_LO]:
                            cut_losers(P, W, node, begin, stamp)
                            if W.counter[L.K_REDO] > 0:
                                redo_cut = begin
                                continue
                            export_again(P, W, 0)
                    crit = crit_code(P, e)
                    enter(W, node, begin, crit, cut, stamp)
                    if verdict != 1:
                        W.si[node, L.V_STATUS] = L.SKIPPED
                        no_call(W, node)
                        where = node
                        if kind == L.BEGIN:
                            skip_composite(P, W, node, begin, crit, stamp)
                            where = np.int64(P.node_i[node, L.N_MATE])
                        if verdict == 2:
                            W.si[where, L.V_PLAIN] = 0
                            finish(P, W, where, why, begin)
                        pc = where + 1
                        continue
                    if kind == L.BEGIN:
                        W.si[node, L.V_STATUS] = L.DONE
                        do_begin(P, W, node, run_key)
                        pc += 1
                        continue
                    pc += 1
                    tokens = 0.0
                spec = np.int64(P.node_i[node, L.N_SPEC])
                node_key = mix(run_key ^ P.node_hash[node])
                if not redoing and W.si[node, L.V_FORCED] == run_stamp:
                    no_call(W, node)
                    W.si[node, L.V_PLAIN] = 0
                    finish(P, W, node, np.int64(L.BUDGET_EXCEEDED), begin)
                    continue
                t, err, first, out, place = 0.0, np.int64(-3), 0.0, 0.0, np.int64(0)
                plain = P.spec_i[spec, L.S_PLAIN]
                if plain == L.PLAIN_CALL and not redoing:
                    t, err, first, out, place = plain_call(P, W, node, spec, begin, cut, node_key, run_key, run_stamp)
                    tokens = W.sf[node, L.F_INPUT]
                elif plain == L.PLAIN_WAIT and not redoing:
                    t, err, first, out, place = plain_wait(P, W, node, spec, begin, cut, node_key)
                    W.sf[node, L.F_INPUT] = 0.0
                elif not redoing:
                    tokens = input_tokens(P, W, node, spec, begin, node_key)
                    W.sf[node, L.F_INPUT] = tokens
                if err == -3:
                    t, err, first, out, place = evaluate(
                        P, W, node, spec, begin, cut, node_key, run_key, run_stamp, tokens
                    )
                if err >= 0 and t >= cut and not redoing:
                    err = np.int64(-2)  # a rejection comes before a failure of the same moment
                W.sf[node, L.F_FIRST] = first
                W.sf[node, L.F_OUT] = 0.0
                finish(P, W, node, err, t)
                W.si[node, L.V_BACKEND] = P.place_i[place, L.P_BACKEND]
                W.si[node, L.V_ROUTE] = route_of(P, spec, node_key)
                if err == -1:
                    W.sf[node, L.F_OUT] = out
                    W.si[node, L.V_FALLBACK] = 1 if place > P.spec_i[spec, L.S_PLACE_LO] else 0
        if end_node < 0:
            end_node = last_cut(P, W, e2e)
        if end_node < 0:
            end_node = last_visit(P, W)
        W.si[n, L.V_CRIT] = end_node  # row n is the run's own: where its critical path ends, and its answer
        W.si[n, L.V_ROUTE] = answer
        add_run(P, W, O, i, e2e, end_node, answer, outcome, stamp)
    for step in range(W.counter[L.K_STEPS]):
        count = np.float64(W.plain[step])
        W.plain[step] = 0
        O.step_f[step, L.ST_EXECUTIONS] += count
        O.step_f[step, L.ST_USE + L.U_CALLS] += count
        O.step_f[step, L.ST_USE + L.U_ATTEMPTS] += count


def _entry(sources: int) -> Any:
    """Make the function that Python calls; what it holds on to is part of its key in the cache."""

    @njit(cache=True, nogil=True, **OPTIONS)
    def simulate_block(P, W, O, runs, seed):  # type: ignore[no-untyped-def]
        """Simulate the runs with these numbers (int64[R]); add to O, whose rows are in the order of `runs`."""
        if sources:
            simulate_runs(reference(P), reference(W), reference(O), runs, seed)  # type: ignore[call-arg]

    return simulate_block


SOURCES = (constants, helpers, lanes, lowering, state, L, HIST_BINS, HIST_OFFSET)
simulate_block = _entry(helpers.digest(*SOURCES))

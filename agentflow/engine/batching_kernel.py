"""Continuous batching, compiled: replicas whose scheduler decides every iteration anew, advanced from change to change.

Between two changes of the batch every sequence computes as many tokens a step as in the step before, so a step takes
longer than the last by a constant, and the end of any of them is a sum. A regime is a plan and how many plans like it
follow; `change` ends it, `plan` makes the next. `submit` and `cancel` cut it short at the end of the step under way.

The rules are those of vLLM's scheduler: running sequences first, in the order of their admission, a token each and
what the budget leaves to the one prompt that is not done; where no block is left the last admitted gives up its own
and waits in front, to compute its tokens again; then the queue, first come first served, while budget, places and
blocks last. With asynchronous scheduling a step is planned when the one before it starts, so that what a step yields or
who arrives in it changes the step after the next.

`B` is a reference to `batching_state.Batches`, r a replica, q a request's number: the caller's, in use once at a time.
An event engine calls `submit` when a call arrives at its replica and `cancel` when it gives up; it schedules the next
change at `B.replica_f[r, Y_NEXT]` after each call, and then calls `proceed` with the time of its next other event.
Arrivals at one moment come before changes at that moment. A change takes O(log batch), but for block shortages, which
look at each sequence.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

import numpy as np
from numba import njit

from agentflow.engine import batching_state as S
from agentflow.engine import helpers, lowering, state
from agentflow.engine.helpers import OPTIONS, helper
from agentflow.engine.lowering import reference

inlined = helper(forceinline=True)
compiled = helper()

ENDLESS = np.int64(1) << np.int64(60)
ORDER_BITS = 31
ORDER_MASK = (1 << ORDER_BITS) - 1


# --- lists and the heap ------------------------------------------------------------------------------------


@inlined
def in_blocks(B, r, tokens):  # type: ignore[no-untyped-def]
    """Whole blocks in so many tokens; sizes that are powers of two, as all real ones, need no division."""
    shift = B.limits[r, S.G_SHIFT]
    return tokens >> shift if shift >= 0 else tokens // B.limits[r, S.G_BLOCK]


@inlined
def beyond_blocks(B, r, tokens):  # type: ignore[no-untyped-def]
    """Tokens beyond whole blocks."""
    size = B.limits[r, S.G_BLOCK]
    return tokens & (size - 1) if B.limits[r, S.G_SHIFT] >= 0 else tokens % size


@inlined
def blocks_of(B, r, tokens):  # type: ignore[no-untyped-def]
    """Blocks that tokens take."""
    return in_blocks(B, r, tokens + B.limits[r, S.G_BLOCK] - 1)


@inlined
def append(B, r, q, head, tail):  # type: ignore[no-untyped-def]
    """Put a request at the end of a list."""
    last = B.replica_i[r, tail]
    B.request_i[q, S.Q_PREVIOUS] = last
    B.request_i[q, S.Q_NEXT] = -1
    if last >= 0:
        B.request_i[last, S.Q_NEXT] = q
    else:
        B.replica_i[r, head] = q
    B.replica_i[r, tail] = q


@inlined
def unlink(B, r, q, head, tail):  # type: ignore[no-untyped-def]
    """Take a request out of a list."""
    before, after = B.request_i[q, S.Q_PREVIOUS], B.request_i[q, S.Q_NEXT]
    if before >= 0:
        B.request_i[before, S.Q_NEXT] = after
    else:
        B.replica_i[r, head] = after
    if after >= 0:
        B.request_i[after, S.Q_PREVIOUS] = before
    else:
        B.replica_i[r, tail] = before


@inlined
def place(B, at, i, key, q):  # type: ignore[no-untyped-def]
    """Write an entry of the heap."""
    B.heap_key[at + i] = key
    B.heap_id[at + i] = q
    B.request_i[q, S.Q_PLACE] = i


@inlined
def rise(B, at, i, key, q):  # type: ignore[no-untyped-def]
    """Let an entry rise from place i."""
    while i > 0:
        parent = (i - 1) >> 1
        if B.heap_key[at + parent] <= key:
            break
        place(B, at, i, B.heap_key[at + parent], B.heap_id[at + parent])
        i = parent
    place(B, at, i, key, q)


@compiled
def heap_remove(B, r, i):  # type: ignore[no-untyped-def]
    """Take the entry at place i out of the heap of those that decode."""
    at = B.limits[r, S.G_AT]
    n = B.replica_i[r, S.R_DECODING] - 1
    B.replica_i[r, S.R_DECODING] = n
    if i == n:
        return
    key, q = B.heap_key[at + n], B.heap_id[at + n]
    if i > 0 and key < B.heap_key[at + ((i - 1) >> 1)]:
        rise(B, at, i, key, q)
        return
    child = 2 * i + 1
    while child < n:
        if child + 1 < n and B.heap_key[at + child + 1] < B.heap_key[at + child]:
            child += 1
        if key <= B.heap_key[at + child]:
            break
        place(B, at, i, B.heap_key[at + child], B.heap_id[at + child])
        i = child
        child = 2 * i + 1
    place(B, at, i, key, q)


# --- sequences -----------------------------------------------------------------------------------------------


@inlined
def phase_of(B, r, base):  # type: ignore[no-untyped-def]
    """At which steps, modulo the block size, a decoding sequence takes a block."""
    return B.limits[r, S.G_PHASE] + beyond_blocks(B, r, -base)


@inlined
def leave_decoding(B, r, q):  # type: ignore[no-untyped-def]
    """Take a sequence out of those that decode; returns its computed tokens."""
    heap_remove(B, r, B.request_i[q, S.Q_PLACE])
    base = B.request_i[q, S.Q_DONE]
    B.replica_i[r, S.R_BASES] -= base
    B.phases[phase_of(B, r, base)] -= 1
    return base + B.replica_i[r, S.R_PLANS]


@inlined
def note(B, r, q, what):  # type: ignore[no-untyped-def]
    """Write down what the step that is being planned yields of a request."""
    n = B.replica_i[r, S.R_NEXT_NOTES]
    B.replica_i[r, S.R_NEXT_NOTES] = n + 1
    side = 1 - B.replica_i[r, S.R_SIDE]
    B.notes[2 * B.limits[r, S.G_AT] + side * B.limits[r, S.G_MOST] + n] = 4 * q + what


@inlined
def last_token_planned(B, q):  # type: ignore[no-untyped-def]
    """Let a sequence take no part in further plans; it keeps its place and blocks until the step is over."""
    B.request_i[q, S.Q_DONE] = B.request_i[q, S.Q_PROMPT] + B.request_i[q, S.Q_OUTPUT] - 1
    B.request_i[q, S.Q_STATE] = S.ENDING


@compiled
def prompt_done(B, r, q):  # type: ignore[no-untyped-def]
    """Note the token that a prompt's last chunk yields, and let the sequence decode from the next plan on."""
    what = np.int64(0)
    if B.request_i[q, S.Q_FIRST] == 0:
        B.request_i[q, S.Q_FIRST] = 1
        what = np.int64(S.NOTE_FIRST)
    done, plans = B.request_i[q, S.Q_DONE], B.replica_i[r, S.R_PLANS]
    all_of_it = B.request_i[q, S.Q_PROMPT] + B.request_i[q, S.Q_OUTPUT] - 1
    if done >= all_of_it:
        last_token_planned(B, q)
        note(B, r, q, what | S.NOTE_LAST)
        return
    base = done - plans
    B.request_i[q, S.Q_DONE] = base
    B.request_i[q, S.Q_STATE] = S.DECODING
    B.replica_i[r, S.R_BASES] += base
    B.phases[phase_of(B, r, base)] += 1
    n = B.replica_i[r, S.R_DECODING]
    B.replica_i[r, S.R_DECODING] = n + 1
    key = ((all_of_it - base) << ORDER_BITS) | (B.request_i[q, S.Q_ORDER] & ORDER_MASK)
    rise(B, B.limits[r, S.G_AT], n, key, q)
    if what:
        note(B, r, q, what)


@inlined
def free_blocks(B, r, tokens):  # type: ignore[no-untyped-def]
    """Put the blocks of so many tokens behind the others that are free."""
    B.replica_i[r, S.R_FREED] += blocks_of(B, r, tokens)


@compiled
def preempt(B, r, q):  # type: ignore[no-untyped-def]
    """Take the last admitted sequence out of the batch; what it has computed is lost but for what nobody overwrites."""
    unlink(B, r, q, S.R_FIRST, S.R_LAST)
    B.replica_i[r, S.R_RUNNING] -= 1
    B.replica_i[r, S.R_CHANGED] = 1
    B.replica_i[r, S.R_SHORT] = 1
    if B.request_i[q, S.Q_STATE] == S.ENDING:
        B.request_i[q, S.Q_STATE] = S.ENDING_OUTSIDE
        free_blocks(B, r, B.request_i[q, S.Q_DONE])
        B.request_i[q, S.Q_EVICTED] = B.replica_i[r, S.R_FREED]
        return
    if B.request_i[q, S.Q_STATE] == S.DECODING:
        done = leave_decoding(B, r, q)
        B.request_i[q, S.Q_NEED] = done + 1
        known = done - B.limits[r, S.G_ASYNC]  # the token under way is not known yet, so its block is not kept
    else:
        done = known = B.request_i[q, S.Q_DONE]
        B.replica_i[r, S.R_PARTIAL] = -1
    free_blocks(B, r, done)
    B.request_i[q, S.Q_EVICTED] = B.replica_i[r, S.R_FREED]
    B.request_i[q, S.Q_KEPT] = in_blocks(B, r, known) if B.limits[r, S.G_PREFIX] else 0
    B.request_i[q, S.Q_STATE] = S.WAITING
    B.request_i[q, S.Q_PREEMPTED] += 1
    B.replica_i[r, S.R_PREEMPTIONS] += 1
    B.replica_i[r, S.R_WAITING] += 1
    head = B.replica_i[r, S.R_HEAD]
    B.request_i[q, S.Q_PREVIOUS] = -1
    B.request_i[q, S.Q_NEXT] = head
    if head >= 0:
        B.request_i[head, S.Q_PREVIOUS] = q
    else:
        B.replica_i[r, S.R_TAIL] = q
    B.replica_i[r, S.R_HEAD] = q


# --- a plan ----------------------------------------------------------------------------------------------------


@inlined
def available(B, r):  # type: ignore[no-untyped-def]
    """Blocks that are free."""
    return B.replica_i[r, S.R_FREED] - B.replica_i[r, S.R_TAKEN]


@inlined
def chunk_of_partial(B, r):  # type: ignore[no-untyped-def]
    """Tokens of the prompt under way that a step's budget leaves room for."""
    q = B.replica_i[r, S.R_PARTIAL]
    left = B.limits[r, S.G_BUDGET] - B.replica_i[r, S.R_DECODING]
    return min(left, B.request_i[q, S.Q_NEED] - B.request_i[q, S.Q_DONE])


@inlined
def chunk_blocks(B, r, chunk):  # type: ignore[no-untyped-def]
    """Blocks that a chunk of the prompt under way takes."""
    done = B.request_i[B.replica_i[r, S.R_PARTIAL], S.Q_DONE]
    return blocks_of(B, r, done + chunk) - blocks_of(B, r, done)


@compiled
def one_by_one(B, r):  # type: ignore[no-untyped-def]
    """Give out blocks in the order of admission; who is last gives up its own when there are none."""
    plans = B.replica_i[r, S.R_PLANS]
    q = B.replica_i[r, S.R_FIRST]
    while q >= 0:
        need = np.int64(0)
        if B.request_i[q, S.Q_STATE] == S.DECODING:
            need = np.int64(1 if beyond_blocks(B, r, B.request_i[q, S.Q_DONE] + plans) == 0 else 0)
        elif B.request_i[q, S.Q_STATE] == S.PREFILLING:
            need = chunk_blocks(B, r, chunk_of_partial(B, r))
        while need > available(B, r):
            last = B.replica_i[r, S.R_LAST]
            preempt(B, r, last)
            if last == q:
                return
        B.replica_i[r, S.R_TAKEN] += need
        q = B.request_i[q, S.Q_NEXT]


@inlined
def found_again(B, r, q):  # type: ignore[no-untyped-def]
    """Blocks of a preempted request that are still as it left them; they leave the queue of free blocks."""
    left = B.request_i[q, S.Q_EVICTED] - B.replica_i[r, S.R_TAKEN]
    hits = min(B.request_i[q, S.Q_KEPT], left, in_blocks(B, r, B.request_i[q, S.Q_NEED] - 1))
    return max(hits, 0)


@compiled
def take_back(B, r, q, hits):  # type: ignore[no-untyped-def]
    """Take blocks out of the middle of the queue: what was freed later is reused sooner."""
    end = B.request_i[q, S.Q_EVICTED]
    B.replica_i[r, S.R_FREED] -= hits
    other = B.replica_i[r, S.R_HEAD]
    while other >= 0 and B.request_i[other, S.Q_PREEMPTED] > 0:
        if B.request_i[other, S.Q_EVICTED] > end:
            B.request_i[other, S.Q_EVICTED] -= hits
        other = B.request_i[other, S.Q_NEXT]


@compiled
def admit(B, r, q, budget, now):  # type: ignore[no-untyped-def]
    """Admit the first of the queue, if its blocks are there; returns the tokens it computes, 0 if it has to wait."""
    need = B.request_i[q, S.Q_NEED]
    again = B.request_i[q, S.Q_PREEMPTED] > 0
    hits = found_again(B, r, q) if again else np.int64(0)
    done = hits * B.limits[r, S.G_BLOCK] if again else B.request_i[q, S.Q_CACHED]
    chunk = min(need - done, budget)
    taken = blocks_of(B, r, done + chunk)
    whole = blocks_of(B, r, need) if B.limits[r, S.G_RESERVE] else taken
    if whole > available(B, r):
        return np.int64(0)
    unlink(B, r, q, S.R_HEAD, S.R_TAIL)
    B.replica_i[r, S.R_WAITING] -= 1
    if hits > 0:
        take_back(B, r, q, hits)
    B.replica_i[r, S.R_TAKEN] += taken - hits
    append(B, r, q, S.R_FIRST, S.R_LAST)
    B.replica_i[r, S.R_RUNNING] += 1
    B.replica_i[r, S.R_ADMITTED] += 1
    B.request_i[q, S.Q_ORDER] = B.replica_i[r, S.R_ADMITTED]
    B.request_i[q, S.Q_DONE] = done + chunk
    B.request_i[q, S.Q_STATE] = S.PREFILLING
    if B.request_f[q, S.Z_SCHEDULED] < 0.0:
        B.request_f[q, S.Z_SCHEDULED] = now
    return chunk


@inlined
def run_on(B, r):  # type: ignore[no-untyped-def]
    """Plan the running sequences; returns the chunk of the prompt under way, 0 if there is none."""
    need = B.phases[B.limits[r, S.G_PHASE] + beyond_blocks(B, r, B.replica_i[r, S.R_PLANS])]
    chunk = np.int64(0)
    if B.replica_i[r, S.R_PARTIAL] >= 0:
        chunk = chunk_of_partial(B, r)
        need += chunk_blocks(B, r, chunk)
    if need <= available(B, r):
        B.replica_i[r, S.R_TAKEN] += need
    else:
        one_by_one(B, r)
        chunk = chunk_of_partial(B, r) if B.replica_i[r, S.R_PARTIAL] >= 0 else np.int64(0)
    return chunk


@compiled
def plan(B, r, now):  # type: ignore[no-untyped-def]
    """Plan a step; returns its seconds, 0 if there is nothing to do. Notes what it yields on the side of the next."""
    B.replica_i[r, S.R_NEXT_NOTES] = 0
    B.replica_i[r, S.R_CHANGED] = 0
    B.replica_i[r, S.R_SHORT] = 0
    chunk = run_on(B, r)
    decoding = B.replica_i[r, S.R_DECODING]
    plans = B.replica_i[r, S.R_PLANS] + 1
    B.replica_i[r, S.R_PLANS] = plans
    tokens = sequences = decoding
    kv = B.replica_i[r, S.R_BASES] + plans * decoding
    pairs = 0.0
    if chunk > 0:
        q = B.replica_i[r, S.R_PARTIAL]
        done = B.request_i[q, S.Q_DONE] + chunk
        B.request_i[q, S.Q_DONE] = done
        B.replica_i[r, S.R_CHUNK] = chunk
        tokens += chunk
        sequences += 1
        kv += done
        pairs += pairs_of(done, chunk)
        if done == B.request_i[q, S.Q_NEED]:
            B.replica_i[r, S.R_PARTIAL] = -1
            B.replica_i[r, S.R_CHANGED] = 1
            prompt_done(B, r, q)
    budget = B.limits[r, S.G_BUDGET] - tokens
    q = B.replica_i[r, S.R_HEAD] if B.replica_i[r, S.R_SHORT] == 0 else np.int64(-1)
    while q >= 0 and budget > 0 and B.replica_i[r, S.R_RUNNING] < B.limits[r, S.G_MOST]:
        chunk = admit(B, r, q, budget, now)
        if chunk == 0:
            break
        done = B.request_i[q, S.Q_DONE]
        budget -= chunk
        tokens += chunk
        sequences += 1
        kv += done
        pairs += pairs_of(done, chunk)
        if done == B.request_i[q, S.Q_NEED]:
            B.replica_i[r, S.R_CHANGED] = 1
            prompt_done(B, r, q)
        else:
            B.replica_i[r, S.R_PARTIAL] = q
            B.replica_i[r, S.R_CHUNK] = chunk
        q = B.replica_i[r, S.R_HEAD]
    at = B.limits[r, S.G_AT]
    while B.replica_i[r, S.R_DECODING] > 0 and (B.heap_key[at] >> ORDER_BITS) == plans:
        q = B.heap_id[at]
        leave_decoding(B, r, q)
        last_token_planned(B, q)
        note(B, r, q, np.int64(S.NOTE_LAST))
        B.replica_i[r, S.R_CHANGED] = 1
    B.replica_i[r, S.R_TOKENS] = tokens
    if tokens == 0:
        return 0.0
    return seconds(B, r, tokens, sequences, kv, pairs)


@inlined
def pairs_of(done, chunk):  # type: ignore[no-untyped-def]
    """Attended pairs of a chunk that ends at `done` tokens."""
    return np.float64(chunk) * (np.float64(done - chunk) + 0.5 * np.float64(chunk + 1))


@inlined
def seconds(B, r, tokens, sequences, kv, pairs):  # type: ignore[no-untyped-def]
    """Seconds of a step."""
    if pairs > 0.0:
        each = B.law[r, S.S_SEQUENCE] * sequences + B.law[r, S.S_MIXED_KV] * kv
        return B.steps[B.limits[r, S.G_MIXED] + tokens] + each + B.law[r, S.S_PAIR] * pairs
    return B.steps[B.limits[r, S.G_PLAIN] + tokens] + B.law[r, S.S_KV] * kv


# --- plans alike -----------------------------------------------------------------------------------------------


@inlined
def growth(B, r):  # type: ignore[no-untyped-def]
    """Seconds by which each of the plans alike takes longer than the one before."""
    tokens = B.replica_i[r, S.R_TOKENS]
    if B.replica_i[r, S.R_PARTIAL] >= 0:
        chunk = np.float64(B.replica_i[r, S.R_CHUNK])
        return B.law[r, S.S_MIXED_KV] * tokens + B.law[r, S.S_PAIR] * chunk * chunk
    return B.law[r, S.S_KV] * tokens


@compiled
def plans_alike(B, r):  # type: ignore[no-untyped-def]
    """How many plans that follow are the same as the last, if nobody comes or goes."""
    if B.replica_i[r, S.R_CHANGED] == 1 or B.replica_i[r, S.R_TOKENS] == 0:
        return np.int64(0)
    decoding, plans = B.replica_i[r, S.R_DECODING], B.replica_i[r, S.R_PLANS]
    most = ENDLESS
    if decoding > 0:
        most = (B.heap_key[B.limits[r, S.G_AT]] >> ORDER_BITS) - plans - 1
    q = B.replica_i[r, S.R_PARTIAL]
    chunk = np.int64(0)
    if q >= 0:
        chunk = B.replica_i[r, S.R_CHUNK]
        if chunk != B.limits[r, S.G_BUDGET] - decoding:
            return np.int64(0)
        most = min(most, (B.request_i[q, S.Q_NEED] - B.request_i[q, S.Q_DONE] - 1) // chunk)
    free = available(B, r)
    if decoding * (in_blocks(B, r, most) + 1) + in_blocks(B, r, most * chunk) + 1 <= free:
        return most
    return until_shortage(B, r, most, chunk, free)


@compiled
def until_shortage(B, r, most, chunk, free):  # type: ignore[no-untyped-def]
    """How many plans alike, `most` at most, the free blocks suffice for."""
    size, decoding = B.limits[r, S.G_BLOCK], B.replica_i[r, S.R_DECODING]
    used = alike = np.int64(0)
    if chunk == 0:
        rounds = min(in_blocks(B, r, most), free // decoding)
        used, alike = rounds * decoding, rounds * size
    step = beyond_blocks(B, r, B.replica_i[r, S.R_PLANS])
    while alike < most:
        used += B.phases[B.limits[r, S.G_PHASE] + step]
        step = step + 1 if step + 1 < size else np.int64(0)
        if chunk > 0 and used + chunk_blocks(B, r, (alike + 1) * chunk) > free:
            break
        if used > free:
            break
        alike += 1
    return alike


@inlined
def repeat(B, r, alike):  # type: ignore[no-untyped-def]
    """Let so many plans alike be made."""
    size, plans = B.limits[r, S.G_BLOCK], B.replica_i[r, S.R_PLANS]
    taken = in_blocks(B, r, alike) * B.replica_i[r, S.R_DECODING]
    at, step = B.limits[r, S.G_PHASE], beyond_blocks(B, r, plans)
    for _ in range(beyond_blocks(B, r, alike)):
        taken += B.phases[at + step]
        step = step + 1 if step + 1 < size else np.int64(0)
    q = B.replica_i[r, S.R_PARTIAL]
    if q >= 0:
        more = alike * B.replica_i[r, S.R_CHUNK]
        taken += chunk_blocks(B, r, more)
        B.request_i[q, S.Q_DONE] += more
    B.replica_i[r, S.R_TAKEN] += taken
    B.replica_i[r, S.R_PLANS] = plans + alike
    B.replica_f[r, S.Y_PLAN] += alike * B.replica_f[r, S.Y_GROWTH]


@inlined
def boundary(B, r, alike):  # type: ignore[no-untyped-def]
    """End of the step under way once so many plans alike were made."""
    k = np.float64(alike)
    later = k * B.replica_f[r, S.Y_FOLLOWING] + 0.5 * (k * (k - 1.0)) * B.replica_f[r, S.Y_GROWTH]
    return B.replica_f[r, S.Y_START] + (B.replica_f[r, S.Y_STEP] + later)


@compiled
def cut(B, r, now):  # type: ignore[no-untyped-def]
    """End the regime with the step that is under way: the batch may change when it is over."""
    most = B.replica_i[r, S.R_ALIKE]
    if most == 0 or boundary(B, r, 0) >= now:
        alike = np.int64(0)
    else:
        b, a = B.replica_f[r, S.Y_FOLLOWING], B.replica_f[r, S.Y_GROWTH]
        left = now - boundary(B, r, 0)
        half = b - 0.5 * a
        root = 2.0 * left / (half + sqrt(half * half + 2.0 * a * left))
        alike = min(np.int64(root), most)
        while alike > 0 and boundary(B, r, alike - 1) >= now:
            alike -= 1
        while alike < most and boundary(B, r, alike) < now:
            alike += 1
    B.replica_i[r, S.R_ALIKE] = alike
    B.replica_f[r, S.Y_NEXT] = boundary(B, r, alike)


# --- what a caller calls ---------------------------------------------------------------------------------------


@compiled
def change(B, r):  # type: ignore[no-untyped-def]
    """Let the batch of a replica change, at the moment that `Y_NEXT` names; sets the next one.

    Returns how many requests have their first or last token now; `B.told` lists them as 4 id + NOTE_FIRST |
    NOTE_LAST: those whose prompt ends first, then those that end, each in the order of their admission.
    """
    now, alike = B.replica_f[r, S.Y_NEXT], B.replica_i[r, S.R_ALIKE]
    told = np.int64(0)
    if B.replica_i[r, S.R_ACTIVE] == 1:
        B.replica_f[r, S.Y_BUSY] += now - B.replica_f[r, S.Y_START]
        if alike > 0:
            repeat(B, r, alike)
        told = tell(B, r, now)
    if B.limits[r, S.G_ASYNC] == 0:
        length = plan(B, r, now)
        turn(B, r)
        alike = plans_alike(B, r)
        start(B, r, now, length, alike)
    else:
        length = B.replica_f[r, S.Y_PLAN]
        if B.replica_i[r, S.R_PLANNED] == 0:
            length = plan(B, r, now)
        turn(B, r)
        after = plan(B, r, now) if length > 0.0 else 0.0
        B.replica_i[r, S.R_PLANNED] = 1 if after > 0.0 else 0
        B.replica_f[r, S.Y_PLAN] = after
        B.replica_f[r, S.Y_FOLLOWING] = after
        start(B, r, now, length, plans_alike(B, r) if B.replica_i[r, S.R_NOTES] == 0 else np.int64(0))
    return told


@compiled
def proceed(B, r, horizon):  # type: ignore[no-untyped-def]
    """Let the batch change, and again before a moment as long as nobody has a token to show; returns as `change` does.

    For callers to whom nothing happens before `horizon` that could reach the replica: their next event, say.
    """
    told = change(B, r)
    while told == 0 and B.replica_f[r, S.Y_NEXT] < horizon:
        told = change(B, r)
    return told


@inlined
def turn(B, r):  # type: ignore[no-untyped-def]
    """Let the planned step start: its notes are now those of the step under way."""
    B.replica_i[r, S.R_SIDE] = 1 - B.replica_i[r, S.R_SIDE]
    B.replica_i[r, S.R_NOTES] = B.replica_i[r, S.R_NEXT_NOTES]
    B.replica_i[r, S.R_NEXT_NOTES] = 0


@inlined
def start(B, r, now, length, alike):  # type: ignore[no-untyped-def]
    """Write down the regime that starts now."""
    B.replica_i[r, S.R_ACTIVE] = 1 if length > 0.0 else 0
    B.replica_i[r, S.R_ALIKE] = alike
    B.replica_f[r, S.Y_START] = now
    B.replica_f[r, S.Y_STEP] = length
    B.replica_f[r, S.Y_GROWTH] = growth(B, r)
    if B.limits[r, S.G_ASYNC] == 0:
        B.replica_f[r, S.Y_FOLLOWING] = length + B.replica_f[r, S.Y_GROWTH]
    B.replica_f[r, S.Y_NEXT] = boundary(B, r, alike) if length > 0.0 else inf


@inlined
def tell(B, r, now):  # type: ignore[no-untyped-def]
    """Hand out what the step that ends now yields; who has its last token leaves."""
    side = 2 * B.limits[r, S.G_AT] + B.replica_i[r, S.R_SIDE] * B.limits[r, S.G_MOST]
    told = np.int64(0)
    for i in range(B.replica_i[r, S.R_NOTES]):
        entry = B.notes[side + i]
        if entry < 0:
            continue
        q, what = entry >> 2, entry & 3
        if what & S.NOTE_FIRST:
            B.request_f[q, S.Z_FIRST] = now
        if what & S.NOTE_LAST:
            B.request_f[q, S.Z_FINISHED] = now
            if B.request_i[q, S.Q_STATE] == S.ENDING:
                leave_running(B, r, q)
            B.request_i[q, S.Q_STATE] = S.GONE
        B.told[told] = entry
        told += 1
    return told


@inlined
def leave_running(B, r, q):  # type: ignore[no-untyped-def]
    """Take a sequence that is over out of the batch."""
    unlink(B, r, q, S.R_FIRST, S.R_LAST)
    B.replica_i[r, S.R_RUNNING] -= 1
    free_blocks(B, r, B.request_i[q, S.Q_DONE])
    B.request_i[q, S.Q_EVICTED] = B.replica_i[r, S.R_FREED]


@inlined
def units_of(B, r, tokens):  # type: ignore[no-untyped-def]
    """Units that hold so many tokens."""
    unit = B.law[r, S.S_UNIT]
    return tokens if unit == 1.0 else np.int64(np.ceil(tokens / unit))


@inlined
def fits(B, r, prompt, output):  # type: ignore[no-untyped-def]
    """Whether a replica can serve a request of so many tokens alone."""
    units = units_of(B, r, prompt) + units_of(B, r, output - 1)
    return blocks_of(B, r, units) <= B.limits[r, S.G_BLOCKS]


@inlined
def decoded(B, r, q):  # type: ignore[no-untyped-def]
    """Tokens after the first that a request had written when it was cancelled."""
    return max(0, B.request_i[q, S.Q_DONE] - B.request_i[q, S.Q_PROMPT]) * B.law[r, S.S_UNIT]


@inlined
def seconds_on_way(B, r, tokens):  # type: ignore[no-untyped-def]
    """Seconds for a prompt's cache to get from a prefilling replica to those that decode."""
    return B.law[r, S.S_WAY] + B.law[r, S.S_WAY_TOKEN] * tokens


@compiled
def submit(B, r, q, now, prompt, cached, loaded, output):  # type: ignore[no-untyped-def]
    """Let request q arrive at a replica, its lengths in tokens; `change` is due when the replica's `Y_NEXT` says.

    Whole blocks of `cached` tokens are found in the prefix cache. With `loaded` tokens handed over from elsewhere
    (0: none) nothing of them is computed; if they are the whole prompt, the first token is known too. The caller
    sees to it that `output` is at least 1, that changes before `now` are made, and that the
    request fits a replica by itself.
    """
    handed = loaded >= prompt
    if B.law[r, S.S_UNIT] != 1.0:
        prompt, output = units_of(B, r, prompt), 1 + units_of(B, r, output - 1)
        cached, loaded = np.int64(cached / B.law[r, S.S_UNIT]), units_of(B, r, loaded)
    B.request_i[q, S.Q_PROMPT] = prompt
    B.request_i[q, S.Q_OUTPUT] = output
    B.request_i[q, S.Q_NEED] = prompt + 1 if handed else prompt
    found = min(cached, prompt - 1)
    found -= beyond_blocks(B, r, found)
    B.request_i[q, S.Q_CACHED] = prompt if handed else max(loaded, found)
    B.request_i[q, S.Q_FIRST] = 1 if handed else 0
    B.request_i[q, S.Q_STATE] = S.WAITING
    B.request_i[q, S.Q_PREEMPTED] = 0
    B.request_i[q, S.Q_EVICTED] = 0
    B.request_i[q, S.Q_REPLICA] = r
    if not handed:
        B.request_f[q, S.Z_SCHEDULED] = -1.0
    waited = B.replica_i[r, S.R_WAITING]
    append(B, r, q, S.R_HEAD, S.R_TAIL)
    B.replica_i[r, S.R_WAITING] = waited + 1
    if B.replica_i[r, S.R_ACTIVE] == 0:
        B.replica_f[r, S.Y_NEXT] = now
    elif waited == 0 and B.replica_i[r, S.R_ALIKE] > 0:
        full = B.replica_i[r, S.R_RUNNING] >= B.limits[r, S.G_MOST]
        if not full and B.replica_i[r, S.R_TOKENS] < B.limits[r, S.G_BUDGET]:
            cut(B, r, now)


@compiled
def cancel(B, r, q, now):  # type: ignore[no-untyped-def]
    """Let a request go that waits or runs; the step under way still takes its time. Returns whether it was there."""
    state = B.request_i[q, S.Q_STATE]
    if state == S.GONE:
        return False
    if B.replica_i[r, S.R_ACTIVE] == 1:
        cut(B, r, now)
        if B.replica_i[r, S.R_ALIKE] > 0:
            settle(B, r)
        forget(B, r, q)
    if state == S.WAITING:
        unlink(B, r, q, S.R_HEAD, S.R_TAIL)
        B.replica_i[r, S.R_WAITING] -= 1
        B.request_i[q, S.Q_EVICTED] = 0
    elif state != S.ENDING_OUTSIDE:
        if state == S.DECODING:
            B.request_i[q, S.Q_DONE] = leave_decoding(B, r, q)
        elif state == S.PREFILLING:
            B.replica_i[r, S.R_PARTIAL] = -1
        leave_running(B, r, q)
    B.request_i[q, S.Q_STATE] = S.GONE
    return True


@inlined
def settle(B, r):  # type: ignore[no-untyped-def]
    """Make the plans alike that were made by now, so that counts are those of the step under way."""
    ends, began = B.replica_f[r, S.Y_NEXT], B.replica_f[r, S.Y_START]
    repeat(B, r, B.replica_i[r, S.R_ALIKE])
    B.replica_i[r, S.R_ALIKE] = 0
    B.replica_f[r, S.Y_BUSY] += ends - began
    B.replica_f[r, S.Y_START] = ends
    B.replica_f[r, S.Y_STEP] = 0.0


@compiled
def tokens_kept(B, r, freed, now):  # type: ignore[no-untyped-def]
    """Tokens that nobody has overwritten of a request whose blocks were the last freed when `R_FREED` was `freed`.

    Freed blocks are taken again oldest first, and of a request its last before its first.
    """
    if B.replica_i[r, S.R_ACTIVE] == 1 and B.replica_i[r, S.R_ALIKE] > 0:
        cut(B, r, now)
        if B.replica_i[r, S.R_ALIKE] > 0:
            settle(B, r)
    blocks = max(0, freed - B.replica_i[r, S.R_TAKEN])
    return blocks * B.limits[r, S.G_BLOCK] * B.law[r, S.S_UNIT]


@inlined
def forget(B, r, q):  # type: ignore[no-untyped-def]
    """Strike a request out of what steps yield."""
    at, most = 2 * B.limits[r, S.G_AT], B.limits[r, S.G_MOST]
    side = B.replica_i[r, S.R_SIDE]
    for i in range(B.replica_i[r, S.R_NOTES]):
        if B.notes[at + side * most + i] >> 2 == q:
            B.notes[at + side * most + i] = -1
    for i in range(B.replica_i[r, S.R_NEXT_NOTES]):
        if B.notes[at + (1 - side) * most + i] >> 2 == q:
            B.notes[at + (1 - side) * most + i] = -1


# --- replicas behind a router ------------------------------------------------------------------------------------


@inlined
def at_replica(B, r):  # type: ignore[no-untyped-def]
    """Requests that run or wait at a replica."""
    return B.replica_i[r, S.R_RUNNING] + B.replica_i[r, S.R_WAITING]


@compiled
def route(B, first, key):  # type: ignore[no-untyped-def]
    """Choose one of the replicas from `first` on: in turn, the least loaded, or the one that saw the key before."""
    many = B.limits[first, S.G_REPLICAS]
    if many == 1:
        return first
    policy = B.limits[first, S.G_POLICY]
    if policy == S.ROUND_ROBIN:
        turn_of = B.replica_i[first, S.R_TURN]
        B.replica_i[first, S.R_TURN] = turn_of + 1
        return first + turn_of % many
    least = first
    for r in range(first + 1, first + many):
        if at_replica(B, r) < at_replica(B, least):
            least = r
    if policy == S.PREFIX_AFFINITY:
        own = first + np.int64(np.uint64(key) % np.uint64(many))
        if at_replica(B, own) <= at_replica(B, least) + B.limits[first, S.G_SPILL]:
            return own
    return least


@inlined
def hand_over(C, t, q):  # type: ignore[no-untyped-def]
    """Let a request's cache be on its way until t."""
    i = C.counts[S.T_ON_WAY]
    C.counts[S.T_ON_WAY] = i + 1
    while i > 0:
        parent = (i - 1) >> 1
        if C.way_t[parent] < t or (C.way_t[parent] == t and C.way_q[parent] <= q):
            break
        C.way_t[i] = C.way_t[parent]
        C.way_q[i] = C.way_q[parent]
        i = parent
    C.way_t[i] = t
    C.way_q[i] = q


@inlined
def arrived(C):  # type: ignore[no-untyped-def]
    """Take the first cache that has arrived out of those on their way."""
    q = C.way_q[0]
    n = C.counts[S.T_ON_WAY] - 1
    C.counts[S.T_ON_WAY] = n
    t, last = C.way_t[n], C.way_q[n]
    i = np.int64(0)
    child = np.int64(1)
    while child < n:
        other = child + 1
        if other < n and (
            C.way_t[other] < C.way_t[child] or (C.way_t[other] == C.way_t[child] and C.way_q[other] < C.way_q[child])
        ):
            child = other
        if t < C.way_t[child] or (t == C.way_t[child] and last <= C.way_q[child]):
            break
        C.way_t[i] = C.way_t[child]
        C.way_q[i] = C.way_q[child]
        i = child
        child = 2 * i + 1
    C.way_t[i] = t
    C.way_q[i] = last
    return q


@compiled
def serve_all(B, C):  # type: ignore[no-untyped-def]
    """Serve all requests of `C` to their ends; at one moment arrivals come before changes of a batch."""
    prefills, decodes = C.counts[S.T_PREFILLS], C.counts[S.T_DECODES]
    many = prefills + decodes
    pos, end = np.int64(0), C.counts[S.T_REQUESTS]
    while True:
        r, changes, horizon = np.int64(0), B.replica_f[0, S.Y_NEXT], inf
        for other in range(1, many):
            other_changes = B.replica_f[other, S.Y_NEXT]
            if other_changes < changes:
                r, changes, horizon = np.int64(other), other_changes, changes
            elif other_changes < horizon:
                horizon = other_changes
        lands = C.way_t[0] if C.counts[S.T_ON_WAY] > 0 else inf
        arrives = C.arrival[pos] if pos < end else inf
        if arrives <= changes and arrives <= lands:
            if pos >= end:
                return
            to = route(B, np.int64(0), C.key[pos])
            output = np.int64(1) if decodes > 0 else C.output[pos]
            submit(B, to, pos, arrives, C.prompt[pos], C.cached[pos], np.int64(0), output)
            pos += 1
        elif lands <= changes:
            q = arrived(C)
            to = route(B, prefills, C.key[q])
            submit(B, to, q, lands, C.prompt[q], np.int64(0), C.prompt[q], C.output[q])
        else:
            told = proceed(B, r, min(horizon, min(arrives, lands)))
            if decodes > 0 and r < prefills:
                for i in range(told):
                    q = B.told[i] >> 2
                    if C.output[q] > 1:
                        hand_over(C, B.request_f[q, S.Z_FIRST] + seconds_on_way(B, r, C.prompt[q]), q)


def _entry(sources: int) -> tuple[Any, Any]:
    """Make the functions that Python calls; what they hold on to is part of their key in the cache."""

    @njit(cache=True, nogil=True, **OPTIONS)
    def serve(B, C):  # type: ignore[no-untyped-def]
        """Serve requests with given arrivals."""
        if sources:
            serve_all(reference(B), reference(C))  # type: ignore[call-arg]

    @njit(cache=True, nogil=True, **OPTIONS)
    def act(B, what, r, q, now, prompt, cached, loaded, output):  # type: ignore[no-untyped-def]
        """Submit (0), change (1) or cancel (2); returns what these do."""
        if sources == 0:
            return np.int64(-1)
        if what == 0:
            submit(reference(B), r, q, now, prompt, cached, loaded, output)  # type: ignore[call-arg]
            return np.int64(0)
        if what == 1:
            return np.int64(change(reference(B), r))  # type: ignore[call-arg]
        return np.int64(cancel(reference(B), r, q, now))  # type: ignore[call-arg]

    return serve, act


SOURCES = (helpers, lowering, state, S)
serve, act = _entry(helpers.digest(*SOURCES))

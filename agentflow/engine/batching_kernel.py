"""The compiled part of `engine.batching`: from change to change of the batch."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numba import njit

from agentflow.engine.helpers import OPTIONS

compiled: Any = njit(error_model="numpy")
(S_SEQUENCES, S_TOKENS, S_BLOCKS, S_SIZE) = range(4)
(R_DONE, R_GOAL, R_OUT, R_BLOCKS) = range(4)  # tokens computed, tokens to compute, tokens given, blocks held


@compiled
def blocks_of(tokens, size):  # type: ignore[no-untyped-def]
    """Blocks that so many tokens take."""
    return (tokens + size - 1) // size


@compiled
def steps_until(step, growth, wait):  # type: ignore[no-untyped-def]
    """Fewest steps, of which the first takes `step` and each `growth` more than the one before, that last so long."""
    half = step - 0.5 * growth
    k = np.int64(2.0 * wait / (half + sqrt(half * half + 2.0 * growth * wait)))
    while k * (step + 0.5 * growth * (k - 1)) < wait:
        k += 1
    while k > 1 and (k - 1) * (step + 0.5 * growth * (k - 2)) >= wait:
        k -= 1
    return max(k, 1)


@compiled
def steps_that_fit(state, running, n, blocks, size, most):  # type: ignore[no-untyped-def]
    """Steps, at most so many, in each of which every running sequence finds room for its next token."""
    low, high = np.int64(0), np.int64(most)
    while low < high:
        middle = (low + high + 1) // 2
        need = np.int64(0)
        for i in range(n):
            need += blocks_of(state[running[i], R_DONE] + middle, size)
        if need <= blocks:
            low = middle
        else:
            high = middle - 1
    return low


@njit(cache=True, nogil=True, **OPTIONS)
def run_replica(bounds, law, arrival, prompt, output, state, running, given, waiting, first, last):  # type: ignore[no-untyped-def]
    """Serve all requests; write `first` and `last`, return steps and preemptions."""
    total = len(arrival)
    head = tail = np.int64(total)  # of `waiting`; what is preempted goes to the front
    n, next_, ended, free = np.int64(0), np.int64(0), np.int64(0), bounds[S_BLOCKS]
    steps, preemptions = np.int64(0), np.int64(0)
    size, t = bounds[S_SIZE], 0.0
    while ended < total:
        if n == 0 and head == tail and arrival[next_] > t:
            t = arrival[next_]
        while next_ < total and arrival[next_] <= t:
            state[next_, R_GOAL] = prompt[next_]
            waiting[tail] = next_
            tail += 1
            next_ += 1
        # what the step computes
        budget, scheduled, preempted, i = bounds[S_TOKENS], np.int64(0), False, np.int64(0)
        plain = True
        while i < n and budget > 0:
            r = running[i]
            new = min(state[r, R_GOAL] - state[r, R_DONE], budget)
            more = blocks_of(state[r, R_DONE] + new, size) - state[r, R_BLOCKS]
            while more > free and n > i:
                n -= 1
                victim = running[n]
                free += state[victim, R_BLOCKS]
                state[victim, R_BLOCKS] = 0
                state[victim, R_DONE] = 0
                head -= 1
                waiting[head] = victim
                preemptions += 1
                preempted, plain = True, False
            if n == i:
                break
            free -= more
            state[r, R_BLOCKS] += more
            given[i] = new
            plain = plain and new == 1 and state[r, R_GOAL] - state[r, R_DONE] == 1 and state[r, R_OUT] > 0
            budget -= new
            i += 1
        scheduled = i
        blocked = preempted
        while not blocked and head < tail and n < bounds[S_SEQUENCES] and budget > 0 and scheduled == n:
            r = waiting[head]
            new = min(state[r, R_GOAL], budget)
            more = blocks_of(new, size)
            if more > free:
                blocked = True
                break
            head += 1
            free -= more
            state[r, R_BLOCKS] = more
            running[n], given[n] = r, new
            budget -= new
            n += 1
            scheduled = n
            plain = False
        context, tokens = np.int64(0), np.int64(0)
        for j in range(scheduled):
            context += state[running[j], R_DONE] + given[j]
            tokens += given[j]
        step = law[0] + law[1] * scheduled + max(law[4], law[2] * tokens) + law[3] * context
        k = np.int64(1)
        if plain and scheduled == n:
            # nothing changes but the KV until a sequence ends, runs out of blocks, or a request comes that has room
            k = output[running[0]] - state[running[0], R_OUT]
            for j in range(1, n):
                k = min(k, output[running[j]] - state[running[j], R_OUT])
            held = np.int64(0)
            for j in range(n):
                held += state[running[j], R_BLOCKS]
            k = max(np.int64(1), steps_that_fit(state, running, n, free + held, size, k))
            open_ = n < bounds[S_SEQUENCES] and head == tail and bounds[S_TOKENS] > n
            growth = law[3] * n
            if open_ and next_ < total:
                k = min(k, steps_until(step, growth, arrival[next_] - t))
            t += k * (step + 0.5 * growth * (k - 1))
        else:
            t += step
        steps += k
        kept = np.int64(0)
        for j in range(n):
            r = running[j]
            if j < scheduled:
                state[r, R_DONE] += given[j] + (k - 1)
                more = blocks_of(state[r, R_DONE], size) - state[r, R_BLOCKS]
                free -= more
                state[r, R_BLOCKS] += more
                if state[r, R_DONE] >= state[r, R_GOAL]:
                    if state[r, R_OUT] == 0:
                        first[r] = t
                    state[r, R_OUT] += k
                    state[r, R_GOAL] = prompt[r] + state[r, R_OUT]
                    if state[r, R_OUT] >= output[r]:
                        last[r] = t
                        free += state[r, R_BLOCKS]
                        ended += 1
                        continue
            running[kept] = r
            kept += 1
        n = kept
    return steps, preemptions

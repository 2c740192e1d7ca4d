"""A timeline that is looked at after every single event, and what must hold then."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from agentflow.engine import batching_state as S
from agentflow.engine import events_state as E
from agentflow.engine.arrivals import Given
from agentflow.engine.events import Timeline, compile_events
from agentflow.plan import Plan

ENDLESS = 2**40
CLOSE = 1e-9
PER_REQUEST = [E.B_RPM, E.B_RPD]
OVER = (E.FREE, E.WON, E.LOST)
"""States of an attempt in which nothing of it is to come."""


class Watch:
    """A system to which runs come one by one; after each event all of it is counted anew."""

    def __init__(self, plan: Plan, seed: int, tenants: int = 1) -> None:
        compile_events(plan)
        self.plan = plan
        self.timeline = Timeline(plan, Given(tenants=tenants), seed)
        count = self.timeline.pools.counter
        count[E.C_FIRST], count[E.C_LAST], count[E.C_LEFT], count[E.C_STOP] = 0, ENDLESS, ENDLESS, ENDLESS
        self.pending = [np.inf]
        self.tenants = [0]
        self.clock, self.last, self.arrived, self.events = 0.0, 0.0, 0, 0
        self.before = self._limits()
        self.ledger: list[tuple[float, Any, Any]] = []  # moments, what was taken, what was used beyond what was asked
        self.debt = np.zeros_like(self.before["taken"])
        self.ended: Counter[int] = Counter()

    # --- what happens

    def arrive(self, gap: float, tenant: int = 0) -> None:
        """Let a run come, so long after the last one or after now."""
        self.last = max(self.last, self.clock) + gap
        pools = self.timeline.pools
        pos, end = int(pools.counter[E.C_POS]), int(pools.counter[E.C_LEN])
        times = np.concatenate([pools.arrive_t[pos : end - 1], [self.last, np.inf]])
        whose = np.concatenate([pools.arrive_tenant[pos : end - 1], [tenant, 0]]).astype(np.int32)
        self.timeline.pools = pools._replace(arrive_t=times, arrive_tenant=whose)
        pools.counter[E.C_POS], pools.counter[E.C_LEN] = 0, len(times)
        self.arrived += 1

    @property
    def idle(self) -> bool:
        """Whether nothing is to come."""
        pools = self.timeline.pools
        pos = int(pools.counter[E.C_POS])
        due = int(pools.counter[E.C_HEAP]) > 0 or bool(np.isfinite(pools.replica_due).any())
        return not due and (pos >= len(pools.arrive_t) or pools.arrive_t[pos] == np.inf)

    def step(self, events: int) -> None:
        """Let events happen, as long as there are any, and look after each."""
        while events > 0 and not self.idle:
            why = self.timeline._advance(1)
            assert why in (E.TICKED, E.NEED_ARRIVALS, E.NEED_ROWS, E.NEED_SLOTS, E.NEED_FLIGHTS, E.NEED_HEAP), why
            if why == E.NEED_ROWS:
                self._take_rows()
            if why == E.TICKED:
                events -= 1
                self.events += 1
            self.look()

    def _take_rows(self) -> None:
        count = self.timeline.pools.counter
        self.ended.update(self.timeline.rows.run[: count[E.C_ROWS]].tolist())
        count[E.C_ROWS] = 0

    def finish(self) -> None:
        """Let all runs end; each has done so once, and nothing is left anywhere."""
        self.step(200_000)
        assert self.idle, "runs that never end"
        self._take_rows()
        assert self.ended == Counter(range(self.arrived))
        pools = self.timeline.pools
        assert pools.counter[E.C_RUNS] == 0 and pools.counter[E.C_FREE_FLIGHTS] == pools.counter[E.C_MOST_FLIGHTS]
        assert not np.any(pools.res_i[: len(self.timeline.wires.tenants) - 1, [E.R_BUSY, E.R_LENGTH]])
        assert not np.any(pools.limit_i[:, E.M_BUSY])
        assert not np.any(pools.replica_i[:, [S.R_RUNNING, S.R_WAITING, S.R_DECODING]])
        self._windows()

    # --- what must hold

    def look(self) -> None:
        """Assert what must hold now."""
        clock = float(self.timeline.pools.clock[0])
        assert clock >= self.clock, f"time goes backward, from {self.clock!r} to {clock!r}"
        self.clock = clock
        self._slots()
        self._calls()
        self._buckets()
        for fleet_replica in range(sum(fleet.replicas for fleet in self.plan.fleets)):
            self._replica(fleet_replica)

    def _slots(self) -> None:
        """Never more in service than slots, never more waiting than the queue holds, none while a slot is free."""
        pools = self.timeline.pools
        state, where = pools.fi[:, E.F_STATE], pools.fi[:, E.F_RES]
        for r in range(len(self.timeline.wires.tenants) - 1):
            row = pools.res_i[r]
            served = int(np.count_nonzero((state == E.SERVED) & (where == r)))
            queued = int(np.count_nonzero((state == E.QUEUED) & (where == r)))
            assert row[E.R_BUSY] == served <= row[E.R_CAP], "in service and slots"
            assert row[E.R_LENGTH] == queued <= row[E.R_MAX_QUEUE]
            assert queued == 0 or served == row[E.R_CAP], "a slot is free while a call waits"
            assert (row[E.R_HEAD] >= 0) == (queued > 0)

    def _calls(self) -> None:
        """Each attempt has one end to come at most, and one if it does not wait for others; none is past."""
        pools = self.timeline.pools
        state, count = pools.fi[:, E.F_STATE], pools.counter
        assert int(np.count_nonzero(state != E.FREE)) == count[E.C_MOST_FLIGHTS] - count[E.C_FREE_FLIGHTS]
        assert int(pools.slot_i[:, E.I_ALIVE].sum()) == count[E.C_RUNS]
        n = count[E.C_HEAP]
        times, kinds, what = pools.heap_t[:n], pools.heap_k[:n] >> E.KIND_SHIFT, pools.heap_p[:n]
        assert np.all(np.isinf(pools.heap_t[n : n + 4])), "an event after the last"
        due = pools.replica_due
        assert np.all(np.append(times, due) >= self.clock - 1e-12 * (1.0 + self.clock)), "an event is past"
        assert due[pools.turns[1]] == due.min(), "a change of a batch that is not the first"
        own = (kinds == E.K_END) | (kinds == E.K_ARRIVE) | (kinds == E.K_HEDGE)
        flights, generations = what[own] >> 32, what[own] & 0xFFFFFFFF
        valid = flights[pools.fi[flights, E.F_GEN] == generations]
        ends = np.bincount(valid, minlength=len(state))
        assert np.all(ends <= 1), "an attempt that ends twice"
        assert not np.any(ends[np.isin(state, OVER)]), "an attempt that is over ends again"
        must = ~np.isin(state, (*OVER, E.QUEUED, E.BATCHED, E.TIMER))  # a timer may have started its last copy
        assert np.all(ends[must] == 1), f"an attempt that never ends, in state {state[must][ends[must] != 1][0]}"
        alive = pools.slot_i[pools.fi[state != E.FREE, E.F_SLOT], E.I_ALIVE]
        assert np.all(alive == 1), "an attempt of a run that is over"

    def _limits(self) -> dict[str, Any]:
        """Levels of the buckets, and all that has been taken from them since the start."""
        pools = self.timeline.pools
        f, i = pools.limit_f, pools.limit_i
        holds = pools.fi[:, E.F_LIMIT]
        held = (pools.fi[:, E.F_STATE] != E.FREE) & (holds >= 0)
        tokens = f[:, [E.G_IN, E.G_OUT]].copy()
        np.add.at(tokens, holds[held], pools.ff[held][:, [E.A_SET_IN, E.A_SET_OUT]])
        both = tokens.sum(axis=1)
        requests = i[:, E.M_ADMITTED].astype(float)
        return {
            "level": f[:, E.G_LEVEL : E.G_LEVEL + E.NBUCKETS].copy(),
            "at": f[:, E.G_AT].copy(),
            "taken": np.column_stack([requests, requests, both, both, tokens[:, 0], tokens[:, 1]]),
            "passed": i[:, E.M_ADMITTED].copy(),
            "busy": i[:, E.M_BUSY].copy(),
            "under_way": np.bincount(holds[held], minlength=len(f)),
        }

    def _buckets(self) -> None:
        """Levels are at most the sizes, below 0 by no more than was used beyond what was asked for, and add up."""
        pools, was = self.timeline.pools, self.before
        now = self.before = self._limits()
        size = pools.limit_f[:, E.G_SIZE : E.G_SIZE + E.NBUCKETS]
        rate = pools.limit_f[:, E.G_RATE : E.G_RATE + E.NBUCKETS]
        bounded, near = rate > 0.0, CLOSE * (1.0 + size)
        assert np.all(now["busy"] == now["under_way"]), "who passed and has not ended is under way"
        assert np.all(now["busy"] <= pools.limit_i[:, E.M_MOST])
        refilled = np.minimum(size, was["level"] + rate * (now["at"] - was["at"])[:, None])
        change = now["taken"] - was["taken"]
        passed = now["passed"] - was["passed"]
        ended = passed - (now["busy"] - was["busy"])
        assert np.all(passed >= 0) and np.all(ended >= 0)
        assert np.all((now["level"] <= size + near)[bounded]), "a bucket that runs over"
        assert np.all((now["level"] <= refilled - change + near + ENDLESS * (change < 0))[bounded]), (
            "tokens from nowhere"
        )
        only = (passed + ended == 1)[:, None] & bounded
        assert np.all(np.abs(now["level"] - np.minimum(size, refilled - change))[only] <= near[only])
        only = (passed > 0)[:, None] & (ended == 0)[:, None] & bounded & (change > 0.0)
        assert np.all((now["level"] >= -near)[only]), "let in beyond the budget"
        self.debt += np.where((ended > 0)[:, None], np.maximum(change, 0.0), 0.0)
        assert np.all((now["level"] >= -self.debt - near)[bounded])
        assert np.all((now["level"] >= -near)[:, PER_REQUEST][bounded[:, PER_REQUEST]])
        self.ledger.append((self.clock, now["taken"], self.debt.copy()))

    def _windows(self) -> None:
        """In no window is more taken than a full bucket and what flows in, but for what was used beyond the asked."""
        pools = self.timeline.pools
        size = pools.limit_f[:, E.G_SIZE : E.G_SIZE + E.NBUCKETS]
        rate = pools.limit_f[:, E.G_RATE : E.G_RATE + E.NBUCKETS]
        if not self.ledger or not np.any(rate > 0.0):
            return
        at = np.array([moment for moment, _, _ in self.ledger])
        taken, debt = (np.array([row[k] for row in self.ledger]) for k in (1, 2))
        for q, k in zip(*np.nonzero(rate > 0.0), strict=True):
            flown = taken[:, q, k] - rate[q, k] * at - debt[:, q, k]  # over a window it rises by a bucket at most
            lowest = np.minimum.accumulate(np.concatenate([[0.0], flown[:-1]]))
            assert np.max(flown - lowest) <= size[q, k] * (1.0 + 10 * CLOSE) + CLOSE, "more than the limit in a window"

    def _replica(self, r: int) -> None:
        """Blocks are those of the batch, no more than there are; tokens and sequences of a step are within bounds."""
        pools = self.timeline.pools
        limits, row = pools.limits[r], pools.replica_i[r]
        running, waiting = self._chain(row[S.R_FIRST]), self._chain(row[S.R_HEAD])
        assert len(running) == row[S.R_RUNNING] <= limits[S.G_MOST]
        assert len(waiting) == row[S.R_WAITING]
        state, done = pools.request_i[:, S.Q_STATE], pools.request_i[:, S.Q_DONE]
        assert np.all(state[waiting] == S.WAITING)
        decoding = state[running] == S.DECODING
        assert int(decoding.sum()) == row[S.R_DECODING] <= limits[S.G_MOST]
        assert np.all(np.isin(state[running], (S.PREFILLING, S.DECODING, S.ENDING)))
        assert int((state[running] == S.PREFILLING).sum()) == (row[S.R_PARTIAL] >= 0), "one prompt at most is in part"
        tokens = done[running] + np.where(decoding, row[S.R_PLANS], 0)
        held = int(np.sum(-(-tokens // limits[S.G_BLOCK])))
        free = int(row[S.R_FREED] - row[S.R_TAKEN])
        assert 0 <= free <= limits[S.G_BLOCKS]
        assert held + free == limits[S.G_BLOCKS], "blocks that nobody has, or two"
        assert 0 <= row[S.R_TOKENS] <= limits[S.G_BUDGET], "tokens of a step"
        assert (row[S.R_ACTIVE] == 0) == (pools.replica_f[r, S.Y_NEXT] == np.inf) or row[S.R_ACTIVE] == 0
        here = [f for f in (*running, *waiting) if state[f] != S.ENDING]
        assert np.all(pools.fi[here, E.F_STATE] == E.BATCHED), "a request of an attempt that is over"

    def _chain(self, first: int) -> list[int]:
        found = []
        while first >= 0:
            found.append(int(first))
            first = self.timeline.pools.request_i[first, S.Q_NEXT]
            assert len(found) <= len(self.timeline.pools.request_i), "a list that is a ring"
        return found

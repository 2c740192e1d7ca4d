"""What runs share under load: rate limits, circuit breakers, the slots of backends, and who waits for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any

import simpy

from tests.reference import state
from tests.reference.limits import Breaker, Core, RateLimit
from tests.reference.timeline import Timeline, Usage

Process = Generator[simpy.Event, Any, Timeline]
Retime = Callable[[float], Timeline]


@dataclass(eq=False)
class Pool:
    """Slots, and the queue before them."""

    capacity: Any
    busy: int = 0
    queue: list[Passage] = field(default_factory=list)
    served: int = 0
    rejected: int = 0

    def next(self) -> Passage:
        return min(self.queue, key=lambda passage: (passage.rank, passage.order))


class Gates:
    """The pools of one timeline, by what backends share and by tenant."""

    def __init__(self, tenant: Callable[[Any], int] = lambda run: 0, client: Any = None) -> None:
        self.client = client
        self.cores = [Core(client) for _ in range(client.processes)] if client is not None else []
        self.pools: dict[tuple[str, int], Pool] = {}
        self.limits: dict[tuple[str, int], RateLimit] = {}
        self.breakers: dict[Any, Breaker] = {}
        self.tenant = tenant
        self.order = 0

    def of(self, call: Any, line: Timeline, begin: float) -> Passage | None:
        """Return an attempt's way to its backend; None where nothing stops it, or it ends before it is there."""
        backend = line.backend
        if backend is None or (backend.capacity is None and backend.limit is None):
            return None
        if line.end <= line.t_net and line.struck in ("start", "cut", "hang"):
            return None
        return Passage(self, self._pool(call, backend), self._limit(call, backend), call, line, begin)

    def overhead(self, backend: Any) -> float | None:
        """Seconds of a request at the door of replicas that batch; None for all other backends."""
        return None

    def core(self, run: Any) -> Core | None:
        """Return the cores of the process in which a run lives."""
        return self.cores[run.number % len(self.cores)] if self.cores else None

    def breaker(self, call: Any, place: str) -> Breaker | None:
        """Return the breaker before a place; steps with the same one share it."""
        policy = getattr(call.step, "circuit_breaker", None)
        if policy is None:
            return None
        return self.breakers.setdefault((place, policy.model_dump_json()), Breaker(policy))

    def _limit(self, call: Any, backend: Any) -> RateLimit | None:
        if backend.limit is None:
            return None
        tenant = self.tenant(call.run) if backend.limit.per == "tenant" else 0
        return self.limits.setdefault((backend.name, tenant), RateLimit(backend.limit))

    def _pool(self, call: Any, backend: Any) -> Pool | None:
        if backend.capacity is None:
            return None
        tenant = self.tenant(call.run) if backend.capacity.per == "tenant" else 0
        name = backend.capacity.shared or backend.name
        return self.pools.setdefault((name, tenant), Pool(backend.capacity))


@dataclass(eq=False)
class Passage:
    """One attempt on its way to a slot, in the queue, or in service."""

    gates: Gates
    pool: Pool | None
    limit: RateLimit | None
    call: Any
    line: Timeline
    begin: float
    stage: str = "on its way"  # queued, served, gone
    since: float = 0.0
    rank: float = 0.0
    order: int = 0
    granted: Any = None
    begun: bool = False
    aside: tuple[float, float] | None = None  # tokens that the rate limit has set aside

    def wait(self, retime: Retime) -> Process:
        """Wait for a slot; the attempt's timeline with this wait, or one that ends without it."""
        pool, clock = self.pool, self.call.clock
        if self.limit is not None:
            declared = getattr(self.call.step, "max_tokens", None)
            passes, retry_after, aside = self.limit.ask(clock.shared.now, self.line, declared)
            if not passes:
                self.stage = "gone"
                return replace(_rejected(self.line), retry_after=retry_after)
            self.aside = aside
        if pool is None:
            self.begun = True
            return self.line
        if pool.busy < pool.capacity.concurrency:
            self.serve()
            self.begun = True
            return self.line
        if pool.capacity.max_queue is not None and len(pool.queue) >= pool.capacity.max_queue:
            pool.rejected += 1
            self.stage = "gone"
            return _rejected(self.line)
        self._queue()
        limit = self._patience()
        waits = [self.granted] if limit == math.inf else [self.granted, clock.at(self.begin + limit, state.END)]
        yield clock.any_of(waits)
        if self.stage == "served":
            self.begun = True
            return retime(clock.now - self.begin - self.line.t_net)
        self.leave()
        return replace(_queued(self.line), error="timeout", struck="cut", end=limit, retry_after=None)

    def _queue(self) -> None:
        run = self.call.run
        self.gates.order += 1
        ranks = {
            "fifo": 0.0,
            "priority": -getattr(self.call.step, "priority", 0),
            "sjf": self.line.end,
            "las": math.floor(run.served * 1e9 + 0.5),
            "age": getattr(run.clock, "zero", 0.0),
        }
        assert self.pool is not None
        self.rank, self.order = ranks[self.pool.capacity.queue], self.gates.order
        self.granted = self.call.clock.event()
        self.stage = "queued"
        self.pool.queue.append(self)

    def _patience(self) -> float:
        """How long the attempt lasts in the queue: its timeouts, and a hang's own end."""
        timeout = self.call.timeout
        bounds = [] if timeout is None else [timeout.attempt, timeout.idle]
        if self.line.struck == "hang":
            bounds.append(self.line.end)
        return min((bound for bound in bounds if bound is not None), default=math.inf)

    def serve(self) -> None:
        assert self.pool is not None
        self.stage, self.since = "served", self.call.clock.now
        self.pool.busy += 1
        self.pool.served += 1

    def at_a_cut(self, line: Timeline) -> Timeline:
        """The attempt's timeline as it is when it is cut now."""
        return line if self.begun or self.stage == "gone" else _queued(line)

    def settle(self, used: Usage) -> None:
        """Tell the rate limit what was used instead of what was set aside."""
        if self.aside is not None and self.limit is not None:
            self.limit.settle(self.call.clock.shared.now, self.aside, used)
            self.aside = None

    def leave(self) -> None:
        """Give back what the attempt holds; the next in the queue takes its slot."""
        stage, self.stage = self.stage, "gone"
        if self.pool is None:
            return
        if stage == "queued":
            self.pool.queue.remove(self)
        if stage != "served":
            return
        self.call.run.served += self.call.clock.now - self.since
        self.pool.busy -= 1
        if self.pool.queue:
            first = self.pool.next()
            self.pool.queue.remove(first)
            first.serve()
            self.call.clock.soon(first.granted, state.GRANT)


def _queued(line: Timeline) -> Timeline:
    """An attempt that has not come out of the queue."""
    spans = [*line.way(), ("queue", math.inf)]
    return replace(line, spans=spans, first_token=math.inf, t_prefill=math.inf)


def _rejected(line: Timeline) -> Timeline:
    return replace(_queued(line), error="rate_limit", struck="start", end=line.t_net, retry_after=None)

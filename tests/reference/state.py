"""What exists while a run goes on: the run, the scopes entered, the visits of steps; and the clock.

At one moment everything that ends is seen first, then the joins fire: the priorities below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappush
from typing import Any

import simpy

from tests.reference import keys
from tests.reference.shape import Body, is_parallel_guardrail
from tests.reference.timeline import Usage

# Priorities of events at one moment; SimPy's own 0 is for interrupts, 1 for what processes tell each other.
GRANT = 0.25  # a slot that became free is taken
BEGIN = 0.5  # a call looks at the budget, after what is cut at this moment has been charged
END = 1  # an attempt or a wait ends
REACH = 2  # an attempt reaches its backend
STREAM = 2.5  # its first token is there
COPIES = 3  # the copies of a hedged call are looked at
HEDGE = 4  # the next copy starts
SETTLE = 8  # and up to 1 more: each scope in its turn
DEADLINE = 2000
WIDTH = 256  # more than a scope has places for others


class Clock(simpy.Environment):
    """SimPy's environment with events at a moment rather than after a delay, which would be rounded."""

    def at(self, moment: float, priority: float) -> simpy.Event:
        event = self.event()
        event._ok = True
        event._value = None
        heappush(self._queue, (moment, priority, next(self._eid), event))  # type: ignore[misc]
        return event

    def soon(self, event: simpy.Event, priority: float) -> None:
        """Trigger `event` at this moment, once all of lower priority has happened."""
        if not event.triggered:
            event._ok = True
            event._value = None
            heappush(self._queue, (self.now, priority, next(self._eid), event))  # type: ignore[misc]


class RunClock:
    """A run's own clock, which stands at 0 when it arrives, on a timeline that runs share."""

    def __init__(self, shared: Clock) -> None:
        self.shared = shared
        self.zero = shared.now
        self.event, self.process, self.any_of, self.soon = shared.event, shared.process, shared.any_of, shared.soon

    @property
    def now(self) -> float:
        return self.shared.now - self.zero

    def at(self, moment: float, priority: float) -> simpy.Event:
        return self.shared.at(max(self.zero + moment, self.shared.now), priority)


@dataclass(eq=False)
class Visit:
    """One entering of a step. `status`: running, done, skipped, failed, caught, cancelled, or never.

    `never` is a visit that was cancelled before or at the very moment of its start.
    """

    scope: Scope
    name: str
    start: float
    status: str = "running"
    end: float = 0.0
    error: str | None = None
    absorbed: bool = False
    clause: int | None = None  # which catch took its error
    route: str | None = None
    cause: Visit | None = None  # whose edge decided the start
    cause_beside: bool = False  # by its start, not its end: a guardrail that runs beside this visit
    guards: frozenset[Visit] = frozenset()
    process: Any = None
    # of a call
    usage: Usage = field(default_factory=Usage)
    components: list[tuple[str, float]] = field(default_factory=list)
    first_token: float | None = None
    output: int = 0
    sent: int | None = None  # input tokens, once an attempt was made
    last_backend: str | None = None
    by_fallback: bool = False
    # of a composite
    scopes: list[Scope] = field(default_factory=list)
    closer: Scope | None = None  # the scope that decided the end

    @property
    def run(self) -> Run:
        return self.scope.run

    @property
    def step(self) -> Any:
        return self.scope.body.steps[self.name]

    @property
    def path(self) -> str:
        return self.scope.body.step_path(self.name)

    @property
    def indices(self) -> tuple[int, ...]:
        return self.scope.indices

    @property
    def node(self) -> int:
        return keys.node_key(self.run.key, self.path, self.indices)

    @property
    def order(self) -> tuple[int, ...]:
        """Where the visit stands in the unrolled plan."""
        return (*self.scope.order, self.scope.body.order.index(self.name))

    @property
    def is_parallel_guardrail(self) -> bool:
        return is_parallel_guardrail(self.step)

    def finish(self, status: str, error: str | None = None) -> None:
        """End by itself, now."""
        self.status = status
        self.error = error
        self.end = self.run.clock.now
        self.scope.poke()

    def cancel(self) -> None:
        """Cut what is under way, now. What starts at this very moment never did."""
        if self.status != "running":
            return
        self.end = self.run.clock.now
        self.status = "never" if self.start == self.end else "cancelled"
        if self.process.is_alive:
            self.process.interrupt()
        for scope in self.scopes:
            scope.cancel()

    def revoke(self) -> None:
        """Cancel, finished or not."""
        self.cancel()
        if self.status in ("done", "failed", "caught"):
            self.status = "cancelled"
        for scope in self.scopes:
            for visit in scope.visits.values():
                visit.revoke()

    def effective_guards(self) -> set[Visit]:
        """The guardrails that ran beside this visit, or beside a composite around it."""
        guards = set(self.guards)
        if self.scope.parent is not None:
            guards |= self.scope.parent.effective_guards()
        return guards


@dataclass(eq=False)
class Scope:
    """One entering of a body: the top, an iteration, an instance, a nested workflow."""

    run: Run
    body: Body
    parent: Visit | None
    index: int
    indices: tuple[int, ...]
    start: float
    after: Scope | None = None  # the scope whose end let this one start; else the parent's start
    status: str = "running"  # done, failed, cancelled
    end: float = 0.0
    error: str | None = None
    failing: Visit | None = None
    visits: dict[str, Visit] = field(default_factory=dict)
    judged: set[Visit] = field(default_factory=set)  # failures and rejections already dealt with
    wake: Any = None
    process: Any = None

    @property
    def order(self) -> tuple[int, ...]:
        return () if self.parent is None else (*self.parent.order, self.index)

    @property
    def turn(self) -> float:
        """Its priority among the joins of one moment: after the scopes in it, else as in the unrolled plan."""
        end, share = SETTLE + 1.0, 1.0
        for place in self.order:
            end -= share * (1 - (place + 1) / WIDTH)
            share /= WIDTH
        return end

    @property
    def over(self) -> bool:
        return self.status != "running"

    def poke(self) -> None:
        """Have the scope look at its joins, once all ends of this moment have been seen."""
        self.run.clock.soon(self.wake, self.turn)

    def cancel(self) -> None:
        if self.over:
            return
        self.status = "cancelled"
        self.end = self.run.clock.now
        for visit in list(self.visits.values()):
            visit.cancel()


@dataclass(eq=False)
class Run:
    """One run: its keys, its clock, what it was told."""

    workflow: Any
    assignment: Mapping[str, Any]
    key: int
    clock: Clock | RunClock
    top: Body
    visits: list[Visit] = field(default_factory=list)
    factors: dict[str, float] = field(default_factory=dict)
    number: int = 0
    gates: Any = None  # what runs share, under load
    served: float = 0.0  # seconds that its calls have held slots

    def spent(self) -> Usage:
        """What the visits that have ended by now have used."""
        total = Usage()
        for visit in self.visits:
            if visit.status not in ("running", "never"):
                total.add(visit.usage)
        return total

    def backend(self, path: str, place: int) -> Any:
        """Return the backend of a step's place: 0 its own, i + 1 that of its i-th fallback."""
        if place > 0:
            return self.assignment[f"{path}!{place - 1}"]
        return self.assignment[path] if path in self.assignment else self.assignment["*"]

"""A scope while it runs: it watches its visits end, deals with failures and rejections, and fires its joins.

Each settling takes one step (the first join, in topological order, that can fire) and looks again at the same
moment, so that whatever takes no time has ended before the next join is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import simpy

from tests.reference.shape import Edge, needed_edges
from tests.reference.state import Run, Scope, Visit

Process = Generator[simpy.Event, Any, Any]
Starter = Callable[[Visit], Process]


@dataclass(frozen=True)
class Resolved:
    """An edge that is resolved: active or not, since when, from whom."""

    edge: Edge
    source: Visit
    active: bool
    time: float
    failure: bool = False  # its source's failure was absorbed
    beside: bool = False  # resolved at its source's start: a guardrail that runs beside what it guards


def enter(run: Run, body: Any, parent: Visit | None, index: int, starter: Starter, after: Scope | None = None) -> Scope:
    """Start a scope now. `index` counts iterations or instances; `starter` is a step's process."""
    indices = () if parent is None else parent.indices
    if body.kind in ("loop", "map"):
        indices = (*indices, index)
    scope = Scope(run, body, parent, index, indices, run.clock.now, after)
    scope.wake = run.clock.event()
    if parent is not None:
        parent.scopes.append(scope)
    scope.process = run.clock.process(_process(scope, starter))
    scope.poke()
    return scope


def _process(scope: Scope, starter: Starter) -> Process:
    while not scope.over:
        yield scope.wake
        scope.wake = scope.run.clock.event()
        if not scope.over:
            _settle(scope, starter)


def _settle(scope: Scope, starter: Starter) -> None:
    _reject(scope)
    failing = _untaken_failure(scope)
    if failing is not None:
        _end(scope, "failed", failing)
        for other in _visits(scope):
            other.cancel()
        return
    for name in scope.body.order:
        if name not in scope.visits and _fire(scope, name, starter):
            scope.poke()
            return
    visits = scope.visits.values()
    if len(visits) == len(scope.body.steps) and all(visit.status != "running" for visit in visits):
        _end(scope, "done")


def _end(scope: Scope, status: str, failing: Visit | None = None) -> None:
    scope.status = status
    scope.end = scope.run.clock.now
    if failing is not None:
        scope.failing, scope.error = failing, failing.error


def _visits(scope: Scope) -> list[Visit]:
    """The scope's visits so far, in topological order."""
    return [scope.visits[name] for name in scope.body.order if name in scope.visits]


def _reject(scope: Scope) -> None:
    """Revoke what ran beside a guardrail that has just failed."""
    for guard in _visits(scope):
        if guard.is_parallel_guardrail and guard.status == "failed" and guard not in scope.judged:
            for visit in _visits(scope):
                if guard in visit.guards:
                    visit.revoke()


def _untaken_failure(scope: Scope) -> Visit | None:
    """Deal with new failures; return the first that nothing takes."""
    failures = [visit for visit in _visits(scope) if visit.status == "failed"]
    for visit in failures:
        if visit in scope.judged:
            continue
        scope.judged.add(visit)
        clause = _catching(visit)
        if clause is not None:
            visit.status, visit.clause = "caught", clause
        elif _absorbs(scope, visit.name):
            visit.absorbed = True
    return next((visit for visit in failures if visit.status == "failed" and not visit.absorbed), None)


def _catching(visit: Visit) -> int | None:
    for clause, catch in enumerate(visit.step.catch):
        if visit.error in catch.errors:
            return clause
    return None


def _absorbs(scope: Scope, name: str) -> bool:
    """Whether all edges of a step (at least one) lead into any/quorum joins."""
    edges = scope.body.edges_out[name]
    return bool(edges) and all(needed_edges(scope.body, edge.target) is not None for edge in edges)


def _resolved(scope: Scope, edge: Edge) -> Resolved | None:
    """Look at an edge as it stands now."""
    source = scope.visits.get(edge.source)
    if source is None:
        return None
    beside = source.is_parallel_guardrail and not edge.is_catch and source.status != "skipped"
    if source.status == "running" and not beside:
        return None
    failure = source.absorbed and source.status == "failed"
    if beside:
        active = source.status in ("running", "done") and _takes(source, edge)
        return Resolved(edge, source, active, source.start, failure, beside=True)
    if source.status == "done":
        active = not edge.is_catch and _takes(source, edge)
    else:
        active = source.status == "caught" and edge.clause == source.clause and edge.is_catch
    return Resolved(edge, source, active, source.end, failure)


def _takes(source: Visit, edge: Edge) -> bool:
    return edge.route is None or edge.route == source.route


def _fire(scope: Scope, name: str, starter: Starter) -> bool:
    """Start, skip or fail a step if its join is decided; return whether it is."""
    edges = scope.body.edges_in[name]
    if not edges:
        _start(scope, name, starter, None, [])
        return True
    seen = [_resolved(scope, edge) for edge in edges]
    resolved = [item for item in seen if item is not None]
    active = [item for item in resolved if item.active]
    complete = len(resolved) == len(edges)
    k = needed_edges(scope.body, name)
    if k is not None and len(active) >= k:
        _start(scope, name, starter, _latest(active), active)
        return True
    if not complete:
        return False
    failures = [item for item in resolved if item.failure]
    if failures:
        _fail(scope, name, _latest(resolved), max(failures, key=lambda item: item.source.end).source.error)
    elif active:
        _start(scope, name, starter, _latest(resolved), active)
    else:
        _skip(scope, name, _latest(resolved))
    return True


def _latest(resolved: list[Resolved]) -> Resolved:
    """The edge that decided: the latest; of several, the first in the order of the needs."""
    return max(resolved, key=lambda item: item.time)


def _visit(scope: Scope, name: str, cause: Resolved | None) -> Visit:
    visit = Visit(scope, name, scope.run.clock.now)
    if cause is not None:
        visit.cause, visit.cause_beside = cause.source, cause.beside
    scope.visits[name] = visit
    scope.run.visits.append(visit)
    return visit


def _start(scope: Scope, name: str, starter: Starter, cause: Resolved | None, active: list[Resolved]) -> None:
    visit = _visit(scope, name, cause)
    guards: set[Visit] = set()
    for item in active:
        guards |= item.source.guards
        if item.source.is_parallel_guardrail and not item.edge.is_catch:
            guards.add(item.source)
    visit.guards = frozenset(guards)
    for loser in scope.body.losers.get(name, ()):
        if loser in scope.visits:
            scope.visits[loser].cancel()
        else:
            _never(scope, loser)
    visit.process = scope.run.clock.process(starter(visit))


def _never(scope: Scope, name: str) -> None:
    visit = _visit(scope, name, None)
    visit.status, visit.end = "never", visit.start


def _skip(scope: Scope, name: str, cause: Resolved) -> None:
    visit = _visit(scope, name, cause)
    visit.status, visit.end = "skipped", visit.start


def _fail(scope: Scope, name: str, cause: Resolved, error: str | None) -> None:
    visit = _visit(scope, name, cause)
    visit.status, visit.end, visit.error = "failed", visit.start, error

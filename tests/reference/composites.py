"""Loops, maps and nested workflows: processes that enter the scopes of their body."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import simpy

from tests.reference import keys, laws
from tests.reference.call import Call
from tests.reference.scope import enter
from tests.reference.shape import COMPOSITES, Body, needed
from tests.reference.state import Scope, Visit
from tests.reference.timeline import Usage

Process = Generator[simpy.Event, Any, Any]


def start(visit: Visit) -> Process:
    """Return the process of any step."""
    if visit.step.type in COMPOSITES:
        return _composite(visit)
    return Call(visit).process()


def _composite(visit: Visit) -> Process:
    kinds = {"loop": _loop, "map": _map, "workflow": _nested}
    try:
        yield from kinds[visit.step.type](visit)
    except simpy.Interrupt:
        return  # the visit has cancelled its scopes


def _enter(visit: Visit, index: int, after: Scope | None) -> Scope:
    body: Body = visit.scope.body.bodies[visit.name]
    return enter(visit.run, body, visit, index, start, after)


def _close(visit: Visit, scope: Scope) -> None:
    visit.closer = scope
    visit.finish(scope.status, scope.error)


def _nested(visit: Visit) -> Process:
    scope = _enter(visit, 0, None)
    yield scope.process
    _close(visit, scope)


def _loop(visit: Visit) -> Process:
    scope: Scope | None = None
    while True:
        scope = _enter(visit, 0 if scope is None else scope.index + 1, scope)
        yield scope.process
        if scope.status == "failed" or not _goes_on(visit, scope) or not _affordable(visit, scope):
            _close(visit, scope)
            return


def _goes_on(visit: Visit, scope: Scope) -> bool:
    step, i = visit.step, scope.index
    if i + 1 >= step.max_iterations:
        return False
    probability = step.continue_probability
    p = probability if isinstance(probability, (int, float)) else probability[i]
    node = keys.node_key(visit.run.key, visit.path, (*visit.indices, i))
    return bool(keys.uniform(keys.node_draw(node, keys.GO_ON)) < p)


def _affordable(visit: Visit, scope: Scope) -> bool:
    """Whether another iteration like the last one would stay within what is left of the budget."""
    budget = visit.run.workflow.budget
    if budget is None:
        return True
    last, spent = Usage(), visit.run.spent()
    for other in visit.run.visits:
        if other.status != "never" and _inside(other, scope):
            last.add(other.usage)
    now = visit.run.clock.now
    stops = (
        budget.tokens is not None and last.tokens > budget.tokens - spent.tokens,
        budget.usd is not None and last.cost > budget.usd - spent.cost,
        budget.deadline is not None and now - scope.start > budget.deadline - now,
    )
    return not any(stops)


def _inside(visit: Visit, scope: Scope) -> bool:
    around: Scope | None = visit.scope
    while around is not None and around is not scope:
        around = None if around.parent is None else around.parent.scope
    return around is scope


def _map(visit: Visit) -> Process:
    step = visit.step
    count = min(step.bound, laws.count(step.count, keys.node_draw(visit.node, keys.MAP_COUNT)))
    if count == 0:
        visit.finish("done")
        return
    k = needed(step.join)
    width = count if step.max_concurrency is None else step.max_concurrency
    for index in range(min(width, count)):
        _enter(visit, index, None)
    freed: list[Scope] = []  # instances whose place the next one has not taken yet
    seen: set[Scope] = set()
    while True:
        yield _any_end(visit)
        ended = sorted((s for s in visit.scopes if s.over), key=lambda s: (s.end, s.index))
        closer = _decides(ended, count, count if k is None else min(k, count))
        if closer is not None:
            for scope in visit.scopes:
                scope.cancel()
            _close(visit, closer)
            return
        freed += [scope for scope in ended if scope not in seen]
        seen.update(ended)
        while freed and len(visit.scopes) < count:
            _enter(visit, len(visit.scopes), freed.pop(0))


def _decides(ended: list[Scope], count: int, k: int) -> Scope | None:
    """Return the instance that ends the map: the k-th success, or the failure that puts it out of reach."""
    done = [scope for scope in ended if scope.status == "done"]
    failed = [scope for scope in ended if scope.status == "failed"]
    if len(done) >= k:
        return done[k - 1]
    return failed[count - k] if count - len(failed) < k else None


def _any_end(visit: Visit) -> simpy.Event:
    """Wait until an instance ends, and for all others that end at the same moment."""
    clock = visit.run.clock
    looked = clock.event()
    priority = math.nextafter(visit.scope.turn, 0)  # after its own scopes, before the one around
    for scope in visit.scopes:
        if not scope.over:
            scope.process.callbacks.append(lambda _: clock.soon(looked, priority))
    return looked

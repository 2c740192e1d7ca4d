"""The critical path: from what ended the run back, visit by visit along the edges that decided the starts."""

from __future__ import annotations

from collections import defaultdict

from tests.reference.state import Run, Scope, Visit

Seconds = dict[tuple[str, str], float]


def critical_components(last: Visit | None) -> Seconds:
    """Return seconds by step path and component; they add up to the end of `last`."""
    total: Seconds = defaultdict(float)
    visit = last
    while visit is not None:
        inner = _ending(visit)
        if inner is not None:
            visit = inner
            continue
        for component, seconds in visit.components:
            total[visit.path, component] += seconds
        visit = _before(visit)
    return {key: seconds for key, seconds in total.items() if seconds != 0.0}


def under_way(run: Run) -> Visit | None:
    """Return the visit of a call that was cut by the end of the run and started last."""
    cut = [
        visit for visit in run.visits if visit.status == "cancelled" and visit.end == run.clock.now and not visit.scopes
    ]
    return max(cut, key=lambda visit: (visit.start, visit.order), default=None)


def _before(visit: Visit) -> Visit | None:
    """Return the visit whose end let this one start."""
    while True:
        if visit.cause is not None:
            if not visit.cause_beside:
                return visit.cause
            visit = visit.cause  # it waited for the guardrail's start, not for its end
            continue
        scope = visit.scope
        if scope.after is not None:
            return _closing(scope.after)
        if scope.parent is None:
            return None
        visit = scope.parent


def _ending(visit: Visit) -> Visit | None:
    """Return the inner visit that decided a composite's end."""
    if visit.closer is not None:
        return _closing(visit.closer)
    entered = [scope for scope in visit.scopes if _closing(scope) is not None]
    return _closing(max(entered, key=lambda scope: (scope.end, -scope.index))) if entered else None


def _closing(scope: Scope) -> Visit | None:
    """Return the visit with which a scope ended: its failure, else the last in time, then in order."""
    if scope.failing is not None:
        return scope.failing
    entered = [visit for visit in scope.visits.values() if visit.status != "never"]
    return max(entered, key=lambda visit: (visit.end, visit.order), default=None)

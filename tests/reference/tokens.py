"""The input of a call: its own tokens, those handed on by earlier steps, a loop's history; what is cached."""

from __future__ import annotations

import math
from typing import Any

from tests.reference import keys, laws
from tests.reference.shape import COMPOSITES
from tests.reference.state import Scope, Visit


def is_model_call(step: Any) -> bool:
    """Whether the step sends tokens to a backend, rather than having a latency of its own."""
    if step.type in ("chat", "embeddings"):
        return True
    return step.type in ("retrieval", "guardrail") and step.latency is None


def input_tokens(visit: Visit) -> int:
    step = visit.step
    total = laws.amount(step.input_tokens.own, keys.node_draw(visit.node, keys.OWN_INPUT))
    if step.media is not None:
        total += step.media.tokens
    for name, factor in step.input_tokens.from_.items():
        total += factor * _named(visit, name.split("."))
    if step.input_tokens.history:
        total += _history(visit.scope)
    return math.floor(total + 0.5)


def cached_tokens(visit: Visit, backend: Any, sent: int) -> int:
    """Return how many of the `sent` tokens this backend has in its prefix cache."""
    cache = backend.cache
    if cache is None:
        return 0
    declared = visit.step.cached_input_tokens
    if declared is not None:
        prefix = laws.count(declared, keys.node_draw(visit.node, keys.CACHED_INPUT))
    else:
        prefix = _sent_before(visit, backend.name) if visit.step.input_tokens.history else 0
    prefix = min(prefix, sent)
    if prefix < cache.min_tokens:
        return 0
    hit = keys.uniform(keys.node_draw(visit.node, keys.CACHE_HIT)) < cache.hit_rate
    return prefix // cache.block * cache.block if hit else 0


def _named(visit: Visit, names: list[str]) -> int:
    """Resolve the first name in this scope or an enclosing one; the rest leads into composites."""
    scope, representative = visit.scope, visit.name
    while names[0] not in scope.body.steps:
        assert scope.parent is not None, names
        representative = scope.parent.name
        scope = scope.parent.scope
    if names[0] in scope.body.ancestors[representative]:
        return _visible(scope.visits.get(names[0]), names[1:])
    assert scope.body.kind == "loop", names
    before = _iteration_before(scope)
    return 0 if before is None else _visible(before.visits.get(names[0]), names[1:])


def _visible(visit: Visit | None, names: list[str]) -> int:
    """Return the visible output of a visit, or of the steps named inside it."""
    if visit is None:
        return 0
    if visit.step.type not in COMPOSITES:
        return visit.output if visit.status == "done" else 0
    scopes = visit.scopes[-1:] if visit.step.type == "loop" else visit.scopes
    total = 0
    for scope in scopes:
        inside = names[:1] or scope.body.sinks
        total += sum(_visible(scope.visits.get(name), names[1:]) for name in inside)
    return total


def _history(scope: Scope | None) -> int:
    """Return the visible outputs of the innermost loop's earlier iterations."""
    loop = _iteration(scope)
    return sum(
        _visible(earlier.visits.get(name), [])
        for earlier in _composite(loop).scopes[: loop.index]
        for name in loop.body.steps
    )


def _iteration(scope: Scope | None) -> Scope:
    """Return the innermost loop's iteration around (or at) a scope."""
    while scope is not None and scope.body.kind != "loop":
        scope = None if scope.parent is None else scope.parent.scope
    assert scope is not None, "history outside a loop"
    return scope


def _composite(scope: Scope) -> Visit:
    assert scope.parent is not None
    return scope.parent


def _iteration_before(scope: Scope) -> Scope | None:
    return _composite(scope).scopes[scope.index - 1] if scope.index > 0 else None


def _sent_before(visit: Visit, backend: str) -> int:
    """Return the whole input sent in the loop's previous iteration, if last tried at this backend."""
    earlier = visit_before(visit)
    if earlier is None or earlier.sent is None or earlier.last_backend != backend:
        return 0
    return earlier.sent


def visit_before(visit: Visit) -> Visit | None:
    """Return the same step's visit in the loop's previous iteration."""
    way: list[tuple[str, int]] = []  # from the iteration down to the visit's own scope
    scope = visit.scope
    while scope.body.kind != "loop":
        parent = _composite(scope)
        way.insert(0, (parent.name, scope.index))
        scope = parent.scope
    before = _iteration_before(scope)
    for name, index in way:
        outer = None if before is None else before.visits.get(name)
        inner = [] if outer is None else outer.scopes
        before = inner[index] if index < len(inner) else None
    return None if before is None else before.visits.get(visit.name)

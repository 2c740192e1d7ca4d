"""The static shape of a workflow: each body's edges, its order, its joins' losers. No time, no draws."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

COMPOSITES = ("map", "loop", "workflow")


@dataclass(frozen=True)
class Edge:
    """From `source` to `target`; a need (perhaps of one route) or the clause of a catch."""

    source: str
    target: str
    route: str | None = None
    clause: int | None = None  # index into the source's `catch`

    @property
    def is_catch(self) -> bool:
        return self.clause is not None


@dataclass
class Body:
    """The steps of one scope, wherever it is entered."""

    kind: Literal["top", "map", "loop", "workflow"]
    path: str  # "" at the top
    steps: dict[str, Any]
    defaults: Any
    answer: str | None = None
    edges_in: dict[str, list[Edge]] = field(default_factory=dict)
    edges_out: dict[str, list[Edge]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    ancestors: dict[str, set[str]] = field(default_factory=dict)
    losers: dict[str, list[str]] = field(default_factory=dict)
    bodies: dict[str, Body] = field(default_factory=dict)

    def step_path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    @property
    def sinks(self) -> list[str]:
        """The steps that nothing in the body needs."""
        needed = {edge.source for edges in self.edges_in.values() for edge in edges if not edge.is_catch}
        return [name for name in self.steps if name not in needed]


def body_of(workflow: Any) -> Body:
    """Return the shape of a whole workflow document."""
    return _body("top", "", workflow.steps, workflow.defaults, workflow.answer)


def _body(
    kind: Literal["top", "map", "loop", "workflow"], path: str, steps: Any, defaults: Any, answer: str | None
) -> Body:
    body = Body(kind, path, dict(steps), defaults, answer)
    for name in body.steps:
        body.edges_in[name] = []
        body.edges_out[name] = []
    for edge in _edges(body.steps):
        body.edges_in[edge.target].append(edge)
        body.edges_out[edge.source].append(edge)
    body.order = _order(body)
    for name in body.order:
        sources = {edge.source for edge in body.edges_in[name]}
        body.ancestors[name] = sources.union(*(body.ancestors[source] for source in sources))
    for name in body.order:
        if needed_edges(body, name) is not None:
            body.losers[name] = _losers(body, name)
    for name, step in body.steps.items():
        if step.type in ("map", "loop"):
            body.bodies[name] = _body(step.type, body.step_path(name), step.steps, defaults, None)
        elif step.type == "workflow":
            inner = step.workflow
            body.bodies[name] = _body("workflow", body.step_path(name), inner.steps, inner.defaults, None)
    return body


def _edges(steps: dict[str, Any]) -> list[Edge]:
    """Each step's needs in its order, then the catches that lead to it in the document's."""
    edges = []
    for name, step in steps.items():
        for need in step.needs:
            source, _, route = need.partition(".")
            edges.append(Edge(source, name, route=route or None))
    for name, step in steps.items():
        for clause, catch in enumerate(step.catch):
            edges.append(Edge(name, catch.to, clause=clause))
    return edges


def _order(body: Body) -> list[str]:
    """Again and again the first step of the document whose sources have all been taken."""
    order: list[str] = []
    while len(order) < len(body.steps):
        ready = (
            name
            for name in body.steps
            if name not in order and all(edge.source in order for edge in body.edges_in[name])
        )
        order.append(next(ready))
    return order


def needed_edges(body: Body, name: str) -> int | None:
    """Return how many active edges start the step; None for join `all`."""
    step = body.steps[name]
    if step.type == "map":  # its `join` is that of its instances
        return None
    return needed(getattr(step, "join", "all"))


def needed(join: Any) -> int | None:
    """Return k of a join: 1 for any, k for a quorum; None for all."""
    if join == "all":
        return None
    if join == "any":
        return 1
    return int(join.quorum)


def is_parallel_guardrail(step: Any) -> bool:
    return step.type == "guardrail" and not step.blocking


def _losers(body: Body, join: str) -> list[str]:
    """Return the steps from which each way on leads only to this join.

    The answer is none of them, nor is a guardrail that runs beside what it guards; a step with a way on to
    one of these has a way on that does not lead to the join.
    """
    lost: set[str] = set()
    for name in reversed(body.order):
        if name == body.answer or is_parallel_guardrail(body.steps[name]):
            continue
        targets = {edge.target for edge in body.edges_out[name]}
        if targets and targets <= lost | {join}:
            lost.add(name)
    return [name for name in body.order if name in lost]

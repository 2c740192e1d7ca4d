"""What the steps of one scope depend on: checks, order, and who leads only to whom.

A scope is a workflow, or the body of a loop, a map or a nested workflow. This is the only room that uses
networkx.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from agentflow.errors import PlanError, Problem, meant
from agentflow.schema import Quorum, Step, Workflow

Path = tuple[str | int, ...]
Locate = Callable[[Workflow, Path], tuple[str, int, int] | None]
COMPOSITES = ("map", "loop", "workflow")


@dataclass
class Report:
    """Collects everything wrong with a workflow, so that all of it is told at once."""

    locate: Locate | None = None
    problems: list[Problem] = field(default_factory=list)

    def add(self, document: Workflow, path: Path, message: str, hint: str | None = None) -> None:
        """Note one problem at a place of a document."""
        where = self.locate(document, path) if self.locate else None
        file, line, column = where or ("", 0, 0)
        self.problems.append(Problem(file, line, column, ".".join(map(str, path)), message, hint))

    def check(self) -> None:
        """Raise what was collected.

        Raises
        ------
        PlanError
            If there is any problem.
        """
        if self.problems:
            raise PlanError(sorted(self.problems, key=lambda p: (p.file, p.line, p.column)))


@dataclass(frozen=True)
class Scope:
    """The steps of one scope in an order in which each comes after what it needs."""

    order: tuple[str, ...]
    graph: nx.DiGraph[str]
    sinks: tuple[str, ...]
    guards: Mapping[str, tuple[str, ...]]
    losers: Mapping[str, tuple[str, ...]]
    absorbs: frozenset[str]


def body_of(step: Any) -> Mapping[str, Step]:
    """Return the steps inside a composite, or an empty mapping for a plain step."""
    if step.type == "workflow":
        steps: Mapping[str, Step] = step.workflow.steps
        return steps
    return step.steps if step.type in COMPOSITES else {}


def split_need(need: str) -> tuple[str, str | None]:
    """Split `triage.billing` into the step and its route."""
    name, _, route = need.partition(".")
    return name, route or None


def is_beside(step: Any) -> bool:
    """Whether a step is a guardrail that runs beside what follows it."""
    return step.type == "guardrail" and not step.blocking


def join_size(step: Any) -> int:
    """Return how many of its needs a step waits for: 0 means all."""
    join = "all" if step.type == "map" else step.join  # a map's join is that of its instances
    if isinstance(join, Quorum):
        return join.quorum
    return 1 if join == "any" else 0


def _edges(steps: Mapping[str, Step]) -> Iterator[tuple[str, str]]:
    for name, step in steps.items():
        for need in step.needs:
            yield split_need(need)[0], name
        for catch in step.catch:
            yield name, catch.to


def _check_names(document: Workflow, steps: Mapping[str, Step], at: Path, report: Report) -> None:
    for name, step in steps.items():
        for i, need in enumerate(step.needs):
            source, route = split_need(need)
            here = (*at, name, "needs", i)
            if source not in steps:
                hint = meant(source, steps) or "a need names a step of the same scope"
                report.add(document, here, f"no step named '{source}'", hint)
            elif source == name:
                report.add(document, here, "a step cannot need itself", "a repetition is a step of type loop")
            elif route is not None:
                _check_route(document, steps[source], source, route, here, report)
        sources = {split_need(need)[0] for need in step.needs}
        sources |= {other for other, s in steps.items() if any(catch.to == name for catch in s.catch)}
        if (k := join_size(step)) > len(sources):
            hint = f"it needs {len(sources)}" if sources else "a join is for steps with several needs"
            if sources or k > 1:
                report.add(document, (*at, name, "join"), f"can never run: it waits for {k} steps", hint)
        for i, catch in enumerate(step.catch):
            here = (*at, name, "catch", i, "to")
            if catch.to not in steps:
                report.add(document, here, f"leads nowhere: no step named '{catch.to}'", meant(catch.to, steps))
            elif catch.to == name:
                report.add(document, here, "a step cannot catch its own failure", "use retry, or another step")


def _check_route(document: Workflow, step: Any, source: str, route: str, here: Path, report: Report) -> None:
    routes = getattr(step, "routes", None) or {}
    if route not in routes:
        hint = meant(route, routes) if routes else f"'{source}' declares no routes"
        report.add(document, here, f"step '{source}' has no route '{route}'", hint)
    elif routes[route] == 0:
        report.add(document, here, f"can never run: route '{source}.{route}' has probability 0", "give it a chance")


def _check_from(document: Workflow, scopes: list[tuple[str | None, Mapping[str, Step], Any]], at: Path, report: Report,
                chain: tuple[str, ...]) -> None:  # fmt: skip
    steps = scopes[-1][1]
    for name, step in steps.items():
        tokens = getattr(step, "input_tokens", None)
        if tokens is None:
            continue
        if tokens.history and not any(kind == "loop" for kind, _, _ in scopes):
            report.add(document, (*at, name, "input_tokens", "history"), "there is no loop around this step",
                       "history is what a loop's earlier iterations wrote")  # fmt: skip
        for reference in tokens.from_:
            here = (*at, name, "input_tokens", "from", reference)
            head, *rest = reference.split(".")
            for level in range(len(scopes) - 1, -1, -1):
                if head in scopes[level][1]:
                    break
            else:
                names = [n for _, s, _ in scopes for n in s]
                report.add(document, here, f"no step named '{head}'", meant(head, names))
                continue
            target: Any = scopes[level][1][head]
            for part in rest:
                inner = body_of(target)
                if part not in inner:
                    hint = meant(part, inner) if inner else f"'{head}' is not a loop, map or workflow"
                    report.add(document, here, f"no step '{part}' in it", hint)
                    break
                target = inner[part]
            user = name if level == len(scopes) - 1 else chain[level]
            if level == len(scopes) - 1 and scopes[level][0] == "loop" and head != user:
                continue  # not an ancestor: its previous iteration
            if level == len(scopes) - 1 and head == user and scopes[level][0] == "loop":
                continue
            if head == user or user not in nx.descendants(scopes[level][2], head):
                report.add(document, here, f"step '{head}' does not come before this one", f"add '{head}' to needs")


def analyse(
    document: Workflow,
    scopes: list[tuple[str | None, Mapping[str, Step], Any]],
    at: Path,
    report: Report,
    chain: tuple[str, ...],
) -> Scope | None:
    """Check one scope and put it in order.

    Parameters
    ----------
    document : Workflow
        The document that the scope's steps were written in.
    scopes : list of (kind, steps, graph)
        The enclosing scopes of the document from outside in; this one is the last, its graph None.
    at : tuple
        Path of the scope's `steps` in the document.
    report : Report
        Where problems are noted.
    chain : tuple of str
        Names of the composites around the scope.

    Returns
    -------
    Scope or None
        None where the scope cannot be ordered.
    """
    kind, steps, _ = scopes[-1]
    before = len(report.problems)
    _check_names(document, steps, at, report)
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(steps)
    graph.add_edges_from((a, b) for a, b in _edges(steps) if a in steps and b in steps and a != b)
    try:
        order = tuple(nx.lexicographical_topological_sort(graph, key={n: i for i, n in enumerate(steps)}.get))
    except nx.NetworkXUnfeasible:
        ring = [u for u, _ in nx.find_cycle(graph)]
        circle = " -> ".join([*ring, ring[0]])
        report.add(document, (*at, ring[0]), f"cycle {circle}", "a repetition is a step of type loop")
        return None
    if len(report.problems) > before:
        return None
    scopes[-1] = (kind, steps, graph)
    _check_from(document, scopes, at, report, chain)
    caught = {catch.to for step in steps.values() for catch in step.catch}
    if not any(not step.needs and name not in caught for name, step in steps.items()):
        report.add(document, at, "no step can start", "at least one step needs nothing and is no catch's target")
    return Scope(order, graph, _sinks(steps, graph), _guards(steps, graph), _losers(document, steps, graph, kind),
                 _absorbing(steps, graph))  # fmt: skip


def _users(steps: Mapping[str, Step]) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {name: [] for name in steps}
    for name, step in steps.items():
        for need in step.needs:
            users[split_need(need)[0]].append(name)
    return users


def _sinks(steps: Mapping[str, Step], graph: nx.DiGraph[str]) -> tuple[str, ...]:
    return tuple(name for name, users in _users(steps).items() if not users)


def _guards(steps: Mapping[str, Step], graph: nx.DiGraph[str]) -> dict[str, tuple[str, ...]]:
    guards: dict[str, list[str]] = {}
    for name, step in steps.items():
        if is_beside(step):
            for later in nx.descendants(graph, name):
                guards.setdefault(later, []).append(name)
    return {name: tuple(found) for name, found in guards.items()}


def _losers(
    document: Workflow, steps: Mapping[str, Step], graph: nx.DiGraph[str], kind: str | None
) -> dict[str, tuple[str, ...]]:
    answer = document.answer if kind is None else None
    found: dict[str, tuple[str, ...]] = {}
    for join, step in steps.items():
        if not join_size(step):
            continue
        only: set[str] = set()
        for name in reversed(list(nx.topological_sort(graph.subgraph(nx.ancestors(graph, join))))):
            if (
                name != answer
                and not is_beside(steps[name])
                and all(later == join or later in only for later in graph.successors(name))
            ):
                only.add(name)
        found[join] = tuple(only)
    return found


def _absorbing(steps: Mapping[str, Step], graph: nx.DiGraph[str]) -> frozenset[str]:
    joins = {name for name, step in steps.items() if join_size(step)}
    return frozenset(name for name in steps if graph.out_degree(name) and set(graph.successors(name)) <= joins)

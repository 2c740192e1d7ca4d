"""Unrolls the scopes of a workflow into the nodes and edges of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentflow.plan import layout as L
from agentflow.plan.encode import hash64, mask_of
from agentflow.plan.graph import COMPOSITES, Scope, body_of, is_beside, join_size, split_need
from agentflow.schema import Step, Workflow

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def mix(z: int) -> int:
    """Finalise a 64-bit state (SplitMix64), as the kernel does."""
    z &= _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def visit_hash(path: str, indices: tuple[int, ...]) -> int:
    """Hash a step's path and the iterations and instances around it (docs/semantics.md)."""
    h = hash64(path)
    for i in indices:
        h = mix(h + (i + 1) * _GOLDEN)
    return h


@dataclass
class Placed:
    """One step where it stands in the plan: its first and last node; a composite's bodies, one an iteration."""

    begin: int
    node: int
    bodies: list[dict[str, Placed]] = field(default_factory=list)
    exported: dict[tuple[str, ...], int] = field(default_factory=dict)


@dataclass
class Frame:
    """The scope being placed: its steps so far, and what is around it."""

    path: str
    indices: tuple[int, ...]
    entry: int
    placed: dict[str, Placed]
    outer: Frame | None
    loop: bool = False
    before: dict[str, Placed] | None = None
    history: int = -1
    guards: tuple[int, ...] = ()


@dataclass
class StepInfo:
    """What all visits of one step share."""

    index: int
    spec: int
    label: int
    billed: bool
    scope: Scope | None
    document: Workflow


@dataclass
class Unroller:
    """The rows of the plan's nodes, edges and lists while they are written."""

    infos: Mapping[str, StepInfo]
    nodes: list[list[int]] = field(default_factory=list)
    go_on: list[float] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    preds: list[tuple[int, int, int]] = field(default_factory=list)
    refs: list[tuple[int, int]] = field(default_factory=list)
    factors: list[float] = field(default_factory=list)
    lists: list[int] = field(default_factory=list)
    losers: list[int] = field(default_factory=list)
    guards: list[int] = field(default_factory=list)
    exports: dict[int, list[tuple[int, list[list[int]]]]] = field(default_factory=dict)
    pending: list[tuple[Any, ...]] = field(default_factory=list)
    slots: int = 0
    exported: int = 0

    def emit(self, kind: int, step: int, hashed: int) -> int:
        """Write a node; its columns are -1 or 0 until they are set."""
        row = [0] * L.NODE_COLUMNS
        row[L.N_KIND], row[L.N_STEP] = kind, step
        row[L.N_SPEC] = row[L.N_SCOPE] = row[L.N_MATE] = row[L.N_HIST] = row[L.N_PREV] = row[L.N_LABEL] = -1
        self.nodes.append(row)
        self.go_on.append(0.0)
        self.hashes.append(hashed)
        return len(self.nodes) - 1

    def edges(self, node: int, edges: list[tuple[int, int, int]]) -> None:
        """Write the edges into a node."""
        self.nodes[node][L.N_PRED_LO] = len(self.preds)
        self.preds.extend(edges)
        self.nodes[node][L.N_PRED_HI] = len(self.preds)

    def place_scope(self, scope: Scope, steps: Mapping[str, Step], frame: Frame, top: bool) -> None:
        """Write all steps of a scope, in order."""
        catches = _catches(steps)
        for name in scope.order:
            step: Any = steps[name]
            path = frame.path + name
            info = self.infos[path]
            edges = [self._need(need, steps, frame) for need in step.needs]
            edges += [(frame.placed[source].node, L.EDGE_CATCH, mask) for source, mask in catches.get(name, ())]
            if not edges and frame.entry >= 0:
                edges = [(frame.entry, L.EDGE_NEED, 0)]
            guards = frame.guards + tuple(frame.placed[g].node for g in scope.guards.get(name, ()))
            flags = (L.GUARDED if guards else 0) | (L.ABSORB if name in scope.absorbs else 0) | (L.TOP if top else 0)
            if step.type in COMPOSITES:
                spot = self._composite(step, info, path, frame, edges, guards)
                self.nodes[spot.begin][L.N_FLAGS] |= flags & L.GUARDED
            else:
                spot = self._call(step, info, path, frame, edges)
                flags |= _flags(step, info)
            frame.placed[name] = spot
            row = self.nodes[spot.node]
            row[L.N_FLAGS] |= flags
            row[L.N_LABEL] = info.label
            row[L.N_CATCH] = _catch_mask(step)
            row[L.N_GUARD_LO] = len(self.guards)
            self.guards.extend(guards)
            row[L.N_GUARD_HI] = len(self.guards)
            if join_size(step):
                first = self.nodes[spot.begin]
                first[L.N_JOIN] = join_size(step)
                first[L.N_LOSER_LO] = len(self.losers)
                for loser in sorted(scope.losers[name], key=scope.order.index):
                    lost = frame.placed[loser]
                    self.losers.extend(range(lost.begin, lost.node + 1))
                first[L.N_LOSER_HI] = len(self.losers)

    def _need(self, need: str, steps: Mapping[str, Step], frame: Frame) -> tuple[int, int, int]:
        source, route = split_need(need)
        step: Any = steps[source]
        if route is not None:
            taken = list(step.routes).index(route)
            return frame.placed[source].node, L.EDGE_BESIDE_ROUTE - taken if is_beside(step) else taken, 0
        return frame.placed[source].node, L.EDGE_BESIDE if is_beside(step) else L.EDGE_NEED, 0

    def _call(self, step: Any, info: StepInfo, path: str, frame: Frame, edges: list[tuple[int, int, int]]) -> Placed:
        node = self.emit(L.CALL, info.index, visit_hash(path, frame.indices))
        self.edges(node, edges)
        row = self.nodes[node]
        row[L.N_SPEC] = info.spec
        tokens = getattr(step, "input_tokens", None)
        if tokens is not None and info.billed:
            self.pending.append((node, dict(tokens.from_), frame, path.rpartition(".")[2]))
            if tokens.history:
                row[L.N_HIST] = frame.history
                row[L.N_PREV] = self._previous(frame, path)
        return Placed(node, node)

    def _previous(self, frame: Frame, path: str) -> int:
        """Return the same step's visit in the previous iteration of the loop around it."""
        names = [path.rpartition(".")[2]]
        inner: list[int] = []
        at: Frame | None = frame
        while at is not None and not at.loop:
            names.append(at.path.rstrip(".").rpartition(".")[2])
            inner.append(at.indices[-1] if at.outer is not None and len(at.indices) > len(at.outer.indices) else 0)
            at = at.outer
        if at is None or at.before is None:
            return -1
        spot = at.before[names.pop()]
        while names:
            spot = spot.bodies[inner.pop()][names.pop()]
        return spot.node

    def _composite(self, step: Any, info: StepInfo, path: str, frame: Frame, edges: list[tuple[int, int, int]],
                   guards: tuple[int, ...]) -> Placed:  # fmt: skip
        begin = self.emit(L.BEGIN, info.index, visit_hash(path, frame.indices))
        self.edges(begin, edges)
        spot = Placed(begin, -1)
        if step.type == "map":
            closing = self._map(step, info, path, frame, spot, guards)
        else:
            closing = self._loop(step, info, path, frame, spot, guards)
        end = spot.node = self.emit(L.END, info.index, 0)
        kind = {"loop": L.LOOP, "map": L.MAP, "workflow": L.WORKFLOW}[step.type]
        self.edges(end, closing)
        row = self.nodes[end]
        row[L.N_KIND2] = self.nodes[begin][L.N_KIND2] = kind
        row[L.N_MATE], self.nodes[begin][L.N_MATE] = begin, end
        row[L.N_INDEX] = len(spot.bodies)
        for node in range(begin + 1, end):
            inner = self.nodes[node]
            if inner[L.N_SCOPE] < 0:
                inner[L.N_SCOPE] = end
            if inner[L.N_MATE] < 0 and inner[L.N_KIND] in (L.CHECK, L.IBEGIN):
                inner[L.N_MATE] = end
        if kind == L.MAP:
            row[L.N_JOIN] = 0 if step.join == "all" else 1 if step.join == "any" else step.join.quorum
        scope = info.scope
        assert scope is not None
        own = [[body[name].node for name in scope.sinks] for body in spot.bodies]
        self.exports[end] = [(end, own)]
        return spot

    def _closing(self, scope: Scope, steps: Mapping[str, Step], body: dict[str, Placed]) -> list[tuple[int, int, int]]:
        """Edges that wait until all steps of a body are resolved."""
        last = list(scope.sinks)
        for name, step in steps.items():
            lost = [split_need(need)[0] for need in step.needs] if join_size(step) else []
            last += [n for n in (*lost, *([name] if is_beside(step) else ())) if n not in last]
        last.sort(key=scope.order.index, reverse=True)  # of several that end together, the last counts
        return [(body[name].node, L.EDGE_NEED, 0) for name in last]

    def _loop(
        self, step: Any, info: StepInfo, path: str, frame: Frame, spot: Placed, guards: tuple[int, ...]
    ) -> list[tuple[int, int, int]]:
        """Write a loop's iterations (a nested workflow is one iteration); returns the edges into its end."""
        loop = step.type == "loop"
        scope, steps = info.scope, body_of(step)
        assert scope is not None
        chances = step.continue_probability if loop else 1.0
        opening, history = spot.begin, -1
        closing: list[tuple[int, int, int]] = []
        for i in range(step.max_iterations if loop else 1):
            if i:
                check = self.emit(L.CHECK, info.index, visit_hash(path, (*frame.indices, i - 1)))
                self.edges(check, closing)
                row = self.nodes[check]
                row[L.N_PREV], row[L.N_INDEX] = opening, i - 1
                row[L.N_LIST_LO] = len(self.lists)
                self.lists.extend(placed.node for placed in spot.bodies[-1].values())
                row[L.N_LIST_HI] = len(self.lists)
                self.go_on[check] = chances if isinstance(chances, float | int) else chances[i - 1]
                opening = check
                history = check
            inside = Frame(
                path=path + ".",
                indices=(*frame.indices, i) if loop else frame.indices,
                entry=opening,
                placed={},
                outer=frame,
                loop=loop,
                before=spot.bodies[-1] if loop and spot.bodies else None,
                history=history if loop else frame.history,
                guards=guards,
            )
            self.place_scope(scope, steps, inside, top=False)
            spot.bodies.append(inside.placed)
            closing = self._closing(scope, steps, inside.placed)
        return closing

    def _map(
        self, step: Any, info: StepInfo, path: str, frame: Frame, spot: Placed, guards: tuple[int, ...]
    ) -> list[tuple[int, int, int]]:
        """Write a map's instances; returns the edges into its end."""
        scope, steps, begin = info.scope, body_of(step), spot.begin
        assert scope is not None
        bound = step.bound
        row = self.nodes[begin]
        row[L.N_SPEC] = info.spec
        if step.max_concurrency is not None and step.max_concurrency < bound:
            row[L.N_SLOTS], row[L.N_SLOT_LO] = step.max_concurrency, self.slots
            self.slots += step.max_concurrency
        closing: list[tuple[int, int, int]] = []
        for i in range(bound):
            opening = self.emit(L.IBEGIN, info.index, 0)
            inside = Frame(path + ".", (*frame.indices, i), opening, {}, frame, history=frame.history, guards=guards)
            self.place_scope(scope, steps, inside, top=False)
            last = self.emit(L.IEND, info.index, 0)
            self.edges(last, self._closing(scope, steps, inside.placed))
            first, end = self.nodes[opening], self.nodes[last]
            first[L.N_PREV] = end[L.N_PREV] = begin
            first[L.N_INDEX] = i
            first[L.N_SPEC] = last
            end[L.N_MATE] = opening
            for node in range(opening + 1, last):
                if self.nodes[node][L.N_SCOPE] < 0:
                    self.nodes[node][L.N_SCOPE] = last
            spot.bodies.append(inside.placed)
            closing.append((last, L.EDGE_NEED, 0))
        return closing

    def finish(self, top: Frame) -> None:
        """Resolve the references to earlier steps' tokens, and write what composites export."""
        for node, references, frame, _ in self.pending:
            row = self.nodes[node]
            row[L.N_REF_LO] = len(self.refs)
            for reference, factor in references.items():
                found = self._reference(reference.split("."), frame, node)
                if found is not None:
                    self.refs.append(found)
                    self.factors.append(factor)
            row[L.N_REF_HI] = len(self.refs)
        for end, exports in self.exports.items():
            row = self.nodes[end]
            row[L.N_LIST_LO] = len(self.lists)
            for target, rows in exports:
                value = target if target >= 0 else len(self.nodes) - target - 1
                self.lists += [value, len(rows[0]) if rows else 0, len(rows)]
                for values in rows:
                    self.lists.extend(self._value(v) for v in values)
            row[L.N_LIST_HI] = len(self.lists)
        for row in self.nodes:
            if row[L.N_SCOPE] < 0:
                row[L.N_SCOPE] = len(self.nodes)

    def _value(self, v: int) -> int:
        return v if v >= 0 else len(self.nodes) - v - 1

    def _reference(self, parts: list[str], frame: Frame, user: int) -> tuple[int, int] | None:
        at: Frame | None = frame
        while at is not None and parts[0] not in at.placed:
            at = at.outer
        assert at is not None
        spot = at.placed[parts[0]]
        if at.loop and not self._comes_before(spot, user, at):
            if at.before is None:
                return None
            spot = at.before[parts[0]]
        value = self._export(spot, tuple(parts[1:]))
        return self._value(value), spot.node

    def _comes_before(self, spot: Placed, user: int, frame: Frame) -> bool:
        """Whether a step of a loop's body is an ancestor of a visit in it."""
        todo, seen = [user], {user}
        while todo:
            row = self.nodes[todo.pop()]
            sources = [source for source, _, _ in self.preds[row[L.N_PRED_LO] : row[L.N_PRED_HI]]]
            if row[L.N_KIND] == L.IBEGIN:
                sources.append(row[L.N_PREV])  # an instance starts when its map has
            for source in sources:
                if source == spot.node:
                    return True
                if source > frame.entry and source not in seen:
                    seen.add(source)
                    todo.append(source)
        return False

    def _export(self, spot: Placed, rest: tuple[str, ...]) -> int:
        """Return the value of a step inside a composite; below 0: the export -value - 1."""
        if not rest:
            return spot.node
        if rest not in spot.exported:
            rows = [[self._export(body[rest[0]], rest[1:])] for body in spot.bodies]
            self.exported += 1
            spot.exported[rest] = -self.exported
            self.exports[spot.node].append((-self.exported, rows))
        return spot.exported[rest]


def _flags(step: Any, info: StepInfo) -> int:
    stream = getattr(step, "stream", None)
    return (L.STREAM if stream else 0) | (L.NO_STREAM if stream is False else 0) | (L.BILLED if info.billed else 0)


def _catches(steps: Mapping[str, Step]) -> dict[str, list[tuple[str, int]]]:
    """Which steps' errors lead to which step; an error goes to the first catch that lists it."""
    found: dict[str, dict[str, int]] = {}
    for name, step in steps.items():
        taken = 0
        for catch in step.catch:
            mask = mask_of(catch.errors) & ~taken
            taken |= mask
            found.setdefault(catch.to, {}).setdefault(name, 0)
            found[catch.to][name] |= mask
    return {to: list(sources.items()) for to, sources in found.items()}


def _catch_mask(step: Any) -> int:
    mask = 0
    for catch in step.catch:
        mask |= mask_of(catch.errors)
    return mask


def count_nodes(steps: Mapping[str, Step], prefix: str = "") -> Iterator[tuple[str, int]]:
    """Yield the path and number of nodes of each step and, last, ("", number of all)."""
    total = 0
    for name, step in steps.items():
        inner = 1
        if step.type in COMPOSITES:
            body = 0
            for path, n in count_nodes(body_of(step), f"{prefix}{name}."):
                if path:
                    yield path, n
                else:
                    body = n
            times = step.bound if step.type == "map" else getattr(step, "max_iterations", 1)
            inner = 2 + times * (body + (2 if step.type == "map" else 1))
        yield prefix + name, inner
        total += inner
    yield "", total

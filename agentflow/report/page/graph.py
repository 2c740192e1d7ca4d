"""Where the boxes and arrows of a workflow's graph stand: layers from left to right, composites as boxes of boxes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentflow.report.tree import kind_of
from agentflow.schema import Quorum, Workflow

WIDTH, HEIGHT = 138.0, 46.0
GAP_X, GAP_Y, GAP_ROW, PAD, HEAD = 38.0, 14.0, 35.0, 14.0, 26.0
LABEL = 24
"""Letters of an arrow's label that are shown."""

WIDEST = 1040.0
"""Width from which the top level's layers go on in a further row (px)."""


@dataclass(frozen=True)
class Box:
    """One step: its path, what is written in it, and where it stands (px)."""

    path: str
    name: str
    note: str
    kind: str
    composite: bool
    x: float
    y: float
    w: float
    h: float


Point = tuple[float, float]


@dataclass(frozen=True)
class Arrow:
    """One edge: a path's commands with their points, what is written on it and where, and whether it is a catch."""

    commands: tuple[tuple[str, tuple[Point, ...]], ...]
    label: str
    at: Point
    catch: bool

    @property
    def path(self) -> str:
        """The `d` of an SVG path."""
        return "".join(letter + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) for letter, points in self.commands)

    def moved(self, dx: float, dy: float) -> Arrow:
        """Return it elsewhere."""
        commands = tuple((letter, tuple((x + dx, y + dy) for x, y in points)) for letter, points in self.commands)
        return replace(self, commands=commands, at=(self.at[0] + dx, self.at[1] + dy))


@dataclass
class Picture:
    """A placed scope."""

    w: float
    h: float
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)

    def moved(self, x: float, y: float) -> Iterator[Box]:
        """Yield its boxes, moved."""
        for box in self.boxes:
            yield replace(box, x=box.x + x, y=box.y + y)


def draw_graph(workflow: Workflow) -> Picture:
    """Place all steps of a workflow."""
    return _scope(workflow.steps, "", WIDEST)


def _scope(steps: Mapping[str, Any], prefix: str, widest: float) -> Picture:
    inner = {name: _size(name, step, prefix) for name, step in steps.items()}
    layers = _layers(steps)
    gaps = [_gap(layer, steps) for layer in layers]
    top, width = 0.0, 0.0
    places: dict[str, tuple[float, float, int]] = {}
    for number, row in enumerate(_rows(layers, gaps, inner, widest)):
        heights = {i: sum(inner[n].h for n in layers[i]) + GAP_Y * (len(layers[i]) - 1) for i in row}
        tallest, x = max(heights.values()), 0.0
        for i in row:
            across, y = max(inner[n].w for n in layers[i]), top + (tallest - heights[i]) / 2
            x += gaps[i] if i != row[0] else 0.0
            for name in layers[i]:
                places[name] = (x + (across - inner[name].w) / 2, y, number)
                y += inner[name].h + GAP_Y
            x += across
        width = max(width, x)
        top += tallest + GAP_ROW
    picture = Picture(width, top - GAP_ROW)
    picture.arrows = list(_arrows(steps, inner, places))
    for name, (x, y, _) in places.items():
        picture.boxes += inner[name].moved(x, y)
        picture.arrows += [arrow.moved(x, y) for arrow in inner[name].arrows]
    return picture


def _gap(layer: list[str], steps: Mapping[str, Any]) -> float:
    """Room before a layer: the arrows into it, and what is written on them."""
    labels = [label for name in layer for _, label, _ in _sources(steps[name], name, steps)]
    return max([GAP_X, *(min(len(label), LABEL) * 6.3 + 22 for label in labels if label)])


def _size(name: str, step: Any, prefix: str) -> Picture:
    """Place one step at 0, 0: a leaf, or a composite with its body."""
    path = prefix + name
    body = getattr(step.workflow if step.type == "workflow" else step, "steps", None)
    if body is None:
        join = getattr(step, "join", "all")
        note = kind_of(step) + (
            f", joins {join.quorum}" if isinstance(join, Quorum) else ", joins any" if join == "any" else ""
        )
        return Picture(WIDTH, HEIGHT, [Box(path, name, note, step.type, False, 0, 0, WIDTH, HEIGHT)])
    inside = _scope(body, path + ".", 1e9)
    label = f"{name}: {kind_of(step)}"
    w, h = max(inside.w, 6.4 * len(label)) + 2 * PAD, inside.h + PAD + HEAD
    boxes = [Box(path, label, "", step.type, True, 0, 0, w, h), *inside.moved(PAD, HEAD)]
    return Picture(w, h, boxes, [arrow.moved(PAD, HEAD) for arrow in inside.arrows])


def _sources(step: Any, name: str, steps: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return what leads to a step: the source, the route or the errors, whether it is a catch."""
    found = [(source, route, False) for source, _, route in (need.partition(".") for need in step.needs)]
    for other, candidate in steps.items():
        found += [(other, ", ".join(c.errors), True) for c in candidate.catch if c.to == name]
    return [item for item in found if item[0] in steps]


def _layers(steps: Mapping[str, Any]) -> list[list[str]]:
    """Put each step one layer after the last of its sources; in a layer, near the middle of its sources."""
    sources = {name: [s for s, _, _ in _sources(step, name, steps)] for name, step in steps.items()}
    depth: dict[str, int] = {}
    todo = list(steps)
    while todo:
        ready = [name for name in todo if all(source in depth for source in sources[name])] or todo[:1]  # a circle
        for name in ready:
            depth[name] = max((depth[source] + 1 for source in sources[name] if source in depth), default=0)
        todo = [name for name in todo if name not in depth]
    layers = [[name for name in steps if depth[name] == d] for d in range(max(depth.values()) + 1)]
    place: dict[str, float] = {}
    for layer in layers:
        middle = {n: sum(place.get(s, 0.5) for s in sources[n]) / len(sources[n]) if sources[n] else 0.5 for n in layer}
        layer.sort(key=lambda n: middle[n])
        place |= {name: (i + 0.5) / len(layer) for i, name in enumerate(layer)}
    return layers


def _rows(layers: list[list[str]], gaps: list[float], inner: Mapping[str, Picture], widest: float) -> list[list[int]]:
    """Share the layers among as few rows as `widest` asks for, all about as wide."""
    whole = sum(max(inner[name].w for name in layer) + gap for layer, gap in zip(layers, gaps, strict=True))
    widest = min(widest, 1.15 * whole / math.ceil(whole / widest)) if whole > widest else widest
    rows: list[list[int]] = [[]]
    x = 0.0
    for i, layer in enumerate(layers):
        across = max(inner[name].w for name in layer)
        if rows[-1] and x + gaps[i] + across > widest:
            rows.append([])
            x = 0.0
        x += across + (gaps[i] if rows[-1] else 0.0)
        rows[-1].append(i)
    return rows


def _arrows(
    steps: Mapping[str, Any], inner: Mapping[str, Picture], places: Mapping[str, tuple[float, float, int]]
) -> Iterator[Arrow]:
    top: dict[int, float] = {}
    for _, y, row in places.values():
        top[row] = min(y, top.get(row, y))
    for name, step in steps.items():
        x2, y2, row2 = places[name]
        y2 += inner[name].h / 2
        for source, label, catch in _sources(step, name, steps):
            x1, y1, row1 = places[source]
            x1, y1 = x1 + inner[source].w, y1 + inner[source].h / 2
            if row1 == row2:
                bend = (x2 - x1) / 2
                curve = ((x1 + bend, y1), (x2 - bend, y2), (x2, y2))
                yield Arrow((("M", ((x1, y1),)), ("C", curve)), label, _along((x1, y1), *curve), catch)
                continue
            between = top[row2] - GAP_ROW / 2
            out = ((x1 + 28, y1), (x1 + 28, between), (x1, between))
            into = ((x2 - 28, between), (x2 - 28, y2), (x2, y2))
            commands = (("M", ((x1, y1),)), ("C", out), ("L", ((x2, between),)), ("C", into))
            yield Arrow(commands, label, ((x1 + x2) / 2, between), catch)


def _along(a: Point, b: Point, c: Point, d: Point) -> Point:
    """Return the point at 0.62 of a cubic curve: labels of arrows that fan out stand clear of one another there."""
    weights = [0.38**3, 3 * 0.38**2 * 0.62, 3 * 0.38 * 0.62**2, 0.62**3]
    x, y = (sum(w * p[i] for w, p in zip(weights, (a, b, c, d), strict=True)) for i in range(2))
    return x, y

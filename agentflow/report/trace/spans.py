"""What all timelines share: whole nanoseconds, the order of a visit's components, lanes for what is parallel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentflow.engine import Trace, Visit
from agentflow.errors import printable

# How a visit's time passes; what several attempts spent on one component is drawn as one piece.
_ORDER = ("wait", "client", "network", "queue", "prefill", "reasoning", "decode", "tool", "human", "backoff")


@dataclass(frozen=True)
class Piece:
    """One component of a visit, from `start` to `end` (ns)."""

    component: str
    start: int
    end: int


def nanoseconds(seconds: float) -> int:
    """Return whole nanoseconds, in which all formats count: what touches in seconds touches here."""
    return round(seconds * 1e9)


def ran(trace: Trace) -> list[Visit]:
    """Return the visits that took place, in the order of their starts; a composite before what is in it."""
    visits = [visit for visit in trace.visits if visit.status != "skipped"]
    return sorted(visits, key=lambda v: (v.start_s, -v.end_s, not v.composite, v.node))


def last_end(trace: Trace) -> float:
    """When the last visit of a run ended (s); never before the answer."""
    return max([trace.e2e_s, *(visit.end_s for visit in trace.visits)])


def pieces(visit: Visit) -> list[Piece]:
    """Lay a visit's components end to end; the last ends exactly where the visit does."""
    found: list[Piece] = []
    at = visit.start_s
    present = [name for name in _ORDER if visit.components_s.get(name, 0.0) > 0.0]
    for number, name in enumerate(present):
        start = nanoseconds(at)
        at += visit.components_s[name]
        end = nanoseconds(visit.end_s) if number == len(present) - 1 else min(nanoseconds(at), nanoseconds(visit.end_s))
        if end > start:
            found.append(Piece(name, start, end))
    return found


def title(visit: Visit) -> str:
    """Name a visit: its step's path, with the iterations and instances around it, counted from 1."""
    indices = ".".join(str(index + 1) for index in visit.indices)
    return printable(visit.step, 200) + (f" ({indices})" if indices else "")


def lanes(visits: Sequence[Visit]) -> Mapping[int, int]:
    """Give each visit (by node) a lane, so that in a lane every slice lies in the one before it or after it.

    Parameters
    ----------
    visits
        As `ran` returns them. A visit may lie in the slice of a composite around it, not in a stranger's.
    """
    parents = {visit.node: visit.parent for visit in visits}
    ends: list[list[tuple[int, int]]] = []  # by lane: the open slices, outermost first, as (node, end)
    found: dict[int, int] = {}
    for visit in visits:
        start, end = nanoseconds(visit.start_s), nanoseconds(visit.end_s)
        for stack in ends:
            while stack and stack[-1][1] <= start and stack[-1][1] < max(end, start + 1):
                stack.pop()
        lane = _lane(ends, _ancestors(visit.node, parents), end)
        if lane == len(ends):
            ends.append([])
        ends[lane].append((visit.node, end))
        found[visit.node] = lane
    return found


def _ancestors(node: int, parents: Mapping[int, int]) -> list[int]:
    found = []
    while (node := parents.get(node, -1)) >= 0:
        found.append(node)
    return found


def _lane(ends: Sequence[Sequence[tuple[int, int]]], ancestors: Sequence[int], end: int) -> int:
    """Return the lane whose innermost open slice is the nearest of the ancestors, else an empty one, else a new one."""
    inside = {stack[-1][0]: lane for lane, stack in reversed(list(enumerate(ends))) if stack and stack[-1][1] >= end}
    for ancestor in ancestors:
        if ancestor in inside:
            return inside[ancestor]
    return next((lane for lane, stack in enumerate(ends) if not stack), len(ends))

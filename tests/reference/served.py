"""Deployments and tables: waiting, prefill and the gaps between tokens, added up one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from agentflow.hardware import call_energy, deployment_law

_known: dict[int, Any] = {}  # by identity, each with its law, which so stays alive


@dataclass(frozen=True)
class Pace:
    """Gap i (from 1) between tokens takes `first` + `growth` i seconds, times `slow`."""

    first: float
    growth: float = 0.0
    slow: float = 1.0

    def slowed(self, factor: float) -> Pace:
        return replace(self, slow=self.slow * factor)

    def gap(self, i: int) -> float:
        return (self.first + self.growth * i) * self.slow

    def seconds(self, before: int, gaps: int) -> float:
        """Seconds of so many gaps after those before."""
        if self.growth == 0:
            return gaps * self.gap(0)
        return sum(self.gap(before + i) for i in range(1, gaps + 1))

    def tokens_in(self, before: int, seconds: float) -> int:
        """Gaps that are over after so many seconds."""
        if self.growth == 0:
            return int(seconds // self.gap(0))
        done, left = 0, seconds
        while left >= self.gap(before + done + 1):
            done += 1
            left -= self.gap(before + done)
        return done

    def first_above(self, before: int, bound: float, gaps: int) -> int | None:
        """Gaps before the first that is longer than a bound, if one of so many is."""
        return next((i for i in range(gaps) if self.gap(before + i + 1) > bound), None)


def deployed(law: Any, tokens: int, cached: int) -> tuple[float, float, Pace]:
    """Return waiting, prefill and pace of a call at a deployment."""
    found, _ = _compiled(law)
    prefill = found.prefill_fixed + found.prefill_per_token * (tokens - cached)
    prefill += found.prefill_per_token_squared * (tokens**2 - cached**2)
    return found.waiting, prefill, Pace(found.tpot(tokens), found.token_per_context)


def tabled(law: Any, tokens: int, cached: int) -> tuple[float, float, Pace]:
    """Return queue, prefill and pace of a call by measured curves."""
    queue, prefill, tpot = {}, {}, {}
    for length in {row.input_tokens or 0 for row in law.rows}:
        rows = sorted((r for r in law.rows if (r.input_tokens or 0) == length), key=lambda row: row.concurrency)
        ttft = _line([(row.concurrency, row.ttft) for row in rows], law.concurrency)
        prefill[length] = min(ttft, rows[0].ttft)
        queue[length] = ttft - prefill[length]
        tpot[length] = _line([(row.concurrency, row.tpot) for row in rows], law.concurrency)
    new = tokens - cached
    return _by_length(queue, new), _by_length(prefill, new), Pace(_by_length(tpot, tokens))


def _by_length(column: dict[int, float], tokens: int) -> float:
    points = sorted(column.items())
    if len(points) > 1 and tokens > points[-1][0]:
        (x0, y0), (x1, y1) = points[-2:]
        return max(y1, y1 + (y1 - y0) / (x1 - x0) * (tokens - x1))
    return _line(points, tokens)


def _line(points: list[tuple[float, float]], at: float) -> float:
    """Straight lines between points; flat outside."""
    if at <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if at <= x1:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return points[-1][1]


def energy(backend: Any, new_input: int, generated: int) -> float:
    """Joules of a call at a deployment whose watts are known."""
    found = None if backend.law.deployment is None else _compiled(backend.law.deployment)[1]
    return 0.0 if found is None else found[0] * new_input + found[1] * generated


def _compiled(law: Any) -> Any:
    """Return the numbers of a deployment's law and its joules, computed once."""
    if id(law) not in _known:
        load = (law.concurrency, law.input_tokens, law.output_tokens)
        _known[id(law)] = (law, deployment_law(law.deployment, *load), call_energy(law.deployment, *load))
    return _known[id(law)][1:]

"""Turns distributions, backends and steps into rows of the tables that the kernel reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from math import inf, log
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentflow.errors import PlanError
from agentflow.plan import layout as L
from agentflow.plan.laws import TABLE_COLUMNS, law_row, network_of
from agentflow.schema import Backend, Distribution, RetryPolicy

_AT = {"start": L.AT_START, "first_token": L.AT_FIRST, "end": L.AT_END}
_DEFAULT_AT = {
    "rate_limit": "start",
    "context_overflow": "start",
    "server_error": "first_token",
    "timeout": "end",
    "content_filter": "end",
    "invalid_output": "end",
    "budget_exceeded": "start",
}
HANG_S = 600.0
"""Length of a hang that nothing bounds (s): the default timeout of the OpenAI SDK."""

FAR, LARGEST = 9.0, 700.0
"""No normal draw is that far out; `exp` of no more than that fits into a float."""

NOT_PLAIN: tuple[list[int], list[float]] = ([L.UNFIT, *[0] * 9], [0.0] * (L.PLACE_FLOATS - L.P_CONTEXT))
"""Columns of a place that the short way through the kernel does not take."""

MOST_POINTS = 32
"""Points of a quantile table that is worth looking through in the hot path."""


def hash64(text: str) -> int:
    """Hash a name to 64 bits (BLAKE2b, little-endian)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def mask_of(errors: tuple[str, ...]) -> int:
    """Return the bits of a set of error names."""
    return sum(1 << L.ERRORS.index(name) for name in set(errors))


def array(rows: list[Any], columns: int, kind: type) -> NDArray[Any]:
    """Make a table of rows; at least one row, so that the kernel may read it."""
    made = L.aligned(np.zeros((max(1, len(rows)), columns), kind))
    if rows:
        made[: len(rows)] = rows
    return made


@dataclass
class Encoder:
    """Rows written so far; equal distributions and backends share theirs."""

    dist_i: list[list[int]] = field(default_factory=list)
    dist_f: list[list[float]] = field(default_factory=list)
    table: list[float] = field(default_factory=list)
    spec_i: list[list[int]] = field(default_factory=list)
    spec_f: list[list[float]] = field(default_factory=list)
    place_i: list[list[int]] = field(default_factory=list)
    place_f: list[list[float]] = field(default_factory=list)
    draws: list[list[int]] = field(default_factory=list)
    error_i: list[list[int]] = field(default_factory=list)
    error_f: list[list[float]] = field(default_factory=list)
    layer_i: list[list[int]] = field(default_factory=list)
    layer_f: list[list[float]] = field(default_factory=list)
    routes: list[float] = field(default_factory=list)
    backend_i: list[list[int]] = field(default_factory=list)
    backend_f: list[list[float]] = field(default_factory=list)
    backend_key: list[int] = field(default_factory=list)
    backends: list[Backend] = field(default_factory=list)
    priced: bool = True
    powered: bool = True
    _dists: dict[Any, int] = field(default_factory=dict)
    _backends: dict[str, list[tuple[Backend, int]]] = field(default_factory=dict)

    def dist(self, d: Distribution, counted: bool = False) -> int:
        """Return the row of a distribution; `counted` where a uniform one draws whole numbers."""
        key = (d, counted)
        if key not in self._dists:
            row = self._dist_row(d, counted)
            self.dist_i.append(row[0])
            self.dist_f.append([*row[1], 1.0][: L.DIST_FLOATS])
            self._dists[key] = len(self.dist_i) - 1
        return self._dists[key]

    def _dist_row(self, d: Any, counted: bool) -> tuple[list[int], list[float]]:
        shift = d.shift
        match d.family:
            case "constant":
                return [L.CONSTANT, 0, 0], [0.0, 0.0, 0.0, max(0.0, d.value + shift)]
            case "uniform":
                return [L.DISCRETE if counted else L.UNIFORM, 0, 0], [d.low, d.high, shift]
            case "normal":
                return [L.NORMAL, 0, 0], [d.mean, d.sd, shift]
            case "lognormal":
                return [L.LOGNORMAL, 0, 0], [d.mu, d.sigma, shift]
            case "exponential":
                return [L.EXPONENTIAL, 0, 0], [d.mean, 0.0, shift]
            case "weibull":
                return [L.WEIBULL, 0, 0], [d.scale, d.shape, shift]
            case "gamma":
                return [L.GAMMA, 0, 0], [d.mean * d.cv**2, 1.0 / d.cv**2, shift]
            case "quantiles":
                return self._quantiles(d)
            case "samples":
                off = self._put(sorted(d.values))
                return [L.SAMPLES, off, len(d.values)], [0.0, 0.0, shift]
            case "mixture":
                parts = [self.dist(part, counted) for part in d.parts]
                off = self._put([*np.cumsum(d.weights).tolist(), *parts])
                return [L.MIXTURE, off, len(parts)], [0.0, 0.0, shift]
        raise AssertionError(d.family)

    def _quantiles(self, d: Any) -> tuple[list[int], list[float]]:
        logs = all(x > 0 for _, x in d.points)
        normal = NormalDist()
        where = [normal.inv_cdf(p) if logs else p for p, _ in d.points]
        off = self._put([*where, *(log(x) if logs else x for _, x in d.points)])
        return [L.QUANTILES, off, len(d.points)], [1.0 if logs else 0.0, 0.0, d.shift]

    def _put(self, numbers: list[float]) -> int:
        self.table.extend(numbers)
        return len(self.table) - len(numbers)

    def backend(self, b: Backend) -> int:
        """Return the row of a backend; others of the same name share its draws, and have their own rows."""
        known = self._backends.setdefault(b.name, [])
        row = next((row for other, row in known if other is b or other == b), -1)
        if row < 0:
            price, cache, law = b.price, b.cache, law_row(b)
            m = b.law.measured
            stall = m.stall if m else None
            table = self._put(list(law.table))
            self.backend_i.append(
                [self.dist(stall.duration) if stall else -1, law.kind, table, len(law.table) // TABLE_COLUMNS]
            )
            self.backend_f.append(
                [
                    float(m.ttft_input_tokens) if m else 0.0,
                    law.per_token,
                    law.variation.between_runs,
                    law.variation.between_calls,
                    stall.probability if stall else 0.0,
                    float(b.context) if b.context else inf,
                    cache.hit_rate if cache else 0.0,
                    float(cache.min_tokens) if cache else 0.0,
                    float(cache.block) if cache else 1.0,
                    *_prices(price),
                    law.waiting,
                    law.fixed,
                    law.square,
                    law.token,
                    law.growth,
                    *(law.joules or (0.0, 0.0)),
                ]
            )
            self.backend_key.append(hash64("backend:" + b.name))
            self.backends.append(b)
            self.priced = self.priced and price is not None
            self.powered = self.powered and law.joules is not None
            row = len(self.backend_i) - 1
            known.append((b, row))
        return row

    def errors(self, step: Any, backend: Backend | None) -> tuple[int, int, float]:
        """Write the cumulated error probabilities of a step at a place: first row, end, total."""
        lo, total = len(self.error_i), 0.0
        theirs_all: Any = backend.errors if backend else {}
        for kind, name in enumerate(L.ERRORS):
            mine = (step.errors or {}).get(name)
            theirs = theirs_all.get(name)
            probability = sum(e.probability for e in (mine, theirs) if e)
            if not probability:
                continue
            total += probability

            def chosen(what: str, default: Any, pair: tuple[Any, Any] = (mine, theirs)) -> Any:
                found = [getattr(e, what) for e in pair if e and getattr(e, what) is not None]
                return found[0] if found else default

            retry_after = chosen("retry_after", None)
            row = [
                kind,
                _AT[chosen("at", _DEFAULT_AT[name])],
                -1 if retry_after is None else self.dist(retry_after),
            ]
            self.error_i.append(row)
            self.error_f.append([total, chosen("after", HANG_S)])
        return lo, len(self.error_i), total

    def layers(self, layers: tuple[RetryPolicy, ...]) -> tuple[int, int]:
        """Write retry layers, inside first."""
        lo = len(self.layer_i)
        for r in layers:
            self.layer_i.append([r.max_attempts, mask_of(r.on), int(r.respect_retry_after)])
            self.layer_f.append(
                [
                    r.initial_interval,
                    r.backoff_factor,
                    r.max_interval,
                    r.jitter,
                    r.jitter_add,
                    r.retry_after_cap,
                ]
            )
        return lo, len(self.layer_i)

    def route(self, routes: dict[str, float] | None) -> tuple[int, int]:
        """Write the cumulated probabilities of routes."""
        lo = len(self.routes)
        if routes:
            self.routes.extend(np.cumsum(list(routes.values())).tolist())
        return lo, len(self.routes)

    def place(self, step: Any, backend: Backend | None, takes: int) -> float:
        """Write a step at one backend (None: its own latency); returns the total error probability."""
        lo = len(self.draws)
        reasoning = network = output = 0
        bound = inf
        if backend is None:
            wait = step.duration if step.type == "wait" else step.latency
            self.draws.append([L.Q_LATENCY, self.dist(wait)])
            row = -1
        else:
            row = self.backend(backend)
            m = backend.law.measured
            if m is not None:
                self.draws.append([L.Q_TTFT, self.dist(m.ttft)])
                self.draws.append([L.Q_RATE, self.dist(m.decode_rate)])
            if (way := network_of(backend)) is not None:
                network = 1
                self.draws.append([L.Q_NETWORK, self.dist(way)])
            thinking = reasoning_of(step, backend)
            if thinking is not None:
                reasoning = 1
                self.draws.append([L.Q_REASONING, self.dist(thinking, True)])
            bound = float(min(step.max_tokens or inf, backend.max_output or inf))
        tokens = getattr(step, "output_tokens", None)
        if tokens is not None:
            output = 1
            self.draws.append([L.Q_OUTPUT, self.dist(tokens, True)])
        elif backend is not None:
            raise AssertionError("a model step has output tokens")
        first, end, total = self.errors(step, backend)
        shape, figures = (self._plain(step, backend, lo) if backend else None) or NOT_PLAIN
        row_i = [row, lo, len(self.draws), first, end, takes, reasoning, network, output, *shape]
        self.place_i.append(row_i)
        self.place_f.append([total, bound, *figures])
        return total

    def _plain(self, step: Any, backend: Backend, draws: int) -> tuple[list[int], list[float]] | None:
        """Return what the short way through the kernel wants of a call: columns from P_SHAPE and from P_CONTEXT on.

        None for a call that it cannot take.
        """
        f = self.backend_f[self.backend(backend)]
        if backend.law.measured is None or f[L.B_JOULE_IN] or f[L.B_JOULE_OUT]:
            return None
        tokens = step.input_tokens
        drawn = {q: d for q, d in self.draws[draws:]}
        lanes = [self.dist(tokens.own, True), *(drawn[q] for q in (L.Q_TTFT, L.Q_RATE, L.Q_OUTPUT))]
        tables = [self._points(d) for d in lanes]
        extras = L.VARIES if f[L.B_SD_RUN] or f[L.B_SD_CALL] else 0
        extras |= L.STALLS if f[L.B_STALL] else 0
        caches = f[L.B_HIT] and (getattr(step, "cached_input_tokens", None) is not None or tokens.history)
        if caches or L.Q_NETWORK in drawn or L.Q_REASONING in drawn:
            extras |= L.MORE_DRAWS
        most = max(1.0, float(getattr(step, "max_tokens", None) or 0.0))
        law = [f[L.B_CONTEXT], f[L.B_CONTEXT] - most, f[L.B_TTFT_INPUT], f[L.B_PREFILL], *_prices(backend.price)]
        if None in tables:
            return [L.ODD, extras, *lanes, *[0] * 4], [*law, *[0.0] * 16]
        found = [points for points in tables if points is not None]
        shape = L.BENT if any(n for _, n in found) else L.STRAIGHT
        rows = [
            self.dist_f[d] if n == 0 else [0.0, 0.0, self.dist_f[d][L.D_SHIFT], 1.0]
            for d, (_, n) in zip(lanes, found, strict=True)
        ]
        columns = [row[column] for column in range(L.DIST_FLOATS) for row in rows]
        return [shape, extras, *(at for at, _ in found), *(n for _, n in found)], [*law, *columns]

    def _points(self, d: int) -> tuple[int, int] | None:
        """Return a distribution's quantile table and its number of points, 0 if lognormal; None if it is neither."""
        (family, at, n), f = self.dist_i[d], self.dist_f[d]
        if family <= L.LOGNORMAL:
            return (0, 0) if abs(f[L.D_P0]) + FAR * abs(f[L.D_P1]) < LARGEST else None
        if family != L.QUANTILES or f[L.D_P0] == 0.0 or not 2 <= n <= MOST_POINTS:
            return None
        where, logs = self.table[at : at + n], self.table[at + n : at + 2 * n]
        ends = [(logs[i + 1] - logs[i]) / (where[i + 1] - where[i]) for i in (0, n - 2)]
        reach = max(abs(logs[0]) + ends[0] * (FAR + where[0]), abs(logs[-1]) + ends[1] * (FAR - where[-1]))
        return (at, n) if reach < LARGEST else None


def reasoning_of(step: Any, backend: Backend) -> Any:
    """Return the law of a step's reasoning tokens at a backend: the step's own, or the model's at the step's effort.

    Raises
    ------
    PlanError
        If the model thinks, but not at that effort.
    """
    efforts = backend.law.measured.thinking if backend.law.measured is not None else {}
    if step.reasoning_tokens is not None or step.effort is None or not efforts:
        return step.reasoning_tokens
    if step.effort not in efforts:
        known = ", ".join(efforts)
        raise PlanError(f"{backend.name} has no effort '{step.effort}'; it has {known}, or give reasoning_tokens")
    return efforts[step.effort]


def _prices(price: Any) -> list[float]:
    if price is None:
        return [0.0] * 5
    cached = price.input if price.cached_input is None else price.cached_input
    reasoning = price.output if price.reasoning is None else price.reasoning
    return [price.input, cached, price.output, reasoning, price.per_call]

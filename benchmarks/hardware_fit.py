"""Fit the engines' efficiency constants on the measured rows.

A constant is a product of a common value and of factors for the engine, its release, and the chip family,
each pulled towards 1: what a release does not show is taken from its siblings, so that pairs never seen are
still predicted. The residual is the relative error itself, less steep beyond 15 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from agentflow.hardware.capacity import memory_fit
from agentflow.hardware.demand import Demand, decode_demand, prefill_demand
from agentflow.hardware.timing import prefill_work, step_time
from benchmarks.hardware_data import Serving

# name: (common value, log-sd of it, {factor: log-sd}); factors: e release, g engine, f family
DECODE: dict[str, tuple[float, float, dict[str, float]]] = {
    "step_overhead": (0.7e-3, 0.5, {"e": 0.3}),
    "layer_overhead": (30e-6, 0.5, {"e": 0.2, "f": 0.2}),
    "moe_layer_overhead": (25e-6, 0.5, {"e": 0.4, "f": 0.3}),
    "mla_layer_overhead": (20e-6, 1.0, {"g": 0.3, "f": 0.3}),
    "indexer_overhead": (50e-6, 1.0, {}),
    "linear_layer_overhead": (30e-6, 1.0, {}),
    "sequence_overhead": (15e-6, 0.7, {"e": 0.4, "f": 0.2}),
    "bandwidth": (0.75, 0.1, {"f": 0.1, "g": 0.05}),
    "expert_bandwidth": (0.65, 0.15, {"f": 0.15, "g": 0.1}),
    "kv_bandwidth": (0.6, 0.2, {"g": 0.15}),
    "compute": (0.5, 0.2, {"f": 0.15, "g": 0.15}),
    "expert_compute_mixed": (0.15, 0.4, {"f": 0.3, "g": 0.3}),
    "four_bit_cost": (1.0, 0.3, {}),
    "int4_cost": (1.0, 0.4, {"f": 0.4}),
    "allreduce_latency": (8e-6, 0.4, {"f": 0.2, "g": 0.2}),
    "link": (0.3, 0.4, {"f": 0.2, "g": 0.2}),
    "interference": (1.0, 0.15, {"g": 0.15, "e": 0.4}),
    "tokens_per_step": (2.4, 0.2, {"g": 0.25}),
}
FIRST: dict[str, tuple[float, float, dict[str, float]]] = {
    "request_overhead": (0.03, 0.5, {"e": 0.5}),
    "host_layer_prefill": (0.7e-3, 0.5, {"e": 0.3}),
    "host_moe_layer_prefill": (0.7e-3, 0.7, {"e": 0.4}),
    "prefill_steps": (1.5, 0.5, {"g": 0.3}),
    "expert_compute": (0.25, 0.4, {"f": 0.2, "e": 0.6}),
    "queueing": (0.5, 0.4, {"g": 0.2}),
    "clumping": (0.1, 0.5, {"e": 0.25}),
    "queue_cost": (1e-3, 0.7, {"e": 0.3}),
    "speculation_prefill": (1.3, 0.3, {"g": 0.2}),
}
# TensorRT-LLM admits a request only when its whole answer has room; the others count on answers ending at
# different times, and evict when they do not.
RESERVED = {"tensorrt": 1.0, "sglang": 0.7, "vllm": 0.6}
LIMIT = {
    "bandwidth": 0.92, "expert_bandwidth": 0.92, "kv_bandwidth": 0.92, "link": 0.92,
    "compute": 0.75, "expert_compute": 0.75, "expert_compute_mixed": 0.75,
}  # fmt: skip  # what well-tuned kernels reach


def family_of(row: Serving) -> str:
    """Name the chip's family."""
    return row.deployment.chip.family


@dataclass
class Table:
    """Rows as arrays: demands of a decode step and of a prefill, loads, measurements, and group indices."""

    decode: Demand
    prefill: Demand
    running: Any
    rank: Any
    beyond: Any
    output: Any
    layers: Any
    draft: Any
    tpot: Any
    ttft: Any
    groups: dict[str, Any]
    names: dict[str, list[str]]

    def take(self, keep: Any) -> Table:
        """Keep some of the rows."""

        def cut(value: Any) -> Any:
            if isinstance(value, Demand):
                return Demand(*(getattr(value, f.name)[keep] for f in fields(Demand)))
            return value[keep]

        rest = {f.name: cut(getattr(self, f.name)) for f in fields(self) if f.name not in ("groups", "names")}
        return Table(**rest, groups={k: v[keep] for k, v in self.groups.items()}, names=self.names)


def _stack(demands: Sequence[Demand]) -> Demand:
    columns: list[Any] = [np.array([getattr(d, f.name) for d in demands], float) for f in fields(Demand)]
    return Demand(*columns)


def table(rows: Sequence[Serving], names: dict[str, list[str]] | None = None) -> Table:
    """Compute the demands of rows once."""
    running = np.array([_running(row) for row in rows])
    draft = np.array([r.deployment.speculation.draft_tokens if r.deployment.speculation else 0.0 for r in rows])
    decode = [
        decode_demand(r.deployment, n, r.input_tokens + r.output_tokens / 2, 1.0 + k)
        for r, n, k in zip(rows, running, draft, strict=True)
    ]
    labels = {
        "e": [r.engine for r in rows],
        "g": [r.engine.split("-")[0] for r in rows],
        "f": [family_of(r) for r in rows],
    }
    names = names or {key: sorted(set(values)) for key, values in labels.items()}
    groups = {k: np.array([names[k].index(v) for v in values]) for k, values in labels.items()}
    ranks = np.array([r.deployment.attention_data_parallel for r in rows], float)
    wanted = np.array([r.concurrency for r in rows])
    return Table(
        _stack(decode), _stack([prefill_demand(r.deployment, r.input_tokens) for r in rows]),
        running, running / ranks,
        np.maximum(wanted - running, 0) / running, np.array([r.output_tokens for r in rows]),
        np.array([r.deployment.model.layers for r in rows], float),
        draft, np.array([r.tpot for r in rows]), np.array([r.ttft for r in rows]), groups, names,
    )  # fmt: skip


def _running(row: Serving) -> float:
    reserved = RESERVED[row.engine.split("-")[0]]
    fit = memory_fit(row.deployment, row.input_tokens + reserved * row.output_tokens)
    return min(row.concurrency, max(fit.sequences, 1.0))


class Fit:
    """Constants as functions of a vector of logarithms."""

    def __init__(self, spec: dict[str, tuple[float, float, dict[str, float]]], names: dict[str, list[str]]) -> None:
        self.spec, self.names = spec, names
        self.at: dict[str, list[tuple[str, int]]] = {}
        start: list[float] = []
        width: list[float] = []
        for name, (value, sd, factors) in spec.items():
            self.at[name] = [("", len(start))]
            start.append(float(np.log(value)))
            width.append(sd)
            for key, factor_sd in factors.items():
                self.at[name].append((key, len(start)))
                start += [0.0] * len(names[key])
                width += [factor_sd] * len(names[key])
        self.start, self.width = np.array(start), np.array(width)

    def values(self, vector: Any, groups: dict[str, Any]) -> dict[str, Any]:
        """Every constant, for the given rows."""
        out: dict[str, Any] = {}
        for name, places in self.at.items():
            log = vector[places[0][1]]
            for key, first in places[1:]:
                log = log + vector[first + groups[key]]
            out[name] = np.minimum(np.exp(log), LIMIT.get(name, np.inf))
        return out


HANDED_ON = 1.0  # assumed: every kernel of these engines hands on through memory
DEFAULTS: dict[str, Any] = {
    "handed_on": HANDED_ON,
    "mesh_latency": 0.0,
    "host_layer": 0.0,
    "sequence_overhead_prefill": 0.0,
    "link_large": None,
    "large_message": 1e15,
}


def predict_tpot(c: dict[str, Any], t: Table) -> tuple[Any, Any]:
    """TPOT; and seconds of a step and of decoding a token; as `serving` computes them."""
    space: Any = SimpleNamespace(**DEFAULTS, **c)
    step = step_time(t.decode, space).total * (1 + t.draft * 1.5 / t.layers)
    own = step / np.where(t.draft > 0, c["tokens_per_step"], 1.0)
    work = prefill_work(t.prefill, space, mixed=True)
    return own + c["interference"] * np.maximum(t.rank - 1, 0.0) * work / t.output, (step, own)


def predict_ttft(c: dict[str, Any], t: Table, parts: tuple[Any, Any]) -> Any:
    """TTFT as `serving.first_token` computes it."""
    tpot, (step, own) = parts
    space: Any = SimpleNamespace(**DEFAULTS, **c)
    work = prefill_work(t.prefill, space)
    alone = step_time(t.prefill, space, prefill=True).total
    decoding = t.output * own
    rest = decoding - work * t.rank
    behind = np.maximum((-rest + np.sqrt(rest * rest + 4 * work * decoding)) / 2 - work, 0.0)
    clumped = (c["clumping"] * work + c["queue_cost"]) * np.maximum(t.rank - 1, 0.0)
    handling = c["request_overhead"] * np.where(t.draft > 0, c["speculation_prefill"], 1.0)
    return handling + alone + c["prefill_steps"] * step + c["queueing"] * behind + clumped + t.beyond * t.output * tpot


def solve(fit: Fit, t: Table, predict: Any, measured: Any, start: Any = None, pull: float = 0.12) -> Any:
    """Minimise the relative errors."""
    x0 = fit.start if start is None else start

    def residuals(vector: Any) -> Any:
        error = predict(fit.values(vector, t.groups)) / measured - 1
        return np.concatenate([error, pull * (vector - fit.start) / fit.width])

    return least_squares(residuals, x0, loss="soft_l1", f_scale=0.15, max_nfev=200, x_scale=fit.width).x


@dataclass
class Fitted:
    """Both fits."""

    decode: Fit
    first: Fit
    decode_at: Any
    first_at: Any

    def constants(self, groups: dict[str, Any]) -> dict[str, Any]:
        """All constants for rows."""
        return self.decode.values(self.decode_at, groups) | self.first.values(self.first_at, groups)

    def predict(self, t: Table) -> tuple[Any, Any]:
        """TPOT and TTFT."""
        c = self.constants(t.groups)
        parts = predict_tpot(c, t)
        return parts[0], predict_ttft(c, t, parts)


def fit_serving(t: Table, warm: Fitted | None = None) -> Fitted:
    """Fit decode constants on TPOT, then those of the first token on TTFT."""
    decode, first = Fit(DECODE, t.names), Fit(FIRST, t.names)
    decode_at = solve(decode, t, lambda c: predict_tpot(c, t)[0], t.tpot, warm.decode_at if warm else None)
    fixed = decode.values(decode_at, t.groups)
    parts = predict_tpot(fixed, t)
    first_at = solve(first, t, lambda c: predict_ttft(fixed | c, t, parts), t.ttft, warm.first_at if warm else None)
    return Fitted(decode, first, decode_at, first_at)

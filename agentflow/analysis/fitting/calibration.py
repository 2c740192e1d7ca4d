"""What a calibration hands back: a profile, and measured quantiles beside the profile's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentflow.analysis.fitting.fit import Fit
from agentflow.analysis.fitting.laws import draw, quantile
from agentflow.estimate import Estimate
from agentflow.schema import Backend, Distribution, Measured

Floats = NDArray[np.float64]

DRAWS = 40_000
"""Draws behind a fitted E2E quantile: its own error is below 1 % at p95."""


@dataclass(frozen=True)
class QuantileRow:
    """One quantile: what was measured (with its interval) beside what the profile gives.

    `quantity` is "ttft_s", "decode_rate" (tokens/s) or "e2e_s".
    """

    quantity: str
    probability: float
    measured: Estimate
    fitted: float

    @property
    def error(self) -> float:
        """Relative error of the fitted value."""
        return self.fitted / self.measured.value - 1.0


@dataclass(frozen=True)
class Calibration:
    """A profile and the account of its fit.

    Attributes
    ----------
    backend
        The profile, evidence included.
    ttft, decode_rate
        How each law was chosen.
    quantiles
        Measured beside fitted.
    qq
        "ttft_s" and "decode_rate" -> (fitted, measured) values, both ascending, one pair a request.
    answered, failed
        Number of requests.
    notes
        What the data cannot support, and what was done with them; for people to read.
    """

    backend: Backend
    ttft: Fit
    decode_rate: Fit
    quantiles: tuple[QuantileRow, ...]
    qq: Mapping[str, tuple[Floats, Floats]]
    answered: int
    failed: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object of ``agentflow calibrate --json``."""
        return {
            "schema_version": 1,
            "backend": self.backend.model_dump(mode="json", exclude_none=True),
            "answered": self.answered,
            "failed": dict(self.failed),
            "families": {name: _fit_dict(f) for name, f in (("ttft", self.ttft), ("decode_rate", self.decode_rate))},
            "quantiles": [
                {
                    "quantity": row.quantity,
                    "p": row.probability,
                    "measured": row.measured.as_dict(),
                    "fitted": row.fitted,
                    "error": row.error,
                }
                for row in self.quantiles
            ],
            "notes": list(self.notes),
        }


def e2e_draws(
    measured: Measured, input_tokens: NDArray[np.int64], output_tokens: NDArray[np.int64], seed: int = 0
) -> Floats:
    """Draw E2E times of one call each from the measured law, without errors and network.

    Parameters
    ----------
    measured : Measured
        The law.
    input_tokens, output_tokens : ndarray, shape (k,)
        Token counts to cycle through; -1 inputs count as the law's own reference.
    seed : int
        Of the draws.

    Returns
    -------
    ndarray
        About `DRAWS` values (s), every request's tokens equally often.
    """
    rng = np.random.default_rng(seed)
    repeats = max(1, DRAWS // len(output_tokens))
    n = repeats * len(output_tokens)
    time = draw(measured.ttft, n, rng)
    if measured.prefill_rate is not None:
        beyond = np.maximum(input_tokens - measured.ttft_input_tokens, 0)
        time += np.tile(beyond / measured.prefill_rate, repeats)
    rate = np.maximum(draw(measured.decode_rate, n, rng), 1e-9)
    time += np.tile(np.maximum(output_tokens - 1, 0), repeats) / rate
    time *= np.exp(measured.variation.between_runs * rng.standard_normal(n))
    if measured.stall is not None:
        time += (rng.uniform(size=n) < measured.stall.probability) * draw(measured.stall.duration, n, rng)
    return time


def fitted_rows(
    quantity: str,
    law: Distribution | Floats,
    measured: Sequence[tuple[float, Estimate]],
) -> list[QuantileRow]:
    """Set measured quantiles beside a law's, or beside those of sorted draws."""
    rows = []
    for p, value in measured:
        fitted = np.quantile(law, p) if isinstance(law, np.ndarray) else quantile(law, [p])[0]
        rows.append(QuantileRow(quantity, p, value, float(fitted)))
    return rows


def qq_pairs(law: Distribution, values: Floats) -> tuple[Floats, Floats]:
    """Return fitted and measured quantiles at the probabilities (i + 1/2)/n, both ascending."""
    p = (np.arange(len(values)) + 0.5) / len(values)
    return quantile(law, p), np.sort(values)


def _fit_dict(f: Fit) -> dict[str, Any]:
    candidates = [{"family": c.family, "score": c.score, "error": c.error} for c in f.candidates]
    return {"family": f.family, "n": f.n, "candidates": candidates, "note": f.note}

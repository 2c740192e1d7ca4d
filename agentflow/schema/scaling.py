"""The same distribution, so many times as large; and what it rarely falls below."""

from __future__ import annotations

from math import exp, log
from typing import Any

from agentflow.schema.distribution import Z95, Constant, Mixture, Quantiles, Samples

_SCALED = {
    "constant": ("value",),
    "uniform": ("low", "high"),
    "normal": ("mean", "sd"),
    "exponential": ("mean",),
    "gamma": ("mean",),
    "weibull": ("scale",),
}


def scaled(d: Any, factor: float) -> Any:
    """Return the distribution of `factor` times a value; its draws are `factor` times the draws of `d`.

    Parameters
    ----------
    d : Distribution
    factor : float
        0 or more.
    """
    if factor == 0.0:
        return Constant(value=0.0)
    shift = d.shift * factor
    match d.family:
        case "lognormal":
            return d.model_copy(update={"mu": d.mu + log(factor), "shift": shift})
        case "quantiles":
            return Quantiles.model_construct(points=tuple((p, x * factor) for p, x in d.points), shift=shift)
        case "samples":
            return Samples.model_construct(values=tuple(x * factor for x in d.values), shift=shift)
        case "mixture":
            parts = tuple(scaled(part, factor) for part in d.parts)
            return Mixture.model_construct(weights=d.weights, parts=parts, shift=shift)
    changed = {name: getattr(d, name) * factor for name in _SCALED[d.family]}
    return d.model_copy(update={**changed, "shift": shift})


def lower(d: Any) -> float:
    """Return what a distribution falls below in about one case of twenty; 0 where there is no short formula."""
    match d.family:
        case "constant":
            x = d.value
        case "uniform":
            x = d.low + 0.05 * (d.high - d.low)
        case "normal":
            x = d.mean - Z95 * d.sd
        case "lognormal":
            x = exp(d.mu - Z95 * d.sigma)
        case "exponential":
            x = -d.mean * log(0.95)
        case "weibull":
            x = d.scale * (-log(0.95)) ** (1.0 / d.shape)
        case "quantiles":
            x = min(d.points, key=lambda point: abs(point[0] - 0.05))[1]
        case "samples":
            x = d.values[len(d.values) // 20]
        case "mixture":
            x = min(lower(part) for part in d.parts)
        case _:
            return max(0.0, float(d.shift))
    return max(0.0, float(x + d.shift))

"""From a draw to a value: each family of distributions by inverse transform."""

from __future__ import annotations

import math
from typing import Any

from tests.reference import keys


def duration(law: Any, draw: int) -> float:
    """Seconds (or tokens a second), never below 0."""
    return max(0.0, _value(law, draw, whole=False))


def count(law: Any, draw: int) -> int:
    """A whole number of tokens or instances."""
    return math.floor(amount(law, draw) + 0.5)


def amount(law: Any, draw: int) -> float:
    """Tokens before rounding: what is summed first and rounded once. Uniform laws are whole by themselves."""
    return max(0.0, _value(law, draw, whole=True))


def _value(law: Any, draw: int, whole: bool) -> float:
    family = law.family
    if family == "mixture":
        return float(_mixture(law, draw, whole) + law.shift)
    if family == "gamma":
        return float(_gamma(law.mean, law.cv, draw) + law.shift)
    u = keys.uniform(draw)
    if family == "constant":
        x = law.value
    elif family == "uniform":
        x = _uniform(law.low, law.high, u, whole)
    elif family == "normal":
        x = max(0.0, law.mean + law.sd * keys.normal_quantile(u))
    elif family == "lognormal":
        x = math.exp(law.mu + law.sigma * keys.normal_quantile(u))
    elif family == "exponential":
        x = -law.mean * math.log(1 - u)
    elif family == "weibull":
        x = law.scale * (-math.log(1 - u)) ** (1 / law.shape)
    elif family == "samples":
        x = sorted(law.values)[math.floor(u * len(law.values))]
    elif family == "quantiles":
        x = _quantiles(law.points, u)
    else:
        raise NotImplementedError(family)
    return float(x + law.shift)


def _uniform(low: float, high: float, u: float, whole: bool) -> float:
    if whole:
        return float(math.floor(low + (high - low + 1) * u))
    return low + (high - low) * u


def _mixture(law: Any, draw: int, whole: bool) -> float:
    u = keys.uniform(draw)
    cumulated = 0.0
    chosen = law.parts[-1]
    for weight, part in zip(law.weights, law.parts, strict=True):
        cumulated += weight
        if u < cumulated:
            chosen = part
            break
    return _value(chosen, keys.sub_key(draw, 1), whole)


def _gamma(mean: float, cv: float, draw: int) -> float:
    """Marsaglia-Tsang (2000), with their power trick for shapes below 1."""
    shape = 1 / cv**2
    scale = mean * cv**2
    d = (shape if shape >= 1 else shape + 1) - 1 / 3
    c = 1 / math.sqrt(9 * d)
    j = 0
    while True:
        z = keys.normal(keys.sub_key(draw, 2 * j + 1))
        v = keys.uniform(keys.sub_key(draw, 2 * j + 2))
        t = (1 + c * z) ** 3
        if t > 0 and math.log(v) < z * z / 2 + d - d * t + d * math.log(t):
            break
        j += 1
    boost = 1.0 if shape >= 1 else keys.uniform(draw) ** (1 / shape)
    return d * t * scale * boost


def _quantiles(points: tuple[tuple[float, float], ...], u: float) -> float:
    if all(x > 0 for _, x in points):
        line = [(keys.normal_quantile(p), math.log(x)) for p, x in points]
        return math.exp(_on_line(line, keys.normal_quantile(u), flat=False))
    return _on_line([(p, x) for p, x in points], u, flat=True)


def _on_line(line: list[tuple[float, float]], at: float, flat: bool) -> float:
    """Linear between the points; beyond the outer ones flat, or going on at the outer slope."""
    if flat and at <= line[0][0]:
        return line[0][1]
    if flat and at >= line[-1][0]:
        return line[-1][1]
    segment = 0
    while segment < len(line) - 2 and at > line[segment + 1][0]:
        segment += 1
    (x0, y0), (x1, y1) = line[segment], line[segment + 1]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)

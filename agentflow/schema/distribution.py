"""Distributions of durations, token counts and rates: frozen models in SI units, and the forms users write."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from math import exp, inf, isfinite, log
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from agentflow import units
from agentflow.errors import did_you_mean, listed, quoted
from agentflow.schema._base import Found, Items, Model, problems
from agentflow.schema.scalars import COUNT_TEXT, DURATION_TEXT

Z95 = 1.6448536269514722
"""The 95th percentile of the standard normal distribution."""

_BOUND = {"duration": 1e8, "count": 1e9, "rate": 1e9}
_WAY = {
    "duration": "write a duration such as 250ms or 1.5s, or a distribution such as {lognormal: {p50: 0.8s, p95: 3s}}",
    "count": "write a number such as 900 or 1.2k, or a distribution such as {lognormal: {p50: 250, p95: 600}}",
    "rate": "write a rate such as 80 tok/s, or a distribution such as {quantiles: {p5: 60 tok/s, p50: 80 tok/s}}",
}
_PARSE: dict[str, Callable[..., float]] = {
    "duration": units.parse_duration,
    "count": units.parse_count,
    "rate": units.parse_rate,
}


class _Base(Model):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    family: ClassVar[str] = ""
    shift: float = 0.0


class Constant(_Base):
    """Always the same value."""

    family: ClassVar[str] = "constant"
    value: float


class Uniform(_Base):
    """Any value between two bounds; a count any whole number, both bounds included."""

    family: ClassVar[str] = "uniform"
    low: float
    high: float


class Normal(_Base):
    """A normal distribution, cut at 0."""

    family: ClassVar[str] = "normal"
    mean: float
    sd: float


class LogNormal(_Base):
    """exp(mu + sigma z): `exp(mu)` is the median, in SI units."""

    family: ClassVar[str] = "lognormal"
    mu: float
    sigma: float


class Exponential(_Base):
    """An exponential distribution."""

    family: ClassVar[str] = "exponential"
    mean: float


class Gamma(_Base):
    """A gamma distribution by its mean and coefficient of variation."""

    family: ClassVar[str] = "gamma"
    mean: float
    cv: float


class Weibull(_Base):
    """A Weibull distribution."""

    family: ClassVar[str] = "weibull"
    scale: float
    shape: float


class Quantiles(_Base):
    """A table of (probability, value), both ascending; a piecewise lognormal where all values are positive."""

    family: ClassVar[str] = "quantiles"
    points: Items[Items[float]]


class Samples(_Base):
    """Measured values, each as likely as the others."""

    family: ClassVar[str] = "samples"
    values: Items[float]


class Mixture(_Base):
    """One of several distributions, by weight (they add up to 1)."""

    family: ClassVar[str] = "mixture"
    weights: Items[float]
    parts: Items[Any]


Distribution = Constant | Uniform | Normal | LogNormal | Exponential | Gamma | Weibull | Quantiles | Samples | Mixture
FAMILY_CLASSES = (
    Constant,
    Uniform,
    Normal,
    LogNormal,
    Exponential,
    Gamma,
    Weibull,
    Quantiles,
    Samples,
    Mixture,
)
FAMILIES = tuple(c.family for c in FAMILY_CLASSES if c is not Constant)


class _Reader:
    """Reads one written distribution and collects everything wrong with it."""

    def __init__(self, dimension: str) -> None:
        self.dimension = dimension
        self.found: list[Found] = []

    def wrong(self, at: tuple[str | int, ...], message: str, way: str | None = None) -> float:
        self.found.append((at, message, way or _WAY[self.dimension]))
        return 1.0

    def number(self, value: Any, at: tuple[str | int, ...], *, signed: bool = False, least: float = -inf) -> float:
        """Read a number of the dimension."""
        try:
            x = _PARSE[self.dimension](value, signed=True)
        except (ValueError, TypeError) as error:
            return self.wrong(at, str(error))
        if x < 0 and not signed:
            return self.wrong(at, f"must not be negative, but is {quoted(value)}", "write 0 or more")
        if abs(x) > _BOUND[self.dimension]:
            return self.wrong(at, f"{quoted(value)} is too large", "check the unit")
        if x <= least and not signed:
            return self.wrong(at, f"must be above {least:g}, but is {quoted(value)}", "write a larger value")
        return x

    def plain(self, value: Any, at: tuple[str | int, ...], *, above: float = -inf, most: float = 1e9) -> float:
        """Read a number without a unit."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            return self.wrong(at, f"must be a number, not {quoted(value)}", "write a number such as 0.5")
        if value <= above:
            return self.wrong(at, f"must be above {above:g}, but is {quoted(value)}", "write a larger number")
        if value > most:
            return self.wrong(at, f"must be at most {most:g}, but is {quoted(value)}", "write a smaller number")
        return float(value)

    def keys(self, value: Any, at: tuple[str | int, ...], *choices: tuple[str, ...]) -> tuple[str, ...] | None:
        """Check that a mapping has just the keys of one of the choices, and return that choice."""
        form = " or ".join("{" + ", ".join(f"{k}: .." for k in choice) + "}" for choice in choices)
        if not isinstance(value, Mapping):
            self.wrong(at, f"must be a mapping, not {quoted(value)}", f"write {form}")
            return None
        for choice in choices:
            if set(value) == set(choice):
                return choice
        known = {k for choice in choices for k in choice}
        strange = [k for k in value if k not in known]
        if strange:
            near = did_you_mean(str(strange[0]), known)
            way = f"did you mean '{near}'?" if near else f"write {form}"
            self.wrong((*at, str(strange[0])), f"unknown key {quoted(strange[0])}", way)
        else:
            self.wrong(at, "does not have the keys that it needs", f"write {form}")
        return None

    def read(self, value: Any, at: tuple[str | int, ...] = ()) -> Any:
        """Read a distribution."""
        if isinstance(value, FAMILY_CLASSES):
            return value
        if not isinstance(value, Mapping):
            return Constant.model_construct(value=self.number(value, at), shift=0.0)
        if value and all(isinstance(k, str) and _probability(k) is not None for k in value):
            inner = ", ".join(f"{k}: .." for k in value)
            family = "lognormal" if set(value) == {"p50", "p95"} else "quantiles"
            self.wrong(at, "quantiles without the name of their distribution", f"write {{{family}: {{{inner}}}}}")
            return None
        families = [k for k in value if k in FAMILIES]
        for key in value:
            if key not in FAMILIES and key != "shift":
                near = did_you_mean(str(key), FAMILIES)
                way = f"did you mean '{near}'?" if near else f"the families are {listed(FAMILIES)}"
                self.wrong((*at, str(key)), f"no distribution is named {quoted(key)}", way)
        if len(families) != 1:
            if not self.found or len(families) > 1:
                self.wrong(
                    at,
                    f"names {len(families)} distributions, not one",
                    f"the families are {listed(FAMILIES)}",
                )
            return None
        name = families[0]
        shift = self.number(value["shift"], (*at, "shift"), signed=True) if "shift" in value else 0.0
        made = getattr(self, "_" + name)(value[name], (*at, name))
        return None if made is None else made.model_copy(update={"shift": shift})

    def _uniform(self, v: Any, at: tuple[str | int, ...]) -> Any:
        if not isinstance(v, list | tuple) or len(v) != 2:
            return self.wrong(at, "must be a list of two bounds", "write {uniform: [2, 5]}") and None
        low, high = (self.number(x, (*at, i)) for i, x in enumerate(v))
        if low > high and not self.found:
            self.wrong(at, "the bounds are the wrong way round", "write the lower bound first")
        return Uniform.model_construct(low=low, high=high)

    def _normal(self, v: Any, at: tuple[str | int, ...]) -> Any:
        if self.keys(v, at, ("mean", "sd")) is None:
            return None
        mean, sd = self.number(v["mean"], (*at, "mean")), self.number(v["sd"], (*at, "sd"))
        return Normal.model_construct(mean=mean, sd=sd)

    def _lognormal(self, v: Any, at: tuple[str | int, ...]) -> Any:
        choice = self.keys(v, at, ("p50", "p95"), ("mu", "sigma"))
        if choice is None:
            return None
        if choice == ("mu", "sigma"):
            mu = self.plain(v["mu"], (*at, "mu"), above=-50.0, most=21.0)
            return LogNormal.model_construct(
                mu=mu, sigma=self.plain(v["sigma"], (*at, "sigma"), above=-1e-300, most=10.0)
            )
        p50 = self.number(v["p50"], (*at, "p50"), least=0.0)
        p95 = self.number(v["p95"], (*at, "p95"), least=0.0)
        if p95 < p50 and not self.found:
            self.wrong((*at, "p95"), "the p95 is below the p50", "swap them")
        if self.found:
            return None
        return LogNormal.model_construct(mu=log(p50), sigma=log(p95 / p50) / Z95)

    def _exponential(self, v: Any, at: tuple[str | int, ...]) -> Any:
        if self.keys(v, at, ("mean",)) is None:
            return None
        return Exponential.model_construct(mean=self.number(v["mean"], (*at, "mean"), least=0.0))

    def _gamma(self, v: Any, at: tuple[str | int, ...]) -> Any:
        if self.keys(v, at, ("mean", "cv")) is None:
            return None
        mean = self.number(v["mean"], (*at, "mean"), least=0.0)
        return Gamma.model_construct(mean=mean, cv=self.plain(v["cv"], (*at, "cv"), above=0.0, most=100.0))

    def _weibull(self, v: Any, at: tuple[str | int, ...]) -> Any:
        if self.keys(v, at, ("scale", "shape")) is None:
            return None
        scale = self.number(v["scale"], (*at, "scale"), least=0.0)
        return Weibull.model_construct(
            scale=scale, shape=self.plain(v["shape"], (*at, "shape"), above=0.01, most=1000.0)
        )

    def _quantiles(self, v: Any, at: tuple[str | int, ...]) -> Any:
        if not isinstance(v, Mapping) or len(v) < 2:
            return (
                self.wrong(at, "must be a mapping of two quantiles or more", "write {quantiles: {p5: 1, p50: 2}}")
                and None
            )
        points = []
        for key, x in v.items():
            p = _probability(key)
            if p is None:
                self.wrong((*at, str(key)), f"{quoted(key)} is not a quantile", "write p50, p95, p99.9 ...")
            else:
                points.append((p, self.number(x, (*at, str(key)))))
        points.sort()
        for (p, x), (q, y) in pairwise(points):
            if y < x or p == q:
                self.wrong((*at, f"p{q * 100:g}"), f"is below the p{p * 100:g}", "quantiles ascend")
        return Quantiles.model_construct(points=tuple(points))

    def _samples(self, v: Any, at: tuple[str | int, ...]) -> Any:
        if not isinstance(v, list | tuple) or not v:
            return (
                self.wrong(at, "must be a list of numbers", "write {samples: [1, 2, 3]} or the name of a file") and None
            )
        return Samples.model_construct(values=tuple(sorted(self.number(x, (*at, i)) for i, x in enumerate(v))))

    def _mixture(self, v: Any, at: tuple[str | int, ...]) -> Any:
        if not isinstance(v, list | tuple) or not v:
            return (
                self.wrong(at, "must be a list", "write {mixture: [{weight: 0.9, lognormal: ..}, {weight: 0.1, ..}]}")
                and None
            )
        weights, parts = [], []
        for i, part in enumerate(v):
            here = (*at, i)
            if not isinstance(part, Mapping) or "weight" not in part:
                self.wrong(here, "has no weight", "write {weight: 0.1, lognormal: ..}")
                continue
            weights.append(self.plain(part["weight"], (*here, "weight"), above=0.0))
            rest = {k: x for k, x in part.items() if k != "weight"}
            parts.append(self.read(rest["value"] if set(rest) == {"value"} else rest, here))
        total = sum(weights) or 1.0
        return Mixture.model_construct(weights=tuple(w / total for w in weights), parts=tuple(parts))


def _probability(key: Any) -> float | None:
    """Probability of a quantile's name, such as p99.9."""
    if isinstance(key, str) and re.fullmatch(r"p[0-9]{1,2}(\.[0-9]{1,4})?", key):
        p = float(key[1:]) / 100.0
        return round(p, 8) if 0.0 < p < 1.0 else None
    return None


def _validator(dimension: str) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        reader = _Reader(dimension)
        made = reader.read(value)
        if dimension == "rate" and not reader.found and upper(made, 0.0) <= 0.0:
            reader.wrong((), "must be above 0", None)
        if reader.found:
            raise _error(reader.found)
        return made

    return validate


def _error(found: list[Found]) -> PydanticCustomError:
    return problems(found)


def written(d: Any) -> Any:
    """Return a distribution as a document writes it, in SI units."""
    match d.family:
        case "constant":
            return d.value + d.shift
        case "uniform":
            body: Any = [d.low, d.high]
        case "quantiles":
            body = {f"p{p * 100:.8g}": x for p, x in d.points}
        case "samples":
            body = list(d.values)
        case "mixture":
            body = []
            for w, part in zip(d.weights, d.parts, strict=True):
                inner = written(part)
                body.append({"weight": w, **(inner if isinstance(inner, dict) else {"value": inner})})
        case _:
            body = {k: v for k, v in d.model_dump().items() if k != "shift"}
    made = {d.family: body}
    if d.shift:
        made["shift"] = d.shift
    return made


def median(d: Any) -> float:
    """Return the median of a distribution, or its centre where there is no short formula."""
    match d.family:
        case "constant":
            x = d.value
        case "uniform":
            x = (d.low + d.high) / 2
        case "lognormal":
            x = exp(d.mu)
        case "exponential":
            x = d.mean * log(2)
        case "weibull":
            x = d.scale * log(2) ** (1 / d.shape)
        case "quantiles":
            x = min(d.points, key=lambda point: abs(point[0] - 0.5))[1]
        case "samples":
            x = d.values[len(d.values) // 2]
        case "mixture":
            x = sum(w * median(part) for w, part in zip(d.weights, d.parts, strict=True))
        case _:
            x = d.mean
    return float(x + d.shift)


def upper(d: Any, otherwise: float = inf) -> float:
    """Return the largest value of a distribution; `otherwise` where it has no bound."""
    match d.family:
        case "constant":
            return float(d.value + d.shift)
        case "uniform":
            return float(d.high + d.shift)
        case "samples":
            return float(d.values[-1] + d.shift)
        case "mixture":
            bounds = [upper(part, inf) for part in d.parts]
            return float(max(bounds) + d.shift)
    return inf


def describe(d: Any, unit: str = "") -> str:
    """Say what a distribution is, in a few words.

    Parameters
    ----------
    d : Distribution
    unit : str
        `s`, `tok`, `tok/s` or nothing.
    """
    show: Callable[[float], str] = {
        "s": units.format_duration,
        "tok/s": units.format_rate,
    }.get(unit, units.format_count)
    match d.family:
        case "constant":
            return show(d.value + d.shift)
        case "uniform":
            text = f"{show(d.low)} to {show(d.high)}"
        case "lognormal":
            text = f"p50 {show(exp(d.mu))}, p95 {show(exp(d.mu + Z95 * d.sigma))}"
        case "quantiles":
            text = ", ".join(f"p{p * 100:g} {show(x)}" for p, x in d.points)
        case "mixture":
            text = " or ".join(f"{w:.0%} {describe(part, unit)}" for w, part in zip(d.weights, d.parts, strict=True))
        case "samples":
            text = f"{len(d.values)} samples, median {show(median(d))}"
        case "normal":
            text = f"{show(d.mean)} ± {show(d.sd)}"
        case _:
            text = f"{d.family}, median {show(median(d) - d.shift)}"
    return text + (f", shifted by {show(d.shift)}" if d.shift > 0 else "")


def _json_schema(text: str) -> WithJsonSchema:
    number: dict[str, Any] = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": text}]}

    def mapping(*keys: str) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {k: number for k in keys},
            "required": list(keys),
            "additionalProperties": False,
        }

    properties = {
        "uniform": {"type": "array", "items": number, "minItems": 2, "maxItems": 2},
        "normal": mapping("mean", "sd"),
        "lognormal": {"anyOf": [mapping("p50", "p95"), mapping("mu", "sigma")]},
        "exponential": mapping("mean"),
        "gamma": mapping("mean", "cv"),
        "weibull": mapping("scale", "shape"),
        "quantiles": {
            "type": "object",
            "patternProperties": {r"^p[0-9.]+$": number},
            "additionalProperties": False,
        },
        "samples": {"anyOf": [{"type": "array", "items": number}, {"type": "string"}]},
        "mixture": {"type": "array", "items": {"type": "object", "required": ["weight"]}},
        "shift": number,
    }
    distribution = {"type": "object", "properties": properties, "additionalProperties": False}
    return WithJsonSchema({"anyOf": [*number["anyOf"], distribution]})


_RATE_TEXT = r"tok(ens?)?\s*/\s*s"
DurationDistribution = Annotated[
    Any, PlainValidator(_validator("duration")), PlainSerializer(written), _json_schema(DURATION_TEXT)
]
CountDistribution = Annotated[
    Any, PlainValidator(_validator("count")), PlainSerializer(written), _json_schema(COUNT_TEXT)
]
RateDistribution = Annotated[
    Any, PlainValidator(_validator("rate")), PlainSerializer(written), _json_schema(_RATE_TEXT)
]

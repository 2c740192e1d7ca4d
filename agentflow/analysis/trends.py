"""What a backend may be like at another date: prices and speeds moved along a stated yearly trend.

An extrapolation, never a measurement: the backend that comes back says so in its evidence.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass

from agentflow.errors import UsageError
from agentflow.schema import (
    Backend,
    Constant,
    Distribution,
    Evidence,
    Exponential,
    Gamma,
    LogNormal,
    Mixture,
    Normal,
    Price,
    Quantiles,
    Samples,
    Uniform,
    Weibull,
)

DAYS_PER_YEAR = 365.25
_FROM = re.compile(r" trend \S+ from (\d{4}-\d\d-\d\d) to ")
MOST = 1e6  # a factor beyond this is a slip of the pen

_PERCENT = re.compile(r"^(?P<sign>[+-])\s*(?P<number>\d+(\.\d+)?)\s*%\s*(/|per\s+)\s*(yr|year|y|a)$")
_TIMES = re.compile(r"^(?P<by>[x/×÷])\s*(?P<number>\d+(\.\d+)?)\s*(/|per\s+)\s*(yr|year|y|a)$")
_SPAN = re.compile(r"^(in\s+)?(?P<number>\d+(\.\d+)?)\s*(?P<unit>d|day|w|week|mo|month|y|yr|year)s?$")
_DAYS = {"d": 1.0, "w": 7.0, "mo": DAYS_PER_YEAR / 12.0, "y": DAYS_PER_YEAR}


@dataclass(frozen=True)
class Trend:
    """A yearly factor: 0.14 for "-86%/yr", 15 for "x15/yr".

    Attributes
    ----------
    yearly
        What the figure is multiplied by in a year; 1 = no change.
    text
        The trend as it was written.
    """

    yearly: float
    text: str

    def over(self, years: float) -> float:
        """Return the factor over a number of years, negative for the past."""
        return float(self.yearly**years)


def parse_trend(text: str) -> Trend:
    """Parse a trend as it stands on the command line.

    Parameters
    ----------
    text : str
        ``-86%/yr``, ``+40%/yr`` (compounding), ``x15/yr``, ``/15/yr`` (a fifteenth each year).

    Returns
    -------
    Trend

    Raises
    ------
    UsageError
        If it is none of these, or leaves nothing (-100 % and below).

    Examples
    --------
    >>> parse_trend("-86%/yr").yearly
    0.14
    >>> parse_trend("x15/yr").over(0.5)
    3.872983346207417
    """
    plain = text.strip().lower()
    if match := _PERCENT.match(plain):
        share = float(match["number"]) / 100.0
        yearly = round(1.0 + share if match["sign"] == "+" else 1.0 - share, 12)
    elif match := _TIMES.match(plain):
        number = float(match["number"])
        yearly = number if match["by"] in "x×" else (1.0 / number if number > 0.0 else 0.0)
    else:
        raise UsageError(f"{text!r} is not a trend; write it as -86%/yr, +40%/yr, x15/yr or /15/yr")
    if not 1.0 / MOST <= yearly <= MOST:
        raise UsageError(f"the trend {text!r} leaves nothing or explodes; a fall is above -100%/yr")
    return Trend(yearly, text.strip())


def parse_when(text: str, today: datetime.date) -> datetime.date:
    """Parse a target date: ``2028-06-01``, ``18 months``, ``in 2 years``; months and years on average.

    Parameters
    ----------
    text : str
        The date or the span from `today`.
    today : date
        Where a span starts.

    Returns
    -------
    date

    Raises
    ------
    UsageError
        If it is neither a date nor a span, or lies beyond the calendar.
    """
    plain = text.strip().lower()
    if match := _SPAN.match(plain):
        unit = match["unit"]
        days = float(match["number"]) * _DAYS["mo" if unit.startswith("mo") else unit[0]]
        try:
            return today + datetime.timedelta(days=round(days))
        except OverflowError as error:
            raise UsageError(f"{text!r} is beyond the calendar; name a date within a few years") from error
    try:
        return datetime.date.fromisoformat(plain)
    except ValueError as error:
        raise UsageError(f"{text!r} is no date; write 2028-06-01 or a span such as '18 months'") from error


def project(
    backend: Backend,
    to: datetime.date,
    *,
    price: Trend | None = None,
    speed: Trend | None = None,
) -> Backend:
    """Move a backend's prices and speeds along trends from its `as_of` date to another.

    Parameters
    ----------
    backend : Backend
        With `as_of`, and with a price if there is a price trend.
    to : date
        Target date; it may lie in the past.
    price : Trend, optional
        Multiplies every price.
    speed : Trend, optional
        Multiplies the decode rate and the prefill rate, and divides TTFT: the work is done that much faster.
        Network, stalls, errors and limits stay.

    Returns
    -------
    Backend
        `as_of` the target date, with evidence of kind ``assumed`` that names each trend.

    Raises
    ------
    UsageError
        If the backend has no `as_of`, a price trend meets no price, or nothing is left of a figure.
    """
    if backend.as_of is None:
        raise UsageError(f"{backend.name} has no as_of date for a trend to start from; add as_of to its profile")
    years = (to - backend.as_of).days / DAYS_PER_YEAR
    changes: dict[str, object] = {"as_of": to}
    evidence = list(backend.evidence)
    if price is not None:
        if backend.price is None:
            raise UsageError(f"{backend.name} has no price for {price.text!r} to act on; add price to its profile")
        factor = _factor(price, years)
        changes["price"] = _price(backend.price, factor)
        evidence.append(_assumed("price", price, factor, backend.as_of, to))
    if speed is not None:
        factor = _factor(speed, years)
        measured = backend.law.measured
        if measured is None:
            raise UsageError(f"{backend.name} has no measured law for {speed.text!r} to act on; name a faster chip")
        faster = {
            "ttft": scaled(measured.ttft, 1.0 / factor),
            "decode_rate": scaled(measured.decode_rate, factor),
            "prefill_rate": None if measured.prefill_rate is None else measured.prefill_rate * factor,
        }
        changes["law"] = backend.law.model_copy(update={"measured": measured.model_copy(update=faster)})
        evidence.append(_assumed("speed", speed, factor, backend.as_of, to))
    changes["evidence"] = tuple(evidence)
    return backend.model_copy(update=changes)


def scaled(law: Distribution, factor: float) -> Distribution:
    """Return the law of `factor` times a draw of `law`; the family stays."""
    shift = law.shift * factor
    match law:
        case Constant(value=value):
            return Constant(value=value * factor, shift=shift)
        case Uniform(low=low, high=high):
            return Uniform(low=low * factor, high=high * factor, shift=shift)
        case Normal(mean=mean, sd=sd):
            return Normal(mean=mean * factor, sd=sd * factor, shift=shift)
        case LogNormal(mu=mu, sigma=sigma):
            return LogNormal(mu=mu + math.log(factor), sigma=sigma, shift=shift)
        case Exponential(mean=mean):
            return Exponential(mean=mean * factor, shift=shift)
        case Gamma(mean=mean, cv=cv):
            return Gamma(mean=mean * factor, cv=cv, shift=shift)
        case Weibull(scale=scale, shape=shape):
            return Weibull(scale=scale * factor, shape=shape, shift=shift)
        case Quantiles(points=points):
            return Quantiles(points=tuple((p, x * factor) for p, x in points), shift=shift)
        case Samples(values=values):
            return Samples(values=tuple(v * factor for v in values), shift=shift)
        case Mixture(weights=weights, parts=parts):
            return Mixture(weights=weights, parts=tuple(scaled(p, factor) for p in parts), shift=shift)
    raise TypeError(f"cannot scale a {law.family} law")


def _factor(trend: Trend, years: float) -> float:
    exponent = years * math.log(trend.yearly)
    if abs(exponent) > math.log(MOST):
        raise UsageError(f"{trend.text!r} over {years:.1f} years is a factor beyond {MOST:g}; take a nearer date")
    return trend.over(years)


def _price(price: Price, factor: float) -> Price:
    amounts = {name: value * factor for name, value in price if isinstance(value, float)}
    return price.model_copy(update=amounts)


def measured_on(backend: Backend) -> datetime.date | None:
    """Return the date from which trends carried a backend; its own where none did."""
    begun = [match for item in backend.evidence if item.kind == "assumed" and (match := _FROM.search(item.note))]
    return datetime.date.fromisoformat(begun[0][1]) if begun else backend.as_of


def _assumed(figure: str, trend: Trend, factor: float, start: datetime.date, to: datetime.date) -> Evidence:
    figures = ("price",) if figure == "price" else ("ttft", "decode_rate", "prefill_rate")
    # `measured_on` reads it
    note = f"{figure} trend {trend.text} from {start} to {to}: times {factor:.4g}"
    return Evidence(figures=figures, source=f"{figure} trend {trend.text}", date=to, kind="assumed", note=note)

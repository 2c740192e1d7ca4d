"""Prices and speeds moved along a trend."""

from __future__ import annotations

import datetime

import pytest

from agentflow.analysis.fitting.laws import quantile
from agentflow.analysis.trends import parse_trend, parse_when, project, scaled
from agentflow.errors import UsageError
from agentflow.schema import (
    Backend,
    Constant,
    Distribution,
    Exponential,
    Gamma,
    Law,
    LogNormal,
    Measured,
    Mixture,
    Normal,
    Price,
    Quantiles,
    Samples,
    Uniform,
    Weibull,
)

START = datetime.date(2025, 8, 14)
LATER = START + datetime.timedelta(days=round(1.5 * 365.25))


def backend(price: bool = True, as_of: datetime.date | None = START) -> Backend:
    law = Measured(ttft=LogNormal(mu=-1.0, sigma=0.3), decode_rate=Gamma(mean=100.0, cv=0.1), prefill_rate=12_000.0)
    cost = Price(input="$0.59/Mtok", output="$0.79/Mtok", per_call=0.001) if price else None
    return Backend(name="a/b", provider="a", model="b", as_of=as_of, law=Law(measured=law), price=cost)


@pytest.mark.parametrize(
    ("text", "yearly"),
    [("-86%/yr", 0.14), ("+40%/yr", 1.4), ("x15/yr", 15.0), ("/15/yr", 1 / 15), ("- 5 % per year", 0.95)],
)
def test_trends_are_read(text: str, yearly: float) -> None:
    assert parse_trend(text).yearly == pytest.approx(yearly)


@pytest.mark.parametrize("text", ["86%/yr", "-100%/yr", "-120%/yr", "x0/yr", "fast", "-86%", "xinf/yr", ""])
def test_what_is_no_trend_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_trend(text)


def test_dates_and_spans_are_read() -> None:
    assert parse_when("2027-02-13", START) == datetime.date(2027, 2, 13)
    assert parse_when("18 months", START) == parse_when("in 18mo", START) == LATER
    assert parse_when("2y", START) == datetime.date(2027, 8, 14)
    for text in ("soon", "9999999 years", "2027-13-01"):
        with pytest.raises(UsageError):
            parse_when(text, START)


def test_prices_fall_and_say_so() -> None:
    moved = project(backend(), LATER, price=parse_trend("-86%/yr"))
    assert moved.price is not None
    assert moved.price.input == pytest.approx(0.59e-6 * 0.14**1.5, rel=1e-3)
    assert moved.price.per_call == pytest.approx(0.001 * 0.14**1.5, rel=1e-3)
    assert moved.price.cached_input is None
    assert moved.law == backend().law
    assert moved.as_of == LATER
    last = moved.evidence[-1]
    assert last.kind == "assumed"
    assert "-86%/yr from 2025-08-14 to 2027-02-13" in last.note


def test_speeds_grow_and_ttft_shrinks() -> None:
    moved = project(backend(), LATER, speed=parse_trend("x4/yr")).law.measured
    assert quantile(moved.ttft, [0.5])[0] == pytest.approx(
        quantile(LogNormal(mu=-1.0, sigma=0.3), [0.5])[0] / 8, rel=1e-3
    )
    assert isinstance(moved.decode_rate, Gamma)
    assert (moved.decode_rate.mean, moved.decode_rate.cv) == pytest.approx((800.0, 0.1), rel=1e-3)
    assert moved.prefill_rate == pytest.approx(96_000.0, rel=1e-3)


def test_there_and_back_is_where_it_was() -> None:
    trend = parse_trend("-86%/yr")
    back = project(project(backend(), LATER, price=trend), START, price=trend)
    assert back.price is not None
    assert back.price.input == pytest.approx(0.59e-6)


def test_nothing_to_start_from() -> None:
    with pytest.raises(UsageError, match="as_of"):
        project(backend(as_of=None), LATER, price=parse_trend("-86%/yr"))
    with pytest.raises(UsageError, match="no price"):
        project(backend(price=False), LATER, price=parse_trend("-86%/yr"))
    with pytest.raises(UsageError, match="nearer date"):
        project(backend(), datetime.date(2090, 1, 1), price=parse_trend("-86%/yr"))


LAWS: list[Distribution] = [
    Constant(value=2.0),
    Uniform(low=1.0, high=2.0),
    Normal(mean=3.0, sd=0.5),
    LogNormal(mu=0.0, sigma=0.4, shift=0.5),
    Exponential(mean=2.0),
    Gamma(mean=2.0, cv=0.4),
    Weibull(scale=2.0, shape=3.0),
    Quantiles(points=((0.1, 1.0), (0.5, 2.0), (0.9, 5.0))),
    Samples(values=(1.0, 2.0, 3.0)),
    Mixture(weights=(0.9, 0.1), parts=(LogNormal(mu=0.0, sigma=0.1), Constant(value=9.0))),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.family)
def test_scaling_a_law_scales_its_quantiles(law: Distribution) -> None:
    p = [0.05, 0.5, 0.93]
    assert quantile(scaled(law, 3.0), p) == pytest.approx(3.0 * quantile(law, p))

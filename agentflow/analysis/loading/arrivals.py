"""Reads how runs arrive: `poisson:0.5/s`, `gamma:2/s,cv=3`, `closed:20,think=5s`, `batch:2000`, `trace:FILE`."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from agentflow import units
from agentflow.engine.arrivals import Arrivals, Batch, Closed, Given, Renewal, Varying
from agentflow.errors import UsageError, did_you_mean, listed, quoted

MOST_RATE = 1e6  # runs a second
MOST_USERS = 1_000_000
MOST_TIMES = 5_000_000
DAY = 86_400.0
STEPS_A_DAY = 96

_EXAMPLES = {
    "poisson": "poisson:0.5/s",
    "constant": "constant:30/min",
    "gamma": "gamma:2/s,cv=3",
    "mmpp": "mmpp:0.2/s@60s,3/s@10s",
    "daily": "daily:0.5/s,peak=3",
    "closed": "closed:20,think=5s",
    "batch": "batch:2000",
    "trace": "trace:FILE",
}
_PER = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": DAY}


def parse_arrivals(text: str) -> Arrivals:
    """Read how runs arrive.

    Parameters
    ----------
    text
        A kind, a colon, its figure, then options after commas: `poisson:RATE`, `constant:RATE`, `gamma:RATE,cv=CV`,
        `mmpp:RATE@STAY,RATE@STAY`, `daily:RATE,peak=RATIO`, `closed:USERS,think=TIME,cv=CV`, `batch:RUNS`,
        `trace:FILE,speed=FACTOR`; each takes `tenants=N`. A rate is a number with /s, /min, /h or /d.

    Raises
    ------
    UsageError
        If it makes no sense.
    """
    kind, colon, rest = text.partition(":")
    if kind not in _EXAMPLES or not colon:
        near = did_you_mean(kind, _EXAMPLES)
        raise UsageError(
            f"--arrivals {quoted(text)}: "
            + (f"did you mean '{near}'?" if near else f"write one of {listed(list(_EXAMPLES.values()))}")
        )
    main, options = _split(text, rest, several=kind == "mmpp")
    tenants = _whole(text, options.pop("tenants", "1"), "tenants", MOST_USERS)
    reader: Callable[[str, list[str], dict[str, str], int], Arrivals] = _READERS[kind]
    made = reader(text, main, options, tenants)
    if options:
        raise UsageError(
            f"--arrivals {quoted(text)}: {kind} has no option '{next(iter(options))}'; write it like {_EXAMPLES[kind]}"
        )
    return made


def _split(text: str, rest: str, several: bool) -> tuple[list[str], dict[str, str]]:
    """Cut the text into its figures and its options."""
    main, options = [], {}
    for i, part in enumerate(rest.split(",")):
        name, equals, value = part.partition("=")
        if equals and i:
            if name in options:
                raise UsageError(f"--arrivals {quoted(text)}: '{name}' is there twice")
            options[name.strip()] = value.strip()
        else:
            main.append(part.strip())
    if not main or not main[0] or (len(main) > 1 and not several):
        raise UsageError(f"--arrivals {quoted(text)}: write it like {_EXAMPLES[text.partition(':')[0]]}")
    return main, options


def parse_rate(text: str) -> float:
    """Read runs a second from a rate such as 0.5/s, 30/min or 1200/h.

    Raises
    ------
    UsageError
        If it is none, or not above 0.
    """
    number, slash, per = text.partition("/")
    try:
        value = float(number) / _PER[per.strip()] if slash else math.nan
    except (ValueError, KeyError):
        value = math.nan
    if not 0.0 < value <= MOST_RATE:
        raise UsageError(f"a rate such as 0.5/s, 30/min or 1200/h was expected, not {quoted(text)}")
    return value


def _rate(text: str, written: str) -> float:
    try:
        return parse_rate(written)
    except UsageError as error:
        raise UsageError(f"--arrivals {quoted(text)}: {error}") from None


def _number(text: str, written: str, name: str, low: float, high: float) -> float:
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise UsageError(
            f"--arrivals {quoted(text)}: {name} is a number from {low:g} to {high:g}, not {quoted(written)}"
        )
    return value


def _whole(text: str, written: str, name: str, most: int) -> int:
    try:
        value = units.parse_count(written)
    except ValueError:
        value = 0.0
    if value != int(value) or not 1 <= value <= most:
        raise UsageError(
            f"--arrivals {quoted(text)}: {name} is a whole number from 1 to {most:,}, not {quoted(written)}"
        )
    return int(value)


def _seconds(text: str, written: str, name: str) -> float:
    try:
        return units.parse_duration(written)
    except ValueError:
        raise UsageError(f"--arrivals {quoted(text)}: {name} is a time such as 5s, not {quoted(written)}") from None


def _renewal(cv: float | None) -> Callable[[str, list[str], dict[str, str], int], Arrivals]:
    def read(text: str, main: list[str], options: dict[str, str], tenants: int) -> Arrivals:
        spread = _number(text, options.pop("cv", "2"), "cv", 0.0, 20.0) if cv is None else cv
        return Renewal(tenants, _rate(text, main[0]), spread)

    return read


def _mmpp(text: str, main: list[str], options: dict[str, str], tenants: int) -> Arrivals:
    rates, stays = [], []
    for part in main:
        rate, at, stay = part.partition("@")
        zero = rate.strip() in ("0", "0/s")
        rates.append(0.0 if zero else _rate(text, rate))
        stays.append(_seconds(text, stay if at else "", "a state's mean stay"))
    if len(rates) < 2 or not sum(rates) or min(stays) <= 0.0:
        raise UsageError(f"--arrivals {quoted(text)}: write two states or more, like {_EXAMPLES['mmpp']}")
    return Varying(tenants, tuple(rates), tuple(stays))


def _daily(text: str, main: list[str], options: dict[str, str], tenants: int) -> Arrivals:
    mean = _rate(text, main[0])
    ratio = _number(text, options.pop("peak", "2"), "peak (over the mean)", 1.0, 2.0)
    swing = ratio - 1.0
    steps = range(STEPS_A_DAY)
    rates = tuple(mean * (1.0 - swing * math.cos(2.0 * math.pi * (i + 0.5) / STEPS_A_DAY)) for i in steps)
    return Varying(tenants, rates, (DAY / STEPS_A_DAY,) * STEPS_A_DAY, random=False)


def _closed(text: str, main: list[str], options: dict[str, str], tenants: int) -> Arrivals:
    users = _whole(text, main[0], "the number of users", MOST_USERS)
    think = _seconds(text, options.pop("think", "0s"), "think")
    return Closed(tenants, users, think, _number(text, options.pop("cv", "1"), "cv", 0.0, 20.0))


def _batch(text: str, main: list[str], options: dict[str, str], tenants: int) -> Arrivals:
    return Batch(tenants, _whole(text, main[0], "the number of runs", MOST_TIMES))


def _trace(text: str, main: list[str], options: dict[str, str], tenants: int) -> Arrivals:
    speed = _number(text, options.pop("speed", "1"), "speed", 1e-6, 1e6)
    times = read_times(Path(main[0]))
    return Given(tenants, tuple(t / speed for t in times))


_READERS: Mapping[str, Callable[[str, list[str], dict[str, str], int], Arrivals]] = {
    "poisson": _renewal(1.0),
    "constant": _renewal(0.0),
    "gamma": _renewal(None),
    "mmpp": _mmpp,
    "daily": _daily,
    "closed": _closed,
    "batch": _batch,
    "trace": _trace,
}

_TIME_COLUMNS: Mapping[str, float] = {
    "timestamp": 1.0, "arrival": 1.0, "arrival_s": 1.0, "time": 1.0, "time_s": 1.0, "arrived_at": 1.0,
    "arrival_time": 1.0, "timestamp_ms": 1e-3, "arrival_ms": 1e-3,
}  # fmt: skip


def read_times(path: Path) -> list[float]:
    """Read the arrival times of a CSV file, in seconds from the first.

    The column is named `timestamp`, `time`, `arrival` or the like, in any case; its values are dates with times, or
    numbers: seconds, or milliseconds where the column's name ends in `_ms` or the file is one of Mooncake's (columns
    `timestamp` and `input_length`). Lines before the header that begin with # are passed over.

    Raises
    ------
    UsageError
        If the file cannot be read or holds no such column, or too few or too many times.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(line for line in file if not line.startswith("#"))
            header = [name.strip().lower() for name in next(rows, [])]
            column = next((i for i, name in enumerate(header) if name in _TIME_COLUMNS), None)
            if column is None:
                raise UsageError(f"{path}: no column of arrival times; name it timestamp or arrival_s")
            written = [row[column] for row, _ in zip(rows, range(MOST_TIMES + 1), strict=False) if len(row) > column]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not 2 <= len(written) <= MOST_TIMES:
        raise UsageError(f"{path}: {len(written):,} arrival times; from 2 to {MOST_TIMES:,} make a trace")
    scale = 1e-3 if "input_length" in header else _TIME_COLUMNS[header[column]]
    times = sorted(_moment(path, text, scale) for text in written)
    if times[-1] == times[0]:
        raise UsageError(f"{path}: all arrivals are at one moment; use batch:{len(times)}")
    return [t - times[0] for t in times]


def _moment(path: Path, text: str, scale: float) -> float:
    """Read a number, or a date with a time."""
    try:
        value = float(text) * scale
    except ValueError:
        try:
            value = datetime.fromisoformat(_microseconds(text.strip())).timestamp()
        except ValueError:
            raise UsageError(f"{path}: {quoted(text)} is no arrival time") from None
    if not math.isfinite(value):
        raise UsageError(f"{path}: {quoted(text)} is no arrival time")
    return value


def _microseconds(text: str) -> str:
    """Cut fractions of a second to six digits, which is what Python reads."""
    head, dot, fraction = text.partition(".")
    digits = len(fraction) - len(fraction.lstrip("0123456789"))
    return f"{head}.{fraction[:digits][:6].ljust(6, '0')}{fraction[digits:]}" if dot else text

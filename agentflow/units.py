"""Quantities as people write them, "250ms", "1.2k", "$0.59/Mtok": read and printed.

Inside the program every quantity is a plain float in SI units: seconds, tokens, tokens per second, US dollars per
token, watts, bytes, bytes per second, FLOP per second, joules.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from agentflow.errors import quoted

Written = str | int | float

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?"
_QUANTITY = re.compile(rf"\s*({_NUMBER})\s*(.*?)\s*", re.DOTALL)
_PRICE = re.compile(
    rf"\s*(?:\$\s*({_NUMBER})|({_NUMBER})\s*USD|USD\s*({_NUMBER}))\s*/\s*1?\s*([kKM]?)\s*(?:tok|tokens?)?\s*"
)
_LONGEST = 64  # characters of a quantity; a longer one is not one

_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0,
    "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_COUNT = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
_TOKEN_WORDS = ("tok", "token", "tokens")
_DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_BYTES = {prefix + "B": scale for prefix, scale in (_DECIMAL | _BINARY).items()}
_RATES = {
    f"{prefix}{space}{word}/{per}": scale / seconds
    for prefix, scale in _COUNT.items()
    for space in ("", " ")
    for word in _TOKEN_WORDS
    for per, seconds in (("s", 1.0), ("min", 60.0))
}
_FLOPS = {
    prefix + word: scale for prefix, scale in _DECIMAL.items() for word in ("FLOP/s", "FLOPS", "FLOPs", "FLOPs/s")
}
_JOULES = {"J": 1.0, "kJ": 1e3, "MJ": 1e6, "Wh": 3600.0, "kWh": 3.6e6}
_WATTS = {"mW": 1e-3, "W": 1.0, "kW": 1e3, "MW": 1e6}


def _parse(value: Written, scales: Mapping[str, float], what: str, signed: bool = False) -> float:
    """Read a number with one of the units in `scales`; a bare number is in SI units."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"must be {what}, not {quoted(value)}")
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value) if len(value) <= _LONGEST else None
        if match is None:
            raise ValueError(f"must be {what}, not {quoted(value)}")
        unit = match[2]
        if unit and unit not in scales:
            raise ValueError(f"must be {what}; {quoted(unit)} is no unit of it")
        number = float(match[1]) * (scales[unit] if unit else 1.0)
    else:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"must be {what}, finite, not {quoted(value)}")
    if number < 0 and not signed:
        raise ValueError(f"must not be negative, but is {quoted(value)}")
    return number


def parse_duration(value: Written, *, signed: bool = False) -> float:
    """Read a duration.

    Parameters
    ----------
    value : str, int or float
        ``"250ms"``, ``"1.5s"``, ``"4m"``, ``"4min"``, ``"2h"``, ``"1d"``, ``"80us"``; a bare number is in seconds.
    signed : bool
        Whether a negative one is meant to be possible, such as a shift.

    Returns
    -------
    float
        Seconds, finite, not negative unless `signed`.

    Raises
    ------
    ValueError
        If it is none, with a text that says what would be one.

    Examples
    --------
    >>> parse_duration("250ms")
    0.25
    """
    return _parse(value, _SECONDS, "a duration such as 250ms, 1.5s or 4m", signed)


def parse_count(value: Written, *, signed: bool = False) -> float:
    """Read a count such as ``"1.2k"`` (k, M, G): 1200.0.

    Raises
    ------
    ValueError
        If it is none, is not finite, or is negative without `signed`.
    """
    return _parse(value, _COUNT, "a number such as 900 or 1.2k", signed)


def parse_rate(value: Written, *, signed: bool = False) -> float:
    """Read tokens per second, ``"12k tok/s"``; a bare number is in tok/s.

    Raises
    ------
    ValueError
        If it is none, is not finite, or is negative without `signed`.
    """
    return _parse(value, _RATES | _COUNT, "a rate such as 80 tok/s or 12k tok/s", signed)


def parse_price(value: Written) -> float:
    """Read a price of tokens, ``"$0.59/Mtok"``, as US dollars per token.

    ``/ktok`` and ``/tok`` work too. A bare number is refused: it might be dollars per token, per thousand or
    per million.

    Raises
    ------
    ValueError
        If it is none, is not finite, or is negative.
    """
    what = "a price such as $0.59/Mtok"
    if not isinstance(value, str):
        raise ValueError(f"must be {what}, with its unit, not {quoted(value)}")
    match = _PRICE.fullmatch(value) if len(value) <= _LONGEST else None
    if match is None:
        raise ValueError(f"must be {what}, not {quoted(value)}")
    number = float(match[1] or match[2] or match[3]) / _COUNT[match[4]]
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"must be {what}, finite and not negative, not {quoted(value)}")
    return number


def parse_usd(value: Written) -> float:
    """Read an amount of US dollars, ``"$0.05"`` or ``0.05``.

    Raises
    ------
    ValueError
        If it is none, is not finite, or is negative.
    """
    text = value.strip().removeprefix("$") if isinstance(value, str) else value
    return _parse(text, {"USD": 1.0}, "an amount such as $0.05")


def parse_percent(value: Written) -> float:
    """Read a share, ``"2%"`` or ``0.02``, as a fraction; a negative one is allowed.

    Raises
    ------
    ValueError
        If it is none or is not finite.
    """
    return _parse(value, {"%": 0.01}, "a share such as 2% or 0.02", signed=True)


def parse_power(value: Written) -> float:
    """Read a power, ``"700 W"`` or ``"10.2kW"``, as watts.

    Raises
    ------
    ValueError
        If it is none, is not finite, or is negative.
    """
    return _parse(value, _WATTS, "a power such as 700 W or 10.2 kW")


def parse_energy(value: Written) -> float:
    """Read an energy, ``"12 kJ"`` or ``"3.4 Wh"``, as joules.

    Raises
    ------
    ValueError
        If it is none, is not finite, or is negative.
    """
    return _parse(value, _JOULES, "an energy such as 12 kJ or 3.4 Wh")


def parse_bytes(value: Written) -> float:
    """Read a size, ``"80GB"`` (decimal) or ``"16KiB"`` (binary), as bytes.

    Raises
    ------
    ValueError
        If it is none, is not finite, or is negative.
    """
    return _parse(value, _BYTES, "a size such as 80 GB or 16 KiB")


def parse_bandwidth(value: Written) -> float:
    """Read a bandwidth, ``"3.35 TB/s"``, as bytes per second.

    Raises
    ------
    ValueError
        If it is none, is not finite, or is negative.
    """
    scales = {f"{unit}/s": scale for unit, scale in _BYTES.items()}
    return _parse(value, scales, "a bandwidth such as 3.35 TB/s")


def parse_flops(value: Written) -> float:
    """Read a computing speed, ``"989 TFLOP/s"``, as FLOP per second.

    Raises
    ------
    ValueError
        If it is none, is not finite, or is negative.
    """
    return _parse(value, _FLOPS, "a speed such as 989 TFLOP/s")


def _digits(number: float, figures: int = 3) -> str:
    """Print a number to so many significant figures, without exponent or trailing zeros."""
    if not math.isfinite(number):
        return str(number)
    if number == 0:
        return "0"
    decimals = figures - 1 - math.floor(math.log10(abs(number)))
    text = f"{round(number, decimals):.{max(0, min(decimals, 12))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scaled(number: float, steps: tuple[tuple[float, str], ...], gap: str = " ") -> str:
    """Print a number in the largest unit of `steps` (from large to small) that it reaches."""
    # 0.9995 of a unit is printed as 1 of it, not as 1000 of the next.
    for scale, unit in steps[:-1]:
        if abs(number) >= 0.9995 * scale:
            return f"{_digits(number / scale)}{gap if unit else ''}{unit}"
    scale, unit = steps[-1]
    return f"{_digits(number / scale)}{gap if unit else ''}{unit}"


def format_duration(seconds: float) -> str:
    """Print a duration to three figures: ``310 ms``, ``14.2 s``, ``4.5 min``, ``2 h``.

    Parameters
    ----------
    seconds : float
        The duration in seconds.

    Examples
    --------
    >>> format_duration(0.31)
    '310 ms'
    >>> format_duration(10_800.0)
    '3 h'
    """
    if seconds == 0:
        return "0 s"
    size = abs(seconds)
    if 1 <= size < 120:
        return f"{_digits(seconds)} s"
    for length, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if size >= 1.999 * length:  # two of it: below, the next smaller says more
            return f"{_digits(seconds / length)} {unit}"
    return _scaled(seconds, ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")))


def format_count(count: float) -> str:
    """Print a count to three figures: ``900``, ``1.2k``, ``3.4M``."""
    return _scaled(count, ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")), gap="")


def format_rate(rate: float) -> str:
    """Print tokens per second: ``80 tok/s``, ``12k tok/s``."""
    return f"{format_count(rate)} tok/s"


def format_price(price: float) -> str:
    """Print US dollars per token as dollars per million tokens: ``$0.59/Mtok``."""
    return f"${_digits(price * 1e6)}/Mtok"


def format_usd(usd: float) -> str:
    """Print an amount of US dollars to three figures, at least to the cent: ``$0.00123``, ``$12.30``, ``$1.23M``."""
    sign = "-" if usd < 0 else ""
    amount = abs(usd)
    if amount >= 1e15:
        return f"{sign}${amount:.3g}"
    if amount >= 999_500:
        return f"{sign}${_scaled(amount, ((1e12, 'T'), (1e9, 'G'), (1e6, 'M')), gap='')}"
    if amount >= 1:
        return f"{sign}${amount:,.2f}"
    return f"{sign}${_digits(amount)}"


def format_bytes(size: float) -> str:
    """Print a size in decimal units: ``80 GB``."""
    return _scaled(size, ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")))


def format_bandwidth(rate: float) -> str:
    """Print bytes per second: ``3.35 TB/s``."""
    return f"{format_bytes(rate)}/s"


def format_flops(speed: float) -> str:
    """Print FLOP per second: ``989 TFLOP/s``."""
    steps = ((1e15, "PFLOP/s"), (1e12, "TFLOP/s"), (1e9, "GFLOP/s"), (1e6, "MFLOP/s"), (1.0, "FLOP/s"))
    return _scaled(speed, steps)


def format_power(watts: float) -> str:
    """Print a power: ``700 W``, ``10.2 kW``."""
    return _scaled(watts, ((1e6, "MW"), (1e3, "kW"), (1.0, "W")))


def format_energy(joules: float) -> str:
    """Print an energy: ``700 J``, ``10.2 kJ``."""
    return _scaled(joules, ((1e6, "MJ"), (1e3, "kJ"), (1.0, "J")))

"""The single values of a document: names, texts, durations, shares, token counts, amounts of money."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from agentflow import units
from agentflow.errors import did_you_mean, listed, quoted
from agentflow.schema._base import problem

ErrorName = Literal[
    "rate_limit",
    "timeout",
    "server_error",
    "content_filter",
    "invalid_output",
    "context_overflow",
    "budget_exceeded",
]
ERROR_NAMES: tuple[ErrorName, ...] = (
    "rate_limit",
    "timeout",
    "server_error",
    "content_filter",
    "invalid_output",
    "context_overflow",
    "budget_exceeded",
)

LONGEST = 1e8  # seconds, three years: a longer duration is a slip of the unit
MOST = 1e9  # tokens, runs of a loop, ...: whole numbers stay exact in every sum
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DOTTED = re.compile(r"[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){0,63}")
# Controls, and the marks that make text read in another order than it is written.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

NUMBER_TEXT = r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?"
DURATION_TEXT = rf"^\s*({NUMBER_TEXT})\s*(ns|us|µs|ms|s|sec|m|min|h|d)?\s*$"
COUNT_TEXT = rf"^\s*({NUMBER_TEXT})\s*[kKMG]?\s*$"


def _identifier(value: Any) -> str:
    if isinstance(value, str) and _IDENTIFIER.fullmatch(value):
        return value
    raise problem(f"{quoted(value)} is not a name", "use 1 to 64 letters, digits, - and _")


def _reference(value: Any) -> str:
    if isinstance(value, str) and _DOTTED.fullmatch(value):
        return value
    raise problem(f"{quoted(value)} names no step", "write a step's name such as plan, or triage.billing")


def _one_line(value: Any) -> str:
    if isinstance(value, str) and 0 < len(value) <= 200 and not _UNPRINTABLE.search(value) and value.strip():
        return value
    if isinstance(value, (bool, int, float)):
        raise problem(f"must be a text, not {quoted(value)}", f'put it in quotes: "{quoted(value)}"')
    raise problem(
        f"must be a text, not {quoted(value)}",
        "write one line of 1 to 200 characters, without control characters",
    )


def _prose(value: Any) -> str:
    if isinstance(value, str) and len(value) <= 20_000:
        return value
    if isinstance(value, (bool, int, float)):
        raise problem(f"must be a text, not {quoted(value)}", f'put it in quotes: "{quoted(value)}"')
    raise problem(f"must be a text, not {quoted(value)}", "write at most 20,000 characters")


def _date(value: Any) -> date:
    if type(value) is date:
        return value
    if isinstance(value, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise problem(f"must be a date, not {quoted(value)}", "write it as 2025-03-31")


def _duration(value: Any) -> float:
    try:
        seconds = units.parse_duration(value)
    except ValueError as error:
        raise problem(str(error), "write a duration such as 250ms, 1.5s or 4m") from None
    if seconds > LONGEST:
        raise problem(f"{quoted(value)} is longer than three years", "check the unit: ms, s, m (minutes), h or d")
    return seconds


def _positive_duration(value: Any) -> float:
    seconds = _duration(value)
    if seconds == 0:
        raise problem("must be longer than 0", "write a duration such as 250ms, or leave the key out")
    return seconds


def _share(value: Any) -> float:
    try:
        share = units.parse_percent(value)
    except ValueError as error:
        raise problem(str(error), "write a probability from 0 to 1, such as 0.02 or 2%") from None
    if not 0 <= share <= 1:
        raise problem(f"must lie between 0 and 1, but is {quoted(value)}", "write a probability such as 0.02 or 2%")
    return share


def _tokens(value: Any) -> int:
    way = "write a whole number such as 900 or 60k"
    try:
        count = units.parse_count(value)
    except ValueError as error:
        raise problem(str(error), way) from None
    if count != int(count):
        raise problem(f"must be a whole number, not {quoted(value)}", way)
    if count > MOST:
        raise problem(f"must be at most {MOST:.0e}, but is {quoted(value)}", way)
    return int(count)


def _positive_tokens(value: Any) -> int:
    count = _tokens(value)
    if count == 0:
        raise problem("must be at least 1", "write a whole number such as 900 or 60k, or leave the key out")
    return count


def _usd(value: Any) -> float:
    try:
        amount = units.parse_usd(value)
    except ValueError as error:
        raise problem(str(error), "write an amount such as $0.05 or 0.05") from None
    if amount > MOST:
        raise problem(f"{quoted(value)} is too much", "write an amount such as $0.05")
    return amount


def _price(value: Any) -> float:
    # Python code that already holds dollars per token says so by the type of the model's own field: a float.
    if isinstance(value, float) and 0 <= value < 1e-2:
        return value
    try:
        price = units.parse_price(value)
    except ValueError as error:
        raise problem(str(error), "write dollars per token, thousand or million: $0.59/Mtok") from None
    if price > 1:
        raise problem(f"{quoted(value)} is over a dollar a token", "check the unit: $0.59/Mtok")
    return price


def _error_name(value: Any) -> str:
    if value in ERROR_NAMES:
        return str(value)
    near = did_you_mean(value, ERROR_NAMES) if isinstance(value, str) else None
    raise problem(
        f"no error is named {quoted(value)}",
        f"did you mean '{near}'?" if near else f"the errors are {listed(ERROR_NAMES)}",
    )


def _non_negative(value: Any) -> float:
    try:
        return units.parse_count(value)
    except ValueError as error:
        raise problem(str(error), "write a number, 0 or more") from None


_TEXT_OR_NUMBER: list[dict[str, Any]] = [{"type": "number", "minimum": 0}]


def _written(pattern: str, minimum: float = 0) -> WithJsonSchema:
    """Describe a number that may carry a unit."""
    return WithJsonSchema({"anyOf": [{"type": "number", "minimum": minimum}, {"type": "string", "pattern": pattern}]})


Identifier = Annotated[
    str, PlainValidator(_identifier), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"})
]
Reference = Annotated[
    str, PlainValidator(_reference), WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z0-9_.-]+$"})
]
Line = Annotated[str, PlainValidator(_one_line), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 200})]
Prose = Annotated[str, PlainValidator(_prose), WithJsonSchema({"type": "string"})]
Day = Annotated[
    date,
    PlainValidator(_date),
    PlainSerializer(date.isoformat, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}),
]
Seconds = Annotated[float, PlainValidator(_duration), _written(DURATION_TEXT)]
PositiveSeconds = Annotated[float, PlainValidator(_positive_duration), _written(DURATION_TEXT)]
Share = Annotated[
    float,
    PlainValidator(_share),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": r"%\s*$"}]}
    ),
]
Tokens = Annotated[int, PlainValidator(_tokens), _written(COUNT_TEXT)]
PositiveTokens = Annotated[int, PlainValidator(_positive_tokens), _written(COUNT_TEXT)]
Usd = Annotated[float, PlainValidator(_usd), _written(rf"^\s*\$?\s*({NUMBER_TEXT})\s*(USD)?\s*$")]
PricePerToken = Annotated[
    float,
    PlainValidator(_price),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(\$|USD)?.*/\s*1?\s*[kKM]?\s*(tok|tokens?)?\s*$"}),
]
ErrorNames = Annotated[ErrorName, PlainValidator(_error_name), WithJsonSchema({"enum": list(ERROR_NAMES)})]
NonNegative = Annotated[float, PlainValidator(_non_negative), _written(COUNT_TEXT)]

__all__ = ["BeforeValidator"]

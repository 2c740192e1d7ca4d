"""How a call is tried again: policies, and the defaults of the libraries that people use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from agentflow.errors import did_you_mean, listed, quoted
from agentflow.schema._base import Items, Model, problem
from agentflow.schema.scalars import ErrorName, ErrorNames, PositiveSeconds, Seconds

_SDK: tuple[ErrorName, ...] = ("rate_limit", "timeout", "server_error")
_FRAMEWORK: tuple[ErrorName, ...] = ("rate_limit", "timeout", "server_error", "invalid_output")


def _jitter(value: Any) -> float:
    if value == "none":
        return 0.0
    if value == "full":
        return 1.0
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise problem(
        f"{quoted(value)} is not a jitter",
        "write none, full, or the share of the wait that is random, such as 0.25",
    )


Jitter = Annotated[
    float,
    PlainValidator(_jitter),
    WithJsonSchema({"anyOf": [{"enum": ["none", "full"]}, {"type": "number", "minimum": 0, "maximum": 1}]}),
]


class RetryPolicy(Model):
    """One layer of retries: wait k is min(initial * factor^k, max), times U(1 - jitter, 1), plus U(0, jitter_add).

    Parameters
    ----------
    max_attempts : int
        Tries in all, the first counts.
    initial_interval, max_interval, jitter_add, retry_after_cap : float
        Seconds. A Retry-After up to the cap takes the place of the wait.
    on : tuple of str
        The errors that are tried again.
    """

    max_attempts: int = Field(default=3, ge=1, le=100)
    initial_interval: Seconds = 0.5
    backoff_factor: float = Field(default=2.0, ge=1.0, le=100.0)
    max_interval: PositiveSeconds = 8.0
    jitter: Jitter = 0.25
    jitter_add: Seconds = 0.0
    on: Items[ErrorNames] = _FRAMEWORK
    respect_retry_after: bool = True
    retry_after_cap: Seconds = 60.0


PRESETS: dict[str, RetryPolicy] = {
    # openai-python 1.x, _constants.py and _base_client.py: max_retries 2, 0.5 s to 8 s, 1 - 0.25 U,
    # Retry-After up to 60 s.
    "openai": RetryPolicy(on=_SDK),
    # anthropic-sdk-python, the same generated client with the same constants.
    "anthropic": RetryPolicy(on=_SDK),
    # langgraph.types.RetryPolicy: 3 attempts, 0.5 s, factor 2, at most 128 s, jitter adds U(0, 1) s.
    "langgraph": RetryPolicy(max_interval=128.0, jitter=0.0, jitter_add=1.0, on=_SDK, respect_retry_after=False),
    # Temporal's default activity retry policy: 1 s, coefficient 2, at most 100 s; attempts unlimited, here 100.
    "temporal": RetryPolicy(
        max_attempts=100,
        initial_interval=1.0,
        max_interval=100.0,
        jitter=0.0,
        on=_FRAMEWORK,
        respect_retry_after=False,
    ),
    # Amazon States Language: IntervalSeconds 1, MaxAttempts 3 (retries), BackoffRate 2, no jitter, no largest delay.
    "asl": RetryPolicy(
        max_attempts=4,
        initial_interval=1.0,
        max_interval=31622400.0,
        jitter=0.0,
        on=_FRAMEWORK,
        respect_retry_after=False,
    ),
}

MAX_LAYERS = 3


def _layer(value: Any, at: tuple[int, ...]) -> RetryPolicy:
    if isinstance(value, RetryPolicy):
        return value
    if isinstance(value, str):
        if value in PRESETS:
            return PRESETS[value]
        near = did_you_mean(value, PRESETS)
        way = f"did you mean '{near}'?" if near else f"the presets are {listed(PRESETS)}"
        raise problem(f"no retry preset is named {quoted(value)}", way, *at)
    if isinstance(value, Mapping):
        rest = {k: v for k, v in value.items() if k != "preset"}
        if "preset" not in value:
            return RetryPolicy.model_validate(rest)
        base = _layer(value["preset"], (*at,))
        return RetryPolicy.model_validate({**base.model_dump(), **rest})
    raise problem(
        f"{quoted(value)} is not a retry policy",
        f"write a mapping, none, or a preset: {listed(PRESETS)}",
        *at,
    )


def _layers(value: Any) -> tuple[RetryPolicy, ...]:
    if value == "none":
        return ()
    if isinstance(value, list | tuple):
        if len(value) > MAX_LAYERS:
            raise problem(f"{len(value)} layers of retries", f"at most {MAX_LAYERS}, from the inside (the SDK) out")
        return tuple(_layer(item, (i,)) for i, item in enumerate(value))
    return (_layer(value, ()),)


_SHAPES: list[dict[str, Any]] = [{"enum": ["none", *PRESETS]}, {"type": "object"}]
Retry = Annotated[
    tuple[RetryPolicy, ...],
    PlainValidator(_layers),
    WithJsonSchema({"anyOf": [*_SHAPES, {"type": "array", "items": {"anyOf": _SHAPES}, "maxItems": MAX_LAYERS}]}),
]

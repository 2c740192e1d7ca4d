"""What a call may be given: errors, timeouts, hedges, fallbacks, catches, and where its input comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from agentflow.errors import quoted
from agentflow.schema._base import Items, Model, problem, written_form
from agentflow.schema.distribution import Constant, CountDistribution, DurationDistribution
from agentflow.schema.scalars import (
    ErrorName,
    ErrorNames,
    Identifier,
    Line,
    NonNegative,
    PositiveSeconds,
    Reference,
    Seconds,
    Share,
)

Moment = Literal["start", "first_token", "end"]
ZERO = Constant(value=0.0)


class ErrorSpec(Model):
    """How likely an error is, and where in an attempt it strikes.

    Parameters
    ----------
    probability : float
        Of each attempt.
    at : str, optional
        `start`, `first_token` or `end`; by default what is usual for the error.
    retry_after : Distribution, optional
        What the answer's Retry-After header says (s).
    after : float, optional
        How long a hang lasts (s), for `timeout`.
    """

    short_forms = written_form(Share)
    probability: Share
    at: Moment | None = None
    retry_after: DurationDistribution | None = None
    after: PositiveSeconds | None = None


def _error(value: Any) -> Any:
    if isinstance(value, Mapping | ErrorSpec):
        return value
    return {"probability": value}


def _sum(errors: dict[ErrorName, ErrorSpec]) -> dict[ErrorName, ErrorSpec]:
    total = sum(e.probability for e in errors.values())
    if total > 1 + 1e-9:
        raise problem(f"the probabilities add up to {total:g}", "together they are at most 1")
    return errors


Errors = Annotated[dict[ErrorNames, Annotated[ErrorSpec, BeforeValidator(_error)]], AfterValidator(_sum)]


class Timeout(Model):
    """Bounds on one attempt (s): on all of it, and on each wait for a token."""

    short_forms = written_form(PositiveSeconds)
    attempt: PositiveSeconds | None = None
    """Bound on a whole attempt (s)."""
    idle: PositiveSeconds | None = None
    """Bound on the wait for the first token, and on each gap between two (s)."""


def _timeout(value: Any) -> Any:
    return value if isinstance(value, Mapping | Timeout) else {"attempt": value}


TimeoutField = Annotated[Timeout, BeforeValidator(_timeout)]


def _after(value: Any) -> float | str:
    from agentflow.schema.distribution import _probability
    from agentflow.schema.scalars import _positive_duration

    if isinstance(value, str) and value.startswith("p"):
        if _probability(value) is None:
            raise problem(f"{quoted(value)} is not a quantile", "write p95, or a duration such as 2s")
        return value
    return _positive_duration(value)


class Hedge(Model):
    """A second call to the same place when the first takes long; the first success wins."""

    after: Annotated[float | str, PlainValidator(_after), WithJsonSchema({"type": ["string", "number"]})]
    """When the next call starts: a duration, or a quantile of the step's own latency such as `p95`."""
    max_hedges: int = Field(default=1, ge=1, le=8)
    """How many calls besides the first."""


class CircuitBreaker(Model):
    """Stops sending to a place that fails, for a while. All runs share its state; it counts under load only."""

    failures: int = Field(default=5, ge=1, le=1_000_000)
    """Failures in a row that open it."""
    open_for: PositiveSeconds = 30.0
    """How long it lets nothing through (s); then it is half open."""
    trials: int = Field(default=1, ge=1, le=1_000_000)
    """Attempts that it lets through when half open: once all have succeeded it closes, if one fails it opens again."""
    on: Items[ErrorNames] = ("rate_limit", "timeout", "server_error")
    """The errors that count as failures; others count neither way."""


class Fallback(Model):
    """Where a call goes when its retries are used up: another model, another backend, or both."""

    model: Line | None = None
    """Another model."""
    backend: Line | None = None
    """Another backend."""
    on: Items[ErrorNames] = ("rate_limit", "timeout", "server_error", "invalid_output", "context_overflow")
    """The errors that lead here."""

    @model_validator(mode="after")
    def _some(self) -> Fallback:
        if self.model is None and self.backend is None:
            raise problem("names neither a model nor a backend", "write {model: ..} or {backend: ..}")
        return self


class Catch(Model):
    """Which errors of a step lead on to which other step."""

    errors: Annotated[Items[ErrorNames], Field(min_length=1)]
    """The errors that it takes."""
    to: Identifier
    """The step that goes on."""


class Quorum(Model):
    """Wait for this many of the branches."""

    quorum: int = Field(ge=1, le=100_000)
    """How many branches."""


def _join(value: Any) -> Any:
    if value in ("all", "any") or isinstance(value, Quorum):
        return value
    if isinstance(value, Mapping):
        return Quorum.model_validate(value)
    raise problem(f"{quoted(value)} is not a join", "write all, any, or {quorum: 2}")


Join = Annotated[
    Any,
    PlainValidator(_join),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["all", "any"]},
                {
                    "type": "object",
                    "properties": {"quorum": {"type": "integer", "minimum": 1}},
                    "required": ["quorum"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class InputTokens(Model):
    """Input of a call: its own tokens, shares of earlier steps' outputs, and the loop's history."""

    short_forms = written_form(CountDistribution)
    own: CountDistribution = ZERO
    """Tokens of the prompt itself."""
    from_: dict[Reference, NonNegative] = Field(default={}, alias="from")
    """Shares of earlier steps' visible output."""
    history: bool = False
    """Add what all steps of the loop wrote in its earlier iterations."""


def _input(value: Any) -> Any:
    if isinstance(value, InputTokens) or (isinstance(value, Mapping) and not _is_distribution(value)):
        return value
    return {"own": value}


def _is_distribution(value: Mapping[Any, Any]) -> bool:
    return not any(key in ("own", "from", "from_", "history") for key in value) and len(value) > 0


Input = Annotated[InputTokens, BeforeValidator(_input)]


class Media(Model):
    """Images and sound in the input, as tokens."""

    images: int = Field(default=0, ge=0, le=10_000)
    """How many images."""
    tokens_per_image: NonNegative = 0.0
    """Tokens of an image."""
    audio_seconds: Seconds = 0.0
    """Length of the sound (s)."""
    tokens_per_audio_second: NonNegative = 0.0
    """Tokens of a second of sound."""

    @property
    def tokens(self) -> float:
        """Tokens of all media together."""
        return self.images * self.tokens_per_image + self.audio_seconds * self.tokens_per_audio_second


def _routes(routes: dict[str, float]) -> dict[str, float]:
    total = sum(routes.values())
    if routes and abs(total - 1) > 1e-9:
        raise problem(f"the probabilities add up to {total:g}, not 1", "let them add up to 1")
    return routes


Routes = Annotated[dict[Identifier, Share], AfterValidator(_routes)]

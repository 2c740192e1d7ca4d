"""The backend document: how fast, how reliable and how dear a place is that answers calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from agentflow import units
from agentflow.schema._base import Items, Model, problem
from agentflow.schema.calls import Errors
from agentflow.schema.distribution import CountDistribution, DurationDistribution, RateDistribution
from agentflow.schema.scalars import Day, Identifier, Line, PositiveTokens, PricePerToken, Prose, Share, Tokens, Usd

if TYPE_CHECKING:
    from agentflow.schema.served import Deployed, Table


def _rate(value: Any) -> float:
    try:
        rate = units.parse_rate(value)
    except ValueError as error:
        raise problem(str(error), "write a rate such as 12k tok/s") from None
    if rate <= 0:
        raise problem("must be above 0", "write a rate such as 12k tok/s, or leave it out")
    return rate


def _watts(value: Any) -> float:
    try:
        return units.parse_power(value)
    except ValueError as error:
        raise problem(str(error), "write a power such as 700 W") from None


Rate = Annotated[float, PlainValidator(_rate), WithJsonSchema({"type": ["number", "string"]})]
Watts = Annotated[float, PlainValidator(_watts), WithJsonSchema({"type": ["number", "string"]})]


class Variation(Model):
    """Log-sd of the slowdown: of the factor that a run keeps for a backend, and of each call's own noise."""

    between_runs: float = Field(default=0.0, ge=0.0, le=3.0)
    between_calls: float = Field(default=0.0, ge=0.0, le=3.0)


class Stall(Model):
    """A rare standstill before the first token."""

    probability: Share
    duration: DurationDistribution


class Drift(Model):
    """Log-sd of a provider's daily medians: an uncertainty of the profile, the same for all runs of a day.

    It is shown beside the simulation's own interval and never mixed into the runs.
    """

    ttft: float = Field(default=0.0, ge=0.0, le=1.0)
    """Of the time to first token."""
    speed: float = Field(default=0.0, ge=0.0, le=1.0)
    """Of the output speed."""


class Limit(Model):
    """What a provider allows one customer on one tier; exceeding it gives `rate_limit`. Enforced only under load."""

    tier: Line
    """The provider's name for the tier."""
    rpm: PositiveTokens | None = None
    """Requests a minute."""
    rpd: PositiveTokens | None = None
    """Requests a day."""
    tpm: PositiveTokens | None = None
    """Tokens a minute, input and output together."""
    tpd: PositiveTokens | None = None
    """Tokens a day."""
    itpm: PositiveTokens | None = None
    """Input tokens a minute."""
    otpm: PositiveTokens | None = None
    """Output tokens a minute."""
    concurrency: PositiveTokens | None = None
    """Requests at a time."""
    reserves: Literal["max_tokens", "nothing"] | None = None
    """What is set aside when a request is admitted: input and `max_tokens`, or nothing until it has ended."""
    counts_cached: bool | None = None
    """Whether cached input counts; by default it does."""
    per: Literal["all", "tenant"] = "all"
    """Whether all runs share it, or each tenant has its own."""


class Measured(Model):
    """The law of one attempt from measurements (docs/semantics.md).

    Parameters
    ----------
    ttft : Distribution
        Seconds to the first token with `ttft_input_tokens` of input, as a client near the provider measured.
    prefill_rate : float, optional
        Tokens of further input a second; without it input costs no time.
    decode_rate : Distribution
        Output tokens a second.
    """

    ttft: DurationDistribution
    ttft_input_tokens: Tokens = 0
    prefill_rate: Rate | None = None
    decode_rate: RateDistribution
    variation: Variation = Variation()
    stall: Stall | None = None
    network: DurationDistribution | None = None
    """What the user's place adds to each call; `--region` sets it from the catalogue's table."""
    measured_from: Identifier | None = None
    """Region of the client that measured the TTFT."""
    thinking: dict[Identifier, CountDistribution] = Field(default={})
    """Hidden reasoning tokens by effort, for steps that name an `effort`."""
    drift: Drift | None = None


class Law(Model):
    """How long an attempt takes: one of these.

    Parameters
    ----------
    measured : Measured
        From measurements of single requests.
    deployment : Deployed
        From chips, a model and an engine.
    table : Table
        From TTFT and TPOT measured at several concurrencies.
    """

    measured: Measured | None = None
    deployment: Deployed | None = None
    table: Table | None = None

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        given = [name for name in cls.model_fields if name in value] if isinstance(value, dict) else ["measured"]
        if len(given) != 1:
            what = "has more than one law" if given else "has no law"
            raise problem(what, "write one of measured, deployment and table")
        return value


class Cache(Model):
    """Prefix cache: how often it hits, from how many tokens on, in blocks of how many."""

    hit_rate: Share = 1.0
    min_tokens: Tokens = 0
    block: PositiveTokens = 1


class Price(Model):
    """Dollars a token; cached input as input and reasoning as output where they are not given."""

    input: PricePerToken
    cached_input: PricePerToken | None = None
    output: PricePerToken
    reasoning: PricePerToken | None = None
    per_call: Usd = 0.0
    batch: Share | None = None
    """What the provider's batch interface costs, as a share of these prices; the answer then takes hours."""


class Power(Model):
    """Electric power of the deployment (W)."""

    watts: Watts


class Evidence(Model):
    """Where figures come from.

    Parameters
    ----------
    figures : tuple of str
        Names of the profile's figures, such as `ttft` or `variation.between_runs`.
    value : float, optional
        A cited number that is no field of the profile, in SI units, such as `total_500`.
    """

    figures: Annotated[Items[Line], Field(min_length=1)]
    source: Prose
    url: Prose | None = None
    date: Day | None = None
    n: int | None = Field(default=None, ge=1)
    kind: Literal["measured", "published", "derived", "fitted", "assumed"]
    value: float | None = None
    input_tokens: PositiveTokens | None = None
    """Input of the requests that were measured."""
    concurrency: PositiveTokens | None = None
    """How many requests were under way at a time."""
    region: Identifier | None = None
    """Where they came from."""
    note: Prose = ""


class Capacity(Model):
    """How many calls a backend serves at once, and who waits. It counts where runs share the backend, under load."""

    concurrency: Annotated[int, Field(ge=1, le=1_000_000)]
    """Calls in service at once."""
    queue: Literal["fifo", "priority", "sjf", "las", "age"] = "fifo"
    """Who is next: the first to come, the step's priority, the shortest call, the run served least, the oldest run."""
    max_queue: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    """Calls that may wait; one that comes then fails with `rate_limit`. By default any number."""
    shared: Line | None = None
    """Backends that name the same have their slots in common."""
    per: Literal["all", "tenant"] = "all"
    """Whether all runs share the slots, or each tenant has its own."""


class Backend(Model):
    """A place that answers calls of one model."""

    schema_version: Literal[1] = 1
    name: Line
    provider: Line
    model: Line
    description: Prose = ""
    status: Literal["current", "retired", "historical"] = "current"
    as_of: Day | None = None
    context: PositiveTokens | None = None
    max_output: PositiveTokens | None = None
    law: Law
    cache: Cache | None = None
    capacity: Capacity | None = None
    """How many calls it serves at once; by default any number."""
    errors: Errors = Field(default={})
    price: Price | None = None
    power: Power | None = None
    limits: Items[Limit] = ()
    tier: Line | None = None
    """The customer's tier, one of those in `limits`, which then counts under load; by default none does."""
    evidence: Items[Evidence] = ()

    @model_validator(mode="after")
    def _known_tier(self) -> Backend:
        if self.tier is not None and self.limit is None:
            known = ", ".join(limit.tier for limit in self.limits) or "none"
            raise problem(
                f"no tier named '{self.tier}' in limits; there are: {known}", "name one of them, or leave it out"
            )
        return self

    @property
    def limit(self) -> Limit | None:
        """What the customer's tier allows."""
        return next((limit for limit in self.limits if limit.tier == self.tier), None)

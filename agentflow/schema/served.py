"""Laws of what one serves oneself: a deployment at a load, and measured curves by concurrency."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from agentflow.schema._base import Items, Model, problem
from agentflow.schema.backend import Variation
from agentflow.schema.deployment import Deployment
from agentflow.schema.distribution import DurationDistribution
from agentflow.schema.quantities import OrName
from agentflow.schema.scalars import PositiveSeconds, PositiveTokens

Concurrency = Annotated[float, Field(gt=0, le=1e6)]


class Deployed(Model):
    """The law of one attempt from physics: a deployment at a steady load (docs/semantics.md).

    Parameters
    ----------
    deployment : name or Deployment
        A name of the catalogue, or the document itself.
    concurrency : float
        Requests in flight on all replicas, this one included.
    input_tokens, output_tokens : int
        Of the other requests, which one waits for and shares the chips with.
    variation : Variation
        Of the times that physics gives.
    network : Distribution
        What the way to the server adds.
    """

    deployment: Annotated[Deployment, OrName("deployment")]
    concurrency: Concurrency = 1.0
    input_tokens: PositiveTokens = 1000
    output_tokens: PositiveTokens = 500
    variation: Variation = Variation()
    network: DurationDistribution | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"deployment": value} if isinstance(value, Deployment) else value


class TableRow(Model):
    """One measured load.

    Parameters
    ----------
    concurrency : float
        Requests in flight.
    input_tokens : int
        Of each of them.
    ttft : duration
        Time to first token, queueing included.
    tpot : duration
        Time per output token after the first.
    """

    concurrency: Concurrency
    input_tokens: PositiveTokens | None = None
    ttft: PositiveSeconds
    tpot: PositiveSeconds


class Table(Model):
    """The law of one attempt from measured curves (docs/semantics.md).

    Parameters
    ----------
    concurrency : float
        Requests in flight, this one included; within the rows'.
    rows : list of TableRow
        One for each load; either all or none say `input_tokens`.
    variation : Variation
        Of the times that the table gives.
    network : Distribution
        What the way to the server adds.
    """

    concurrency: Concurrency = 1.0
    rows: Annotated[Items[TableRow], Field(min_length=1)]
    variation: Variation = Variation()
    network: DurationDistribution | None = None

    @model_validator(mode="after")
    def _covers(self) -> Self:
        lengths = {row.input_tokens for row in self.rows}
        if None in lengths and len(lengths) > 1:
            raise problem("some rows say input_tokens and some do not", "give it in all rows, or in none", "rows")
        for length in lengths:
            loads = [row.concurrency for row in self.rows if row.input_tokens == length]
            at = "" if length is None else f" at {length} input tokens"
            if len(set(loads)) < len(loads):
                raise problem(f"a concurrency is there twice{at}", "keep one of the rows", "rows")
            if not min(loads) <= self.concurrency <= max(loads):
                raise problem(
                    f"{self.concurrency:g} was not measured{at}: the rows go from {min(loads):g} to {max(loads):g}",
                    "measure there, or choose a concurrency between them", "concurrency",
                )  # fmt: skip
        return self

"""The network document: what a connection from a user's region to a provider costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agentflow.schema._base import Items, Model
from agentflow.schema.distribution import DurationDistribution
from agentflow.schema.scalars import Day, Identifier, Prose


class Network(Model):
    """Seconds of DNS, TCP, TLS and the first byte on a new connection, by provider and region."""

    schema_version: Literal[1] = 1
    description: Prose = ""
    source: Prose
    date: Day
    note: Prose = ""
    regions: Annotated[Items[Identifier], Field(min_length=1)]
    edges: dict[Identifier, dict[Identifier, DurationDistribution]]

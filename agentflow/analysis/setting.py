"""Where and when a scenario takes place: the user's region, and the date to which trends carry prices and speeds."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from agentflow.analysis.loading.client import SOURCE
from agentflow.analysis.region import WARM, from_region
from agentflow.analysis.trends import Trend, project
from agentflow.documents import load_network
from agentflow.errors import UsageError, listed, quoted
from agentflow.plan import Client
from agentflow.schema import Backend


@dataclass(frozen=True)
class Setting:
    """What holds for all backends of a scenario.

    Attributes
    ----------
    region
        The user's region, one of the catalogue's table of networks.
    new_connections
        Whether each call opens a connection of its own.
    price, speed
        Trends, from each profile's date to `when`.
    when
        The date of the scenario; needed with a trend.
    tier
        The customer's tier, whose rate limits count under load, where a backend has one of that name.
    client
        What SDK and framework cost, under load.
    """

    region: str | None = None
    new_connections: bool = False
    price: Trend | None = None
    speed: Trend | None = None
    when: datetime.date | None = None
    tier: str | None = None
    client: Client | None = None

    def __post_init__(self) -> None:
        if (self.price or self.speed) and self.when is None:
            raise UsageError("a trend needs a date to run to; add --when 2028-05-01 or --when 18mo")
        if self.when is not None and not (self.price or self.speed):
            raise UsageError("a date needs a trend; add --price-trend -86%/yr or --speed-trend x2/yr")

    def apply(self, assignment: Mapping[str, Backend]) -> dict[str, Backend]:
        """Return the backends as they are in this setting; the same backend stays the same object."""
        network = load_network() if self.region else None
        made: dict[int, Backend] = {}
        if self.tier is not None:
            _check_tier(self.tier, list(assignment.values()))
        for backend in assignment.values():
            if id(backend) in made:
                continue
            found = backend
            if network is not None and self.region is not None:
                found = from_region(found, self.region, network, self.new_connections)
            if self.when is not None:
                found = project(found, self.when, price=self.price, speed=self.speed)
            if self.tier is not None:
                found = found.model_copy(update={"tier": _tier(self.tier, found) or found.tier})
            made[id(backend)] = found
        return {step: made[id(backend)] for step, backend in assignment.items()}

    def notes(self) -> list[str]:
        """Say what is assumed."""
        notes = []
        if self.region:
            how = "a new connection for each call" if self.new_connections else f"{WARM:.2f} of a new connection"
            notes.append(f"calls from {self.region}: {how}, beyond what the profiles hold")
        for what, trend in (("prices", self.price), ("speeds", self.speed)):
            if trend is not None:
                notes.append(f"{what} {trend.text} from each profile's date to {self.when}, an extrapolation")
        if self.tier is not None:
            notes.append(f"the rate limits of {quoted(self.tier)} as token buckets, full at first")
        if self.client is not None:
            notes.append(f"client {self.client.name}: {SOURCE}")
        return notes


def _tier(name: str, backend: Backend) -> str | None:
    """Return a backend's own spelling of a tier; None if it has none of that name."""
    return next((limit.tier for limit in backend.limits if limit.tier.casefold() == name.casefold()), None)


def _check_tier(name: str, backends: list[Backend]) -> None:
    if all(_tier(name, backend) is None for backend in backends):
        known = sorted({limit.tier for backend in backends for limit in backend.limits})
        raise UsageError(f"no backend here has a tier {quoted(name)}; there are {listed(known) if known else 'none'}")

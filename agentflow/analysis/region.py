"""What the user's region adds to a hosted backend's calls.

A profile's TTFT holds the way from the client that measured it. From another region only the difference counts,
and on a connection that is kept alive a call pays one of the about three round trips of a new connection
(TCP 1, TLS 1.3 1, the request 1: RFC 8446, RFC 9293), so a third of it. Both are assumptions, and said so.
"""

from __future__ import annotations

from math import exp, log
from statistics import median

from agentflow.errors import UsageError, did_you_mean, listed, printable
from agentflow.schema import Backend, Evidence, LogNormal
from agentflow.schema.distribution import median as middle
from agentflow.schema.network import Network

WARM = 1.0 / 3.0
"""Share of a new connection's time that a call on a warm one pays."""

LEAST = 1e-3
"""The least median of what a region adds (s): a place as near as the measuring one still has its own spread."""

_Z95 = 1.6448536269514722


def from_region(backend: Backend, region: str, network: Network, new_connections: bool = False) -> Backend:
    """Return the backend as a user in a region sees it.

    Parameters
    ----------
    backend : Backend
        With `measured_from`; one without it, or with a `network` of its own, stays as it is.
    region : str
        One of the table's.
    network : Network
        The table.
    new_connections : bool
        Whether each call opens a connection of its own.

    Raises
    ------
    UsageError
        If the table has no such region.
    """
    if region not in network.regions:
        near = did_you_mean(region, network.regions)
        way = f"did you mean {near!r}?" if near else f"there are {listed(network.regions)}"
        raise UsageError(f"--region {printable(region)}: there is no such region; {way}")
    measured = backend.law.measured
    if measured is None or measured.measured_from is None or measured.network is not None:
        return backend
    if measured.measured_from == region or measured.measured_from not in network.regions:
        return backend
    (here, tail), (there, _) = (_edge(network, backend.provider, r) for r in (region, measured.measured_from))
    share = 1.0 if new_connections else WARM
    added = max(share * max(0.0, here - there), LEAST)
    law = LogNormal.model_validate({"mu": log(added), "sigma": log((added + share * (tail - here)) / added) / _Z95})
    known = backend.provider in network.edges
    evidence = Evidence(
        figures=("network",),
        source=network.source,
        date=network.date,
        kind="derived" if known else "assumed",
        note=f"{region} less {measured.measured_from}, {'a new' if new_connections else 'a third of a new'} connection"
        + ("" if known else "; medians over all providers, as this one is not in the table"),
    )
    changed = measured.model_copy(update={"network": law})
    return backend.model_copy(
        update={
            "law": backend.law.model_copy(update={"measured": changed}),
            "evidence": (*backend.evidence, evidence),
        }
    )


def _edge(network: Network, provider: str, region: str) -> tuple[float, float]:
    """Return the median and the p95 of a provider's edge; of all providers' where it has none."""
    rows = [network.edges[provider]] if provider in network.edges else list(network.edges.values())
    laws = [row[region] for row in rows if region in row]
    return median(middle(law) for law in laws), median(_p95(law) for law in laws)


def _p95(law: object) -> float:
    assert isinstance(law, LogNormal)
    return float(middle(law)) * exp(law.sigma * _Z95)

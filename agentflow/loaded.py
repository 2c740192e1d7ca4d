"""What a simulation under load adds to a result: replications, and what the shared resources did in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_FACTS = (
    "arrivals",
    "rate",
    "users",
    "tenants",
    "replications",
    "warmup",
    "resources",
    "limits",
    "breakers",
    "client",
    "client_cores",
    "fleets",
)
_WHOLE = {"fleet_replicas", "capacity", "counts", "ended", "wait_hist", "limit_counts", "breaker_counts"}
CAUSES = ("rpm", "rpd", "tpm", "tpd", "itpm", "otpm", "concurrency")
"""What a rate limit turns an attempt away for."""


@dataclass(frozen=True, eq=False)
class Load:
    """The load of a result; R replications of N / R runs each, K resources, B bins of `result.hist_edges`.

    Attributes
    ----------
    arrivals
        As it was written, such as `poisson:0.5/s`.
    rate, users, tenants
        Arrivals a second or None; users of a closed loop or 0; tenants.
    replications, warmup
        Number of independent replications, and of runs that warm each up and are not counted.
    resources, capacity
        Names, and slots (of all tenants together), shape (K,).
    work
        Slot-seconds that a run asks of each resource when it is alone, shape (K,).
    window_s, ended
        What was looked at in each replication (s), and the runs that ended in it, shape (R,).
    areas
        Busy slots x s, queue length x s, sum of the waits (s), sum of their squares, shape (R, K, 4).
    counts
        Calls served, turned away, and gone before their turn, shape (R, K, 3).
    wait_hist
        Waits of all replications by bin, shape (K, B).
    limits, breakers
        Names of the rate limits and of the circuit breakers.
    limit_rates
        What each limit lets through a second, by the first six of `CAUSES`; infinity where none, shape (Q, 6).
    limit_asks
        Requests, input and output tokens that a run asks of each when it is alone, shape (Q, 3).
    limit_counts
        Attempts that passed, then those turned away by each of `CAUSES`, shape (R, Q, 8).
    breaker_counts
        How often each breaker opened, and the attempts that it refused, shape (R, J, 2).
    client, client_cores
        The client as it was named, and the cores of all its processes; empty and 0 without one.
    client_use
        Core-seconds asked of the client, seconds waited for them, and how often they were asked for, shape (R, 3).
    fleets
        Names of the deployments whose replicas batch.
    fleet_replicas, fleet_work
        How many replicas each has, and the seconds of one that a run takes where batches are full, shape (F,).
    fleet_use
        Seconds in which their steps ran, and how often a request lost its blocks, shape (R, F, 2).
    span_s
        When the first run of each replication arrived and when the last had ended, from its start (s), shape (R, 2).
    arrival_s, end_s
        When each run arrived and when its last step had ended, from its replication's start (s), shape (N,); like the
        columns of the result not kept where runs are many.
    """

    arrivals: str
    rate: float | None
    users: int
    tenants: int
    replications: int
    warmup: int
    resources: tuple[str, ...]
    capacity: I64
    work: F64
    window_s: F64
    ended: I64
    areas: F64
    counts: I64
    wait_hist: I64
    limits: tuple[str, ...]
    limit_rates: F64
    limit_asks: F64
    limit_counts: I64
    breakers: tuple[str, ...]
    breaker_counts: I64
    client: str
    client_cores: int
    client_use: F64
    fleets: tuple[str, ...]
    fleet_replicas: I64
    fleet_work: F64
    fleet_use: F64
    span_s: F64
    arrival_s: F64
    end_s: F64

    def facts(self) -> dict[str, Any]:
        """Return what is no array, for JSON."""
        return {name: getattr(self, name) for name in _FACTS}

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in _FACTS}


def read_load(facts: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> Load:
    """Build it again from what `facts` and `columns` gave.

    Raises
    ------
    ValueError
        If something is missing, or shapes do not fit together.
    """
    if set(facts) != set(_FACTS) or set(columns) != {item.name for item in fields(Load)} - set(_FACTS):
        raise ValueError("its load is not complete")
    given: dict[str, Any] = {**facts, **columns}
    given |= {name: tuple(facts[name]) for name in ("resources", "limits", "breakers", "fleets")}
    load = Load(**given)
    r, k, q = load.replications, len(load.resources), len(load.limits)
    shapes: dict[str, tuple[int, ...]] = {
        "areas": (r, k, 4), "counts": (r, k, 3), "window_s": (r,), "ended": (r,), "span_s": (r, 2),
        "capacity": (k,), "work": (k,),
        "limit_rates": (q, 6), "limit_asks": (q, 3), "limit_counts": (r, q, 8),
        "breaker_counts": (r, len(load.breakers), 2), "client_use": (r, 3),
        "fleet_replicas": (len(load.fleets),), "fleet_work": (len(load.fleets),), "fleet_use": (r, len(load.fleets), 2),
    }  # fmt: skip
    for name, column in columns.items():
        dtype = np.dtype(np.int64 if name in _WHOLE else np.float64)
        if column.dtype != dtype or column.shape != shapes.get(name, column.shape):
            raise ValueError(f"load.{name}: {column.dtype}{column.shape} does not fit")
    return load

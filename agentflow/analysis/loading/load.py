"""What load does to a scenario: how to simulate it honestly, and what the shared resources have to say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from agentflow.analysis.loading.slo import Slo, goodput
from agentflow.estimate import Estimate, mean_estimate
from agentflow.loaded import CAUSES, Load
from agentflow.plan import Plan
from agentflow.plan.resources import most_runs
from agentflow.result import Result, hist_quantile

if TYPE_CHECKING:
    from agentflow.engine.arrivals import Arrivals
    from agentflow.engine.gathered import Shape
    from agentflow.engine.load import Pilot

REPLICATIONS = 20
FEWEST = 10  # replications of few runs
NEAR = 0.9
"""Offered load above which waits hang on small changes."""

State = Literal["stable", "near", "unstable"]


def offered(plan: Plan, arrivals: Arrivals, alone: Pilot) -> NDArray[np.float64]:
    """Return the offered load of each resource over its slots: above 1 it cannot keep up.

    NaN where load does not come at a rate.
    """
    rate = math.nan if arrivals.rate is None else arrivals.rate
    slots = [r.concurrency * (arrivals.tenants if r.per_tenant else 1) for r in plan.resources]
    return rate * alone.work / np.array(slots, np.float64)


def shape_of(plan: Plan, arrivals: Arrivals, alone: Pilot, runs: int) -> Shape:
    """Choose replications and warm-up for a number of runs.

    The warm-up lasts as long as the slowest of a hundred runs alone, and ten relaxation times of the slowest resource:
    for a queue of c servers of mean service s at load rho about s / (c (1 - sqrt(rho))^2), the inverse of the gap in
    the spectrum of M/M/1 with c times its speed (Morse 1955); where calls batch, five times what a run takes alone over
    1 - load. A closed loop warms up over ten runs a user. A trace or a
    batch has no steady state.
    """
    from agentflow.engine.gathered import Shape  # late, as all that simulates: a start should not wait for it

    if arrivals.size is not None:
        return Shape(max(FEWEST, math.ceil(runs / arrivals.size)), 0, arrivals.size)
    replications = REPLICATIONS if runs >= 100 * REPLICATIONS else FEWEST
    each = max(2, math.ceil(runs / replications))
    if arrivals.users:
        return Shape(replications, 10 * arrivals.users, each)
    assert arrivals.rate is not None
    relaxation = 0.0
    loads = offered(plan, arrivals, alone)
    for load, work, calls, resource in zip(loads, alone.work, alone.calls, plan.resources, strict=True):
        if calls > 0.0:
            gap = (1.0 - math.sqrt(min(load, 0.98))) ** 2
            relaxation = max(relaxation, work / calls / (resource.concurrency * gap))
    for fleet, batched in zip(plan.fleets, alone.batched, strict=True):
        share = min(arrivals.rate * float(batched) / fleet.replicas, 0.98)
        relaxation = max(relaxation, 0.5 * float(np.median(alone.e2e_s)) / (1.0 - share))
    longest = float(alone.e2e_s[int(0.99 * len(alone.e2e_s))])
    fewest = 20 if plan.client is None else 200  # its cores' queue is not among the resources
    return Shape(replications, max(fewest, math.ceil(arrivals.rate * (longest + 10.0 * relaxation))), each)


@dataclass(frozen=True)
class ResourceReport:
    """What one shared resource did.

    Attributes
    ----------
    name, capacity
        Its name and its slots.
    offered
        Load offered over its slots; NaN where load does not come at a rate.
    utilisation
        Share of its slots that were busy.
    wait_s
        Mean wait of a call (s), with those that did not wait.
    wait_p95_s
        The p95 of all waits (s).
    queue
        Mean number of waiting calls.
    served, rejected, left
        Calls in all replications: served, turned away by a full queue, gone before their turn.
    """

    name: str
    capacity: int
    offered: float
    utilisation: Estimate
    wait_s: Estimate
    wait_p95_s: float
    queue: Estimate
    served: int
    rejected: int
    left: int


@dataclass(frozen=True)
class LimitReport:
    """What one rate limit did.

    Attributes
    ----------
    name
        The backend's and the tier's.
    offered
        What is asked of each bucket over what flows into it, by name; empty where load does not come at a rate.
    passed, refused
        Attempts in all replications; those refused by the bucket (or `concurrency`) that would have kept them longest.
    """

    name: str
    offered: dict[str, float]
    passed: int
    refused: dict[str, int]

    @property
    def worst(self) -> tuple[float, str]:
        """The highest offered load, and its bucket."""
        return max(((load, name) for name, load in self.offered.items()), default=(0.0, ""))


@dataclass(frozen=True)
class BreakerReport:
    """What one circuit breaker did in all replications: how often it opened, and the attempts that it refused."""

    name: str
    opened: int
    refused: int


@dataclass(frozen=True)
class FleetReport:
    """What the replicas of a deployment did.

    Attributes
    ----------
    name, replicas
        The backend's name, and how many there are.
    offered
        Load over what they can serve with full batches; NaN where load does not come at a rate.
    busy
        Share of the time in which their steps ran.
    preemptions
        How often a request lost its blocks of the cache, in all replications.
    """

    name: str
    replicas: int
    offered: float
    busy: Estimate
    preemptions: int


@dataclass(frozen=True)
class ClientReport:
    """What the client's cores did: share that was asked of them, and the mean wait of a call for them (s)."""

    name: str
    cores: int
    asked: Estimate
    wait_s: Estimate


@dataclass(frozen=True)
class LoadReport:
    """What load did to a scenario.

    Attributes
    ----------
    arrivals, rate, users, replications, warmup
        As in `Load`.
    throughput
        Runs that ended, a second.
    goodput
        Runs a second that are answered within the objective's limit; None without an objective.
    makespan_s
        From the first arrival to the last end (s), for a trace or batch; else None.
    capacity
        The arrival rate at which the first resource is fully busy (runs a second), and its name; None without any.
    state
        `stable`, `near` (above 0.9 of the capacity), `unstable`.
    resources, limits, breakers, fleets
        In the order of the plan.
    client
        None where SDK and framework cost nothing.
    answered
        Runs a second that end with an answer, of those that `throughput` counts; None where that is not known.
    """

    arrivals: str
    rate: float | None
    users: int
    replications: int
    warmup: int
    throughput: Estimate
    makespan_s: Estimate | None
    capacity: tuple[float, str] | None
    state: State
    resources: tuple[ResourceReport, ...]
    goodput: Estimate | None = None
    limits: tuple[LimitReport, ...] = ()
    breakers: tuple[BreakerReport, ...] = ()
    client: ClientReport | None = None
    fleets: tuple[FleetReport, ...] = ()
    answered: float | None = None

    @property
    def verdict(self) -> str:
        """`overloaded`, `near its capacity`, or empty; of what comes at no rate nothing can be said."""
        asked = 0.0 if self.client is None else self.client.asked.value
        if self.state == "unstable" or asked >= 0.995:
            return "overloaded"
        return "near its capacity" if self.state == "near" or asked >= NEAR else ""


def report_load(result: Result, slo: Slo | None = None) -> LoadReport | None:
    """Report the load of a result, and its goodput under an objective; None for a result without load."""
    load = result.load
    if load is None:
        return None
    finite = load.rate is None and not load.users
    resources = tuple(_resource(load, k) for k in range(len(load.resources)))
    limits = tuple(_limit(load, k) for k in range(len(load.limits)))
    fleets = tuple(_fleet(load, k) for k in range(len(load.fleets)))
    worst = max((r.offered for r in resources if not math.isnan(r.offered)), default=0.0)
    worst = max([worst, *(limit.worst[0] for limit in limits)])
    worst = max([worst, *(fleet.offered for fleet in fleets if not math.isnan(fleet.offered))])
    rates = [
        (float(c) / float(w), name) for c, w, name in zip(load.capacity, load.work, load.resources, strict=True) if w
    ]
    fleet_rates = zip(load.fleet_replicas, load.fleet_work, load.fleets, strict=True)
    rates += [(float(n) / float(work), name) for n, work, name in fleet_rates if work]
    rates += [
        (rate, f"{load.limits[k]} {bucket}")
        for k in range(len(limits))
        for bucket, rate in most_runs(load.limit_rates[k], load.limit_asks[k]).items()
    ]
    return LoadReport(
        arrivals=load.arrivals,
        rate=load.rate,
        users=load.users,
        replications=load.replications,
        warmup=load.warmup,
        throughput=mean_estimate(load.ended / np.maximum(load.window_s, 1e-300)),
        makespan_s=mean_estimate(_makespans(load)) if finite or not load.warmup else None,
        capacity=min(rates) if rates else None,
        state="unstable" if worst >= 1.0 else "near" if worst > NEAR else "stable",
        resources=resources,
        goodput=None if slo is None else goodput(result, load, slo),
        limits=limits,
        breakers=tuple(
            BreakerReport(name, int(opened), int(refused))
            for name, (opened, refused) in zip(load.breakers, load.breaker_counts.sum(axis=0), strict=True)
        ),
        client=_client(load),
        fleets=fleets,
    )


def _limit(load: Load, k: int) -> LimitReport:
    passed, *refused = load.limit_counts[:, k].sum(axis=0).tolist()
    offered = (
        {}
        if load.rate is None
        else {name: load.rate / most for name, most in most_runs(load.limit_rates[k], load.limit_asks[k]).items()}
    )
    causes = {name: int(n) for name, n in zip(CAUSES, refused, strict=True) if n}
    return LimitReport(load.limits[k], offered, int(passed), causes)


def _fleet(load: Load, k: int) -> FleetReport:
    replicas, work = int(load.fleet_replicas[k]), float(load.fleet_work[k])
    return FleetReport(
        load.fleets[k],
        replicas,
        math.nan if load.rate is None else load.rate * work / replicas,
        mean_estimate(load.fleet_use[:, k, 0] / np.maximum(load.window_s, 1e-300) / replicas),
        int(load.fleet_use[:, k, 1].sum()),
    )


def _client(load: Load) -> ClientReport | None:
    if not load.client_cores:
        return None
    busy, waited, bursts = load.client_use.T
    asked = mean_estimate(busy / np.maximum(load.window_s, 1e-300) / load.client_cores)
    return ClientReport(load.client, load.client_cores, asked, mean_estimate(waited / np.maximum(bursts, 1)))


def _makespans(load: Load) -> NDArray[np.float64]:
    spans: NDArray[np.float64] = load.span_s[:, 1] - load.span_s[:, 0]
    return spans


def _resource(load: Load, k: int) -> ResourceReport:
    window = np.maximum(load.window_s, 1e-300)
    slots = float(load.capacity[k])
    served, rejected, left = (load.counts[:, k, i] for i in range(3))
    waits = load.areas[:, k, 2] / np.maximum(served, 1)
    return ResourceReport(
        name=load.resources[k],
        capacity=int(load.capacity[k]),
        offered=math.nan if load.rate is None else load.rate * float(load.work[k]) / slots,
        utilisation=mean_estimate(load.areas[:, k, 0] / window / slots),
        wait_s=mean_estimate(waits),
        wait_p95_s=hist_quantile(load.wait_hist[k], 0.95),
        queue=mean_estimate(load.areas[:, k, 1] / window),
        served=int(served.sum()),
        rejected=int(rejected.sum()),
        left=int(left.sum()),
    )


def warnings_of(report: LoadReport) -> list[str]:
    """Say what the figures cannot be trusted for."""
    said = []
    if report.client is not None and report.client.asked.value >= NEAR:
        said.append(
            f"the client's cores are asked for {report.client.asked.value:.0%} of their time: the framework, not the "
            "backends, bounds what this process can do; spread it over --client ..,processes=N"
        )
    return said + _backend_warnings(report)


def _backend_warnings(report: LoadReport) -> list[str]:
    if report.capacity is None or report.rate is None or report.state == "stable":
        return []
    most, name = report.capacity
    limited = any(name.startswith(limit.name) for limit in report.limits)
    if report.state == "unstable" and limited:
        return [
            f"over the limit: {report.rate:.4g} runs/s arrive and {name} lets {most:.4g} runs/s through; more and more "
            "calls are refused once its bucket is empty"
        ]
    if report.state == "unstable":
        return [
            f"unstable: {report.rate:.4g} runs/s arrive and {name} can serve {most:.4g} runs/s; its queue grows as "
            "long as the load lasts, and the times depend on how long that is"
        ]
    share = report.rate / most
    what = "lets through" if limited else "can serve"
    return [f"{name} is offered {share:.0%} of what it {what} ({most:.4g} runs/s): waits hang on small changes"]

"""How much load a scenario bears: the highest arrival rate that holds a service level objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentflow.analysis.assignment import BackendLike
from agentflow.analysis.loading.arrivals import parse_arrivals
from agentflow.analysis.loading.load import LoadReport, report_load, shape_of
from agentflow.analysis.loading.slo import Slo, parse_slo
from agentflow.analysis.metrics import Metrics
from agentflow.analysis.scenario import WorkflowLike, build_scenarios, plan_of
from agentflow.analysis.setting import Setting
from agentflow.errors import UsageError, quoted
from agentflow.estimate import Estimate
from agentflow.plan import Plan
from agentflow.plan.resources import most_runs
from agentflow.result import Result

if TYPE_CHECKING:
    from agentflow.engine.load import Pilot

KINDS = ("poisson", "constant", "gamma")
GRID = (0.1, 0.3, 0.5, 0.65, 0.8, 0.9)
"""Loads at which the curve is drawn, over the capacity of the busiest resource."""

HIGHEST = 0.995
"""The highest load that is tried: above, no number of runs would reach a steady state."""

CLOSE = 0.005
"""Relative width to which the rate is narrowed down."""


@dataclass(frozen=True)
class LoadPoint:
    """A scenario at one arrival rate: rate (1/s), the objective's statistic, and p50 and p95 of E2E (s)."""

    rate: float
    objective: Estimate
    p50: Estimate
    p95: Estimate
    busy: tuple[float, ...]


@dataclass(frozen=True)
class CapacityReport:
    """How much load a scenario bears.

    Attributes
    ----------
    label
        The scenario's.
    slo
        The objective.
    alone
        The objective's statistic of a run that is alone (s).
    rate
        The highest arrival rate that holds the objective (1/s), and the rates between which it lies: up to `low` the
        whole interval of the statistic is within the limit, from `high` on none of it. None where nothing is shared,
        0 where a run that is alone misses it.
    bound
        The rate at which the first resource or limit is used up (1/s), and its name; None where nothing is shared.
    saturates
        Whether the objective holds up to that bound.
    at
        What the load does at the rate; None where there is none.
    points
        The scenario at rising rates.
    tiers
        Tiers that the backends know, where none is chosen and nothing is shared.
    """

    label: str
    slo: Slo
    alone: Estimate
    rate: Estimate | None
    bound: tuple[float, str] | None
    saturates: bool
    at: LoadReport | None
    points: tuple[LoadPoint, ...]
    tiers: tuple[str, ...] = ()


def find_capacity(
    label: str,
    plan: Plan,
    alone: Pilot,
    slo: Slo,
    runs: int,
    seed: int = 0,
    threads: int | None = None,
    kind: str = "poisson",
    told: Callable[[], None] | None = None,
) -> CapacityReport:
    """Find the highest arrival rate that holds an objective.

    The statistic's estimate and the two ends of its interval are each followed to where they cross the limit, by
    bisection over common random numbers: all rates see the same runs and the same arrivals, stretched.

    Raises
    ------
    UsageError
        If the arrivals are none that have a rate.
    """
    from agentflow.engine.load import run_load

    points: dict[float, LoadPoint] = {}
    reports: dict[float, LoadReport] = {}

    def at(rate: float) -> LoadPoint:
        if rate not in points:
            arrivals = parse_arrivals(_written(kind, rate))
            result = run_load(plan, arrivals, shape_of(plan, arrivals, alone, runs), seed, threads, alone=alone)
            points[rate], reports[rate] = _point(result, rate, slo), _report(result)
            if told is not None:
                told()
        return points[rate]

    bound = _bound(plan, alone, kind)
    single = _alone(plan, slo, runs, seed, threads)
    if bound is None or single.value > slo.limit:
        rate = None if bound is None and single.value <= slo.limit else Estimate(0.0, 0.0, 0.0)
        return CapacityReport(label, slo, single, rate, bound, False, None, ())
    top = HIGHEST * bound[0]
    for share in GRID:
        at(share * bound[0])
    lowest = min(points)
    value, safe, lost = (_crossing(at, name, slo.limit, lowest, top) for name in ("value", "high", "low"))
    found = Estimate(value, min(safe, value), max(lost, value))
    held = at(found.value)
    return CapacityReport(
        label,
        slo,
        single,
        found,
        bound,
        found.value >= top,
        reports[held.rate],
        tuple(points[r] for r in sorted(points)),
    )


def _written(kind: str, rate: float) -> str:
    """Write arrivals of a kind (`gamma,cv=3`) at a rate."""
    name, comma, options = kind.partition(",")
    if name not in KINDS:
        raise UsageError(f"--arrivals {quoted(kind)}: name a kind that has a rate, without one: {', '.join(KINDS)}")
    return f"{name}:{rate!r}/s{comma}{options}"


def _bound(plan: Plan, alone: Pilot, kind: str) -> tuple[float, str] | None:
    """Return the rate that uses up the first resource or rate limit."""
    tenants = parse_arrivals(_written(kind, 1.0)).tenants
    slots = [r.concurrency * (tenants if r.per_tenant else 1) for r in plan.resources]
    pairs = zip(slots, alone.work.tolist(), plan.resources, strict=True)
    rates = [(n / work, r.name) for n, work, r in pairs if work > 0.0]
    rates += [
        (fleet.replicas / work, fleet.name) for fleet, work in zip(plan.fleets, alone.batched.tolist(), strict=True)
    ]
    for limit, asks in zip(plan.limits, alone.asks, strict=True):
        rates += [(rate, f"{limit.name} {name}") for name, rate in most_runs(limit.rates(tenants), asks).items()]
    return min(rates, default=None)


def _alone(plan: Plan, slo: Slo, runs: int, seed: int, threads: int | None) -> Estimate:
    """Estimate the statistic of runs that are alone."""
    from agentflow.engine import run_plan

    return slo.estimate(run_plan(plan, runs, seed, threads))


def _point(result: Result, rate: float, slo: Slo) -> LoadPoint:
    metrics = Metrics(result)
    report = _report(result)
    busy = tuple(resource.utilisation.value for resource in report.resources)
    return LoadPoint(rate, slo.estimate(result), metrics.column("e2e_s", 0.5), metrics.column("e2e_s", 0.95), busy)


def _report(result: Result) -> LoadReport:
    report = report_load(result)
    assert report is not None
    return report


def _end(point: LoadPoint, name: str) -> float:
    found = getattr(point.objective, name)
    return point.objective.value if found is None else float(found)


def _crossing(at: Callable[[float], LoadPoint], name: str, limit: float, low: float, high: float) -> float:
    """Return the rate up to which an end of the interval, which rises with the rate, stays within the limit."""
    if _end(at(high), name) <= limit:
        return high
    if _end(at(low), name) > limit:
        high, low = low, low / 16.0
        if _end(at(low), name) > limit:
            return 0.0
    while high - low > CLOSE * high:
        middle = 0.5 * (low + high)
        if _end(at(middle), name) <= limit:
            low = middle
        else:
            high = middle
    return low


def scenario_capacities(
    workflow: WorkflowLike,
    slo: str,
    backends: BackendLike | Sequence[BackendLike] | None = None,
    *,
    assign: Mapping[str, BackendLike] | None = None,
    setting: Setting | None = None,
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    arrivals: str = "poisson",
    told: Callable[[], None] | None = None,
    loading: Callable[[], None] | None = None,
) -> Sequence[CapacityReport]:
    """Find how much load a workflow bears on each backend.

    Parameters
    ----------
    workflow, backends, assign, setting, runs, seed, threads
        As for `compare`; `runs` at each rate that is tried.
    slo
        The objective, such as `p95<20s`.
    arrivals
        A kind of arrivals without its rate: `poisson`, `constant`, `gamma,cv=3`.
    told
        Is called after each rate.
    loading
        Is called once before load is simulated, which where nothing is shared it is not.

    Raises
    ------
    AgentflowError
        If a name, a document or the objective makes no sense.
    """
    objective = parse_slo(slo)
    if runs < 1:
        raise UsageError("at least one run is needed")
    scenarios = build_scenarios(workflow, backends, assign, setting)
    _written(arrivals, 1.0)
    plans = [plan_of(scenario, loaded=True) for scenario in scenarios]
    if loading is not None and any(_shares(plan) for plan in plans):
        loading()
    found = []
    for scenario, plan in zip(scenarios, plans, strict=True):
        if _shares(plan):
            alone = _pilot(plan, seed)
            found.append(find_capacity(scenario.label, plan, alone, objective, runs, seed, threads, arrivals, told))
            continue
        single = _alone(plan, objective, runs, seed, threads)
        rate = None if single.value <= objective.limit else Estimate(0.0, 0.0, 0.0)
        tiers = dict.fromkeys(limit.tier for b in scenario.assignment.values() for limit in b.limits)
        found.append(CapacityReport(scenario.label, objective, single, rate, None, False, None, (), tuple(tiers)))
    return found


def _shares(plan: Plan) -> bool:
    """Whether runs of a plan meet anywhere that has a bound."""
    return bool(plan.resources or plan.limits or plan.fleets)


def _pilot(plan: Plan, seed: int) -> Pilot:
    from agentflow.engine.load import pilot

    return pilot(plan, seed)

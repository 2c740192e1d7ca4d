"""Which backend for which step: the assignment with the shortest time within a price, and what less money buys.

Few enough assignments are all simulated. Of more, a local search starts from each backend for all steps and changes
one step at a time while that helps: for the time within the limits, and for the time plus so many dollars' worth of
seconds, which finds the assignments between. All share their draws. The one that is chosen is the best of many on the
runs that chose it, so its figures come from fresh runs (decision 0009).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Literal

from agentflow import documents
from agentflow.analysis.assignment import BackendLike, model_steps
from agentflow.analysis.insight.candidates import places_for
from agentflow.analysis.insight.whatif import fresh_seed
from agentflow.analysis.metrics import NO_ANSWER, Metrics
from agentflow.analysis.scenario import Progress, Scenario, WorkflowLike, build_scenarios, load
from agentflow.analysis.setting import Setting
from agentflow.analysis.summary import STATS
from agentflow.errors import UsageError
from agentflow.estimate import Estimate
from agentflow.schema import Backend

By = Literal["mean", "p50", "p95", "p99"]

MOST = 1000
"""Assignments that are all simulated; of more, a local search looks at some."""


@dataclass(frozen=True)
class Assignment:
    """Backends by step, with their time and price.

    Attributes
    ----------
    places
        The backend's name by step.
    time_s
        The figure of E2E that is made short (s).
    cost_usd
        Mean price of a run (US dollars); None where one is not known.
    answered
        Share of the runs that are answered.
    """

    places: Mapping[str, str]
    time_s: float
    cost_usd: float | None
    answered: float


@dataclass(frozen=True)
class Optimum:
    """What was found.

    Attributes
    ----------
    best
        The best within the limits, on the runs that chose it; None where none is within them.
    nearest
        Where none is: the one that is least beyond them; else None.
    time_s, cost_usd
        Of the best, on fresh runs.
    front
        Assignments to which no other is both as quick and as cheap, the quickest first; of those that were simulated.
    looked, of, proven
        How many were simulated, of how many, and whether that is all.
    by, limit_usd, runs, seed
        What was asked.
    """

    best: Assignment | None
    nearest: Assignment | None
    time_s: Estimate | None
    cost_usd: Estimate | None
    front: tuple[Assignment, ...]
    looked: int
    of: int
    proven: bool
    by: By
    limit_usd: float | None
    runs: int
    seed: int


def optimize(
    workflow: WorkflowLike,
    backends: Sequence[BackendLike],
    *,
    by: By = "p95",
    limit_usd: float | None = None,
    least_answered: float = 0.0,
    runs: int = 4000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    setting: Setting | None = None,
) -> Optimum:
    """Find a backend for each step that calls a model.

    Parameters
    ----------
    backends
        Backends or providers to choose from; for each step those that have its model.
    by
        The figure of E2E to make short.
    limit_usd
        The most that a run may cost on average (US dollars).
    least_answered
        The least share of the runs that must be answered.
    workflow, runs, seed, threads, progress, setting
        As for `simulate`.

    Raises
    ------
    AgentflowError
        As for `simulate`, and if a step's model is at none of the backends, or a price is needed and not known.
    """
    search = _Search(workflow, backends, by, limit_usd, least_answered, runs, seed, threads, setting, progress)
    search.run()
    seen = list(search.seen.values())
    if limit_usd is not None and all(found.cost_usd is None for found in seen):
        raise UsageError("--max-cost: no price of these backends is known")
    within = [key for key, found in search.seen.items() if search.allowed(found)]
    best = min(within, key=lambda key: search.seen[key].time_s, default=None)
    time = cost = None
    if best is not None:
        fresh = search.simulate(best, fresh_seed(seed))
        time = fresh.column("e2e_s", STATS[by])
        cost = None if fresh.result.cost_usd is None else fresh.column("cost_usd", "mean")
    return Optimum(
        best=None if best is None else search.seen[best],
        nearest=min(seen, key=search.breach) if best is None else None,
        time_s=time,
        cost_usd=cost,
        front=_front(seen),
        looked=len(seen),
        of=search.total,
        proven=len(seen) == search.total,
        by=by,
        limit_usd=limit_usd,
        runs=runs,
        seed=seed,
    )


Choice = tuple[int, ...]


class _Search:
    """Looks at assignments, each once; a choice is a number for each step."""

    def __init__(
        self,
        workflow: WorkflowLike,
        backends: Sequence[BackendLike],
        by: By,
        limit_usd: float | None,
        least_answered: float,
        runs: int,
        seed: int,
        threads: int | None,
        setting: Setting | None,
        progress: Progress | None,
    ) -> None:
        document = load(workflow)
        models = {item.path: item.model for item in model_steps(document)}
        if not models:
            raise UsageError(f"{document.name} calls no model, so there is nothing to choose")
        self.steps = list(models)
        found = places_for(set(models.values()), backends, setting)
        self.places: list[list[Backend]] = [found[models[step]] for step in self.steps]
        for step, places in zip(self.steps, self.places, strict=True):
            if not places:
                raise UsageError(f"{step}: none of these backends has {models[step]}")
        first = {step: places[0] for step, places in zip(self.steps, self.places, strict=True)}
        self.scenario: Scenario = build_scenarios(document, None, first, setting)[0]
        self.by, self.limit_usd, self.least = by, limit_usd, least_answered
        self.runs, self.seed, self.threads, self.progress = runs, seed, threads, progress
        self.seen: dict[Choice, Assignment] = {}
        self.total = 1
        for places in self.places:
            self.total *= len(places)

    def run(self) -> None:
        """Look at all, or search from each backend for all steps."""
        if self.total <= MOST:
            for choice in product(*(range(len(places)) for places in self.places)):
                self.look(choice)
            return
        names = dict.fromkeys(place.name.partition("/")[0] for places in self.places for place in places)
        starts = [
            tuple(
                next((i for i, place in enumerate(places) if place.name.partition("/")[0] == name), 0)
                for places in self.places
            )
            for name in names
        ]
        for start in dict.fromkeys(starts):
            self._descend(start, self._rank)
        for weight in self._weights():
            self._descend(starts[0], partial(_weighed, weight=weight))

    def _weights(self) -> list[float]:
        """Return what a dollar may be worth (s), from the spread of what has been seen."""
        costs = [found.cost_usd for found in self.seen.values() if found.cost_usd is not None]
        times = [found.time_s for found in self.seen.values()]
        if not costs or max(costs) == min(costs):
            return []
        typical = (max(times) - min(times)) / (max(costs) - min(costs))
        return [typical * 4.0**power for power in (-2, -1, 0, 1, 2)]

    def _descend(self, choice: Choice, rank: Callable[[Assignment], tuple[float, float]]) -> None:
        """Change one step at a time while that makes it better."""
        best, changed = choice, True
        while changed:
            changed = False
            for step, places in enumerate(self.places):
                tried = [(*best[:step], i, *best[step + 1 :]) for i in range(len(places))]
                better = min(tried, key=lambda c: rank(self.look(c)))
                if rank(self.look(better)) < rank(self.look(best)):
                    best, changed = better, True

    def _rank(self, found: Assignment) -> tuple[float, float]:
        """Order assignments: by how far they are beyond the price, then by time."""
        over = max(0.0, (found.cost_usd or 0.0) - self.limit_usd) if self.limit_usd is not None else 0.0
        return over + max(0.0, self.least - found.answered), found.time_s

    def breach(self, found: Assignment) -> tuple[float, float]:
        """Order assignments by how far they are beyond the limits, each as a share of it, then by time."""
        cost = float("inf") if found.cost_usd is None else found.cost_usd
        over = 0.0 if self.limit_usd is None else max(0.0, cost / max(self.limit_usd, 1e-12) - 1.0)
        return over + max(0.0, self.least - found.answered), found.time_s

    def allowed(self, found: Assignment) -> bool:
        """Whether an assignment is within the limits; one of unknown price is not within a price."""
        priced = self.limit_usd is None or (found.cost_usd is not None and found.cost_usd <= self.limit_usd)
        return priced and found.answered >= self.least

    def simulate(self, choice: Choice, seed: int) -> Metrics:
        """Simulate one assignment."""
        from agentflow.engine import run_plan
        from agentflow.plan import compile_plan

        chosen = {step: places[i] for step, places, i in zip(self.steps, self.places, choice, strict=True)}
        scenario = replace(self.scenario, assignment={**self.scenario.assignment, **chosen})
        plan = compile_plan(scenario.workflow, scenario.assignment, documents.position_of)
        return Metrics(run_plan(plan, self.runs, seed, threads=self.threads))

    def look(self, choice: Choice) -> Assignment:
        """Return an assignment's figures."""
        if choice not in self.seen:
            metrics = self.simulate(choice, self.seed)
            result = metrics.result
            lost = sum(metrics.outcome(name).value for name in NO_ANSWER)
            self.seen[choice] = Assignment(
                {step: places[i].name for step, places, i in zip(self.steps, self.places, choice, strict=True)},
                metrics.column("e2e_s", STATS[self.by]).value,
                None if result.cost_usd is None else float(result.cost_usd.mean()),
                1.0 - lost,
            )
            if self.progress is not None:
                self.progress(len(self.seen) * self.runs, max(len(self.seen) + 1, min(self.total, MOST)) * self.runs)
        return self.seen[choice]


def _weighed(found: Assignment, weight: float) -> tuple[float, float]:
    """Order assignments by time, and price at so many seconds a dollar."""
    return found.time_s + weight * (found.cost_usd or 0.0), 0.0


def _front(seen: Sequence[Assignment]) -> tuple[Assignment, ...]:
    """Return those to which no other is both as quick and as cheap, the quickest first."""
    priced = sorted(
        ((found.time_s, found.cost_usd, found) for found in seen if found.cost_usd is not None), key=lambda row: row[:2]
    )
    front: list[Assignment] = []
    cheapest = float("inf")
    for _, cost, found in priced:
        if cost < cheapest:
            front.append(found)
            cheapest = cost
    return tuple(front)

"""From a workflow and backends to results: the functions `simulate` and `compare`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agentflow import documents
from agentflow.analysis import failures, provenance
from agentflow.analysis.assignment import BackendLike, assign_backends
from agentflow.analysis.compare import Comparison, compare_results
from agentflow.analysis.context import overflows
from agentflow.analysis.drift import KEY, drift_of
from agentflow.analysis.loading.arrivals import parse_arrivals
from agentflow.analysis.loading.load import shape_of
from agentflow.analysis.precision import run_to_precision
from agentflow.analysis.setting import Setting
from agentflow.engine.arrivals import Arrivals
from agentflow.engine.reasons import KEY as WHY
from agentflow.errors import UsageError, listed, quoted
from agentflow.plan import Client, Plan, compile_plan
from agentflow.plan.resources import fleets_of, keeps_its_law
from agentflow.result import Result
from agentflow.schema import Backend, Workflow

WorkflowLike = str | os.PathLike[str] | Workflow
"""A workflow, its name in the catalogue, or the path of its file."""

Progress = Callable[[int, int], None]
"""Is told how many runs are done, and of how many."""


@dataclass(frozen=True)
class Scenario:
    """A workflow with a backend for each of its calls, and the name by which to tell it from others."""

    label: str
    workflow: Workflow
    assignment: Mapping[str, Backend]
    notes: tuple[str, ...] = ()
    client: Client | None = None


def simulate(
    workflow: WorkflowLike,
    backend: BackendLike | None = None,
    *,
    assign: Mapping[str, BackendLike] | None = None,
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    precision: float | None = None,
    arrivals: str | None = None,
    progress: Progress | None = None,
    setting: Setting | None = None,
    checkpoint: Path | None = None,
    columns: bool | None = None,
) -> Result:
    """Simulate a workflow.

    Parameters
    ----------
    workflow
        A workflow, its name in the catalogue, or the path of its file.
    backend
        What answers the steps that name none: a backend, its name (`groq/llama-3.1-8b`), a provider's name
        (`groq`: its profile for each step's model), or the path of a file.
    assign
        Backends for steps by path (`draft.write`, or `draft` for all steps in it). Wins over all else.
    runs
        Number of independent runs; with `precision`, the number to begin with.
    seed
        Run n of a seed is the same whatever the number of runs, threads, and other steps' backends.
    threads
        Threads to use; by default one a core. The result does not depend on it.
    precision
        Go on until the 95 % interval of the p95 of E2E is within this share of it, for example 0.02.
    arrivals
        How runs arrive, such as `poisson:0.5/s` (see `analysis.arrivals`): they then share the backends that have a
        `capacity`, and intervals come from independent replications. Without it each run is alone.
    progress
        Is told how many runs are done, and of how many.
    setting
        The user's region, and trends of prices and speeds to another date.
    checkpoint
        Under load: folder of the replications that are done, from which a simulation that was killed goes on.
    columns
        Under load: whether the result has a value a run. By default it has for up to 100,000 runs; beyond, its figures
        come from bins 1/512 wide, and memory does not grow with the runs.

    Raises
    ------
    AgentflowError
        If a document is not valid, a name is unknown, a step has no backend, or the workflow cannot be
        compiled.
    """
    document = load(workflow)
    scenario = build_scenarios(document, backend, assign, setting)[0]
    return run_scenarios([scenario], runs, seed, threads, precision, progress, arrivals, checkpoint, columns)[0]


def compare(
    workflows: WorkflowLike | Sequence[WorkflowLike],
    backends: BackendLike | Sequence[BackendLike] | None = None,
    *,
    assign: Mapping[str, BackendLike] | None = None,
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    precision: float | None = None,
    arrivals: str | None = None,
    progress: Progress | None = None,
    baseline: str | None = None,
    setting: Setting | None = None,
) -> Comparison:
    """Simulate one or several workflows on one or several backends, over common random numbers.

    Parameters
    ----------
    workflows, backends
        Each workflow is run on each backend. See `simulate`, also for the other parameters.
    baseline
        The label (or backend, or workflow) that the others are compared with; by default the slowest.

    Raises
    ------
    AgentflowError
        As for `simulate`, and if no scenario has the baseline's label.
    """
    scenarios = build_scenarios(workflows, backends, assign, setting)
    position = find_baseline(scenarios, baseline)
    results = run_scenarios(scenarios, runs, seed, threads, precision, progress, arrivals)
    return compare_results([scenario.label for scenario in scenarios], results, position)


def load(workflow: WorkflowLike) -> Workflow:
    """Return a workflow that is given itself, by name or by path."""
    return workflow if isinstance(workflow, Workflow) else documents.load_workflow(workflow)


def build_scenarios(
    workflows: WorkflowLike | Sequence[WorkflowLike],
    backends: BackendLike | Sequence[BackendLike] | None = None,
    assign: Mapping[str, BackendLike] | None = None,
    setting: Setting | None = None,
) -> list[Scenario]:
    """Pair each workflow with each backend."""
    loaded = [load(item) for item in _several(workflows)]
    places: Sequence[BackendLike | None] = _several(backends) if backends is not None else [None]
    if not loaded or not places:
        raise UsageError("a comparison needs at least one workflow and one backend")
    scenarios = [
        Scenario(
            _label(workflow, place, len(loaded), len(places)),
            workflow,
            _placed(assign_backends(workflow, place, assign), setting),
            tuple(setting.notes()) if setting else (),
            setting.client if setting else None,
        )
        for workflow in loaded
        for place in places
    ]
    return _tell_apart(scenarios)


def _placed(assignment: dict[str, Backend], setting: Setting | None) -> dict[str, Backend]:
    """Return the backends as they are in a setting."""
    return assignment if setting is None else setting.apply(assignment)


def _several(items: Any) -> Sequence[Any]:
    """Return a sequence of what may be one thing."""
    return items if isinstance(items, Sequence) and not isinstance(items, str) else [items]


def _label(workflow: Workflow, place: BackendLike | None, workflows: int, places: int) -> str:
    """Name a scenario by what differs."""
    backend = place.name if isinstance(place, Backend) else "" if place is None else os.fspath(place)
    if workflows == 1 and backend:
        return backend
    return f"{workflow.name} on {backend}" if places > 1 else workflow.name


def _tell_apart(scenarios: list[Scenario]) -> list[Scenario]:
    """Give scenarios whose labels are the same a number."""
    seen: dict[str, int] = {}
    result = []
    for scenario in scenarios:
        seen[scenario.label] = count = seen.get(scenario.label, 0) + 1
        label = scenario.label if count == 1 else f"{scenario.label} ({count})"
        result.append(replace(scenario, label=label))
    return result


def find_baseline(scenarios: Sequence[Scenario], baseline: str | None) -> int | None:
    """Return the position of the scenario with a label."""
    labels = [scenario.label for scenario in scenarios]
    if baseline is None:
        return None
    if baseline not in labels:
        raise UsageError(f"no scenario named {quoted(baseline)} to compare with; there are {listed(labels)}")
    return labels.index(baseline)


def run_scenarios(
    scenarios: Sequence[Scenario],
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    precision: float | None = None,
    progress: Progress | None = None,
    arrivals: str | None = None,
    checkpoint: Path | None = None,
    columns: bool | None = None,
    reasons: bool = True,
) -> Sequence[Result]:
    """Run scenarios with the same seed and number of runs, to a precision if one is asked for.

    To find out why runs failed takes longer than a small workflow: without `reasons` nobody looks.
    """
    from agentflow.engine import run_plan  # numba takes half a second to import

    if runs < 1:
        raise UsageError("at least one run is needed")
    if precision is not None and not 0.0 < precision < 1.0:
        raise UsageError("the precision is a share between 0 and 1, such as 2%")
    coming = None if arrivals is None else parse_arrivals(arrivals)
    plans = [plan_of(scenario, coming is not None) for scenario in scenarios]

    def alone(count: int) -> list[Result]:
        results = []
        for done, plan in enumerate(plans):
            report = _part(progress, done * count, len(plans) * count)
            results.append(run_plan(plan, count, seed, threads=threads, progress=report))
        return results

    batch: Callable[[int], list[Result]] = alone
    if coming is not None:
        batch = loaded_batch(plans, coming, arrivals or "", seed, threads, progress, checkpoint, columns)
    results = batch(runs) if precision is None else run_to_precision(batch, runs, precision)
    rows = zip(scenarios, plans, results, strict=True)
    return [
        replace(result, manifest=result.manifest | _facts(scenario, plan, result, reasons))
        for scenario, plan, result in rows
    ]


def plan_of(scenario: Scenario, loaded: bool = False) -> Plan:
    """Compile a scenario; under load its deployments are replicas that batch."""
    plan = compile_plan(scenario.workflow, scenario.assignment, documents.position_of)
    fleets = fleets_of(plan.backends, scenario.assignment.values()) if loaded else ()
    return replace(plan, client=scenario.client, fleets=fleets)


def unmoved_by_load(scenario: Scenario) -> list[str]:
    """Return the names of the deployments whose law stays that of one load, however many runs share them."""
    return sorted({b.name for b in scenario.assignment.values() if keeps_its_law(b)})


def loaded_batch(
    plans: Sequence[Plan],
    arrivals: Arrivals,
    written: str,
    seed: int,
    threads: int | None,
    progress: Progress | None,
    checkpoint: Path | None = None,
    columns: bool | None = None,
) -> Callable[[int], list[Result]]:
    """Return what runs plans under the same load, cut up in the same way so that their runs are paired."""
    from agentflow.engine.load import pilot, run_load

    alone = [pilot(plan, seed) for plan in plans]

    def batch(count: int) -> list[Result]:
        shapes = [shape_of(plan, arrivals, single, count) for plan, single in zip(plans, alone, strict=True)]
        shape = max(shapes, key=lambda shape: shape.warmup)
        total, results = shape.replications * shape.runs, []
        for done, (plan, single) in enumerate(zip(plans, alone, strict=True)):
            report = _part(progress, done * total, len(plans) * total)
            found = run_load(plan, arrivals, shape, seed, threads, report, written, single, checkpoint, columns)
            results.append(found)
        return results

    return batch


def _facts(scenario: Scenario, plan: Plan, result: Result, reasons: bool) -> dict[str, str]:
    """Return what a result should say of its scenario: what it stands on, what is assumed, and why runs failed."""
    facts = {KEY: drift_of(scenario.assignment), provenance.KEY: provenance.profiles_of(scenario.assignment)}
    if reasons and (why := failures.failures_of(plan, result)) is not None:
        facts[WHY] = why
    if found := [str(overflow) for overflow in overflows(scenario.workflow, scenario.assignment)]:
        facts["context"] = "\n".join(found)
    if result.load is not None and (unmoved := unmoved_by_load(scenario)):
        facts["unmoved_by_load"] = ", ".join(unmoved)
    if scenario.notes:
        facts["assumptions"] = "; ".join(scenario.notes)
    return facts


def _part(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return what reports the progress of one plan as that of all."""
    if progress is None:
        return None
    tell = progress
    return lambda done, _of: tell(before + done, total)

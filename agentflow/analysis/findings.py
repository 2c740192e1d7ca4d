"""Everything that a report of one workflow on one or several backends shows, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentflow import documents
from agentflow.analysis.assignment import BackendLike
from agentflow.analysis.compare import Comparison, compare_results
from agentflow.analysis.scenario import (
    Progress,
    Scenario,
    WorkflowLike,
    build_scenarios,
    find_baseline,
    load,
    run_scenarios,
)
from agentflow.analysis.setting import Setting
from agentflow.schema import Backend, Workflow

if TYPE_CHECKING:
    from agentflow.plan.merge import Merged

CHECKED = 64
"""Runs of each scenario that the page computes anew and compares with the engine's."""


@dataclass(frozen=True)
class Findings:
    """What a report shows.

    Attributes
    ----------
    workflow
        The document.
    scenarios, comparison
        One scenario a backend, in the order in which they were named, and their results in the same order.
    merged
        The plans of all scenarios put together, with which every mix of their backends can be computed.
    checks
        E2E of the first `CHECKED` runs of each scenario (s).
    backends
        Every backend that a step or a fallback is answered by, by name.
    """

    workflow: Workflow
    scenarios: tuple[Scenario, ...]
    comparison: Comparison
    merged: Merged
    checks: tuple[NDArray[np.float64], ...]
    backends: Mapping[str, Backend]


def find(
    workflow: WorkflowLike,
    backends: BackendLike | Sequence[BackendLike] | None = None,
    *,
    assign: Mapping[str, BackendLike] | None = None,
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    baseline: str | None = None,
    progress: Progress | None = None,
    setting: Setting | None = None,
) -> Findings:
    """Simulate a workflow on each backend and gather what a report shows.

    Parameters
    ----------
    workflow
        A workflow, its name in the catalogue, or the path of its file.
    backends, assign, runs, seed, threads, baseline, progress, setting
        As for `compare`.

    Raises
    ------
    AgentflowError
        As for `compare`.
    """
    from agentflow.engine import set_hedges
    from agentflow.plan import compile_plan
    from agentflow.plan.merge import merge_plans

    document = load(workflow)
    scenarios = build_scenarios(document, backends, assign, setting)
    position = find_baseline(scenarios, baseline)
    results = run_scenarios(scenarios, runs, seed, threads, None, progress)
    plans = [compile_plan(document, scenario.assignment, documents.position_of) for scenario in scenarios]
    return Findings(
        workflow=document,
        scenarios=tuple(scenarios),
        comparison=compare_results([scenario.label for scenario in scenarios], results, position),
        merged=merge_plans([set_hedges(plan, seed) for plan in plans]),
        checks=tuple(result.e2e_s[:CHECKED] for result in results),
        backends={b.name: b for scenario in scenarios for b in scenario.assignment.values()},
    )

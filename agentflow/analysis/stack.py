"""How latency stacks: the mean critical path, step by step, and what stands out in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agentflow.analysis.summary import Summary
from agentflow.result import COMPONENTS


@dataclass(frozen=True)
class Bar:
    """One step's part of the mean critical path.

    Attributes
    ----------
    step
        The step's path.
    start_s, seconds
        Where it begins, if the steps' mean parts are laid end to end, and how long it is (s).
    share
        Its share of the mean E2E.
    components_s
        Its parts by component, in the order of `COMPONENTS`.
    """

    step: str
    start_s: float
    seconds: float
    share: float
    components_s: dict[str, float]


@dataclass(frozen=True)
class Standout:
    """What dominates the critical path, over all runs or over the slowest 5 %.

    Attributes
    ----------
    step, step_s, step_share
        The step with the most seconds.
    component, component_share
        The component with the most seconds over all steps, and its share.
    step_component
        The component with the most seconds of that step.
    total_s
        The mean E2E.
    """

    step: str
    step_s: float
    step_share: float
    step_component: str
    component: str
    component_share: float
    total_s: float


def bars(summary: Summary) -> list[Bar]:
    """Lay the mean critical path out, one bar a step, in the order of the plan."""
    total = math.fsum(math.fsum(row.values()) for row in summary.critical_mean_s.values())
    start, result = 0.0, []
    for step, row in summary.critical_mean_s.items():
        seconds = math.fsum(row.values())
        result.append(Bar(step, start, seconds, seconds / total if total else 0.0, row))
        start += seconds
    return result


def by_component(seconds: dict[str, dict[str, float]]) -> dict[str, float]:
    """Sum the seconds over the steps, by component, in the order of `COMPONENTS`."""
    totals = {name: math.fsum(row.get(name, 0.0) for row in seconds.values()) for name in COMPONENTS}
    return {name: total for name, total in totals.items() if total > 0.0}


def standout(seconds: dict[str, dict[str, float]]) -> Standout | None:
    """Find the step and the component with the most seconds; None where no time passes."""
    steps = {step: math.fsum(row.values()) for step, row in seconds.items()}
    components = by_component(seconds)
    total = math.fsum(steps.values())
    if total <= 0.0:
        return None
    step = max(steps, key=lambda name: steps[name])
    row = seconds[step]
    part = max(row, key=lambda name: row[name])
    component = max(components, key=lambda name: components[name])
    share = components[component] / total
    return Standout(step, steps[step], steps[step] / total, part, component, share, total)

"""Changes that one could make to a workflow, each to one step, and the scenario that each makes.

A change alters what a step is or where it is answered, never its name, so that every draw but those it is about stays
as it was (docs/semantics.md, random numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agentflow.analysis.scenario import Scenario
from agentflow.schema import Backend, Hedge, LoopStep, MapStep, ModelFields, Step, Workflow, WorkflowStep
from agentflow.schema.retry import RetryPolicy
from agentflow.schema.scaling import scaled

Kind = Literal[
    "backend", "faster", "shorter_output", "fewer_retries", "hedge", "parallel_guardrail", "more_parallel", "drop_need",
    "prompt_cache",
]  # fmt: skip


@dataclass(frozen=True)
class Change:
    """Something that could be done to one step.

    Attributes
    ----------
    step
        The step's path.
    kind
        What is done.
    description
        The same in words, after the step's name.
    proviso
        What has to be so for it to be possible; empty where nothing has to.
    apply
        Makes the changed scenario from the present one.
    """

    step: str
    kind: Kind
    description: str
    proviso: str
    apply: Callable[[Scenario], Scenario] = field(repr=False, compare=False)


def step_at(workflow: Workflow, path: str) -> Any:
    """Return the step at a path such as "draft.write"."""
    name, _, rest = path.partition(".")
    step: Any = workflow.steps[name]
    while rest:
        name, _, rest = rest.partition(".")
        step = (step.workflow.steps if isinstance(step, WorkflowStep) else step.steps)[name]
    return step


def edit_step(workflow: Workflow, path: str, edit: Callable[[Any], Any]) -> Workflow:
    """Return the workflow with one step replaced by what `edit` makes of it."""
    return workflow.model_copy(update={"steps": _edited(workflow.steps, path, edit)})


def _edited(steps: Mapping[str, Step], path: str, edit: Callable[[Any], Any]) -> dict[str, Any]:
    """Return these steps with the one at a path replaced."""
    name, _, rest = path.partition(".")
    step: Any = steps[name]
    if not rest:
        made = edit(step)
    elif isinstance(step, WorkflowStep):
        inner: Any = step.workflow
        made = step.model_copy(update={"workflow": edit_step(inner, rest, edit)})
    else:
        made = step.model_copy(update={"steps": _edited(step.steps, rest, edit)})
    return {**steps, name: made}


def with_step(scenario: Scenario, path: str, **update: Any) -> Scenario:
    """Return the scenario with fields of one step replaced."""
    changed = edit_step(scenario.workflow, path, lambda step: step.model_copy(update=update))
    return replace(scenario, workflow=changed)


def places_of(scenario: Scenario, path: str) -> dict[str, Backend]:
    """Return where a step is answered: its backend and those of its fallbacks, by key of the assignment."""
    return {key: place for key, place in scenario.assignment.items() if key == path or key.startswith(f"{path}!")}


def with_backend(scenario: Scenario, path: str, backend: Backend) -> Scenario:
    """Return the scenario with one step answered elsewhere; its fallbacks stay."""
    return replace(scenario, assignment={**scenario.assignment, path: backend})


def faster_backend(backend: Backend, ttft: float, speed: float) -> Backend | None:
    """Return a backend whose first token comes so many times as soon and whose tokens come so many times as fast.

    It keeps its name, and so the run's draws of its speed. Prefill and stalls go with the first token; the way through
    the network stays. None where the backend's law is not a measured one, which knows no such factors.
    """
    law: Any = getattr(backend.law, "measured", None)
    if law is None:
        return None
    update: dict[str, Any] = {"ttft": scaled(law.ttft, 1.0 / ttft), "decode_rate": scaled(law.decode_rate, speed)}
    if law.prefill_rate is not None:
        update["prefill_rate"] = law.prefill_rate * ttft
    if law.stall is not None:
        update["stall"] = law.stall.model_copy(update={"duration": scaled(law.stall.duration, 1.0 / ttft)})
    changed = backend.law.model_copy(update={"measured": law.model_copy(update=update)})
    return backend.model_copy(update={"law": changed})


def with_speed(scenario: Scenario, path: str, ttft: float = 1.0, speed: float = 1.0) -> Scenario | None:
    """Return the scenario with one step's calls so many times as fast, at all its places; None if that is not known."""
    made = {key: faster_backend(place, ttft, speed) for key, place in places_of(scenario, path).items()}
    found = {key: place for key, place in made.items() if place is not None}
    if not made or len(found) < len(made):
        return None
    return replace(scenario, assignment={**scenario.assignment, **found})


def with_latency(scenario: Scenario, path: str, factor: float) -> Scenario:
    """Return the scenario with the latency of a tool, person or wait so many times as long."""
    step = step_at(scenario.workflow, path)
    name = "duration" if step.type == "wait" else "latency"
    return with_step(scenario, path, **{name: scaled(getattr(step, name), factor)})


def has_latency(step: Any) -> bool:
    """Whether a step takes its own time and calls no model."""
    return not isinstance(step, ModelFields) or getattr(step, "latency", None) is not None


def leaf_steps(workflow: Workflow, prefix: str = "") -> dict[str, Any]:
    """Return the steps that take time by themselves, those in composites included, by path."""
    found: dict[str, Any] = {}
    for name, step in workflow.steps.items():
        found |= _leaves(prefix + name, step)
    return found


def _leaves(path: str, step: Any) -> dict[str, Any]:
    """Return the leaves of one step."""
    if isinstance(step, WorkflowStep):
        return leaf_steps(step.workflow, f"{path}.")
    if isinstance(step, LoopStep | MapStep):
        found: dict[str, Any] = {}
        for name, inner in step.steps.items():
            found |= _leaves(f"{path}.{name}", inner)
        return found
    return {path: step}


def hedged(scenario: Scenario, path: str, after: float) -> Scenario:
    """Return the scenario with a second call of a step when the first takes longer than `after` (s)."""
    return with_step(scenario, path, hedge=Hedge(after=after, max_hedges=1))


def document_of(workflow: Workflow, path: str) -> Workflow:
    """Return the document whose defaults hold for a step."""
    parts, document = path.split("."), workflow
    for end in range(1, len(parts)):
        step = step_at(workflow, ".".join(parts[:end]))
        if isinstance(step, WorkflowStep):
            document = step.workflow
    return document


def retries_of(workflow: Workflow, path: str) -> tuple[RetryPolicy, ...]:
    """Return the layers of retries of a step, inside first: its own, or those of its document."""
    step = step_at(workflow, path)
    if step.retry is not None:
        return tuple(step.retry)
    return () if step.type in ("human", "wait") else tuple(document_of(workflow, path).defaults.retry or ())

"""One thing or two varied over values: a step's speed, TTFT, tokens, latency, tries, concurrency, or backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Literal, get_args

from agentflow import documents
from agentflow.analysis.assignment import BackendLike, model_steps
from agentflow.analysis.compare import Comparison, compare_results
from agentflow.analysis.insight.changes import (
    has_latency,
    leaf_steps,
    retries_of,
    step_at,
    with_backend,
    with_latency,
    with_speed,
    with_step,
)
from agentflow.analysis.scenario import Progress, Scenario, WorkflowLike, build_scenarios, run_scenarios
from agentflow.analysis.setting import Setting
from agentflow.errors import AgentflowError, UsageError, did_you_mean, listed, quoted
from agentflow.schema import LoopStep, MapStep, WorkflowStep
from agentflow.schema.scaling import scaled
from agentflow.units import parse_count

What = Literal[
    "speed", "ttft", "output_tokens", "input_tokens", "latency", "max_attempts", "max_concurrency", "backend"
]

MOST = 400
"""Scenarios of one sweep."""


@dataclass(frozen=True)
class Vary:
    """What is varied, as written: `draft.write.speed=0.5,1,2`.

    Attributes
    ----------
    text
        The name that is varied, as written.
    step
        The step's path; None for all steps that have it.
    what
        Times as fast (`speed`), times as long (`ttft`, `latency`), times as many (`output_tokens`, `input_tokens`), so
        many (`max_attempts`, `max_concurrency`), or which (`backend`).
    values
        As written.
    """

    text: str
    step: str | None
    what: What
    values: tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """Scenarios in the order of `product` over the values; `comparison` holds a case for each, `values` what it has."""

    varied: tuple[Vary, ...]
    values: tuple[tuple[str, ...], ...]
    comparison: Comparison


def parse_vary(text: str) -> Vary:
    """Read what is varied.

    Raises
    ------
    UsageError
        If it is not WHAT=V1,V2 or STEP.WHAT=V1,V2, with values that make sense.
    """
    name, equals, values = text.partition("=")
    step, _, what = name.strip().rpartition(".")
    if not equals or what not in get_args(What):
        near = did_you_mean(what, get_args(What))
        way = f"did you mean {near!r}?" if near else f"WHAT is one of {', '.join(get_args(What))}"
        raise UsageError(f"--vary {quoted(text)}: write WHAT=1,2,4 or STEP.WHAT=1,2,4; {way}")
    found = tuple(value.strip() for value in values.split(",") if value.strip())
    if not found:
        raise UsageError(f"--vary {quoted(text)}: name the values, such as {name}=1,2,4")
    for value in found if what != "backend" else ():
        number = _number(text, value)
        whole = what in ("max_attempts", "max_concurrency")
        if number <= 0.0 or (whole and number != int(number)):
            raise UsageError(
                f"--vary {quoted(text)}: {value} must be {'a whole number' if whole else 'a number'} above 0"
            )
    return Vary(name.strip(), step or None, what, found)  # type: ignore[arg-type]


def _number(text: str, value: str) -> float:
    """Read one value."""
    try:
        return parse_count(value)
    except ValueError as error:
        raise UsageError(f"--vary {quoted(text)}: a value {error}") from None


def sweep(
    workflow: WorkflowLike,
    varied: Sequence[str | Vary],
    backend: BackendLike | None = None,
    *,
    assign: Mapping[str, BackendLike] | None = None,
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    setting: Setting | None = None,
) -> Sweep:
    """Simulate a workflow with all combinations of the values, over common random numbers.

    Parameters
    ----------
    varied
        What is varied, see `parse_vary`.
    workflow, backend, assign, runs, seed, threads, progress, setting
        As for `simulate`.

    Raises
    ------
    AgentflowError
        As for `simulate`, and if a step has not what is varied.
    """
    wanted = tuple(parse_vary(item) if isinstance(item, str) else item for item in varied)
    rows = tuple(product(*(item.values for item in wanted)))
    if not wanted or len(rows) > MOST:
        raise UsageError(f"a sweep has at least one --vary and at most {MOST} combinations of values, not {len(rows)}")
    base = build_scenarios(workflow, backend, assign, setting)[0]
    scenarios = []
    for values in rows:
        made = base
        for item, value in zip(wanted, values, strict=True):
            made = vary(made, item, value, setting)
        scenarios.append(made)
    results = run_scenarios(scenarios, runs, seed, threads, None, progress)
    labels = [", ".join(f"{item.text}={v}" for item, v in zip(wanted, values, strict=True)) for values in rows]
    return Sweep(wanted, rows, compare_results(labels, results, 0))


def vary(scenario: Scenario, item: Vary, value: str, setting: Setting | None = None) -> Scenario:
    """Return the scenario with one value."""
    known = _steps(scenario)
    if item.step is not None and item.step not in known:
        near = did_you_mean(item.step, known)
        way = f"did you mean {near!r}?" if near else f"there are {listed(known)}"
        raise UsageError(f"--vary {item.text}: no step named {quoted(item.step)}; {way}")
    made, done = scenario, 0
    for path in known if item.step is None else [item.step]:
        change = _change(made, path, item.what, value, setting)
        if change is not None:
            made, done = change(made), done + 1
    if not done:
        raise UsageError(
            f"--vary {item.text}: {item.step or 'no step'} has {'no ' if item.step else ''}{item.what} to vary"
        )
    return made


def _steps(scenario: Scenario, prefix: str = "", steps: Any = None) -> list[str]:
    """List all steps, composites too."""
    found = []
    for name, step in (scenario.workflow.steps if steps is None else steps).items():
        found.append(prefix + name)
        inner = step.workflow.steps if isinstance(step, WorkflowStep) else getattr(step, "steps", None)
        if isinstance(step, LoopStep | MapStep | WorkflowStep):
            found += _steps(scenario, f"{prefix}{name}.", inner)
    return found


def _change(
    scenario: Scenario, path: str, what: What, value: str, setting: Setting | None
) -> Callable[[Scenario], Scenario] | None:
    """Return what gives one step a value; None where it has nothing of the kind."""
    step = step_at(scenario.workflow, path)
    if what == "max_concurrency":
        return (
            partial(with_step, path=path, max_concurrency=int(parse_count(value)))
            if isinstance(step, MapStep)
            else None
        )
    if path not in leaf_steps(scenario.workflow):
        return None
    if what == "max_attempts":
        return _attempts(scenario, path, int(parse_count(value)))
    if has_latency(step):
        return partial(with_latency, path=path, factor=parse_count(value)) if what == "latency" else None
    if what == "backend":
        model = next(item.model for item in model_steps(scenario.workflow) if item.path == path)
        place = documents.resolve_backend(value, model)
        return partial(with_backend, path=path, backend=setting.apply({"": place})[""] if setting else place)
    return _call(scenario, path, step, what, value)


def _attempts(scenario: Scenario, path: str, tries: int) -> Callable[[Scenario], Scenario] | None:
    """Set the tries of each of a step's layers of retries."""
    layers = retries_of(scenario.workflow, path)
    if not layers:
        return None
    return partial(with_step, path=path, retry=tuple(x.model_copy(update={"max_attempts": tries}) for x in layers))


def _call(scenario: Scenario, path: str, step: Any, what: What, value: str) -> Callable[[Scenario], Scenario] | None:
    """Change a model call."""
    factor = parse_count(value)
    if what == "output_tokens":
        return partial(with_step, path=path, output_tokens=scaled(step.output_tokens, factor))
    if what == "input_tokens":
        tokens = step.input_tokens.model_copy(update={"own": scaled(step.input_tokens.own, factor)})
        return partial(with_step, path=path, input_tokens=tokens)
    ttft, speed = (1.0 / factor, 1.0) if what == "ttft" else (1.0, factor)
    if what not in ("ttft", "speed") or with_speed(scenario, path) is None:
        return None

    def change(found: Scenario) -> Scenario:
        made = with_speed(found, path, ttft, speed)
        if made is None:
            raise AgentflowError(f"{path}: its backend's law has no such figure")
        return made

    return change

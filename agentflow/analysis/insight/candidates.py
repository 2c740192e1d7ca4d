"""What could be done to each step of a scenario."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from agentflow import documents
from agentflow.analysis.assignment import BackendLike, model_steps
from agentflow.analysis.insight.changes import (
    Change,
    document_of,
    has_latency,
    hedged,
    leaf_steps,
    places_of,
    retries_of,
    with_backend,
    with_latency,
    with_speed,
    with_step,
)
from agentflow.analysis.scenario import Scenario
from agentflow.analysis.setting import Setting
from agentflow.errors import NotFoundError
from agentflow.schema import Backend, GuardrailStep, LoopStep, MapStep, Workflow, WorkflowStep
from agentflow.schema.distribution import upper
from agentflow.schema.scaling import lower, scaled

SHORTER = 0.7
"""Output tokens that are left where a step writes less."""


def candidates(
    scenario: Scenario,
    others: Sequence[BackendLike] = (),
    slow_s: Mapping[str, float] | None = None,
    setting: Setting | None = None,
) -> list[Change]:
    """List what could be done to each step.

    Parameters
    ----------
    scenario
        As it is.
    others
        Backends or providers that each model call could go to instead.
    slow_s
        The p95 of the latency of each step (s), after which a second call could be sent.
    setting
        Where and when the other backends are used, as those of the scenario are.

    Raises
    ------
    AgentflowError
        If a backend that is named has no profile for any of the steps.
    """
    found: list[Change] = []
    models = {item.path: item.model for item in model_steps(scenario.workflow)}
    places = places_for(set(models.values()), others, setting)
    for path, step in leaf_steps(scenario.workflow).items():
        if path in models:
            found += _elsewhere(scenario, path, places[models[path]])
        found += [change for make in _EACH for change in make(scenario, path, step)]
        found += _hedge(path, step, (slow_s or {}).get(path, 0.0))
    found += _structure(scenario.workflow)
    return found


def places_for(
    models: Collection[str | None], others: Sequence[BackendLike], setting: Setting | None = None
) -> dict[str | None, list[Backend]]:
    """Return by model what each of these backends is for it, without those that have not the model.

    Raises
    ------
    AgentflowError
        If a backend has none of the models: it is most likely a slip of the pen.
    """
    found = {model: _places(model, others, setting) for model in models}
    _check(others, found)
    return {model: [place for place in row if isinstance(place, Backend)] for model, row in found.items()}


def _places(model: str | None, others: Sequence[BackendLike], setting: Setting | None) -> list[Backend | NotFoundError]:
    """Return what each of the others is for a model, or why it is nothing."""
    found: list[Backend | NotFoundError] = []
    for other in others:
        try:
            place = documents.resolve_backend(other, model)
            found.append(setting.apply({"": place})[""] if setting else place)
        except NotFoundError as error:
            found.append(error)
    return found


def _check(others: Sequence[BackendLike], places: Mapping[str | None, Sequence[Backend | NotFoundError]]) -> None:
    """Refuse a backend that no step could use."""
    for number, _ in enumerate(others):
        found = [row[number] for row in places.values()]
        errors = [item for item in found if isinstance(item, NotFoundError)]
        if errors and len(errors) == len(found):
            raise errors[0]


def _elsewhere(scenario: Scenario, path: str, places: Sequence[Backend]) -> Iterator[Change]:
    """Send the step's calls to another backend; one that has not the model is no candidate."""
    seen = {scenario.assignment[path].name}
    for place in places:
        if place.name not in seen:
            seen.add(place.name)
            yield Change(path, "backend", f"on {place.name}", "", partial(with_backend, path=path, backend=place))


def _faster(scenario: Scenario, path: str, step: Any) -> Iterator[Change]:
    """Make the step twice as fast."""
    if has_latency(step):
        yield Change(path, "faster", "2 times faster", "", partial(with_latency, path=path, factor=0.5))
    elif with_speed(scenario, path, 2.0, 2.0) is not None:
        yield Change(path, "faster", "2 times faster", "", partial(_sped, path=path))


def _sped(scenario: Scenario, path: str) -> Scenario:
    """Make a step's calls twice as fast."""
    made = with_speed(scenario, path, 2.0, 2.0)
    assert made is not None
    return made


def _shorter(scenario: Scenario, path: str, step: Any) -> Iterator[Change]:
    """Let the step write less."""
    if not has_latency(step) and upper(step.output_tokens) > 1.5:
        fewer = scaled(step.output_tokens, SHORTER)
        change = partial(with_step, path=path, output_tokens=fewer)
        yield Change(path, "shorter_output", "30 % fewer output tokens", "if as good", change)


def _fewer_retries(scenario: Scenario, path: str, step: Any) -> Iterator[Change]:
    """Take one try from the outermost layer of retries that has any."""
    defaults = document_of(scenario.workflow, path).defaults
    retry = retries_of(scenario.workflow, path)
    timeout = step.timeout or (defaults.timeout if step.type not in ("human", "wait") else None)
    errors = bool(step.errors) or any(place.errors for place in places_of(scenario, path).values())
    layers = [i for i, layer in enumerate(retry) if layer.max_attempts > 1]
    if not layers or not (errors or timeout):
        return
    changed = list(retry)
    layer = changed[layers[-1]]
    changed[layers[-1]] = layer.model_copy(update={"max_attempts": layer.max_attempts - 1})
    tries = "try" if layer.max_attempts == 2 else "tries"
    text = f"one retry less ({layer.max_attempts - 1} {tries})"
    yield Change(path, "fewer_retries", text, "", partial(with_step, path=path, retry=tuple(changed)))


def _hedge(path: str, step: Any, after: float) -> Iterator[Change]:
    """Send a second call when the first takes long; only of what changes nothing in the world.

    After how long is fixed here, at the p95 of the runs at hand, so that the change is the same in all others.
    """
    reads = not has_latency(step) or step.type in ("retrieval", "guardrail")
    if step.hedge is None and reads and after > 0.0:
        text = f"hedged after {after:.3g} s, its p95"
        yield Change(path, "hedge", text, "if the answer's length is luck", partial(hedged, path=path, after=after))


def _prompt_cache(scenario: Scenario, path: str, step: Any) -> Iterator[Change]:
    """Let the backend keep the part of the prompt that is always the same."""
    if has_latency(step) or step.cached_input_tokens is not None:
        return
    cache = scenario.assignment[path].cache
    prefix = int(lower(step.input_tokens.own))
    if cache is None or prefix < max(1, cache.min_tokens):
        return
    text = f"prompt cache of {prefix:,} tokens"
    tokens = type(step).model_validate({**_bare(step), "cached_input_tokens": prefix}).cached_input_tokens
    change = partial(with_step, path=path, cached_input_tokens=tokens)
    yield Change(path, "prompt_cache", text, "if that much of the prompt is always the same", change)


def _bare(step: Any) -> dict[str, Any]:
    """Return the least that a step of this type needs, to have a field read."""
    return {"type": step.type, "output_tokens": 1}


def _structure(workflow: Workflow, prefix: str = "") -> Iterator[Change]:
    """Change what waits for what."""
    yield from _scope(workflow.steps, prefix)


def _scope(steps: Any, prefix: str) -> Iterator[Change]:
    """Change the structure of one scope and of those inside it."""
    for name, step in steps.items():
        path = prefix + name
        if isinstance(step, GuardrailStep) and step.blocking and _followed(steps, name):
            change = partial(with_step, path=path, blocking=False)
            proviso = "if what it rejects may run on meanwhile"
            yield Change(path, "parallel_guardrail", "beside what follows", proviso, change)
        if isinstance(step, MapStep):
            if step.max_concurrency is not None and step.max_concurrency < step.bound:
                change = partial(with_step, path=path, max_concurrency=None)
                yield Change(path, "more_parallel", f"all at once, not {step.max_concurrency} at a time", "", change)
            yield from _scope(step.steps, f"{path}.")
        elif isinstance(step, LoopStep):
            yield from _scope(step.steps, f"{path}.")
        elif isinstance(step, WorkflowStep):
            yield from _scope(step.workflow.steps, f"{path}.")
        yield from _needless(steps, name, path, step)


def _followed(steps: Any, name: str) -> bool:
    """Whether any step needs this one."""
    return any(need.partition(".")[0] == name for step in steps.values() for need in step.needs)


def _needless(steps: Any, name: str, path: str, step: Any) -> Iterator[Change]:
    """Drop needs of a model call that says what it reads and does not read from them.

    Safe as far as the document tells: the source is no guardrail, takes no route, is caught by nobody, and what the
    step reads still comes before it.
    """
    if has_latency(step) or isinstance(step, LoopStep | MapStep | WorkflowStep) or step.join != "all":
        return
    reads = {reference.partition(".")[0] for reference in step.input_tokens.from_} & set(steps)
    for need in step.needs:
        source = steps[need.partition(".")[0]]
        left = tuple(other for other in step.needs if other != need)
        idle = "." not in need and not isinstance(source, GuardrailStep) and not source.catch
        if reads and idle and need not in reads and reads <= _before(steps, left):
            change = partial(with_step, path=path, needs=left)
            yield Change(path, "drop_need", f"no longer after {need}", f"if it needs nothing that {need} does", change)


def _before(steps: Any, needs: Sequence[str]) -> set[str]:
    """Return all steps that come before one with these needs."""
    found: set[str] = set()
    todo = [need.partition(".")[0] for need in needs]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [need.partition(".")[0] for need in steps[name].needs]
            todo += [other for other, step in steps.items() if any(catch.to == name for catch in step.catch)]
    return found


_EACH = (_faster, _shorter, _fewer_retries, _prompt_cache)

"""Which backend answers which step: what the user says, then the step, then the defaults."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agentflow import documents
from agentflow.errors import NoProfileError, NotFoundError, UsageError, did_you_mean, listed, printable
from agentflow.schema import Backend, LoopStep, MapStep, ModelFields, Step, Workflow, WorkflowStep

BackendLike = str | os.PathLike[str] | Backend
"""A backend, its name, its provider's name, or the path of its file."""


@dataclass(frozen=True)
class ModelStep:
    """A step that calls a model: its path, and the model and backend that the document gives it."""

    path: str
    step: ModelFields
    model: str | None
    default_backend: str | None


def assign_backends(
    workflow: Workflow, backend: BackendLike | None = None, assign: Mapping[str, BackendLike] | None = None
) -> dict[str, Backend]:
    """Choose a backend for every model call of a workflow.

    The first of these that there is: `assign` of the step (or of the nearest composite around it), the step's own
    `backend`, the argument `backend`, the `backend` of its document's defaults.

    Returns
    -------
    dict
        Backends by step path ("draft.write"); the i-th fallback of a step, from 0, is "draft.write!0".

    Raises
    ------
    AgentflowError
        If a step has no backend, a name is unknown, or `assign` names no step that calls a model.
    """
    steps = list(model_steps(workflow))
    _check_targets(assign or {}, steps)
    resolve = _Resolver()
    result: dict[str, Backend] = {}
    homeless: list[ModelStep] = []
    for item in steps:
        try:
            made, without = _assign([item], backend, assign or {}, resolve)
        except NoProfileError as error:
            if len(steps) == 1:
                raise
            way = f"another backend for this step alone: --assign {printable(item.path)}=BACKEND"
            raise NoProfileError(f"{printable(item.path)}: {error}; {way}") from None
        result |= made
        homeless += without
    if homeless:
        raise UsageError(_no_backend(homeless))
    return result


def own_backends(workflow: Workflow) -> tuple[dict[str, Backend], list[tuple[ModelStep, str]]]:
    """Choose backends by what a workflow says itself.

    Returns
    -------
    dict
        Backends of the steps that have one, as `assign_backends` returns them.
    list
        The steps whose backend or model is not to be found, and why; a model that only the catalogue has not may be in
        a backend of the user's, so a step without any backend is none of them.
    """
    found: dict[str, Backend] = {}
    wrong: list[tuple[ModelStep, str]] = []
    resolve = _Resolver()
    for item in model_steps(workflow):
        try:
            found |= _assign([item], None, {}, resolve)[0]
        except NotFoundError as error:
            wrong.append((item, str(error)))
    return found, wrong


def _assign(
    steps: list[ModelStep], backend: BackendLike | None, chosen: Mapping[str, BackendLike], resolve: _Resolver
) -> tuple[dict[str, Backend], list[ModelStep]]:
    """Choose backends, and list the steps that get none."""
    result: dict[str, Backend] = {}
    homeless: list[ModelStep] = []
    for item in steps:
        place = _first(_assigned(chosen, item.path), item.step.backend, backend, item.default_backend)
        if place is None:
            homeless.append(item)
            continue
        home = resolve(place, item.model, item.path)
        result[item.path] = home
        for i, fallback in enumerate(item.step.fallbacks):
            key = f"{item.path}!{i}"
            where = _first(chosen.get(key), fallback.backend, home.provider)
            assert where is not None
            result[key] = resolve(where, fallback.model or item.model, key)
    return result, homeless


def model_steps(workflow: Workflow) -> Iterator[ModelStep]:
    """List the steps that call a model, those in composites included, in the document's order."""
    yield from _walk(workflow.steps, "", workflow)


def _walk(steps: Mapping[str, Step], prefix: str, document: Workflow) -> Iterator[ModelStep]:
    """List the model steps of a scope; a nested workflow's own defaults hold in it."""
    for name, step in steps.items():
        path = prefix + name
        if isinstance(step, LoopStep | MapStep):
            yield from _walk(step.steps, f"{path}.", document)
        elif isinstance(step, WorkflowStep):
            inner = step.workflow if isinstance(step.workflow, Workflow) else documents.load_workflow(step.workflow)
            yield from _walk(inner.steps, f"{path}.", inner)
        elif isinstance(step, ModelFields) and getattr(step, "latency", None) is None:
            model = step.model or document.defaults.model
            yield ModelStep(path, step, model, document.defaults.backend)


def _first(*places: BackendLike | None) -> BackendLike | None:
    """Return the first that is not None."""
    return next((place for place in places if place is not None), None)


def _assigned(assign: Mapping[str, BackendLike], path: str) -> BackendLike | None:
    """Return what is assigned to a step or to the nearest composite around it."""
    while path:
        if path in assign:
            return assign[path]
        path = path.rpartition(".")[0]
    return None


def _check_targets(assign: Mapping[str, BackendLike], steps: list[ModelStep]) -> None:
    """Refuse an assignment that would change nothing."""
    known: dict[str, None] = {}
    for item in steps:
        parts = item.path.split(".")
        known.update(dict.fromkeys(".".join(parts[:end]) for end in range(len(parts), 0, -1)))
        known.update(dict.fromkeys(f"{item.path}!{i}" for i in range(len(item.step.fallbacks))))
    for target in assign:
        if target not in known:
            near = did_you_mean(target, known)
            hint = f"did you mean {near!r}?" if near else f"those that do: {listed(known) or 'none'}"
            raise UsageError(f"assign {printable(target)}: no step of that name calls a model; {hint}")


def _no_backend(homeless: list[ModelStep]) -> str:
    """Say which steps lack a backend, and which providers have their models."""
    models = {item.model for item in homeless}
    steps = listed([item.path for item in homeless], 5)
    names = documents.list_backends()
    having = [{name.partition("/")[0] for name in names if name.partition("/")[2] == model} for model in models]
    providers = sorted(set.intersection(*having)) if having else []
    what = " and ".join(printable(model) for model in sorted(filter(None, models))) or "a model"
    if providers:
        way = f"providers that have {what}: {', '.join(providers)}; add for example --backend {providers[0]}"
    else:
        way = f"no provider of the catalogue has {what}; name a backend by --backend, see `agentflow list backends`"
    return f"no backend for {steps}: {way}"


class _Resolver:
    """Turns names into backends, each name and model once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], Backend] = {}

    def __call__(self, place: BackendLike, model: str | None, path: str) -> Backend:
        """Return the backend for a step."""
        if isinstance(place, Backend):
            return place
        key = (os.fspath(place), model)
        if key not in self._known:
            self._known[key] = documents.resolve_backend(key[0], model)
        return self._known[key]

"""Puts Pydantic's findings into plain words, each with its place in the document and a way out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from agentflow.documents.reader import Tree, Where
from agentflow.errors import did_you_mean, listed, printable, quoted
from agentflow.schema import STEP_TYPES, StepBase
from agentflow.schema._base import PROBLEMS, Model


def explain(error: ValidationError, root: type[Model], tree: Tree) -> None:
    """Note everything that a validation found."""
    findings = error.errors(include_url=False)
    typos = {(*loc[:-1], meant) for loc, meant in _typos(findings, root, tree)}
    for finding in findings:
        path, models = _walk(finding["loc"], root, tree.data)
        kind, value, context = finding["type"], finding["input"], finding.get("ctx", {})
        if kind == PROBLEMS:
            for rest, message, hint in context["found"]:
                tree.add((*path, *rest), message, hint)
        elif kind == "extra_forbidden":
            _unknown(path, models, tree)
        elif kind == "missing" and (*path[:-1], path[-1]) in typos:
            continue  # told at the key that was meant to be it
        elif kind == "missing":
            tree.add(path[:-1], f"'{path[-1]}' is missing", f"add {path[-1]}: ..")
        else:
            if kind == "too_short" and value:
                continue  # its entries were dropped, each with a problem of its own
            message, hint = _words(kind, value, context)
            tree.add(path, message, hint)


def _typos(findings: Sequence[Any], root: type[Model], tree: Tree) -> Iterator[tuple[Where, str]]:
    """List the unknown keys with the key that was probably meant."""
    for finding in findings:
        if finding["type"] == "extra_forbidden":
            path, models = _walk(finding["loc"], root, tree.data)
            near = did_you_mean(str(path[-1]), _known(models))
            if near:
                yield path, near


def _known(models: list[type[Model]]) -> list[str]:
    """List the keys that a mapping may have."""
    return sorted({field.alias or key for model in models for key, field in model.model_fields.items()})


def _unknown(path: Where, models: list[type[Model]], tree: Tree) -> None:
    name = str(path[-1])
    for model in models:
        if name in model.later:
            tree.add(path, model.later[name], key=True)
            return
    known = _known(models)
    near = did_you_mean(name, known)
    tree.add(
        path,
        f"unknown key {quoted(name)}",
        f"did you mean '{near}'?" if near else f"the keys are {listed(known, 20)}",
        key=True,
    )


def _walk(loc: tuple[Any, ...], root: type[Model], data: Any) -> tuple[Where, list[type[Model]]]:
    """Turn Pydantic's location, which names the step types on its way, into the document's path and models."""
    path: list[Any] = []
    models: list[type[Model]] = [root]
    inside = False  # a mapping or list of models: the next part is a key of the user's, or an index
    node = data
    for part in loc:
        if not inside and isinstance(part, str) and part in STEP_TYPES and _are_steps(models) and not _has(node, part):
            models = [STEP_TYPES[part]]
            continue
        field = None if inside or isinstance(part, int) else _field(models, part)
        path.append(field[0] if field else part)
        node = node[path[-1]] if _has(node, path[-1]) else None
        if field:
            below = list(_models(field[1]))
            inside = bool(below) and get_origin(_bare(field[1])) in (dict, tuple)
            models = below or models
        else:
            inside = False
    return tuple(path), models


def _has(node: Any, part: Any) -> bool:
    if isinstance(node, Mapping):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and part < len(node)


def _are_steps(models: list[type[Model]]) -> bool:
    return len(models) > 1 and all(issubclass(model, StepBase) for model in models)


def _field(models: list[type[Model]], name: str) -> tuple[str, Any] | None:
    for model in models:
        for key, field in model.model_fields.items():
            if name in (key, field.alias):
                return field.alias or key, field.annotation
    return None


def _bare(annotation: Any) -> Any:
    """Strip Annotated and `| None`."""
    while True:
        arguments = [a for a in get_args(annotation) if a is not type(None)]
        if hasattr(annotation, "__metadata__") or (len(arguments) == 1 and get_origin(annotation) not in (dict, tuple)):
            annotation = arguments[0]
        else:
            return annotation


def _models(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if issubclass(annotation, Model):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _models(argument)


def _words(kind: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    got = quoted(value)
    if kind.startswith("bool"):
        return f"must be true or false, not {got}", "write true or false"
    if kind.startswith(("int", "float")) or kind == "finite_number":
        return f"must be a number, not {got}", "write a number, without quotes"
    if kind.startswith("string"):
        return f"must be a text, not {got}", "put it in quotes"
    if kind in ("model_type", "dict_type", "model_attributes_type", "mapping_type"):
        return f"must be a mapping, not {got}", "write key: value lines, indented below it"
    if kind in ("tuple_type", "list_type"):
        one = f"write [{printable(value)}]" if isinstance(value, str) and value else "write [a, b]"
        return f"must be a list, not {got}", f"{one}, or lines that begin with -"
    if kind == "literal_error":
        expected = str(context.get("expected", "one of them"))
        near = did_you_mean(value, re.findall("'([^']*)'", expected)) if isinstance(value, str) else None
        return f"is {got}, which is none of its values", f"did you mean '{near}'?" if near else f"write {expected}"
    if kind == "greater_than":
        return f"must be above {context['gt']:g}, but is {got}", "write a larger number"
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']:g}, but is {got}", "write a larger number"
    if kind == "less_than_equal":
        return f"must be at most {context['le']:g}, but is {got}", "write a smaller number"
    if kind == "too_short":
        return "is empty", "at least one entry is needed"
    return f"is not valid ({kind.replace('_', ' ')}): {got}", "see `agentflow schema`"

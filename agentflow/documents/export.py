"""Documents out: YAML text, and the JSON Schema that editors use."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

import yaml

from agentflow.schema import Backend, Chip, Deployment, Engine, LanguageModel, Workflow
from agentflow.schema._base import Model
from agentflow.schema.distribution import FAMILY_CLASSES, written
from agentflow.schema.fields import field_texts

_MODELS: dict[str, type[Model]] = {
    "workflow": Workflow, "backend": Backend, "deployment": Deployment, "chip": Chip, "model": LanguageModel,
    "engine": Engine,
}  # fmt: skip


def dump(document: Model) -> str:
    """Write a document as YAML; `parse_workflow` or `parse_backend` reads it back."""
    return str(yaml.safe_dump(_plain(document), sort_keys=False, allow_unicode=True, width=110))


def _plain(value: Any) -> Any:
    """Return a value as a document holds it, without what is there by default."""
    if isinstance(value, FAMILY_CLASSES):
        return written(value)
    if isinstance(value, Model):
        return {
            field.alias or key: _plain(getattr(value, key))
            for key, field in type(value).model_fields.items()
            if key in ("type", "schema_version") or getattr(value, key) != field.default
        }
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, date):
        return value.isoformat()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def json_schema(kind: Literal["workflow", "backend", "deployment", "chip", "model", "engine"]) -> dict[str, Any]:
    """Return the JSON Schema (draft-07) of a kind of document, each field with what it means."""
    schema = _MODELS[kind].model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions = schema.pop("$defs", {})
    for name, node in {**definitions, _MODELS[kind].__name__: schema}.items():
        _explain(node, models().get(name))
    schema["definitions"] = definitions
    made = {"$schema": "http://json-schema.org/draft-07/schema#", **_draft07(schema)}
    return made


def models() -> dict[str, type[Model]]:
    """Return all models of documents by their class's name."""
    found, todo = {}, [Model]
    while todo:
        for model in todo.pop().__subclasses__():
            found[model.__name__] = model
            todo.append(model)
    return found


def _explain(node: dict[str, Any], model: type[Model] | None) -> None:
    """Put the fields' texts into a model's schema, which may stand behind its short forms."""
    if model is None:
        return
    for form in node.get("anyOf", [node]):
        for name, text in field_texts(model).items():
            key = model.model_fields[name].alias or name
            if text.text and key in form.get("properties", {}):
                form["properties"][key]["description"] = text.text


def _draft07(node: Any, names: bool = False) -> Any:
    """Take out what draft-07 does not know, and defaults that are no plain values; keys may be fields' `names`."""
    if isinstance(node, dict):
        if names:
            return {key: _draft07(value) for key, value in node.items()}
        plain = {key: _draft07(value, key == "properties") for key, value in node.items() if key != "discriminator"}
        if isinstance(plain.get("default"), dict | list) and "properties" not in node:
            del plain["default"]
        return plain
    return [_draft07(item) for item in node] if isinstance(node, list) else node

"""The JSON Schema of documents takes what the documents take, and says what each field means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agentflow import documents
from agentflow.documents.export import models
from agentflow.schema.fields import field_texts

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "workflow": sorted((ROOT / "workflows").glob("*.yaml")),
    "backend": sorted((ROOT / "backends" / "providers").rglob("*.yaml")),
    **{
        kind: sorted((ROOT / "backends" / f"{kind}s").glob("*.yaml"))
        for kind in ("deployment", "chip", "model", "engine")
    },
}


def without_dates(node: Any) -> Any:
    """YAML's own reader makes dates of what the documents read as text."""
    if isinstance(node, dict):
        return {str(key): without_dates(value) for key, value in node.items()}
    if isinstance(node, list):
        return [without_dates(item) for item in node]
    return node if isinstance(node, str | int | float | bool | None) else str(node)


@pytest.mark.parametrize("kind", sorted(FILES))
def test_the_catalogue_fits_the_schema(kind: Any) -> None:
    validator = jsonschema.Draft7Validator(documents.json_schema(kind))
    assert len(FILES[kind]) > 7
    wrong = {}
    for path in FILES[kind]:
        found = list(validator.iter_errors(without_dates(yaml.safe_load(path.read_text(encoding="utf-8")))))
        if found:
            wrong[path.name] = [f"{list(error.absolute_path)}: {error.message[:120]}" for error in found]
    assert wrong == {}


@pytest.mark.parametrize(
    "step",
    [
        {"type": "chat", "output_tokens": "ten"},
        {"type": "chat", "output_tokens": 10, "inputtokens": 5},
        {"type": "tool", "latency": "5 apples"},
        {"type": "chat", "output_tokens": 10, "timeout": []},
    ],
)
def test_what_is_wrong_does_not_fit(step: dict[str, Any]) -> None:
    validator = jsonschema.Draft7Validator(documents.json_schema("workflow"))
    assert list(validator.iter_errors({"name": "x", "steps": {"a": step}}))


def test_every_field_says_what_it_means() -> None:
    named = {
        "Chip",
        "Constants",
        "Deployed",
        "Deployment",
        "Law",
        "Table",
        "TableRow",
        "ChatStep",
        "ToolStep",
        "MapStep",
        "LoopStep",
        "GuardrailStep",
        "Workflow",
        "Budget",
        "Defaults",
        "Hedge",
        "Catch",
        "Timeout",
    }
    silent = [
        f"{name}.{field}"
        for name in named
        for field, text in field_texts(models()[name]).items()
        if not text.text and field not in ("type", "schema_version")
    ]
    assert silent == []

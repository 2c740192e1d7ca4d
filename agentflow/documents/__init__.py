"""Documents: YAML in, schema objects out, every problem with file, line and column; the catalogue."""

from agentflow.documents.export import dump, json_schema
from agentflow.documents.load import (
    list_backends,
    list_workflows,
    load_any,
    load_backend,
    load_workflow,
    parse_backend,
    parse_workflow,
    placeholder_backend,
    position_of,
    resolve_backend,
)
from agentflow.documents.network import load_network

__all__ = [
    "dump",
    "json_schema",
    "list_backends",
    "list_workflows",
    "load_any",
    "load_backend",
    "load_network",
    "load_workflow",
    "parse_backend",
    "parse_workflow",
    "placeholder_backend",
    "position_of",
    "resolve_backend",
]

"""Documents: YAML in, schema objects out, every problem with file, line and column; the catalogue."""

from agentflow.documents.export import dump, json_schema
from agentflow.documents.load import (
    MODELS,
    Kind,
    kind_of,
    list_backends,
    list_names,
    list_workflows,
    load_any,
    load_backend,
    load_chip,
    load_deployment,
    load_engine,
    load_model,
    load_workflow,
    parse_backend,
    parse_workflow,
    placeholder_backend,
    position_of,
    resolve_backend,
)
from agentflow.documents.network import load_network
from agentflow.documents.served import make_deployment, served_backend

__all__ = [
    "MODELS",
    "Kind",
    "dump",
    "json_schema",
    "kind_of",
    "list_backends",
    "list_names",
    "list_workflows",
    "load_any",
    "load_backend",
    "load_chip",
    "load_deployment",
    "load_engine",
    "load_model",
    "load_network",
    "load_workflow",
    "make_deployment",
    "parse_backend",
    "parse_workflow",
    "placeholder_backend",
    "position_of",
    "resolve_backend",
    "served_backend",
]

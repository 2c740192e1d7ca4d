"""agentflow: how long an agentic workflow takes to answer, on which backend, and why."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentflow.analysis.compare import Comparison
    from agentflow.analysis.scenario import compare, simulate
    from agentflow.analysis.summary import Summary, summarize
    from agentflow.documents import load_backend, load_workflow, parse_backend, parse_workflow
    from agentflow.errors import AgentflowError
    from agentflow.estimate import Estimate
    from agentflow.result import Result, load_result
    from agentflow.schema import Backend, ChatStep, LoopStep, MapStep, ToolStep, Workflow

__version__ = "0.1.0"

_HOME = {
    "AgentflowError": "errors",
    "Backend": "schema",
    "ChatStep": "schema",
    "Comparison": "analysis.compare",
    "Estimate": "estimate",
    "LoopStep": "schema",
    "MapStep": "schema",
    "Result": "result",
    "Summary": "analysis.summary",
    "ToolStep": "schema",
    "Workflow": "schema",
    "compare": "analysis.scenario",
    "load_backend": "documents",
    "load_result": "result",
    "load_workflow": "documents",
    "parse_backend": "documents",
    "parse_workflow": "documents",
    "simulate": "analysis.scenario",
    "summarize": "analysis.summary",
}

__all__ = [
    "AgentflowError",
    "Backend",
    "ChatStep",
    "Comparison",
    "Estimate",
    "LoopStep",
    "MapStep",
    "Result",
    "Summary",
    "ToolStep",
    "Workflow",
    "compare",
    "load_backend",
    "load_result",
    "load_workflow",
    "parse_backend",
    "parse_workflow",
    "simulate",
    "summarize",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the engine alone takes half a second."""
    if name in _HOME:
        return getattr(import_module(f"agentflow.{_HOME[name]}"), name)
    raise AttributeError(f"module 'agentflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])

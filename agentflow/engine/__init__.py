"""Runs plans: the Monte Carlo engine for workflows that share nothing, the event engine for those that meet."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentflow.engine.events import events_need_compile
    from agentflow.engine.gathered import Shape
    from agentflow.engine.load import pilot, run_load
    from agentflow.engine.montecarlo import BLOCK, needs_compile, run_plan, set_hedges
    from agentflow.engine.trace import Trace, Visit, trace_runs

_HOME = {
    "BLOCK": "montecarlo",
    "Shape": "gathered",
    "Trace": "trace",
    "Visit": "trace",
    "events_need_compile": "events",
    "needs_compile": "montecarlo",
    "pilot": "load",
    "run_load": "load",
    "run_plan": "montecarlo",
    "set_hedges": "montecarlo",
    "trace_runs": "trace",
}

__all__ = [
    "BLOCK",
    "Shape",
    "Trace",
    "Visit",
    "events_need_compile",
    "needs_compile",
    "pilot",
    "run_load",
    "run_plan",
    "set_hedges",
    "trace_runs",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: who runs one of the engines does not wait for the other."""
    if name in _HOME:
        return getattr(import_module(f"agentflow.engine.{_HOME[name]}"), name)
    raise AttributeError(f"module 'agentflow.engine' has no attribute {name!r}")

"""Runs plans: the Monte Carlo engine for workflows that share nothing, the event engine for those that meet."""

from agentflow.engine.events import events_need_compile
from agentflow.engine.gathered import Shape
from agentflow.engine.load import pilot, run_load
from agentflow.engine.montecarlo import BLOCK, needs_compile, run_plan, set_hedges
from agentflow.engine.trace import Trace, Visit, trace_runs

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

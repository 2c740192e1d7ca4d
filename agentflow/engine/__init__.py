"""Runs plans: the Monte Carlo engine for workflows that share nothing, the event engine for those that meet."""

from agentflow.engine.events import events_need_compile
from agentflow.engine.load import Shape, pilot, run_load
from agentflow.engine.montecarlo import BLOCK, Trace, needs_compile, run_plan, trace_runs

__all__ = [
    "BLOCK",
    "Shape",
    "Trace",
    "events_need_compile",
    "needs_compile",
    "pilot",
    "run_load",
    "run_plan",
    "trace_runs",
]

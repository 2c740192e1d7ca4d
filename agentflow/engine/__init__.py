"""The engine: runs a plan; knows no document, no file, no clock."""

from agentflow.engine.montecarlo import BLOCK, needs_compile, run_plan, set_hedges
from agentflow.engine.trace import Trace, Visit, trace_runs

__all__ = ["BLOCK", "Trace", "Visit", "needs_compile", "run_plan", "set_hedges", "trace_runs"]

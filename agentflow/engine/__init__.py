"""Runs plans: the Monte Carlo engine for workflows that share nothing."""

from agentflow.engine.montecarlo import BLOCK, Trace, needs_compile, run_plan, trace_runs

__all__ = ["BLOCK", "Trace", "needs_compile", "run_plan", "trace_runs"]

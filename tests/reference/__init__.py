"""A slow, plain second implementation of docs/semantics.md in SimPy; the engine must agree with it run by run.

It reads schema objects only and shares no code with the plan or the engine. Time passes event by event: runs,
scopes, steps, hedge copies and attempts are processes; losers, rejected and overdue ones are interrupted.

    simulate_run(workflow, {"*": backend, "draft.write": other, "draft.write!0": spare}, seed=1, run=0)
"""

from tests.reference.run import ReferenceRun, simulate_run

__all__ = ["ReferenceRun", "simulate_run"]

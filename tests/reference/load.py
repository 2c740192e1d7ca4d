"""Many runs on one timeline."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import simpy

from tests.reference import keys
from tests.reference.gates import Gates
from tests.reference.run import ReferenceRun, life_of
from tests.reference.shape import body_of
from tests.reference.state import Clock, Run, RunClock

ARRIVAL = 3000  # after all that happens at that moment


def simulate_load(
    workflow: Any,
    assignment: Mapping[str, Any],
    seed: int,
    times: Sequence[float],
    tenants: Sequence[int] = (),
    client: Any = None,
    gates_of: Any = None,
) -> tuple[list[ReferenceRun], Gates]:
    """Simulate runs 0, 1, ... that arrive at these times; each has its backends' slots as far as others leave them."""
    clock = Clock()
    of_run = {keys.run_key(seed, number): tenant for number, tenant in enumerate(tenants)}
    gates = gates_of(clock) if gates_of is not None else Gates(lambda run: of_run.get(run.key, 0), client)

    def arrive(number: int, moment: float) -> Generator[simpy.Event, Any, ReferenceRun]:
        yield clock.at(moment, ARRIVAL)
        key, top = keys.run_key(seed, number), body_of(workflow)
        run = Run(workflow, assignment, key, RunClock(clock), top, number=number, gates=gates)
        report: ReferenceRun = yield clock.process(life_of(run))
        return report

    ended = [clock.process(arrive(number, moment)) for number, moment in enumerate(times)]
    clock.run(until=clock.all_of(ended))
    return [process.value for process in ended], gates

"""What holds after every single event: slots, queues, rows and the clock."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from agentflow.engine import events_state as E
from agentflow.engine.arrivals import Given, Renewal
from agentflow.engine.events import Timeline, compile_events
from agentflow.engine.events_kernel import advance
from agentflow.plan import compile_plan
from tests.load.test_contended import SEEDS, TIMES, busy, contended_cases
from tests.strategies import Case


def check(timeline: Timeline, before: float) -> float:
    """Assert what must hold now; return the clock."""
    pools = timeline.pools
    clock, count = float(pools.clock[0]), pools.counter
    assert clock >= before
    state, where = pools.fi[:, E.F_STATE], pools.fi[:, E.F_RES]
    for r in range(len(timeline.wires.tenants) - 1):
        row = pools.res_i[r]
        served = int(np.count_nonzero((state == E.SERVED) & (where == r)))
        queued = int(np.count_nonzero((state == E.QUEUED) & (where == r)))
        assert row[E.R_BUSY] == served <= row[E.R_CAP]
        assert row[E.R_LENGTH] == queued <= row[E.R_MAX_QUEUE]
        assert queued == 0 or served == row[E.R_CAP], "a slot is free while a call waits"
        assert (row[E.R_HEAD] >= 0) == (queued > 0)
    assert int(np.count_nonzero(state != E.FREE)) == count[E.C_IN_FLIGHT]
    assert int(pools.slot_i[:, E.I_ALIVE].sum()) == count[E.C_RUNS]
    times = pools.heap_t[: count[E.C_HEAP]]
    assert np.all(times >= clock - 1e-12 * (1.0 + clock))
    return clock


@given(case=contended_cases(), seed=SEEDS, times=TIMES)
@settings(max_examples=100)
def test_after_every_event(case: Case, seed: int, times: list[float]) -> None:
    plan = compile_plan(case.workflow, case.assignment)
    compile_events(plan)
    timeline = Timeline(plan, Given(times=tuple(times)), seed)
    count = timeline.pools.counter
    count[E.C_FIRST], count[E.C_LAST], count[E.C_LEFT] = 0, len(times), len(times)
    timeline._feed()
    clock, why = 0.0, E.TICKED
    for _ in range(20_000):
        why = advance(plan.tables, timeline.wires, timeline.pools, timeline.rows, np.uint64(seed), 1)
        clock = check(timeline, clock)
        if why == E.DONE:
            break
        assert why in (E.TICKED, E.NEED_ARRIVALS)
        if why == E.NEED_ARRIVALS:
            timeline._feed()
    assert why == E.DONE
    assert sorted(timeline.rows.run[: len(times)].tolist()) == list(range(len(times)))
    assert count[E.C_RUNS] == 0 and count[E.C_IN_FLIGHT] == 0
    assert not np.any(timeline.pools.res_i[:-1, [E.R_BUSY, E.R_LENGTH]])


def test_memory_grows_with_what_is_in_flight_only() -> None:
    case = busy()
    plan = compile_plan(case.workflow, case.assignment)
    compile_events(plan)
    timeline = Timeline(plan, Renewal(per_second=0.2), 0)
    sizes = []
    for runs in (1_000, 30_000):
        timeline.run(0, runs, lambda *_: 0)
        sizes.append(sum(array.nbytes for array in (*timeline.pools, *timeline.rows)))
        timeline = Timeline(plan, Renewal(per_second=0.2), 0)
    assert sizes[1] <= 2 * sizes[0]

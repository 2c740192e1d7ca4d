"""What holds after every single event: slots, queues, budgets, batches, ends and the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agentflow.analysis.scenario import Scenario, plan_of
from agentflow.engine import batching_state as S
from agentflow.engine import events_state as E
from agentflow.engine.arrivals import Renewal
from agentflow.engine.events import Timeline, compile_events
from agentflow.plan import Client, Plan, compile_plan
from agentflow.schema import Limit
from tests.load.test_contended import CLIENTS, QUEUES, SEEDS, busy, contended_cases, rate_limits
from tests.load.test_fleets import STEPS, place
from tests.load.watch import Watch
from tests.make import chat, workflow
from tests.strategies import Case

GAPS = st.sampled_from([0.0, 0.0371, 0.3137, 1.0519, 4.2073, 71.3])


class System(RuleBasedStateMachine):
    """Runs come when they like; between two events everything is counted anew."""

    watch: Watch

    def begin(self, plan: Plan, seed: int, tenants: int = 1) -> None:
        self.tenants = tenants
        self.watch = Watch(plan, seed, tenants)

    @rule(gap=GAPS, tenant=st.integers(0, 2))
    def a_run_comes(self, gap: float, tenant: int) -> None:
        if self.watch.arrived < 30:
            self.watch.arrive(gap, tenant % self.tenants)

    @rule(gaps=st.lists(st.sampled_from([0.0, 0.011]), min_size=2, max_size=6))
    def runs_come_together(self, gaps: list[float]) -> None:
        for gap in gaps:
            if self.watch.arrived < 30:
                self.watch.arrive(gap, self.watch.arrived % self.tenants)

    @precondition(lambda self: not self.watch.idle)
    @rule(events=st.sampled_from([1, 1, 3, 10, 40]))
    def time_goes_on(self, events: int) -> None:
        self.watch.step(events)

    def teardown(self) -> None:
        if hasattr(self, "watch"):
            self.watch.finish()


class Queues(System):
    """Generated workflows of every feature at backends with few slots and rate limits."""

    @initialize(case=contended_cases(), seed=SEEDS, client=st.one_of(st.none(), CLIENTS))
    def generated(self, case: Case, seed: int, client: Client | None) -> None:
        self.begin(replace(compile_plan(case.workflow, case.assignment), client=client), seed)


class Budgets(System):
    """Calls with retries behind rate limits that they soon use up, with and without a bound on what they write."""

    @initialize(
        limit=rate_limits(),
        per=st.sampled_from(["all", "tenant"]),
        queue=st.sampled_from(QUEUES),
        bound=st.sampled_from([None, 40]),
        seed=SEEDS,
    )
    def limited(self, limit: Limit, per: str, queue: str, bound: int | None, seed: int) -> None:
        case = busy(concurrency=3, queue=queue, per=per)
        limits = (limit.model_copy(update={"per": per}),)
        places = {path: b.model_copy(update={"limits": limits, "tier": "T"}) for path, b in case.assignment.items()}
        made = case.workflow
        if bound is not None:
            count = {"lognormal": {"p50": 20, "p95": 60}}
            first = chat(count, max_tokens=bound, retry={"max_attempts": 4})
            second = chat(9, "a", max_tokens=bound, retry={"max_attempts": 2})
            made, places = workflow({"a": first, "b": second}), {"*": places["*"]}
        self.begin(compile_plan(made, places), seed, 3 if per == "tenant" else 1)


class Batches(System):
    """Steps, joins, retries, hedges and cuts at replicas with few blocks of cache."""

    @initialize(
        replicas=st.integers(1, 2),
        blocks=st.sampled_from([9, 14, 40]),
        steps=st.sampled_from([("plan", "look", "race", "say"), ("plan", "race")]),
        seed=SEEDS,
    )
    def batching(self, replicas: int, blocks: int, steps: tuple[str, ...], seed: int) -> None:
        made = workflow({name: STEPS[name] for name in steps})
        plan = plan_of(Scenario("x", made, {"*": place(replicas=replicas)}), loaded=True)
        self.begin(replace(plan, fleets=(replace(plan.fleets[0], kv_blocks=blocks),)), seed)


for machine in (Queues, Budgets, Batches):
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=25)
TestQueues, TestBudgets, TestBatches = Queues.TestCase, Budgets.TestCase, Batches.TestCase


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


def corrupt_level(watch: Watch) -> None:
    watch.timeline.pools.limit_f[0, E.G_LEVEL + E.B_RPM] += 1.0


def corrupt_slots(watch: Watch) -> None:
    watch.timeline.pools.res_i[0, E.R_BUSY] -= 1


def corrupt_heap(watch: Watch) -> None:
    watch.timeline.pools.counter[E.C_HEAP] -= 1


def corrupt_clock(watch: Watch) -> None:
    watch.timeline.pools.clock[0] -= 1e-12


def corrupt_blocks(watch: Watch) -> None:
    watch.timeline.pools.replica_i[0, S.R_FREED] += 1


def corrupt_budget(watch: Watch) -> None:
    watch.timeline.pools.replica_i[0, S.R_TOKENS] = 17


def corrupt_attempt(watch: Watch) -> None:
    pools = watch.timeline.pools
    pools.fi[np.flatnonzero(pools.fi[:, E.F_STATE] == E.SERVED)[0], E.F_GEN] += 1


CORRUPTIONS = {
    corrupt_level: "from nowhere|runs over",
    corrupt_slots: "slots",
    corrupt_heap: "after the last",
    corrupt_clock: "backward",
    corrupt_attempt: "never ends",
    corrupt_blocks: "nobody has",
    corrupt_budget: "tokens of a step",
}


@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_what_is_wrong_is_seen(corrupt: Callable[[Watch], None]) -> None:
    if corrupt in (corrupt_blocks, corrupt_budget):
        plan = plan_of(Scenario("x", workflow(STEPS), {"*": place()}), loaded=True)
    else:
        case = busy(concurrency=3)
        limit = Limit(tier="T", rpm=60, tpm=4000)
        places = {k: b.model_copy(update={"limits": (limit,), "tier": "T"}) for k, b in case.assignment.items()}
        plan = compile_plan(case.workflow, places)
    watch = Watch(plan, 1)
    for _ in range(6):
        watch.arrive(0.31)
    watch.step(25)
    watch.look()
    corrupt(watch)
    with pytest.raises(AssertionError, match=CORRUPTIONS[corrupt]):
        watch.look()

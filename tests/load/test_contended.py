"""Runs that wait for one another: the event engine gives what the SimPy reference gives, run by run."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.engine.arrivals import Given, Renewal
from agentflow.plan import Client, compile_plan
from agentflow.schema import Backend, Limit, Uniform
from tests.load.contended import differences, limited
from tests.load.uncontended import run_events
from tests.make import backend, chat, fan, loop, tool, workflow
from tests.reference.load import simulate_load
from tests.strategies import Case, cases

SEEDS = st.integers(0, 2**64 - 1)
QUEUES = ("fifo", "priority", "sjf", "las", "age")


@st.composite
def contended_cases(draw: st.DrawFn, most: int = 4, depth: int = 2) -> Case:
    """Draw a case whose backends have few slots, at which no two calls arrive at one moment: who is first is then open."""
    case = draw(cases(most=most, depth=depth, always=frozenset({"errors", "breaker"} if draw(st.booleans()) else ())))
    names = {b.name: b for b in case.assignment.values()}
    together = draw(st.booleans())
    common = draw(capacities())
    made: dict[str, Backend] = {}
    for name, regular in names.items():
        place = _off_grid(regular)
        own = {**common, "shared": "pool"} if together else draw(capacities())
        made[name] = limited(place, **own) if draw(st.integers(0, 3)) else place
        if draw(st.integers(0, 2)) == 2:
            made[name] = made[name].model_copy(update={"limits": (draw(rate_limits()),), "tier": "T"})
    return Case(case.workflow, {path: made[place.name] for path, place in case.assignment.items()})


def _off_grid(place: Backend) -> Backend:
    """The backend, with a network whose delays are no multiples of 1/8."""
    network = Uniform(low=0.1, high=0.3)
    laws = {name: getattr(place.law, name) for name in ("measured", "deployment", "table")}
    changed = {name: law and law.model_copy(update={"network": network}) for name, law in laws.items()}
    return place.model_copy(update={"law": place.law.model_copy(update=changed)})


@st.composite
def capacities(draw: st.DrawFn) -> dict[str, object]:
    return {
        "concurrency": draw(st.integers(1, 3)),
        "queue": draw(st.sampled_from(QUEUES)),
        "max_queue": draw(st.sampled_from([None, None, 0, 1, 3])),
    }


@st.composite
def rate_limits(draw: st.DrawFn) -> Limit:
    figures = {"rpm": [3, 20], "rpd": [5], "tpm": [60, 500], "tpd": [900], "itpm": [40, 300], "otpm": [30, 200]}
    chosen = draw(st.sets(st.sampled_from(sorted(figures)), min_size=1, max_size=3))
    bounds = {name: draw(st.sampled_from(figures[name])) for name in sorted(chosen)}
    return Limit(
        tier="T",
        **bounds,
        concurrency=draw(st.sampled_from([None, None, 1, 2])),
        reserves=draw(st.sampled_from([None, "nothing", "max_tokens"])),
        counts_cached=draw(st.sampled_from([None, True, False])),
    )


# Gaps that are no multiples of 1/8, so that runs do not do things at the same moments.
TIMES = st.lists(st.sampled_from([0.0371, 0.3137, 1.0519, 4.2073]), min_size=2, max_size=8).map(
    lambda gaps: list(accumulate(gaps))
)


# Now and then a client that takes its time; nothing of it is a multiple of 1/8.
CLIENTS = st.sampled_from(
    [
        None,
        Client("slow", 0.0713, 0.0, 0.0131),
        Client("chatty", 0.0531, 0.0117, 0.0019, cores=2),
        Client("two", 0.1237, 0.0213, processes=2),
    ]
)


@given(case=contended_cases(), seed=SEEDS, times=TIMES, client=CLIENTS)
@settings(max_examples=200)
def test_the_engine_agrees_with_the_reference(case: Case, seed: int, times: list[float], client: Client | None) -> None:
    assert differences(case, seed, times, client) == []


@pytest.mark.slow
@given(case=contended_cases(most=5), seed=SEEDS, times=TIMES, client=CLIENTS)
@settings(max_examples=3_000)
def test_the_engine_agrees_with_the_reference_over_many_workflows(
    case: Case, seed: int, times: list[float], client: Client | None
) -> None:
    assert differences(case, seed, times, client) == []


def busy(**capacity: object) -> Case:
    """A workflow with joins, retries, timeouts and priorities at two backends that share their slots."""
    lognormal = {"lognormal": {"p50": 0.7, "p95": 2.0}}
    tokens = {"lognormal": {"p50": 20, "p95": 60}}
    steps = {
        "plan": chat(tokens, priority=2, retry={"max_attempts": 3}),
        "search": fan(3, {"read": chat(tokens, priority=1), "look": tool(lognormal)}, "plan"),
        "write": loop(
            2, {"draft": chat(tokens, timeout=9.0), "judge": chat(5, "draft")}, "search", continue_probability=0.5
        ),
    }
    made = workflow(steps, defaults={"retry": {"max_attempts": 4, "jitter": "full"}})
    law = {"ttft": lognormal, "rate": {"lognormal": {"p50": 25, "p95": 40}}, "network": {"exponential": {"mean": 0.05}}}
    common = {"concurrency": 4, "shared": "both", **capacity}
    one = limited(backend("one", **law, errors={"server_error": 0.05}), **common)
    two = limited(backend("two", **law, errors={"rate_limit": 0.05}), **common)
    return Case(made, {"*": one, "search.read": two})


@pytest.mark.parametrize("slots", [1, 4, 9])
@pytest.mark.parametrize("queue", QUEUES)
def test_every_queue_agrees_with_the_reference_over_a_busy_hour(queue: str, slots: int) -> None:
    times = list(accumulate(3.7 * (0.5 + (k * 0.618034) % 1.0) * 4 / slots for k in range(120)))
    assert differences(busy(queue=queue, concurrency=slots), 5, times) == []
    assert differences(busy(queue=queue, concurrency=slots, max_queue=3), 5, times) == []


def test_the_queues_differ() -> None:
    times = [1.7 * k for k in range(60)]
    seen = set()
    for queue in QUEUES:
        case = busy(queue=queue)
        result = run_events(compile_plan(case.workflow, case.assignment), 60, 5, Given(times=tuple(times)))
        seen.add(float(result.e2e_s.sum()))
    assert len(seen) == len(QUEUES)


def test_a_tenant_does_not_wait_for_another() -> None:
    case = busy(concurrency=1, per="tenant")
    plan = compile_plan(case.workflow, case.assignment)
    arrivals = Renewal(tenants=3, per_second=0.5)
    result = run_events(plan, 60, 5, arrivals)
    times, tenants = next(arrivals.blocks(5, 0))
    expected, _ = simulate_load(case.workflow, case.assignment, 5, times[:90].tolist(), tenants[:90].tolist())
    assert set(tenants[:60].tolist()) == {0, 1, 2}
    assert result.e2e_s.tolist() == pytest.approx([want.e2e_s for want in expected[:60]], abs=1e-9)

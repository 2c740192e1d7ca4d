"""Continuous batching: equal to an iteration-by-iteration reference, and to what can be said without one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.engine.batching import Fleet, Pool, Replica, StepLaw, serve
from agentflow.engine.batching_state import R_ACTIVE, R_FREED, R_RUNNING, R_TAKEN, R_WAITING
from agentflow.errors import CapacityError, UsageError
from tests.load.batching_reference import Reference, Sequence_, aligned, reference_serve

W3 = Replica(
    StepLaw(fixed=0.006, sequence=1e-4, kv=40e-9),
    token_budget=512,
    max_sequences=64,
    kv_blocks=7500,
    asynchronous=False,
)


@st.composite
def laws(draw: st.DrawFn) -> StepLaw:
    seconds = st.floats(1e-5, 0.3)
    return StepLaw(
        fixed=draw(seconds),
        weights=draw(st.one_of(st.just(0.0), seconds)),
        token=draw(st.floats(0, 1e-2)),
        sequence=draw(st.floats(0, 1e-2)),
        kv=draw(st.floats(0, 1e-4)),
        pair=draw(st.floats(0, 1e-5)),
        mixed_fixed=draw(st.one_of(st.none(), seconds)),
        mixed_kv=draw(st.one_of(st.none(), st.floats(0, 1e-4))),
        experts=draw(st.one_of(st.just(0.0), seconds)),
        expert_miss=draw(st.floats(0, 1)),
    )


@st.composite
def replicas(draw: st.DrawFn, longest: int) -> Replica:
    size = draw(st.integers(1, 9))
    most = draw(st.integers(1, 12))
    least = -(-(longest - 1) // size)
    return Replica(
        draw(laws()),
        token_budget=draw(st.integers(most, most + 60)),
        max_sequences=most,
        kv_blocks=draw(st.integers(least, 4 * least + 4)),
        block_size=size,
        asynchronous=draw(st.booleans()),
        reserve_prompt=draw(st.booleans()),
        prefix_cache=draw(st.booleans()),
    )


@st.composite
def loads(draw: st.DrawFn) -> tuple[Fleet, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    many = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    prompts, outputs = rng.integers(1, draw(st.integers(2, 150)), many), rng.integers(1, draw(st.integers(2, 60)), many)
    gap = draw(st.sampled_from([0.0, 0.01, 0.3, 5.0]))
    arrivals = np.cumsum(rng.exponential(1.0, many) * gap)
    longest = int((prompts + outputs).max())
    fleet = Fleet(
        [draw(replicas(longest)) for _ in range(draw(st.integers(1, 3)))],
        [draw(replicas(longest + 1)) for _ in range(draw(st.integers(0, 2)))],
        policy=draw(st.sampled_from(["round_robin", "least_loaded", "prefix_affinity"])),
        spill=draw(st.integers(0, 5)),
        handover_seconds=draw(st.floats(0, 0.1)),
        handover_seconds_per_token=draw(st.floats(0, 1e-3)),
    )
    cached = rng.integers(0, 2 * prompts) * (rng.random(many) < draw(st.floats(0, 1)))
    return fleet, arrivals, prompts, outputs, cached, rng.integers(0, 4, many)


@settings(max_examples=300, deadline=None)
@given(loads())
def test_equals_the_reference_for_each_request(load: tuple[Fleet, *tuple[np.ndarray, ...]]) -> None:
    fleet, arrivals, prompts, outputs, cached, keys = load
    got = serve(fleet, arrivals, prompts, outputs, cached, keys)
    wanted, references = reference_serve(fleet, *(column.tolist() for column in load[1:]))
    for name, moments in (("scheduled", got.scheduled), ("first", got.first_token), ("finished", got.finished)):
        np.testing.assert_allclose(moments, [getattr(s, name) for s in wanted], rtol=0, atol=1e-9, err_msg=name)
    assert got.preempted.tolist() == [s.preempted for s in wanted]
    for r in references:
        assert r.most_tokens <= r.config.token_budget and r.most_sequences <= r.config.max_sequences
        assert r.most_blocks <= r.config.kv_blocks and len(r.free) == r.config.kv_blocks
        assert not r.running and not r.waiting
    assert (got.finished >= got.first_token).all() and (got.first_token >= got.scheduled).all()
    assert (got.scheduled >= arrivals).all()

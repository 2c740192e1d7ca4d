"""Continuous batching from change to change gives what it gives step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.engine.batching import Replica, serve
from agentflow.errors import CapacityError
from tests.load import batching_reference as reference

REPLICAS = st.builds(
    Replica,
    max_sequences=st.integers(1, 6),
    max_batched_tokens=st.sampled_from([8, 16, 64]),
    kv_blocks=st.sampled_from([8, 14, 40]),
    block_tokens=st.sampled_from([1, 4, 16]),
    fixed=st.sampled_from([0.00613, 0.0211]),
    per_sequence=st.sampled_from([0.0, 0.000117]),
    per_token=st.sampled_from([0.0, 0.0000231]),
    per_context=st.sampled_from([0.0, 0.0000417]),
    weights=st.sampled_from([0.0, 0.000313]),
)
REQUESTS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.00217, 0.0731, 0.5119]), st.integers(1, 70), st.integers(1, 40)),
    min_size=1,
    max_size=14,
)


def compare(replica: Replica, requests: list[tuple[float, int, int]]) -> int:
    room = replica.kv_blocks * replica.block_tokens
    fitting = [(gap, prompt, output) for gap, prompt, output in requests if prompt + output - 1 <= room]
    arrival = np.cumsum([gap for gap, _, _ in fitting])
    made = [reference.Request(float(t), p, o) for t, (_, p, o) in zip(arrival, fitting, strict=True)]
    expected = reference.serve(replica, made)
    columns = (np.array([row[i] for row in fitting], np.int64) for i in (1, 2))
    found = serve(replica, arrival.astype(float), *columns)
    assert (found.steps, found.preemptions) == expected
    assert found.first_s.tolist() == pytest.approx([r.first for r in made], abs=1e-9)
    assert found.last_s.tolist() == pytest.approx([r.last for r in made], abs=1e-9)
    return found.preemptions


@given(replica=REPLICAS, requests=REQUESTS)
@settings(max_examples=600)
def test_it_agrees_with_the_reference(replica: Replica, requests: list[tuple[float, int, int]]) -> None:
    compare(replica, requests)


def test_what_does_not_fit_is_refused() -> None:
    replica = Replica(4, 64, 10, 16, 0.01)
    with pytest.raises(CapacityError, match="needs 13 KV blocks; the replica has 10"):
        serve(replica, np.zeros(1), np.array([150]), np.array([50]))


def test_a_full_cache_preempts() -> None:
    replica = Replica(8, 64, 12, 4, 0.01, per_context=1e-5)
    assert compare(replica, [(0.0, 5, 30)] * 8) > 0


def test_a_thousand_requests_at_real_sizes() -> None:
    """Poisson arrivals at a replica like an H100's: 2,048 tokens a step, 256 sequences."""
    random = np.random.default_rng(3)
    replica = Replica(256, 2048, 7_500, 16, 0.006, 0.0001, 2e-5, 4e-8)
    gaps = random.exponential(1 / 12, 600)
    requests = list(
        zip(gaps.tolist(), random.integers(20, 2000, 600).tolist(), random.integers(5, 600, 600).tolist(), strict=True)
    )
    compare(replica, requests)

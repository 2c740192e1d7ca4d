"""Continuous batching: equal to an iteration-by-iteration reference, and to what can be said without one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agentflow.engine.batching import Fleet, Pool, Replica, StepLaw, StepTable, serve
from agentflow.engine.batching_state import R_ALIKE, R_FREED, R_RUNNING, R_TAKEN, R_WAITING
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
def replicas(draw: st.DrawFn, longest: int, stride: int = 1) -> Replica:
    """Replicas; lengths are multiples of what a step yields, so that a reference can count tokens."""
    size = draw(st.integers(1, 9))
    most = draw(st.integers(1, 12))
    least = -(-(longest - 1) // size)
    return Replica(
        draw(laws()),
        token_budget=stride * draw(st.integers(most, most + 60)),
        max_sequences=most,
        kv_blocks=draw(st.integers(least, 4 * least + 4)),
        block_size=size * stride,
        tokens_per_step=stride,
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
    longest, stride = int((prompts + outputs).max()) + 1, draw(st.sampled_from([1, 1, 2, 5]))
    prompts = prompts * stride
    outputs = np.maximum(outputs * stride - rng.integers(0, stride, many), 1)
    fleet = Fleet(
        [draw(replicas(longest, stride)) for _ in range(draw(st.integers(1, 3)))],
        [draw(replicas(longest + 1, stride)) for _ in range(draw(st.integers(0, 2)))],
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


def test_the_arrival_order_that_is_given_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    arrivals, prompts, outputs = rng.uniform(0, 20, 100), rng.integers(1, 3000, 100), rng.integers(1, 500, 100)
    shuffled = rng.permutation(100)
    whole = serve(W3, arrivals, prompts, outputs)
    mixed = serve(W3, arrivals[shuffled], prompts[shuffled], outputs[shuffled])
    assert mixed.finished.tobytes() == whole.finished[shuffled].tobytes()


def test_a_lone_request_takes_the_sum_of_its_steps() -> None:
    served = serve(W3, [5.0], 1200, 100)
    chunks = [0.006 + 1e-4 + 40e-9 * done for done in (512, 1024, 1200)]
    decoding = [0.006 + 1e-4 + 40e-9 * (1200 + i) for i in range(1, 100)]
    assert served.scheduled[0] == 5.0
    assert served.first_token[0] == pytest.approx(5.0 + sum(chunks), abs=1e-12)
    assert served.finished[0] == pytest.approx(5.0 + sum(chunks) + sum(decoding), abs=1e-11)


def test_a_plan_ahead_costs_who_arrives_a_step() -> None:
    law = StepLaw(fixed=1.0)
    arrivals, prompts, outputs = [0.0, 2.5], [10, 10], [10, 1]
    ahead = serve(Replica(law, asynchronous=True), arrivals, prompts, outputs)
    behind = serve(Replica(law, asynchronous=False), arrivals, prompts, outputs)
    assert behind.first_token.tolist() == [1.0, 4.0]
    assert ahead.first_token.tolist() == [1.0, 5.0]


def test_cached_tokens_count_by_whole_blocks_and_one_is_always_computed() -> None:
    law = StepLaw(token=0.001)
    replica = Replica(law, token_budget=10_000, asynchronous=False)
    seconds = serve(Fleet([replica] * 4, policy="round_robin"), np.zeros(4), 160, 1, [0, 15, 47, 160]).first_token
    np.testing.assert_allclose(seconds, [0.160, 0.160, 0.128, 0.016], atol=1e-12)


def test_experts_are_read_as_tokens_choose_them() -> None:
    law = StepLaw(fixed=0.001, experts=0.02, expert_miss=0.5)
    assert law.seconds(1, 1, 0) == pytest.approx(0.011)
    assert law.seconds(3, 3, 0) == pytest.approx(0.001 + 0.02 * 0.875)


def test_affinity_keeps_a_key_at_its_replica_until_others_are_idle() -> None:
    replica = Replica(StepLaw(fixed=1.0), asynchronous=False)
    fleet = Fleet([replica, replica], policy="prefix_affinity", spill=3)
    went = serve(fleet, np.arange(8) * 1e-3, 10, 100, keys=[1] * 8).replica
    assert went.tolist() == [1, 1, 1, 1, 0, 1, 0, 1]


def test_decoding_replicas_get_the_cache_after_the_hand_over() -> None:
    prefill = Replica(StepLaw(fixed=1.0), asynchronous=False)
    decode = Replica(StepLaw(fixed=0.1), asynchronous=False)
    fleet = Fleet([prefill], [decode], handover_seconds=0.5, handover_seconds_per_token=0.001)
    served = serve(fleet, [0.0, 0.0], [100, 100], [1, 11])
    assert served.first_token.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(served.finished, [1.0, 1.0 + 0.6 + 10 * 0.1], atol=1e-12)
    assert served.replica.tolist() == [0, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: StepLaw(),
        lambda: StepLaw(fixed=-1.0),
        lambda: StepLaw(fixed=1.0, kv=float("nan")),
        lambda: Replica(StepLaw(fixed=1.0), max_sequences=0),
        lambda: Replica(StepLaw(fixed=1.0), token_budget=10, max_sequences=11),
        lambda: Fleet([]),
        lambda: Fleet([W3], policy="random"),
        lambda: Fleet([W3], handover_seconds=-1.0),
        lambda: serve(W3, [0.0], 0, 1),
        lambda: serve(W3, [0.0], 1.5, 1),
        lambda: serve(W3, [float("inf")], 1, 1),
        lambda: serve(Replica(StepTable([0.0, 1.0], [0.0, 1.0])), [0.0], 1, 1),
        lambda: Pool([W3]).submit(0, 0.0, 0, 1),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        wrong()


def test_what_never_fits_is_refused() -> None:
    with pytest.raises(CapacityError, match="120000"):
        serve(W3, [0.0], 119_990, 12)
    assert serve(W3, [0.0], 119_990, 11).finished[0] > 0


class Live(RuleBasedStateMachine):
    """A pool that is told of events one by one, beside the reference; the counts of both after each."""

    @initialize(config=replicas(40), gap=st.sampled_from([0.01, 0.3, 5.0]))
    def begin(self, config: Replica, gap: float) -> None:
        self.config, self.gap, self.now = config, gap, 0.0
        self.pool, self.reference = Pool([config]), Reference(config)
        self.alive: dict[int, Sequence_] = {}
        self.submitted = self.ended = self.cancelled = 0

    def go_on(self, until: float) -> None:
        """Make all changes before a moment, in both."""
        clock = 0.0
        tokens = self.pool.advance(until)
        for token in tokens:
            assert clock <= token.time < until
            clock = token.time
        wanted = []
        while self.reference.ends < until:
            at = self.reference.ends
            wanted += [(at, s.number, first, last) for s, first, last in self.reference.change()]
        assert sorted((t.request, t.first, t.last) for t in tokens) == sorted(w[1:] for w in wanted)
        np.testing.assert_allclose([t.time for t in tokens], [w[0] for w in wanted], rtol=0, atol=1e-9)
        for token in tokens:
            if token.last:
                self.ended += 1
                del self.alive[token.request]
        self.now = until

    @rule(share=st.floats(0.001, 1), prompt=st.integers(1, 20), output=st.integers(1, 20), cached=st.integers(0, 20))
    def arrive(self, share: float, prompt: int, output: int, cached: int) -> None:
        self.go_on(self.now + share * self.gap)
        number = min(set(range(len(self.alive) + 1)) - set(self.alive))  # numbers are used again
        self.pool.submit(number, self.now, prompt, output, cached)
        s = Sequence_(number, prompt, output, aligned(self.config, prompt, cached), prompt)
        self.reference.owner = {b: o for b, o in self.reference.owner.items() if o[0] != number}
        self.reference.submit(s, self.now)
        self.alive[number] = s
        self.submitted += 1

    @rule(share=st.floats(0.001, 1), which=st.integers(0, 1000))
    def leave(self, share: float, which: int) -> None:
        self.go_on(self.now + share * self.gap)
        if not self.alive:
            return
        number = sorted(self.alive)[which % len(self.alive)]
        assert self.pool.cancel(number, self.now)
        self.reference.cancel(self.alive.pop(number))
        self.cancelled += 1

    @rule(share=st.floats(0.001, 3))
    def pass_time(self, share: float) -> None:
        self.go_on(self.now + share * self.gap)

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "pool"):
            return
        state = self.pool.batches.replica_i[0]
        assert self.submitted == self.ended + self.cancelled + len(self.alive)
        assert state[R_RUNNING] == len(self.reference.running) <= self.config.max_sequences
        assert state[R_WAITING] == len(self.reference.waiting)
        free = state[R_FREED] - state[R_TAKEN]
        assert 0 <= free <= self.config.kv_blocks
        if state[R_ALIKE] == 0:  # else plans were made that are not written down yet
            assert free == len(self.reference.free)
            assert (state[R_FREED], state[R_TAKEN]) == (self.reference.freed, self.reference.taken)
        if not state[R_RUNNING]:
            assert free == self.config.kv_blocks == len(self.reference.free)

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            self.go_on(self.now + 1e6)
            assert not self.alive
            self.nothing_is_lost()


Live.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLive = Live.TestCase

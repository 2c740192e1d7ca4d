"""The reference workload W3 in SimPy: W1's workflows at one replica that batches, iteration by iteration.

A process for each step and attempt as in W1's plain model, an event at the first token and one at the end, and a
process for the replica: each iteration takes 6 ms + 0.1 ms x batch + 40 ns x KV tokens, gives every decoding sequence a
token and the rest of 512 tokens to prompts, in the order of arrival; at most 64 sequences and 120,000 tokens of cache
in blocks of 16. Where no block is free the last admitted gives up its own, and computes its tokens again later: the
rules are the engine's.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass

import simpy

from benchmarks.simpy_w1 import FAILURE, LAWS, Plain, Visit, Waits
from benchmarks.simpy_w2 import RATE

BUDGET, MOST, BLOCK, BLOCKS = 512, 64, 16, 7500
FIXED, EACH, CACHED = 0.006, 1e-4, 40e-9


@dataclass(slots=True, eq=False)
class Call:
    """A call at the replica."""

    arrival: float
    prompt: int
    output: int
    first: simpy.Event
    last: simpy.Event
    known: int = 0
    computed: int = 0
    blocks: int = 0
    first_at: float = 0.0
    last_at: float = 0.0


class Batched(Plain):
    """Everything a process, at one replica."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.waiting: deque[Call] = deque()
        self.running: list[Call] = []
        self.wake = self.env.event()
        self.calls: list[Call] = []
        self.free = BLOCKS
        self.iterations = 0
        self.env.process(self.replica())

    def submit(self, prompt: int, output: int) -> Call:
        """Let a call arrive."""
        call = Call(self.env.now, prompt, output, self.env.event(), self.env.event(), prompt)
        self.calls.append(call)
        self.waiting.append(call)
        if not self.wake.triggered:
            self.wake.succeed()
        return call

    def take(self, call: Call, tokens: int) -> bool:
        """Take the blocks that so many more tokens need, if they are free."""
        need = -(-(call.computed + tokens) // BLOCK) - call.blocks
        if need > self.free:
            return False
        self.free -= need
        call.blocks += need
        return True

    def release(self, call: Call) -> None:
        """Take a call out of the batch."""
        self.running.remove(call)
        self.free += call.blocks
        call.blocks = 0

    def preempt(self) -> Call:
        """Let the last admitted call wait in front, to compute its tokens again."""
        call = self.running[-1]
        self.release(call)
        call.known = max(call.known, call.computed + 1)
        call.computed = 0
        self.waiting.appendleft(call)
        return call

    def plan(self) -> list[tuple[Call, int]]:
        """Decide what an iteration computes."""
        budget, short = BUDGET, False
        chunks = []
        for call in list(self.running):
            if call not in self.running:
                break  # it was preempted, and all after it
            tokens = min(max(call.known - call.computed, 1), budget)
            while not (fits := self.take(call, tokens)):
                short = True
                if self.preempt() is call:
                    break
            if not fits:
                break
            chunks.append((call, tokens))
            budget -= tokens
        while not short and self.waiting and budget > 0 and len(self.running) < MOST:
            call = self.waiting[0]
            if -(-call.known // BLOCK) > self.free:
                break
            self.running.append(self.waiting.popleft())
            tokens = min(call.known, budget)
            self.take(call, tokens)
            chunks.append((call, tokens))
            budget -= tokens
        return chunks

    def replica(self) -> Waits:
        """Iterate while there is something to do."""
        while True:
            if not self.running and not self.waiting:
                self.wake = self.env.event()
                yield self.wake
                yield self.env.timeout(0)  # whoever arrives at the same moment is in the first iteration too
            chunks = self.plan()
            cache = 0
            for call, tokens in chunks:
                call.computed += tokens
                cache += call.computed
            yield self.env.timeout(FIXED + EACH * len(chunks) + CACHED * cache)
            self.iterations += 1
            for call, _ in chunks:
                if call.computed == call.prompt and not call.first.triggered:
                    call.first_at = self.env.now
                    call.first.succeed()
                if call.computed == call.prompt + call.output - 1:
                    call.last_at = self.env.now
                    call.last.succeed()
                    self.release(call)

    def attempt(self, visit: Visit, tokens: int) -> Waits:
        """Try a call once."""
        step = LAWS[visit.step]
        call = self.submit(max(tokens, 1), max(int(self.draw(step.output) + 0.5), 1))
        yield call.first
        visit.first_token = self.env.now
        yield call.last
        visit.prefill += visit.first_token - call.arrival
        visit.decode += self.env.now - visit.first_token
        self.totals.attempts += 1
        self.totals.input_tokens += call.prompt
        self.totals.output_tokens += call.output
        return self.rng.random() >= FAILURE

    def replay(self, calls: list[Call]) -> Waits:
        """Let calls arrive that another simulation recorded: the replica alone."""
        for call in calls:
            yield self.env.timeout(call.arrival - self.env.now)
            self.submit(call.prompt, call.output)


def simulate(runs: int, seed: int, kind: type[Batched] = Batched) -> Batched:
    """Simulate ``runs`` workflows of W3."""
    simulation = kind(seed)
    simulation.env.process(simulation.arrivals(runs, RATE))
    simulation.env.run()
    return simulation


def main(runs: int = 2000) -> None:
    """Print its speed, and what W3 looks like."""
    began = time.process_time()
    made = simulate(runs, 1)
    seconds = time.process_time() - began
    ordered = sorted(made.totals.e2e_s)
    print(
        f"{runs / seconds:,.0f} workflows per CPU-second, {made.totals.attempts / runs:.2f} attempts a workflow, "
        f"{made.iterations / made.totals.attempts:.1f} iterations an attempt, "
        f"E2E mean {sum(ordered) / runs:.2f} s, p95 {ordered[int(runs * 0.95)]:.2f} s"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""The reference workload W1 in SimPy, twice: what the engine's speed is measured against.

    planner -> 3 researchers -> writer <-> critic (back with 0.4, 3 times at most) -> guardrail
                                                                    -> with 0.03 a fallback

Every attempt lasts TTFT + (output - 1) / speed, fails at its end with 0.02, and is retried twice
after 0.5 s x 2^k x (0.5 + U). All quantities are lognormal, given by median and sigma.

``Plain`` is what one writes in SimPy to learn what the engine tells: a process for each step and
each attempt, an event at the first token and one at the end, and for each run its visits, from
which the critical path follows.
``Lean`` is the least that gives the answer times and the token counts, tuned by hand: one timeout
an attempt, no process but where something runs beside it, nothing kept by step.
"""

from __future__ import annotations

import random
import sys
import time
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from math import exp, log
from typing import Any, NamedTuple

import simpy

FAILURE = 0.02
RETRIES = 2
GO_BACK = 0.4
RETURNS = 3
FALLBACK = 0.03

Waits = Generator[simpy.Event, Any, Any]


class Law(NamedTuple):
    """One step's quantities, each as the (mu, sigma) of a lognormal."""

    ttft: tuple[float, float]
    output: tuple[float, float]
    speed: tuple[float, float]
    input: tuple[float, float]


def law(ttft: float, output: float, output_sigma: float, input_tokens: float) -> Law:
    """Build a step's law from its medians."""
    return Law((log(ttft), 0.4), (log(output), output_sigma), (log(80.0), 0.25), (log(input_tokens), 0.3))


LAWS = {
    "planner": law(0.45, 250, 0.5, 800),
    "researcher": law(0.60, 400, 0.6, 1500),
    "writer": law(0.80, 700, 0.5, 2500),
    "critic": law(0.60, 150, 0.4, 1500),
    "guardrail": law(0.40, 20, 0.3, 1000),
    "fallback": law(0.40, 300, 0.4, 600),
}


@dataclass
class Totals:
    """What the runs add up to; times in seconds, one entry a run in ``e2e_s`` and ``ttft_s``."""

    e2e_s: list[float] = field(default_factory=list)
    ttft_s: list[float] = field(default_factory=list)
    failed: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    step_latency_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    critical_s: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))


class Lean:
    """The least that gives E2E and tokens."""

    def __init__(self, seed: int) -> None:
        self.env = simpy.Environment()
        self.rng = random.Random(seed)
        self.totals = Totals()

    def call(self, step: Law) -> Waits:
        """Yield one call's waits, retries included; the value is whether it succeeded."""
        gauss, uniform, totals = self.rng.gauss, self.rng.random, self.totals
        tokens = int(exp(gauss(*step.input)) + 0.5)
        for k in range(RETRIES + 1):
            output = int(exp(gauss(*step.output)) + 0.5)
            seconds = exp(gauss(*step.ttft)) + max(0, output - 1) / exp(gauss(*step.speed))
            yield self.env.timeout(seconds)
            totals.attempts += 1
            totals.input_tokens += tokens
            totals.output_tokens += output
            if uniform() >= FAILURE:
                return True
            if k < RETRIES:
                yield self.env.timeout(0.5 * 2**k * (0.5 + uniform()))
        return False

    def workflow(self) -> Waits:
        """Yield one run's waits; the value is whether it was answered."""
        if not (yield from self.call(LAWS["planner"])):
            return False
        researchers = [self.env.process(self.call(LAWS["researcher"])) for _ in range(3)]
        done = yield self.env.all_of(researchers)
        if not all(done.values()):
            return False
        for _ in range(RETURNS + 1):
            if not (yield from self.call(LAWS["writer"])):
                return False
            if not (yield from self.call(LAWS["critic"])):
                return False
            if self.rng.random() >= GO_BACK:
                break
        if not (yield from self.call(LAWS["guardrail"])):
            return False
        if self.rng.random() < FALLBACK:
            return (yield from self.call(LAWS["fallback"]))
        return True

    def all_runs(self, runs: int) -> Waits:
        """Run one workflow after the other: they share nothing but the clock."""
        for _ in range(runs):
            start = self.env.now
            answered = yield from self.workflow()
            self.totals.failed += not answered
            self.totals.e2e_s.append(self.env.now - start)


@dataclass(slots=True)
class Visit:
    """One step's visit: when, after which other visit, where its seconds went, when its first token came."""

    step: str
    start: float
    cause: Visit | None
    end: float = 0.0
    first_token: float = 0.0
    done: bool = False
    prefill: float = 0.0
    decode: float = 0.0
    backoff: float = 0.0


class Plain:
    """Everything a process, and everything that the engine reports kept."""

    def __init__(self, seed: int) -> None:
        self.env = simpy.Environment()
        self.rng = random.Random(seed)
        self.totals = Totals()

    def draw(self, quantity: tuple[float, float]) -> float:
        """Draw from a lognormal."""
        return exp(self.rng.gauss(*quantity))

    def attempt(self, visit: Visit, tokens: int) -> Waits:
        """Try a call once: the process of one attempt."""
        step, start = LAWS[visit.step], self.env.now
        output = int(self.draw(step.output) + 0.5)
        yield self.env.timeout(self.draw(step.ttft))
        visit.first_token = self.env.now
        yield self.env.timeout(max(0, output - 1) / self.draw(step.speed))
        visit.prefill += visit.first_token - start
        visit.decode += self.env.now - visit.first_token
        self.totals.attempts += 1
        self.totals.input_tokens += tokens
        self.totals.output_tokens += output
        return self.rng.random() >= FAILURE

    def visit(self, name: str, cause: Visit | None) -> Waits:
        """Call with retries: the process of one step."""
        visit = Visit(name, self.env.now, cause)
        tokens = int(self.draw(LAWS[name].input) + 0.5)
        for k in range(RETRIES + 1):
            visit.done = yield self.env.process(self.attempt(visit, tokens))
            if visit.done or k == RETRIES:
                break
            backoff = 0.5 * 2**k * (0.5 + self.rng.random())
            yield self.env.timeout(backoff)
            visit.backoff += backoff
        visit.end = self.env.now
        self.totals.step_latency_s[name].append(visit.end - visit.start)
        return visit

    def workflow(self) -> Waits:
        """Run the graph; the value is the visit that the run ended with."""
        planner = yield self.env.process(self.visit("planner", None))
        if not planner.done:
            return planner
        researchers = [self.env.process(self.visit("researcher", planner)) for _ in range(3)]
        yield self.env.all_of(researchers)
        visits: list[Any] = [researcher.value for researcher in researchers]
        last = max(visits, key=lambda visit: visit.end)
        if not all(visit.done for visit in visits):
            return last
        for _ in range(RETURNS + 1):
            for name in ("writer", "critic"):
                last = yield self.env.process(self.visit(name, last))
                if not last.done:
                    return last
            if self.rng.random() >= GO_BACK:
                break
        last = yield self.env.process(self.visit("guardrail", last))
        if last.done and self.rng.random() < FALLBACK:
            last = yield self.env.process(self.visit("fallback", last))
        return last

    def critical_path(self, last: Visit) -> None:
        """Attribute a run's seconds, from its last visit back."""
        visit: Visit | None = last
        critical = self.totals.critical_s
        while visit is not None:
            critical[visit.step, "prefill"] += visit.prefill
            critical[visit.step, "decode"] += visit.decode
            critical[visit.step, "backoff"] += visit.backoff
            visit = visit.cause

    def one(self) -> Waits:
        """Run one workflow from its arrival to its end."""
        start = self.env.now
        last = yield self.env.process(self.workflow())
        self.totals.failed += not last.done
        self.totals.e2e_s.append(self.env.now - start)
        self.totals.ttft_s.append(last.first_token - start)
        self.critical_path(last)

    def all_runs(self, runs: int) -> Waits:
        """Run one workflow after the other: they share nothing but the clock."""
        for _ in range(runs):
            yield from self.one()

    def arrivals(self, runs: int, rate: float) -> Waits:
        """Let workflows arrive, so many a second on average."""
        for _ in range(runs):
            yield self.env.timeout(self.rng.expovariate(rate))
            self.env.process(self.one())


def simulate(kind: type[Lean] | type[Plain], runs: int, seed: int, at_once: int = 1) -> Totals:
    """Simulate ``runs`` workflows of W1 with SimPy, ``at_once`` of them side by side on the same clock."""
    simulation = kind(seed)
    for share in range(at_once):
        simulation.env.process(simulation.all_runs(runs // at_once + (share < runs % at_once)))
    simulation.env.run()
    return simulation.totals


def main(runs: int = 20_000) -> None:
    """Print both models' speed, and what W1 looks like, so that the engine's answer can be held beside it."""
    variants: list[tuple[type[Lean] | type[Plain], int]] = [(Plain, 2000), (Plain, 1), (Lean, 1)]
    for kind, at_once in variants:
        began = time.process_time()
        totals = simulate(kind, runs, 1, at_once)
        seconds = time.process_time() - began
        ordered = sorted(totals.e2e_s)
        print(
            f"{kind.__name__}, {at_once} at once: {runs / seconds:,.0f} workflows per CPU-second, "
            f"{totals.attempts / runs:.2f} attempts a workflow, E2E p50 {ordered[runs // 2]:.2f} s, "
            f"p95 {ordered[int(runs * 0.95)]:.2f} s, {totals.failed} failed"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

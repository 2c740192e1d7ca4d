"""The visit of one step that is no composite: attempts inside retries inside fallbacks inside hedges."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

import simpy

from tests.reference import keys, state
from tests.reference.state import Visit
from tests.reference.timeline import Attempt, Timeline, Usage, model_timeline, plain_timeline, served_law
from tests.reference.tokens import cached_tokens, input_tokens, is_model_call

Process = Generator[simpy.Event, Any, Any]

COPY = 1024  # a = COPY * copy + n


@dataclass(eq=False)
class Copy:
    """One hedge copy of a call."""

    index: int
    start: float
    components: list[tuple[str, float]] = field(default_factory=list)
    tries: int = 0
    counted_places: set[int] = field(default_factory=set)
    status: str = "running"  # done, failed
    end: float = math.inf
    error: str | None = None
    place: int = 0
    last_backend: str | None = None
    last: Timeline | None = None
    last_start: float = 0.0
    process: Any = None


class Stream:
    """The chunks of one answer, as the client's core sees them."""

    def __init__(self, core: Any, clock: Any) -> None:
        self.core, self.clock = core, clock
        self.flow = self.late = 0.0

    def begin(self, line: Timeline) -> None:
        """The first token is there; the user sees it once the core has come to it."""
        chunk, rest = self.core.client.cpu_per_chunk, line.tokens.output - 1
        now = self.clock.shared.now
        self.late = self.core.burst(now, chunk)
        if rest >= 1:
            self.flow = chunk * rest / line.pace.seconds(line.tokens.reasoning, rest)
            self.core.stream(now, self.flow)

    def end(self) -> None:
        if self.flow:
            self.core.stream(self.clock.shared.now, -self.flow)
            self.flow = 0.0


class Call:
    """What one visit of a model call, tool, person or wait does."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.step = visit.step
        self.run = visit.run
        self.clock = visit.run.clock
        self.is_model = is_model_call(self.step)
        self.input = 0
        self.copies: list[Copy] = []
        self.shown: Copy | None = None  # of a visit that was cut: the lowest copy under way
        self.poked = self.clock.event()
        self.retry = _own(visit, "retry") or ()
        self.timeout = _own(visit, "timeout")
        self.fallbacks = getattr(self.step, "fallbacks", ()) if self.is_model else ()

    def process(self) -> Process:
        """Run the visit to its end; an interrupt cuts every copy at that moment."""
        if self.visit.is_parallel_guardrail:
            self.visit.route = _route(self.visit)  # its edges resolve as it starts
        try:
            if self.is_model:
                yield self.clock.at(self.clock.now, state.BEGIN)
                if self._out_of_budget():
                    self.visit.finish("failed", "budget_exceeded")
                    return
                self.input = input_tokens(self.visit)
            yield from self._race()
        except simpy.Interrupt:
            self.shown = next((copy for copy in self.copies if copy.status == "running"), None)
            self._cut()

    def _out_of_budget(self) -> bool:
        budget = self.run.workflow.budget
        if budget is None:
            return False
        spent = self.run.spent()
        over_tokens = budget.tokens is not None and spent.tokens >= budget.tokens
        return over_tokens or (budget.usd is not None and spent.cost >= budget.usd)

    def _race(self) -> Process:
        """Start the copies in their turn until one has succeeded or all that started have failed."""
        begin = self.clock.now
        hedge = getattr(self.step, "hedge", None)
        self._launch()
        while True:
            waits = [self.poked]
            more = False
            if hedge is not None and len(self.copies) <= hedge.max_hedges:
                more = True
                waits.append(self.clock.at(begin + len(self.copies) * float(hedge.after), state.HEDGE))
            yield self.clock.any_of(waits)
            if self._settled():
                return
            if more and waits[-1].processed:
                self._launch()

    def _launch(self) -> None:
        copy = Copy(len(self.copies), self.clock.now)
        self.copies.append(copy)
        copy.process = self.clock.process(self._copy(copy))

    def _settled(self) -> bool:
        """Look at the copies; end the visit if they decide it."""
        if self.poked.processed:
            self.poked = self.clock.event()
        won = [copy for copy in self.copies if copy.status == "done"]
        if won:
            self._cut()
            self._win(won[0])
            return True
        if all(copy.status == "failed" for copy in self.copies):
            last = max(self.copies, key=lambda copy: (copy.end, -copy.index))
            self._take(last)
            self.visit.finish("failed", last.error)
            return True
        return False

    def _win(self, copy: Copy) -> None:
        assert copy.last is not None
        visit = self.visit
        self._take(copy)
        visit.output = copy.last.tokens.output
        visit.first_token = copy.last_start + copy.last.first_token if self.is_model else None
        visit.by_fallback = copy.place > 0
        visit.route = _route(visit)
        visit.finish("done")

    def _take(self, copy: Copy) -> None:
        """Let this copy stand for the visit on the critical path and in the cache's memory."""
        self.visit.components = [("wait", copy.start - self.visit.start), *copy.components]
        self.visit.last_backend = copy.last_backend

    def _cut(self) -> None:
        for copy in self.copies:
            if copy.process.is_alive:
                copy.process.interrupt()

    def _copy(self, copy: Copy) -> Process:
        """One copy: its own place, then the fallbacks that take the error."""
        try:
            for place in range(1 + len(self.fallbacks)):
                if place > 0 and copy.error not in self.fallbacks[place - 1].on:
                    break
                copy.place = place
                yield from self._place(copy, place)
                if copy.error is None:
                    break
        except simpy.Interrupt:
            if copy is self.shown:
                self._take(copy)
            return
        copy.status = "done" if copy.error is None else "failed"
        copy.end = self.clock.now
        self.clock.soon(self.poked, state.COPIES)

    def _place(self, copy: Copy, place: int) -> Process:
        """One place: its attempts under its retry layers, from inside to outside."""
        tries = [1] * len(self.retry)
        while True:
            line = yield from self._guarded(copy, place)
            if line is None:
                copy.error = "server_error"
                return
            yield from self._look(copy, line)
            copy.error = line.error
            if line.error is None:
                return
            for number, layer in enumerate(self.retry):
                if line.error in layer.on and tries[number] < layer.max_attempts:
                    break
            else:
                return
            yield from self._back_off(copy, self._wait(line, layer, number, tries[number] - 1))
            tries[number] += 1
            tries[:number] = [1] * number

    def _wait(self, line: Timeline, layer: Any, number: int, k: int) -> float:
        """Seconds of a layer's k-th wait after this attempt failed."""
        told = line.retry_after
        if told is not None and layer.respect_retry_after and told <= layer.retry_after_cap:
            return told
        try:
            grown = layer.initial_interval * layer.backoff_factor**k
        except OverflowError:
            grown = math.inf
        u = keys.uniform(keys.attempt_draw(self.visit.node, line.attempt_index, keys.JITTER + number))
        return float(min(grown, layer.max_interval) * (1 - layer.jitter * u) + layer.jitter_add * u)

    def _back_off(self, copy: Copy, seconds: float) -> Process:
        begin = self.clock.now
        try:
            yield self.clock.at(begin + seconds, state.END)
        finally:
            copy.components.append(("backoff", self.clock.now - begin))

    def _guarded(self, copy: Copy, place: int) -> Process:
        """One try, or None where a circuit breaker refuses it."""
        breaker = None
        if self.run.gates is not None:
            name = self.run.backend(self.visit.path, place).name if self.is_model else self.visit.path
            breaker = self.run.gates.breaker(self, name)
        if breaker is None:
            return (yield from self._attempt(copy, place))
        shared = self.clock.shared
        era = breaker.permits(shared.now)
        if era is None:
            yield self.clock.at(self.clock.now, state.END)
            return None
        try:
            line = yield from self._attempt(copy, place)
        except simpy.Interrupt:
            breaker.tell(shared.now, era, None, cut=True)
            raise
        breaker.tell(shared.now, era, line.error)
        return line

    def _attempt(self, copy: Copy, place: int) -> Process:
        """One try, charged when it has ended or been cut; one that is cut as it starts never was."""
        index = COPY * copy.index + copy.tries
        core = self._core()
        before = 0.0
        if core is not None:
            before = core.burst(self.clock.shared.now, core.client.before * core.client.cpu_per_call)
            before += core.client.fixed
        line = self._timeline(index, place, 0.0, before)
        copy.tries += 1
        begin = self.clock.now
        gate = self.run.gates.of(self, line, begin) if self.run.gates is not None else None
        stream = Stream(core, self.clock)
        try:
            if gate is not None:
                yield self.clock.at(begin + line.t_net, state.REACH)
                line = yield from gate.wait(lambda waited: self._timeline(index, place, waited, before))
            if core is not None and core.client.cpu_per_chunk and line.first_token < line.end:
                yield self.clock.at(begin + line.first_token, state.STREAM)
                stream.begin(line)
            yield self.clock.at(begin + line.end, state.END)
        except simpy.Interrupt:
            line = line if gate is None else gate.at_a_cut(line)
            used = Usage()
            if self.clock.now > begin:
                used = self._charge(copy, place, line, self.clock.now - begin, cut=True)
            if gate is not None:
                gate.settle(used)
            raise
        finally:
            stream.end()
            if gate is not None:
                gate.leave()
        used = self._charge(copy, place, line, line.end, cut=False)
        if gate is not None:
            gate.settle(used)
        copy.last, copy.last_start = line, begin + stream.late
        return line

    def _core(self) -> Any:
        return self.run.gates.core(self.run) if self.is_model and self.run.gates is not None else None

    def _look(self, copy: Copy, line: Timeline) -> Process:
        """Let the client look at an answer or an error; a timeout brings nothing to look at."""
        core = self._core()
        if core is None or line.error == "timeout":
            return
        begin = self.clock.now
        seconds = core.burst(self.clock.shared.now, (1 - core.client.before) * core.client.cpu_per_call)
        try:
            yield self.clock.at(begin + seconds, state.END)
        finally:
            copy.components.append(("client", self.clock.now - begin))

    def _timeline(self, index: int, place: int, waited: float = 0.0, client: float = 0.0) -> Timeline:
        visit = self.visit
        if not self.is_model:
            latency, component = _latency(self.step)
            return plain_timeline(Attempt(visit.node, index, self.step, self.timeout), latency, component)
        backend = self.run.backend(visit.path, place)
        cached = cached_tokens(visit, backend, self.input)
        factor = _factor(visit, backend)
        overhead = self.run.gates.overhead(backend) if self.run.gates is not None else None
        attempt = Attempt(visit.node, index, self.step, self.timeout, backend, waited, client, overhead or 0.0)
        line = model_timeline(attempt, factor, self.input, cached)
        if overhead is None or line.end <= line.t_net:
            return line
        return model_timeline(replace(attempt, timeout=None), factor, self.input, cached)

    def _charge(self, copy: Copy, place: int, line: Timeline, tau: float, cut: bool) -> Usage:
        copy.components += line.components(tau)
        if line.backend is None:
            return Usage()
        copy.last_backend = line.backend.name
        self.visit.sent = self.input
        usage = line.usage(tau, cut)
        if place not in copy.counted_places:
            copy.counted_places.add(place)
            usage.calls = 1
        self.visit.usage.add(usage)
        return usage


def _own(visit: Visit, name: str) -> Any:
    """What the step says itself, else its document's default for steps that make calls."""
    value = getattr(visit.step, name, None)
    if value is None and visit.step.type not in ("human", "wait"):
        return getattr(visit.scope.body.defaults, name)
    return value


def _latency(step: Any) -> tuple[Any, str]:
    if step.type == "wait":
        return step.duration, "wait"
    return step.latency, "human" if step.type == "human" else "tool"


def _factor(visit: Visit, backend: Any) -> float:
    """The run's speed factor at a backend, drawn once."""
    factors = visit.run.factors
    if backend.name not in factors:
        z = keys.normal(keys.backend_draw(visit.run.key, backend.name))
        factors[backend.name] = math.exp(served_law(backend.law).variation.between_runs * z)
    return factors[backend.name]


def _route(visit: Visit) -> str | None:
    """The route that the step takes, drawn by its visit."""
    routes: dict[str, float] = dict(getattr(visit.step, "routes", None) or {})
    if not routes:
        return None
    u = keys.uniform(keys.node_draw(visit.node, keys.ROUTE))
    cumulated = 0.0
    for name, probability in routes.items():
        cumulated += probability
        if u < cumulated:
            return name
    return list(routes)[-1]

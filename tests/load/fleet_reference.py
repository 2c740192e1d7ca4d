"""Replicas that batch, as processes of the SimPy reference: each step of the plain replica is an event."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import simpy

from agentflow.engine.batching import Replica
from tests.load.batching_reference import Reference, Sequence_, aligned
from tests.reference import state
from tests.reference.gates import Gates, _rejected
from tests.reference.served import Pace
from tests.reference.timeline import Timeline
from tests.reference.tokens import visit_before

CHANGE = 2.75  # after arrivals of the same moment


class Steps:
    """Seconds of steps, looked up in a replica's table."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def seconds(self, tokens: int, sequences: int, kv: float, pairs: float = 0.0) -> float:
        t = self.table
        if pairs > 0:
            return float(t.mixed_seconds[tokens] + t.sequence * sequences + t.mixed_kv * kv + t.pair * pairs)
        return float(t.plain_seconds[tokens] + t.kv * kv)


class Server:
    """One replica on the timeline."""

    def __init__(self, clock: Any, config: Replica) -> None:
        self.clock, self.plain, self.due = clock, Reference(replace(config, law=Steps(config.law))), math.inf
        self.first: dict[Sequence_, simpy.Event] = {}
        self.last: dict[Sequence_, simpy.Event] = {}

    @property
    def load(self) -> int:
        return len(self.plain.running) + len(self.plain.waiting)

    def submit(self, s: Sequence_) -> None:
        self.first[id(s)], self.last[id(s)] = self.clock.event(), self.clock.event()  # type: ignore[index]
        self.plain.submit(s, self.clock.now)
        self.watch()

    def watch(self) -> None:
        if self.plain.ends != self.due and self.plain.ends < math.inf:
            self.due = self.plain.ends
            self.clock.process(self._change(self.due))

    def _change(self, moment: float) -> Generator[simpy.Event, Any, None]:
        yield self.clock.at(moment, CHANGE)
        if self.plain.ends != moment:
            return
        self.due = math.inf
        for s, first, last in self.plain.change():
            if first:
                self.clock.soon(self.first[id(s)], state.END)  # type: ignore[index]
            if last:
                self.clock.soon(self.last[id(s)], state.END)  # type: ignore[index]
        self.watch()


class BatchGates(Gates):
    """The gates of a timeline whose deployments batch.

    Of each backend: its replicas, and the seconds of a request before they know of it; of a disaggregated one also
    the replicas that decode, and the seconds of a hand-over, fixed and for each token.
    """

    def __init__(
        self,
        clock: Any,
        replicas: dict[str, list[Replica]],
        overhead: dict[str, float],
        policy: str = "least_loaded",
        spill: int = 8,
        decode: dict[str, list[Replica]] | None = None,
        handover: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__()
        self.servers = {name: [Server(clock, config) for config in made] for name, made in replicas.items()}
        self.decode = {name: [Server(clock, config) for config in made] for name, made in (decode or {}).items()}
        self.overheads, self.policy, self.spill, self.handover = overhead, policy, spill, handover
        self.number = 0
        self.turns: dict[int, int] = {}
        self.where: dict[int, tuple[Any, Server]] = {}  # by visit: where it was sent last
        self.freed: dict[int, int] = {}  # by visit: blocks that had been freed there when its own were

    def overhead(self, backend: Any) -> float | None:
        return self.overheads.get(backend.name)

    def choose(self, servers: list[Server], run: int) -> Server:
        least = min(servers, key=lambda each: each.load)
        if len(servers) > 1 and self.policy == "round_robin":
            turn = self.turns.get(id(servers), 0)
            self.turns[id(servers)] = turn + 1
            return servers[turn % len(servers)]
        own = servers[run % len(servers)]
        if self.policy == "prefix_affinity" and own.load <= least.load + self.spill:
            return own
        return least

    def known(self, call: Any, server: Server, cached: int) -> int:
        """Return what a replica still has of what a call's step sent in the iteration before."""
        if not cached or call.step.cached_input_tokens is not None:
            return cached
        earlier = visit_before(call.visit)
        if earlier is None or self.where.get(id(earlier), (None, None))[1] is not server:
            return 0
        kept = self.freed.get(id(earlier), 0) - server.plain.taken
        return min(cached, max(kept, 0) * server.plain.config.block_size)

    def note_freed(self, call: Any, server: Server | None, s: Sequence_ | None) -> None:
        if s is not None and self.where.get(id(call.visit), (None, None))[1] is server:
            self.freed[id(call.visit)] = s.freed

    def of(self, call: Any, line: Timeline, begin: float) -> Any:
        if line.backend is None or line.backend.name not in self.servers:
            return super().of(call, line, begin)
        if line.struck in ("start", "hang") or (line.error == "timeout" and line.end <= line.t_net):
            return None
        return Batched(self, self.servers[line.backend.name], self.decode.get(line.backend.name), call, line, begin)


class Batched:
    """One attempt at a fleet."""

    def __init__(
        self, gates: BatchGates, servers: list[Server], decode: list[Server] | None, call: Any, line: Timeline,
        begin: float,
    ) -> None:  # fmt: skip
        self.gates, self.servers, self.decode = gates, servers, decode
        self.call, self.line, self.begin = call, line, begin
        self.server: Server | None = None
        self.s: Sequence_ | None = None

    def wait(self, retime: Any) -> Generator[simpy.Event, Any, Timeline]:
        clock, line = self.call.clock, self.line
        server = self.gates.choose(self.servers, self.call.run.number)
        prompt, output = max(1, line.tokens.input), max(1, line.tokens.reasoning + line.tokens.output)
        if not all(each.plain.config.holds(prompt, output) for each in (server, *(self.decode or ())[:1])):
            return replace(_rejected(line), error="context_overflow")
        known = self.gates.known(self.call, server, line.tokens.cached)
        self.line = line = replace(line, tokens=replace(line.tokens, cached=known))
        self.gates.where[id(self.call.visit)] = (self.call.visit, server)
        self.gates.number += 1
        config = server.plain.config
        one = int(config.tokens_per_step)
        whole = -(-prompt // one) * one
        s = Sequence_(self.gates.number, whole, output, aligned(config, whole, line.tokens.cached), whole, one)
        if self.decode and output > 1:
            s.output = 1
        self.send(server, s)
        timeout = self.call.timeout
        attempt = timeout.attempt if timeout is not None and timeout.attempt is not None else math.inf
        idle = timeout.idle if timeout is not None and timeout.idle is not None else math.inf
        if not (yield from self.comes(server.first[id(s)], min(attempt, idle))):  # type: ignore[index]
            return self.timed_out(min(attempt, idle))
        if line.struck == "first_token":
            self.leave()
            self.gates.note_freed(self.call, server, s)
            moment = clock.now - self.begin
            return replace(self.at_a_cut(line), end=moment, error=line.error, struck="first_token")
        if self.decode and output > 1:
            s = self.handed_over(s, output)
            delay = self.gates.handover[0] + self.gates.handover[1] * prompt
            if not (yield from self.comes(clock.at(clock.now + delay, state.REACH), attempt)):
                return self.timed_out(attempt)
            server = self.gates.choose(self.decode, self.call.run.number)
            self.send(server, s)
        if not (yield from self.comes(server.last[id(s)], attempt)):  # type: ignore[index]
            return self.timed_out(attempt)
        self.gates.note_freed(self.call, server, s)
        return self.at_a_cut(line)

    def send(self, server: Server, s: Sequence_) -> None:
        self.server, self.s = server, s
        server.submit(s)

    def handed_over(self, s: Sequence_, output: int) -> Sequence_:
        """What a decoding replica will know of a sequence whose prompt is done; it is at none meanwhile."""
        self.gates.number += 1
        one = s.stride
        made = Sequence_(self.gates.number, s.prompt, output, s.prompt, s.prompt + one, emitted=1, stride=one)
        made.computed, made.scheduled, made.first = s.prompt, s.scheduled, s.first
        self.gates.note_freed(self.call, self.server, s)
        self.server, self.s = None, made
        return made

    def comes(self, event: simpy.Event, bound: float) -> Generator[simpy.Event, Any, bool]:
        """Wait for an event, or a timeout; return whether the event came."""
        clock = self.call.clock
        if not event.processed:
            yield clock.any_of([event] if bound == math.inf else [event, clock.at(self.begin + bound, state.END)])
        return bool(event.triggered and event.processed)

    def timed_out(self, bound: float) -> Timeline:
        self.leave()
        return replace(self.at_a_cut(self.line), error="timeout", struck="cut", end=bound, retry_after=None)

    def at_a_cut(self, line: Timeline) -> Timeline:
        """The attempt's timeline as far as it is known now; what it writes is taken to be evenly spaced."""
        line = replace(line, tokens=self.line.tokens)
        now = self.call.clock.now - self.begin
        if self.s is None:
            return replace(line, spans=[*line.way(), ("queue", math.inf)], first_token=math.inf, t_prefill=math.inf)
        zero = getattr(self.call.clock, "zero", 0.0) + self.begin
        scheduled = self.s.scheduled - zero if self.s.scheduled >= 0 else math.inf
        prefill = self.s.first - zero
        gap = 1.0
        done = self.s.finished < math.inf
        if prefill < math.inf:
            if not done:
                self.leave()
            gaps = self.s.output - 1 if done else max(0, self.s.computed - self.s.prompt) + 0.5
            gap = max(now - prefill, 1e-12) / gaps if gaps else 1.0
        pace = Pace(gap)
        shown = prefill + line.tokens.reasoning * gap
        spans = [*line.way(), ("queue", scheduled), ("prefill", prefill), ("reasoning", shown), ("decode", math.inf)]
        return replace(line, spans=spans, first_token=shown, t_prefill=prefill, pace=pace, end=now)

    def settle(self, used: Any) -> None:
        pass

    def leave(self) -> None:
        if self.server is not None and self.s is not None and self.s.finished == math.inf:
            self.server.plain.cancel(self.s)
            self.server.watch()
            self.gates.note_freed(self.call, self.server, self.s)
            self.server = None

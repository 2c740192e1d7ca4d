"""A replica that batches continuously, iteration by iteration, in plain Python: what the compiled one must equal.

Written after vLLM's scheduler with lists of sequences and a queue of numbered free blocks; nothing here is summed up.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from agentflow.engine.batching import Fleet, Replica


@dataclass
class Sequence_:
    """A request."""

    number: int
    prompt: int
    output: int
    cached: int
    known: int  # tokens that are there to compute: the prompt and what was generated
    stride: int = 1  # tokens that a step yields once it decodes
    computed: int = 0
    blocks: list[int] = field(default_factory=list)
    contents: dict[int, tuple[int, int]] = field(default_factory=dict)
    emitted: int = 0  # output tokens that steps planned so far yield
    resumed: bool = False
    scheduled: float = -1.0
    first: float = inf
    finished: float = inf
    preempted: int = 0
    freed: int = 0  # blocks that had ever been freed when its own were

    @property
    def over(self) -> bool:
        return self.emitted >= self.output


@dataclass
class Step:
    """A planned step."""

    tokens: int
    seconds: float
    yields: list[tuple[Sequence_, bool, bool]]


class Reference:
    """One replica; `owner` says whose block of which place a block's content is."""

    def __init__(self, config: Replica) -> None:
        self.config = config
        self.free: deque[int] = deque(range(config.kv_blocks))
        self.freed, self.taken = config.kv_blocks, 0  # blocks that ever were
        self.owner: dict[int, tuple[int, int]] = {}
        self.running: list[Sequence_] = []
        self.waiting: deque[Sequence_] = deque()
        self.under_way: Step | None = None
        self.planned: Step | None = None
        self.ends = inf
        self.most_tokens = self.most_sequences = self.most_blocks = 0

    def submit(self, s: Sequence_, now: float) -> None:
        self.waiting.append(s)
        if self.under_way is None:
            self.ends = now

    # --- blocks

    def take(self, s: Sequence_, tokens: int) -> bool:
        need = -(-tokens // self.config.block_size) - len(s.blocks)
        if need > len(self.free):
            return False
        self.taken += max(need, 0)
        for _ in range(need):
            block = self.free.popleft()
            self.owner.pop(block, None)
            s.blocks.append(block)
        return True

    def give_back(self, s: Sequence_) -> None:
        self.free.extend(reversed(s.blocks))
        self.freed += len(s.blocks)
        s.freed = self.freed
        s.blocks = []

    def found(self, s: Sequence_) -> list[int]:
        """Blocks of a preempted request whose content is still its own."""
        by_place = {place: block for block, (who, place) in self.owner.items() if who == s.number}
        hits: list[int] = []
        for place in range((s.known - s.stride) // self.config.block_size):
            if place not in by_place:
                break
            hits.append(by_place[place])
        return hits

    # --- a plan

    def preempt(self, s: Sequence_) -> None:
        self.running.remove(s)
        decoding = s.computed >= s.known
        full = (s.computed - (s.stride * self.config.asynchronous if decoding else 0)) // self.config.block_size
        for place, block in enumerate(s.blocks[:full] if self.config.prefix_cache else []):
            self.owner[block] = (s.number, place)
        self.give_back(s)
        if s.over:
            return
        if decoding:
            s.known = s.computed + s.stride
        s.computed, s.resumed = 0, True
        s.preempted += 1
        self.waiting.appendleft(s)

    def plan(self, now: float) -> Step | None:
        c = self.config
        budget, short = c.token_budget, False
        chunks: list[tuple[Sequence_, int, bool]] = []
        i = 0
        while i < len(self.running) and budget > 0:
            s = self.running[i]
            i += 1
            if s.over:
                continue
            decoding = s.computed >= s.known
            tokens = s.stride if decoding else min(s.known - s.computed, budget)
            while not (fits := self.take(s, s.computed + tokens)):
                last = self.running[-1]
                self.preempt(last)
                short = True
                if last is s:
                    break
            if not fits:
                break
            chunks.append((s, tokens, decoding))
            budget -= tokens
        while not short and self.waiting and budget > 0 and len(self.running) < c.max_sequences:
            s = self.waiting[0]
            hits = self.found(s) if s.resumed else []
            done = len(hits) * c.block_size if s.resumed else s.cached
            tokens = min(s.known - done, budget)
            whole = s.known if c.reserve_prompt else done + tokens
            if -(-whole // c.block_size) > len(self.free):
                break
            self.waiting.popleft()
            self.freed -= len(hits)
            for block in hits:
                self.free.remove(block)
                self.owner.pop(block)
            s.blocks, s.computed = list(hits), done
            assert self.take(s, done + tokens)
            self.running.append(s)
            if s.scheduled < 0:
                s.scheduled = now
            chunks.append((s, tokens, False))
            budget -= tokens
        return self.step(chunks) if chunks else None

    def step(self, chunks: list[tuple[Sequence_, int, bool]]) -> Step:
        pairs = sum(n * s.computed + n * (n + s.stride) / 2 for s, n, decoding in chunks if not decoding)
        yields = []
        for s, n, _ in chunks:
            s.computed += n
            if s.computed >= s.known:
                s.emitted += s.stride if s.emitted else 1
                yields.append((s, s.emitted == 1, s.over))
        tokens, kv = sum(n for _, n, _ in chunks), sum(s.computed for s, _, _ in chunks)
        self.most_tokens = max(self.most_tokens, tokens)
        self.most_sequences = max(self.most_sequences, len(self.running))
        held = sum(len(s.blocks) for s in self.running)
        self.most_blocks = max(self.most_blocks, held)
        assert held + len(self.free) == self.config.kv_blocks
        counted = tokens if pairs else len(chunks)
        return Step(tokens, self.config.law.seconds(counted, len(chunks), kv, pairs), yields)

    # --- time

    def change(self) -> list[tuple[Sequence_, bool, bool]]:
        """End the step under way and start the next."""
        now, told = self.ends, []
        if self.under_way:
            for s, first, last in self.under_way.yields:
                if first:
                    s.first = now
                if last:
                    s.finished = now
                    if s in self.running:
                        self.running.remove(s)
                        self.give_back(s)
                if first or last:
                    told.append((s, first, last))
        if self.config.asynchronous:
            self.under_way = self.planned or self.plan(now)
            self.planned = self.plan(now) if self.under_way else None
        else:
            self.under_way = self.plan(now)
        self.ends = now + self.under_way.seconds if self.under_way else inf
        return told

    def cancel(self, s: Sequence_) -> None:
        for step in (self.under_way, self.planned):
            if step:
                step.yields = [y for y in step.yields if y[0] is not s]
        if s in self.waiting:
            self.waiting.remove(s)
            s.freed = 0
        if s in self.running:
            self.running.remove(s)
            self.give_back(s)


def aligned(config: Replica, prompt: int, cached: int) -> int:
    return min(cached, prompt - int(config.tokens_per_step)) // config.block_size * config.block_size


def reference_serve(
    fleet: Fleet,
    arrivals: Sequence[float],
    prompts: Sequence[int],
    outputs: Sequence[int],
    cached: Sequence[int],
    keys: Sequence[int],
) -> tuple[list[Sequence_], list[Reference]]:
    """Serve requests that are given in the order of their arrivals; returns them where they ended."""
    replicas = [Reference(c) for c in (*fleet.replicas, *fleet.decode)]
    prefills, decodes = len(fleet.replicas), len(fleet.decode)
    turns = {0: 0, prefills: 0}
    on_way: list[tuple[float, int]] = []
    ended: dict[int, Sequence_] = {}
    began: dict[int, Sequence_] = {}
    one = int(fleet.replicas[0].tokens_per_step)

    def route(first: int, many: int, key: int) -> Reference:
        load = [len(r.running) + len(r.waiting) for r in replicas[first : first + many]]
        least = load.index(min(load))
        if many > 1 and fleet.policy == "round_robin":
            turns[first] += 1
            return replicas[first + (turns[first] - 1) % many]
        if fleet.policy == "prefix_affinity" and load[key % many] <= load[least] + fleet.spill:
            return replicas[first + key % many]
        return replicas[first + least]

    pos = 0
    while True:
        busy = min(replicas, key=lambda r: r.ends)
        arrives = arrivals[pos] if pos < len(arrivals) else inf
        lands = on_way[0][0] if on_way else inf
        if min(arrives, lands, busy.ends) == inf:
            break
        if arrives <= busy.ends and arrives <= lands:
            r = route(0, prefills, keys[pos])
            s = Sequence_(pos, prompts[pos], 1 if decodes else outputs[pos], 0, prompts[pos], one)
            s.cached = aligned(r.config, s.prompt, cached[pos])
            r.submit(s, arrives)
            pos += 1
        elif lands <= busy.ends:
            _, q = heapq.heappop(on_way)
            r = route(prefills, decodes, keys[q])
            s = Sequence_(q, prompts[q], outputs[q], prompts[q], prompts[q] + one, one, emitted=1)
            s.scheduled, s.first = began[q].scheduled, began[q].first
            r.submit(s, lands)
        else:
            now = busy.ends
            for s, _, last in busy.change():
                if not last:
                    continue
                ended[s.number] = s
                if replicas.index(busy) < prefills and decodes and outputs[s.number] > 1:
                    began[s.number] = s
                    delay = fleet.handover_seconds + fleet.handover_seconds_per_token * s.prompt
                    heapq.heappush(on_way, (now + delay, s.number))
    return [ended[q] for q in range(len(arrivals))], replicas

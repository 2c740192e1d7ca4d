"""What would happen in one attempt if nobody cut it: its moments, its end, what it has used by when.

All moments are seconds from the attempt's start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tests.reference import keys, laws, served

ERRORS = (
    "rate_limit",
    "timeout",
    "server_error",
    "content_filter",
    "invalid_output",
    "context_overflow",
    "budget_exceeded",
)
STRIKES_AT = {
    "rate_limit": "start",
    "context_overflow": "start",
    "budget_exceeded": "start",
    "server_error": "first_token",
    "content_filter": "end",
    "invalid_output": "end",
}
HANG = 600.0
SLOWEST = 0.001  # tokens a second


@dataclass
class Usage:
    """What was sent and paid."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    cost: float = 0.0
    calls: int = 0
    attempts: int = 0
    energy: float = 0.0
    near_floor: int = 0  # cuts so close to a whole token that rounding decides

    def add(self, other: Usage) -> None:
        self.input += other.input
        self.cached += other.cached
        self.output += other.output
        self.reasoning += other.reasoning
        self.cost += other.cost
        self.calls += other.calls
        self.attempts += other.attempts
        self.energy += other.energy
        self.near_floor += other.near_floor

    @property
    def tokens(self) -> int:
        return self.input + self.output + self.reasoning


@dataclass
class Tokens:
    """The tokens of one attempt if it runs to its end."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0


PACE = served.Pace(0.0)


@dataclass
class Timeline:
    """One attempt's plan. `spans` are the components in order with the moment at which each ends."""

    spans: list[tuple[str, float]]
    tokens: Tokens
    end: float
    error: str | None = None
    struck: str = ""  # start | first_token | end | hang | cut: how the error struck
    retry_after: float | None = None
    first_token: float = math.inf
    t_net: float = 0.0
    t_prefill: float = 0.0
    pace: served.Pace = PACE
    backend: Any = None
    attempt_index: int = 0

    def way(self) -> list[tuple[str, float]]:
        """The components up to the backend."""
        return [span for span in self.spans if span[0] in ("client", "network")]

    def components(self, tau: float) -> list[tuple[str, float]]:
        """Seconds of each component up to `tau`."""
        parts = []
        begin = 0.0
        for name, end in self.spans:
            parts.append((name, max(0.0, min(end, tau) - begin)))
            begin = end
        return parts

    def usage(self, tau: float, cut: bool) -> Usage:
        """What counts if the attempt stopped at `tau`: by itself, or `cut` from outside."""
        if self.backend is None:
            return Usage()
        by_error = self.error is not None and not cut
        nothing = by_error and (self.struck == "start" or tau < self.t_net)
        if nothing:
            used = Usage()
        else:
            output, reasoning = self._generated(tau, cut)
            used = Usage(self.tokens.input, self.tokens.cached, output, reasoning)
            used.near_floor = int((output, reasoning) != self._generated(tau + 1e-9, cut)) or int(
                (output, reasoning) != self._generated(tau - 1e-9, cut)
            )
        used.cost = self._cost(used)
        used.energy = (
            0.0 if nothing else served.energy(self.backend, used.input - used.cached, used.output + used.reasoning)
        )
        used.attempts = 1
        return used

    def _generated(self, tau: float, cut: bool) -> tuple[int, int]:
        whole = self.tokens.output, self.tokens.reasoning
        if not cut and (self.error is None or self.struck == "end"):
            return whole
        if self.struck == "hang" or (self.struck == "first_token" and not cut):
            return 0, 0
        output = reasoning = 0
        if tau >= self.first_token:
            reasoning = whole[1]
            output = min(whole[0], 1 + self.pace.tokens_in(whole[1], tau - self.first_token))
        elif tau > self.t_prefill:
            reasoning = min(whole[1], self.pace.tokens_in(0, tau - self.t_prefill))
        return output, reasoning

    def _cost(self, used: Usage) -> float:
        price = self.backend.price
        if price is None:
            return 0.0
        cached = price.input if price.cached_input is None else price.cached_input
        reasoning = price.output if price.reasoning is None else price.reasoning
        return float(
            (used.input - used.cached) * price.input
            + used.cached * cached
            + used.output * price.output
            + used.reasoning * reasoning
            + price.per_call
        )


@dataclass(frozen=True)
class Attempt:
    """The draws of attempt `index` of one visit, with what its step and its backend say."""

    node: int
    index: int
    step: Any
    timeout: Any
    backend: Any = None
    waited: float = 0.0  # for its turn at the backend
    client: float = 0.0  # at the client, before it is sent
    overhead: float = 0.0  # at the server's door

    def draw(self, quantity: int) -> int:
        return keys.attempt_draw(self.node, self.index, quantity)

    def error(self) -> tuple[str | None, Any, Any]:
        """Return the error drawn, with what the step and what the backend say of it."""
        own: dict[str, Any] = dict(getattr(self.step, "errors", {}))  # a wait has none
        theirs: dict[str, Any] = dict(self.backend.errors) if self.backend is not None else {}
        u = keys.uniform(self.draw(keys.ERROR))
        cumulated = 0.0
        for name in ERRORS:
            specs = (theirs.get(name), own.get(name))
            cumulated += sum(spec.probability for spec in specs if spec is not None)
            if u < cumulated:
                return name, own.get(name), theirs.get(name)
        return None, None, None


def _said(own: Any, theirs: Any, field_name: str) -> Any:
    """What the step says of an error, else what the backend says."""
    for spec in (own, theirs):
        if spec is not None and getattr(spec, field_name) is not None:
            return getattr(spec, field_name)
    return None


def model_timeline(attempt: Attempt, factor: float, input_tokens: int, cached: int) -> Timeline:
    """Return the measured law's timeline; `factor` is the run's own at this backend."""
    law = attempt.backend.law
    network = served_law(law).network
    slow = factor * math.exp(served_law(law).variation.between_calls * keys.normal(attempt.draw(keys.CALL_NOISE)))
    tokens = Tokens(input_tokens, cached)
    thinking = getattr(attempt.step, "reasoning_tokens", None)
    if thinking is None and getattr(attempt.step, "effort", None) is not None:
        thinking = getattr(law.measured, "thinking", {}).get(attempt.step.effort)
    if thinking is not None:
        tokens.reasoning = laws.count(thinking, attempt.draw(keys.REASONING))
    tokens.output = laws.count(attempt.step.output_tokens, attempt.draw(keys.OUTPUT))
    _bound(tokens, attempt)
    t_net = attempt.client + attempt.overhead
    t_net += laws.duration(network, attempt.draw(keys.NETWORK)) if network is not None else 0.0
    if law.deployment is not None:
        waiting, prefill, pace = served.deployed(law.deployment, input_tokens, cached)
    elif law.table is not None:
        waiting, prefill, pace = served.tabled(law.table, input_tokens, cached)
    else:
        waiting, prefill, pace = _measured(law.measured, attempt, input_tokens, cached)
    pace = pace.slowed(slow)
    t_queue = t_net + attempt.waited + waiting * slow
    t_prefill = t_queue + prefill * slow
    t_first = t_prefill + pace.seconds(0, tokens.reasoning)
    t_end = t_first + pace.seconds(tokens.reasoning, max(0, tokens.output - 1))
    line = Timeline(
        spans=[
            *([("client", attempt.client)] if attempt.client else []),
            ("network", t_net),
            ("queue", t_queue),
            ("prefill", t_prefill),
            ("reasoning", t_first),
            ("decode", t_end),
        ],
        tokens=tokens,
        end=t_end,
        first_token=t_first,
        t_net=t_net,
        t_prefill=t_prefill,
        pace=pace,
        backend=attempt.backend,
        attempt_index=attempt.index,
    )
    _strike(line, attempt, {"start": t_net, "first_token": t_prefill, "end": t_end})
    return line


def served_law(law: Any) -> Any:
    """Return the law that a backend has: what says its variation and network."""
    return law.measured or law.deployment or law.table


def _measured(measured: Any, attempt: Attempt, input_tokens: int, cached: int) -> tuple[float, float, served.Pace]:
    """Seconds of a stall and to the first token, and the pace, without slowdown."""
    rate = max(SLOWEST, laws.duration(measured.decode_rate, attempt.draw(keys.RATE)))
    stall = 0.0
    if measured.stall is not None and keys.uniform(attempt.draw(keys.STALL)) < measured.stall.probability:
        stall = laws.duration(measured.stall.duration, attempt.draw(keys.STALL_TIME))
    seconds = laws.duration(measured.ttft, attempt.draw(keys.TTFT))
    if measured.prefill_rate is not None:
        seconds += max(0, input_tokens - cached - measured.ttft_input_tokens) / measured.prefill_rate
    return stall, seconds, served.Pace(1 / rate)


def plain_timeline(attempt: Attempt, latency: Any, component: str) -> Timeline:
    """Return the timeline of a tool, a person or a wait: one draw of its latency, no tokens sent."""
    end = laws.duration(latency, attempt.draw(keys.LATENCY))
    tokens = Tokens()
    if getattr(attempt.step, "output_tokens", None) is not None:
        tokens.output = laws.count(attempt.step.output_tokens, attempt.draw(keys.OUTPUT))
    line = Timeline(spans=[(component, end)], tokens=tokens, end=end, first_token=end, attempt_index=attempt.index)
    _strike(line, attempt, {"start": 0.0, "first_token": end, "end": end})
    return line


def _bound(tokens: Tokens, attempt: Attempt) -> None:
    """Cut reasoning first, then output, to what `max_tokens`, `max_output` and the context leave."""
    bounds = [getattr(attempt.step, "max_tokens", None), attempt.backend.max_output]
    if attempt.backend.context is not None:
        bounds.append(max(0, attempt.backend.context - tokens.input))
    bound = min((b for b in bounds if b is not None), default=None)
    if bound is not None:
        tokens.reasoning = min(tokens.reasoning, bound)
        tokens.output = min(tokens.output, bound - tokens.reasoning)


def _overflows(line: Timeline, attempt: Attempt) -> bool:
    if line.backend is None or line.backend.context is None:
        return False
    asked = getattr(attempt.step, "max_tokens", None) or 0
    return bool(line.tokens.input + max(1, asked) > line.backend.context)


def _strike(line: Timeline, attempt: Attempt, moments: dict[str, float]) -> None:
    """Let the attempt's error and its timeouts strike: set how and when it ends."""
    name, own, theirs = attempt.error()
    if _overflows(line, attempt):
        line.error, line.struck, line.end = "context_overflow", "start", line.t_net
        name = None  # what was drawn does not come, nor its Retry-After
    elif name == "timeout":
        after = _said(own, theirs, "after")
        line.error, line.struck, line.end = name, "hang", HANG if after is None else after
        _hang(line)
    elif name is not None:
        at = _said(own, theirs, "at") or STRIKES_AT[name]
        line.error, line.struck, line.end = name, at, moments[at]
    if line.error is not None:
        waits = None if name is None else _said(own, theirs, "retry_after")
        if waits is not None:
            line.retry_after = laws.duration(waits, attempt.draw(keys.RETRY_AFTER))
    _time_out(line, attempt.timeout)


def _hang(line: Timeline) -> None:
    """Nothing comes: after the network, the time until the timeout is spent in the queue (or at the tool)."""
    line.first_token = math.inf
    if line.backend is None:
        line.spans = [(line.spans[0][0], math.inf)]
    else:
        line.spans = [*line.way(), ("queue", math.inf)]


def _time_out(line: Timeline, timeout: Any) -> None:
    if timeout is None:
        return
    limit = math.inf if timeout.attempt is None else timeout.attempt
    if timeout.idle is not None:
        if line.first_token > timeout.idle:
            limit = min(limit, timeout.idle)
        else:
            before = line.pace.first_above(line.tokens.reasoning, timeout.idle, max(0, line.tokens.output - 1))
            if before is not None:
                late = line.pace.seconds(line.tokens.reasoning, before)
                limit = min(limit, line.first_token + late + timeout.idle)
    if limit < line.end:
        line.end = limit
        line.error = "timeout"
        line.retry_after = None
        if line.struck != "hang":
            line.struck = "cut"

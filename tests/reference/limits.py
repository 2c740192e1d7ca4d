"""Rate limits as token buckets, and circuit breakers: what runs share besides slots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MINUTE, DAY = 60.0, 86_400.0


@dataclass
class Bucket:
    """Full at first; `size` flows in over `span` seconds."""

    size: float
    span: float
    takes: tuple[bool, bool, bool]  # a request, input tokens, output tokens
    level: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.size

    def need(self, requests: float, tokens_in: float, tokens_out: float) -> float:
        return sum(n for n, counts in zip((requests, tokens_in, tokens_out), self.takes, strict=True) if counts)

    def refill(self, now: float) -> None:
        self.level = min(self.size, self.level + (now - self.at) * self.size / self.span)
        self.at = now

    def wait(self, need: float) -> float | None:
        """Seconds until there is enough; None if there is now."""
        if need > 0 and self.level >= need - 1e-9 * self.size:
            return None
        if need == 0 and self.level > 0:
            return None
        return ((min(need, self.size) if need > 0 else 1.0) - self.level) * self.span / self.size


class RateLimit:
    """One backend's limit, for all runs or for one tenant."""

    def __init__(self, limit: Any) -> None:
        self.limit = limit
        kinds = {
            "rpm": (MINUTE, (True, False, False)),
            "rpd": (DAY, (True, False, False)),
            "tpm": (MINUTE, (False, True, True)),
            "tpd": (DAY, (False, True, True)),
            "itpm": (MINUTE, (False, True, False)),
            "otpm": (MINUTE, (False, False, True)),
        }
        said = {name: getattr(limit, name) for name in kinds}
        self.buckets = [Bucket(float(said[name]), *kinds[name]) for name in kinds if said[name] is not None]
        self.busy = 0
        self.refused = 0

    def ask(self, now: float, line: Any, declared: int | None) -> tuple[bool, float | None, tuple[float, float]]:
        """Return whether an attempt passes, else its Retry-After, and the tokens that are set aside."""
        aside = self._aside(line, declared)
        waits = []
        for bucket in self.buckets:
            bucket.refill(now)
            waits.append(bucket.wait(bucket.need(1, *aside)))
        told = [wait for wait in waits if wait is not None]
        full = self.limit.concurrency is not None and self.busy >= self.limit.concurrency
        if told or full:
            self.refused += 1
            return False, max(told, default=None), aside
        for bucket in self.buckets:
            bucket.level -= bucket.need(1, *aside)
        self.busy += 1
        return True, None, aside

    def _aside(self, line: Any, declared: int | None) -> tuple[float, float]:
        if self.limit.reserves == "nothing":
            return 0.0, 0.0
        tokens_in = self.counted(line.tokens.input, line.tokens.cached)
        bounds = [bound for bound in (declared, line.backend.max_output) if bound is not None]
        if self.limit.reserves != "max_tokens" or not bounds:
            return tokens_in, 0.0
        if line.backend.context is not None:
            bounds.append(max(0, line.backend.context - line.tokens.input))
        return tokens_in, float(min(bounds))

    def counted(self, tokens: int, cached: int) -> float:
        return float(tokens if self.limit.counts_cached is not False else tokens - cached)

    def settle(self, now: float, aside: tuple[float, float], used: Any) -> None:
        self.busy -= 1
        more_in = self.counted(used.input, used.cached) - aside[0]
        more_out = used.output + used.reasoning - aside[1]
        for bucket in self.buckets:
            bucket.refill(now)
            bucket.level = min(bucket.size, bucket.level - bucket.need(0, more_in, more_out))


class Breaker:
    """Closed, open or half open."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.state = "closed"
        self.era = 0
        self.row = self.trying = self.passed = 0
        self.until = 0.0
        self.refused = self.opened = 0

    def _turn(self, state: str) -> None:
        self.state = state
        self.era += 1
        self.row = self.trying = self.passed = 0

    def permits(self, now: float) -> int | None:
        """Return the era in which an attempt may begin, or None."""
        if self.state == "open" and now >= self.until:
            self._turn("half open")
        full = self.state == "half open" and self.trying + self.passed >= self.policy.trials
        if self.state == "open" or full:
            self.refused += 1
            return None
        self.trying += 1
        return self.era

    def tell(self, now: float, era: int, error: str | None, cut: bool = False) -> None:
        if era != self.era:
            return
        self.trying -= 1
        failed = not cut and error in self.policy.on
        if self.state == "half open" and error is None and not cut:
            self.passed += 1
            if self.passed >= self.policy.trials:
                self._turn("closed")
        elif self.state == "closed" and error is None and not cut:
            self.row = 0
        elif self.state == "closed" and failed:
            self.row += 1
            failed = self.row >= self.policy.failures
        if failed:
            self._turn("open")
            self.opened += 1
            self.until = now + self.policy.open_for


class Core:
    """The cores of one client process: work is done in the order in which it is asked for; chunks flow in like water."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.work = self.flow = self.at = 0.0

    def _work_off(self, now: float) -> None:
        self.work = max(0.0, self.work + (self.flow - self.client.cores) * (now - self.at))
        self.at = now

    def burst(self, now: float, cpu: float) -> float:
        """Ask for so many core-seconds; return when they are done, from now."""
        self._work_off(now)
        wait = self.work / self.client.cores
        self.work += cpu
        return wait + cpu

    def stream(self, now: float, change: float) -> None:
        """Let chunks ask for so much more of a core, or less."""
        self._work_off(now)
        self.flow = max(0.0, self.flow + change)

"""When runs arrive: renewal processes, modulated and daily rates, traces, a closed loop, a batch.

Random numbers are keyed by (seed, replication, block), so that arrivals are the same for every scenario of a seed:
comparisons under load are paired. Uniform bits come from Philox (Salmon et al. 2011), numpy's counter-based generator.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentflow.plan.layout import F64, I32

BLOCK = 4096
"""Arrivals drawn at once."""

_FRESH = np.random.SeedSequence(0)
_GAPS, _TENANTS, _STATES = range(3)  # what a block's random numbers are for

Blocks = Iterator[tuple[F64, I32]]


def _generator(seed: int, replication: int, block: int, what: int) -> np.random.Generator:
    bits = np.random.Philox(_FRESH)  # with a key of its own it would first ask the system for entropy
    state: Any = bits.state
    state["state"]["key"][:] = seed % 2**64, 0x6172726976616C73  # "arrivals"
    state["state"]["counter"][:] = 0, what, block, replication
    bits.state = state
    return np.random.Generator(bits)


def _exponential(random: np.random.Generator, n: int) -> F64:
    """Draw by inversion, so that the bits are those of any version of numpy."""
    return -np.log1p(-random.random(n))


def _gaps(random: np.random.Generator, n: int, cv: float) -> F64:
    """Draw gaps of mean 1 and this coefficient of variation: constant, exponential, else gamma."""
    if cv == 0.0:
        return np.ones(n)
    if cv == 1.0:
        return _exponential(random, n)
    return random.standard_gamma(1.0 / cv**2, n) * cv**2


@dataclass(frozen=True)
class Arrivals:
    """When runs arrive; the kinds below say how.

    Attributes
    ----------
    tenants : int
        Each run belongs to one of them, drawn evenly.
    """

    tenants: int = 1

    @property
    def rate(self) -> float | None:
        """Mean arrivals a second in the long run; None where load does not come at a rate."""
        return None

    @property
    def users(self) -> int:
        """Users of a closed loop, else 0."""
        return 0

    @property
    def size(self) -> int | None:
        """How many runs arrive in all; None where there is no end."""
        return None

    def blocks(self, seed: int, replication: int) -> Blocks:
        """Yield arrival times (s, ascending; think times in a closed loop) and tenants."""
        for block, times in enumerate(self._times(seed, replication)):
            yield times, self._tenants(seed, replication, block, len(times))

    def _times(self, seed: int, replication: int) -> Iterator[F64]:
        raise NotImplementedError

    def _tenants(self, seed: int, replication: int, block: int, n: int) -> I32:
        if self.tenants == 1:
            return np.zeros(n, np.int32)
        return _generator(seed, replication, block, _TENANTS).integers(self.tenants, size=n, dtype=np.int32)


@dataclass(frozen=True)
class Renewal(Arrivals):
    """Independent gaps of one law: Poisson (cv 1), constant (cv 0), bursty (gamma, cv above 1)."""

    per_second: float = 1.0
    cv: float = 1.0

    @property
    def rate(self) -> float:
        """Mean arrivals a second."""
        return self.per_second

    def _times(self, seed: int, replication: int) -> Iterator[F64]:
        now = 0.0
        for block in itertools.count():
            gaps = _gaps(_generator(seed, replication, block, _GAPS), BLOCK, self.cv) / self.per_second
            times = now + np.cumsum(gaps)
            now = float(times[-1])
            yield times


@dataclass(frozen=True)
class Varying(Arrivals):
    """A Poisson process whose rate changes with time: unit-rate arrivals, mapped back through the sum of the rate.

    Parameters
    ----------
    rates : tuple of float
        Arrivals a second in each state.
    stays : tuple of float
        Mean stay in each state (s), exponential if `random`, else exact; the states follow one another in a ring.
    """

    rates: tuple[float, ...] = (1.0,)
    stays: tuple[float, ...] = (1.0,)
    random: bool = True

    @property
    def rate(self) -> float:
        """Mean arrivals a second over a round of the states."""
        return sum(r * s for r, s in zip(self.rates, self.stays, strict=True)) / sum(self.stays)

    def _times(self, seed: int, replication: int) -> Iterator[F64]:
        segments = self._segments(seed, replication)
        at, total = np.zeros(1), np.zeros(1)  # end of each segment, and the rate summed up to it
        now = 0.0
        for block in itertools.count():
            sums = now + np.cumsum(_exponential(_generator(seed, replication, block, _GAPS), BLOCK))
            now = float(sums[-1])
            while total[-1] <= now:
                lengths, rates = next(segments)
                at = np.concatenate([at, at[-1] + np.cumsum(lengths)])
                total = np.concatenate([total, total[-1] + np.cumsum(lengths * rates)])
            index = np.searchsorted(total, sums, side="right")
            share = (sums - total[index - 1]) / (total[index] - total[index - 1])
            yield at[index - 1] + share * (at[index] - at[index - 1])
            kept = int(np.searchsorted(total, now, side="right")) - 1
            at, total = at[kept:], total[kept:]

    def _segments(self, seed: int, replication: int) -> Iterator[tuple[F64, F64]]:
        rounds = max(1, 512 // len(self.rates))
        for block in itertools.count():
            stays = np.tile(self.stays, rounds)
            if self.random:
                stays = stays * _exponential(_generator(seed, replication, block, _STATES), len(stays))
            yield stays, np.tile(self.rates, rounds)


@dataclass(frozen=True)
class Closed(Arrivals):
    """Users who think, send a run, wait for its end, and think again (think time gamma by mean and cv)."""

    number: int = 1
    think: float = 0.0
    cv: float = 1.0

    @property
    def users(self) -> int:
        """Return their number."""
        return self.number

    def _times(self, seed: int, replication: int) -> Iterator[F64]:
        for block in itertools.count():
            yield self.think * _gaps(_generator(seed, replication, block, _GAPS), BLOCK, self.cv)


@dataclass(frozen=True)
class Given(Arrivals):
    """Arrivals at given times, such as a trace's."""

    times: tuple[float, ...] = ()

    @property
    def rate(self) -> float | None:
        """Arrivals a second over the whole of it."""
        span = self.times[-1] - self.times[0]
        return (len(self.times) - 1) / span if span > 0.0 else None

    @property
    def size(self) -> int:
        """Return their number."""
        return len(self.times)

    def _times(self, seed: int, replication: int) -> Iterator[F64]:
        yield np.array(self.times)


@dataclass(frozen=True)
class Batch(Arrivals):
    """All runs at once."""

    runs: int = 1

    @property
    def size(self) -> int:
        """Return their number."""
        return self.runs

    def _times(self, seed: int, replication: int) -> Iterator[F64]:
        yield np.zeros(self.runs)

"""What runs share: the slots of backends, their rate limits, the breakers and the cores of those who call them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from agentflow.errors import PlanError
from agentflow.hardware import cache_blocks, iteration_table
from agentflow.hardware.serving import constants
from agentflow.schema import Backend

BUCKETS = ("rpm", "rpd", "tpm", "tpd", "itpm", "otpm")
"""The buckets of a rate limit, in the order of `Limiter.bounds`."""

SPANS = (60.0, 86_400.0, 60.0, 86_400.0, 60.0, 60.0)
"""Seconds in which each is filled."""


@dataclass(frozen=True)
class Resource:
    """Slots that one backend or several share.

    Parameters
    ----------
    name : str
        The backend's, or what several share it by.
    backends : tuple of int
        Rows of the plan's backends that draw on it.
    concurrency : int
        Calls in service at once.
    queue : str
        Who is next: `fifo`, `priority`, `sjf`, `las` or `age`.
    max_queue : int, optional
        Calls that may wait; what comes then is turned away.
    per_tenant : bool
        Whether each tenant has slots of its own.
    """

    name: str
    backends: tuple[int, ...]
    concurrency: int
    queue: str = "fifo"
    max_queue: int | None = None
    per_tenant: bool = False


@dataclass(frozen=True)
class Limiter:
    """A rate limit of one backend: token buckets that are full at first.

    Parameters
    ----------
    name : str
        The backend's and the tier's.
    backend : int
        Row of the plan's backends.
    bounds : tuple of float or None
        Requests a minute and a day, tokens a minute and a day, input and output tokens a minute.
    concurrency : int, optional
        Attempts at a time.
    reserves : str, optional
        What is set aside at admission: `max_tokens` (and the input), `nothing`, or by default the input.
    counts_cached : bool
        Whether cached input counts.
    per_tenant : bool
        Whether each tenant has a limit of its own.
    """

    name: str
    backend: int
    bounds: tuple[float | None, ...]
    concurrency: int | None = None
    reserves: str | None = None
    counts_cached: bool = True
    per_tenant: bool = False

    def rates(self, tenants: int = 1) -> tuple[float, ...]:
        """Return what flows into each bucket a second, for all tenants together; infinity where it says nothing."""
        copies = tenants if self.per_tenant else 1
        return tuple(
            inf if bound is None else copies * bound / span for bound, span in zip(self.bounds, SPANS, strict=True)
        )


def most_runs(rates: Sequence[float], asks: Sequence[float]) -> dict[str, float]:
    """Return the runs a second at which each bucket is used as fast as it fills.

    Parameters
    ----------
    rates : sequence of float
        As of `Limiter.rates`.
    asks : sequence of float
        Requests, input and output tokens of a run.
    """
    requests, tokens_in, tokens_out = (float(x) for x in asks)
    both = tokens_in + tokens_out
    uses = (requests, requests, both, both, tokens_in, tokens_out)
    return {name: rate / use for name, rate, use in zip(BUCKETS, rates, uses, strict=True) if use and rate < inf}


@dataclass(frozen=True)
class Breaker:
    """A circuit breaker before one place, for all steps that have the same.

    Parameters
    ----------
    name : str
        The backend's, or the step's where it calls none.
    failures, open_for, trials
        As in `schema.CircuitBreaker`.
    errors : int
        Bits of the errors that count.
    """

    name: str
    failures: int
    open_for: float
    trials: int
    errors: int


@dataclass(frozen=True)
class Client:
    """What SDK and framework cost: CPU on the cores of a process that its runs share, and a fixed time a call.

    Parameters
    ----------
    name : str
        As it was named.
    cpu_per_call, cpu_per_chunk : float
        Core-seconds of an attempt, and of each streamed token.
    fixed : float
        Seconds that an attempt takes besides, without a core.
    before : float
        Share of `cpu_per_call` that is spent before the request is sent.
    cores : int
        That a process uses at a time.
    processes : int
        Run n lives in process n modulo this.
    """

    name: str
    cpu_per_call: float
    cpu_per_chunk: float = 0.0
    fixed: float = 0.0
    before: float = 0.6
    cores: int = 1
    processes: int = 1


@dataclass(frozen=True)
class Fleet:
    """Replicas of a deployment that batch continuously, instead of the law of one attempt.

    Parameters
    ----------
    name : str
    backend : int
        Row of the plan's backends.
    replicas : int
    token_budget, max_sequences, kv_blocks : int
        Bounds of a step and of the cache of each, as of `engine.batching_state.Replica`.
    overhead : float
        Seconds of a request before its replica knows of it.
    plain_seconds, mixed_seconds, sequence, kv, mixed_kv, pair : float
        Seconds of steps, as of `hardware.IterationTable`.
    asynchronous, prefix_cache : bool
        As of `engine.batching_state.Replica`.
    """

    name: str
    backend: int
    replicas: int
    token_budget: int
    max_sequences: int
    kv_blocks: int
    overhead: float
    plain_seconds: tuple[float, ...]
    mixed_seconds: tuple[float, ...]
    sequence: float
    kv: float
    mixed_kv: float
    pair: float
    asynchronous: bool = True
    prefix_cache: bool = True


def fleets_of(names: Sequence[str], backends: Iterable[Backend]) -> tuple[Fleet, ...]:
    """Make the fleets of a plan's backends that are deployments.

    Those that speculate, diffuse or prefill elsewhere keep their law: an iteration of theirs is no such step.

    Parameters
    ----------
    names : sequence of str
        Of the plan's backends, in the order of its rows.
    backends : iterable of Backend

    Raises
    ------
    PlanError
        If one has a capacity besides.
    """
    found: dict[str, Fleet] = {}
    for backend in backends:
        law = backend.law.deployment
        if law is None or backend.name in found:
            continue
        d = law.deployment
        if d.speculation is not None or d.diffusion is not None or d.disaggregated:
            continue
        if backend.capacity is not None:
            raise PlanError(
                f"{backend.name} is a deployment, whose batch says how many calls it serves; leave its capacity out"
            )
        budget = d.chunk_tokens
        most = min(d.max_batch, budget)
        table = iteration_table(d, most, budget)
        found[backend.name] = Fleet(
            backend.name,
            list(names).index(backend.name),
            d.replicas,
            budget,
            most,
            cache_blocks(d),
            constants(d).request_overhead,
            **{name: getattr(table, name) for name in STEPS},
        )
    return tuple(found.values())


STEPS = ("plain_seconds", "mixed_seconds", "sequence", "kv", "mixed_kv", "pair")


def limiters_of(backends: Sequence[Backend]) -> tuple[Limiter, ...]:
    """Collect the limits of the tiers that a plan's backends name, in the order of its rows."""
    found = []
    for row, backend in enumerate(backends):
        limit = backend.limit
        if limit is None:
            continue
        bounds = (limit.rpm, limit.rpd, limit.tpm, limit.tpd, limit.itpm, limit.otpm)
        found.append(
            Limiter(
                f"{backend.name} ({limit.tier})",
                row,
                tuple(None if bound is None else float(bound) for bound in bounds),
                limit.concurrency,
                limit.reserves,
                limit.counts_cached is not False,
                limit.per == "tenant",
            )
        )
    return tuple(found)


def resources_of(backends: Sequence[Backend]) -> tuple[Resource, ...]:
    """Collect the capacities of a plan's backends, in the order of its rows.

    Raises
    ------
    PlanError
        If two backends share a capacity and differ in it.
    """
    found: dict[str, Resource] = {}
    first: dict[str, Backend] = {}
    for row, backend in enumerate(backends):
        capacity = backend.capacity
        if capacity is None:
            continue
        name = capacity.shared or backend.name
        before = found.get(name)
        if before is not None and first[name].capacity != capacity:
            raise PlanError(
                f"backends {first[name].name} and {backend.name} share the capacity {name}, but say different things "
                "of it; write the same capacity in both"
            )
        first.setdefault(name, backend)
        made = Resource(
            name,
            (*(before.backends if before else ()), row),
            capacity.concurrency,
            capacity.queue,
            capacity.max_queue,
            capacity.per == "tenant",
        )
        found[name] = made
    return tuple(found.values())

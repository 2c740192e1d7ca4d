"""What runs share: the slots of backends, their rate limits, the breakers and the cores of those who call them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf

from agentflow.errors import PlanError
from agentflow.hardware import cache_blocks, handover_seconds, iteration_table
from agentflow.hardware.serving import handling_seconds, tokens_per_step
from agentflow.schema import Backend
from agentflow.schema.deployment import Deployment

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
    backend : int, optional
        Row of the plan's backends; none has those that only decode what others have prefilled.
    replicas : int
    token_budget, max_sequences, kv_blocks : int
        Bounds of a step and of the cache of each, as of `engine.batching_state.Replica`.
    overhead : float
        Seconds of a request before its replica knows of it.
    plain_seconds, mixed_seconds, sequence, kv, mixed_kv, pair : float
        Seconds of steps, as of `hardware.IterationTable`.
    asynchronous, prefix_cache : bool
        As of `engine.batching_state.Replica`.
    tokens_per_step : float
        Tokens that a step yields of each sequence that decodes.
    router : str
        `least_loaded`, `round_robin` or `prefix_affinity`.
    spill : int
        With `prefix_affinity`: requests that a run's own replica may have more than the least loaded.
    decode : int, optional
        Place among the plan's fleets of the one to which it hands caches over.
    handover, handover_per_token : float
        Seconds of that: fixed, for each token of the prompt.
    """

    name: str
    backend: int | None
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
    tokens_per_step: float = 1.0
    router: str = "least_loaded"
    spill: int = 8
    decode: int | None = None
    handover: float = 0.0
    handover_per_token: float = 0.0


def fleets_of(names: Sequence[str], backends: Iterable[Backend]) -> tuple[Fleet, ...]:
    """Make the fleets of a plan's backends that are deployments; a disaggregated one has two.

    Those that diffuse keep their law: see `keeps_its_law`.

    Parameters
    ----------
    names : sequence of str
        Of the plan's backends, in the order of its rows.
    backends : iterable of Backend

    Raises
    ------
    PlanError
        If one has a capacity besides, or a router that looks for prefixes which nothing keeps.
    """
    found: list[Fleet] = []
    seen: set[str] = set()
    for backend in backends:
        law = backend.law.deployment
        if law is None or backend.name in seen or keeps_its_law(backend):
            continue
        seen.add(backend.name)
        _check(backend, law.deployment)
        fleet = _fleet(backend.name, list(names).index(backend.name), law.deployment)
        found += _split(fleet, law.deployment, len(found)) if law.deployment.disaggregated else [fleet]
    return tuple(found)


def keeps_its_law(backend: Backend) -> bool:
    """Whether a deployment does not batch under load: an iteration of a diffusion model is no such step."""
    law = backend.law.deployment
    return law is not None and law.deployment.diffusion is not None


def _check(backend: Backend, d: Deployment) -> None:
    if backend.capacity is not None:
        raise PlanError(
            f"{backend.name} is a deployment, whose batch says how many calls it serves; leave its capacity out"
        )
    if d.router == "prefix_affinity" and backend.cache is None:
        raise PlanError(
            f"{backend.name} has a router that looks for cached prefixes, and no prefix cache; "
            "give the backend a cache, or the deployment another router"
        )


def _fleet(name: str, row: int, d: Deployment) -> Fleet:
    """Make the fleet of a deployment whose replicas do everything."""
    budget, unit = d.chunk_tokens, tokens_per_step(d)
    most = max(min(d.max_batch, int(budget / unit)), 1)
    table = iteration_table(d, most, budget)
    seconds = {name: getattr(table, name) for name in STEPS}
    return Fleet(
        name, row, d.replicas, budget, most, cache_blocks(d), handling_seconds(d), **seconds,
        tokens_per_step=unit, router=d.router, spill=d.balance_threshold,
    )  # fmt: skip


def _split(fleet: Fleet, d: Deployment, place: int) -> list[Fleet]:
    """Let prompts have replicas of their own, which hand their caches over to those that decode."""
    prefill = replace(
        fleet, name=f"{fleet.name} (prefill)", replicas=d.prefill_replicas or d.replicas, decode=place + 1,
        handover=d.chip.link_latency, handover_per_token=handover_seconds(d),
    )  # fmt: skip
    return [prefill, replace(fleet, name=f"{fleet.name} (decode)", backend=None, overhead=0.0)]


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

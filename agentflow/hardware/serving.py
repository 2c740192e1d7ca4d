"""A deployment under load: time to first token, time per output token, throughput, energy.

``concurrency`` requests are in flight all the time (a closed load: each answer is followed at once by the
next request), which is how serving benchmarks measure. A decoding request shares its steps with the others
and is slowed by their prefills; a new request waits for the step that runs, for prefills that are ahead of
its own, and, when memory or the API server is full, for a place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from agentflow.hardware.capacity import memory_fit
from agentflow.hardware.demand import Demand, decode_demand, prefill_demand
from agentflow.hardware.timing import StepTime, prefill_work, step_time
from agentflow.schema.deployment import Constants, Deployment


@dataclass(frozen=True, slots=True)
class FirstToken:
    """Seconds to the first token, by cause.

    Attributes
    ----------
    server : float
        Request handling: HTTP, tokenising, scheduling.
    prefill : float
        The request's own prompt.
    step : float
        Waiting for the decode step that runs.
    behind : float
        Waiting behind other prompts' prefills.
    host : float
        Waiting for the host, which handles the others' requests too.
    place : float
        Waiting for a place in memory.
    """

    server: float
    prefill: float
    step: float
    behind: float
    host: float
    place: float

    @property
    def queue(self) -> float:
        """Seconds of waiting, whatever for."""
        return self.step + self.behind + self.host + self.place

    @property
    def total(self) -> float:
        """Seconds from arrival to first token."""
        return self.server + self.prefill + self.queue


@dataclass(frozen=True, slots=True)
class Load:
    """A steady load and what it leads to.

    Attributes
    ----------
    running : float
        Sequences that decode together on one replica.
    step : StepTime
        One decode step without other requests' prefills.
    tpot : float
        Seconds per output token, prefills of others included.
    ttft : FirstToken
    tokens_per_second : float
        Output of the whole deployment.
    """

    running: float
    step: StepTime
    tpot: float
    ttft: FirstToken
    tokens_per_second: float


def constants(deployment: Deployment) -> Constants:
    """Look up the engine's constants on the deployment's chip family."""
    return deployment.engine.constants(deployment.chip.family)


def prefill_time(deployment: Deployment, tokens: float, batch: float = 1, cached: float = 0) -> float:
    """Seconds to prefill `batch` prompts of `tokens` tokens, the first `cached` cached, on an idle replica.

    Parameters
    ----------
    deployment : Deployment
    tokens, batch, cached : float

    Returns
    -------
    float
        Seconds, at least those of the prompt's last token.
    """
    c = constants(deployment)
    demand = prefill_demand(deployment, tokens, cached, batch)
    return float(step_time(demand, c, prefill=True).total)


def step_demand(deployment: Deployment, batch: float, context: float) -> Demand:
    """Demand of one decode step of `batch` sequences at `context`.

    With drafts it checks several tokens of each; with diffusion it is one refinement pass, over the whole
    sequence unless the rest is cached.
    """
    diffusion, speculation = deployment.diffusion, deployment.speculation
    if diffusion is not None:
        cached = context if diffusion.cached else 0.0
        return prefill_demand(deployment, context + diffusion.block, cached, batch, causal=False)
    return decode_demand(deployment, batch, context, 1.0 + (speculation.draft_tokens if speculation else 0))


def decode_step(deployment: Deployment, batch: float, context: float) -> StepTime:
    """One decode step of `batch` sequences at `context`, by what it goes to; drafts included.

    With diffusion the step is one refinement pass.
    """
    verify = step_time(step_demand(deployment, batch, context), constants(deployment))
    if deployment.speculation is None or deployment.diffusion:
        return verify
    extra = draft_time(deployment, verify.total)
    return StepTime(
        verify.compute, verify.weights, verify.kv, verify.links, verify.overhead + extra, verify.total + extra
    )


def draft_time(deployment: Deployment, verify: float) -> float:
    """Seconds for all drafts of a step whose check takes `verify` seconds; 0 without speculation."""
    speculation = deployment.speculation
    if speculation is None:
        return 0.0
    if speculation.draft_seconds is not None:
        return speculation.draft_tokens * speculation.draft_seconds
    cost = speculation.draft_cost
    if cost is None:
        cost = 1.5 / deployment.model.layers  # multi-token prediction: one layer and an output projection
    return speculation.draft_tokens * verify * cost


def tokens_per_step(deployment: Deployment) -> float:
    """Tokens of one sequence that a step yields, on average."""
    if deployment.diffusion:
        return deployment.diffusion.block / deployment.diffusion.steps
    return deployment.speculation.tokens if deployment.speculation else 1.0


def decode_step_time(deployment: Deployment, batch: float, context: float) -> float:
    """Seconds of one decode step; divide by `tokens_per_step` for seconds a token."""
    return float(decode_step(deployment, batch, context).total)


def token_time(deployment: Deployment, batch: float, context: float) -> float:
    """Seconds per output token of one sequence, without other requests' prefills."""
    return decode_step_time(deployment, batch, context) / tokens_per_step(deployment)


def running_sequences(deployment: Deployment, concurrency: float, input_tokens: float, output_tokens: float) -> float:
    """Sequences that decode together on one replica, as far as memory, limit and API server allow."""
    wanted = concurrency / deployment.replicas
    c = constants(deployment)
    room = memory_fit(deployment, input_tokens + c.reserved_output * output_tokens).sequences
    running = min(wanted, deployment.max_batch, max(room, 1.0))
    context, rate = input_tokens + output_tokens / 2, c.frontend_rate
    if rate is None:
        return running
    low, high = min(1.0, running), running
    for _ in range(30):  # the largest batch whose tokens the API server can still stream
        middle = (low + high) / 2
        if middle / token_time(deployment, middle, context) <= rate:
            low = middle
        else:
            high = middle
    return low if low < 0.999 * running else running


def serve(deployment: Deployment, concurrency: float, input_tokens: float, output_tokens: float) -> Load:
    """Predict a steady load of equal requests.

    Parameters
    ----------
    deployment : Deployment
    concurrency : float
        Requests in flight, on all replicas together.
    input_tokens, output_tokens : float
        Of each request.
    """
    running = running_sequences(deployment, concurrency, input_tokens, output_tokens)
    step = decode_step(deployment, running, input_tokens + output_tokens / 2)
    own = step.total / tokens_per_step(deployment)
    tpot = own + interference(deployment, running, input_tokens, output_tokens)
    first = first_token(deployment, concurrency, input_tokens, output_tokens)
    rate = deployment.replicas * running * output_tokens / (first.server + first.prefill + output_tokens * tpot)
    return Load(running, step, float(tpot), first, float(rate))


def interference(deployment: Deployment, running: float, input_tokens: float, output_tokens: float) -> float:
    """Seconds a token that decoding loses to the prefills of the requests it shares the chips with."""
    if deployment.disaggregated:
        return 0.0
    c = constants(deployment)
    rank = running / deployment.attention_data_parallel
    work = prefill_work(prefill_demand(deployment, input_tokens), c, mixed=True)
    return float(c.interference * max(rank - 1, 0.0) * work / output_tokens)


def first_token(
    deployment: Deployment, concurrency: float, input_tokens: float, output_tokens: float, cached: float = 0.0
) -> FirstToken:
    """Time to first token under a closed load, by cause.

    Waiting behind other prefills has two parts. In steady state the replica is a queue with a finite
    population: by Schweitzer's approximation of mean-value analysis a prefill of P seconds, asked for by n
    requests that decode for Z seconds between two of them, takes R = P (1 + (n - 1) R / (R + Z)), if
    prefills were exponential; `queueing` corrects that. Requests that started together stay together for a
    while: `clumping` of the others is ahead besides.
    """
    c = constants(deployment)
    running = running_sequences(deployment, concurrency, input_tokens, output_tokens)
    step = decode_step(deployment, running, input_tokens + output_tokens / 2).total
    demand = prefill_demand(deployment, input_tokens, cached)
    work = float(prefill_work(demand, c))
    own = prefill_time(deployment, input_tokens, cached=cached)
    decoding = output_tokens * step / tokens_per_step(deployment)
    rank = running / deployment.attention_data_parallel
    others = max(rank - 1, 0.0)
    behind = c.queueing * queue_behind(work, rank, decoding) + c.clumping * work * others
    slowed = decoding + output_tokens * interference(deployment, running, input_tokens, output_tokens)
    place = _wait_for_place(deployment, concurrency, running, slowed)
    return FirstToken(
        handling_seconds(deployment), own, c.prefill_steps * float(step), behind, c.queue_cost * others, place
    )


def handling_seconds(deployment: Deployment) -> float:
    """Seconds of a request before its replica knows of it."""
    c = constants(deployment)
    return c.request_overhead * (c.speculation_prefill if deployment.speculation else 1.0)


def queue_behind(work: float, population: float, decoding: float) -> float:
    """Mean wait behind other prefills (s): the closed queue of `first_token`, less the prefill itself."""
    rest = decoding - work * population
    response = (-rest + math.sqrt(rest * rest + 4 * work * decoding)) / 2
    return max(response - work, 0.0)


def _wait_for_place(deployment: Deployment, concurrency: float, running: float, stay: float) -> float:
    """Seconds until those ahead of a request beyond the memory's room have left, each after `stay` seconds."""
    beyond = max(concurrency / deployment.replicas - running, 0.0)
    return beyond / max(running, 1e-9) * stay

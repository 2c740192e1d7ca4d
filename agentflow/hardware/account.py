"""What a call costs its deployment: joules and dollars, for each token in and out."""

from __future__ import annotations

from agentflow.hardware.demand import prefill_demand
from agentflow.hardware.serving import (
    constants,
    decode_step,
    prefill_time,
    running_sequences,
    serve,
    tokens_per_step,
)
from agentflow.hardware.timing import StepTime, step_time
from agentflow.schema.deployment import Deployment

_IDLE = 0.3  # of full power, where the data sheet does not say what a chip draws at rest


def power(deployment: Deployment, step: StepTime) -> float:
    """Watts of a replica while it runs such steps.

    Chips that wait draw between idle and full power, by the share of the step in which they compute or read.

    Raises
    ------
    ValueError
        If the chip's data sheet has no watts.
    """
    chip = deployment.chip
    if chip.watts is None:
        raise ValueError(f"the data sheet of {chip.name} gives no watts")
    idle = chip.idle_watts if chip.idle_watts is not None else _IDLE * chip.watts
    busy = min((step.compute + step.weights + step.kv) / step.total, 1.0)
    return (idle + (chip.watts - idle) * busy) * deployment.chips


def energy_per_token(deployment: Deployment, batch: float, context: float) -> float:
    """Joules that an output token takes in a batch: the replica's watts over the tokens it yields.

    Raises
    ------
    ValueError
        If the chip's data sheet has no watts.
    """
    step = decode_step(deployment, batch, context)
    return power(deployment, step) * step.total / (batch * tokens_per_step(deployment))


def prefill_energy(deployment: Deployment, tokens: float) -> float:
    """Joules of one prompt's prefill.

    Raises
    ------
    ValueError
        If the chip's data sheet has no watts.
    """
    step = step_time(prefill_demand(deployment, tokens), constants(deployment), prefill=True)
    return power(deployment, step) * step.total


def call_energy(
    deployment: Deployment, concurrency: float, input_tokens: float, output_tokens: float
) -> tuple[float, float] | None:
    """Joules for each new input token and each output token of a call at a load; None without watts.

    Parameters
    ----------
    deployment : Deployment
    concurrency, input_tokens, output_tokens : float
        The load that the batch and the context follow from.
    """
    if deployment.chip.watts is None:
        return None
    running = running_sequences(deployment, concurrency, input_tokens, output_tokens)
    prompt = prefill_energy(deployment, input_tokens) / input_tokens
    return prompt, energy_per_token(deployment, running, input_tokens + output_tokens / 2)


def call_price(
    deployment: Deployment, concurrency: float, input_tokens: float, output_tokens: float
) -> tuple[float, float]:
    """Dollars for each input token and each output token of a call, so that the load pays for the chips.

    A prompt pays for the time that its prefill takes of a replica, the answer for the rest of the request's share.

    Raises
    ------
    ValueError
        If the deployment does not say what a chip costs.
    """
    if deployment.usd_per_chip_hour is None:
        raise ValueError(f"{deployment.name} gives no usd_per_chip_hour")
    second = deployment.usd_per_chip_hour / 3600 * deployment.chips
    requests = serve(deployment, concurrency, input_tokens, output_tokens).tokens_per_second / output_tokens
    whole = second * deployment.all_replicas / requests
    prompt = min(second * prefill_time(deployment, input_tokens), whole)
    return prompt / input_tokens, (whole - prompt) / output_tokens

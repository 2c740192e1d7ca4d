"""What hardware allows: forward passes, tokens and dollars between the two bounds of the roofline.

The compute bound is peak arithmetic over the FLOP of a pass; the memory bound at batch 1 is bandwidth over
the bytes of a pass. A served model lies between: batching shares the bytes among users until arithmetic,
cache reads or links take over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agentflow.errors import CapacityError, UsageError
from agentflow.hardware.account import energy_per_token
from agentflow.hardware.architecture import parameters
from agentflow.hardware.capacity import check, memory_fit
from agentflow.hardware.demand import dtypes, slow_share
from agentflow.hardware.serving import decode_step, prefill_time, step_demand, tokens_per_step
from agentflow.schema.deployment import Deployment
from agentflow.schema.quantities import BYTES

BATCHES = (1, 4, 16, 64, 256, 1024)


@dataclass(frozen=True, slots=True)
class BatchPoint:
    """One batch size.

    Attributes
    ----------
    batch : float
        Sequences on one replica.
    per_user, per_chip : float
        Output tokens per second.
    usd_per_mtok : float or None
        Dollars per million output tokens.
    joules_per_token : float or None
    compute_share, bandwidth_share : float
        Of the data-sheet peaks.
    bound : str
        What binds: compute, weights, kv, links or overhead.
    fits : bool
        Whether the caches of so many sequences fit, and the engine takes so many.
    """

    batch: float
    per_user: float
    per_chip: float
    usd_per_mtok: float | None
    joules_per_token: float | None
    compute_share: float
    bandwidth_share: float
    bound: str
    fits: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """The roofline of a deployment.

    Attributes
    ----------
    flop, bytes : float
        Of one forward pass of one token, the whole model.
    compute_bound, memory_bound : float
        Passes per second and chip: at peak arithmetic; at batch 1 and peak bandwidth.
    peak, bandwidth : float
        Of one chip.
    context : float
    largest_batch : float
        Sequences of that context that a replica decodes together, by its memory and the engine's limit.
    input_rate : float
        Prompt tokens per second and chip.
    estimate : BatchPoint
        At the largest batch: what lies between the two bounds.
    points : tuple of BatchPoint
    """

    deployment: str
    chip: str
    model: str
    chips: int
    flop: float
    bytes: float
    compute_bound: float
    memory_bound: float
    peak: float
    bandwidth: float
    context: float
    largest_batch: float
    input_rate: float
    estimate: BatchPoint
    points: tuple[BatchPoint, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the same as JSON values."""
        return {"schema_version": 1, **asdict(self)}


def bounds(
    deployment: Deployment,
    *,
    context: float = 1000,
    batches: Sequence[float] = BATCHES,
    usd_per_chip_hour: float | None = None,
) -> Bounds:
    """Bounds of a deployment, and its estimated speed by batch.

    Parameters
    ----------
    deployment : Deployment
        Resolved.
    context : float
        Tokens of context while decoding; also the prompt of `input_rate`.
    batches : sequence of float
    usd_per_chip_hour : float or None
        Overrides the deployment's own.

    Raises
    ------
    CapacityError
        If the deployment cannot exist.
    """
    check(deployment, context)
    chip, model = deployment.chip, deployment.model
    p, (weights, experts) = parameters(model), dtypes(deployment, model)
    routed = p.moe_layers * p.active * p.expert
    size = (p.used - routed) * BYTES[weights] + routed * BYTES[experts]
    largest = _largest(deployment, context)
    price = deployment.usd_per_chip_hour if usd_per_chip_hour is None else usd_per_chip_hour
    return Bounds(
        deployment=deployment.name, chip=chip.name, model=model.name, chips=deployment.chips,
        flop=2 * p.used, bytes=size,
        compute_bound=chip.peak(weights) / (2 * p.used), memory_bound=chip.bandwidth / size,
        peak=chip.peak(weights), bandwidth=chip.bandwidth, context=context,
        largest_batch=largest,
        input_rate=context / prefill_time(deployment, context) / deployment.chips,
        estimate=_point(deployment, largest, context, price),
        points=tuple(_point(deployment, batch, context, price) for batch in batches),
    )  # fmt: skip


def _largest(deployment: Deployment, context: float) -> float:
    """Return how many whole sequences a replica decodes together, by its memory and the engine's limit."""
    return float(max(1, math.floor(min(memory_fit(deployment, context).sequences, deployment.max_batch) + 1e-9)))


def _point(deployment: Deployment, batch: float, context: float, price: float | None) -> BatchPoint:
    step = decode_step(deployment, batch, context)
    seconds = float(step.total) / tokens_per_step(deployment)
    per_chip = batch / seconds / deployment.chips
    demand = step_demand(deployment, batch, context)
    # Stages take turns: what a micro-batch asks of one stage at a time, all of them give at once.
    turns = deployment.pipeline_parallel
    math = demand.dense_math + demand.expert_math + demand.attention_math
    reads = demand.dense_read + demand.expert_read + demand.kv_read + demand.state_read
    watts = deployment.chip.watts
    return BatchPoint(
        batch=batch,
        per_user=float(1 / seconds),
        per_chip=float(per_chip),
        usd_per_mtok=None if price is None else usd_per_mtok(per_chip, price),
        joules_per_token=None if watts is None else energy_per_token(deployment, batch, context),
        compute_share=float(math * min(turns, batch) / turns / step.total),
        bandwidth_share=float(reads * min(turns, batch) / turns / step.total),
        bound=step.bound,
        fits=batch <= _largest(deployment, context),
    )


def usd_per_mtok(per_chip: float, usd_per_chip_hour: float) -> float:
    """Dollars per million tokens at a chip's tokens per second and price per hour.

    Examples
    --------
    >>> round(usd_per_mtok(57, 1.0), 1)
    4.9
    """
    return usd_per_chip_hour / (per_chip * 3600) * 1e6


def rate_for_price(usd_per_mtok: float, usd_per_chip_hour: float) -> float:
    """Tokens per second and chip that a price per million tokens pays for.

    Examples
    --------
    >>> round(rate_for_price(4.9, 1.0))
    57
    """
    return usd_per_chip_hour / 3600 / (usd_per_mtok / 1e6)


def explain_price(
    deployment: Deployment, usd_per_mtok: float, *, context: float = 1000, usd_per_chip_hour: float | None = None
) -> dict[str, float]:
    """Explain a price of output tokens by the batch that a chip must share for it.

    Returns
    -------
    dict
        `usd_per_mtok`, `usd_per_chip_hour`, `per_chip` and `per_user` (tok/s), `batch` on a replica, and the
        `largest_batch` that it decodes together.

    Raises
    ------
    UsageError
        If no price of a chip is known, or no batch earns it.
    """
    hour = deployment.usd_per_chip_hour if usd_per_chip_hour is None else usd_per_chip_hour
    if hour is None:
        raise UsageError(f"{deployment.name} does not say what a chip costs; add --usd-per-chip-hour")
    rate = rate_for_price(usd_per_mtok, hour)
    batch = batch_for_rate(deployment, rate, context=context)
    return {
        "usd_per_mtok": usd_per_mtok,
        "usd_per_chip_hour": hour,
        "per_chip": rate,
        "batch": batch,
        "per_user": rate * deployment.chips / batch,
        "largest_batch": _largest(deployment, context),
    }


_STAGED = ("lpu", "wafer", "peer")  # whose chips follow one another; the others' work together first
_SERVER = 8  # chips whose links are fast


def fewest_chips(deployment: Deployment, context: float = 1000) -> Deployment:
    """Spread a deployment over as few chips as hold the model and one sequence.

    Raises
    ------
    CapacityError
        If no number of them does.
    """
    heads = deployment.model.attention.heads
    widths = [1] if deployment.chip.kind in _STAGED else [n for n in range(1, _SERVER + 1) if heads % n == 0]
    if deployment.chip.kind == "rdu":
        widths = [n for n in (*widths, 16) if heads % n == 0]
    ways = [(tensor, 1) for tensor in widths]
    if deployment.chip.link_bandwidth is None:
        ways = [(1, 1)]
    else:
        ways += [(widths[-1], stages) for stages in range(2, 4096 if deployment.chip.kind == "lpu" else 129)]
    slow = None
    for tensor, stages in ways:
        made = deployment.model_copy(update={"tensor_parallel": tensor, "pipeline_parallel": stages})
        try:
            check(made, context)
        except CapacityError:
            continue
        if slow_share(made) == 0:
            return made
        slow = slow or made  # from its slowest tier, if there is no other way
    if slow is not None:
        return slow
    check(deployment, context)
    raise CapacityError(f"{deployment.model.name} does not fit on any number of {deployment.chip.name}")


def batch_for_rate(deployment: Deployment, per_chip: float, *, context: float = 1000) -> float:
    """Sequences that must decode together for a chip to yield so many tokens per second.

    Raises
    ------
    UsageError
        If no batch does.
    """
    low, high = 1e-3, 1e6
    for _ in range(80):
        middle = (low * high) ** 0.5
        if _point(deployment, middle, context, None).per_chip < per_chip:
            low = middle
        else:
            high = middle
    if high > 0.99e6:
        raise UsageError(
            f"{deployment.name} never yields {per_chip:g} tokens/s a chip at {context:g} tokens of context"
        )
    return high

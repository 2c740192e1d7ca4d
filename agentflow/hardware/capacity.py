"""What fits: weights and cache against memory, parallelism against heads and layers."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.errors import CapacityError
from agentflow.hardware.architecture import cache_bytes, parameters
from agentflow.hardware.demand import fast_weights, usable_memory, weight_bytes
from agentflow.schema.deployment import Deployment
from agentflow.schema.quantities import BYTES, DtypeName
from agentflow.units import format_bytes


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """Bytes on the busiest chip, and how many sequences the rest of its memory holds.

    Attributes
    ----------
    weights, usable : float
        Bytes of weights, and of memory there is for weights and cache.
    per_sequence : float
        Bytes one sequence of the asked context takes there.
    sequences : float
        Sequences one replica can decode at once; below 1 not even one fits.
    """

    weights: float
    usable: float
    per_sequence: float
    sequences: float


def memory_fit(deployment: Deployment, context: float) -> MemoryFit:
    """Weigh a deployment's weights and cache.

    Parameters
    ----------
    deployment : Deployment
    context : float
        Tokens of a sequence, prompt and answer.
    """
    tensor, stages = deployment.tensor_parallel, deployment.pipeline_parallel
    heads = deployment.model.attention.kv_heads if deployment.model.attention.kind == "gqa" else 1
    per_sequence = cache_bytes(deployment.model, context, deployment.kv) / min(tensor, heads) / stages
    resident, experts = weight_bytes(deployment)
    weights = (resident + experts) * (1 - deployment.offloaded_layers / deployment.model.layers)
    if deployment.chip.layout == "hardwired":
        weights = 0.0
    usable, overflow = usable_memory(deployment.chip), deployment.chip.overflow_memory or 0.0
    cache = usable - weights
    if weights > fast_weights(deployment):
        cache, usable = usable - fast_weights(deployment), fast_weights(deployment) + overflow
    room = max(cache, 0.0) / per_sequence * deployment.attention_data_parallel
    return MemoryFit(weights, usable, per_sequence, room)


def check(deployment: Deployment, context: float = 1.0) -> MemoryFit:
    """Refuse what cannot exist, and say what could.

    Parameters
    ----------
    deployment : Deployment
    context : float
        Tokens that at least one sequence must have room for.

    Raises
    ------
    CapacityError
        If parallelism does not divide heads, layers or experts, the context is longer than the model's, or
        weights and one sequence do not fit.
    """
    _check_division(deployment)
    model = deployment.model
    if context > model.context:
        raise CapacityError(f"{model.name} reads at most {model.context} tokens, not {context:.0f}")
    if deployment.offloaded_layers > model.layers:
        raise CapacityError(
            f"{model.name} has {model.layers} layers; {deployment.offloaded_layers} cannot be offloaded"
        )
    fit = memory_fit(deployment, context)
    if fit.weights > fit.usable or fit.sequences < 1:
        raise CapacityError(_overflow(deployment, fit, context))
    return fit


def _check_division(d: Deployment) -> None:
    model = d.model
    heads, tensor = model.attention.heads, d.tensor_parallel
    if heads % tensor:
        fits = [n for n in range(1, heads + 1) if heads % n == 0]
        near = sorted(fits, key=lambda n: abs(n - tensor))[:2]
        raise CapacityError(
            f"tensor_parallel {tensor} does not divide the {heads} attention heads of {model.name}; "
            f"{' or '.join(str(n) for n in sorted(near))} would"
        )
    if d.pipeline_parallel > model.layers and d.chip.kind != "lpu":  # an LPU splits layers over chips too
        raise CapacityError(
            f"pipeline_parallel {d.pipeline_parallel} is more than the {model.layers} layers of {model.name}"
        )
    if d.expert_parallel and model.experts is None:
        raise CapacityError(f"{model.name} has no experts to spread; leave expert_parallel out")


def _overflow(d: Deployment, fit: MemoryFit, context: float) -> str:
    need = format_bytes(fit.weights) if fit.weights > fit.usable else format_bytes(fit.weights + fit.per_sequence)
    what = "weights" if fit.weights > fit.usable else f"weights and one sequence of {context:.0f} tokens"
    text = (
        f"{d.model.name} on {d.chips} x {d.chip.name}: {what} take {need} a chip, "
        f"and {format_bytes(fit.usable)} of "
        f"its {format_bytes(d.chip.memory)} are usable"
    )
    return f"{text}; {_remedy(d, context)}"


def _remedy(d: Deployment, context: float) -> str:
    """Find the smallest change that fits: more chips, else narrower weights."""
    heads = d.model.attention.heads
    alone = d.chip.link_bandwidth is None
    for tensor in () if alone else range(d.tensor_parallel + 1, 1025):
        if heads % tensor == 0 and _fits(d, context, tensor_parallel=tensor):
            return f"tensor_parallel {tensor} would fit"
    for stages in () if alone else range(d.pipeline_parallel + 1, d.model.layers + 1):
        if _fits(d, context, pipeline_parallel=stages):
            return f"pipeline_parallel {stages} would fit"
    narrow: tuple[DtypeName, ...] = ("fp8", "int4")
    for dtype in narrow:
        if _fits(d, context, weights=dtype, expert_weights=dtype):
            return f"{dtype} weights would fit"
    total = parameters(d.model).total * BYTES["int4"]
    return f"even in int4 the weights are {format_bytes(total)}: use a chip with more memory"


def _fits(d: Deployment, context: float, **changes: object) -> bool:
    fit = memory_fit(d.model_copy(update=changes), context)
    return fit.weights <= fit.usable and fit.sequences >= 1

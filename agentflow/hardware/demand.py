"""What one step asks of the hardware, as the seconds each resource would need at its data-sheet peak.

Everything here is arithmetic on public facts; how much slower reality is belongs to `timing`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from agentflow.hardware.architecture import attended, parameters, state_bytes
from agentflow.schema.deployment import Deployment
from agentflow.schema.hardware import Chip, Model
from agentflow.schema.quantities import BYTES


@dataclass(frozen=True, slots=True)
class Demand:
    """Seconds at peak on the busiest chip, and counts of what costs a latency.

    The fields are floats here; fitting scripts put arrays of the same shape in them.

    Attributes
    ----------
    dense_read, expert_read, kv_read, state_read : float
        Weights every token uses, routed experts that at least one token chose, cache, state: seconds to read.
    dense_math, expert_math, attention_math : float
        Seconds to compute.
    activations, expert_activations : float
        What kernels hand to one another through memory: seconds to write and read.
    reduce : float
        Seconds on the link for all messages of the step.
    message : float
        Bytes of one of them, for links that slow down beyond a size.
    reduces, hops : float
        All-reduces, and stage boundaries; each costs a latency. `ring` is the latency's growth with the
        group.
    """

    dense_read: float
    expert_read: float
    kv_read: float
    state_read: float
    dense_math: float
    expert_math: float
    attention_math: float
    reduce: float
    message: float
    reduces: float
    ring: float
    hops: float
    hop_latency: float
    layers: float
    moe_layers: float
    mla_layers: float
    indexer_layers: float
    linear_layers: float
    mesh: float
    sequences: float
    tokens: float
    int4: float
    fp4: float
    offloaded: float = 0.0
    activations: float = 0.0
    expert_activations: float = 0.0


def dtypes(deployment: Deployment, model: Model) -> tuple[str, str]:
    """Dtypes of the weights every token uses, and of the routed experts."""
    weights = deployment.weights or model.weights
    return weights, deployment.expert_weights or model.expert_weights or weights


def weight_bytes(deployment: Deployment) -> tuple[float, float]:
    """Bytes on the busiest chip: what every token uses, output projection included; all experts there."""
    model = deployment.model
    p = parameters(model)
    weights, experts = dtypes(deployment, model)
    wide = weights if weights in ("bf16", "fp32") else "bf16"  # embeddings and output projection stay wide
    if weights in ("int4", "int3", "int8"):
        wide = weights  # llama.cpp and ASICs quantise them too
    slices = deployment.tensor_parallel * deployment.pipeline_parallel
    resident = p.resident * BYTES[weights] / slices + p.head * BYTES[wide] / slices
    return resident, p.routed * BYTES[experts] / deployment.chips


def coverage(experts: int, active: int, tokens: float) -> float:
    """Share of a layer's experts that at least one of `tokens` tokens chose, routed evenly.

    Examples
    --------
    >>> round(coverage(256, 8, 1), 4), round(coverage(256, 8, 64), 2)
    (0.0312, 0.87)
    """
    return 1.0 - (1.0 - active / experts) ** tokens if experts else 0.0


def decode_demand(deployment: Deployment, batch: float, context: float, verified: float = 1.0) -> Demand:
    """One decode step of a replica: `batch` sequences at `context`, `verified` tokens of each.

    Parameters
    ----------
    deployment : Deployment
    batch, context : float
        Sequences decoding together on the replica; tokens each attends to.
    verified : float
        1, or with speculative decoding 1 + draft tokens.
    """
    # Stages work on different sequences at the same time: what passes through all of them is a micro-batch.
    micro = max(batch / deployment.pipeline_parallel, min(batch, 1.0))
    rank = micro / deployment.attention_data_parallel
    return _demand(deployment, rank, micro, rank * verified, micro * verified, context, prompt=0.0)


def prefill_demand(
    deployment: Deployment, tokens: float, cached: float = 0.0, batch: float = 1.0, *, causal: bool = True
) -> Demand:
    """Prefill of `batch` prompts of `tokens` tokens, of which the first `cached` are in the cache.

    Tokens attend to those before them, or, if not `causal`, to all.
    """
    new = max(tokens - cached, 1.0)
    attended_to = (tokens + cached) / 2 if causal else tokens
    whole = _demand(deployment, batch, batch, new * batch, new * batch, attended_to, prompt=new)
    stages, chunks = deployment.pipeline_parallel, max(new * batch / deployment.chunk_tokens, 1.0)
    if stages == 1:
        return whole
    # Chunks follow one another through the stages, which work on them at the same time.
    share = (chunks + stages - 1) / (chunks * stages)
    parallel = ("dense_math", "expert_math", "attention_math", "kv_read", "reduce")
    return replace(whole, **{name: getattr(whole, name) * share for name in parallel})


def _demand(
    d: Deployment, rank: float, batch: float, rank_tokens: float, tokens: float, context: float, prompt: float
) -> Demand:
    chip, model = d.chip, d.model
    p, a = parameters(model), model.attention
    weights, expert_dtype = dtypes(d, model)
    tp, stages, chips = d.tensor_parallel, d.pipeline_parallel, d.chips
    resident, experts = weight_bytes(d)
    # A token passes all stages one after the other, so what it waits for is what one stage's chips read,
    # times stages.
    read = resident * stages * _resident_share(chip, model, p.total * BYTES[weights])
    expert_read = experts * stages * coverage(p.experts, p.active, tokens)
    if chip.layout in ("spatial", "hardwired"):
        expert_read = 0.0
    per_chip = tp * d.attention_data_parallel
    split = min(tp, a.kv_heads) if a.kind == "gqa" else 1  # a latent cache is the same on every chip
    kv = rank * attended(model, context) * _width(model) * BYTES[d.kv] / split
    head = p.head * (rank if prompt else rank_tokens)  # a prefill needs the last token's logits only
    kv += rank * context * 128.0 * model.layers if a.selected_tokens else 0.0
    state = 2 * rank * state_bytes(model) / tp
    link = chip.link_bandwidth or math.inf
    message = rank_tokens * model.hidden * 2.0
    reduces = (2.0 * model.layers if tp > 1 else 0.0) + (4.0 * p.moe_layers if d.attention_data_parallel > 1 else 0.0)
    # With data-parallel attention a copy for each expert a token visits: among few engines too many, see decision 0006.
    traffic = 2.0 * (tp - 1) / tp * message if tp > 1 else message * max(p.active, 1) / 2
    held = slow_share(d)
    dense_handed, expert_handed = (share * handed_through_memory(d, rank_tokens) / chip.bandwidth for share in
                                   (_activations(d, rank_tokens), _expert_activations(d, tokens)))  # fmt: skip
    return Demand(
        dense_read=read / chip.bandwidth * (1 - held),
        expert_read=expert_read / chip.bandwidth * (1 - held),
        kv_read=kv / (chip.bandwidth * chip.kv_bandwidth_factor),
        state_read=state / (chip.bandwidth * chip.kv_bandwidth_factor),
        dense_math=2 * (rank_tokens * p.resident + head) / tp / chip.peak(weights),
        expert_math=2 * tokens * p.moe_layers * p.active * p.expert / per_chip / chip.peak(expert_dtype),
        attention_math=rank_tokens
        * attended(model, context)
        * _score_flops(model, prompt > 0)
        / tp
        / chip.peak("bf16"),
        reduce=reduces * traffic / link,
        message=message,
        reduces=reduces,
        ring=max(math.log2(chips / stages), 1.0) / 3,
        hops=stages - 1.0,
        hop_latency=chip.link_latency,
        layers=model.layers,
        moe_layers=p.moe_layers,
        mla_layers=model.layers if a.kind == "mla" else 0,
        indexer_layers=model.layers if a.selected_tokens else 0,
        linear_layers=a.linear_layers,
        mesh=model.layers * math.sqrt(model.hidden),
        sequences=rank,
        tokens=rank_tokens,
        int4=float(expert_dtype == "int4"),
        fp4=float(expert_dtype == "fp4"),
        offloaded=(read + expert_read) * held / (chip.overflow_bandwidth or math.inf),
        activations=dense_handed,
        expert_activations=expert_handed,
    )


_USABLE = 0.94  # of a chip's memory: engines are told to take 0.90 to 0.96, activations and graphs take 0.01
_CACHE_SHARE = 0.1  # of an RDU's HBM that the cache keeps when weights spill into DDR


def usable_memory(chip: Chip) -> float:
    """Bytes of a chip's fast memory that weights and cache may take."""
    return chip.memory if chip.kind in ("lpu", "wafer", "hardwired") else _USABLE * chip.memory


def fast_weights(d: Deployment) -> float:
    """Bytes of weights that the fast memory holds at most; an RDU puts the rest into its overflow memory."""
    spills = d.chip.layout == "dataflow" and d.chip.overflow_memory
    return usable_memory(d.chip) * (1.0 - _CACHE_SHARE) if spills else math.inf


def slow_share(d: Deployment) -> float:
    """Share of the weights that are read from the overflow memory: layers put there, or what an RDU spills."""
    weights = sum(weight_bytes(d))
    return max(d.offloaded_layers / d.model.layers, 1.0 - fast_weights(d) / weights)


def handed_through_memory(d: Deployment, tokens: float) -> float:
    """Share of what operators hand on that passes through the main memory.

    All of it between the kernels of a GPU; of a fused layer what the SRAM cannot hold; none on SRAM alone.
    """
    if d.chip.layout != "dataflow":
        return 1.0 if d.chip.layout == "shared" else 0.0
    layer = _activations(d, min(tokens, d.chunk_tokens)) / d.model.layers
    return max(1.0 - (d.chip.on_chip_memory or 0.0) / max(layer, 1.0), 0.0)


_HIDDEN_PASSES = 12.0  # reads and writes of the hidden state a layer: two norms, two residuals, four matrices' ends
_INNER_PASSES = 4.0  # of queries, keys, values; and of the feed-forward part's inside


def _activations(d: Deployment, tokens: float) -> float:
    """Bytes that all layers' kernels hand on, experts excepted: hidden states whole on every chip, the rest sliced."""
    model, a = d.model, d.model.attention
    heads = a.heads * (a.head_size + a.rope_size) + 2 * a.kv_heads * a.head_size
    dense = model.layers if model.experts is None else model.experts.dense_layers
    inner = model.layers * heads + dense * model.feed_forward * (2 if model.gated_feed_forward else 1)
    return 2.0 * tokens * (_HIDDEN_PASSES * model.layers * model.hidden + _INNER_PASSES * inner / d.tensor_parallel)


def _expert_activations(d: Deployment, tokens: float) -> float:
    """Bytes of sorting tokens to experts and back: each token once for each of its experts.

    Where experts are sliced, every chip sorts all tokens; where they are spread, its share of them.
    """
    p, experts = parameters(d.model), d.model.experts
    if experts is None:
        return 0.0
    chips = d.tensor_parallel * d.attention_data_parallel
    visits, width = (tokens / chips, experts.size) if d.expert_parallel else (tokens, experts.size / chips)
    return 2.0 * p.moe_layers * visits * p.active * _INNER_PASSES * (d.model.hidden + width)


def _resident_share(chip: Chip, model: Model, total: float) -> float:
    """Weight bytes a token waits for over those stored: all, those of one patch at a time, or none."""
    if chip.layout == "hardwired":
        return 0.0
    if chip.layout == "spatial":
        # A layer's patch is as large as its share of the memory, and reads with that share of the bandwidth:
        # each layer takes memory / bandwidth, however large it is.
        return model.layers * chip.memory / total
    return 1.0


def _width(model: Model) -> float:
    a = model.attention
    return float(a.latent_size + a.rope_size if a.kind == "mla" else 2 * a.kv_heads * a.head_size)


def _score_flops(model: Model, prefill: bool) -> float:
    """FLOP one token spends on each token and layer it attends to: scores and weighted values."""
    a = model.attention
    if a.kind == "mla":
        size = a.head_size + a.rope_size + a.value_size if prefill else 2 * a.latent_size + a.rope_size
        return 2.0 * a.heads * size
    return 4.0 * a.heads * a.head_size

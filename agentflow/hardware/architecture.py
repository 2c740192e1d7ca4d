"""What follows from a model's architecture alone: parameters, cache bytes, arithmetic for each token.

Matrices only: norms, biases and routers are below 0.1 % and left out. One parameter is two FLOP a token.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.schema.hardware import Model
from agentflow.schema.quantities import BYTES


@dataclass(frozen=True, slots=True)
class Parameters:
    """Numbers of parameters, whole model.

    Attributes
    ----------
    attention, dense, shared, head : float
        Attention of all layers; dense feed-forward parts; experts every token visits; output projection.
    expert : float
        One routed expert of one layer (0 for a dense model).
    moe_layers, experts, active : int
    embedding : float
        Input table, which is looked up and not read.
    """

    attention: float
    dense: float
    shared: float
    head: float
    expert: float
    moe_layers: int
    experts: int
    active: int
    embedding: float

    @property
    def routed(self) -> float:
        """All routed experts together."""
        return self.moe_layers * self.experts * self.expert

    @property
    def resident(self) -> float:
        """What every token uses, without the output projection."""
        return self.attention + self.dense + self.shared

    @property
    def total(self) -> float:
        """All parameters."""
        return self.resident + self.head + self.embedding + self.routed

    @property
    def used(self) -> float:
        """Parameters one token passes through: two FLOP each."""
        return self.resident + self.head + self.moe_layers * self.active * self.expert


def parameters(model: Model) -> Parameters:
    """Count a model's parameters.

    Examples
    --------
    >>> from agentflow.schema.hardware import Attention
    >>> llama = Model(name="8b", layers=32, hidden=4096, vocabulary=128256, feed_forward=14336,
    ...               attention=Attention(heads=32, kv_heads=8, head_size=128))
    >>> round(parameters(llama).total / 1e9, 2)
    8.03
    """
    matrices = 3 if model.gated_feed_forward else 2
    moe = model.experts
    dense_layers = model.layers if moe is None else moe.dense_layers
    head = float(model.vocabulary * model.hidden)
    expert = float(matrices * model.hidden * moe.size) if moe else 0.0
    moe_layers = model.layers - dense_layers
    shared_size = (moe.shared_size or moe.size) if moe else 0
    shared = float(moe_layers * matrices * model.hidden * shared_size * moe.shared) if moe else 0.0
    return Parameters(
        attention=_attention(model),
        dense=float(dense_layers * matrices * model.hidden * model.feed_forward),
        shared=shared,
        head=head,
        expert=expert,
        moe_layers=moe_layers if moe else 0,
        experts=moe.total if moe else 0,
        active=moe.active if moe else 0,
        embedding=0.0 if model.tied_embeddings else head,
    )


def _attention(model: Model) -> float:
    a, hidden = model.attention, model.hidden
    if a.kind == "mla":
        query = hidden * a.query_rank + a.query_rank * a.heads * (a.head_size + a.rope_size)
        if not a.query_rank:
            query = hidden * a.heads * (a.head_size + a.rope_size)
        latent = hidden * (a.latent_size + a.rope_size)
        expand = a.latent_size * a.heads * (a.head_size + a.value_size)
        layer = query + latent + expand + a.heads * a.value_size * hidden
    else:
        layer = hidden * a.head_size * ((3 if a.gated else 2) * a.heads + 2 * a.kv_heads)
    linear = hidden * a.linear_head_size * (2 * a.linear_key_heads + 3 * a.linear_heads)
    return float(layer * (model.layers - a.linear_layers) + linear * a.linear_layers)


def kv_bytes_per_token(model: Model, kv: str = "bf16") -> float:
    """Cache bytes one more token of context takes, all layers, before any window is full.

    Examples
    --------
    Llama 3.1 70B keeps 2 x 80 layers x 8 heads x 128 numbers, 320 KiB in bf16.
    """
    a = model.attention
    width = a.latent_size + a.rope_size if a.kind == "mla" else 2 * a.kv_heads * a.head_size
    indexer = 128.0 * model.layers if a.selected_tokens else 0.0  # one fp8 key of 128 a layer
    return (model.layers - a.linear_layers) * width * BYTES[kv] + indexer


def attended(model: Model, context: float) -> float:
    """Layer-tokens one new token attends to: layers x context, less what windows and selection skip."""
    a = model.attention
    full = model.layers - a.linear_layers - a.window_layers
    seen = min(context, a.selected_tokens) if a.selected_tokens else context
    return full * seen + a.window_layers * min(context, a.window or context)


def state_bytes(model: Model) -> float:
    """Bytes of the fixed-size state of linear-attention layers, one sequence, kept in fp32."""
    a = model.attention
    return a.linear_layers * a.linear_heads * a.linear_head_size**2 * 4.0


def cache_bytes(model: Model, context: float, kv: str = "bf16") -> float:
    """Bytes one sequence holds at a context, state included."""
    a = model.attention
    width = a.latent_size + a.rope_size if a.kind == "mla" else 2 * a.kv_heads * a.head_size
    full = (model.layers - a.linear_layers - a.window_layers) * context
    windows = a.window_layers * min(context, a.window or context)
    indexer = 128.0 * model.layers * context if a.selected_tokens else 0.0
    return (full + windows) * width * BYTES[kv] + indexer + state_bytes(model)

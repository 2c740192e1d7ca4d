"""What users write about chips and language models; `agentflow.schema.deployment` brings them together.

Quantities are SI floats inside (bytes, bytes/s, FLOP/s, seconds, watts); documents write them with units, such
as ``3.35 TB/s``. Every document carries its evidence: where each number comes from, and of what kind it is.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agentflow.schema._base import Items, problem
from agentflow.schema._base import Model as Base
from agentflow.schema.backend import Evidence
from agentflow.schema.quantities import Bandwidth, Bytes, Dtype, Factor, Parameters, Peaks, Watts
from agentflow.schema.scalars import Line, PositiveTokens, Prose, Seconds

Layers = Annotated[int, Field(ge=0, le=10_000)]
Heads = Annotated[int, Field(ge=0, le=65_536)]
Width = Annotated[int, Field(ge=0, le=10_000_000)]


class HardwareDocument(Base):
    """What every hardware document has.

    Parameters
    ----------
    name : str
        Its name in the catalogue.
    description : str
        What it is, for readers.
    evidence : list of Evidence
        Where each figure comes from.
    """

    schema_version: Literal[1] = 1
    name: Line
    description: Prose = ""
    evidence: Items[Evidence] = ()


class Chip(HardwareDocument):
    """One chip's data sheet.

    Parameters
    ----------
    kind : str
        What it is; the mechanism by which weights reach the arithmetic is `layout`.
    family : str
        Chips whose efficiency constants are alike, such as `hopper`.
    engine : str
        The serving engine that is usual on it, for those who do not say which.
    layout : str
        `shared`: arithmetic reads weights from a memory that all of them share (GPU, TPU, CPU). `spatial`: each
        layer sits on its own patch of the chip and only that patch works for one token (wafer). `dataflow`: a layer
        is one fused kernel, whose operators hand on through `on_chip_memory` (RDU). `hardwired`: the weights are
        wires; nothing is read.
    status : str
        Whether one can have it.
    flops : mapping
        Dense peaks by dtype. A dtype that is not listed computes at the next wider one that is.
    memory : bytes
        What holds the weights: HBM, DDR, SRAM.
    visible_memory : bytes
        What the driver shows a program of a GPU's memory (CUDA's total), where that is known: error correction on GDDR6
        takes a sixteenth, and the GB of some data sheets are no GiB. Left out, 98.3 % of `memory`, its GB taken as GiB.
    bandwidth : bytes/s
        How fast that is read.
    on_chip_memory : bytes
        SRAM in front of it. It matters where the layout is `dataflow`; elsewhere kernels hand on through `memory`.
    overflow_memory : bytes
        A slower tier behind it: DDR of an RDU, host memory, flash.
    overflow_bandwidth : bytes/s
        How fast that is read.
    kv_bandwidth_factor : float
        How many times faster attention reads its cache than `bandwidth` (processing near memory).
    link_bandwidth : bytes/s
        To the next chip of the same deployment, in one direction.
    link_latency : seconds
        Of one message there.
    watts, idle_watts : watts
        At full load, and at rest.
    """

    kind: Literal["gpu", "tpu", "asic", "lpu", "wafer", "rdu", "soc", "cpu", "hardwired", "phone", "browser", "peer"]
    family: Line
    engine: Line = "roofline"
    layout: Literal["shared", "spatial", "dataflow", "hardwired"] = "shared"
    status: Literal["shipping", "announced", "proposal"] = "shipping"
    flops: Peaks
    memory: Bytes
    visible_memory: Bytes | None = None
    bandwidth: Bandwidth
    on_chip_memory: Bytes | None = None
    overflow_memory: Bytes | None = None
    overflow_bandwidth: Bandwidth | None = None
    kv_bandwidth_factor: Annotated[Factor, Field(gt=0)] = 1.0
    link_bandwidth: Bandwidth | None = None
    link_latency: Seconds = 0.0
    watts: Watts | None = None
    idle_watts: Watts | None = None

    def peak(self, dtype: str) -> float:
        """Dense FLOP/s at a dtype, or at the next wider one that the chip computes in."""
        ladder = {"int3": "int4", "int4": "bf16", "fp4": "fp8", "fp8": "bf16", "int8": "bf16", "bf16": "fp32"}
        while dtype not in self.flops and dtype in ladder:
            dtype = ladder[dtype]
        return self.flops.get(dtype, max(self.flops.values()))


class Attention(Base):
    """How a model attends.

    Parameters
    ----------
    kind : str
        `gqa` (multi-head and multi-query are its ends) or `mla`, whose cache is one latent vector a token and layer.
    heads, kv_heads : int
        Heads of queries, and of keys and values.
    head_size : int
        Width of a head; for `mla` the part without rotary embedding.
    latent_size, rope_size, query_rank, value_size : int
        Of `mla` only.
    window, window_layers : int
        Layers that see only the last `window` tokens.
    selected_tokens : int
        Sparse attention: the tokens a query attends to; an indexer scores all of them.
    linear_layers, linear_heads, linear_key_heads, linear_head_size : int
        Layers with a state of fixed size instead of a cache.
    gated : bool
        Whether the output has a gate as large as the query projection.
    """

    kind: Literal["gqa", "mla"] = "gqa"
    heads: Annotated[Heads, Field(ge=1)]
    kv_heads: Annotated[Heads, Field(ge=1)] = 1
    head_size: Annotated[Width, Field(ge=1)]
    latent_size: Width = 0
    rope_size: Width = 0
    query_rank: Width = 0
    value_size: Width = 0
    window: PositiveTokens | None = None
    window_layers: Layers = 0
    selected_tokens: PositiveTokens | None = None
    linear_layers: Layers = 0
    linear_heads: Heads = 0
    linear_key_heads: Heads = 0
    linear_head_size: Width = 0
    gated: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.heads % self.kv_heads:
            raise problem(
                f"{self.kv_heads} heads of keys do not divide {self.heads} heads", "check config.json", "kv_heads"
            )
        if self.kind == "mla" and not (self.latent_size and self.value_size):
            raise problem("mla needs latent_size and value_size", "take kv_lora_rank and v_head_dim of config.json")
        if self.window_layers and self.window is None:
            raise problem("window_layers without a window", "add window: the tokens they see", "window_layers")
        return self


class Experts(Base):
    """Mixture of experts.

    Parameters
    ----------
    total, active : int
        Routed experts of a layer, and those that a token visits.
    size : int
        Width of an expert's feed-forward part.
    shared, shared_size : int
        Experts that every token visits, and their width.
    dense_layers : int
        Layers without experts.
    """

    total: Annotated[int, Field(ge=1, le=1_000_000)]
    active: Annotated[int, Field(ge=1, le=1_000_000)]
    size: Annotated[Width, Field(ge=1)]
    shared: Annotated[int, Field(ge=0, le=1000)] = 0
    shared_size: Width | None = None
    dense_layers: Layers = 0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.active > self.total:
            raise problem(f"{self.active} of {self.total} experts cannot be active", "swap them?", "active")
        return self


class Model(HardwareDocument):
    """A language model's architecture, as its public configuration file states it.

    Parameters
    ----------
    layers, hidden, vocabulary : int
        Of the transformer.
    feed_forward : int
        Width of the dense layers' feed-forward part.
    gated_feed_forward : bool
        Three matrices (SwiGLU) instead of two.
    tied_embeddings : bool
        Whether the output projection is the input table.
    context : int
        Longest sequence.
    weights, expert_weights : dtype
        As published; a deployment may override them.
    published_parameters, published_active : float
        What the authors state, to check what follows from the rest.
    """

    layers: Annotated[Layers, Field(ge=1)]
    hidden: Annotated[Width, Field(ge=1)]
    vocabulary: Annotated[Width, Field(ge=1)]
    feed_forward: Width = 0
    gated_feed_forward: bool = True
    tied_embeddings: bool = False
    attention: Attention
    experts: Experts | None = None
    context: PositiveTokens = 8192
    weights: Dtype = "bf16"
    expert_weights: Dtype | None = None
    published_parameters: Parameters | None = None
    published_active: Parameters | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        a = self.attention
        if a.window_layers + a.linear_layers > self.layers:
            raise problem(f"the model has {self.layers} layers, not so many", "count them", "attention")
        if self.experts is not None and self.experts.dense_layers > self.layers:
            raise problem(f"the model has {self.layers} layers, not so many", "count them", "experts", "dense_layers")
        return self

"""What users write about hardware: chips, language models, engines, and deployments that bring them together.

Quantities are SI floats inside (bytes, bytes/s, FLOP/s, seconds, watts); documents may write them with
units, such as ``3.35 TB/s``. Every document carries its evidence: where each number comes from, and of what
kind it is.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from agentflow.units import (
    parse_bandwidth,
    parse_bytes,
    parse_count,
    parse_duration,
    parse_flops,
    parse_power,
    parse_rate,
)

Dtype = Literal["fp32", "bf16", "fp8", "int8", "fp4", "int4", "int3"]
BYTES: dict[str, float] = {
    # four-bit formats carry a scale for each block of 16 or 32 weights
    "fp32": 4.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5625, "int4": 0.5625, "int3": 0.4375,
}  # fmt: skip


def _written(parse: Callable[[str], float]) -> Callable[[Any], Any]:
    """Parse a text with a unit; leave everything else to the strict field."""

    def read(value: object) -> object:
        return parse(value) if isinstance(value, str) else value

    return read


Size = Annotated[float, BeforeValidator(_written(parse_bytes)), Field(gt=0, strict=False, allow_inf_nan=False)]
Speed = Annotated[float, BeforeValidator(_written(parse_bandwidth)), Field(gt=0, strict=False, allow_inf_nan=False)]
Flops = Annotated[float, BeforeValidator(_written(parse_flops)), Field(gt=0, strict=False, allow_inf_nan=False)]
Watts = Annotated[float, BeforeValidator(_written(parse_power)), Field(gt=0, strict=False, allow_inf_nan=False)]
Seconds = Annotated[float, BeforeValidator(_written(parse_duration)), Field(ge=0, strict=False, allow_inf_nan=False)]
Rate = Annotated[float, BeforeValidator(_written(parse_rate)), Field(gt=0, strict=False, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, strict=False)]
Factor = Annotated[float, Field(ge=0, strict=False, allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(lambda v: int(parse_count(v)) if isinstance(v, str) else v), Field(ge=1)]
Day = Annotated[datetime.date, Field(strict=False)]


class _Frozen(BaseModel):
    """Immutable, strict, and closed: a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class HardwareEvidence(_Frozen):
    """Where figures come from: the same fields as a backend's evidence."""

    figures: Annotated[tuple[str, ...], Field(strict=False)]
    source: str
    url: str | None = None
    date: Day | str | None = None
    n: int | None = None
    kind: Literal["measured", "published", "derived", "fitted", "assumed"] = "published"
    note: str = ""


class _Document(_Frozen):
    """What every hardware document has."""

    schema_version: Literal[1] = 1
    name: str
    description: str = ""
    evidence: Annotated[tuple[HardwareEvidence, ...], Field(strict=False)] = ()


class Chip(_Document):
    """One chip's data sheet.

    Parameters
    ----------
    kind : str
        What it is; the mechanism by which weights reach the arithmetic is `layout`.
    family : str
        Chips whose efficiency constants are alike, such as ``hopper``.
    layout : str
        ``shared``: arithmetic reads weights from a memory that all of them share (GPU, TPU, CPU).
        ``spatial``: each layer sits on its own patch of the chip and only that patch works for one token
        (wafer). ``hardwired``: the weights are wires; nothing is read.
    flops : mapping of dtype to FLOP/s
        Dense peaks. A dtype that is not listed computes at the next wider one that is.
    memory, bandwidth : bytes, bytes/s
        What holds the weights and how fast it is read: HBM, DDR, SRAM.
    overflow_memory, overflow_bandwidth : bytes, bytes/s
        A slower tier behind it (DDR of an RDU, host memory, high-bandwidth flash).
    kv_bandwidth_factor : float
        How many times faster attention reads its cache than `bandwidth` (processing near memory); 1 for
        ordinary chips.
    link_bandwidth, link_latency : bytes/s in one direction, seconds
        To the next chip of the same deployment.
    watts, idle_watts : float
        At full load and at rest.
    """

    kind: Literal["gpu", "tpu", "asic", "lpu", "wafer", "rdu", "soc", "cpu", "hardwired", "phone", "browser", "peer"]
    family: str
    layout: Literal["shared", "spatial", "hardwired"] = "shared"
    status: Literal["shipping", "announced", "proposal"] = "shipping"
    flops: dict[Dtype, Flops]
    memory: Size
    bandwidth: Speed
    overflow_memory: Size | None = None
    overflow_bandwidth: Speed | None = None
    kv_bandwidth_factor: Factor = 1.0
    link_bandwidth: Speed | None = None
    link_latency: Seconds = 0.0
    watts: Watts | None = None
    idle_watts: Watts | None = None

    def peak(self, dtype: str) -> float:
        """Dense FLOP/s at a dtype, or at the next wider one that the chip computes in."""
        ladder = {"int3": "int4", "int4": "bf16", "fp4": "fp8", "fp8": "bf16", "int8": "bf16", "bf16": "fp32"}
        while dtype not in self.flops and dtype in ladder:
            dtype = ladder[dtype]
        return self.flops.get(dtype, max(self.flops.values()))  # type: ignore[call-overload, no-any-return]


class Attention(_Frozen):
    """How a model attends.

    Parameters
    ----------
    kind : str
        ``gqa`` (multi-head and multi-query are its ends) or ``mla``, whose cache is one latent vector a
        token and layer.
    heads, kv_heads, head_size : int
        For ``mla`` `head_size` is the size without the rotary part.
    latent_size, rope_size, query_rank, value_size : int
        ``mla`` only.
    window, window_layers : int
        Layers that see only the last `window` tokens.
    selected_tokens : int or None
        Sparse attention: the tokens a query attends to; an indexer scores all of them.
    linear_layers, linear_heads, linear_key_heads, linear_head_size : int
        Layers with a state of fixed size instead of a cache.
    gated : bool
        The output has a gate as large as the query projection.
    """

    kind: Literal["gqa", "mla"] = "gqa"
    heads: int = Field(ge=1)
    kv_heads: int = Field(default=1, ge=1)
    head_size: int = Field(ge=1)
    latent_size: int = 0
    rope_size: int = 0
    query_rank: int = 0
    value_size: int = 0
    window: int | None = None
    window_layers: int = 0
    selected_tokens: int | None = None
    linear_layers: int = 0
    linear_heads: int = 0
    linear_key_heads: int = 0
    linear_head_size: int = 0
    gated: bool = False


class Experts(_Frozen):
    """Mixture of experts: `active` of `total` per token, `shared` ones always; `dense_layers` have none."""

    total: int = Field(ge=1)
    active: int = Field(ge=1)
    size: int = Field(ge=1)
    shared: int = 0
    shared_size: int | None = None
    dense_layers: int = 0


class Model(_Document):
    """A language model's architecture, as its public configuration file states it.

    Parameters
    ----------
    layers, hidden, vocabulary : int
    feed_forward : int
        Width of the dense layers' feed-forward part.
    gated_feed_forward : bool
        Three matrices (SwiGLU) instead of two.
    tied_embeddings : bool
    context : int
        Longest sequence.
    weights, expert_weights : dtype
        As published; a deployment may override them.
    published_parameters, published_active : float or None
        What the authors state, to check what follows from the rest.
    """

    layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
    feed_forward: int = 0
    gated_feed_forward: bool = True
    tied_embeddings: bool = False
    attention: Attention
    experts: Experts | None = None
    context: Count = 8192
    weights: Dtype = "bf16"
    expert_weights: Dtype | None = None
    published_parameters: Annotated[float, BeforeValidator(_written(parse_count))] | None = None
    published_active: Annotated[float, BeforeValidator(_written(parse_count))] | None = None


class Constants(_Frozen):
    """Efficiency constants of one engine on one chip family: how far reality is from the data sheet.

    Overheads are seconds, utilisations are shares of the data-sheet peak. Zero overheads and full
    utilisation, the defaults, give the bound itself.
    """

    step_overhead: Seconds = 0.0
    layer_overhead: Seconds = 0.0
    moe_layer_overhead: Seconds = 0.0
    mla_layer_overhead: Seconds = 0.0
    linear_layer_overhead: Seconds = 0.0
    indexer_overhead: Seconds = 0.0
    mesh_latency: Seconds = 0.0  # times the square root of the hidden size, a layer: activations crossing a 2-D mesh
    host_layer: Seconds = 0.0  # the host launches kernels this slowly: a floor under a decode step
    host_layer_prefill: Seconds = 0.0
    sequence_overhead: Seconds = 0.0  # a sequence of the batch, a step: sampling, scheduling, detokenising
    bandwidth: Share = 1.0
    expert_bandwidth: Share = 1.0
    kv_bandwidth: Share = 1.0
    compute: Share = 1.0
    expert_compute: Share = 1.0
    expert_compute_mixed: Share = 1.0  # of prompt chunks that share their steps with decoding sequences
    four_bit_cost: Factor = 1.0  # time of an expert in fp4 (int4) over what its bytes and FLOP alone would take
    int4_cost: Factor = 1.0
    allreduce_latency: Seconds = 0.0
    link: Share = 1.0
    link_large: Share | None = None  # utilisation for the part of a message beyond `large_message`
    large_message: Size = 1e15
    interference: Factor = 1.0  # share of other requests' prefill work that delays a decoding request
    request_overhead: Seconds = 0.0  # TTFT of an empty prompt on an idle server: HTTP, tokenising, scheduling
    prefill_steps: Factor = 1.0  # decode steps a new request waits for before it is scheduled
    queueing: Factor = 0.5  # wait behind other prefills over that of exponential ones; 0.5 if all are equally long
    clumping: Factor = 0.0  # share of the other concurrent requests whose prefill is ahead of one's own
    queue_cost: Seconds = 0.0  # host seconds a new request waits for each other request in flight
    speculation_prefill: Factor = 1.0  # request overhead with speculative decoding over without
    reserved_output: Factor = 0.75  # share of the answer whose cache must be free before a request is admitted
    frontend_rate: Rate | None = None  # tokens/s the API server can stream, whatever the chips do


class Engine(_Document):
    """A serving engine's constants, by chip family; `default` holds for families that are not listed."""

    default: Constants = Constants()
    families: dict[str, Constants] = {}

    def constants(self, family: str) -> Constants:
        """Constants on a chip family."""
        return self.families.get(family, self.default)


class Speculation(_Frozen):
    """Speculative decoding: `draft_tokens` proposed a step; with the model's own, `tokens_per_step` are kept.

    The draft costs `draft_cost` of a plain step for each token (multi-token prediction: about 1.5 / layers),
    or, when `draft_seconds` is given, that long.
    """

    draft_tokens: int = Field(ge=1)
    tokens_per_step: float = Field(ge=1)
    draft_cost: Factor | None = None
    draft_seconds: Seconds | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.tokens_per_step > self.draft_tokens + 1:
            raise ValueError(
                f"{self.draft_tokens} draft tokens give at most {self.draft_tokens + 1} tokens a step, "
                f"not {self.tokens_per_step}"
            )
        return self


class Diffusion(_Frozen):
    """Decode law of a diffusion language model: `steps` passes over each block of `block` tokens."""

    block: int = Field(ge=1)
    steps: int = Field(ge=1)


class Deployment(_Document):
    """Chips, a model and an engine, put together.

    Parameters
    ----------
    chip, model, engine : str, or the object itself
        Catalogue names; the documents layer resolves them.
    tensor_parallel, pipeline_parallel, attention_data_parallel : int
        One replica has their product of chips. Experts spread over all chips of a pipeline stage.
    expert_parallel : bool
        Whole experts a chip instead of slices of all.
    replicas : int
    weights, expert_weights, kv : dtype
        Override the model's.
    offloaded_layers : int
        Layers that live in, and are computed from, the overflow memory's side (CPU offload of llama.cpp).
    max_batch : int
        Most sequences a replica decodes together.
    chunk_tokens : int
        Most prompt tokens in one step.
    disaggregated : bool
        Prompts are prefilled by other replicas, so that they never slow decoding down.
    usd_per_chip_hour : float or None
    """

    chip: str | Chip
    model: str | Model
    engine: str | Engine = "roofline"
    tensor_parallel: int = Field(default=1, ge=1)
    pipeline_parallel: int = Field(default=1, ge=1)
    attention_data_parallel: int = Field(default=1, ge=1)
    expert_parallel: bool = False
    replicas: int = Field(default=1, ge=1)
    weights: Dtype | None = None
    expert_weights: Dtype | None = None
    kv: Dtype = "bf16"
    offloaded_layers: int = Field(default=0, ge=0)
    max_batch: int = Field(default=1024, ge=1)
    chunk_tokens: int = Field(default=8192, ge=1)
    speculation: Speculation | None = None
    diffusion: Diffusion | None = None
    disaggregated: bool = False
    usd_per_chip_hour: float | None = Field(default=None, ge=0, strict=False)

    @property
    def chips(self) -> int:
        """Chips of one replica."""
        return self.tensor_parallel * self.pipeline_parallel * self.attention_data_parallel

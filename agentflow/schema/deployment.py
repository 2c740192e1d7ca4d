"""What users write about serving: an engine's constants, and chips, model and engine put together."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agentflow.schema._base import Model as Base
from agentflow.schema._base import problem
from agentflow.schema.hardware import Chip, HardwareDocument, Layers, Model
from agentflow.schema.quantities import Bandwidth, Bytes, Chips, Dtype, Factor, OrName, TokenRate, Utilisation
from agentflow.schema.scalars import PositiveTokens, Seconds, Usd


class Constants(Base):
    """Efficiency constants of one engine on one chip family: how far reality is from the data sheet.

    Overheads are seconds, utilisations are shares of the data-sheet peak. Zero overheads and full
    utilisation, the defaults, give the bound itself.
    """

    step_overhead: Seconds = 0.0
    """A step, whatever the model."""
    layer_overhead: Seconds = 0.0
    """A layer: launching its kernels."""
    moe_layer_overhead: Seconds = 0.0
    """A layer with experts, besides: routing and sorting."""
    mla_layer_overhead: Seconds = 0.0
    """A layer with latent attention, besides."""
    linear_layer_overhead: Seconds = 0.0
    """A layer with linear attention, besides."""
    indexer_overhead: Seconds = 0.0
    """A layer whose attention selects tokens, besides."""
    mesh_latency: Seconds = 0.0
    """Times the square root of the hidden size, a layer: activations that cross a 2-D mesh."""
    host_layer: Seconds = 0.0
    """A layer of a decode step cannot take less: the host launches kernels this slowly."""
    host_layer_prefill: Seconds = 0.0
    """The same of a prefill, whose kernels no graph launches at once."""
    host_moe_layer_prefill: Seconds = 0.0
    """A layer with experts, besides."""
    sequence_overhead: Seconds = 0.0
    """A sequence of the batch, a step: sampling, scheduling, detokenising."""
    sequence_overhead_prefill: Seconds = 0.0
    """A prompt of a batch of prompts: its blocks of the cache, its first token."""
    bandwidth: Utilisation = 1.0
    """Reading weights that every token uses."""
    expert_bandwidth: Utilisation = 1.0
    """Reading routed experts."""
    kv_bandwidth: Utilisation = 1.0
    """Reading the cache."""
    compute: Utilisation = 1.0
    """Arithmetic, experts excepted."""
    expert_compute: Utilisation = 1.0
    """Arithmetic of experts on a prompt alone."""
    expert_compute_mixed: Utilisation = 1.0
    """Arithmetic of experts in decode steps, and on prompt chunks that share them."""
    handed_on: Factor = 0.0
    """Share of what kernels without any fusion hand on to one another through memory."""
    four_bit_cost: Factor = 1.0
    """Time of an expert in fp4 over what its bytes and FLOP alone would take."""
    int4_cost: Factor = 1.0
    """The same in int4."""
    allreduce_latency: Seconds = 0.0
    """An all-reduce over eight chips, however short."""
    link: Utilisation = 1.0
    """Of the links' bandwidth."""
    link_large: Utilisation | None = None
    """The same for the part of a message beyond `large_message`."""
    large_message: Bytes = 1e15
    """Bytes from which on a message is large."""
    interference: Factor = 1.0
    """Share of other requests' prefill work that delays a decoding request."""
    request_overhead: Seconds = 0.0
    """TTFT of an empty prompt on an idle server: HTTP, tokenising, scheduling."""
    prefill_steps: Factor = 1.0
    """Decode steps that a new request waits for before it is scheduled."""
    queueing: Factor = 0.5
    """Wait behind other prefills over that of exponential ones; 0.5 if all are equally long."""
    clumping: Factor = 0.0
    """Share of the other concurrent requests whose prefill is ahead of one's own."""
    queue_cost: Seconds = 0.0
    """Host time that a new request waits for each other request in flight."""
    speculation_prefill: Factor = 1.0
    """Request overhead with speculative decoding over without."""
    reserved_output: Factor = 0.75
    """Share of the answer whose cache must be free before a request is admitted."""
    frontend_rate: TokenRate | None = None
    """What the API server can stream, whatever the chips do."""


class Engine(HardwareDocument):
    """A serving engine's constants.

    Parameters
    ----------
    default : Constants
        On chip families that are not listed.
    families : mapping
        Constants by chip family.
    """

    default: Constants = Constants()
    families: dict[str, Constants] = Field(default={})

    def constants(self, family: str) -> Constants:
        """Constants on a chip family."""
        return self.families.get(family, self.default)


class Speculation(Base):
    """Speculative decoding: a draft is proposed, the model checks it in one pass.

    Parameters
    ----------
    draft_tokens : int
        Proposed each step.
    acceptance : float
        Probability that a draft token is kept if those before it were: a step then yields (1 - aᵏ⁺¹) / (1 - a)
        tokens of k drafts (Leviathan et al., 2023). Give it or `tokens_per_step`.
    tokens_per_step : float
        Kept on average, the model's own included, where that was measured.
    draft_cost : float
        Of a draft token, in plain steps; by default that of multi-token prediction, about 1.5 / layers.
    draft_seconds : seconds
        The same as a time, if that is known instead.
    """

    draft_tokens: Annotated[int, Field(ge=1, le=1000)]
    acceptance: Annotated[float, Field(ge=0, le=1)] | None = None
    tokens_per_step: Annotated[float, Field(ge=1, le=1001)] | None = None
    draft_cost: Factor | None = None
    draft_seconds: Seconds | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.acceptance is None) == (self.tokens_per_step is None):
            raise problem("speculation needs acceptance or tokens_per_step, and not both", "give one", "acceptance")
        if self.tokens_per_step is not None and self.tokens_per_step > self.draft_tokens + 1:
            raise problem(
                f"{self.draft_tokens} draft tokens give at most {self.draft_tokens + 1} tokens a step, "
                f"not {self.tokens_per_step:g}", "the model's own token counts", "tokens_per_step",
            )  # fmt: skip
        return self

    @property
    def tokens(self) -> float:
        """Tokens of one sequence that a step yields on average."""
        if self.acceptance is None:
            assert self.tokens_per_step is not None
            return self.tokens_per_step
        return sum(self.acceptance**i for i in range(self.draft_tokens + 1))


class Diffusion(Base):
    """Decode law of a diffusion language model: tokens of a block appear together, after a fixed number of passes.

    Parameters
    ----------
    block : int
        Tokens refined together; as many as the answer has, or fewer, one block after the other.
    steps : int
        Passes over a block.
    cached : bool
        Whether keys and values of the prompt and of finished blocks are kept. Otherwise, as tokens attend to
        later ones too, each pass computes the whole sequence: arithmetic binds, not memory.
    """

    block: Annotated[int, Field(ge=1, le=1_000_000)]
    steps: Annotated[int, Field(ge=1, le=1_000_000)]
    cached: bool = False


class Deployment(HardwareDocument):
    """Chips, a model and an engine, put together.

    Parameters
    ----------
    chip, model, engine : name or mapping
        Names of the catalogue, or the documents themselves. The engine `roofline` is the bound itself.
    tensor_parallel, pipeline_parallel, attention_data_parallel : int
        One replica has their product of chips. Experts spread over all chips of a pipeline stage.
    expert_parallel : bool
        Whole experts a chip instead of slices of all.
    replicas : int
        Copies of it all that share the requests; if `disaggregated` those that decode.
    router : str
        Which replica a request goes to, under load: the `least_loaded` (fewest requests that run or wait),
        `round_robin`, or by `prefix_affinity` the one where the run's earlier requests went, whose cache knows them.
    balance_threshold : int
        With `prefix_affinity`: a replica with more requests than this beyond the least loaded is passed over.
    weights, expert_weights : dtype
        Override the model's.
    kv : dtype
        Of the cache.
    offloaded_layers : int
        Layers that live in, and are computed from, the overflow memory (CPU offload of llama.cpp).
    max_batch : int
        Most sequences that a replica decodes together.
    chunk_tokens : int
        Most prompt tokens in one step.
    speculation : Speculation
        Speculative decoding.
    diffusion : Diffusion
        Of a diffusion model.
    disaggregated : bool
        Prompts are prefilled by other replicas, so that they never slow decoding down; their caches are handed over.
    prefill_replicas : int
        How many those are; by default as many as `replicas`.
    kv_transfer_bandwidth : bytes/s
        At which each chip sends its share of a cache from there; by default that of the chip's links.
    usd_per_chip_hour : dollars
        Price of a chip.
    """

    chip: Annotated[Chip, OrName("chip")]
    model: Annotated[Model, OrName("model")]
    engine: Annotated[Engine, OrName("engine")] = Engine(name="roofline")
    tensor_parallel: Chips = 1
    pipeline_parallel: Chips = 1
    attention_data_parallel: Chips = 1
    expert_parallel: bool = False
    replicas: Chips = 1
    router: Literal["least_loaded", "round_robin", "prefix_affinity"] = "least_loaded"
    balance_threshold: Annotated[int, Field(ge=0, le=1_000_000)] = 8
    weights: Dtype | None = None
    expert_weights: Dtype | None = None
    kv: Dtype = "bf16"
    offloaded_layers: Layers = 0
    max_batch: PositiveTokens = 1024
    chunk_tokens: PositiveTokens = 8192
    speculation: Speculation | None = None
    diffusion: Diffusion | None = None
    disaggregated: bool = False
    prefill_replicas: Chips | None = None
    kv_transfer_bandwidth: Bandwidth | None = None
    usd_per_chip_hour: Usd | None = None

    @model_validator(mode="after")
    def _handed_over(self) -> Self:
        for name in ("prefill_replicas", "kv_transfer_bandwidth"):
            if getattr(self, name) is not None and not self.disaggregated:
                raise problem(f"{name} counts only where prefill and decode are apart",
                              "write disaggregated: true, or leave it out", name)  # fmt: skip
        if self.disaggregated and self.kv_transfer_bandwidth is None and self.chip.link_bandwidth is None:
            raise problem(
                f"a cache cannot be handed over: {self.chip.name} has no links",
                "write kv_transfer_bandwidth, such as 25 GB/s, or leave disaggregated out", "disaggregated",
            )  # fmt: skip
        if self.balance_threshold != 8 and self.router != "prefix_affinity":
            raise problem(f"balance_threshold counts only with prefix_affinity, not with {self.router}",
                          "write router: prefix_affinity, or leave it out", "balance_threshold")  # fmt: skip
        return self

    @property
    def all_replicas(self) -> int:
        """Replicas that decode, and those that only prefill."""
        return self.replicas + ((self.prefill_replicas or self.replicas) if self.disaggregated else 0)

    @property
    def chips(self) -> int:
        """Chips of one replica."""
        return self.tensor_parallel * self.pipeline_parallel * self.attention_data_parallel

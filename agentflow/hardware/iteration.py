"""What one iteration of a continuous batch takes on a deployment, in tables.

`serving` asks how a deployment does under a steady load; here nothing is averaged. A step that only decodes is a
decode step as there. A step that also computes prompts is a prefill of as many tokens as it has in all, whose
decoding sequences read their cache besides. With speculative decoding a step drafts, checks the drafts and yields
several tokens of each sequence; with prompts in it, it does so too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from agentflow.hardware.architecture import kv_bytes_per_token, parameters
from agentflow.hardware.capacity import check
from agentflow.hardware.demand import prefill_demand, usable_memory, weight_bytes
from agentflow.hardware.serving import constants, decode_step_time, draft_time, step_demand, tokens_per_step
from agentflow.hardware.timing import step_time
from agentflow.schema.deployment import Deployment
from agentflow.schema.hardware import Chip
from agentflow.schema.quantities import BYTES

MIXED_KV = 2.3
"""Seconds for a token of cache in a step with prompts over those in a step without: there attention runs the kernel for
prompts, which reads a decoding sequence's cache with few of the chip's processors. From two vLLM 0.19 runs
(LLMServingSim @5daddb2, MIT): 1.8 on an RTX 4090, 2.9 on two RTX PRO 6000, where a fixed time explains as much."""

UTILISATION = 0.9
"""Share of the memory that vLLM takes for weights and cache unless it is told otherwise (gpu_memory_utilization)."""

VISIBLE = 0.983
"""Share of a GPU's nominal memory, whose GB are GiB, that its driver shows where its document does not say it: 79.22 of
80, 31.37 of 32, 23.55 of 24 GiB in vLLM's logs (vllm-project/vllm #10511, #14452, #11550)."""

PROFILED = 1.31 * 2**30
"""Bytes beside weights and cache that vLLM sets aside for a forward pass, 1.19 GiB of activations and 0.12 GiB outside
of PyTorch in its log of an 8B model on an 80 GB card; others' are 0.3 to 1.7."""

_FAR = 1000.0
_DENSE = 200  # tokens up to which each step is computed, and steps beyond, with straight lines between them


@dataclass(frozen=True, slots=True)
class IterationTable:
    """Seconds of steps.

    Attributes
    ----------
    plain_seconds : tuple of float
        Of a step that only decodes, by its sequences from 0 on, without their cache.
    mixed_seconds : tuple of float
        Of a step with prompts, by its tokens from 0 on, without caches and attention.
    sequence : float
        For each sequence of a step with prompts.
    kv, mixed_kv : float
        For each token of cache that the batch holds, in a step without and with prompts.
    pair : float
        For each pair of a prompt's token with one that it attends to.
    """

    plain_seconds: tuple[float, ...]
    mixed_seconds: tuple[float, ...]
    sequence: float
    kv: float
    mixed_kv: float
    pair: float


def iteration_table(
    deployment: Deployment, max_sequences: int | None = None, token_budget: int | None = None
) -> IterationTable:
    """Tabulate a deployment's steps from the chip's data sheet and the engine's constants.

    Parameters
    ----------
    deployment : Deployment
    max_sequences, token_budget : int, optional
        How far; by default the deployment's `max_batch` and `chunk_tokens`.

    Raises
    ------
    CapacityError
        If the deployment cannot exist.
    """
    check(deployment)
    most, budget = max_sequences or deployment.max_batch, token_budget or deployment.chunk_tokens
    c = constants(deployment)
    plain = [0.0, *(decode_step_time(deployment, float(n), 0.0) for n in range(1, most + 1))]
    far, near = (decode_step_time(deployment, 1.0, context) for context in (2 * _FAR, _FAR))
    every = np.arange(1, budget + 1)
    some = np.unique(np.concatenate([every[:_DENSE], np.geomspace(1, budget, _DENSE).astype(np.int64)]))
    mixed = [0.0, *np.interp(every, some, [_mixed(deployment, float(n)) for n in some]).tolist()]
    math = prefill_demand(deployment, 2 * _FAR).attention_math - 2 * prefill_demand(deployment, _FAR).attention_math
    kv = max((far - near) / _FAR, 0.0)
    fixed, each = _drafts(deployment, most, (mixed[-1] - mixed[budget // 2]) / (budget - budget // 2))
    mixed = [0.0, *(seconds + fixed for seconds in mixed[1:])]
    return IterationTable(
        tuple(plain), tuple(mixed), c.sequence_overhead + each, kv, MIXED_KV * kv, max(math, 0.0) / _FAR**2 / c.compute
    )


def _drafts(deployment: Deployment, most: int, token: float) -> tuple[float, float]:
    """Seconds that drafts add to a step with prompts: fixed, and for each sequence, whose drafts are checked besides.

    A decoding sequence counts in such a step as the tokens it yields, and checks more.
    """
    speculation = deployment.speculation
    if speculation is None:
        return 0.0, 0.0
    c = constants(deployment)
    one, all_ = (draft_time(deployment, step_time(step_demand(deployment, n, 0.0), c).total) for n in (1.0, most))
    checked = 1.0 + speculation.draft_tokens - tokens_per_step(deployment)
    return one, (all_ - one) / max(most - 1, 1) + checked * max(token, 0.0)


def _mixed(deployment: Deployment, tokens: float) -> float:
    """Seconds of a step of so many tokens, attention left out."""
    demand = replace(prefill_demand(deployment, tokens), attention_math=0.0, kv_read=0.0)
    return float(step_time(demand, constants(deployment), prefill=True).total)


def handover_seconds(deployment: Deployment) -> float:
    """Seconds for each token's cache from a replica that prefills to one that decodes, all chips sending at once.

    Parameters
    ----------
    deployment : Deployment
        Both of them; `kv_transfer_bandwidth` or its chips' links say how fast. Infinite if they have none.
    """
    heads = deployment.model.attention.kv_heads if deployment.model.attention.kind == "gqa" else 1
    share = kv_bytes_per_token(deployment.model, deployment.kv) / min(deployment.tensor_parallel, heads)
    link = deployment.kv_transfer_bandwidth
    if link is None:
        link = (deployment.chip.link_bandwidth or 0.0) * constants(deployment).link
    return share / deployment.pipeline_parallel / link if link > 0 else math.inf


def shown_memory(chip: Chip) -> float:
    """Bytes of a GPU's memory that its driver shows: its document's, else the usual share of the nominal ones."""
    return VISIBLE * chip.memory / 1e9 * 2**30 if chip.visible_memory is None else chip.visible_memory


def cache_blocks(deployment: Deployment, block_size: int = 16, utilisation: float = UTILISATION) -> int:
    """Blocks of the cache that a replica's memory has room for.

    Parameters
    ----------
    deployment : Deployment
    block_size : int
        Tokens of a block.
    utilisation : float
        Share of the memory for weights and cache.

    Raises
    ------
    CapacityError
        If the deployment cannot exist.
    """
    fit = check(deployment)
    chip, model = deployment.chip, deployment.model
    table = parameters(model).embedding * BYTES["bf16"] / deployment.chips  # looked up, not read, but it takes room
    weights = sum(weight_bytes(deployment))
    if chip.kind == "gpu":
        room = utilisation * shown_memory(chip) - PROFILED
    else:
        room = min(utilisation * chip.memory, usable_memory(chip))
    room -= weights + table
    return max(int(fit.sequences * room / max(fit.usable - weights, 1.0) / block_size), 0)

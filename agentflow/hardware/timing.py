"""From demand to seconds: the roofline with an engine's efficiency constants.

Each part of a step takes the longer of reading and computing; parts follow one another; launching kernels,
reducing over links and handling sequences add their own time. The functions use NumPy's elementwise maximum,
so that the same code serves a single float and, in fitting scripts, arrays of measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agentflow.hardware.demand import Demand
from agentflow.schema.deployment import Constants


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one step by what they go to.

    Attributes
    ----------
    compute, weights, kv, links, overhead : float
        What the step's seconds go to: arithmetic that takes longer than its reads, reads of weights, of the
        cache, communication, and launches, host and per-sequence work.
    total : float
    """

    compute: float
    weights: float
    kv: float
    links: float
    overhead: float
    total: float

    @property
    def bound(self) -> str:
        """What takes most of the step: compute, weights, kv, links or overhead."""
        times = {name: float(getattr(self, name)) for name in ("compute", "weights", "kv", "links", "overhead")}
        return max(times, key=times.__getitem__)


def float_or_array(value: Any) -> float:
    """Give a plain float for a single value; arrays, which only fitting scripts pass, as they are."""
    return float(value) if np.ndim(value) == 0 else value


def launches(demand: Demand, c: Constants) -> float:
    """Seconds of a step that do not depend on how much it computes or reads."""
    return (
        c.step_overhead
        + demand.layers * c.layer_overhead
        + demand.moe_layers * c.moe_layer_overhead
        + demand.mla_layers * c.mla_layer_overhead
        + demand.indexer_layers * c.indexer_overhead
        + demand.linear_layers * c.linear_layer_overhead
        + demand.mesh * c.mesh_latency
    )


def link_time(demand: Demand, c: Constants) -> float:
    """Seconds of communication: a latency for each message, and its bytes at the link's real bandwidth."""
    large = c.link if c.link_large is None else c.link_large
    beyond = np.maximum(demand.message - c.large_message, 0.0) / np.maximum(demand.message, 1.0)
    wire: Any = demand.reduce * ((1 - beyond) / c.link + beyond / large)
    latency = demand.reduces * demand.ring * c.allreduce_latency + demand.hops * demand.hop_latency
    return float_or_array(latency + wire)


def step_time(demand: Demand, c: Constants, *, prefill: bool = False) -> StepTime:
    """Time of one step.

    Parameters
    ----------
    demand : Demand
    c : Constants
    prefill : bool
        Whether the host's floor is that of a prefill.
    """
    four_bit = np.where(demand.int4 > 0, c.int4_cost, np.where(demand.fp4 > 0, c.four_bit_cost, 1.0))
    dense_read, dense_math = demand.dense_read / c.bandwidth, demand.dense_math / c.compute
    expert_read = demand.expert_read / c.expert_bandwidth * four_bit
    expert_math = demand.expert_math / (c.expert_compute if prefill else c.expert_compute_mixed) * four_bit
    kv_read, kv_math = demand.kv_read / c.kv_bandwidth, demand.attention_math / c.compute
    pairs = ((dense_read, dense_math), (expert_read, expert_math), (kv_read, kv_math))
    compute: Any = sum(np.where(math > read, math, 0.0) for read, math in pairs)
    weights: Any = sum(np.where(math > read, 0.0, read) for read, math in pairs[:2]) + demand.offloaded
    kv: Any = np.where(kv_math > kv_read, 0.0, kv_read) + demand.state_read / c.kv_bandwidth
    links: Any = link_time(demand, c)
    overhead = launches(demand, c)
    moved: Any = c.handed_on * (demand.activations + demand.expert_activations) / c.bandwidth
    compute = compute + moved
    chips = compute + weights + kv + links + overhead
    host = demand.layers * (c.host_layer_prefill if prefill else c.host_layer)
    host = host + (demand.moe_layers * c.host_moe_layer_prefill if prefill else 0.0)
    sequences = demand.sequences * (c.sequence_overhead_prefill if prefill else c.sequence_overhead)
    waiting: Any = np.maximum(host - chips, 0.0)
    parts = (compute, weights, kv, links, overhead + waiting + sequences, chips + waiting + sequences)
    return StepTime(*(float_or_array(part) for part in parts))


def prefill_work(demand: Demand, c: Constants, *, mixed: bool = False) -> float:
    """Seconds of prefill that grow with its tokens: what it adds to a step that runs anyway.

    Weights are read and kernels launched for the decoding sequences in any case, so only arithmetic and
    messages count. In `mixed` steps, prompt chunks beside decoding sequences, experts compute as
    efficiently as in decoding.
    """
    four_bit = np.where(demand.int4 > 0, c.int4_cost, np.where(demand.fp4 > 0, c.four_bit_cost, 1.0))
    experts: Any = demand.expert_math / (c.expert_compute_mixed if mixed else c.expert_compute) * four_bit
    math: Any = (demand.dense_math + demand.attention_math) / c.compute + experts
    latency = demand.reduces * demand.ring * c.allreduce_latency + demand.hops * demand.hop_latency
    moved: Any = c.handed_on * (demand.activations + demand.expert_activations) / c.bandwidth
    return float_or_array(math + moved + link_time(demand, c) - latency)

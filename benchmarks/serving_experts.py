"""One of several data-parallel engines that share the experts of a mixture, as vLLM runs them.

Engines step together, and each is taken to run what the others run: of n tokens an engine there are n times as many for
the experts as engines. vLLM's documents say that experts are sliced, or with expert parallelism spread, over all of
them (docs.vllm.ai, "Data Parallel Deployment"), and that by default tokens are gathered by all and results scattered
("Expert Parallel Deployment", backend ``allgather_reducescatter``).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from agentflow.hardware import IterationTable, iteration_table
from agentflow.hardware.architecture import parameters
from agentflow.hardware.demand import Demand, decode_demand, prefill_demand
from agentflow.hardware.serving import constants
from agentflow.hardware.timing import step_time
from agentflow.schema.deployment import Deployment

_POINTS = 200


def shared_experts_table(d: Deployment, max_sequences: int, token_budget: int) -> IterationTable:
    """Tabulate the steps of one engine of a deployment whose `attention_data_parallel` counts them.

    Parameters
    ----------
    d : Deployment
    max_sequences, token_budget : int
        Of one engine.

    Raises
    ------
    CapacityError
        If the deployment cannot exist.
    """
    engines = d.attention_data_parallel
    t = iteration_table(d, max_sequences, token_budget)
    plain = [0.0, *(_seconds(d, _decode(d, n)) for n in range(1, max_sequences + 1))]
    some = np.unique(np.geomspace(1, token_budget, _POINTS).astype(np.int64))
    mixed = np.interp(range(1, token_budget + 1), some, [_seconds(d, _prefill(d, int(n)), True) for n in some])
    kv = engines * t.kv  # the deployment's table spreads a token of cache over all of them
    return replace(
        t, plain_seconds=tuple(plain), mixed_seconds=(0.0, *mixed.tolist()), kv=kv, mixed_kv=engines * t.mixed_kv
    )


def _seconds(d: Deployment, demand: Demand, prefill: bool = False) -> float:
    return float(step_time(demand, constants(d), prefill=prefill).total)


def _decode(d: Deployment, sequences: int) -> Demand:
    engines = d.attention_data_parallel
    return replace(decode_demand(d, float(engines * sequences), 0.0), reduce=_traffic(d, sequences))


def _prefill(d: Deployment, tokens: int) -> Demand:
    own, all_ = prefill_demand(d, float(tokens)), prefill_demand(d, float(d.attention_data_parallel * tokens))
    return replace(
        own, attention_math=0.0, kv_read=0.0, reduce=_traffic(d, tokens), expert_read=all_.expert_read,
        expert_math=all_.expert_math, expert_activations=all_.expert_activations,
    )  # fmt: skip


def _traffic(d: Deployment, tokens: int) -> float:
    """Seconds on the link: attention's all-reduces in each engine, one gathering and one scattering among them."""
    tensor, engines, link = d.tensor_parallel, d.attention_data_parallel, d.chip.link_bandwidth or math.inf
    message = tokens * d.model.hidden * 2.0
    attention = d.model.layers * 2.0 * (tensor - 1) / tensor
    return message * (attention + parameters(d.model).moe_layers * 2.0 * (engines - 1)) / link

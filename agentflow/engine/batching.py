"""One replica that batches continuously: requests in, the moments of their first and last tokens out.

Iteration-level scheduling as in vLLM's second engine (Kwon et al. 2023): a step computes tokens of all running
sequences, first of those already running, then of the waiting ones in order; prompts are cut into chunks by the bound
on a step's tokens; where no KV block is left the sequence admitted last is preempted, and computed anew. Between
changes of the batch the KV grows by one token a sequence and step, so the time of k steps is a quadratic in k: the
clock goes from change to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agentflow.errors import CapacityError
from agentflow.plan.layout import F64, I64


@dataclass(frozen=True)
class Replica:
    """A replica: what a step may hold, and what it takes.

    Parameters
    ----------
    max_sequences, max_batched_tokens : int
        Bounds of a step: sequences, and tokens that are computed.
    kv_blocks, block_tokens : int
        Blocks of KV cache, and the tokens of each.
    fixed, weights, per_sequence, per_token, per_context : float
        Seconds of a step: `fixed`, the longer of reading the `weights` and computing the step's tokens, and more for
        each sequence in it and for each token of context that those sequences then have.
    """

    max_sequences: int
    max_batched_tokens: int
    kv_blocks: int
    block_tokens: int
    fixed: float
    per_sequence: float = 0.0
    per_token: float = 0.0
    per_context: float = 0.0
    weights: float = 0.0


@dataclass(frozen=True)
class Served:
    """When each request had its first and its last token (s), how many steps there were and how many preemptions."""

    first_s: F64
    last_s: F64
    steps: int
    preemptions: int


def serve(replica: Replica, arrival_s: F64, prompt: I64, output: I64) -> Served:
    """Serve requests.

    Parameters
    ----------
    replica : Replica
    arrival_s : float64[N]
        Ascending.
    prompt, output : int64[N]
        Tokens of each, at least 1.

    Raises
    ------
    CapacityError
        If a request does not fit into the KV cache.
    """
    from agentflow.engine.batching_kernel import run_replica

    need = -(-(prompt + output - 1) // replica.block_tokens)
    if len(need) and int(need.max()) > replica.kv_blocks:
        raise CapacityError(
            f"a request of {int(prompt[need.argmax()]):,} tokens and {int(output[need.argmax()]):,} to come needs "
            f"{int(need.max()):,} KV blocks; the replica has {replica.kv_blocks:,}"
        )
    n = len(arrival_s)
    first, last = np.full(n, np.nan), np.full(n, np.nan)
    bounds = np.array(
        [replica.max_sequences, replica.max_batched_tokens, replica.kv_blocks, replica.block_tokens], np.int64
    )
    law = np.array([replica.fixed, replica.per_sequence, replica.per_token, replica.per_context, replica.weights])
    state: Any = np.zeros((n, 4), np.int64)
    running, given = np.zeros((2, replica.max_sequences), np.int64)
    waiting = np.zeros(2 * n + 1, np.int64)
    counted = run_replica(bounds, law, arrival_s, prompt, output, state, running, given, waiting, first, last)
    return Served(first, last, int(counted[0]), int(counted[1]))

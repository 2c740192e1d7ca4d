"""The arrays of replicas that batch continuously: their limits and laws, their state, and the requests at them.

Columns are named by a prefix for the table: G limits (integers) and S the law of a step (floats) of a replica, R and
Y its state (integers, floats), Q and Z a request at it (integers, floats), T requests with given arrivals.

Tokens are counted in units of what a step yields of one sequence that decodes: 1, or with speculative decoding the
mean of what is accepted. All that follows from tokens (blocks, budgets, seconds) is converted once, in `new_batches`
and in `batching_kernel.submit`, so that a sequence that decodes always computes one unit a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil
from typing import NamedTuple

import numpy as np

from agentflow.engine.state import WIDTHS
from agentflow.errors import UsageError
from agentflow.plan.layout import F64, I64

# a replica's limits, and where its parts of the shared tables begin
(
    G_BUDGET, G_MOST, G_BLOCK, G_BLOCKS, G_ASYNC, G_RESERVE, G_PREFIX, G_AT, G_PHASE, G_PLAIN, G_MIXED, G_SHIFT,
    G_REPLICAS, G_POLICY, G_SPILL, G_DECODE,
) = range(16)  # fmt: skip
G_COLUMNS = 16
# the law of its steps; tokens of a unit; seconds for a cache to get to a decoding replica: fixed, for each token
S_SEQUENCE, S_KV, S_PAIR, S_MIXED_KV, S_UNIT, S_WAY, S_WAY_TOKEN = range(7)
S_COLUMNS = 7

# state: decoding sequences, sum of their bases, plans so far, plans alike that follow, blocks ever freed and taken
(
    R_DECODING, R_BASES, R_PLANS, R_ALIKE, R_FREED, R_TAKEN,
    R_PARTIAL, R_CHUNK, R_FIRST, R_LAST, R_RUNNING, R_HEAD, R_TAIL, R_WAITING,
    R_NOTES, R_NEXT_NOTES, R_SIDE, R_ACTIVE, R_PLANNED, R_ADMITTED, R_SHORT, R_PREEMPTIONS, R_CHANGED, R_TOKENS,
    R_TURN,
) = range(25)  # fmt: skip
R_COLUMNS = 25
# when the batch changes next; the regime: start, first step, the next, their growth; the last plan's seconds
Y_NEXT, Y_START, Y_STEP, Y_FOLLOWING, Y_GROWTH, Y_PLAN, Y_BUSY = range(7)
Y_COLUMNS = 7

# a request: lengths, what it computes before it decodes, what is computed (when it decodes, less the plans so far)
(
    Q_PROMPT, Q_OUTPUT, Q_CACHED, Q_NEED, Q_DONE, Q_STATE, Q_PREVIOUS, Q_NEXT, Q_PLACE, Q_ORDER,
    Q_EVICTED, Q_KEPT, Q_FIRST, Q_REPLICA, Q_PREEMPTED,
) = range(15)  # fmt: skip
Q_COLUMNS = 15
Z_SCHEDULED, Z_FIRST, Z_FINISHED = range(3)
Z_COLUMNS = 3

GONE, WAITING, PREFILLING, DECODING, ENDING, ENDING_OUTSIDE = range(6)
"""Where a request is; those that end have their last token under way, the latter without a place in the batch."""

NOTE_FIRST, NOTE_LAST = 1, 2
"""What a step yields of a request: its first token, its last."""


# requests with given arrivals: counters
T_REQUESTS, T_PREFILLS, T_DECODES, T_ON_WAY = range(4)
T_COLUMNS = 4
ROUND_ROBIN, LEAST_LOADED, PREFIX_AFFINITY = range(3)
POLICIES = {"round_robin": ROUND_ROBIN, "least_loaded": LEAST_LOADED, "prefix_affinity": PREFIX_AFFINITY}


class Batches(NamedTuple):
    """Replicas and the requests at them; what the functions of `batching_kernel` work on.

    Attributes
    ----------
    limits, law : int64[R, G], float64[R, S]
        Of each replica; which others are behind the same router, and where those are to which it hands caches over.
    steps : float64
        Seconds of steps that only decode by sequences, then of those with prompts by tokens; two parts a replica.
    replica_i, replica_f : int64[R, R columns], float64[R, Y columns]
    phases : int64
        How many decoding sequences take a block at each step modulo the block size; one part a replica.
    heap_key, heap_id : int64
        Decoding sequences by the plan that ends them; one part a replica.
    notes : int64
        Two parts a replica: what the step under way and the planned one yield, as 4 id + note.
    told : int64
        The same of the last change: what `change` tells its caller.
    request_i, request_f : int64[N, Q], float64[N, Z]
        By the number the caller gave the request.
    """

    limits: I64
    law: F64
    steps: F64
    replica_i: I64
    replica_f: F64
    phases: I64
    heap_key: I64
    heap_id: I64
    notes: I64
    told: I64
    request_i: I64
    request_f: F64


class Calls(NamedTuple):
    """Requests with given arrivals, and the caches on their way from prefilling to decoding replicas.

    Attributes
    ----------
    arrival, prompt, cached, output, key : float64[N], int64[N]
        In the order of arrival; the key says which requests share a prefix.
    counts : int64[T]
    way_t, way_q : float64[N], int64[N]
    """

    arrival: F64
    prompt: I64
    cached: I64
    output: I64
    key: I64
    counts: I64
    way_t: F64
    way_q: I64


WIDTHS[Calls] = dict.fromkeys(Calls._fields, 1)
WIDTHS[Batches] = dict.fromkeys(Batches._fields, 1) | {
    "limits": G_COLUMNS, "law": S_COLUMNS, "replica_i": R_COLUMNS, "replica_f": Y_COLUMNS,
    "request_i": Q_COLUMNS, "request_f": Z_COLUMNS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepLaw:
    """Seconds of one iteration of the batch.

    A step that only decodes takes ``fixed + max(weights, token x tokens) + experts x (1 - expert_miss ** tokens) +
    sequence x sequences + kv x KV tokens``, where KV tokens are those that the batch's sequences hold after it. A
    step that also computes prompts counts their tokens too; it runs other kernels, so that ``mixed_fixed`` and
    ``mixed_kv`` stand for ``fixed`` and ``kv``, and takes ``pair`` for each pair of a prompt's token with one that it
    attends to.

    Parameters
    ----------
    fixed, weights, token, experts, sequence, kv, pair : float
        Seconds; none negative.
    expert_miss : float
        Share of the experts that a token does not choose.
    mixed_fixed, mixed_kv : float, optional
        Seconds; by default those of a step that only decodes.

    Raises
    ------
    UsageError
        If one is negative or not finite, or no step takes any time.
    """

    fixed: float = 0.0
    weights: float = 0.0
    token: float = 0.0
    sequence: float = 0.0
    kv: float = 0.0
    pair: float = 0.0
    mixed_fixed: float | None = None
    mixed_kv: float | None = None
    experts: float = 0.0
    expert_miss: float = 0.0

    def __post_init__(self) -> None:
        given = [x for x in (getattr(self, f.name) for f in fields(self)) if x is not None]
        if not np.isfinite(given).all() or min(given) < 0 or self.expert_miss > 1:
            raise UsageError(f"seconds of a step must be finite and at least 0, not {self}")
        if min(self.plain(1)[1], self.mixed(1)[1] + self.sequence) <= 0:
            raise UsageError("steps take no time; give fixed, weights, token or sequence seconds above 0")

    def row(self) -> F64:
        """Return the constants in the kernel's order."""
        return np.array([self.sequence, self.kv, self.pair, self.kv if self.mixed_kv is None else self.mixed_kv])

    def _work(self, most: int) -> F64:
        tokens = np.arange(most + 1.0)
        return np.maximum(self.weights, self.token * tokens) + self.experts * (1.0 - self.expert_miss**tokens)

    def plain(self, most: int) -> F64:
        """Seconds of a step by the sequences that decode in it, 0 to `most`, without their cache."""
        return self.fixed + self._work(most) + self.sequence * np.arange(most + 1.0)

    def mixed(self, most: int) -> F64:
        """Seconds of a step with prompts by its tokens, without sequences, cache and attention of prompts."""
        return (self.fixed if self.mixed_fixed is None else self.mixed_fixed) + self._work(most)

    def seconds(self, tokens: int, sequences: int, kv: float, pairs: float = 0.0) -> float:
        """Seconds of a step; with pairs it computes prompts too."""
        if pairs > 0:
            each = self.kv if self.mixed_kv is None else self.mixed_kv
            return float(self.mixed(tokens)[-1] + self.sequence * sequences + each * kv + self.pair * pairs)
        return float(self.plain(tokens)[-1] + self.kv * kv)


@dataclass(frozen=True, slots=True)
class StepTable:
    """Seconds of one iteration as a table, such as that of `agentflow.hardware.iteration_table`.

    Parameters
    ----------
    plain_seconds : sequence of float
        Of a step that only decodes, by its sequences from 0 on; up to a batch's limit at least.
    mixed_seconds : sequence of float
        Of a step that also computes prompts, by its tokens from 0 on; up to the token budget at least.
    sequence, kv, mixed_kv, pair : float
        As those of `StepLaw`; `sequence` counts in steps with prompts only.

    Raises
    ------
    UsageError
        If a second is negative or not finite, or a step takes no time.
    """

    plain_seconds: Sequence[float]
    mixed_seconds: Sequence[float]
    sequence: float = 0.0
    kv: float = 0.0
    mixed_kv: float = 0.0
    pair: float = 0.0

    def __post_init__(self) -> None:
        every = np.concatenate([self.plain_seconds[1:], self.mixed_seconds[1:]])
        if not np.isfinite(every).all() or not len(every) or every.min() <= 0 or self.row().min() < 0:
            raise UsageError("a table's steps must take more than 0 seconds, and no other second may be negative")

    def row(self) -> F64:
        """Return the constants in the kernel's order."""
        return np.array([self.sequence, self.kv, self.pair, self.mixed_kv])

    def plain(self, most: int) -> F64:
        """Seconds of a step by the sequences that decode in it, 0 to `most`, without their cache."""
        return self._first(self.plain_seconds, most, "sequences")

    def mixed(self, most: int) -> F64:
        """Seconds of a step with prompts by its tokens, without sequences, cache and attention of prompts."""
        return self._first(self.mixed_seconds, most, "tokens")

    @staticmethod
    def _first(column: Sequence[float], most: int, what: str) -> F64:
        if len(column) <= most:
            raise UsageError(f"the table ends at {len(column) - 1} {what}; steps have up to {most}")
        return np.asarray(column[: most + 1], np.float64)


@dataclass(frozen=True, slots=True)
class Replica:
    """One copy of a model under a scheduler that decides every iteration anew, as vLLM's does.

    Parameters
    ----------
    law : StepLaw or StepTable
    token_budget : int
        Tokens of a step, prompts' chunks and decoding sequences together (vLLM's max_num_batched_tokens).
    max_sequences : int
        Sequences of a batch (max_num_seqs).
    kv_blocks, block_size : int
        Blocks of the cache, and tokens of one.
    asynchronous : bool
        Whether a step is planned while the one before it runs, as vLLM does since 0.14: what arrives or ends in a step
        changes the step after the next. It hides the scheduler's time.
    reserve_prompt : bool
        Whether a request is admitted only if all its known tokens fit (vLLM since 0.18), not just the first chunk.
    prefix_cache : bool
        Whether a preempted request finds those of its blocks again that nobody has taken since.
    tokens_per_step : float
        Tokens that a step yields of each sequence that decodes: more than 1 with speculative decoding, whose steps
        take the law's seconds with drafts and their check included. Requests are rounded up to multiples.

    Raises
    ------
    UsageError
        If a number is below 1, or a batch has more sequences than a step has tokens.
    """

    law: StepLaw | StepTable
    token_budget: int = 2048
    max_sequences: int = 256
    kv_blocks: int = 1 << 40
    block_size: int = 16
    asynchronous: bool = True
    reserve_prompt: bool = True
    prefix_cache: bool = True
    tokens_per_step: float = 1.0

    def __post_init__(self) -> None:
        for name in ("token_budget", "max_sequences", "kv_blocks", "block_size", "tokens_per_step"):
            if not getattr(self, name) >= 1:
                raise UsageError(f"{name} of a replica must be at least 1, not {getattr(self, name)}")
        if self.max_sequences > self.budget:
            each = "" if self.tokens_per_step == 1 else f" times {self.tokens_per_step:g}"
            raise UsageError(
                f"a batch of {self.max_sequences} sequences needs a token budget of as many{each}, "
                f"not {self.token_budget}"
            )

    @property
    def budget(self) -> int:
        """Units of a step."""
        return int(self.token_budget / self.tokens_per_step)

    @property
    def block(self) -> int:
        """Units of a block of the cache."""
        return max(round(self.block_size / self.tokens_per_step), 1)

    @property
    def blocks(self) -> int:
        """Blocks of `block` units."""
        if self.tokens_per_step == 1:
            return self.kv_blocks
        return int(self.kv_blocks * self.block_size / (self.block * self.tokens_per_step))

    def holds(self, prompt: int, output: int) -> bool:
        """Whether a request of this many tokens can be served alone."""
        units = ceil(prompt / self.tokens_per_step) + ceil((output - 1) / self.tokens_per_step)
        return ceil(units / self.block) <= self.blocks

    def tables(self) -> tuple[F64, F64, list[float]]:
        """Seconds of steps that only decode by sequences, of those with prompts by units; and the rest of the law."""
        unit = self.tokens_per_step
        plain, mixed = self.law.plain(self.max_sequences), self.law.mixed(self.token_budget)
        if unit != 1:
            mixed = np.interp(unit * np.arange(self.budget + 1), np.arange(len(mixed)), mixed)
        sequence, kv, pair, mixed_kv = self.law.row().tolist()
        return plain, mixed, [sequence, kv * unit, pair * unit * unit, mixed_kv * unit, unit]


class Behind(NamedTuple):
    """Replicas behind one router: how many, and which of them is chosen.

    Attributes
    ----------
    replicas : int
    policy : int
        `ROUND_ROBIN`, `LEAST_LOADED` or `PREFIX_AFFINITY`.
    spill : int
        Requests that a key's own replica may have more than the least loaded.
    decode : int
        First of the replicas to which they hand caches over, or -1.
    way, way_token : float
        Seconds of that: fixed, for each token of the prompt.
    """

    replicas: int
    policy: int = LEAST_LOADED
    spill: int = 8
    decode: int = -1
    way: float = 0.0
    way_token: float = 0.0


def new_batches(replicas: Sequence[Replica], requests: int, routers: Sequence[Behind] = ()) -> Batches:
    """Make the arrays of idle replicas, and room for requests numbered from 0.

    Each router has the replicas that follow those of the one before; by default one has them all.
    """
    many = len(replicas)
    limits, most = np.zeros((many, G_COLUMNS), np.int64), [r.max_sequences for r in replicas]
    starts, phases = np.cumsum([0, *most]), np.cumsum([0, *(r.block for r in replicas)])
    made = {id(r): r.tables() for r in replicas}
    tables = [t for r in replicas for t in made[id(r)][:2]]
    begins = np.cumsum([0, *map(len, tables)])
    behind = [b for b in routers or [Behind(many)] for _ in range(b.replicas)]
    for i, (r, b) in enumerate(zip(replicas, behind, strict=True)):
        flags = [r.asynchronous, r.reserve_prompt, r.prefix_cache]
        places = [starts[i], phases[i], begins[2 * i], begins[2 * i + 1]]
        shift = r.block.bit_length() - 1 if r.block & (r.block - 1) == 0 else -1
        limits[i, : G_SHIFT + 1] = [r.budget, r.max_sequences, r.block, r.blocks, *flags, *places, shift]
        limits[i, G_REPLICAS:] = [b.replicas, b.policy, b.spill, b.decode]
    law = np.array([[*made[id(r)][2], b.way, b.way_token] for r, b in zip(replicas, behind, strict=True)])
    state = np.zeros((many, R_COLUMNS), np.int64)
    state[:, [R_PARTIAL, R_FIRST, R_LAST, R_HEAD, R_TAIL]] = -1
    state[:, R_FREED] = limits[:, G_BLOCKS]
    times = np.zeros((many, Y_COLUMNS))
    times[:, Y_NEXT] = np.inf
    total = int(starts[-1])
    return Batches(
        limits, law, np.concatenate(tables), state, times,
        np.zeros(int(phases[-1]), np.int64), np.zeros(total, np.int64), np.zeros(total, np.int64),
        np.zeros(2 * total, np.int64), np.zeros(max(most), np.int64),
        np.zeros((requests, Q_COLUMNS), np.int64), np.full((requests, Z_COLUMNS), np.nan),
    )  # fmt: skip


def grow_requests(batches: Batches, requests: int) -> Batches:
    """Make room for more requests."""
    more = requests - len(batches.request_i)
    return batches._replace(
        request_i=np.concatenate([batches.request_i, np.zeros((more, Q_COLUMNS), np.int64)]),
        request_f=np.concatenate([batches.request_f, np.full((more, Z_COLUMNS), np.nan)]),
    )

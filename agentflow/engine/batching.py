"""Continuous batching for whoever calls from Python: serve requests with given arrivals, or one event at a time.

The event engine calls the functions of `batching_kernel` instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentflow.engine import batching_state as S
from agentflow.engine.batching_state import (
    POLICIES,
    Batches,
    Behind,
    Calls,
    Replica,
    StepLaw,
    StepTable,
    grow_requests,
    new_batches,
)
from agentflow.errors import CapacityError, UsageError
from agentflow.plan.layout import F64, I64

__all__ = [
    "POLICIES",
    "Fleet",
    "Pool",
    "Replica",
    "Served",
    "StepLaw",
    "StepTable",
    "Token",
    "serve",
]


@dataclass(frozen=True, slots=True)
class Fleet:
    """Replicas behind a router; with `decode`, prompts and answers have replicas of their own.

    Parameters
    ----------
    replicas : sequence of Replica
        All of them, or those that prefill.
    decode : sequence of Replica
        Where answers are decoded once the cache was handed over; empty: where their prompts were.
    policy : str
        `round_robin`, `least_loaded` (fewest requests that run or wait), or `prefix_affinity`: requests of one key go
        to one replica, while it has at most `spill` requests more than the least loaded.
    spill : int
    handover_seconds, handover_seconds_per_token : float
        For the cache of a prompt to get from a prefilling to a decoding replica.

    Raises
    ------
    UsageError
        Without replicas, with an unknown policy, or with negative seconds.
    """

    replicas: Sequence[Replica]
    decode: Sequence[Replica] = ()
    policy: str = "least_loaded"
    spill: int = 8
    handover_seconds: float = 0.0
    handover_seconds_per_token: float = 0.0

    def __post_init__(self) -> None:
        if not self.replicas:
            raise UsageError("a fleet needs at least one replica")
        if self.policy not in POLICIES:
            raise UsageError(f"no router is called {self.policy!r}; there are {', '.join(POLICIES)}")
        if not min(self.handover_seconds, self.handover_seconds_per_token, self.spill) >= 0:
            raise UsageError("spill and the seconds of a hand-over must be at least 0")


@dataclass(frozen=True, slots=True)
class Served:
    """What became of requests, in the order in which they were given.

    Attributes
    ----------
    scheduled, first_token, finished : float64[N]
        Moments (s): when a request was first planned, and when the steps ended that made its first and its last token.
    replica : int64[N]
        Where it ended; decoding replicas are numbered after those that prefill.
    preempted : int64[N]
        How often it lost its blocks where it ended.
    busy_seconds : float64[R]
        In which a replica's steps ran.
    """

    scheduled: F64
    first_token: F64
    finished: F64
    replica: I64
    preempted: I64
    busy_seconds: F64


def _whole(values: Sequence[float] | F64 | I64 | int, many: int, least: int, name: str) -> I64:
    found = np.broadcast_to(np.asarray(values), (many,))
    whole = found.astype(np.int64)
    if (whole != found).any() or (whole < least).any():
        raise UsageError(f"{name} must be whole numbers, at least {least}")
    return np.ascontiguousarray(whole)


def serve(
    fleet: Fleet | Replica,
    arrivals: Sequence[float] | F64,
    prompt_tokens: Sequence[int] | I64 | int,
    output_tokens: Sequence[int] | I64 | int,
    cached_tokens: Sequence[int] | I64 | int = 0,
    keys: Sequence[int] | I64 | int = 0,
) -> Served:
    """Serve requests to their ends.

    Parameters
    ----------
    fleet : Fleet or Replica
    arrivals : float64[N]
        Seconds, in any order; of those that arrive at one moment the first given is the first in the queue.
    prompt_tokens, output_tokens : int64[N]
        At least 1; one number for all will do.
    cached_tokens : int64[N]
        Tokens of the prompt that the prefix cache holds; whole blocks of them are not computed.
    keys : int64[N]
        Which requests share a prefix, for `prefix_affinity`.

    Raises
    ------
    UsageError
        If lengths differ, or a number makes no sense.
    CapacityError
        If a request does not fit a replica by itself.
    """
    from agentflow.engine.batching_kernel import serve as kernel
    from agentflow.engine.helpers import compiling

    fleet = Fleet((fleet,)) if isinstance(fleet, Replica) else fleet
    times = np.asarray(arrivals, np.float64)
    many = len(times)
    if not np.isfinite(times).all():
        raise UsageError("arrivals must be finite seconds")
    order = np.argsort(times, kind="stable")
    prompt, output = _whole(prompt_tokens, many, 1, "prompt_tokens"), _whole(output_tokens, many, 1, "output_tokens")
    cached, key = _whole(cached_tokens, many, 0, "cached_tokens"), _whole(keys, many, 0, "keys")
    every = (*fleet.replicas, *fleet.decode)
    if many:
        for replica in every:
            longest = int(np.argmax(prompt + output))
            _check_fits(replica, int(prompt[longest]), int(output[longest]))
    counts = np.zeros(S.T_COLUMNS, np.int64)
    counts[[S.T_REQUESTS, S.T_PREFILLS, S.T_DECODES]] = many, len(fleet.replicas), len(fleet.decode)
    way = many if fleet.decode else 1
    calls = Calls(
        times[order], prompt[order], cached[order], output[order], key[order],
        counts, np.zeros(way), np.zeros(way, np.int64),
    )  # fmt: skip
    batches = new_batches(every, many, _routers(fleet))
    with compiling():
        kernel(batches, calls)
    back = np.empty(many, np.int64)
    back[order] = np.arange(many)
    moments, rest = batches.request_f[back], batches.request_i[back]
    return Served(
        moments[:, S.Z_SCHEDULED], moments[:, S.Z_FIRST], moments[:, S.Z_FINISHED],
        rest[:, S.Q_REPLICA], rest[:, S.Q_PREEMPTED], batches.replica_f[:, S.Y_BUSY].copy(),
    )  # fmt: skip


def _routers(fleet: Fleet) -> list[Behind]:
    """Write the router before the replicas, and that before those that decode."""
    policy, many = POLICIES[fleet.policy], len(fleet.replicas)
    way = (many, fleet.handover_seconds, fleet.handover_seconds_per_token) if fleet.decode else (-1, 0.0, 0.0)
    found = [Behind(many, policy, fleet.spill, *way)]
    return [*found, Behind(len(fleet.decode), policy, fleet.spill)] if fleet.decode else found


def _check_fits(replica: Replica, prompt: int, output: int) -> None:
    if not replica.holds(prompt, output):
        room = replica.kv_blocks * replica.block_size
        raise CapacityError(
            f"a request of {prompt + output} tokens does not fit the {room} tokens of a replica's cache"
        )


@dataclass(frozen=True, slots=True)
class Token:
    """A first or last token.

    Attributes
    ----------
    time : float
        When its step ended (s).
    request : int
        The caller's number.
    first, last : bool
    """

    time: float
    request: int
    first: bool
    last: bool


class Pool:
    """Replicas that are told of requests one by one, and tell of tokens.

    Parameters
    ----------
    replicas : sequence of Replica
    """

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.replicas = tuple(replicas)
        self.batches: Batches = new_batches(self.replicas, 64)

    def next_event_time(self, replica: int = 0) -> float:
        """When a replica's batch changes next (s); infinite if it has nothing to do.

        Nothing becomes visible before, and nothing need: the change may also be that a prompt gets its next chunk.
        """
        return float(self.batches.replica_f[replica, S.Y_NEXT])

    def submit(
        self, request: int, time: float, prompt: int, output: int, cached: int = 0, replica: int = 0, loaded: int = 0
    ) -> None:
        """Let a request arrive.

        Parameters
        ----------
        request : int
            The caller's number for it, from 0, not in use by another one under way.
        time : float
            Not before an earlier one.
        prompt, output, cached : int
            Tokens.
        replica : int
        loaded : int
            Tokens whose cache was handed over from elsewhere.

        Raises
        ------
        CapacityError
            If it does not fit by itself.
        UsageError
            If the number is in use, a count makes no sense, or changes before `time` were not taken by `advance`.
        """
        _check_fits(self.replicas[replica], prompt, output)
        if prompt < 1 or output < (2 if loaded >= prompt else 1) or min(cached, loaded, request) < 0:
            raise UsageError("a request has a prompt, at least a token to come, and no number that is negative")
        if self.next_event_time(replica) < time:
            raise UsageError(f"advance the replica to {time} s before a request arrives there")
        if request >= len(self.batches.request_i):
            self.batches = grow_requests(self.batches, 2 * request)
        if self.batches.request_i[request, S.Q_STATE] != S.GONE:
            raise UsageError(f"request {request} is still under way")
        self._act(0, replica, request, time, prompt, cached, loaded, output)

    def advance(self, until: float, replica: int = 0) -> list[Token]:
        """Make all changes of a replica before a moment; returns first and last tokens in the order of time."""
        tokens = []
        while (now := self.next_event_time(replica)) < until:
            for entry in self.batches.told[: self._act(1, replica)].tolist():
                first, last = bool(entry & S.NOTE_FIRST), bool(entry & S.NOTE_LAST)
                tokens.append(Token(now, entry >> 2, first, last))
        return tokens

    def cancel(self, request: int, time: float) -> bool:
        """Let a request go; returns whether it was there. Changes before `time` must have been made."""
        replica = int(self.batches.request_i[request, S.Q_REPLICA])
        return bool(self._act(2, replica, request, time))

    def _act(self, what: int, replica: int, request: int = 0, time: float = 0.0, *tokens: int) -> int:
        from agentflow.engine.batching_kernel import act
        from agentflow.engine.helpers import compiling

        prompt, cached, loaded, output = tokens or (0, 0, 0, 0)
        if act.signatures:
            return int(act(self.batches, what, replica, request, float(time), prompt, cached, loaded, output))
        with compiling():
            return int(act(self.batches, what, replica, request, float(time), prompt, cached, loaded, output))

"""Why runs ended without an answer, as counts: what the event engine writes down, and what a manifest keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from agentflow.engine import events_state as E
from agentflow.plan import layout as L
from agentflow.plan.layout import I64

KEY = "failures"
"""Where a result's manifest keeps the reasons."""

Reason = tuple[str, str | None, str, str | None]
"""The outcome; the kind of error, None where a deadline cut the run; the step's path; one of `BY` or None."""

BY = {"queue_full": "rate_limit", "over_limit": "rate_limit", "breaker_open": "server_error", "waiting": "timeout"}
"""What of the load makes an error, in the order of the kernel's codes, and which error."""

_KINDS: tuple[tuple[str | None, str | None], ...] = (
    (None, None),
    *((error, None) for error in L.ERRORS),
    *((error, by) for by, error in BY.items()),
)
_OUTCOMES = L.OUTCOMES[L.RUN_FAILED :]


def count_reasons(table: I64, steps: Sequence[str]) -> dict[Reason, int]:
    """Read the event engine's table.

    Parameters
    ----------
    table : int64[S + 1, C]
        Runs by step (the first row is for none) and kind, as in `events_state`.
    steps : sequence of str
        Paths of the S steps.
    """
    found = {}
    for row, column in zip(*(places.tolist() for places in np.nonzero(table)), strict=True):
        outcome, kind = divmod(column, E.WHY_KINDS)
        error, by = _KINDS[kind]
        found[_OUTCOMES[outcome], error, steps[row - 1] if row else "", by] = int(table[row, column])
    return found


def write_reasons(counts: Mapping[Reason, int], runs: int, lost: int) -> str:
    """Write for a manifest why runs ended without an answer, the most frequent reason first.

    Parameters
    ----------
    counts : mapping
        Runs that were looked at, by reason.
    runs, lost : int
        Runs in all, and those of them without an answer.
    """
    looked = sum(counts.values())
    share = lost / runs / looked
    order = sorted(counts, key=lambda reason: (-counts[reason], [part or "" for part in reason]))
    rows = [[*reason[:3], counts[reason] * share, reason[3]] for reason in order]
    return json.dumps({"rows": rows, "looked": looked, "of": lost})

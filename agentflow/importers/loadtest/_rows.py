"""One request as the readers collect it, and the step from rows to columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.analysis.fitting.requests import Requests, build


@dataclass(frozen=True)
class Row:
    """One request; times in seconds, counts -1 and times NaN where unknown, `error` "" if answered."""

    ttft: float = math.nan
    e2e: float = math.nan
    decode: float = math.nan
    input_tokens: int = -1
    output_tokens: int = -1
    error: str = ""
    start: float = math.nan
    run: int = 0


def collect(
    rows: Sequence[Row],
    *,
    source: str,
    tool: str,
    model: str = "",
    date: str = "",
    notes: tuple[str, ...] = (),
) -> Requests:
    """Turn rows into columns."""
    return build(
        [r.ttft for r in rows],
        [r.e2e for r in rows],
        [r.output_tokens for r in rows],
        input_tokens=[r.input_tokens for r in rows],
        decode=[r.decode for r in rows],
        error=[r.error for r in rows],
        start=[r.start for r in rows],
        run=[r.run for r in rows],
        source=source,
        tool=tool,
        model=model,
        date=date,
        notes=notes,
    )

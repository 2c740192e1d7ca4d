"""Measured requests as columns: what every load-test reader returns and calibration takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_TOKENS_FOR_SPEED = 16
"""Below this many output tokens a request's own speed is mostly rounding; longer answers tell it better."""


@dataclass(frozen=True)
class Requests:
    """Requests measured against one endpoint, one entry a request.

    Attributes
    ----------
    ttft, e2e
        Seconds from sending the request to the first token and to the last; NaN where it failed.
    decode
        Seconds from the first token to the last; NaN where unknown.
    input_tokens, output_tokens
        Counts; -1 where unknown.
    error
        "" for an answered request, else the schema's error name ("rate_limit", "server_error", ...), or
        "client" for a request that failed by the load test's own fault (a bad key, a cancelled request).
    start
        Seconds since any common origin; NaN where unknown.
    run
        Index of the run or session that the request belongs to.
    sources
        The files read.
    tool, model, date
        What the files say about themselves; "" where they do not (date: YYYY-MM-DD).
    """

    ttft: Floats
    e2e: Floats
    decode: Floats
    input_tokens: Ints
    output_tokens: Ints
    error: tuple[str, ...]
    start: Floats
    run: Ints
    sources: tuple[str, ...] = ()
    tool: str = ""
    model: str = ""
    date: str = ""
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.ttft)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Mask of the requests that brought an answer with a known TTFT."""
        ok = np.array([e == "" for e in self.error], dtype=np.bool_)
        return ok & np.isfinite(self.ttft) & (self.ttft > 0.0)

    @property
    def decode_rate(self) -> Floats:
        """Tokens per second after the first token, NaN where a request cannot tell.

        Answers of fewer than 16 tokens are left out wherever at least half of the answers are longer.
        """
        tokens = self.output_tokens - 1
        usable = self.answered & (tokens >= 1) & (np.nan_to_num(self.decode) > 0.0)
        long = usable & (self.output_tokens >= LEAST_TOKENS_FOR_SPEED)
        if long.sum() * 2 >= usable.sum():
            usable = long
        return np.where(usable, tokens / np.where(usable, self.decode, 1.0), np.nan)

    def take(self, index: NDArray[np.bool_] | NDArray[np.int64]) -> Requests:
        """Return the requests that a mask or an index array selects."""
        chosen = np.arange(len(self))[index]
        columns = {name: getattr(self, name)[chosen] for name in _COLUMNS}
        return _replace(self, error=tuple(self.error[i] for i in chosen), **columns)


@dataclass(frozen=True)
class RequestSummary:
    """Percentiles of requests, where a tool's file has no more than that.

    Attributes
    ----------
    ttft, decode_rate, e2e
        (probability, value) pairs, ascending: s, tokens/s, s.
    n
        Requests answered.
    error_share
        Share of the requests that failed, for whatever reason.
    input_tokens, output_tokens
        Medians; NaN where unknown.
    source, tool, model, date
        As in `Requests`.
    """

    ttft: tuple[tuple[float, float], ...]
    decode_rate: tuple[tuple[float, float], ...]
    e2e: tuple[tuple[float, float], ...]
    n: int
    error_share: float
    input_tokens: float
    output_tokens: float
    source: str
    tool: str = ""
    model: str = ""
    date: str = ""


_COLUMNS = ("ttft", "e2e", "decode", "input_tokens", "output_tokens", "start", "run")


def build(
    ttft: Sequence[float] | Floats,
    e2e: Sequence[float] | Floats,
    output_tokens: Sequence[int] | Ints,
    *,
    input_tokens: Sequence[int] | Ints | None = None,
    decode: Sequence[float] | Floats | None = None,
    error: Sequence[str] | None = None,
    start: Sequence[float] | Floats | None = None,
    run: Sequence[int] | Ints | None = None,
    source: str = "",
    tool: str = "",
    model: str = "",
    date: str = "",
    notes: tuple[str, ...] = (),
) -> Requests:
    """Build `Requests` from columns; what is left out is unknown.

    Parameters
    ----------
    ttft, e2e, decode : sequence of float
        Seconds; `decode` defaults to e2e - ttft.
    output_tokens, input_tokens : sequence of int
        Counts, -1 where unknown.
    error, start, run : sequence, optional
        See `Requests`.
    source, tool, model, date, notes : optional
        See `Requests`.

    Returns
    -------
    Requests
    """
    first, last = np.asarray(ttft, dtype=np.float64), np.asarray(e2e, dtype=np.float64)
    n = len(first)
    unknown = np.full(n, np.nan)
    return Requests(
        ttft=first,
        e2e=last,
        decode=last - first if decode is None else np.asarray(decode, dtype=np.float64),
        input_tokens=np.full(n, -1) if input_tokens is None else np.asarray(input_tokens, dtype=np.int64),
        output_tokens=np.asarray(output_tokens, dtype=np.int64),
        error=("",) * n if error is None else tuple(error),
        start=unknown if start is None else np.asarray(start, dtype=np.float64),
        run=np.zeros(n, dtype=np.int64) if run is None else np.asarray(run, dtype=np.int64),
        sources=(source,) if source else (),
        tool=tool,
        model=model,
        date=date,
        notes=notes,
    )


def concatenate(parts: Sequence[Requests]) -> Requests:
    """Join requests of several files; the runs of different files stay different runs."""
    if len(parts) == 1:
        return parts[0]
    offset, runs = 0, []
    for part in parts:
        runs.append(part.run + offset)
        offset += int(part.run.max(initial=-1)) + 1
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _COLUMNS if name != "run"}
    tools, models = {p.tool for p in parts if p.tool}, {p.model for p in parts if p.model}
    return Requests(
        **columns,
        run=np.concatenate(runs),
        error=tuple(e for p in parts for e in p.error),
        sources=tuple(s for p in parts for s in p.sources),
        tool=", ".join(sorted(tools)),
        model=models.pop() if len(models) == 1 else "",
        date=max((p.date for p in parts), default=""),
        notes=tuple(dict.fromkeys(n for p in parts for n in p.notes)),
    )


def _replace(requests: Requests, **changes: object) -> Requests:
    values = {f.name: getattr(requests, f.name) for f in fields(requests)}
    return Requests(**{**values, **changes})

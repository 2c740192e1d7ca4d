"""Simulated runs as Mermaid Gantt charts, which GitHub, GitLab and most Markdown viewers draw."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from agentflow.analysis.traced import Traced
from agentflow.engine import Trace, Visit
from agentflow.errors import printable
from agentflow.report.trace.spans import nanoseconds, ran, title

MOST_ROWS = 120
"""Visits that are drawn; the shortest of more are left out, which the chart says."""

_MS = 1_000_000


def mermaid_gantt(traced: Traced) -> str:
    """Return the charts of all runs, each a block of its own; the time axis is minutes and seconds from the arrival."""
    charts = []
    for trace, label in zip(traced.traces, traced.labels, strict=True):
        run = f"{label} run {trace.run}" if label else f"run {trace.run}"
        head = f"{traced.workflow.name}: {run}, {trace.outcome}, {trace.e2e_s:.2f} s"
        charts.append("\n".join(_chart(trace, head)))
    return "\n\n".join(charts) + "\n"


def _chart(trace: Trace, head: str) -> Iterator[str]:
    visits = [visit for visit in ran(trace) if not visit.composite]
    shown = _longest(visits)
    if len(shown) < len(visits):
        head += f" (the {len(shown)} longest of {len(visits)} visits)"
    yield "gantt"
    yield f"    title {_safe(head)}"
    yield "    dateFormat YYYY-MM-DD HH:mm:ss.SSS"
    yield f"    axisFormat {'%H:%M:%S' if trace.e2e_s >= 3600 else '%M:%S' if trace.e2e_s >= 20 else '%S.%L'}"
    section = None
    for visit in shown:
        top = visit.step.partition(".")[0]
        if top != section:
            section = top
            yield f"    section {_safe(top)}"
        yield _row(visit)


def _longest(visits: list[Visit]) -> list[Visit]:
    if len(visits) <= MOST_ROWS:
        return visits
    kept = sorted(visits, key=lambda v: v.start_s - v.end_s)[:MOST_ROWS]
    return [visit for visit in visits if visit in kept]


def _row(visit: Visit) -> str:
    start = nanoseconds(visit.start_s) // _MS
    end = max(start, nanoseconds(visit.end_s) // _MS)
    tags = ["crit"] if visit.critical else []
    if visit.status != "done":
        tags.append("done")  # drawn pale
    tags += [f"n{visit.node}", _moment(start), f"{end - start}ms"]
    seconds = visit.end_s - visit.start_s
    note = f" ({visit.status})" if visit.status != "done" else ""
    return f"    {_safe(title(visit))}, {seconds:.2f} s{note} :{', '.join(tags)}"


def _moment(ms: int) -> str:
    """Write a time from the arrival as a date, which both Mermaid's parser and its axis take as local time."""
    return f"{datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms):%Y-%m-%d %H:%M:%S}.{ms % 1000:03d}"


def _safe(text: str) -> str:
    """Text that cannot end a field: the signs of Mermaid's grammar become spaces."""
    return " ".join("".join(c if c.isalnum() or c in "._-/()+,' " else " " for c in printable(text, 160)).split())

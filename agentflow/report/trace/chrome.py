"""Simulated runs as a Chrome trace, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

Trace Event Format, JSON object form, with complete events (`ph: X`) in microseconds. A run is a process; its first
lane is the critical path, the others hold what ran at the same time; a visit's components are slices within it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentflow.analysis.traced import Traced
from agentflow.engine import Trace, Visit
from agentflow.errors import printable
from agentflow.report.trace.spans import lanes, last_end, nanoseconds, pieces, ran, title

# Reserved names of the trace viewer's palette, near in tone to the package's own.
_COLOURS = {
    "client": "grey", "network": "thread_state_runnable", "queue": "bad", "prefill": "thread_state_uninterruptible",
    "reasoning": "rail_animation", "decode": "good", "backoff": "terrible", "tool": "yellow",
    "human": "vsync_highlight_color", "wait": "white",
}  # fmt: skip
_CRITICAL, _FIRST_LANE = 1, 2


def chrome_trace(traced: Traced) -> dict[str, Any]:
    """Return the JSON object of a Chrome trace."""
    events: list[dict[str, Any]] = []
    for number, trace in enumerate(traced.traces):
        events += _run(trace, number + 1, _label(traced, number))
    return {
        "displayTimeUnit": "ms",
        "otherData": {
            "workflow": printable(traced.workflow.name, 200),
            "seed": str(traced.seed),
            "plan_fingerprint": traced.fingerprint,
            "note": "simulated; several attempts of a visit show each component once, its seconds together",
        },
        "traceEvents": events,
    }


def _label(traced: Traced, number: int) -> str:
    trace, word = traced.traces[number], traced.labels[number]
    kind = f"{word} run {trace.run}" if word else f"run {trace.run}"
    return f"{printable(traced.workflow.name, 100)}: {kind}, {trace.outcome}"


def _run(trace: Trace, pid: int, label: str) -> Iterator[dict[str, Any]]:
    visits = ran(trace)
    lane_of = lanes(visits)
    yield _meta("process_name", pid, 0, name=label)
    yield _meta("process_sort_index", pid, 0, sort_index=pid)
    yield _meta("thread_name", pid, _CRITICAL, name="critical path")
    for lane in range(max(lane_of.values(), default=-1) + 1):
        yield _meta("thread_name", pid, _FIRST_LANE + lane, name=f"lane {lane + 1}")
    yield from _path(trace, pid)
    for visit in visits:
        yield from _visit(visit, pid, _FIRST_LANE + lane_of[visit.node])
    for name, seconds in (("first token", trace.ttft_s), ("answer", trace.e2e_s), ("all ended", last_end(trace))):
        yield {
            "name": name,
            "cat": "run",
            "ph": "i",
            "s": "p",
            "pid": pid,
            "tid": _CRITICAL,
            "ts": _us(nanoseconds(seconds)),
        }


def _path(trace: Trace, pid: int) -> Iterator[dict[str, Any]]:
    """The visits on the critical path, which fill the time up to the answer without a gap."""
    by_node = {visit.node: visit for visit in trace.visits}
    for node in trace.path:
        visit = by_node.get(node)
        if visit is not None and not visit.composite:
            yield from _visit(visit, pid, _CRITICAL)


def _visit(visit: Visit, pid: int, tid: int) -> Iterator[dict[str, Any]]:
    start, end = nanoseconds(visit.start_s), nanoseconds(visit.end_s)
    yield _slice(title(visit), "composite" if visit.composite else "step", pid, tid, start, end, args=_facts(visit))
    for piece in pieces(visit):
        yield _slice(piece.component, "component", pid, tid, piece.start, piece.end, cname=_COLOURS[piece.component])


def _facts(visit: Visit) -> dict[str, Any]:
    facts: dict[str, Any] = {"status": visit.status, "on the critical path": visit.critical}
    if visit.error:
        facts["error"] = visit.error
    if visit.backend:
        facts |= {"backend": printable(visit.backend, 200), "calls": visit.calls, "attempts": visit.attempts}
        facts |= {f"{kind} tokens": count for kind, count in visit.tokens.items() if count}
        facts["cost (USD)"] = visit.cost_usd
    return facts


def _slice(name: str, category: str, pid: int, tid: int, start: int, end: int, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "cat": category,
        "ph": "X",
        "pid": pid,
        "tid": tid,
        "ts": _us(start),
        "dur": _us(end - start),
        **more,
    }


def _meta(kind: str, pid: int, tid: int, **args: Any) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": pid, "tid": tid, "args": args}


def _us(nanoseconds: int) -> float:
    """Nanoseconds as microseconds, the format's unit."""
    return nanoseconds / 1000

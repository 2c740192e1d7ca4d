"""GuideLLM's ``benchmarks.json``: requests under benchmarks[i].requests.{successful, errored, incomplete}.

Its ``time_per_output_token_ms`` spreads TTFT over the tokens too; ``inter_token_latency_ms`` is the time that
a token after the first takes. Each benchmark of a sweep is a run of its own.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from agentflow.analysis.fitting.requests import Requests
from agentflow.importers.loadtest._rows import Row, collect
from agentflow.importers.loadtest._text import Record, Source, error_name

_NAN = float("nan")


def matches(data: Any) -> bool:
    """Whether parsed JSON looks like a GuideLLM report."""
    return isinstance(data, dict) and isinstance(data.get("benchmarks"), list)


def read(source: Source, data: Any) -> Requests:
    """Read the requests.

    Raises
    ------
    CalibrationError
        If the report holds no requests, or one is malformed.
    """
    rows: list[Row] = []
    cut = 0
    for run, benchmark in enumerate(data["benchmarks"]):
        groups = benchmark.get("requests") if isinstance(benchmark, dict) else None
        if not isinstance(groups, dict):
            way_out = "write the report as benchmarks.json, with its requests"
            raise source.fail_at(["benchmarks", run], "no 'requests' in this benchmark", way_out)
        rows += [_answered(record, run) for record in _records(source, groups, run, "successful")]
        rows += [_failed(record, run) for record in _records(source, groups, run, "errored")]
        cut += len(groups.get("incomplete") or [])
    notes = (f"{cut} requests cut off at the end of the test are left out",) if cut else ()
    last = max((r.start for r in rows if r.start == r.start), default=_NAN)
    return collect(
        rows,
        source=source.name,
        tool="GuideLLM",
        model=_model(data),
        date=_date(last),
        notes=notes,
    )


def _records(source: Source, groups: dict[str, Any], run: int, group: str) -> Iterator[Record]:
    for i, item in enumerate(groups.get(group) or []):
        path = ("benchmarks", run, "requests", group, i)
        if not isinstance(item, dict):
            raise source.fail_at(path, "this request is not an object", "remove it")
        yield Record(source, path, item)


def _answered(record: Record, run: int) -> Row:
    ttft = record.number("time_to_first_token_ms") / 1e3
    e2e = record.number("request_latency")
    if e2e < ttft:
        raise record.fail("request_latency", f"latency {e2e:g} s is less than TTFT {ttft:g} s", "remove it")
    tokens = record.count("output_tokens")
    gap = record.number("inter_token_latency_ms", default=_NAN) / 1e3
    return Row(
        ttft=ttft,
        e2e=e2e,
        decode=gap * (tokens - 1) if gap == gap and tokens > 1 else e2e - ttft,
        input_tokens=record.count("prompt_tokens", default=-1),
        output_tokens=tokens,
        start=record.number("request_start_time", "start_time", default=_NAN),
        run=run,
    )


def _failed(record: Record, run: int) -> Row:
    info = record.value.get("info")
    text = str(info.get("error") or "") if isinstance(info, dict) else ""
    text = text or str(record.value.get("error") or "")
    start = record.number("request_start_time", "start_time", default=_NAN)
    return Row(
        input_tokens=record.count("prompt_tokens", default=-1),
        error=error_name(None, text),
        start=start,
        run=run,
    )


def _model(data: dict[str, Any]) -> str:
    found: Any = data
    for key in ("config", "spec", "backend", "model"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def _date(seconds: float) -> str:
    if not 0.0 < seconds < 1e11:
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()

"""AIPerf: ``profile_export.jsonl``, a request a line, and the summary ``profile_export_aiperf.json``.

The summary has no requests, but percentiles; it becomes a quantile table, with no choice of family.
"""

from __future__ import annotations

import datetime
from typing import Any

from agentflow.analysis.fitting.requests import Requests, RequestSummary
from agentflow.importers.loadtest._rows import Row, collect
from agentflow.importers.loadtest._text import Record, Source, error_name, parse_json

_NAN = float("nan")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0, "milliseconds": 1e-3}
PERCENTILES = (5, 10, 25, 50, 75, 90, 95)


def matches_line(data: Any) -> bool:
    """Whether one parsed line looks like a request of ``profile_export.jsonl``."""
    return isinstance(data, dict) and "metadata" in data and ("metrics" in data or "error" in data)


def matches_summary(data: Any) -> bool:
    """Whether parsed JSON looks like ``profile_export_aiperf.json``."""
    return isinstance(data, dict) and "time_to_first_token" in data and "request_latency" in data


def read(source: Source) -> Requests:
    """Read the requests of a JSON-lines export; warm-up is left out.

    Raises
    ------
    CalibrationError
        If a line is not a request; the error names it.
    """
    rows, warm = [], 0
    for number, line in enumerate(source.text.split("\n"), start=1):
        if not line.strip():
            continue
        data = parse_json(source, line, number)
        if not matches_line(data):
            raise source.fail(number, "this line is not a request", "give AIPerf's profile_export.jsonl")
        metadata = data["metadata"] if isinstance(data["metadata"], dict) else {}
        if metadata.get("benchmark_phase") == "warmup":
            warm += 1
            continue
        rows.append(_row(source, number, data, metadata))
    notes = (f"{warm} warm-up requests are left out",) if warm else ()
    last = max((r.start for r in rows if r.start == r.start), default=_NAN)
    return collect(rows, source=source.name, tool="AIPerf", date=_date(last), notes=notes)


def _row(source: Source, line: int, data: dict[str, Any], metadata: dict[str, Any]) -> Row:
    stamp = metadata.get("request_start_ns")
    start = _NAN
    if isinstance(stamp, int) and not isinstance(stamp, bool) and 0 <= stamp < 10**20:
        start = stamp / 1e9
    error = data.get("error")
    if error or metadata.get("was_cancelled"):
        detail = error if isinstance(error, dict) else {"message": str(error or "cancelled")}
        text = f"{detail.get('type', '')} {detail.get('message', '')}"
        return Row(error=error_name(detail.get("code"), text), start=start)
    metrics = data.get("metrics")
    record = Record(source, (), _flatten(metrics if isinstance(metrics, dict) else {}), line)
    ttft, e2e = record.number("time_to_first_token"), record.number("request_latency")
    if e2e < ttft:
        raise record.fail("", f"request_latency {e2e:g} s is less than TTFT {ttft:g} s", "remove the line")
    return Row(
        ttft=ttft,
        e2e=e2e,
        decode=e2e - ttft,
        input_tokens=record.count("usage_prompt_tokens", "input_sequence_length", default=-1),
        output_tokens=record.count("usage_completion_tokens", "output_sequence_length", "output_token_count"),
        start=start,
    )


def _flatten(metrics: dict[str, Any]) -> dict[str, Any]:
    # {"value": 3.1, "unit": "ms"} -> seconds; counts and other units stay as they are.
    flat: dict[str, Any] = {}
    for name, entry in metrics.items():
        if isinstance(entry, dict) and "value" in entry:
            value, scale = entry["value"], _SECONDS.get(str(entry.get("unit")), 1.0)
            plain = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18
            flat[name] = value * scale if plain else value
    return flat


def read_summary(source: Source, data: Any) -> RequestSummary:
    """Read the percentiles of ``profile_export_aiperf.json``.

    Raises
    ------
    CalibrationError
        If a percentile is missing or malformed.
    """
    errors, fixed = data.get("request_error_rate"), _fixed
    share = Record(source, ("request_error_rate",), errors).number("avg", default=0.0) if errors else 0.0
    counts = Record(source, ("request_latency",), data["request_latency"])
    gap = _percentiles(source, data, "inter_token_latency")
    return RequestSummary(
        ttft=_percentiles(source, data, "time_to_first_token"),
        # the p-th percentile of speed is one over the (1-p)-th of the time a token
        decode_rate=tuple((round(1.0 - p, 6), 1.0 / max(g, 1e-9)) for p, g in reversed(gap)),
        e2e=_percentiles(source, data, "request_latency"),
        n=counts.count("count", default=0) or round(fixed(source, data, "request_count", "avg")),
        error_share=share / 100.0,
        input_tokens=fixed(source, data, "input_sequence_length", "p50"),
        output_tokens=fixed(source, data, "output_sequence_length", "p50"),
        source=source.name,
        tool="AIPerf",
        model=_model(data),
        date=str(data.get("start_time") or "")[:10],
    )


def _percentiles(source: Source, data: dict[str, Any], metric: str) -> tuple[tuple[float, float], ...]:
    entry = data.get(metric)
    if not isinstance(entry, dict):
        raise source.fail_at([metric], f"no metric {metric!r}", "run AIPerf with --streaming")
    record, scale = Record(source, (metric,), entry), _SECONDS.get(str(entry.get("unit")), 1.0)
    return tuple((p / 100.0, record.number(f"p{p}") * scale) for p in PERCENTILES)


def _fixed(source: Source, data: dict[str, Any], metric: str, key: str) -> float:
    entry = data.get(metric)
    return Record(source, (metric,), entry).number(key, "avg") if isinstance(entry, dict) else _NAN


def _model(data: dict[str, Any]) -> str:
    found: Any = data.get("input_config")
    for key in ("models", "items"):
        found = found.get(key) if isinstance(found, dict) else None
    first = found[0] if isinstance(found, list) and found else None
    name = first.get("name") if isinstance(first, dict) else None
    return name if isinstance(name, str) else ""


def _date(seconds: float) -> str:
    if not 0.0 < seconds < 1e11:
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()

"""vLLM ``bench serve --save-result --save-detailed``: one JSON object of parallel lists.

Its ``itls`` are the gaps between chunks, which hold several tokens each, so their sum is of use and their
mean is not: decoding takes latency - ttft, over n - 1 tokens.
"""

from __future__ import annotations

import re
from typing import Any

from agentflow.analysis.fitting.requests import Requests
from agentflow.importers.loadtest._rows import Row, collect
from agentflow.importers.loadtest._text import MOST, Record, Source, error_name


def matches(data: Any) -> bool:
    """Whether parsed JSON looks like vLLM's result file."""
    return isinstance(data, dict) and ("ttfts" in data or "mean_ttft_ms" in data) and "benchmarks" not in data


def read(source: Source, data: Any) -> Requests:
    """Read the requests.

    Raises
    ------
    CalibrationError
        If the file has no per-request lists, or they are malformed.
    """
    columns = {name: _column(source, data, name) for name in ("ttfts", "output_lens")}
    n = len(columns["ttfts"])
    for name in ("latencies", "itls", "input_lens", "errors", "start_times"):
        columns[name] = _column(source, data, name) if data.get(name) else [None] * n
    for name, values in columns.items():
        if len(values) != n:
            what = f"{name} has {len(values)} entries, ttfts {n}"
            raise source.fail_at([name], what, "the lists must be parallel: run the benchmark again")
    rows = [_row(source, {name: columns[name][i] for name in columns}, i) for i in range(n)]
    stamp = re.match(r"(\d{4})(\d\d)(\d\d)-", str(data.get("date", "")))
    return collect(
        rows,
        source=source.name,
        tool="vLLM bench serve",
        model=str(data.get("model_id") or ""),
        date="-".join(stamp.groups()) if stamp else "",
    )


def _column(source: Source, data: dict[str, Any], name: str) -> list[Any]:
    values = data.get(name)
    if not isinstance(values, list):
        way_out = "write it with: vllm bench serve --save-result --save-detailed"
        raise source.fail_at([name], f"no per-request list {name!r}", way_out)
    return values


class _Entry(Record):
    """A request that lies across the file's lists: its fields are found at [list, index]."""

    def fail(self, key: str, what: str, way_out: str) -> Any:
        index = self.path[0]
        return self.source.fail_at([key, index], f"request {index}: {what}", way_out)


def _row(source: Source, entry: dict[str, Any], index: int) -> Row:
    record = _Entry(source, (index,), entry)
    start = record.number("start_times", default=float("nan"), least=float("-inf"))
    inputs = record.count("input_lens", default=-1)
    if entry["errors"]:
        return Row(input_tokens=inputs, start=start, error=error_name(None, str(entry["errors"])))
    ttft, tokens = record.number("ttfts"), record.count("output_lens")
    gaps = entry["itls"] if isinstance(entry["itls"], list) else []
    e2e = record.number("latencies", default=ttft + _total(record, gaps))
    if e2e < ttft:
        raise record.fail("latencies", f"latency {e2e:g} s is less than TTFT {ttft:g} s", "remove the request")
    if tokens == 0 or ttft == 0.0:  # older versions mark a failure only by its empty answer
        return Row(input_tokens=inputs, start=start, error="server_error")
    return Row(ttft, e2e, e2e - ttft, inputs, tokens, "", start)


def _total(record: Record, gaps: list[Any]) -> float:
    if any(isinstance(g, bool) or not isinstance(g, int | float) or not 0.0 <= g <= MOST for g in gaps):
        raise record.fail("itls", "itls holds something that is not a duration", "remove the request")
    return float(sum(gaps))

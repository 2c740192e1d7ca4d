"""llmperf's individual responses: a JSON list, one object a request.

Its ``inter_token_latency_s`` spreads the whole latency, TTFT included, over the tokens; it is not read. Error
-100 marks an answer shorter than asked for: an answer all the same.
"""

from __future__ import annotations

from typing import Any

from agentflow.analysis.fitting.requests import Requests
from agentflow.importers.loadtest._rows import Row, collect
from agentflow.importers.loadtest._text import Record, Source, error_name

SHORT_ANSWER = -100


def matches(data: Any) -> bool:
    """Whether parsed JSON looks like llmperf's individual responses."""
    return isinstance(data, list) and any(
        isinstance(item, dict) and ("ttft_s" in item or "end_to_end_latency_s" in item) for item in data[:20]
    )


def is_summary(data: Any) -> bool:
    """Whether parsed JSON is llmperf's summary file, which holds no requests."""
    return isinstance(data, dict) and "results_ttft_s_quantiles_p50" in data


def read(source: Source, data: Any) -> Requests:
    """Read the requests.

    Parameters
    ----------
    source : Source
        The file.
    data : list
        Its parsed JSON.

    Returns
    -------
    Requests

    Raises
    ------
    CalibrationError
        If a record is malformed; the error names its line.
    """
    rows = []
    for i, item in enumerate(data):
        if not isinstance(item, dict):
            raise source.fail_at([i], "this entry is not an object", "remove it")
        rows.append(_row(Record(source, (i,), item)))
    return collect(rows, source=source.name, tool="llmperf")


def _row(record: Record) -> Row:
    code = record.value.get("error_code")
    inputs = record.count("number_input_tokens", default=-1)
    if code is not None and code != SHORT_ANSWER:
        message = str(record.value.get("error_msg") or "")
        return Row(input_tokens=inputs, error=error_name(code, message))
    ttft, e2e = record.number("ttft_s"), record.number("end_to_end_latency_s")
    if e2e < ttft:
        raise record.fail("end_to_end_latency_s", f"E2E {e2e:g} s is less than TTFT {ttft:g} s", "remove it")
    return Row(
        ttft=ttft,
        e2e=e2e,
        decode=e2e - ttft,
        input_tokens=inputs,
        output_tokens=record.count("number_output_tokens"),
        start=record.number("request_start_time", "start_time", default=float("nan")),
    )

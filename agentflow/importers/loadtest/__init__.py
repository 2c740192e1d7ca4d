"""Readers of load tests' result files, told apart by what the files hold.

`read_requests` takes llmperf, vLLM ``bench serve``, GuideLLM, AIPerf or CSV. Every malformed file ends in a
`CalibrationError` of the form ``file:line: what; way out``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agentflow.analysis.fitting.requests import Requests, RequestSummary
from agentflow.errors import UsageError
from agentflow.importers.loadtest import aiperf, guidellm, llmperf, table, vllm
from agentflow.importers.loadtest._text import Source, parse_json, read_source
from agentflow.importers.loadtest.table import parse_columns

__all__ = ["FORMATS", "detect", "parse_columns", "read_requests"]

FORMATS = ("llmperf", "vllm", "guidellm", "aiperf", "aiperf-summary", "csv")
"""Names that `read_requests` and ``--format`` take."""


def read_requests(
    path: str | Path,
    format: str | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, str] | None = None,
) -> Requests | RequestSummary:
    """Read a load test's result file.

    Parameters
    ----------
    path : str or Path
        The file.
    format : str, optional
        One of `FORMATS`; found from the content by default.
    columns, where : mapping, optional
        For CSV: field -> column, and column -> value that a row must have.

    Returns
    -------
    Requests or RequestSummary
        `RequestSummary` for AIPerf's ``profile_export_aiperf.json``, which has percentiles and no requests.

    Raises
    ------
    CalibrationError
        If the file is malformed or of no known format.
    UsageError
        If `format` is unknown.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"no format {format!r}; formats are {', '.join(FORMATS)}")
    source = read_source(path)
    kind = format or detect(source)
    if kind == "csv":
        return table.read(source, columns, where)
    if kind == "aiperf":
        return aiperf.read(source)
    data = parse_json(source)
    expected = {
        "llmperf": llmperf.matches,
        "vllm": vllm.matches,
        "guidellm": guidellm.matches,
        "aiperf-summary": aiperf.matches_summary,
    }
    if not expected[kind](data):
        raise source.fail(1, f"this is not a result file of {kind}", f"leave out --format, or use one of {FORMATS}")
    match kind:
        case "llmperf":
            return llmperf.read(source, data)
        case "vllm":
            return vllm.read(source, data)
        case "guidellm":
            return guidellm.read(source, data)
    return aiperf.read_summary(source, data)


def detect(source: Source) -> str:
    """Return the format of a file from its content.

    Raises
    ------
    CalibrationError
        If it is none of the known ones.
    """
    text = source.text.lstrip()
    if not text:
        raise source.fail(1, "the file is empty", "name a result file")
    if text[0] not in "{[":
        return "csv"
    first_line = text.split("\n", 1)[0]
    if "\n" in text and first_line.startswith("{") and first_line.rstrip().endswith("}"):
        return "aiperf"
    data = parse_json(source)
    if llmperf.is_summary(data):
        raise source.fail(1, "this is llmperf's summary", "give the file that ends in _individual_responses.json")
    for name, matches in (
        ("llmperf", llmperf.matches),
        ("guidellm", guidellm.matches),
        ("aiperf-summary", aiperf.matches_summary),
        ("aiperf", aiperf.matches_line),
        ("vllm", vllm.matches),
    ):
        if matches(data):
            return name
    known = "llmperf, vLLM bench serve, GuideLLM, AIPerf or CSV"
    raise source.fail(1, "not a result file that is known", f"known are {known}; convert it to CSV")

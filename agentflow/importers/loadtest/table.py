"""A plain CSV with a request a row; columns are found by usual names or mapped by hand.

A unit may stand in the column's name (``ttft_ms``) or in the mapping (``ttft=first_byte:ms``); else seconds.
Lines that begin with ``#`` at the top are comments.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
import re
from collections.abc import Mapping

from agentflow.analysis.fitting.requests import Requests
from agentflow.errors import UsageError, did_you_mean, listed
from agentflow.importers.loadtest._rows import Row, collect
from agentflow.importers.loadtest._text import MOST, Source, error_name

FIELDS: Mapping[str, tuple[str, ...]] = {
    "ttft": ("ttft", "time_to_first_token", "first_token", "first_token_time"),
    "e2e": (
        "e2e",
        "latency",
        "request_latency",
        "end_to_end_latency",
        "e2e_latency",
        "total_time",
        "duration",
    ),
    "tpot": ("tpot", "time_per_output_token", "decode_itl", "inter_token_latency", "itl"),
    "input": ("input_tokens", "in_tok", "prompt_tokens", "number_input_tokens", "input"),
    "output": ("output_tokens", "out_tok", "completion_tokens", "number_output_tokens", "output"),
    "status": ("status", "status_code", "http_status"),
    "error": ("error", "error_code", "error_message", "error_msg"),
    "start": ("start", "start_time", "request_start_time", "timestamp"),
    "date": ("date", "day"),
    "run": ("run", "run_id", "session", "session_id"),
}
"""What a column can be, and the names under which it is found (a unit's suffix aside)."""

_NAMES = {alias: field for field, aliases in FIELDS.items() for alias in (*aliases, field)}
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
_SUFFIX = re.compile(r"^(?P<name>.*?)[ _(\[]+(?P<unit>ns|us|ms|s|sec|seconds)[)\]]?$")
_ENDPOINT = ("provider", "model", "endpoint")  # columns that tell endpoints apart
_TIMES = ("ttft", "e2e", "tpot", "start")
_FINE = {
    "",
    "ok",
    "ok_short",
    "success",
    "succeeded",
    "completed",
    "none",
    "null",
    "nan",
    "200",
    "true",
    "0",
    "-100",
}


def parse_columns(text: str) -> dict[str, str]:
    """Parse the flag ``--columns ttft=first_byte_ms,e2e=total:ms,output=tokens``.

    Raises
    ------
    UsageError
        If a part is not FIELD=COLUMN, or the field is unknown.
    """
    mapping: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, sign, column = part.partition("=")
        name = _NAMES.get(name.strip().lower().replace("-", "_"), name.strip())
        if not sign or not column.strip():
            raise UsageError(f"--columns: {part!r} is not FIELD=COLUMN; for example ttft=first_token_ms")
        if name not in FIELDS:
            guess = did_you_mean(name, _NAMES)
            hint = (f"did you mean {guess!r}? " if guess else "") + f"The fields are {', '.join(FIELDS)}"
            raise UsageError(f"--columns: no field {name!r}; {hint}")
        mapping[name] = column.strip()
    return mapping


def read(source: Source, columns: Mapping[str, str] | None = None, where: Mapping[str, str] | None = None) -> Requests:
    """Read the requests of a CSV.

    Parameters
    ----------
    source : Source
        The file.
    columns : mapping, optional
        Field -> column name, with an optional ``:unit``.
    where : mapping, optional
        Column -> value: only rows that have it.

    Returns
    -------
    Requests

    Raises
    ------
    CalibrationError
        If a needed column is missing or a cell is not a number; the error names the line.
    """
    text, first = _body(source)
    reader = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(reader, [])]
    places = _places(source, first, header, columns or {})
    wanted = _filters(source, first, header, where or {})
    runs: dict[str, int] = {}
    seen: dict[int, set[str]] = {i: set() for i, name in enumerate(header) if name.lower() in _ENDPOINT}
    rows, days = [], set()
    try:
        for cells in reader:
            line = first + reader.line_num - 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                what = f"{len(cells)} cells, the header has {len(header)}"
                raise source.fail(line, what, "quote cells that hold commas")
            if all(cells[i].strip() == value for i, value in wanted.items()):
                rows.append(_row(source, line, cells, places, runs))
                days.update(_day(cells, places))
                for i, values in seen.items():
                    values.add(cells[i].strip())
    except csv.Error as error:
        raise source.fail(first + reader.line_num - 1, f"not readable as CSV ({error})", "correct it") from error
    if not rows:
        raise source.fail(first, "no rows" + (" that match --where" if where else ""), "name a file with requests")
    for i, values in seen.items():
        if len(values) > 1:
            what = f"rows of {len(values)} different {header[i]}s ({listed(sorted(values), 4)})"
            raise source.fail(first, what, f"a profile is of one: --where {header[i]}={sorted(values)[0]}")
    models = [v for i, values in seen.items() if header[i].lower() == "model" for v in values]
    model = models[0] if models else ""
    return collect(rows, source=source.name, tool="CSV", model=model, date=max(days, default=""))


Places = dict[str, tuple[int, float]]


def _body(source: Source) -> tuple[str, int]:
    lines = source.text.split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    return "\n".join(lines[first:]), first + 1


def _split_unit(name: str) -> tuple[str, float]:
    match = _SUFFIX.match(name.strip().lower())
    if match and match["name"]:
        return match["name"].strip(), _UNITS[match["unit"]]
    return name.strip().lower(), 1.0


def _places(source: Source, line: int, header: list[str], columns: Mapping[str, str]) -> Places:
    places: Places = {}
    for name, column in columns.items():
        plain, sign, unit = column.rpartition(":")
        if not sign or unit not in _UNITS or column in header:
            plain, unit = column, ""
        if plain not in header:
            guess = did_you_mean(plain, header)
            hint = f"did you mean {guess!r}?" if guess else f"the columns are {', '.join(header)[:200]}"
            raise source.fail(line, f"no column {plain!r}", hint)
        scale = _UNITS[unit] if unit else _split_unit(plain)[1] if name in _TIMES else 1.0
        places[name] = (header.index(plain), scale)
    bare = [_split_unit(name) for name in header]
    for name, aliases in FIELDS.items():
        found = [(aliases.index(b), i, scale) for i, (b, scale) in enumerate(bare) if b in aliases]
        if name not in places and found:
            _, index, scale = min(found)
            places[name] = (index, scale if name in _TIMES else 1.0)
    for name in ("ttft", "output"):
        if name not in places:
            raise source.fail(line, f"no column for {name}", f"name it: --columns {name}=COLUMN")
    if "e2e" not in places and "tpot" not in places:
        raise source.fail(line, "no column for e2e", "name it: --columns e2e=COLUMN")
    return places


def _filters(source: Source, line: int, header: list[str], where: Mapping[str, str]) -> dict[int, str]:
    for name in where:
        if name not in header:
            raise source.fail(line, f"no column {name!r} for --where", f"the columns are {', '.join(header)[:200]}")
    return {header.index(name): value for name, value in where.items()}


def _row(source: Source, line: int, cells: list[str], places: Places, runs: dict[str, int]) -> Row:
    def number(name: str, default: float = math.nan) -> float:
        if name not in places:
            return default
        index, scale = places[name]
        cell = cells[index].strip()
        if not cell:
            return default
        return _number(source, line, name, cell) * scale

    def word(name: str) -> str:
        return cells[places[name][0]].strip() if name in places else ""

    run = runs.setdefault(word("run"), len(runs))
    start = _moment(word("start"), places["start"][1]) if "start" in places else math.nan
    inputs = _count(number("input"))
    error = _error(word("status"), word("error"))
    if error:
        return Row(input_tokens=inputs, error=error, start=start, run=run)
    ttft, tokens, tpot = number("ttft"), _count(number("output")), number("tpot")
    e2e = number("e2e", ttft + tpot * max(tokens - 1, 0))
    if not ttft > 0.0:
        raise source.fail(line, "an answered request without a TTFT", "stream the answers, or mark the row failed")
    if not e2e >= ttft:
        raise source.fail(line, f"E2E {e2e:g} s is not at least the TTFT {ttft:g} s", "check the columns' units")
    return Row(ttft, e2e, e2e - ttft, inputs, tokens, "", start, run)


def _day(cells: list[str], places: Places) -> list[str]:
    text = cells[places["date"][0]].strip()[:10] if "date" in places else ""
    return [text] if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else []


def _moment(cell: str, scale: float) -> float:
    # Only ever compared with its like: what is neither a number nor a date is unknown, not an error.
    try:
        return float(cell) * scale
    except ValueError:
        pass
    try:
        return datetime.datetime.fromisoformat(cell).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _number(source: Source, line: int, name: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= MOST:
        raise source.fail(line, f"{name} is {cell[:40]!r}, not a number of at least 0", "correct or remove the row")
    return value


def _count(value: float) -> int:
    return round(min(value, 1e15)) if value == value else -1


def _error(status: str, error: str) -> str:
    plain_status, plain_error = status.lower(), error.lower().removesuffix(".0")
    if plain_status in _FINE and (plain_error in _FINE or plain_status in ("ok", "ok_short")):
        return ""
    return error_name(error or status, f"{status} {error}")

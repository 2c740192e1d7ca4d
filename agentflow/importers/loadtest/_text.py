"""Reading result files: bounded text, JSON whose errors name a line, numbers that are numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentflow.errors import CalibrationError

MAX_BYTES = 512 * 1024 * 1024
MOST = 1e12  # no time, count or time stamp in seconds is larger

Step = str | int
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Source:
    """A result file's name and text."""

    name: str
    text: str

    def fail(self, line: int, what: str, way_out: str) -> CalibrationError:
        """Return the error `file:line: what; way out`."""
        return CalibrationError(f"{self.name}:{line}: {what}; {way_out}")

    def fail_at(self, path: Sequence[Step], what: str, way_out: str) -> CalibrationError:
        """Return the error at the line where the value at `path` starts."""
        return self.fail(line_of(self.text, path), what, way_out)


def read_source(path: str | Path) -> Source:
    """Read a result file as UTF-8.

    Raises
    ------
    CalibrationError
        If the file cannot be read, is too large, or is not text.
    """
    file = Path(path)
    try:
        if file.is_dir():
            raise CalibrationError(f"{path}:1: this is a folder; name a result file")
        size = file.stat().st_size
        if size > MAX_BYTES:
            limit = MAX_BYTES // 1024**2
            raise CalibrationError(f"{path}:1: {size // 1024**2} MiB, more than {limit}; split the file")
        data = file.read_bytes()
    except OSError as error:
        raise CalibrationError(f"{path}:1: {error.strerror or error}; check the path") from error
    try:
        return Source(str(path), data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CalibrationError(f"{path}:{line}: not UTF-8 text; export the result as JSON or CSV") from error


def parse_json(source: Source, text: str | None = None, first_line: int = 1) -> Any:
    """Parse JSON; a syntax error names its line."""
    try:
        return json.loads(source.text if text is None else text)
    except json.JSONDecodeError as error:
        what = f"not valid JSON ({error.msg}, column {error.colno})"
        raise source.fail(first_line + error.lineno - 1, what, "was the file cut short?") from error
    except (RecursionError, ValueError) as error:
        raise source.fail(first_line, f"not readable as JSON ({error})", "export it again") from error


def line_of(text: str, path: Sequence[Step]) -> int:
    """Line, from 1, at which the value at `path` starts in a JSON text; its nearest ancestor's if absent."""
    at = _skip(text, 0)
    for step in path:
        child = _child(text, at, step)
        if child is None:
            break
        at = child
    return text.count("\n", 0, at) + 1


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _child(text: str, at: int, step: Step) -> int | None:
    opening, position = text[at : at + 1], 0
    if opening not in ("{", "[") or (opening == "{") != isinstance(step, str):
        return None
    at = _skip(text, at + 1)
    while text[at : at + 1] not in ("}", "]", ""):
        name: Step = position
        if opening == "{":
            name, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        if name == step:
            return at
        at = _skip(text, _DECODER.raw_decode(text, at)[1])
        at = _skip(text, at + 1) if text[at : at + 1] == "," else at
        position += 1
    return None


@dataclass(frozen=True)
class Record:
    """A JSON object and where it stands: fields are read with checks, errors name its line."""

    source: Source
    path: tuple[Step, ...]
    value: Mapping[str, Any]
    line: int | None = None  # known for JSON lines; found from the path when needed otherwise

    def fail(self, key: str, what: str, way_out: str) -> CalibrationError:
        """Return the error at this record's field."""
        if self.line is not None:
            return self.source.fail(self.line, what, way_out)
        return self.source.fail_at((*self.path, key), what, way_out)

    def number(self, key: str, *aliases: str, default: float | None = None, least: float = 0.0) -> float:
        """Return the first field of these names as a finite number of at least `least`.

        Raises
        ------
        CalibrationError
            If the value is not such a number, or it is missing and there is no default.
        """
        for name in (key, *aliases):
            found = self.value.get(name)
            if found is not None:
                return self._check(name, found, least)
        if default is None:
            raise self.fail(key, f"no field {key!r}", "was it written by a version that records it?")
        return default

    def _check(self, name: str, found: object, least: float) -> float:
        if isinstance(found, bool) or not isinstance(found, int | float) or found != found:
            raise self.fail(name, f"{name} is {_short(found)}, not a number", "correct or remove the record")
        if abs(found) > MOST:
            raise self.fail(name, f"{name} is {_short(found)}, beyond any measurement", "correct or remove it")
        if found < least:
            raise self.fail(name, f"{name} is {found:g}, below {least:g}", "correct or remove the record")
        return float(found)

    def count(self, key: str, *aliases: str, default: int | None = None) -> int:
        """Return a field as a whole number."""
        value = self.number(key, *aliases, default=default, least=-1.0 if default == -1 else 0.0)
        return round(min(value, 1e15))


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:37] + "..."


def error_name(code: object, message: str = "") -> str:
    """Return the schema's name of an HTTP status or a tool's message; "client" for the load test's own fault.

    Parameters
    ----------
    code : object
        HTTP status (429, "503"), or None.
    message : str
        What the tool recorded.
    """
    text = message.lower()
    status = _status(code, text)
    if status in (408, 504) or "timed out" in text or "timeout" in text:
        return "timeout"
    if status == 429 or "too many requests" in text or "rate limit" in text or "ratelimit" in text:
        return "rate_limit"
    if "context length" in text or "context_length" in text or status == 413:
        return "context_overflow"
    if "content_filter" in text or "content filter" in text or "content policy" in text:
        return "content_filter"
    if "cancel" in text or (status is not None and 400 <= status < 500):
        return "client"
    return "server_error"


def _status(code: object, text: str) -> int | None:
    if isinstance(code, int | float) and not isinstance(code, bool) and abs(code) < 1e6:
        return int(code)
    if isinstance(code, str) and re.fullmatch(r"-?\d{1,6}(\.0*)?", code.strip()):
        return int(float(code))
    found = re.search(r"\b([45]\d\d)\b", text)
    return int(found.group(1)) if found else None

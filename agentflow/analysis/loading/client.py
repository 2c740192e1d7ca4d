"""What SDK and framework cost the client: presets from measurement, and figures of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from agentflow import units
from agentflow.errors import UsageError, did_you_mean, listed, quoted
from agentflow.plan import Client

SOURCE = "measured on one machine with Python 3.11; the times of others differ"
"""Where the presets come from: CPU of a call and of a streamed chunk."""

PRESETS: Mapping[str, Client] = {
    name: Client(name, cpu_per_call=call, cpu_per_chunk=chunk, fixed=0.0012)
    for name, call, chunk in (
        ("openai", 0.0042, 0.00044),
        ("langgraph", 0.0071, 0.00057),
        ("openai-agents", 0.0088, 0.00052),
        ("pydantic-ai", 0.0137, 0.00080),
    )
}


def _whole(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100_000:
        raise ValueError("a whole number from 1 to 100,000 was expected")
    return value


def _share(text: str) -> float:
    value = units.parse_percent(text)
    if not 0.0 <= value <= 1.0:
        raise ValueError("a share from 0 to 100 % was expected")
    return value


_READERS: Mapping[str, Callable[[str], Any]] = {
    "cpu_per_call": units.parse_duration,
    "cpu_per_chunk": units.parse_duration,
    "fixed": units.parse_duration,
    "before": _share,
    "cores": _whole,
    "processes": _whole,
}


def parse_client(text: str) -> Client:
    """Read a client: a preset, figures, or a preset with figures, such as `langgraph,processes=4`.

    Raises
    ------
    UsageError
        If it makes no sense.
    """
    parts = [part.strip() for part in text.split(",")]
    if not any(parts):
        raise UsageError(f"--client {quoted(text)}: name one of {listed(list(PRESETS))}, or write cpu_per_call=4ms")
    name = "" if "=" in parts[0] else parts.pop(0)
    if name and name not in PRESETS:
        near = did_you_mean(name, PRESETS)
        said = f"did you mean '{near}'?" if near else f"there are {listed(list(PRESETS))}, or cpu_per_call=4ms"
        raise UsageError(f"--client {quoted(text)}: {said}")
    found = PRESETS[name] if name else Client(text, 0.0)
    for part in parts:
        key, _, value = part.partition("=")
        if key not in _READERS:
            raise UsageError(f"--client {quoted(text)}: {quoted(key)} is none of {listed(list(_READERS))}")
        try:
            found = replace(found, **{key: _READERS[key](value)})
        except ValueError as error:
            raise UsageError(f"--client {quoted(text)}: {key}: {error}") from None
    return replace(found, name=text)

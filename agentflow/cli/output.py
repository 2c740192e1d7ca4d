"""Where output goes: results to stdout, progress and warnings to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from agentflow.atomic import write_whole

if TYPE_CHECKING:
    from agentflow.analysis.scenario import Scenario
    from agentflow.result import Result

_SILENT = 0.5  # seconds before progress is shown


def stdout() -> Console:
    """Return the console for results: as wide as the terminal, or COLUMNS, or 80; what it cannot encode is a `?`."""
    if not (sys.stdout.encoding or "").lower().startswith("utf") and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False, emoji=False, markup=False)


def show(renderable: Any) -> None:
    """Print a table or a text."""
    stdout().print(renderable, soft_wrap=False)


def print_json(found: Any) -> None:
    """Print JSON, in ASCII; not a number and infinity do not occur in it."""
    print(json.dumps(found, indent=2, allow_nan=False))


def compact_json(found: Any) -> str:
    """Write JSON for programs, on one line."""
    return json.dumps(found, allow_nan=False, separators=(",", ":")) + "\n"


def write(text: str, path: Path | None) -> None:
    """Write a text to a file, whole or not at all, or to stdout where there is no path.

    Raises
    ------
    AgentflowError
        If the file cannot be written.
    """
    if path is None:
        sys.stdout.write(text)
        return
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def warn(text: str) -> None:
    """Print a warning."""
    print(text, file=sys.stderr)


def warn_of(results: Iterable[Result]) -> None:
    """Say which prompts are too long, what was extrapolated, what load does not move; each once."""
    said: dict[str, None] = {}
    for result in results:
        said.update(dict.fromkeys(filter(None, result.manifest.get("context", "").split("\n"))))
        if beyond := result.manifest.get("extrapolated"):
            said[f"{result.workflow}: extrapolated beyond what was measured: {beyond}"] = None
        if unmoved := result.manifest.get("unmoved_by_load"):
            said[
                f"diffusion does not batch continuously: however many runs share it, {unmoved} keeps its law of "
                "one load; write that load behind its name, such as @8"
            ] = None
    for text in said:
        warn(text)


def warn_of_prompts(scenario: Scenario) -> None:
    """Say which of a scenario's prompts are too long for their backends."""
    from agentflow.analysis.context import overflows

    for found in overflows(scenario.workflow, scenario.assignment):
        warn(str(found))


def announce_compiling(loaded: bool = False) -> None:
    """Say so when the first run on a machine has to compile the engine, or the one that simulates load."""
    from agentflow.engine import events_need_compile, needs_compile

    if events_need_compile() if loaded else needs_compile():
        warn(f"compiling the engine, once on this machine (about {40 if loaded else 20} s) ...")


@contextmanager
def progress() -> Iterator[Callable[[int, int], None] | None]:
    """Show progress on one line of stderr where that is a terminal, and only if it takes a while."""
    if not sys.stderr.isatty():
        yield None
        return
    begun, shown = time.monotonic(), False

    def tell(done: int, total: int) -> None:
        nonlocal shown
        if shown or (time.monotonic() - begun > _SILENT and done < total):
            sys.stderr.write(f"\r{done:,} of {total:,} runs ({100 * done // max(total, 1)} %)\x1b[K")
            sys.stderr.flush()
            shown = True

    try:
        yield tell
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

"""Where output goes: results to stdout, progress and warnings to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console


def stdout() -> Console:
    """Return the console for results; plain text of at most 110 columns where it is no terminal."""
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = 110
    return console


def show(renderable: Any) -> None:
    """Print a table or a text."""
    console = stdout()
    console.print(renderable, soft_wrap=False)


def print_json(found: Any) -> None:
    """Print JSON; not a number and infinity do not occur in it."""
    print(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))


def warn(text: str) -> None:
    """Print a warning."""
    print(text, file=sys.stderr)


def announce_compiling() -> None:
    """Say so when the first run on a machine has to compile the engine."""
    from agentflow.engine import needs_compile

    if needs_compile():
        warn("compiling the engine, once on this machine (about 20 s) ...")


@contextmanager
def progress() -> Iterator[Callable[[int, int], None] | None]:
    """Show progress on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(
        BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("runs", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

"""Backends as a table, and one backend's law as a table with bars."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentflow.analysis.directory import Entry, LawPoint
from agentflow.report.palette import COLOURS, SIGNS, seconds
from agentflow.report.text import grid, is_ascii, plain


def directory_table(entries: Sequence[Entry]) -> RenderableType:
    """Show backends in rows."""
    table = grid("backend", ">tok/s", ">TTFT", ">500 tok", ">$ in", ">$ out", "as of", "", wrap=(0,), gap=1)
    for entry in entries:
        table.add_row(
            plain(entry.name),
            _number(entry.tokens_per_s),
            _seconds(entry.ttft_s),
            _seconds(entry.total_500_s),
            _dollars(entry.input_usd),
            _dollars(entry.output_usd),
            f"{entry.as_of:%Y-%m}" if entry.as_of else "",
            "old" if entry.old else "" if entry.status == "current" else entry.status,
        )
    return Group(table, Text("medians; TTFT and 500 output tokens in seconds; dollars a million tokens", "dim"))


def law_table(points: Sequence[LawPoint], input_tokens: int, console: Console) -> Table:
    """Show what a call takes by output tokens: first token, then the rest, as bars of the p50."""
    table = grid(f"{input_tokens:,} tokens in", ">TTFT p50", ">p95", ">last p50", ">p95", "p50")
    most = max(point.total_s["p50"].value for point in points) or 1.0
    width, at = max(8, min(40, console.width - 62)), is_ascii(console)
    for point in points:
        first, last = point.ttft_s["p50"].value, point.total_s["p50"].value
        bar = Text(SIGNS["prefill"][at] * round(first / most * width), COLOURS["prefill"])
        bar.append(SIGNS["decode"][at] * (round(last / most * width) - len(bar)), COLOURS["decode"])
        table.add_row(
            f"{point.output_tokens:,} out",
            seconds(first),
            seconds(point.ttft_s["p95"].value),
            seconds(last),
            seconds(point.total_s["p95"].value),
            bar,
        )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _seconds(value: float | None) -> str:
    return "" if value is None else seconds(value)


def _dollars(per_token: float | None) -> str:
    return "" if per_token is None else f"{per_token * 1e6:.3g}"

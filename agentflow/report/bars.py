"""How latency stacks, as bars of characters: one colour and one sign a component."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.text import Text

from agentflow.analysis.compare import Case
from agentflow.analysis.stack import Bar, bars, by_component
from agentflow.analysis.summary import Summary
from agentflow.errors import printable
from agentflow.report.palette import COLOURS, SIGNS, portion, seconds
from agentflow.report.text import grid, is_ascii, plain

WIDEST = 60
"""Characters of the longest bar."""

MOST_STEPS = 40
"""Steps that get a bar of their own; the smallest of more are put together."""


def stacked(parts: dict[str, float], scale: float, ascii_only: bool, before: float = 0.0) -> Text:
    """Draw seconds by component as one bar; `scale` is characters a second."""
    bar, at, drawn = Text(" " * round(before * scale)), before, round(before * scale)
    for component, amount in parts.items():
        at += amount
        width = round(at * scale) - drawn
        drawn += width
        bar.append(SIGNS[component][ascii_only] * width, COLOURS[component])
    return bar


def legend(components: Iterable[str], ascii_only: bool) -> Text:
    """Explain the signs of the bars."""
    text = Text()
    for component in components:
        text.append("   " if text else "")
        text.append(SIGNS[component][ascii_only], COLOURS[component]).append(f" {component}", "dim")
    return text


def stack_table(summary: Summary, console: Console) -> RenderableType:
    """Show how latency stacks: one bar a step, where it stands on the mean critical path."""
    rows, ascii_only = bars(summary), is_ascii(console)
    total = sum(row.seconds for row in rows)
    if not rows or total <= 0:
        return Text("no time passes")
    shown = _largest(rows)
    title = "how latency stacks"
    names = max(len(title), *(len(printable(row.step, 28)) for row in shown))
    width = max(8, min(WIDEST, console.width - names - 20))
    table = grid(title, "mean critical path", ">seconds", ">share", wrap=(0,))
    for row in shown:
        bar = stacked(row.components_s, width / total, ascii_only, row.start_s)
        bar.truncate(width, pad=True)
        table.add_row(plain(row.step, limit=28), bar, seconds(row.seconds), portion(row.share))
    parts: list[RenderableType] = [table]
    if len(shown) < len(rows):
        rest = sum(row.seconds for row in rows) - sum(row.seconds for row in shown)
        parts.append(Text(f"and {len(rows) - len(shown)} smaller steps, {seconds(rest)} s together", "dim"))
    return Group(*parts, legend(by_component(summary.critical_mean_s), ascii_only))


def _largest(rows: list[Bar]) -> list[Bar]:
    """Return the largest bars, in their order."""
    if len(rows) <= MOST_STEPS:
        return rows
    least = sorted((row.seconds for row in rows), reverse=True)[MOST_STEPS - 1]
    return [row for row in rows if row.seconds >= least][:MOST_STEPS]


def case_bars(cases: list[Case], console: Console) -> RenderableType:
    """Show the mean answer time of scenarios, one bar each, by component."""
    ascii_only, title = is_ascii(console), "where they go"
    totals = [by_component(case.summary.critical_mean_s) for case in cases]
    most = max(sum(parts.values()) for parts in totals)
    if most <= 0:
        return Text("no time passes")
    names = min(40, max(len(title), *(len(printable(case.label, 40)) for case in cases)))
    width = max(8, min(WIDEST, console.width - names - 13))
    table = grid(title, "mean, by component", ">seconds", wrap=(0,))
    for case, parts in zip(cases, totals, strict=True):
        bar = stacked(parts, width / most, ascii_only)
        bar.truncate(width, pad=True)
        table.add_row(plain(case.label, limit=40), bar, seconds(sum(parts.values())))
    return Group(table, legend(dict.fromkeys(name for name in COLOURS if any(name in t for t in totals)), ascii_only))

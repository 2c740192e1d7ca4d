"""Pictures of where the seconds go, by matplotlib, which is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agentflow.analysis.insight.explain import Explanation
from agentflow.analysis.summary import Summary
from agentflow.errors import printable
from agentflow.report.figures import write_figure
from agentflow.report.palette import COLOURS, seconds, share

_MOST_ROWS = 40
_MOST_IN_PAGE = 20
_GREY = "#555555"


def titled(axes: Any, title: str, note: str) -> None:
    """Put a title and a line of explanation above the axes."""
    axes.set_title(title, loc="left", fontweight="bold", fontsize=12, pad=20)
    axes.annotate(note, (0, 1), xytext=(0, 6), xycoords="axes fraction", textcoords="offset points",
                  fontsize=9, color=_GREY)  # fmt: skip


def plot_explanation(explanation: Explanation, path: Path) -> None:
    """Draw each step's seconds on the critical path by component, of the mean run beside those of a slow one."""
    size, draw = _where(explanation.summary, explanation.tail_runs)
    write_figure(path, size, draw)


def where_svg(summary: Summary, tail_runs: int) -> str:
    """Return the same picture as an element of a page."""
    from agentflow.report.inline_svg import inline_svg

    size, draw = _where(summary, tail_runs, title=False, most_rows=_MOST_IN_PAGE)
    name = f"Seconds on the critical path by step and component, mean of all runs and of the {tail_runs:,} slowest"
    return inline_svg(size, draw, name)


def _where(
    summary: Summary, tail_runs: int, title: bool = True, most_rows: int = _MOST_ROWS
) -> tuple[tuple[float, float], Callable[[Any], None]]:
    """Return the size and the drawing of where the seconds go."""
    mean, tail = summary.critical_mean_s, (summary.critical_tail_s or {}) if tail_runs else {}
    total = {step.path: sum(mean.get(step.path, tail.get(step.path, {})).values()) for step in summary.steps}
    most = set(sorted((path for path in total if total[path] > 0.0), key=lambda path: -total[path])[:most_rows])
    steps = [step.path for step in summary.steps if step.path in most]
    panels = [("mean of all runs", mean)]
    if tail_runs:
        panels.append((f"mean of the {tail_runs:,} slowest runs", tail))

    def draw(figure: Any) -> None:
        rows = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (note, found) in zip(rows, panels, strict=True):
            whole = sum(sum(row.values()) for row in found.values())
            _bars(axes, [found.get(step, {}) for step in steps], whole)
            axes.tick_params(axis="y", length=0)
            axes.annotate(f"{note}: {seconds(whole)} s", (0, 1), xytext=(0, 6), xycoords="axes fraction",
                          textcoords="offset points", fontsize=9, color=_GREY)  # fmt: skip
        rows[0].set_yticks(range(len(steps))[::-1], [printable(step, 40) for step in steps])
        of = sum(amount > 0.0 for amount in total.values())
        rows[0].set_ylabel("step" if len(steps) == of else f"step (the {len(steps)} of {of} with the most seconds)")
        if title:
            places = ", ".join(sorted(set(summary.assignment.values())))
            text = f"{summary.workflow} on {places}" if places else summary.workflow
            figure.suptitle(printable(text, 80), x=0.01, ha="left", fontweight="bold", fontsize=12)
        _legend(figure, rows)

    return (9.6, 2.0 + 0.36 * len(steps)), draw


def _bars(axes: Any, parts: Sequence[dict[str, float]], total: float) -> None:
    """Draw one stacked bar a step, with its share behind it."""
    places = range(len(parts))[::-1]
    left = [0.0] * len(parts)
    for component, colour in COLOURS.items():
        widths = [row.get(component, 0.0) for row in parts]
        if any(widths):
            axes.barh(places, widths, left=left, color=colour, label=component, height=0.64)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, end in zip(places, left, strict=True):
        note = f"{seconds(end)} s, {share(end / total)}" if total > 0.0 else ""
        axes.annotate(note, (end, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5,
                      color="#333333")  # fmt: skip
    axes.set_xlim(0, max([*left, 1e-9]) * 1.42)
    axes.set_ylim(-0.6, len(parts) - 0.4)
    axes.set_xlabel("time on the critical path (s)")
    axes.xaxis.grid(True, color="#DDDDDD")
    axes.set_axisbelow(True)


def _legend(figure: Any, rows: Sequence[Any]) -> None:
    """Name the components once, below."""
    named: dict[str, Any] = {}
    for axes in rows:
        named |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = [name for name in COLOURS if name in named]
    if order:
        handles = [named[name] for name in order]
        figure.legend(handles, order, ncols=min(7, len(order)), frameon=False, loc="outside lower center", fontsize=9)

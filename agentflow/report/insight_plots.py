"""Pictures of where the seconds go, by matplotlib, which is imported only when one is drawn."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agentflow.analysis.explain import Explanation
from agentflow.errors import AgentflowError, printable
from agentflow.report.palette import COLOURS, seconds, share
from agentflow.report.plots import _METADATA, _STYLE

_MOST_ROWS = 40
_GREY = "#555555"


def write_figure(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    """Draw on a figure of this size (inches) and write it whole or not at all."""
    import matplotlib
    from matplotlib.figure import Figure

    partial = path.with_name(f".{path.name}.part{path.suffix}")
    try:
        with matplotlib.rc_context(_STYLE):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure)
            figure.savefig(partial, dpi=150, metadata=_METADATA[path.suffix.lower()])
        os.replace(partial, path)
    except OSError as error:
        raise AgentflowError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def titled(axes: Any, title: str, note: str) -> None:
    """Put a title and a line of explanation above the axes."""
    axes.set_title(title, loc="left", fontweight="bold", fontsize=12, pad=20)
    axes.annotate(note, (0, 1), xytext=(0, 6), xycoords="axes fraction", textcoords="offset points",
                  fontsize=9, color=_GREY)  # fmt: skip


def plot_explanation(explanation: Explanation, path: Path) -> None:
    """Draw each step's seconds on the critical path by component, of the mean run beside those of a slow one."""
    steps = [step for step in explanation.steps if step.mean_s or step.tail_s]
    steps = sorted(steps, key=lambda step: -sum(step.mean_s.values()))[:_MOST_ROWS]
    steps = [step for step in explanation.steps if step in steps]
    panels = [("mean of all runs", [step.mean_s for step in steps], explanation.mean_total_s)]
    if explanation.tail_runs:
        note = f"mean of the {explanation.tail_runs:,} slowest runs"
        panels.append((note, [step.tail_s for step in steps], explanation.tail_total_s))

    def draw(figure: Any) -> None:
        rows = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (note, parts, total) in zip(rows, panels, strict=True):
            _bars(axes, parts, total)
            axes.tick_params(axis="y", length=0)
            axes.annotate(f"{note}: {seconds(total)} s", (0, 1), xytext=(0, 6), xycoords="axes fraction",
                          textcoords="offset points", fontsize=9, color=_GREY)  # fmt: skip
        rows[0].set_yticks(range(len(steps))[::-1], [printable(step.path, 40) for step in steps])
        rows[0].set_ylabel("step")
        places = ", ".join(sorted(set(explanation.summary.assignment.values())))
        title = f"{explanation.summary.workflow} on {places}" if places else explanation.summary.workflow
        figure.suptitle(printable(title, 80), x=0.01, ha="left", fontweight="bold", fontsize=12)
        _legend(figure, rows)

    write_figure(path, (9.6, 2.0 + 0.36 * len(steps)), draw)


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

"""Pictures by matplotlib, which is imported only when one is drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from agentflow.analysis.compare import Comparison
from agentflow.analysis.directory import LawPoint
from agentflow.analysis.stack import bars, by_component
from agentflow.analysis.summary import Summary
from agentflow.errors import printable
from agentflow.report.figures import METADATA, STYLE, write_figure
from agentflow.report.palette import COLOURS, seconds, share
from agentflow.report.text import runs

_MOST_ROWS = 40


@dataclass(frozen=True)
class Row:
    """One bar: its label, where it starts (s), its seconds by component, what is written behind it, its whisker."""

    label: str
    start: float
    parts: dict[str, float]
    note: str
    whisker: tuple[float, float] | None = None

    @property
    def end(self) -> float:
        """Where the bar or its whisker ends, in seconds."""
        return max(self.start + sum(self.parts.values()), self.whisker[1] if self.whisker else 0.0)


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """Draw the stacked latency, one bar a scenario, with a whisker from p50 to p95."""
    picture = _comparison(comparison)
    write_figure(path, _size(picture), partial(_draw, picture))


def plot_summary(summary: Summary, path: Path) -> None:
    """Draw one scenario: a bar a step, where it stands on the mean critical path, and the whole below."""
    picture = _summary(summary)
    write_figure(path, _size(picture), partial(_draw, picture))


def comparison_svg(comparison: Comparison) -> str:
    """Return the same picture as an SVG element, for a page."""
    return _inline(_comparison(comparison))


def summary_svg(summary: Summary) -> str:
    """Return the same picture as an SVG element, for a page."""
    return _inline(_summary(summary))


@dataclass(frozen=True)
class _Picture:
    rows: Sequence[Row]
    kind: str
    title: str
    note: str


def _comparison(comparison: Comparison) -> _Picture:
    cases = sorted(comparison.cases, key=lambda case: case.summary.e2e_s["p50"].value)
    names = sorted({case.summary.workflow for case in cases})
    rows = [_whole(case.label, case.summary) for case in cases]
    note = "bars: mean by component; whiskers: p50 to p95"
    return _Picture(rows, "scenario", ", ".join(names), f"{note}; {runs(cases[0].summary.runs, ' each')}")


def _summary(summary: Summary) -> _Picture:
    steps = [
        Row(bar.step, bar.start_s, bar.components_s, f"{seconds(bar.seconds)} s, {share(bar.share)}")
        for bar in bars(summary)
    ]
    if len(steps) > _MOST_ROWS:
        steps = []
    places = ", ".join(sorted(set(summary.assignment.values())))
    note = f"mean critical path by step and component; whisker: p50 to p95; {runs(summary.runs)}"
    title = f"{summary.workflow} on {places}" if places else summary.workflow
    return _Picture([*steps, _whole("the whole", summary)], "step", title, note)


def plot_law(name: str, points: Sequence[LawPoint], input_tokens: int, path: Path) -> None:
    """Draw what a call takes against its output tokens: first and last token, p50 to p95."""
    tokens = [point.output_tokens for point in points]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for label, column, colour in (("last token", "total_s", "decode"), ("first token", "ttft_s", "prefill")):
            low = [getattr(point, column)["p50"].value for point in points]
            high = [getattr(point, column)["p95"].value for point in points]
            axes.fill_between(tokens, low, high, color=COLOURS[colour], alpha=0.3, linewidth=0)
            axes.plot(tokens, low, "o-", color=COLOURS[colour], label=f"{label}, p50 (band to p95)")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(tokens, [f"{count:,}" for count in tokens])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda value, _: seconds(value))
        axes.set_xlabel("output tokens")
        axes.set_ylabel("time from sending the call (s)")
        axes.set_title(f"{printable(name, 60)}, {input_tokens:,} tokens in", loc="left", fontweight="bold")
        axes.yaxis.grid(True, color="#DDDDDD")
        axes.legend(frameon=False)

    write_figure(path, (7.2, 4.2), draw)


def _whole(label: str, summary: Summary) -> Row:
    """Return the bar of a whole scenario."""
    p50, p95 = summary.e2e_s["p50"].value, summary.e2e_s["p95"].value
    note = f"p50 {seconds(p50)} s, p95 {seconds(p95)} s"
    return Row(label, 0.0, by_component(summary.critical_mean_s), note, (p50, p95))


def _inline(picture: _Picture) -> str:
    """Draw a picture as an element of a page, its texts as text, with a name for those who do not see it."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    drawn = io.StringIO()
    settings: Any = STYLE | {"svg.fonttype": "none"}
    with rc_context(settings):
        figure = Figure(figsize=_size(picture), layout="constrained")
        _draw(picture, figure)
        figure.savefig(drawn, dpi=150, format="svg", metadata=METADATA[".svg"])
    text = drawn.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style[^>]*>\*\{.*?</style>", "", text, flags=re.DOTALL)  # which would hold for all of the page
    name = escape(printable(f"{picture.title}: {picture.note}", 300))
    head = f'<svg role="img" aria-label="{name}" stroke-linejoin="round" stroke-linecap="butt" '
    return head + text[text.index("<svg") + 4 :].strip()


def _size(picture: _Picture) -> tuple[float, float]:
    """Return the size of a picture (inches)."""
    return 8.6, 1.6 + 0.42 * len(picture.rows)


def _draw(picture: _Picture, figure: Any) -> None:
    """Draw the rows, the first on top."""
    axes = figure.subplots()
    _bars(axes, picture.rows)
    _frame(figure, axes, picture)


def _frame(figure: Any, axes: Any, picture: _Picture) -> None:
    """Put the title, the axis and the legend outside the bars."""
    axes.set_title(printable(picture.title, 60), loc="left", fontweight="bold", fontsize=12, pad=20)
    axes.annotate(picture.note, (0, 1), xytext=(0, 6), xycoords="axes fraction", textcoords="offset points",
                  fontsize=9, color="#555555")  # fmt: skip
    axes.annotate(picture.kind, (0, 1), xytext=(-6, 6), xycoords="axes fraction", textcoords="offset points",
                  fontsize=9, color="#555555", ha="right")  # fmt: skip
    axes.set_xlabel("time from the request to the answer (s)")
    axes.xaxis.grid(True, color="#DDDDDD")
    axes.set_axisbelow(True)
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        columns = min(7, len(labels))
        figure.legend(handles, labels, ncols=columns, frameon=False, loc="outside lower center", fontsize=9)


def _bars(axes: Any, rows: Sequence[Row]) -> None:
    """Draw the bars and what belongs to each."""
    from matplotlib.patheffects import Normal, Stroke

    most = max(max(row.end for row in rows), 1e-9)
    places = list(range(len(rows)))[::-1]
    left = [row.start for row in rows]
    for component, colour in COLOURS.items():
        widths = [row.parts.get(component, 0.0) for row in rows]
        if any(widths):
            label = component if max(widths) > 0.002 * most else None  # what nobody could see needs no legend
            axes.barh(places, widths, left=left, color=colour, label=label, height=0.64)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    halo = [Stroke(linewidth=3.0, foreground="white"), Normal()]
    for place, row in zip(places, rows, strict=True):
        if row.whisker is not None:
            ends: Any = {"color": "black", "linewidth": 1.3, "markeredgewidth": 1.3, "markersize": 9}
            axes.plot(row.whisker, [place, place], "-", solid_capstyle="butt", path_effects=halo, **ends)
            axes.plot(row.whisker, [place, place], "|", **ends)
        axes.annotate(row.note, (row.end, place), xytext=(6, 0), textcoords="offset points",
                      va="center", fontsize=8.5, color="#333333")  # fmt: skip
    axes.set_yticks(places, [printable(row.label, 40) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    longest = max(row.end / most + 0.0108 * len(row.note) for row in rows)  # a letter is about 1 % of the axis
    axes.set_xlim(0, most * longest * 1.03)

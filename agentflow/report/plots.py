"""Pictures by matplotlib, which is imported only when one is drawn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from agentflow.analysis.compare import Comparison
from agentflow.analysis.stack import by_component
from agentflow.analysis.summary import Summary
from agentflow.errors import UsageError, printable
from agentflow.report.palette import COLOURS, seconds

FORMATS = (".png", ".svg", ".pdf")
_STYLE: Any = {
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "svg.hashsalt": "agentflow",
    "text.parse_math": False,
    "figure.facecolor": "white",
}


def check_plot(path: Path) -> None:
    """Refuse a picture that cannot be written, before anything is simulated."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--plot {path}: the name must end in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.parent}")


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """Draw the stacked latency, one bar a scenario, with a whisker from p50 to p95."""
    cases = sorted(comparison.cases, key=lambda case: case.summary.e2e_s["p50"].value)
    names = sorted({case.summary.workflow for case in cases})
    rows = [(case.label, case.summary) for case in cases]
    _draw(rows, f"{', '.join(names)}: seconds to the answer", path)


def plot_summary(summary: Summary, path: Path) -> None:
    """Draw one scenario as one bar."""
    places = sorted(set(summary.assignment.values()))
    _draw([(", ".join(places) or summary.workflow, summary)], f"{summary.workflow}: seconds to the answer", path)


def _draw(rows: list[tuple[str, Summary]], title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(8.6, 1.5 + 0.46 * len(rows)), layout="constrained")
        _bars(axes, rows)
        axes.set_title(printable(title, 100), loc="left", fontweight="bold", fontsize=12)
        axes.set_xlabel("seconds from the request to the answer (bar: mean by component, whisker: p50 to p95)")
        axes.xaxis.grid(True, color="#DDDDDD")
        axes.set_axisbelow(True)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, ncols=min(6, len(labels)), frameon=False, loc="outside lower center", fontsize=9)
        metadata: dict[str, Any] = {"Date": None} if path.suffix.lower() == ".svg" else {}
        if path.suffix.lower() == ".pdf":
            metadata = {"CreationDate": None}
        partial = path.with_name(f".{path.name}.part{path.suffix}")
        try:
            figure.savefig(partial, dpi=150, metadata=metadata)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
            plt.close(figure)


def _bars(axes: Any, rows: list[tuple[str, Summary]]) -> None:
    totals = [by_component(summary.critical_mean_s) for _, summary in rows]
    left = [0.0] * len(rows)
    places = list(range(len(rows)))[::-1]
    for component, colour in COLOURS.items():
        widths = [parts.get(component, 0.0) for parts in totals]
        if not any(widths):
            continue
        axes.barh(places, widths, left=left, color=colour, label=component, height=0.62)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, (_, summary) in zip(places, rows, strict=True):
        p50, p95 = summary.e2e_s["p50"].value, summary.e2e_s["p95"].value
        axes.plot([p50, p95], [place, place], color="black", linewidth=1.2, solid_capstyle="butt")
        axes.plot([p50, p95], [place, place], "|", color="black", markersize=9)
        axes.annotate(f"  p50 {seconds(p50)} s, p95 {seconds(p95)} s", (max(p95, left[len(rows) - 1 - place]), place),
                      va="center", fontsize=8.5, color="#333333")  # fmt: skip
    axes.set_yticks(places, [printable(label, 40) for label, _ in rows])
    axes.tick_params(axis="y", length=0)
    most = max(max(s.e2e_s["p95"].value for _, s in rows), *left, 1e-9)
    axes.set_xlim(0, most * 1.32)

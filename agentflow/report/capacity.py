"""How much load scenarios bear, as a table and as a picture: p50 and p95 against load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from agentflow.analysis.loading.capacity import CapacityReport
from agentflow.report.figures import write_figure
from agentflow.report.insight_plots import titled
from agentflow.report.palette import seconds, share
from agentflow.report.text import grid, plain, rate_interval

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5D3A9B", "#999999")


def capacity_table(reports: Sequence[CapacityReport]) -> RenderableType:
    """Show the highest arrival rate of each scenario."""
    slo = reports[0].slo
    table = grid(f"holds {slo.text} up to", ">runs/s", "95 % interval", ">busy", ">alone", "first used up", wrap=(0, 5))
    for report in reports:
        table.add_row(plain(report.label, limit=40), *_rate(report), f"{seconds(report.alone.value)} s", _bound(report))
    notes = [note for report in reports if (note := _note(report))]
    return Group(table, *(Text() for _ in notes[:1]), *(Text(note, "dim") for note in notes))


def _rate(report: CapacityReport) -> tuple[RenderableType, RenderableType, str]:
    if report.rate is None:
        return Text("any", "bold"), "", "-"
    busy = max((r.utilisation.value for r in report.at.resources), default=None) if report.at is not None else None
    found = Text(f"{report.rate.value:.3g}", "bold")
    return found, Text(rate_interval(report.rate), "dim"), "-" if busy is None else share(busy)


def _bound(report: CapacityReport) -> str:
    return "nothing is shared" if report.bound is None else f"{report.bound[1]}, at {report.bound[0]:.3g} runs/s"


def _note(report: CapacityReport) -> str:
    """Say what the rate alone does not."""
    if report.bound is None:
        tiers = f"choose a tier with --tier ({', '.join(report.tiers)}), or " if report.tiers else ""
        return (
            f"{report.label}: no backend has a capacity or a tier's rate limit, so runs do not meet; {tiers}write a "
            "capacity into the backend's document"
        )
    if report.rate is not None and report.rate.value == 0.0:
        return f"{report.label}: a run that is alone takes {seconds(report.alone.value)} s already"
    if report.saturates:
        return f"{report.label}: it holds up to the load that {report.bound[1]} can bear; beyond that it is unstable"
    return ""


def plot_capacity(reports: Sequence[CapacityReport], path: Path) -> None:
    """Draw p50 and p95 against the arrival rate, one colour a scenario, with the objective's limit."""
    slo = reports[0].slo

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for i, report in enumerate(report for report in reports if report.points):
            colour = _COLOURS[i % len(_COLOURS)]
            rates = [point.rate for point in report.points]
            axes.plot(rates, [point.p95.value for point in report.points], color=colour, label=report.label)
            axes.plot(rates, [point.p50.value for point in report.points], color=colour, linestyle="--")
            low, high = ([getattr(p.p95, end) or p.p95.value for p in report.points] for end in ("low", "high"))
            axes.fill_between(rates, low, high, color=colour, alpha=0.2, linewidth=0)
            if report.rate is not None and report.rate.value > 0.0:
                axes.axvline(report.rate.value, color=colour, linestyle=":", linewidth=1)
        axes.axhline(slo.limit, color="#555555", linewidth=1)
        axes.set_yscale("log")
        for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis(lambda value, _: seconds(value))
        axes.set_xlabel("arrivals (runs/s)")
        axes.set_ylabel("time to the answer (s)")
        titled(axes, f"Load and {slo.text}", "p95 with its interval, p50 dashed; dotted: the highest rate that holds")
        if axes.lines:
            axes.legend(frameon=False)

    write_figure(path, (7.5, 4.5), draw)

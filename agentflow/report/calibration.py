"""A calibration on the terminal, and as a QQ plot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentflow.analysis.fitting.calibration import Calibration, QuantileRow
from agentflow.analysis.fitting.fit import Fit
from agentflow.report.text import grid
from agentflow.units import format_duration, format_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLES = {"ttft_s": "TTFT", "decode_rate": "decode rate", "e2e_s": "E2E"}


def calibration_report(calibration: Calibration) -> RenderableType:
    """Return the report: what was chosen, fitted beside measured quantiles, what the data cannot support.

    Parameters
    ----------
    calibration : Calibration
        What `agentflow.analysis.fitting.calibrate.calibrate` returned.

    Returns
    -------
    rich renderable
    """
    backend = calibration.backend
    failed = "".join(f", {n} {kind}" for kind, n in calibration.failed.items())
    head = Text(f"{backend.name}: {calibration.answered} answered requests{failed}", style="bold")
    notes = [Text(f"note: {note}") for note in calibration.notes]
    return Group(head, *_families(calibration), _quantiles(calibration.quantiles), *notes)


def _families(calibration: Calibration) -> Iterator[RenderableType]:
    for title, chosen in (("TTFT", calibration.ttft), ("decode rate", calibration.decode_rate)):
        yield Text(f"{title}: {chosen.family}{_runners_up(chosen)}")


def _runners_up(chosen: Fit) -> str:
    if not chosen.candidates:
        return f" ({chosen.note})" if chosen.note else ""
    own = next(c.score for c in chosen.candidates if c.family == chosen.family)
    others = [c for c in chosen.candidates if c.family != chosen.family][:3]
    gaps = ", ".join(f"{c.family} {c.score - own:+.3f}" for c in others)
    return f" (held-out likelihood, nats a request against it: {gaps})"


def _quantiles(rows: tuple[QuantileRow, ...]) -> Table:
    table = grid("quantity", ">p", ">measured", ">95 % interval", ">fitted", ">error")
    last = ""
    for row in rows:
        low, high = row.measured.low, row.measured.high
        if low is None or high is None:  # a quantile beyond the data: an error against it says nothing
            interval = f"needs {row.measured.runs_needed}" if row.measured.runs_needed else ""
        else:
            interval = f"[{_show(row, low)}, {_show(row, high)}]"
        table.add_row(
            _TITLES[row.quantity] if row.quantity != last else "",
            f"p{100 * row.probability:g}",
            _show(row, row.measured.value),
            interval,
            _show(row, row.fitted),
            f"{row.error:+.1%}" if row.measured.runs_needed == 0 else "",
        )
        last = row.quantity
    return table


def _show(row: QuantileRow, value: float) -> str:
    return format_rate(value) if row.quantity == "decode_rate" else format_duration(value)


def qq_plot(calibration: Calibration) -> Figure:
    """Plot measured against fitted quantiles, one point a request, for TTFT and the decode rate.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``savefig``; no window is opened.

    Raises
    ------
    ValueError
        If the calibration comes from a summary and has no requests to plot.
    """
    if not calibration.qq:
        raise ValueError("no requests to plot: the file was a summary")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    units = {"ttft_s": "s", "decode_rate": "tok/s"}
    fits = {"ttft_s": calibration.ttft, "decode_rate": calibration.decode_rate}
    for axes, (name, (fitted, measured)) in zip(figure.subplots(1, 2), calibration.qq.items(), strict=True):
        ends = [min(fitted[0], measured[0]), max(fitted[-1], measured[-1])]
        axes.plot(ends, ends, color="0.6", linewidth=1.0)
        axes.plot(fitted, measured, ".", markersize=4.0)
        axes.set_title(f"{_TITLES[name]}: {fits[name].family}, n = {len(measured)}")
        axes.set_xlabel(f"fitted ({units[name]})")
        axes.set_ylabel(f"measured ({units[name]})")
    figure.suptitle(calibration.backend.name)
    return figure

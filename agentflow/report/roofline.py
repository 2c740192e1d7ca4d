"""Print and plot the bounds of deployments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from agentflow.analysis.bounds import Bounds
from agentflow.units import format_bandwidth, format_flops

_COLOURS = ("#3366aa", "#cc6633", "#448844", "#aa4477", "#888833", "#448899")


def bounds_table(result: Bounds) -> Table:
    """Show a row a batch size, with the two bounds in the title.

    Parameters
    ----------
    result : Bounds
    """
    title = (
        f"{result.model} on {result.chips} x {result.chip}: compute bound "
        f"{_figures(result.compute_bound)} passes/s a chip, memory bound {_figures(result.memory_bound)}; "
        f"{_figures(result.input_rate)} input tok/s a chip"
    )
    table = Table(title=title, title_justify="left")
    for name in ("batch", "tok/s a user", "tok/s a chip", "$/Mtok", "J/tok", "compute", "bandwidth", "bound"):
        table.add_column(name, justify="left" if name == "bound" else "right")
    for p in result.points:
        table.add_row(
            f"{p.batch:g}", _figures(p.per_user), _figures(p.per_chip),
            "-" if p.usd_per_mtok is None else f"{p.usd_per_mtok:.3g}",
            "-" if p.joules_per_token is None else f"{p.joules_per_token:.3g}",
            f"{100 * p.compute_share:.1f} %", f"{100 * p.bandwidth_share:.0f} %",
            p.bound if p.fits else f"{p.bound}; caches do not fit",
        )  # fmt: skip
    return table


def plot_roofline(results: Sequence[Bounds], path: str | Path) -> None:
    """Draw FLOP/s a chip over FLOP a byte: the roof of each chip, and each deployment's batches under it.

    Parameters
    ----------
    results : sequence of Bounds
    path : str or Path
        PNG, SVG or PDF, by suffix.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for i, result in enumerate(results):
        colour = _COLOURS[i % len(_COLOURS)]
        knee = result.peak / result.bandwidth
        roof = [0.5, knee, 8 * knee]
        axes.plot(roof, [min(result.bandwidth * x, result.peak) for x in roof], color=colour, linewidth=1.5)
        reached = [p.per_chip * result.flop for p in result.points if p.fits]
        intensity = [
            max(f / max(p.bandwidth_share * result.bandwidth, 1e-9), 0.5)
            for f, p in zip(reached, (p for p in result.points if p.fits), strict=True)
        ]
        label = f"{result.deployment}: {format_flops(result.peak)}, {format_bandwidth(result.bandwidth)}"
        axes.plot(intensity, reached, "o", color=colour, label=label)
        for x, y, p in zip(intensity, reached, (p for p in result.points if p.fits), strict=True):
            axes.annotate(f"{p.batch:g}", (x, y), textcoords="offset points", xytext=(4, -9), fontsize=7)
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte read", ylabel="FLOP/s a chip")
    axes.set_title("Roofline: lines are data sheets, dots are decode steps by batch", fontsize=10, loc="left")
    axes.grid(which="major", color="#dddddd", linewidth=0.5)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=150)


def _figures(value: float) -> str:
    """Three figures, with thousands separated."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

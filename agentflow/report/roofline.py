"""Print and plot the bounds of deployments."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentflow.analysis.bounds import Bounds
from agentflow.report.figures import write_figure
from agentflow.report.text import grid, plain
from agentflow.units import format_bandwidth, format_bytes, format_flops

_COLOURS = ("#3366aa", "#cc6633", "#448844", "#aa4477", "#888833", "#448899")


def bounds_report(results: Sequence[Bounds], explained: Sequence[Mapping[str, float]] = ()) -> RenderableType:
    """Show each deployment's two bounds, the estimate between them, and a row for each batch."""
    parts: list[RenderableType] = []
    for number, result in enumerate(results):
        parts += [*([Text()] if parts else []), plain(result.deployment, "bold"), *_lines(result)]
        if number < len(explained):
            parts.append(Text(_price(explained[number])))
        parts += [Text(), bounds_table(result)]
    if any(not p.fits for result in results for p in result.points):
        parts.append(
            Text("no room: the caches of so many sequences do not fit in memory, or the engine takes fewer", "dim")
        )
    return Group(*parts)


def _lines(r: Bounds) -> Iterator[Text]:
    """Say what the bounds are and what they come from."""
    many = f"{r.chips} x {r.chip}" if r.chips > 1 else r.chip
    yield plain(f"{r.model} on {many}, {r.context:,.0f} tokens of context", limit=200)
    yield Text("forward passes a second and chip", "dim")
    work, read = format_flops(r.flop).removesuffix("/s"), format_bytes(r.bytes)
    largest = f"batch {_figures(r.largest_batch)}, the largest that fits; {r.estimate.bound} binds"
    for name, rate, why in (
        ("compute bound", r.compute_bound, f"{work} at {format_flops(r.peak)}"),
        ("memory bound", r.memory_bound, f"{read} at {format_bandwidth(r.bandwidth)}, batch 1"),
        ("estimate", r.estimate.per_chip, largest),
    ):
        yield Text(f"  {name:13}  {_figures(rate):>7}  {why}")
    yield Text(f"prompts: {_figures(r.input_rate)} tokens/s and chip, alone")


def _price(found: Mapping[str, float]) -> str:
    batch, most = max(1, math.ceil(found["batch"] - 1e-9)), found["largest_batch"]
    room = "" if batch <= most else f"; more than the {most:,.0f} that fit, so not at this price"
    return (
        f"${found['usd_per_mtok']:g}/Mtok at ${found['usd_per_chip_hour']:g} an hour is {_figures(found['per_chip'])} "
        f"tok/s and chip: batch {batch:,}, {_figures(found['per_user'])} tok/s a user{room}"
    )


def bounds_table(result: Bounds) -> Table:
    """Show a row a batch size.

    Parameters
    ----------
    result : Bounds
    """
    prices = any(p.usd_per_mtok is not None for p in result.points)
    joules = any(p.joules_per_token is not None for p in result.points)
    more = ([">$/Mtok"] if prices else []) + ([">J/tok"] if joules else [])
    names = (">batch", ">tok/s a user", ">tok/s a chip", *more, ">FLOP/s", ">bytes/s", "binds")
    table = grid(*names, wrap=(len(names) - 1,))
    for p in result.points:
        known = ([p.usd_per_mtok] if prices else []) + ([p.joules_per_token] if joules else [])
        table.add_row(
            f"{p.batch:g}", _figures(p.per_user), _figures(p.per_chip),
            *("" if x is None else f"{x:.3g}" for x in known),
            f"{100 * p.compute_share:.1f} %", f"{100 * p.bandwidth_share:.0f} %",
            p.bound if p.fits else f"{p.bound}, no room",
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

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for i, result in enumerate(results):
            colour = _COLOURS[i % len(_COLOURS)]
            knee = result.peak / result.bandwidth
            shown = [p for p in result.points if p.fits]
            reached = [p.compute_share * result.peak for p in shown]  # drafts and refinements are arithmetic too
            intensity = [
                max(f / max(p.bandwidth_share * result.bandwidth, 1e-9), 0.5)
                for f, p in zip(reached, shown, strict=True)
            ]
            roof = [0.5, knee, max(8 * knee, 1.5 * max(intensity, default=0.0))]
            axes.plot(roof, [min(result.bandwidth * x, result.peak) for x in roof], color=colour, linewidth=1.5)
            label = f"{result.deployment}: {format_flops(result.peak)}, {format_bandwidth(result.bandwidth)}"
            axes.plot(intensity, reached, "o", color=colour, label=label)
            for x, y, p in zip(intensity, reached, shown, strict=True):
                axes.annotate(f"{p.batch:g}", (x, y), textcoords="offset points", xytext=(4, -9), fontsize=7)
        axes.set(xscale="log", yscale="log", xlabel="FLOP per byte read", ylabel="FLOP/s a chip")
        axes.set_title("Roofline: lines are data sheets, dots are decode steps by batch", fontsize=10, loc="left")
        axes.grid(which="major", color="#dddddd", linewidth=0.5)
        axes.legend(fontsize=8, loc="lower right")

    write_figure(Path(path), (8, 5), draw)


def _figures(value: float) -> str:
    """Three figures, with thousands separated."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

"""What `agentflow stack` prints and draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from agentflow.analysis.insight.stacking import LIMITS_S, READING, Band, Stacking
from agentflow.errors import printable
from agentflow.report.figures import write_figure
from agentflow.report.grid import level
from agentflow.report.jsonable import SCHEMA_VERSION, estimates
from agentflow.report.palette import count, seconds
from agentflow.report.text import grid, plain, runs

_COLUMN = 14
_SERIES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5D3A9B", "#7A7A7A"]
_DASHES: list[Any] = ["-", "--", "-.", ":"]


def stack_report(found: Stacking, console: Console) -> RenderableType:
    """Show p50 and p95 by number of links and backend, and how many links fit what people feel."""
    head = Text(f"chains of {_links(found)} calls", "bold").append(
        f", {runs(found.runs, ' each')}, seed {found.seed}", "dim"
    )
    what = Text(f"each link reads {count(found.input_tokens)} tokens and the answer before it, and writes "
                f"{count(found.output_tokens)}")  # fmt: skip
    parts: list[RenderableType] = [head, what]
    widest = max(len(line) for band in found.bands for line in [*_name(band).split("\n"), "p" * _COLUMN])
    some = max(1, (console.width - 7) // (widest + 2))
    for first in range(0, len(found.bands), some):
        bands = found.bands[first : first + some]
        titles = level(["links\n", *(f"{_name(band)}\np50 to p95 (s)" for band in bands)])
        table = grid(*(f">{title}" for title in titles))
        for row, links in enumerate(found.links):
            cells = [band.points[row].e2e_s for band in bands]
            table.add_row(str(links), *(f"{seconds(e['p50'].value)} to {seconds(e['p95'].value)}" for e in cells))
        parts += [Text(), table]
    fits = grid("most links at p95\nwithin", *(f">\n{name}" for name in LIMITS_S), ">a person's\nreading", wrap=(0,))
    for band in found.bands:
        fits.add_row(plain(band.label, limit=40), *(_most(band.within[name], found) for name in (*LIMITS_S, "reader")))
    note = f"a person's reading: the chain has answered before one has read all that it wrote, at {READING:g} tokens/s"
    return Group(*parts, Text(), fits, Text(note, "dim"))


def _name(band: Band) -> str:
    """Write a backend's name, in two lines if it is long."""
    name = printable(band.label, 28)
    return name.replace("/", "/\n", 1) if len(name) > _COLUMN else name


def _links(found: Stacking) -> str:
    """Write the numbers of links."""
    first, last = found.links[0], found.links[-1]
    return str(first) if first == last else f"{first} to {last}"


def _most(links: int | None, found: Stacking) -> str:
    """Write how many links fit; with a sign where more might."""
    if links is None:
        return "none" if found.links[0] == 1 else f"under {found.links[0]}"
    return f"{links} or more" if links == found.links[-1] else str(links)


def stack_object(found: Stacking) -> dict[str, Any]:
    """Write it as `agentflow stack --json` prints it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "model": found.model,
        "input_tokens": found.input_tokens,
        "output_tokens": found.output_tokens,
        "runs": found.runs,
        "seed": found.seed,
        "limits_s": LIMITS_S,
        "reading_tokens_per_s": READING,
        "backends": [
            {
                "label": band.label,
                "within": band.within,
                "points": [
                    {"links": p.links, "e2e_s": estimates(p.e2e_s), "reading_s": p.reading_s} for p in band.points
                ],
            }
            for band in found.bands
        ],
    }


def plot_stacking(found: Stacking, path: Path) -> None:
    """Draw the answer time against the number of links: one band a backend from p50 to p95, and what people feel."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        links = list(found.links)
        for number, band in enumerate(found.bands):
            colour, dash = _SERIES[number % len(_SERIES)], _DASHES[number // len(_SERIES) % len(_DASHES)]
            low = [point.e2e_s["p50"].value for point in band.points]
            high = [point.e2e_s["p95"].value for point in band.points]
            axes.fill_between(links, low, high, color=colour, alpha=0.25, linewidth=0)
            axes.plot(links, low, dash, color=colour, marker="o", markersize=4, label=printable(band.label, 32))
        _people(axes, found)
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0.8), max(high, 75.0))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.set_xticks(links if len(links) <= 16 else links[:: len(links) // 12 + 1])
        axes.minorticks_off()
        axes.set_xlim(links[0] - 0.3, links[-1] + 0.3)
        axes.set_xlabel("number of chained calls")
        axes.set_ylabel("time from the request to the answer (s)")
        axes.yaxis.grid(True, color="#DDDDDD")
        axes.set_axisbelow(True)
        axes.set_title("How latency stacks", loc="left", fontweight="bold", fontsize=12, pad=20)
        note = (
            f"lines: p50, bands: to p95; each call writes {count(found.output_tokens)} tokens and reads "
            f"{count(found.input_tokens)} and the answer before it; {runs(found.runs)}"
        )
        axes.annotate(note, (0, 1), xytext=(0, 6), xycoords="axes fraction", textcoords="offset points", fontsize=9,
                      color="#555555")  # fmt: skip
        figure.legend(*axes.get_legend_handles_labels(), ncols=min(4, len(found.bands)), frameon=False,
                      loc="outside lower center", fontsize=9)  # fmt: skip

    write_figure(path, (8.6, 5.6), draw)


def _people(axes: Any, found: Stacking) -> None:
    """Draw the times that people feel, and how long a person reads what was written."""
    for name, limit in LIMITS_S.items():
        axes.axhline(limit, color="#333333", linewidth=1.0, linestyle=(0, (6, 3)))
        axes.annotate(name, (1, limit), xytext=(4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      va="center", fontsize=9)  # fmt: skip
    points = found.bands[0].points
    axes.plot([p.links for p in points], [p.reading_s for p in points], color="#333333", linewidth=1.2, linestyle=":")
    told = f"a person reads it\nall, {READING:g} tokens/s"
    axes.annotate(told, (1, points[-1].reading_s), xytext=(4, 0), va="center", xycoords=("axes fraction", "data"),
                  textcoords="offset points", fontsize=9)  # fmt: skip

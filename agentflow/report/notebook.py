"""What a notebook shows: a table and a figure as inline SVG; texts from documents are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from html import escape

from agentflow.analysis.compare import Comparison
from agentflow.analysis.summary import STATS, Summary, summarize
from agentflow.errors import printable
from agentflow.estimate import Estimate
from agentflow.report.page.graph import Picture, draw_graph
from agentflow.report.palette import dollars, seconds, share
from agentflow.report.plots import comparison_svg, summary_svg
from agentflow.report.tables import times
from agentflow.report.text import runs
from agentflow.result import Result
from agentflow.schema import Workflow

_NUMBERS = ' style="text-align:right;padding:2px 10px"'


@singledispatch
def html_of(value: object) -> str:
    """Return the HTML of a result, a comparison or a workflow."""
    raise TypeError(f"nothing is known about how to show a {type(value).__name__}")


@html_of.register
def _(value: Result) -> str:
    summary = summarize(value)
    rows = [[name, _cell(summary.e2e_s[name]), _cell(summary.ttft_s[name])] for name in STATS]
    table = _table(["", "to the answer (s)", "to the first token (s)"], rows)
    return _block(_headline(summary), table, f"<p>{_outcomes(summary)}</p>", summary_svg(summary))


@html_of.register
def _(value: Comparison) -> str:
    cases = sorted(value.cases, key=lambda case: case.summary.e2e_s["p50"].value)
    base = value.cases[value.baseline]
    rows = []
    for case in cases:
        s = case.summary
        cost = dollars(s.cost_usd["mean"].value) if s.cost_usd else "not known"
        faster = times(case.speedup["p50"], case is base)
        rows.append(
            [
                case.label,
                seconds(s.e2e_s["p50"].value),
                _cell(s.e2e_s["p95"]),
                seconds(s.ttft_s["p50"].value),
                cost,
                faster,
            ]
        )
    columns = [
        "",
        "p50 (s)",
        "p95 (s)",
        "first token, p50 (s)",
        "a run",
        f"times as fast as {printable(base.label, 40)}",
    ]
    names = ", ".join(sorted({case.summary.workflow for case in cases}))
    first = cases[0].summary
    head = f"<b>{_text(names)}</b>, {runs(first.runs, ' each')}, seed {first.seed}"
    return _block(head, _table(columns, rows), comparison_svg(value))


@html_of.register
def _(value: Workflow) -> str:
    about = f"<p>{_text(value.description.strip(), 2000)}</p>" if value.description else ""
    return _block(f"<b>{_text(value.name)}</b>", about, _graph(draw_graph(value)))


def _headline(summary: Summary) -> str:
    places = ", ".join(sorted(set(summary.assignment.values())))
    where = f" on {_text(places)}" if places else ""
    return f"<b>{_text(summary.workflow)}</b>{where}, {runs(summary.runs)}, seed {summary.seed}"


def _outcomes(summary: Summary) -> str:
    ends = [f"{_text(name)} {share(e.value)}" for name, e in summary.outcomes.items() if e.value > 0]
    cost = f"; {dollars(summary.cost_usd['mean'].value)} a run" if summary.cost_usd else ""
    return ", ".join(ends) + cost


def _cell(e: Estimate) -> str:
    if e.low is None or e.high is None:
        return f"{seconds(e.value)} (an interval needs {e.runs_needed:,} runs)"
    return f"{seconds(e.value)} [{seconds(e.low)}, {seconds(e.high)}]"


def _text(text: str, limit: int = 200) -> str:
    """A text from a document, escaped, on one line."""
    return escape(printable(" ".join(text.split()), limit))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col"{_NUMBERS if i else ""}>{_text(name)}</th>' for i, name in enumerate(columns))
    body = "".join(
        f'<tr><th scope="row">{_text(row[0])}</th>'
        + "".join(f"<td{_NUMBERS}>{_text(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _block(head: str, *parts: str) -> str:
    return f'<div class="agentflow"><p>{head}</p>{"".join(parts)}</div>'


def _graph(picture: Picture) -> str:
    """Draw a workflow's graph in the text's own colour, so that it is seen on light and dark grounds."""
    parts = []
    for box in picture.boxes:
        dash = ' stroke-dasharray="5 4"' if box.composite else ""
        parts.append(
            f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.w:.1f}" height="{box.h:.1f}" rx="6" fill="none" '
            f'stroke="currentColor" stroke-opacity="0.6"{dash}><title>{_text(box.path)}</title></rect>'
        )
        parts.append(_label(box.x + 10, box.y + 18, box.name, 17 if not box.composite else 60, 'font-weight="600"'))
        if box.note:
            parts.append(_label(box.x + 10, box.y + 34, box.note, 20, 'fill-opacity="0.7"'))
    for arrow in picture.arrows:
        dash = ' stroke-dasharray="4 3"' if arrow.catch else ""
        x, y = arrow.commands[-1][1][-1]
        parts.append(f'<path d="{arrow.path}" fill="none" stroke="currentColor" stroke-opacity="0.6"{dash}/>')
        parts.append(
            f'<path d="M{x - 7:.1f},{y - 4:.1f}L{x:.1f},{y:.1f}L{x - 7:.1f},{y + 4:.1f}z" fill="currentColor"/>'
        )
        if arrow.label:
            parts.append(_label(*arrow.at, arrow.label, 24, 'text-anchor="middle" fill-opacity="0.7"'))
    w, h = picture.w + 56, picture.h + 8
    return (
        f'<svg width="{w:.0f}" height="{h:.0f}" viewBox="-28 -4 {w:.0f} {h:.0f}" role="img" '
        f'aria-label="graph of the workflow" font-family="sans-serif" font-size="12" '
        f'fill="currentColor">{"".join(parts)}</svg>'
    )


def _label(x: float, y: float, text: str, most: int, more: str) -> str:
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{_text(cut)}</text>'

"""Tables and bars for the terminal, by rich. All text from documents goes in as plain text, never as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentflow.analysis.compare import Comparison
from agentflow.analysis.gates import GateResult
from agentflow.analysis.stack import bars, by_component, standout
from agentflow.analysis.summary import Summary
from agentflow.errors import printable
from agentflow.estimate import Estimate
from agentflow.report.palette import COLOURS, SIGNS, count, dollars, seconds, share

_STATS = ("mean", "p50", "p90", "p95", "p99")
_VERDICT = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}


def plain(text: str, style: str = "", limit: int = 80) -> Text:
    """Show a name from a document: no markup, no control characters."""
    return Text(printable(text, limit), style=style)


def is_ascii(console: Console) -> bool:
    """Whether the terminal can print ASCII only."""
    return not (console.encoding or "").lower().startswith("utf")


def grid(*columns: str, header: bool = True) -> Table:
    """Make a table without lines; columns that begin with > are flush right."""
    table = Table(box=None, show_header=header, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", no_wrap=True)
    return table


def interval(e: Estimate, decimals: int = 0) -> str:
    """Write an estimate's bounds, or how many runs they would need."""
    if e.low is None or e.high is None:
        return f"needs {e.runs_needed:,} runs" if e.runs_needed else ""
    return f"[{seconds(e.low)}, {seconds(e.high)}]"


def headline(summary: Summary) -> Text:
    """Say what was simulated."""
    places = sorted(set(summary.assignment.values()))
    where = ", ".join(places[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else "")
    text = plain(summary.workflow, "bold")
    if where:
        text.append(" on ").append_text(plain(where, limit=160))
    return text.append(f", {summary.runs:,} runs, seed {summary.seed}", "dim")


def estimates_table(summary: Summary) -> Table:
    """Show the distribution of the answer time and of the first token, in seconds."""
    table = grid("seconds", *(f">{stat}" for stat in _STATS))
    for name, found in (("to the answer", summary.e2e_s), ("to the first token", summary.ttft_s)):
        table.add_row(name, *(Text(seconds(found[stat].value), "bold") for stat in _STATS))
        table.add_row(Text("  95 % interval", "dim"), *(Text(interval(found[stat]), "dim") for stat in _STATS))
    return table


def usage_lines(summary: Summary) -> Text:
    """Say how runs ended and what they used."""
    ends = ", ".join(f"{name} {share(e.value)}" for name, e in summary.outcomes.items() if e.value > 0)
    tokens = {kind: e.value for kind, e in summary.tokens.items()}
    used = f"{count(tokens['input'])} tokens in"
    if tokens["cached_input"]:
        used += f" ({count(tokens['cached_input'])} cached)"
    used += f", {count(tokens['output'])} out"
    if tokens["reasoning"]:
        used += f", {count(tokens['reasoning'])} of reasoning"
    used += f"; {count(summary.calls.value)} calls, {count(summary.attempts.value)} attempts"
    if summary.cost_usd is not None:
        used += f"; {dollars(summary.cost_usd['mean'].value)}, p95 {dollars(summary.cost_usd['p95'].value)}"
    return Text(printable(f"outcomes    {ends}", 400)) + Text(f"\nper run     {used}")


def stacked(parts: dict[str, float], scale: float, ascii_only: bool, before: float = 0.0) -> Text:
    """Draw seconds by component as one bar; `scale` is characters a second."""
    bar, at, drawn = Text(" " * round(before * scale)), before, round(before * scale)
    for component, amount in parts.items():
        at += amount
        width = round(at * scale) - drawn
        drawn += width
        bar.append(SIGNS[component][ascii_only] * width, COLOURS[component])
    return bar


def legend(components: Iterable[str], ascii_only: bool) -> Text:
    """Explain the signs of the bars."""
    text = Text()
    for component in components:
        text.append(SIGNS[component][ascii_only], COLOURS[component]).append(f" {component}   ", "dim")
    return text


def stack_table(summary: Summary, console: Console) -> RenderableType:
    """Show how latency stacks: one bar a step, where it stands on the mean critical path."""
    rows, ascii_only = bars(summary), is_ascii(console)
    total = sum(row.seconds for row in rows)
    if not rows or total <= 0:
        return Text("no time passes")
    names = max(len(printable(row.step, 28)) for row in rows)
    width = max(10, min(60, console.width - names - 22))
    table = grid("how latency stacks (mean)", "", ">seconds", ">share")
    for row in rows:
        bar = stacked(row.components_s, width / total, ascii_only, row.start_s)
        table.add_row(plain(row.step, limit=28), bar, seconds(row.seconds), share(row.share))
    return Group(table, legend(by_component(summary.critical_mean_s), ascii_only))


def takeaway(summary: Summary) -> Text:
    """Say what dominates, and whether the slow tail has another cause."""
    mean = standout(summary.critical_mean_s)
    if mean is None:
        return Text()
    text = Text(
        f"{share(mean.component_share)} of the mean {seconds(mean.total_s)} s is {mean.component}; the longest step is "
    )
    text.append_text(plain(mean.step)).append(f", {share(mean.step_share)}")
    tail = standout(summary.critical_tail_s) if summary.critical_tail_s else None
    if tail is not None and (tail.step, tail.component) != (mean.step, mean.component):
        text.append(f". In the slowest 5 % it is {tail.component} ({share(tail.component_share)}), and ")
        text.append_text(plain(tail.step)).append(f" ({share(tail.step_share)})")
    return text.append(".")


def run_report(summary: Summary, console: Console, gates: Sequence[GateResult] = ()) -> RenderableType:
    """Show one scenario."""
    parts: list[RenderableType] = [
        headline(summary),
        Text(),
        estimates_table(summary),
        Text(),
        usage_lines(summary),
        Text(),
    ]
    parts += [stack_table(summary, console), Text(), takeaway(summary)]
    if gates:
        parts += [Text(), gates_table(gates)]
    return Group(*parts)


def gates_table(gates: Sequence[GateResult]) -> Table:
    """Show what the gates decided."""
    table = grid("gate", "verdict", ">figure", "interval")
    for gate in gates:
        e = gate.estimate
        bounds = "" if e.low is None else f"[{e.low:.4g}, {e.high:.4g}]"
        if gate.runs_needed:
            bounds += f" about {gate.runs_needed:,} runs would settle it"
        verdict = Text(gate.verdict, _VERDICT[gate.verdict])
        table.add_row(plain(gate.gate.expression), verdict, f"{e.value:.4g}", bounds)
    return table


def times(e: Estimate | None, is_baseline: bool) -> str:
    """Write `3.1 ± 0.1 times`."""
    if is_baseline or e is None:
        return "1" if is_baseline else ""
    half = e.half_width
    digits = 2 if half is None or half < 0.05 else 1
    return f"{e.value:.{digits}f}" + (f" ± {max(half, 0.5 * 10**-digits):.{digits}f}" if half is not None else "")


def compare_report(comparison: Comparison, console: Console, gates: Sequence[GateResult] = ()) -> RenderableType:
    """Show scenarios side by side, the fastest first."""
    cases = sorted(comparison.cases, key=lambda case: case.summary.e2e_s["p50"].value)
    base = comparison.cases[comparison.baseline]
    first = cases[0].summary
    title = Text()
    names = sorted({case.summary.workflow for case in cases})
    title.append_text(plain(", ".join(names), "bold")).append(f", {first.runs:,} runs each, seed {first.seed}", "dim")
    table = grid(
        "seconds to the answer",
        ">p50",
        ">p95",
        "95 % interval",
        ">first token",
        ">$ a run",
        ">answered",
        ">times faster",
    )
    for case in cases:
        s = case.summary
        ok = s.outcomes["answered"].value + s.outcomes["fallback"].value
        table.add_row(
            plain(case.label, limit=34),
            Text(seconds(s.e2e_s["p50"].value), "bold"),
            seconds(s.e2e_s["p95"].value),
            Text(interval(s.e2e_s["p95"]), "dim"),
            seconds(s.ttft_s["p50"].value),
            dollars(s.cost_usd["mean"].value) if s.cost_usd else "?",
            share(ok),
            times(case.speedup["p50"], case is base),
        )
    ascii_only = is_ascii(console)
    totals = {case.label: by_component(case.summary.critical_mean_s) for case in cases}
    most = max(sum(parts.values()) for parts in totals.values()) or 1.0
    labels = max(len(printable(case.label, 34)) for case in cases)
    width = max(10, console.width - labels - 12)
    stack = grid("where they go (mean)", "", ">seconds")
    used: dict[str, None] = {}
    for case in cases:
        parts = totals[case.label]
        used.update(dict.fromkeys(parts))
        stack.add_row(
            plain(case.label, limit=34),
            stacked(parts, width / most, ascii_only),
            seconds(sum(parts.values())),
        )
    note = Text("Times faster: p50 of ").append_text(plain(base.label))
    note.append(" over this one's; the same random numbers in each, ± is the 95 % interval.").stylize("dim")
    shown: list[RenderableType] = [
        title,
        Text(),
        table,
        Text(),
        stack,
        legend(used, ascii_only),
        Text(),
        note,
    ]
    if gates:
        shown += [Text(), gates_table(gates)]
    return Group(*shown)

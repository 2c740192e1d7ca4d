"""The reports of `run` and `compare` for a terminal of 80 columns or more, by rich."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentflow.analysis.compare import Case, Comparison
from agentflow.analysis.failures import Failures
from agentflow.analysis.gates import GateResult
from agentflow.analysis.metrics import NO_ANSWER
from agentflow.analysis.provenance import standing
from agentflow.analysis.stack import standout
from agentflow.analysis.summary import STATS, Summary
from agentflow.errors import printable
from agentflow.estimate import Estimate
from agentflow.report.bars import case_bars, stack_table
from agentflow.report.load import load_table
from agentflow.report.palette import count, dollars, seconds, share
from agentflow.report.text import gates_table, grid, interval, is_ascii, plain, runs
from agentflow.units import format_energy

__all__ = ["compare_report", "run_report"]


def headline(summary: Summary) -> Text:
    """Say what was simulated."""
    places = sorted(set(summary.assignment.values()))
    where = ", ".join(places[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else "")
    text = plain(summary.workflow, "bold")
    if where:
        text.append(" on ").append_text(plain(where, limit=160))
    return text.append(f", {runs(summary.runs)}, seed {summary.seed}", "dim")


def estimates_table(summary: Summary) -> Table:
    """Show the distribution of the answer time and of the first token, in seconds."""
    table = grid("seconds", ">to the answer", "95 % interval", ">to the first token", "95 % interval")
    for stat in STATS:
        cells: list[Text] = []
        for e in (summary.e2e_s[stat], summary.ttft_s[stat]):
            cells += [Text(seconds(e.value), "bold"), Text(interval(e), "dim")]
        table.add_row(stat, *cells)
    return table


def usage_table(summary: Summary) -> Table:
    """Say how runs ended and what they used."""
    ends = []
    for name, e in summary.outcomes.items():
        if e.value > 0 or name == "answered":
            bounds = "" if e.low is None or e.high is None else f" [{100 * e.low:.3g}, {100 * e.high:.3g}]"
            ends.append(f"{printable(name)} {share(e.value)}{bounds}")
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
    elif summary.calls.value:
        used += "; the cost is not known"
    if summary.energy_j is not None and summary.calls.value:
        used += f"; {format_energy(summary.energy_j['mean'].value)}, p95 {format_energy(summary.energy_j['p95'].value)}"
    lost = sum(e.value for name, e in summary.outcomes.items() if name in NO_ANSWER)
    if lost > 0:
        ends[-1] += "; the times count runs without an answer up to their end"
    table = grid("", "", header=False, wrap=(1,))
    table.add_row(Text("outcomes", "dim"), Text(", ".join(ends)))
    if summary.failures is not None:
        table.add_row(Text("because", "dim"), Text(reasons(summary.failures)))
    table.add_row(Text("per run", "dim"), Text(used))
    if summary.drift is not None:
        moved = {name: f"{name} [{seconds(low)}, {seconds(high)}]" for name, (low, high) in summary.drift.items()}
        text = f"{moved['p50']}, {moved['p95']}: what the providers' medians do from day to day, whatever the runs"
        table.add_row(Text("drift", "dim"), Text(text))
    if summary.profiles:
        table.add_row(Text("profiles", "dim"), plain(standing(summary.profiles), limit=400))
    if "assumptions" in summary.manifest:
        table.add_row(Text("assumed", "dim"), plain(summary.manifest["assumptions"], limit=400))
    return table


def reasons(failures: Failures, most: int = 4) -> str:
    """Say which error at which step ended how many of the runs: `rate_limit (queue full) at read 12 %`."""
    told = []
    for row in failures.rows[:most]:
        what = row.error or ("the deadline" if row.outcome == "deadline_exceeded" else row.outcome)
        what += f" ({row.by.replace('_', ' ')})" if row.by else ""
        told.append(f"{what}{f' at {printable(row.step, 40)}' if row.step else ''} {share(row.share)}")
    if len(failures.rows) > most:
        told.append(f"{len(failures.rows) - most} more")
    of = f" (from the first {failures.looked:,} of {failures.of:,})" if failures.looked < failures.of else ""
    return ", ".join(told) + of


def takeaway(summary: Summary) -> Text:
    """Say what dominates, and whether the slow tail has another cause."""
    mean = standout(summary.critical_mean_s)
    if mean is None:
        return Text()
    text = plain(mean.step, "bold").append(f" is the longest step, {share(mean.step_share)} of the mean ")
    text.append(f"{seconds(mean.total_s)} s; {mean.component} is {share(mean.component_share)} over all steps.")
    tail = standout(summary.critical_tail_s) if summary.critical_tail_s else None
    if tail is None:
        return text
    if (tail.step, tail.component) == (mean.step, mean.component):
        return text.append(" The slowest 5 % of the runs are slow for the same reason.")
    text.append(" In the slowest 5 % of the runs it is ")
    text.append_text(plain(tail.step, "bold")).append(f", {share(tail.step_share)}")
    if tail.component != tail.step_component or tail.component_share - tail.step_share > 0.005:
        text.append(f", and {tail.component}, {share(tail.component_share)}")
    return text.append(".")


def run_report(summary: Summary, console: Console, gates: Sequence[GateResult] = ()) -> RenderableType:
    """Show one scenario."""
    parts: list[RenderableType] = [headline(summary), Text(), estimates_table(summary), Text()]
    parts += [usage_table(summary), Text()]
    if summary.load is not None:
        parts += [load_table(summary.load), Text()]
    parts += [stack_table(summary, console), Text(), takeaway(summary)]
    if gates:
        parts += [Text(), gates_table(gates)]
    return Group(*parts)


def times(e: Estimate | None, is_baseline: bool, ascii_only: bool = False) -> str:
    """Write `3.1 ± 0.1`."""
    if is_baseline or e is None:
        return "1" if is_baseline else "?"
    half = e.half_width
    digits = 2 if half is None or half < 0.05 else 1
    if half is None:
        return f"{e.value:.{digits}f}"
    sign = "+-" if ascii_only else "±"
    return f"{e.value:.{digits}f} {sign} {max(half, 0.5 * 10**-digits):.{digits}f}"


def compare_report(comparison: Comparison, console: Console, gates: Sequence[GateResult] = ()) -> RenderableType:
    """Show scenarios side by side, the fastest first; `gates` go through the cases, gate by gate."""
    cases = sorted(comparison.cases, key=lambda case: case.summary.e2e_s["p50"].value)
    base = comparison.cases[comparison.baseline]
    first = cases[0].summary
    title = plain(", ".join(sorted({case.summary.workflow for case in cases})), "bold", limit=160)
    title.append(f", {runs(first.runs, ' each')}, seed {first.seed}", "dim")
    over = [case.label for case in cases if case.summary.load is not None and case.summary.load.verdict == "overloaded"]
    note = Text("times faster: p50 of ").append_text(plain(base.label))
    note.append(" over this one's, on the same random numbers, with its 95 % interval").stylize("dim")
    parts: list[RenderableType] = [title, Text(), compare_table(cases, base, console), Text()]
    parts += [case_bars(cases, console), Text(), *outcome_lines(cases)]
    if over:
        said = "overloaded, so the times depend on how long the load lasts: "
        parts.append(Text(said, "bold red").append_text(plain(", ".join(over), limit=300)))
    parts.append(note)
    if profiles := [profile for case in cases for profile in case.summary.profiles]:
        parts.append(Text("profiles: ", "dim").append_text(plain(standing(profiles), limit=600)))
    if "assumptions" in first.manifest:
        parts.append(Text("assumed: ", "dim").append_text(plain(first.manifest["assumptions"], limit=400)))
    if gates:
        parts += [Text(), gates_table(gates)]
    return Group(*parts)


def compare_table(cases: Sequence[Case], base: Case, console: Console) -> Table:
    """Show the figures of each scenario in a row."""
    columns = ["seconds", ">p50", ">p95", "95 % interval", ">first\ntoken", ">$ a run", ">times faster"]
    table = grid(*columns, wrap=(0,), gap=2 if console.width >= 90 else 1)
    for case in cases:
        s = case.summary
        table.add_row(
            plain(case.label, limit=40),
            Text(seconds(s.e2e_s["p50"].value), "bold"),
            seconds(s.e2e_s["p95"].value),
            Text(interval(s.e2e_s["p95"]), "dim"),
            seconds(s.ttft_s["p50"].value),
            dollars(s.cost_usd["mean"].value) if s.cost_usd else "?",
            times(case.speedup["p50"], case is base, is_ascii(console)),
        )
    return table


def outcome_lines(cases: Sequence[Case]) -> list[RenderableType]:
    """Say how the runs of each scenario ended."""
    if all(case.summary.outcomes["answered"].value == 1.0 for case in cases):
        return [Text("outcomes: every run was answered", "dim")]
    table = grid("outcomes", "", wrap=(0, 1))
    for case in cases:
        ends = [f"{printable(name)} {share(e.value)}" for name, e in case.summary.outcomes.items() if e.value > 0]
        if case.summary.failures is not None:
            ends[-1] += f"; because: {reasons(case.summary.failures, 2)}"
        table.add_row(plain(case.label, limit=40), ", ".join(ends))
    return [table, Text()]

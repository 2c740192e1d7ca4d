"""What all tables share. Text from documents goes in as plain text, never as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentflow.analysis.gates import GateResult
from agentflow.analysis.metrics import Dimension
from agentflow.errors import printable
from agentflow.estimate import Estimate
from agentflow.report.grid import Grid
from agentflow.report.palette import count, dollars, seconds, share
from agentflow.units import format_energy

_VERDICT = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}


def plain(text: str, style: str = "", limit: int = 80) -> Text:
    """Show a name from a document: no markup, no control characters."""
    return Text(printable(text, limit), style=style)


def is_ascii(console: Console) -> bool:
    """Whether the terminal can print ASCII only."""
    return not (console.encoding or "").lower().startswith("utf")


def grid(*columns: str, header: bool = True, wrap: Sequence[int] = (), gap: int = 2) -> Table:
    """Make a table without lines; columns that begin with > are flush right, those in `wrap` may be folded."""
    return Grid(columns, header, wrap, gap)


def runs(number: int, each: str = "") -> str:
    """Write `10,000 runs`, or `1 run`."""
    return f"{number:,} {'run' if number == 1 else 'runs'}{each}"


def interval(e: Estimate) -> str:
    """Write an estimate's bounds, or how many runs they would need."""
    if e.low is None or e.high is None:
        return f"needs {e.runs_needed:,} runs" if e.runs_needed else ""
    return f"[{seconds(e.low)}, {seconds(e.high)}]"


def rate_interval(e: Estimate) -> str:
    """Write the bounds of a rate (1/s)."""
    return "" if e.low is None or e.high is None else f"[{e.low:.3g}, {e.high:.3g}]"


def in_unit(value: float, dimension: Dimension) -> str:
    """Write a figure with the unit of what it measures."""
    if dimension == "seconds":
        return f"{seconds(value)} s"
    if dimension == "share":
        return share(value)
    if dimension == "joules":
        return format_energy(value)
    return dollars(value) if dimension == "usd" else count(value)


def gates_table(gates: Sequence[GateResult]) -> Table:
    """Show what the gates decided; with the scenario of each, where there are several."""
    several, changes = any(gate.scenario for gate in gates), any(gate.baseline for gate in gates)
    columns = ["fails if", "verdict", ">figure", "95 % interval"]
    table = grid(*(["scenario"] if several else []), *columns, *([">baseline"] if changes else []), wrap=(0, 3, 4))
    for gate in gates:
        e = gate.estimate
        bounds = f"needs {e.runs_needed:,} runs" if e.runs_needed else "no interval"
        if e.low is not None and e.high is not None:
            bounds = f"[{_told(e.low, gate)}, {_told(e.high, gate)}]"
            if gate.runs_needed:
                bounds += f", about {gate.runs_needed:,} runs{' of both' if gate.baseline else ''} would settle it"
        table.add_row(
            *([plain(gate.scenario, limit=40)] if several else []),
            plain(gate.gate.expression),
            Text(gate.verdict, _VERDICT[gate.verdict]),
            _told(e.value, gate),
            Text(bounds, "dim"),
            *([_was(gate)] if changes else []),
        )
    return table


def _told(value: float, gate: GateResult) -> str:
    """Write a gate's figure, a change with its sign."""
    if gate.baseline is None:
        return in_unit(value, gate.dimension)
    sign = "+" if value > 0.0 else "-" if value < 0.0 else ""
    points = gate.dimension == "share" and gate.gate.change == "absolute"
    return sign + (f"{100.0 * abs(value):.3g} pp" if points else in_unit(abs(value), gate.dimension))


def _was(gate: GateResult) -> str:
    """Write the baseline's figure."""
    return "" if gate.baseline is None else in_unit(gate.baseline.value, gate.unit)

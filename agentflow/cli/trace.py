"""The command that writes single runs as timelines: trace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from agentflow.cli import output
from agentflow.cli.options import (
    Assign,
    NewConnections,
    OneBackend,
    PriceTrend,
    Region,
    Seed,
    SpeedTrend,
    When,
    Workflow,
    assignments,
    read_setting,
)
from agentflow.errors import UsageError, quoted


def trace(
    workflow: Workflow,
    backend: OneBackend = None,
    assign: Assign = None,
    run: Annotated[list[int] | None, typer.Option(help="Trace run N. May be repeated.", min=0, max=10**12)] = None,
    typical: Annotated[bool, typer.Option("--typical", help="Trace the run of median E2E (the default).")] = False,
    slow: Annotated[bool, typer.Option("--slow", help="Trace the run at the p95 of E2E.")] = False,
    runs: Annotated[int, typer.Option(help="Trace runs 0 to K-1.", min=0, max=10_000)] = 0,
    sample: Annotated[
        int, typer.Option(help="Runs among which to find a typical or slow one.", min=1, max=10**7)
    ] = 2000,
    seed: Seed = 0,
    region: Region = None,
    new_connections: NewConnections = False,
    price_trend: PriceTrend = None,
    speed_trend: SpeedTrend = None,
    when: When = None,
    format: Annotated[
        Literal["chrome", "otlp", "mermaid"], typer.Option(help="chrome opens in ui.perfetto.dev.")
    ] = "chrome",
    start: Annotated[
        str | None, typer.Option(help="For otlp: when the runs arrive, 2026-11-21T10:00:00Z; by default now.")
    ] = None,
    output_file: Annotated[Path | None, typer.Option("--output", help="Write to this file; by default print.")] = None,
) -> None:
    """Write single runs as a timeline: for Perfetto, for any OpenTelemetry UI, or as a Mermaid Gantt chart."""
    if start is not None and format != "otlp":
        raise UsageError("--start belongs to --format otlp; the other formats count from the run's arrival")
    arrival = _nanoseconds(start) if format == "otlp" else 0
    wanted: list[int | str] = [*(run or ()), *range(runs)]
    wanted += ["typical"] if typical or not (wanted or slow) else []
    wanted += ["slow"] if slow else []
    assigned, setting = assignments(assign), read_setting(region, new_connections, price_trend, speed_trend, when)
    from agentflow.analysis.traced import trace as trace_scenario

    output.announce_compiling()
    traced = trace_scenario(workflow, backend, assign=assigned, runs=wanted, seed=seed, sample=sample, setting=setting)
    from agentflow.report import trace as formats

    if format == "mermaid":
        text = formats.mermaid_gantt(traced)
    else:
        found = formats.chrome_trace(traced) if format == "chrome" else formats.otlp_trace(traced, arrival)
        text = output.compact_json(found)
    output.write(text, output_file)


def _nanoseconds(start: str | None) -> int:
    """Read a moment with its offset from UTC, or take now."""
    import datetime
    import time

    if start is None:
        return time.time_ns()
    try:
        moment = datetime.datetime.fromisoformat(start)
    except ValueError:
        raise UsageError(f"--start {quoted(start)}: write a moment such as 2026-11-21T10:00:00Z") from None
    if moment.tzinfo is None:
        raise UsageError(f"--start {quoted(start)}: say from which zone, such as 2026-11-21T10:00:00Z")
    return round(moment.timestamp() * 1000) * 1_000_000

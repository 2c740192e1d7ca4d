"""The command that writes a report: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentflow.cli import output
from agentflow.cli.options import (
    Assign,
    Backends,
    NewConnections,
    PriceTrend,
    Region,
    Runs,
    Seed,
    SpeedTrend,
    Threads,
    When,
    Workflow,
    assignments,
    read_setting,
    split_names,
)
from agentflow.errors import UsageError


def report(
    workflow: Workflow,
    output_file: Annotated[Path, typer.Option("--output", help="Write the page to this file, such as report.html.")],
    backend: Backends = None,
    assign: Assign = None,
    runs: Runs = 10_000,
    seed: Seed = 0,
    threads: Threads = None,
    baseline: Annotated[
        str | None, typer.Option(help="What the others are compared with; by default the slowest.")
    ] = None,
    region: Region = None,
    new_connections: NewConnections = False,
    price_trend: PriceTrend = None,
    speed_trend: SpeedTrend = None,
    when: When = None,
    what_if: Annotated[
        bool, typer.Option("--what-if/--no-what-if", help="Rank what would help on the first backend.")
    ] = True,
) -> None:
    """Write a report as one HTML file: charts, live what-ifs and all evidence, for any browser, with no network."""
    assigned, setting = assignments(assign), read_setting(region, new_connections, price_trend, speed_trend, when)
    if not output_file.parent.is_dir():
        raise UsageError(f"--output {output_file}: there is no folder {output_file.parent}")
    from agentflow.analysis.findings import find
    from agentflow.analysis.insight.whatif import LEAST_RUNS, affordable, rank

    places = split_names(backend)
    output.announce_compiling()
    with output.progress() as progress:
        found = find(
            workflow, places or None, assign=assigned, runs=runs, seed=seed, threads=threads, baseline=baseline,
            progress=progress, setting=setting,
        )  # fmt: skip
        ranking = None
        if what_if and runs >= LEAST_RUNS:
            some, steps = affordable(found.scenarios[0], runs)
            ranking = rank(found.scenarios[0], places, some, seed, threads, progress=progress, setting=setting,
                           most_steps=steps)  # fmt: skip
    from agentflow.report.helping import ranking_extra
    from agentflow.report.page import render_page

    where = found.scenarios[0].label if len(found.scenarios) > 1 else ""
    output.write(render_page(found, () if ranking is None else [ranking_extra(ranking, where)]), output_file)
    output.warn(f"written to {output_file}")

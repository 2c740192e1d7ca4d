"""The commands that look through many scenarios: sweep, optimize."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from agentflow.cli import FAILED, output
from agentflow.cli.options import (
    Assign,
    Json,
    NewConnections,
    OneBackend,
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


def sweep(
    workflow: Workflow,
    vary: Annotated[
        list[str],
        typer.Option(
            help="STEP.WHAT=V1,V2, or WHAT=V1,V2 for all steps; WHAT is speed, ttft, output_tokens, input_tokens, "
            "latency (each: times what it is), max_attempts, max_concurrency, backend. May be repeated."
        ),
    ],
    backend: OneBackend = None,
    assign: Assign = None,
    runs: Runs = 10_000,
    seed: Seed = 0,
    threads: Threads = None,
    region: Region = None,
    new_connections: NewConnections = False,
    price_trend: PriceTrend = None,
    speed_trend: SpeedTrend = None,
    when: When = None,
    json: Json = False,
) -> None:
    """Vary one thing or several: the answer time for each combination of values, over the same random numbers."""
    assigned, setting = assignments(assign), read_setting(region, new_connections, price_trend, speed_trend, when)
    from agentflow.analysis.insight.sweep import parse_vary
    from agentflow.analysis.insight.sweep import sweep as sweep_scenarios

    varied = [parse_vary(text) for text in vary]
    output.announce_compiling()
    with output.progress() as progress:
        found = sweep_scenarios(workflow, varied, backend, assign=assigned, runs=runs, seed=seed, threads=threads,
                                progress=progress, setting=setting)  # fmt: skip
    from agentflow.report.search import sweep_object, sweep_report

    if json:
        output.print_json(sweep_object(found))
    else:
        output.show(sweep_report(found))
    output.warn_of(case.result for case in found.comparison.cases)


def optimize(
    workflow: Workflow,
    backends: Annotated[
        list[str],
        typer.Option("--backends", "--backend", help="What to choose from, divided by commas. May be repeated."),
    ],
    by: Annotated[Literal["mean", "p50", "p95", "p99"], typer.Option(help="What is made short.")] = "p95",
    max_cost: Annotated[
        str | None, typer.Option(help="The most that a run may cost on average, such as '$0.01'.")
    ] = None,
    min_answered: Annotated[str, typer.Option(help="The least share of the runs that must be answered.")] = "0%",
    runs: Runs = 4000,
    seed: Seed = 0,
    threads: Threads = None,
    region: Region = None,
    new_connections: NewConnections = False,
    price_trend: PriceTrend = None,
    speed_trend: SpeedTrend = None,
    when: When = None,
    json: Json = False,
) -> None:
    """Choose a backend for each step: the shortest answer time within a price, and what less money buys.

    Exits with 1 if nothing is within the limits.
    """
    setting = read_setting(region, new_connections, price_trend, speed_trend, when)
    from agentflow.analysis.insight.optimize import optimize as find_optimum
    from agentflow.analysis.scenario import load
    from agentflow.units import parse_percent, parse_usd

    try:
        limit = None if max_cost is None else parse_usd(max_cost)
    except ValueError as error:
        raise UsageError(f"--max-cost {error}") from None
    try:
        least = parse_percent(min_answered)
    except ValueError as error:
        raise UsageError(f"--min-answered {error}") from None
    places = split_names(backends)
    document = load(workflow)
    output.announce_compiling()
    with output.progress() as progress:
        found = find_optimum(document, places, by=by, limit_usd=limit, least_answered=least, runs=runs, seed=seed,
                             threads=threads, progress=progress, setting=setting)  # fmt: skip
    from agentflow.report.search import optimum_object, optimum_report

    if json:
        output.print_json(optimum_object(found, document.name))
    else:
        output.show(optimum_report(found, document.name))
    if found.best is None:
        raise typer.Exit(FAILED)

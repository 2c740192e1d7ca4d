"""The commands that look into a scenario: explain."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from agentflow.cli import output
from agentflow.cli.simulate import (
    Assign,
    Json,
    NewConnections,
    Plot,
    PriceTrend,
    Region,
    Runs,
    Seed,
    SpeedTrend,
    Threads,
    When,
    Workflow,
    assignments,
    check_plot,
    read_setting,
)


def explain(
    workflow: Workflow,
    backend: Annotated[str | None, typer.Option(help="A backend, a provider, or the path of a file.")] = None,
    assign: Assign = None,
    runs: Runs = 10_000,
    seed: Seed = 0,
    threads: Threads = None,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Try changes to each step and rank what would help.")
    ] = False,
    try_: Annotated[
        list[str] | None,
        typer.Option("--try", help="A backend or provider to try for each step; means --what-if. May be repeated."),
    ] = None,
    by: Annotated[Literal["mean", "p95"], typer.Option(help="What the changes are ranked by.")] = "p95",
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="What is wanted, such as 'p95<10s': say how fast each step would have to be. May be repeated."
        ),
    ] = None,
    region: Region = None,
    new_connections: NewConnections = False,
    price_trend: PriceTrend = None,
    speed_trend: SpeedTrend = None,
    when: When = None,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Say where the seconds go, in the mean and in the slow tail: critical path, slack, losses; and what would help."""
    check_plot(plot)
    assigned, setting = assignments(assign), read_setting(region, new_connections, price_trend, speed_trend, when)
    from agentflow.analysis.breakeven import break_even_of, parse_target
    from agentflow.analysis.explain import explain_scenario
    from agentflow.analysis.scenario import build_scenarios
    from agentflow.analysis.whatif import rank

    targets = [parse_target(text) for text in target or ()]
    scenario = build_scenarios(workflow, backend, assigned, setting)[0]
    output.announce_compiling()
    with output.progress() as progress:
        found = explain_scenario(scenario, runs, seed, threads, progress)
        ranking = (
            rank(scenario, try_ or (), runs, seed, threads, by, progress, setting=setting) if what_if or try_ else None
        )
        needs = [break_even_of(scenario, wanted, runs, seed, threads, progress) for wanted in targets]
    if plot is not None:
        from agentflow.report.insight_plots import plot_explanation

        plot_explanation(found, plot)
    if json:
        from agentflow.report.jsonable import break_even_object, explain_object, ranking_object

        more = {"what_if": None if ranking is None else ranking_object(ranking)}
        output.print_json(explain_object(found) | more | {"break_even": [break_even_object(need) for need in needs]})
        return
    from agentflow.report.explanation import explain_report
    from agentflow.report.helping import break_even_report, ranking_report

    output.show(explain_report(found, output.stdout()))
    for part in ([] if ranking is None else [ranking_report(ranking)]) + [break_even_report(need) for need in needs]:
        output.show("")
        output.show(part)

"""The commands that look into where the seconds go: explain, stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from agentflow.cli import output
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
    check_plot,
    read_setting,
    split_names,
)
from agentflow.errors import UsageError, quoted

DEFAULT_BACKENDS = ["cerebras", "groq", "together"]

MOST_TOKENS = 1e9
"""Tokens of a link; a document's own bound lies higher."""


def explain(
    workflow: Workflow,
    backend: OneBackend = None,
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
    plot: Annotated[Path | None, typer.Option(help="Draw where the seconds go: a .png, .svg or .pdf.")] = None,
) -> None:
    """Say where the seconds go, in the mean and in the slow tail: critical path, slack, losses; and what would help."""
    check_plot(plot)
    assigned, setting = assignments(assign), read_setting(region, new_connections, price_trend, speed_trend, when)
    from agentflow.analysis.insight.breakeven import break_even_of, parse_target
    from agentflow.analysis.insight.explain import explain_scenario
    from agentflow.analysis.insight.whatif import rank
    from agentflow.analysis.scenario import build_scenarios

    targets = [parse_target(text) for text in target or ()]
    scenario = build_scenarios(workflow, backend, assigned, setting)[0]
    output.warn_of_prompts(scenario)
    output.announce_compiling()
    with output.progress() as progress:
        found = explain_scenario(scenario, runs, seed, threads, progress)
        ranking = (
            rank(scenario, split_names(try_), runs, seed, threads, by, progress, setting=setting)
            if what_if or try_
            else None
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


def stack(
    links: Annotated[str, typer.Option(help="Numbers of chained calls: 1..12, or 1,2,4,8.")] = "1..12",
    backends: Annotated[
        list[str] | None,
        typer.Option("--backends", "--backend", help="Backends or providers, divided by commas. May be repeated."),
    ] = None,
    model: Annotated[str, typer.Option(help="The model whose profile a provider's name stands for.")] = "llama-3.3-70b",
    input_tokens: Annotated[str, typer.Option(help="Tokens that each call reads beside the answer before it.")] = "700",
    output_tokens: Annotated[str, typer.Option(help="Tokens that each call writes.")] = "300",
    runs: Runs = 10_000,
    seed: Seed = 0,
    threads: Threads = None,
    region: Region = None,
    new_connections: NewConnections = False,
    price_trend: PriceTrend = None,
    speed_trend: SpeedTrend = None,
    when: When = None,
    json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the time by links: a .png, .svg or .pdf.")] = None,
) -> None:
    """Show how latency stacks: the answer time against the number of chained calls, beside what people feel."""
    check_plot(plot)
    setting = read_setting(region, new_connections, price_trend, speed_trend, when)
    from agentflow.analysis.insight.stacking import parse_links, stack_links

    lengths, tokens = parse_links(links), [_tokens("--input-tokens", input_tokens, 0.0)]
    tokens.append(_tokens("--output-tokens", output_tokens, 1.0))
    places = split_names(backends) or DEFAULT_BACKENDS
    output.announce_compiling()
    with output.progress() as progress:
        found = stack_links(lengths, places, model=model, input_tokens=tokens[0], output_tokens=tokens[1], runs=runs,
                            seed=seed, threads=threads, progress=progress, setting=setting)  # fmt: skip
    from agentflow.report.stacking import plot_stacking, stack_object, stack_report

    if plot is not None:
        plot_stacking(found, plot)
    if json:
        output.print_json(stack_object(found))
    else:
        output.show(stack_report(found, output.stdout()))


def _tokens(option: str, text: str, least: float) -> float:
    """Read a number of tokens."""
    from agentflow.units import parse_count

    try:
        found = parse_count(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from None
    if found < least:
        raise UsageError(f"{option} {quoted(text)}: at least {least:g}")
    if found > MOST_TOKENS:
        raise UsageError(f"{option} {quoted(text)}: at most {MOST_TOKENS:,.0f}")
    return found

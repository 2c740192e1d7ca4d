"""The commands that simulate: run, compare, demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentflow.cli import output
from agentflow.cli.options import (
    Arrive,
    Assign,
    Backends,
    Client,
    FailIf,
    Json,
    NewConnections,
    Objective,
    OneBackend,
    Plot,
    Precision,
    PriceTrend,
    Region,
    Runs,
    Seed,
    SpeedTrend,
    Threads,
    Tier,
    When,
    Workflow,
    assignments,
    check_loaded,
    check_plot,
    check_save,
    read_gates,
    read_precision,
    read_setting,
    split_names,
)
from agentflow.errors import quoted

if TYPE_CHECKING:
    from agentflow.analysis.compare import Comparison
    from agentflow.analysis.gates import Gate, GateResult
    from agentflow.analysis.summary import Summary
    from agentflow.result import Result

DEMO_WORKFLOW = "prompt-chain-8"
DEMO_BACKENDS = [
    "cerebras",
    "groq",
    "sambanova",
    "fireworks",
    "together",
    "openai/gpt-4.1",
    "anthropic/claude-sonnet-4.5",
]


def run(
    workflow: Workflow,
    backend: OneBackend = None,
    assign: Assign = None,
    runs: Runs = 10_000,
    seed: Seed = 0,
    threads: Threads = None,
    precision: Precision = None,
    arrivals: Arrive = None,
    tier: Tier = None,
    client: Client = None,
    slo: Objective = None,
    fail_if: FailIf = None,
    baseline: Annotated[
        Path | None, typer.Option(help="An earlier result, from --json or --save, for gates such as 'e2e.p95>+10%'.")
    ] = None,
    region: Region = None,
    new_connections: NewConnections = False,
    price_trend: PriceTrend = None,
    speed_trend: SpeedTrend = None,
    when: When = None,
    json: Json = False,
    plot: Plot = None,
    save: Annotated[Path | None, typer.Option(help="Save the result, with a value a run: a .npz.")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Folder to go on from after a kill, replication by replication; needs --arrivals."),
    ] = None,
) -> None:
    """Simulate a workflow: how long until the answer, and where the seconds go."""
    gates = read_gates(fail_if)
    check_plot(plot)
    check_save(save)
    check_loaded(arrivals, tier=tier, client=client, slo=slo, checkpoint=checkpoint)
    wanted, assigned = read_precision(precision), assignments(assign)
    setting = read_setting(region, new_connections, price_trend, speed_trend, when, tier, client)
    from agentflow.analysis.baseline import load_baseline
    from agentflow.analysis.gates import check, require_baseline
    from agentflow.analysis.loading.slo import parse_slo
    from agentflow.analysis.metrics import Metrics
    from agentflow.analysis.scenario import simulate
    from agentflow.analysis.summary import summary_of

    before = None if baseline is None else load_baseline(baseline)
    require_baseline(gates, before)
    objective = None if slo is None else parse_slo(slo)
    output.announce_compiling(loaded=arrivals is not None)
    with output.progress() as progress:
        result = simulate(workflow, backend, assign=assigned, runs=runs, seed=seed, threads=threads,
                          precision=wanted, arrivals=arrivals, progress=progress, setting=setting,
                          checkpoint=checkpoint, columns=True if save is not None else None)  # fmt: skip
    metrics = Metrics(result)
    checked = [check(metrics, gate, before) for gate in gates]
    if before is not None and before.workflow != result.workflow:
        output.warn(f"the baseline is of {quoted(before.workflow)}, not of {quoted(result.workflow)}")
    summary = summary_of(metrics, objective)
    if save is not None:
        result.save(save)
    if plot is not None:
        from agentflow.report.plots import plot_summary

        plot_summary(summary, plot)
    if json:
        from agentflow.report.jsonable import run_object

        output.print_json(run_object(summary, checked))
    else:
        from agentflow.report.tables import run_report

        output.show(run_report(summary, output.stdout(), checked))
    _warn_of_load([summary])
    _finish([result], wanted, checked)


def compare(
    workflows: Annotated[list[str], typer.Argument(help="One workflow or several.")],
    backend: Backends = None,
    assign: Assign = None,
    runs: Runs = 10_000,
    seed: Seed = 0,
    threads: Threads = None,
    precision: Precision = None,
    arrivals: Arrive = None,
    tier: Tier = None,
    client: Client = None,
    baseline: Annotated[
        str | None, typer.Option(help="What the others are compared with; by default the slowest.")
    ] = None,
    fail_if: FailIf = None,
    region: Region = None,
    new_connections: NewConnections = False,
    price_trend: PriceTrend = None,
    speed_trend: SpeedTrend = None,
    when: When = None,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Compare backends, or workflows, over the same random numbers: "3.1 ± 0.1 times faster"."""
    gates = read_gates(fail_if)
    check_plot(plot)
    check_loaded(arrivals, tier=tier, client=client)
    wanted, assigned = read_precision(precision), assignments(assign)
    setting = read_setting(region, new_connections, price_trend, speed_trend, when, tier, client)
    from agentflow.analysis.scenario import compare as compare_scenarios

    output.announce_compiling(loaded=arrivals is not None)
    with output.progress() as progress:
        found = compare_scenarios(workflows, split_names(backend) or None, assign=assigned, runs=runs, seed=seed,
                                  threads=threads, precision=wanted, arrivals=arrivals, baseline=baseline,
                                  progress=progress, setting=setting)  # fmt: skip
    _report(found, gates, json, plot, wanted)


def demo(runs: Runs = 10_000, seed: Seed = 0, json: Json = False, plot: Plot = None) -> None:
    """Show a chain of eight calls on several providers."""
    compare([DEMO_WORKFLOW], DEMO_BACKENDS, runs=runs, seed=seed, json=json, plot=plot)


def _report(found: Comparison, gates: Sequence[Gate], json: bool, plot: Path | None, wanted: float | None) -> None:
    """Print a comparison and exit."""
    from agentflow.analysis.gates import check_all

    checked = check_all(found, gates)
    if plot is not None:
        from agentflow.report.plots import plot_comparison

        plot_comparison(found, plot)
    if json:
        from agentflow.report.jsonable import compare_object

        output.print_json(compare_object(found, checked))
    else:
        from agentflow.report.tables import compare_report

        output.show(compare_report(found, output.stdout(), checked))
    _warn_of_load([case.summary for case in found.cases])
    _finish([case.result for case in found.cases], wanted, checked)


def _warn_of_load(summaries: Sequence[Summary]) -> None:
    """Say what the load makes doubtful."""
    from agentflow.analysis.loading.load import warnings_of

    for summary in summaries:
        for text in warnings_of(summary.load) if summary.load is not None else ():
            output.warn(text)


def _finish(results: Sequence[Result], wanted: float | None, checked: Sequence[GateResult]) -> None:
    """Say if a precision was not met, and exit with the gates' code."""
    from agentflow.analysis.gates import exit_code

    output.warn_of(results)
    if wanted is not None:
        from agentflow.analysis.precision import relative_half_width

        width = max(relative_half_width(result) for result in results)
        if width > wanted:
            output.warn(
                f"the p95 is known to {100 * width:.2g} %, not to {100 * wanted:.2g} %: "
                f"stopped at {results[0].runs:,} runs"
            )
    raise typer.Exit(exit_code([gate.verdict for gate in checked]))

"""The commands that simulate: run, compare, demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentflow.cli import output
from agentflow.errors import UsageError, quoted

if TYPE_CHECKING:
    from agentflow.analysis.compare import Comparison
    from agentflow.analysis.gates import Gate, GateResult
    from agentflow.analysis.setting import Setting
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

Runs = Annotated[int, typer.Option(help="Number of simulated runs.", min=1, max=100_000_000)]
Seed = Annotated[int, typer.Option(help="Run n of a seed is always the same.", min=0, max=2**63 - 1)]
Threads = Annotated[
    int | None, typer.Option(help="Threads; by default one a core. The result is the same.", min=1, max=1024)
]
Precision = Annotated[str | None, typer.Option(help="Go on until the interval of the p95 is this narrow, such as 2%.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Plot = Annotated[Path | None, typer.Option(help="Draw the stacked latency: a .png, .svg or .pdf.")]
FailIf = Annotated[
    list[str] | None,
    typer.Option(
        help="Gate such as 'e2e.p95>10s', or 'e2e.p95>+10%' against --baseline; exit code 1 if it is so. "
        "May be repeated."
    ),
]
Assign = Annotated[list[str] | None, typer.Option(help="STEP=BACKEND: another backend for one step. May be repeated.")]
Arrive = Annotated[
    str | None,
    typer.Option(help="Runs meet: poisson:0.5/s, gamma:2/s,cv=3, closed:20,think=5s, batch:2000, trace:FILE."),
]
Tier = Annotated[str | None, typer.Option(help="The customer's tier, whose rate limits count: needs --arrivals.")]
Client = Annotated[
    str | None,
    typer.Option(help="What the framework costs: openai, langgraph, openai-agents, pydantic-ai; needs --arrivals."),
]
Objective = Annotated[str | None, typer.Option(help="Objective such as 'p95<20s', for the goodput: needs --arrivals.")]
Region = Annotated[str | None, typer.Option(help="Where the user is, such as eu-hetzner; see backends/network.yaml.")]
NewConnections = Annotated[bool, typer.Option("--new-connections", help="Each call opens a connection of its own.")]
PriceTrend = Annotated[str | None, typer.Option(help="How prices move, such as -86%/yr; needs --when.")]
SpeedTrend = Annotated[str | None, typer.Option(help="How speeds move, such as x2/yr; needs --when.")]
When = Annotated[str | None, typer.Option(help="The date that trends run to: 2028-05-01, or 18mo.")]
Workflow = Annotated[str, typer.Argument(help="A workflow of the catalogue, or the path of a file.")]


def run(
    workflow: Workflow,
    backend: Annotated[str | None, typer.Option(help="A backend, a provider, or the path of a file.")] = None,
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
    save: Annotated[Path | None, typer.Option(help="Save the result, with a column a run.")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Folder to go on from after a kill, replication by replication; needs --arrivals."),
    ] = None,
) -> None:
    """Simulate a workflow: how long until the answer, and where the seconds go."""
    gates = read_gates(fail_if)
    check_plot(plot)
    _check_loaded(arrivals, tier=tier, client=client, slo=slo, checkpoint=checkpoint)
    wanted, assigned = _precision(precision), assignments(assign)
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
    backend: Annotated[list[str] | None, typer.Option(help="A backend or a provider. Repeat it to compare.")] = None,
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
    _check_loaded(arrivals, tier=tier, client=client)
    wanted, assigned = _precision(precision), assignments(assign)
    setting = read_setting(region, new_connections, price_trend, speed_trend, when, tier, client)
    from agentflow.analysis.scenario import compare as compare_scenarios

    output.announce_compiling(loaded=arrivals is not None)
    with output.progress() as progress:
        found = compare_scenarios(workflows, backend or None, assign=assigned, runs=runs, seed=seed,
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

    for result in results:
        if beyond := result.manifest.get("extrapolated"):
            output.warn(f"{result.workflow}: extrapolated beyond what was measured: {beyond}")
        if unmoved := result.manifest.get("unmoved_by_load"):
            output.warn(
                f"diffusion does not batch continuously: however many runs share it, {unmoved} keeps its law of "
                "one load; write that load behind its name, such as @8"
            )
    if wanted is not None:
        from agentflow.analysis.precision import relative_half_width

        width = max(relative_half_width(result) for result in results)
        if width > wanted:
            output.warn(
                f"the p95 is known to {100 * width:.2g} %, not to {100 * wanted:.2g} %: "
                f"stopped at {results[0].runs:,} runs"
            )
    raise typer.Exit(exit_code([gate.verdict for gate in checked]))


def assignments(pairs: list[str] | None) -> dict[str, str]:
    """Read STEP=BACKEND pairs."""
    found: dict[str, str] = {}
    for pair in pairs or ():
        step, equals, backend = pair.partition("=")
        if not (step and equals and backend):
            raise UsageError(f"--assign {quoted(pair)}: write STEP=BACKEND, such as write=groq")
        if step in found:
            raise UsageError(f"--assign {quoted(pair)}: the step has a backend already")
        found[step] = backend
    return found


def _precision(text: str | None) -> float | None:
    """Read a precision such as 2%."""
    if text is None:
        return None
    from agentflow.units import parse_percent

    try:
        share = parse_percent(text)
    except ValueError as error:
        raise UsageError(f"--precision: {error}") from None
    if not 0.0 < share < 1.0:
        raise UsageError(f"--precision {quoted(text)}: must be between 0 and 100 %, such as 2%")
    return share


def _check_loaded(arrivals: str | None, **only: object) -> None:
    """Refuse options that say nothing of runs that are alone."""
    for name, value in only.items():
        if value is not None and arrivals is None:
            raise UsageError(f"--{name}: runs that are alone share nothing; add --arrivals, such as poisson:0.5/s")


def read_setting(
    region: str | None,
    new_connections: bool,
    price: str | None,
    speed: str | None,
    when: str | None,
    tier: str | None = None,
    client: str | None = None,
) -> Setting | None:
    """Read where and when the scenario takes place."""
    if new_connections and region is None:
        raise UsageError("--new-connections: say from where with --region")
    if all(said is None for said in (region, price, speed, when, tier, client)):
        return None
    import datetime

    from agentflow.analysis.loading.client import parse_client
    from agentflow.analysis.setting import Setting
    from agentflow.analysis.trends import parse_trend, parse_when

    today = datetime.datetime.now(datetime.UTC).date()
    return Setting(
        region=region,
        new_connections=new_connections,
        price=None if price is None else parse_trend(price),
        speed=None if speed is None else parse_trend(speed),
        when=None if when is None else parse_when(when, today),
        tier=tier,
        client=None if client is None else parse_client(client),
    )


def read_gates(expressions: list[str] | None) -> list[Gate]:
    """Read the gates, before anything is simulated."""
    if not expressions:
        return []
    from agentflow.analysis.gates import parse_gate

    return [parse_gate(expression) for expression in expressions]


def check_plot(plot: Path | None) -> None:
    """Refuse a picture that could not be written, before anything is simulated."""
    if plot is not None:
        from agentflow.report.plots import check_plot

        check_plot(plot)

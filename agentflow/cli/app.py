"""The commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from agentflow.cli import output
from agentflow.errors import UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Simulate how long an agentic workflow takes to answer, on which backend, and why.",
)

DEMO_WORKFLOW = "prompt-chain-8"
DEMO_BACKENDS = (
    "cerebras",
    "groq",
    "sambanova",
    "fireworks",
    "together",
    "openai/gpt-4.1",
    "anthropic/claude-sonnet-4.5",
)

Runs = Annotated[int, typer.Option(help="Number of simulated runs.", min=1, max=100_000_000)]
Seed = Annotated[int, typer.Option(help="Run n of a seed is always the same.", min=0, max=2**63 - 1)]
Threads = Annotated[
    int | None, typer.Option(help="Threads; by default one a core. The result is the same.", min=1, max=1024)
]
Precision = Annotated[str | None, typer.Option(help="Go on until the p95 is known this well, such as 2%.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Plot = Annotated[Path | None, typer.Option(help="Draw the stacked latency: a .png, .svg or .pdf.")]
FailIf = Annotated[
    list[str] | None,
    typer.Option(help="Gate such as 'e2e.p95>10s'; exit code 1 if it is so. May be repeated."),
]
Assign = Annotated[list[str] | None, typer.Option(help="STEP=BACKEND: another backend for one step. May be repeated.")]
Kind = Literal["workflow", "backend"]


def invoke(argv: list[str]) -> int:
    """Run the command; usage errors go to stderr."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=argv, prog_name="agentflow", standalone_mode=False)
    except Exception as error:
        shown = getattr(error, "format_message", None)
        if shown is None or not hasattr(error, "exit_code"):
            if type(error).__name__ == "Abort":
                raise KeyboardInterrupt from None
            raise
        context = getattr(error, "ctx", None)
        usage = f"{context.get_usage()}\n" if context is not None else ""
        raise UsageError(f"{usage}{shown()}" if shown() else "see agentflow --help") from None
    return code if isinstance(code, int) else 0


def _version(wanted: bool) -> None:
    if wanted:
        import agentflow

        print(f"agentflow {agentflow.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _assignments(pairs: list[str] | None) -> dict[str, str]:
    found = {}
    for pair in pairs or ():
        step, equals, backend = pair.partition("=")
        if not (step and equals and backend):
            raise UsageError(f"--assign {pair!r}: write STEP=BACKEND, such as write=groq")
        found[step] = backend
    return found


def _precision(text: str | None) -> float | None:
    if text is None:
        return None
    from agentflow.units import parse_percent

    try:
        return parse_percent(text)
    except ValueError as error:
        raise UsageError(f"--precision: {error}") from None


def _gates(expressions: list[str] | None) -> list[Any]:
    from agentflow.analysis.gates import parse_gate

    return [parse_gate(expression) for expression in expressions or ()]


def _check_plot(plot: Path | None) -> None:
    if plot is not None:
        from agentflow.report.plots import check_plot

        check_plot(plot)


@app.command()
def run(
    workflow: Annotated[str, typer.Argument(help="A workflow of the catalogue, or the path of a file.")],
    backend: Annotated[str | None, typer.Option(help="A backend, a provider, or the path of a file.")] = None,
    assign: Assign = None,
    runs: Runs = 10_000,
    seed: Seed = 0,
    threads: Threads = None,
    precision: Precision = None,
    fail_if: FailIf = None,
    json: Json = False,
    plot: Plot = None,
    save: Annotated[Path | None, typer.Option(help="Save the result, with a column a run.")] = None,
) -> None:
    """Simulate a workflow: how long until the answer, and where the seconds go."""
    from agentflow.analysis.gates import check, exit_code
    from agentflow.analysis.metrics import Metrics
    from agentflow.analysis.scenario import simulate
    from agentflow.analysis.summary import summary_of

    gates = _gates(fail_if)
    _check_plot(plot)
    wanted = _precision(precision)
    output.announce_compiling()
    with output.progress() as progress:
        result = simulate(workflow, backend, assign=_assignments(assign), runs=runs, seed=seed, threads=threads,
                          precision=wanted, progress=progress)  # fmt: skip
    metrics = Metrics(result)
    summary = summary_of(metrics)
    checked = [check(metrics, gate) for gate in gates]
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
    raise typer.Exit(exit_code([gate.verdict for gate in checked]))


@app.command()
def compare(
    workflows: Annotated[list[str], typer.Argument(help="One workflow or several.")],
    backend: Annotated[list[str] | None, typer.Option(help="A backend or a provider. Repeat it to compare.")] = None,
    assign: Assign = None,
    runs: Runs = 10_000,
    seed: Seed = 0,
    threads: Threads = None,
    precision: Precision = None,
    baseline: Annotated[
        str | None, typer.Option(help="What the others are compared with; by default the slowest.")
    ] = None,
    fail_if: FailIf = None,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Compare backends, or workflows, over the same random numbers: "3.1 ± 0.1 times faster"."""
    _compare(
        workflows,
        backend,
        _assignments(assign),
        runs,
        seed,
        threads,
        _precision(precision),
        baseline,
        fail_if,
        json,
        plot,
    )


@app.command()
def demo(runs: Runs = 10_000, seed: Seed = 0, json: Json = False, plot: Plot = None) -> None:
    """Show a chain of eight calls on several providers."""
    _compare([DEMO_WORKFLOW], list(DEMO_BACKENDS), {}, runs, seed, None, None, None, None, json, plot)


def _compare(
    workflows: list[str], backends: list[str] | None, assign: dict[str, str], runs: int, seed: int, threads: int | None,
    precision: float | None, baseline: str | None, fail_if: list[str] | None, json: bool, plot: Path | None,
) -> None:  # fmt: skip
    from agentflow.analysis.gates import check, exit_code
    from agentflow.analysis.metrics import Metrics
    from agentflow.analysis.scenario import compare as compare_scenarios

    gates = _gates(fail_if)
    _check_plot(plot)
    output.announce_compiling()
    with output.progress() as progress:
        found = compare_scenarios(workflows, backends or None, assign=assign, runs=runs, seed=seed, threads=threads,
                                  precision=precision, baseline=baseline, progress=progress)  # fmt: skip
    checked = [check(Metrics(case.result), gate) for gate in gates for case in found.cases]
    if plot is not None:
        from agentflow.report.plots import plot_comparison

        plot_comparison(found, plot)
    if json:
        from agentflow.report.jsonable import compare_object

        output.print_json(compare_object(found, checked))
    else:
        from agentflow.report.tables import compare_report

        output.show(compare_report(found, output.stdout(), checked))
    raise typer.Exit(exit_code([gate.verdict for gate in checked]))


@app.command()
def validate(
    files: Annotated[list[str], typer.Argument(help="Workflow or backend documents.")],
    backend: Annotated[str | None, typer.Option(help="Also compile the workflows for this backend.")] = None,
) -> None:
    """Check documents; every problem with file, line and column."""
    from agentflow import documents
    from agentflow.analysis.assignment import assign_backends
    from agentflow.errors import AgentflowError
    from agentflow.plan import compile_plan
    from agentflow.schema import Workflow

    bad = False
    for name in files:
        try:
            found = documents.load_any(name)
            if isinstance(found, Workflow):
                assignment = (
                    {"*": documents.placeholder_backend()} if backend is None else assign_backends(found, backend)
                )
                compile_plan(found, assignment, documents.position_of)
            print(f"{name}: ok")
        except AgentflowError as error:
            bad = True
            output.warn(str(error))
    raise typer.Exit(2 if bad else 0)


@app.command("list")
def list_(
    what: Annotated[
        Literal["workflows", "backends"] | None,
        typer.Argument(help="workflows or backends; by default both."),
    ] = None,
    json: Json = False,
) -> None:
    """List the catalogue and your own documents."""
    from agentflow import documents

    found = {}
    if what != "backends":
        found["workflows"] = documents.list_workflows()
    if what != "workflows":
        found["backends"] = documents.list_backends()
    if json:
        output.print_json({"schema_version": 1, **found})
        return
    from agentflow.report.catalogue import catalogue_report

    output.show(catalogue_report(found))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A workflow or a backend.")],
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a workflow as a Mermaid flowchart.")] = False,
) -> None:
    """Show a workflow as a tree, or a backend with its evidence."""
    from agentflow import documents
    from agentflow.report import tree
    from agentflow.schema import Workflow

    found = documents.load_any(name)
    if not isinstance(found, Workflow):
        if mermaid:
            raise UsageError(f"{name} is a backend; --mermaid draws workflows")
        output.show(tree.backend_report(found))
    elif mermaid:
        print(tree.mermaid(found))
    else:
        output.show(tree.workflow_tree(found))


@app.command()
def schema(kind: Annotated[Kind, typer.Argument(help="workflow or backend")]) -> None:
    """Print the JSON Schema of a document, for editors (draft-07)."""
    from agentflow import documents

    output.print_json(documents.json_schema(kind))


@app.command()
def calibrate(
    files: Annotated[list[str], typer.Argument(help="Result files of llmperf, vLLM, GuideLLM or AIPerf, or a CSV.")],
    format: Annotated[str | None, typer.Option(help="The files' format; by default found from the content.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the profile, PROVIDER/MODEL.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns of a CSV, such as ttft=first_ms:ms,e2e=total.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Keep the rows of a CSV with COLUMN=VALUE.")] = None,
    as_of: Annotated[str | None, typer.Option(help="When it was measured, 2026-11-21.")] = None,
    output_file: Annotated[str | None, typer.Option("--output", help="Write the profile to this file.")] = None,
    plot: Annotated[str | None, typer.Option(help="Draw fitted against measured quantiles.")] = None,
    json: Json = False,
) -> None:
    """Turn measured requests into a backend's profile, with its evidence."""
    from agentflow.cli.calibrate import calibrate_command

    calibrate_command(
        files, format=format, name=name, columns=columns, where=where or (), as_of=as_of, output=output_file, plot=plot,
        as_json=json, console=output.stdout(),
    )  # fmt: skip

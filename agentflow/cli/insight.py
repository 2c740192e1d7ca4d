"""The commands that look into a scenario: explain."""

from __future__ import annotations

from typing import Annotated

import typer

from agentflow.cli import output
from agentflow.cli.simulate import Assign, Json, Plot, Runs, Seed, Threads, Workflow, assignments, check_plot


def explain(
    workflow: Workflow,
    backend: Annotated[str | None, typer.Option(help="A backend, a provider, or the path of a file.")] = None,
    assign: Assign = None,
    runs: Runs = 10_000,
    seed: Seed = 0,
    threads: Threads = None,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Say where the seconds go: the critical path, in the mean and in the slow tail, slack, and what is lost."""
    check_plot(plot)
    assigned = assignments(assign)
    from agentflow.analysis.explain import explain as explain_scenario

    output.announce_compiling()
    with output.progress() as progress:
        found = explain_scenario(workflow, backend, assign=assigned, runs=runs, seed=seed, threads=threads,
                                 progress=progress)  # fmt: skip
    if plot is not None:
        from agentflow.report.insight_plots import plot_explanation

        plot_explanation(found, plot)
    if json:
        from agentflow.report.jsonable import explain_object

        output.print_json(explain_object(found))
    else:
        from agentflow.report.explanation import explain_report

        output.show(explain_report(found, output.stdout()))

"""The command that finds how much load a scenario bears: capacity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentflow.cli import output
from agentflow.cli.options import (
    Assign,
    Backends,
    Json,
    Runs,
    Seed,
    Threads,
    Workflow,
    assignments,
    check_plot,
    read_setting,
    split_names,
)


def capacity(
    workflow: Workflow,
    slo: Annotated[str, typer.Option(help="The objective, such as 'p95<20s' or 'ttft.p50<800ms'.")],
    backend: Backends = None,
    assign: Assign = None,
    runs: Runs = 10_000,
    seed: Seed = 0,
    threads: Threads = None,
    arrivals: Annotated[str, typer.Option(help="A kind without its rate: poisson, constant, gamma,cv=3.")] = "poisson",
    tier: Annotated[str | None, typer.Option(help="The customer's tier, whose rate limits count.")] = None,
    client: Annotated[
        str | None, typer.Option(help="What the framework costs: openai, langgraph, openai-agents, pydantic-ai.")
    ] = None,
    json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw p50 and p95 against load: a .png, .svg or .pdf.")] = None,
) -> None:
    """Find the highest arrival rate that holds an objective, with its interval."""
    check_plot(plot)
    assigned = assignments(assign)
    setting = read_setting(None, False, None, None, None, tier, client)
    from agentflow.analysis.loading.capacity import scenario_capacities

    output.announce_compiling()
    found = scenario_capacities(workflow, slo, split_names(backend) or None, assign=assigned, setting=setting,
                                runs=runs, seed=seed, threads=threads, arrivals=arrivals,
                                loading=lambda: output.announce_compiling(loaded=True))  # fmt: skip
    if plot is not None:
        from agentflow.report.capacity import plot_capacity

        plot_capacity(found, plot)
    if json:
        from agentflow.report.jsonable import capacity_object

        output.print_json(capacity_object(found))
    else:
        from agentflow.report.capacity import capacity_table

        output.show(capacity_table(found))

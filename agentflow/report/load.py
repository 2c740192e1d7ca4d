"""What load did, as a table: arrivals, throughput, and the waits at each shared resource."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentflow.analysis.load import LoadReport
from agentflow.report.palette import count, seconds, share
from agentflow.report.text import grid, interval, plain


def load_table(load: LoadReport) -> RenderableType:
    """Show what load did."""
    facts = grid("", "", header=False, wrap=(1,))
    text = plain(load.arrivals).append(f"; {load.replications} replications")
    if load.warmup:
        text.append(f", each after {load.warmup:,} runs of warm-up")
    facts.add_row(Text("load", "dim"), text)
    if load.makespan_s is not None:
        made = f"{seconds(load.makespan_s.value)} s {interval(load.makespan_s)} from the first arrival to the last end"
        facts.add_row(Text("makespan", "dim"), made)
    else:
        ended = Text(f"{load.throughput.value:.4g} runs/s")
        if load.capacity is not None:
            ended.append(f"; {load.capacity[0]:.4g} runs/s is the most that ").append_text(plain(load.capacity[1]))
            ended.append(" can serve")
        facts.add_row(Text("throughput", "dim"), ended)
    return Group(facts, Text(), _resources(load)) if load.resources else facts


def _resources(load: LoadReport) -> Table:
    """Show each shared resource."""
    table = grid(
        "shared", ">slots", ">offered", ">busy", ">wait mean", "95 % interval", ">p95", ">turned away", wrap=(0,)
    )
    for r in load.resources:
        turned = f"{count(r.rejected)}" + (f", {count(r.left)} left" if r.left else "")
        table.add_row(
            plain(r.name, limit=40),
            f"{r.capacity:,}",
            "-" if math.isnan(r.offered) else share(r.offered),
            share(r.utilisation.value),
            Text(seconds(r.wait_s.value), "bold"),
            Text(interval(r.wait_s), "dim"),
            seconds(r.wait_p95_s),
            turned,
        )
    return table

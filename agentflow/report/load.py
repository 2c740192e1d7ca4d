"""What load did, as a table: arrivals, throughput, and the waits at each shared resource."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentflow.analysis.loading.load import LoadReport
from agentflow.errors import printable
from agentflow.report.palette import count, seconds, share
from agentflow.report.text import grid, interval, plain, rate_interval


def load_table(load: LoadReport) -> RenderableType:
    """Show what load did."""
    facts = grid("", "", header=False, wrap=(1,))
    text = plain(load.arrivals).append(f"; {load.replications} replications")
    if load.warmup:
        text.append(f", each after {load.warmup:,} runs of warm-up")
    facts.add_row(Text("load", "dim"), text)
    if load.verdict:
        facts.add_row(Text("verdict", "dim"), Text(_verdict(load), "bold red" if load.verdict == "overloaded" else ""))
    if load.makespan_s is not None:
        made = f"{seconds(load.makespan_s.value)} s {interval(load.makespan_s)} from the first arrival to the last end"
        facts.add_row(Text("makespan", "dim"), made)
    else:
        ended = Text(f"{load.throughput.value:.4g} runs/s")
        if load.answered is not None and load.answered < 0.9995 * load.throughput.value:
            ended.append(f" end, {load.answered:.4g} runs/s with an answer")
        if load.capacity is not None:
            ended.append(f"; {load.capacity[0]:.4g} runs/s is the most that ").append_text(plain(load.capacity[1]))
            ended.append(" bears")
        facts.add_row(Text("throughput", "dim"), ended)
    if load.goodput is not None:
        good = f"{load.goodput.value:.4g} runs/s {rate_interval(load.goodput)} answered within the objective's limit"
        facts.add_row(Text("goodput", "dim"), good)
    if load.client is not None:
        cores = "one core" if load.client.cores == 1 else f"{load.client.cores:,} cores"
        text = plain(load.client.name).append(f": {share(load.client.asked.value)} of {cores} asked for")
        facts.add_row(
            Text("client", "dim"), text.append(f"; a call waits {seconds(load.client.wait_s.value)} s for them")
        )
    tables = [_resources(load)] if load.resources else []
    tables += [_fleets(load)] if load.fleets else []
    tables += [_limits(load)] if load.limits else []
    tables += [_breakers(load)] if load.breakers else []
    return Group(facts, *(part for table in tables for part in (Text(), table)))


def _verdict(load: LoadReport) -> str:
    """Say whether what arrives is more than what can be borne."""
    if load.verdict != "overloaded":
        return f"{load.verdict}: waits hang on small changes"
    if load.state != "unstable":
        return "overloaded: the client's cores are asked for more than they have"
    if load.rate is None or load.capacity is None:
        return "overloaded"
    most, name = load.capacity
    rest = "the times depend on how long it lasts"
    return f"overloaded: {load.rate:.4g} runs/s arrive, {printable(name)} bears {most:.4g}; {rest}"


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


def _limits(load: LoadReport) -> Table:
    """Show each rate limit."""
    table = grid("rate limit", ">offered", ">passed", ">refused", "by", wrap=(0, 4))
    for limit in load.limits:
        offered = ", ".join(f"{share(x)} of {name}" for name, x in limit.offered.items()) or "-"
        causes = sorted(limit.refused.items(), key=lambda item: -item[1])
        by = ", ".join(f"{name} {count(n)}" for name, n in causes)
        table.add_row(plain(limit.name, limit=40), offered, count(limit.passed), count(sum(limit.refused.values())), by)
    return table


def _breakers(load: LoadReport) -> Table:
    """Show each circuit breaker."""
    table = grid("circuit breaker", ">opened", ">refused", wrap=(0,))
    for breaker in load.breakers:
        table.add_row(plain(breaker.name, limit=40), count(breaker.opened), count(breaker.refused))
    return table


def _fleets(load: LoadReport) -> Table:
    """Show each deployment whose replicas batch."""
    table = grid("batching", ">replicas", ">offered", ">busy", "95 % interval", ">preempted", wrap=(0,))
    for fleet in load.fleets:
        low, high = fleet.busy.low, fleet.busy.high
        interval = "" if low is None or high is None else f"[{share(max(0.0, low))}, {share(min(1.0, high))}]"
        offered = "-" if math.isnan(fleet.offered) else share(fleet.offered)
        busy, lost = share(fleet.busy.value), count(fleet.preemptions)
        table.add_row(plain(fleet.name, limit=40), f"{fleet.replicas:,}", offered, busy, Text(interval, "dim"), lost)
    return table

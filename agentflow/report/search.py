"""What `agentflow sweep` and `agentflow optimize` print."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from agentflow.analysis.insight.optimize import Assignment, Optimum
from agentflow.analysis.insight.sweep import Sweep
from agentflow.analysis.metrics import NO_ANSWER
from agentflow.report.jsonable import SCHEMA_VERSION, run_object
from agentflow.report.palette import dollars, seconds, share
from agentflow.report.text import grid, interval, plain, runs

MOST_ROWS = 12


def sweep_report(found: Sweep) -> RenderableType:
    """Show p50, p95, TTFT, price and answers for each combination of values."""
    first = found.comparison.cases[0].summary
    head = plain(first.workflow, "bold").append(f", {runs(first.runs, ' each')}, seed {first.seed}", "dim")
    names = [f">{item.text}" for item in found.varied]
    columns = [">p50\ns", ">p95\ns", "95 %\ninterval", ">first\ntoken", ">$ a run\n", ">answered\n"]
    table = grid(*names, *columns, wrap=range(len(names)))
    for values, case in zip(found.values, found.comparison.cases, strict=True):
        s = case.summary
        lost = sum(s.outcomes[name].value for name in NO_ANSWER)
        table.add_row(
            *(plain(value, limit=30) for value in values),
            Text(seconds(s.e2e_s["p50"].value), "bold"),
            seconds(s.e2e_s["p95"].value),
            Text(interval(s.e2e_s["p95"]), "dim"),
            seconds(s.ttft_s["p50"].value),
            dollars(s.cost_usd["mean"].value) if s.cost_usd else "?",
            share(1.0 - lost),
        )
    lost = any(case.summary.outcomes[name].value > 0 for case in found.comparison.cases for name in NO_ANSWER)
    note = [Text("the times count runs without an answer up to their end", "dim")] if lost else []
    return Group(head, Text(), table, *note)


def sweep_object(found: Sweep) -> dict[str, Any]:
    """Write it as `agentflow sweep --json` prints it."""
    names = [item.text for item in found.varied]
    cases = zip(found.values, found.comparison.cases, strict=True)
    return {
        "schema_version": SCHEMA_VERSION,
        "varied": names,
        "cases": [{"values": dict(zip(names, v, strict=True)), **run_object(case.summary)} for v, case in cases],
    }


def optimum_report(found: Optimum, workflow: str) -> RenderableType:
    """Show the best assignment and what less money buys."""
    head = plain(workflow, "bold").append(
        f", {found.looked:,} of {found.of:,} assignments, {runs(found.runs, ' each')}, seed {found.seed}", "dim"
    )
    limit = "" if found.limit_usd is None else f" at {dollars(found.limit_usd)} a run or less"
    if found.best is None or found.time_s is None:
        none = Text(f"no assignment that was tried is within the limits{limit}")
        return Group(head, none, *_nearest(found), Text(), *_front(found))
    time, cost = found.time_s, found.cost_usd
    told = f"shortest {found.by}{limit}: {seconds(time.value)} s {interval(time)}"
    told += "" if cost is None else f", {dollars(cost.value)} a run"
    table = grid("step", "backend", wrap=(0, 1))
    for step, place in found.best.places.items():
        table.add_row(plain(step, limit=40), plain(place))
    how = "all were tried" if found.proven else "a local search: there may be a better one"
    note = Text(f"{how}; the best one's figures above are of fresh runs", "dim")
    return Group(head, Text(told), Text(), table, Text(), *_front(found), note)


def _nearest(found: Optimum) -> list[RenderableType]:
    """Show what is least beyond the limits."""
    row = found.nearest
    if row is None:
        return []
    cost = "" if row.cost_usd is None else f", {dollars(row.cost_usd)} a run"
    places: dict[str, None] = dict.fromkeys(row.places.values())
    told = f"the nearest: {found.by} {seconds(row.time_s)} s{cost}, {share(row.answered)} answered, on "
    return [Text(told).append_text(plain(", ".join(places), limit=300))]


def _front(found: Optimum) -> list[RenderableType]:
    """Show what was simulated and is beaten by nothing in both time and price."""
    if len(found.front) < 2:
        return []
    step = max(1, -(-len(found.front) // MOST_ROWS))
    rows = [*found.front[:-1:step], found.front[-1]]
    table = grid(f">{found.by}\ns", ">$ a run\n", "how it differs from the row above\n", wrap=(2,))
    before: Assignment | None = None
    for row in rows:
        assert row.cost_usd is not None  # only such are on the front
        changed = {s: place for s, place in row.places.items() if before is not None and before.places[s] != place}
        table.add_row(seconds(row.time_s), dollars(row.cost_usd), plain(_told(changed), limit=300))
        before = row
    return [Text("what less money buys"), table, Text()]


def _told(changed: dict[str, str]) -> str:
    """Write changes, steps of one backend together."""
    places = dict.fromkeys(changed.values())
    return "; ".join(f"{', '.join(s for s in changed if changed[s] == place)} on {place}" for place in places)


def optimum_object(found: Optimum, workflow: str) -> dict[str, Any]:
    """Write it as `agentflow optimize --json` prints it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "workflow": workflow,
        "by": found.by,
        "limit_usd": found.limit_usd,
        "runs": found.runs,
        "seed": found.seed,
        "looked": found.looked,
        "of": found.of,
        "proven": found.proven,
        "best": None if found.best is None else _assignment(found.best),
        "nearest": None if found.nearest is None else _assignment(found.nearest),
        "time_s": None if found.time_s is None else found.time_s.as_dict(),
        "cost_usd": None if found.cost_usd is None else found.cost_usd.as_dict(),
        "front": [_assignment(row) for row in found.front],
    }


def _assignment(row: Assignment) -> dict[str, Any]:
    """Write an assignment."""
    return {
        "places": dict(row.places),
        "time_s": row.time_s,
        "cost_usd": row.cost_usd,
        "answered": row.answered,
    }

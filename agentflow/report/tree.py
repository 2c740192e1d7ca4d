"""A workflow as a text tree and as Mermaid, a backend as a table of figures and evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from agentflow.errors import printable
from agentflow.report.hardware import deployment_line, evidence_table
from agentflow.report.text import grid, plain
from agentflow.schema import Backend, Deployed, Law, Measured, Quorum, Table, Workflow, describe
from agentflow.units import format_count, format_duration, format_price, format_rate


def workflow_tree(workflow: Workflow) -> RenderableType:
    """Show a workflow's steps, what they need and what they use."""
    root = Tree(plain(workflow.name, "bold"), guide_style="dim")
    _branches(root, workflow.steps)
    head: list[RenderableType] = [Text(printable(workflow.description.strip(), 2000))] if workflow.description else []
    budget = workflow.budget
    if budget is not None:
        bounds = [
            f"{k} {v:g}"
            for k, v in (("tokens", budget.tokens), ("usd", budget.usd), ("deadline", budget.deadline))
            if v
        ]
        head.append(Text("budget: " + ", ".join(bounds), "dim"))
    tail = [Text(), Text("source: " + printable(workflow.source.strip(), 4000), "dim")] if workflow.source else []
    return Group(*head, *([Text()] if head else []), root, *tail)


def _branches(tree: Tree, steps: Mapping[str, Any]) -> None:
    for name, step in steps.items():
        line = plain(name, "bold").append("  ").append_text(Text(kind_of(step), "cyan"))
        if step.needs:
            line.append("  after ", "dim").append_text(plain(", ".join(step.needs), limit=200))
        facts = list(_facts(step))
        if facts:
            line.append("  " + "; ".join(facts), "dim")
        branch = tree.add(line)
        if step.type == "workflow" and isinstance(step.workflow, Workflow):
            _branches(branch, step.workflow.steps)
        elif step.type in ("map", "loop"):
            _branches(branch, step.steps)


def kind_of(step: Any) -> str:
    """Say in a few words what a step is."""
    if step.type == "loop":
        return f"loop, at most {step.max_iterations} times"
    if step.type == "map":
        return f"map, {describe(step.count)} instances"
    if step.type == "guardrail" and not step.blocking:
        return "guardrail beside"
    return str(step.type)


def _facts(step: Any) -> Iterator[str]:
    join = getattr(step, "join", "all")
    if isinstance(join, Quorum):
        yield f"joins {join.quorum}"
    elif join == "any":
        yield "joins any"
    if getattr(step, "latency", None) is not None:
        yield describe(step.latency, "s")
    elif step.type == "wait":
        yield describe(step.duration, "s")
    elif hasattr(step, "input_tokens"):
        tokens = step.input_tokens
        text = f"in {describe(tokens.own)}"
        text += "".join(f" + {factor:g} x {printable(name)}" for name, factor in tokens.from_.items())
        yield text + (" + history" if tokens.history else "")
        yield f"out {describe(step.output_tokens)}"
        if step.model:
            yield printable(step.model)
    for name, chance in (getattr(step, "routes", None) or {}).items():
        yield f"{printable(name)} {chance:.0%}"
    for catch in step.catch:
        yield f"{', '.join(catch.errors)} -> {printable(catch.to)}"


def mermaid(workflow: Workflow) -> str:
    """Write a workflow as a Mermaid flowchart."""
    lines = ["flowchart TD"]
    _nodes(workflow.steps, "", lines, 1)
    return "\n".join(lines)


def _quoted(text: str) -> str:
    safe = printable(text, 60)
    for sign, entity in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;"), ("`", "#96;")):
        safe = safe.replace(sign, entity) if sign != "#" else safe.replace("#", entity)
    return f'"{safe}"'


def _nodes(steps: Mapping[str, Any], prefix: str, lines: list[str], depth: int) -> None:
    pad = "  " * depth
    ids = {name: "n_" + (prefix + name).replace(".", "__").replace("-", "_0") for name in steps}
    for name, step in steps.items():
        inner = step.workflow.steps if step.type == "workflow" else getattr(step, "steps", None)
        if inner is not None:
            lines.append(f"{pad}subgraph {ids[name]}[{_quoted(f'{name}: {kind_of(step)}')}]")
            _nodes(inner, prefix + name + ".", lines, depth + 1)
            lines.append(f"{pad}end")
        else:
            shape = ("([", "])") if step.type == "human" else ("{{", "}}") if step.type == "guardrail" else ("[", "]")
            lines.append(f"{pad}{ids[name]}{shape[0]}{_quoted(f'{name}: {kind_of(step)}')}{shape[1]}")
    for name, step in steps.items():
        for need in step.needs:
            source, _, route = need.partition(".")
            label = f"|{_quoted(route)}|" if route else ""
            lines.append(f"{pad}{ids.get(source, 'missing')} -->{label} {ids[name]}")
        for catch in step.catch:
            lines.append(f"{pad}{ids[name]} -. {_quoted(', '.join(catch.errors))} .-> {ids.get(catch.to, 'missing')}")


def _limit(value: object) -> str:
    """Write a limit's figure."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def figures(backend: Backend) -> Iterator[tuple[str, str]]:
    """Yield a backend's figures, each with its name."""
    price = backend.price
    yield from _law(backend.law)
    for name, spec in backend.errors.items():
        yield f"error: {name}", f"{spec.probability:.3%} of the attempts"
    if backend.context:
        yield "context", f"{format_count(backend.context)} tokens"
    if price:
        cached = f", {format_price(price.cached_input)} cached" if price.cached_input is not None else ""
        yield "price", f"{format_price(price.input)} in, {format_price(price.output)} out{cached}"
    if price and price.batch is not None:
        yield "batch price", f"{price.batch:.0%} of it"
    if m := backend.law.measured:
        if m.measured_from:
            yield "measured from", m.measured_from
        for effort, law in m.thinking.items():
            yield f"thinking: {effort}", f"{describe(law)} tokens"
        if m.drift is not None:
            yield "drift (log-sd)", f"from day to day {m.drift.ttft:g} in TTFT, {m.drift.speed:g} in speed"
    for limit in backend.limits:
        given = limit.model_dump(exclude_defaults=True, exclude={"tier"})
        yield f"limits: {limit.tier}", ", ".join(f"{key} {_limit(value)}" for key, value in given.items())
    if backend.capacity:
        c = backend.capacity
        more = "" if c.max_queue is None else f", at most {c.max_queue:,} waiting"
        yield "capacity", f"{c.concurrency:,} calls at a time, {c.queue}{more}"
    if backend.cache:
        yield "prefix cache", f"hits {backend.cache.hit_rate:.0%}, from {backend.cache.min_tokens:,} tokens"


def backend_report(backend: Backend) -> RenderableType:
    """Show a backend's figures and where each comes from."""
    head = plain(backend.name, "bold").append(f"  {backend.status}", "cyan")
    if backend.as_of:
        head.append(f", as of {backend.as_of}", "dim")
    table = grid("figure", "value", wrap=(1,))
    for name, value in figures(backend):
        table.add_row(plain(name, limit=40), plain(value, limit=300))
    about = [Text(printable(" ".join(backend.description.split()), 2000))] if backend.description else []
    return Group(head, *about, Text(), table, Text(), evidence_table(backend.evidence))


def _law(law: Law) -> Iterator[tuple[str, str]]:
    """Say how long an attempt takes."""
    served: Measured | Deployed | Table | None = law.measured or law.deployment or law.table
    assert served is not None
    if law.measured:
        m = law.measured
        at = f", at {m.ttft_input_tokens:,} input tokens" if m.ttft_input_tokens else ""
        yield "time to first token", describe(m.ttft, "s") + at
        yield "prefill rate", format_rate(m.prefill_rate) if m.prefill_rate else "input costs no time"
        yield "decode rate", describe(m.decode_rate, "tok/s")
        if m.stall:
            yield "stall", f"{m.stall.probability:.2%} of the calls, {describe(m.stall.duration, 's')}"
    elif law.deployment:
        d = law.deployment
        yield "deployment", deployment_line(d.deployment)
        yield "load", f"{d.concurrency:g} in flight, {d.input_tokens:,} tokens in and {d.output_tokens:,} out each"
    elif law.table:
        yield "in flight", f"{law.table.concurrency:g}"
        for row in law.table.rows:
            at = f", {row.input_tokens:,} input tokens" if row.input_tokens else ""
            times = f"{format_duration(row.ttft)} to the first token, {format_duration(row.tpot)} a token"
            yield f"at {row.concurrency:g}{at}", times
    v = served.variation
    yield "variation (log-sd)", f"{v.between_runs:g} between runs, {v.between_calls:g} between calls"
    if served.network is not None:
        yield "network", describe(served.network, "s")

"""Hardware documents as tables of figures, each with its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentflow.errors import printable
from agentflow.report.text import grid, plain
from agentflow.schema import Chip, Deployment, Engine, Evidence, HardwareDocument
from agentflow.schema._base import Model
from agentflow.units import (
    format_bandwidth,
    format_bytes,
    format_count,
    format_duration,
    format_flops,
    format_power,
    format_usd,
)

_UNITS = {
    "memory": format_bytes, "visible_memory": format_bytes, "overflow_memory": format_bytes,
    "large_message": format_bytes,
    "bandwidth": format_bandwidth, "overflow_bandwidth": format_bandwidth, "link_bandwidth": format_bandwidth,
    "kv_transfer_bandwidth": format_bandwidth,
    "link_latency": format_duration, "watts": format_power, "idle_watts": format_power,
    "published_parameters": format_count, "published_active": format_count, "context": format_count,
    "usd_per_chip_hour": format_usd,
}  # fmt: skip
_SECONDS = ("overhead", "latency", "queue_cost", "host_layer", "host_layer_prefill", "seconds")
_HEAD = ("schema_version", "name", "description", "evidence", "status")


def hardware_report(document: HardwareDocument) -> RenderableType:
    """Show a chip, a model, an engine or a deployment: its figures and where each comes from."""
    head = plain(document.name, "bold")
    if isinstance(document, Chip):
        head.append(f"  {document.status}", "cyan")
    figures = grid("figure", "value", wrap=(1,))
    for name, value in _figures(document):
        figures.add_row(plain(name), plain(value, limit=500))
    parts: list[RenderableType] = [head]
    if document.description:
        parts.append(Text(printable(" ".join(document.description.split()), 2000)))
    return Group(*parts, Text(), figures, Text(), evidence_table(document.evidence))


def _figures(document: Model) -> Iterator[tuple[str, str]]:
    """List what a document says beyond what is there by default."""
    for name, field in type(document).model_fields.items():
        value = getattr(document, name)
        if name in _HEAD or (value == field.default and not isinstance(value, HardwareDocument)):
            continue
        if isinstance(document, Engine) and name == "families":
            for family, constants in value.items():
                yield family, _inline(constants)
        else:
            yield name.replace("_", " "), _value(name, value)


def _value(name: str, value: Any) -> str:
    if name == "flops":
        return ", ".join(f"{dtype} {format_flops(speed)}" for dtype, speed in value.items())
    if isinstance(value, HardwareDocument):
        return value.name
    if isinstance(value, Model):
        return _inline(value)
    if name in _UNITS and isinstance(value, float | int):
        return _UNITS[name](value) if not (name == "bandwidth" and value <= 1) else f"{value:g}"
    return str(value)


def _inline(part: Model) -> str:
    """Write a part on one line."""
    given = {name: getattr(part, name) for name, field in type(part).model_fields.items()}
    kept = {name: value for name, value in given.items() if value != type(part).model_fields[name].default}
    return ", ".join(f"{name} {_short(name, value)}" for name, value in kept.items()) or "as by default"


def _short(name: str, value: Any) -> str:
    if isinstance(value, float):
        return format_duration(value) if name.endswith(_SECONDS) else f"{value:g}"
    return str(value)


def deployment_line(d: Deployment) -> str:
    """Say what a deployment is in one line."""
    ways = (("TP", d.tensor_parallel), ("PP", d.pipeline_parallel), ("attention DP", d.attention_data_parallel))
    split = ", ".join(f"{name} {n}" for name, n in ways if n > 1)
    weights = d.weights or d.model.weights
    copies = f", {d.replicas} replicas" if d.replicas > 1 else ""
    if d.disaggregated:
        copies = f", {d.all_replicas - d.replicas} replicas that prefill and {d.replicas} that decode"
    tail = f" ({split})" if split else ""
    return f"{d.model.name} in {weights} on {d.chips} x {d.chip.name}{tail} with {d.engine.name}{copies}"


def evidence_table(evidence: Sequence[Evidence]) -> Table:
    """Show where each figure comes from."""
    table = grid("evidence for", "kind", "date", ">n", "source", wrap=(0, 4))
    for item in evidence:
        source = printable(" ".join(item.source.split()), 300)
        note = f"; {printable(' '.join(item.note.split()), 400)}" if item.note else ""
        table.add_row(
            plain(", ".join(item.figures), limit=200), item.kind, str(item.date or ""), str(item.n or ""),
            Text(source + note),
        )  # fmt: skip
    return table

"""The catalogue as a list."""

from __future__ import annotations

from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from agentflow.report.text import grid, plain


def catalogue_report(found: dict[str, list[str]]) -> RenderableType:
    """Show the names of workflows and hardware, and the models by provider."""
    parts: list[RenderableType] = []
    for kind, names in found.items():
        if kind != "backends":
            parts += [Text(kind, "bold"), *(plain(f"  {name}") for name in names), Text()]
    if "backends" in found:
        table = grid("backends", "models", wrap=(1,))
        for provider, profiles in groupby(found["backends"], key=lambda name: name.partition("/")[0]):
            models = ", ".join(name.partition("/")[2] or name for name in profiles)
            table.add_row(plain(provider, "bold"), plain(models, limit=4000))
        parts.append(table)
    return Group(*parts)

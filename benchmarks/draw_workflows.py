"""Draws the catalogue's workflows: `python -m benchmarks.draw_workflows` writes workflows/README.md."""

from __future__ import annotations

from pathlib import Path

from agentflow import load_workflow
from agentflow.documents import list_workflows
from agentflow.report.tree import mermaid

PAGE = Path(__file__).resolve().parent.parent / "workflows" / "README.md"
HEAD = """# Workflows

Each is a pattern that people build, with the source of its structure; what nobody published is assumed, and marked
so. Run one with `agentflow run NAME`, take its file as a start for your own, see it with `agentflow show NAME`.

This page is written by `python -m benchmarks.draw_workflows`.
"""


def page(names: list[str]) -> str:
    """Return the page: for each workflow its description, its picture as a Mermaid flowchart, and its source."""
    parts = [HEAD]
    for name in names:
        workflow = load_workflow(name)
        source = " ".join(workflow.source.split())
        parts.append(f"## [{name}]({name}.yaml)\n\n{' '.join(workflow.description.split())}\n")
        parts.append(f"```mermaid\n{mermaid(workflow)}\n```\n\n{source}\n")
    return "\n".join(parts)


def shipped() -> list[str]:
    """List the names of the workflows beside the page."""
    return [name for name in list_workflows() if (PAGE.parent / f"{name}.yaml").is_file()]


if __name__ == "__main__":
    PAGE.write_text(page(shipped()), encoding="utf-8")

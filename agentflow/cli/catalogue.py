"""The commands about documents: validate, list, show, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from agentflow.cli import output
from agentflow.errors import AgentflowError, DocumentError, PlanError, UsageError, printable

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Kind = Literal["workflow", "backend"]


def validate(
    files: Annotated[list[str], typer.Argument(help="Workflow or backend documents.")],
    backend: Annotated[str | None, typer.Option(help="Also check that the workflows' steps find this backend.")] = None,
    json: Json = False,
) -> None:
    """Check documents; every problem with file, line and column."""
    checked = [(name, *_check(name, backend)) for name in files]
    if json:
        found = [
            {"file": name, "valid": error is None, "kind": kind, "problems": _problems(error)}
            for name, kind, error in checked
        ]
        output.print_json({"schema_version": 1, "files": found})
    else:
        for name, kind, error in checked:
            if error is None:
                print(f"{printable(name, 1000)}: ok, a {kind}", flush=True)
            else:
                output.warn(str(error))
    raise typer.Exit(2 if any(error is not None for _, _, error in checked) else 0)


def _check(name: str, backend: str | None) -> tuple[str | None, AgentflowError | None]:
    """Return what kind of document a file holds, and what is wrong with it."""
    from agentflow import documents
    from agentflow.analysis.assignment import assign_backends
    from agentflow.plan import compile_plan
    from agentflow.schema import Workflow

    kind = None
    try:
        found = documents.load_any(name)
        kind = "workflow" if isinstance(found, Workflow) else "backend"
        if isinstance(found, Workflow):
            placeholder = {"*": documents.placeholder_backend()}
            assignment = placeholder if backend is None else assign_backends(found, backend)
            compile_plan(found, assignment, documents.position_of)
    except AgentflowError as error:
        return kind, error
    return kind, None


def _problems(error: AgentflowError | None) -> list[dict[str, Any]]:
    """Write an error's problems as JSON objects."""
    if error is None:
        return []
    keys = ("file", "line", "column", "path", "message", "hint")
    if isinstance(error, DocumentError | PlanError):
        return [{key: getattr(problem, key) for key in keys} for problem in error.problems]
    return [dict(zip(keys, ("", 0, 0, "", str(error), None), strict=True))]


def list_(
    what: Annotated[
        Literal["workflows", "backends"] | None,
        typer.Argument(help="workflows or backends; by default both."),
    ] = None,
    provider: Annotated[str | None, typer.Option(help="Only this provider's backends, with their figures.")] = None,
    model: Annotated[str | None, typer.Option(help="Only backends of this model, with their figures.")] = None,
    status: Annotated[str | None, typer.Option(help="Only current, retired or historical backends.")] = None,
    sort: Annotated[
        Literal["name", "speed", "ttft", "total", "price", "date"] | None, typer.Option(help="Sort backends by this.")
    ] = None,
    json: Json = False,
) -> None:
    """List the catalogue and your own documents; backends with their figures if a filter or an order is asked for."""
    from agentflow import documents

    if provider or model or status or sort:
        if what == "workflows":
            raise UsageError("--provider, --model, --status and --sort are for backends")
        _directory(provider, model, status, sort or "name", json)
        return

    found = {}
    if what != "backends":
        found["workflows"] = list(documents.list_workflows())
    if what != "workflows":
        found["backends"] = list(documents.list_backends())
    if json:
        output.print_json({"schema_version": 1, **found})
        return
    from agentflow.report.catalogue import catalogue_report

    output.show(catalogue_report(found))


def _directory(provider: str | None, model: str | None, status: str | None, sort: Any, json: bool) -> None:
    """List backends with their figures."""
    import datetime
    from dataclasses import asdict

    from agentflow import documents
    from agentflow.analysis.directory import choose, entry_of

    today = datetime.datetime.now(datetime.UTC).date()
    names = documents.list_backends()
    if provider is not None and any(name.startswith(f"{provider}/") for name in names):
        names = [name for name in names if name.startswith(f"{provider}/")]
    found = choose([entry_of(documents.load_backend(name), today) for name in names], provider, model, status, sort)
    if json:
        rows = [asdict(entry) | {"as_of": str(entry.as_of) if entry.as_of else None} for entry in found]
        output.print_json({"schema_version": 1, "backends": rows})
        return
    from agentflow.report.directory import directory_table

    output.show(directory_table(found))


def show(
    name: Annotated[str, typer.Argument(help="A workflow or a backend.")],
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a workflow as a Mermaid flowchart.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw a backend's law: a .png, .svg or .pdf.")] = None,
    json: Json = False,
) -> None:
    """Show a workflow as a tree, or a backend with its evidence."""
    from agentflow import documents
    from agentflow.schema import Workflow

    found = documents.load_any(name)
    if mermaid and not isinstance(found, Workflow):
        raise UsageError(f"{printable(name)} is a backend; --mermaid draws workflows")
    if json:
        kind = "workflow" if isinstance(found, Workflow) else "backend"
        import yaml

        document = yaml.safe_load(documents.dump(found))  # as one would write it
        output.print_json({"schema_version": 1, "kind": kind, "document": document})
        return
    from agentflow.report import tree

    if not isinstance(found, Workflow):
        from agentflow.analysis.directory import law_points
        from agentflow.report.directory import law_table

        output.show(tree.backend_report(found))
        output.announce_compiling()
        tokens = getattr(found.law.measured, "ttft_input_tokens", 0) or 1000
        points = law_points(found, tokens)
        console = output.stdout()
        print()
        output.show(law_table(points, tokens, console))
        if plot is not None:
            from agentflow.report.plots import plot_law

            plot_law(found.name, points, tokens, plot)
    elif mermaid:
        print(tree.mermaid(found))
    else:
        output.show(tree.workflow_tree(found))


def schema(kind: Annotated[Kind, typer.Argument(help="workflow or backend")]) -> None:
    """Print the JSON Schema of a document, for editors (draft-07)."""
    from agentflow import documents

    output.print_json(documents.json_schema(kind))

"""The commands about documents: validate, list, show, schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agentflow.cli import output
from agentflow.errors import AgentflowError, DocumentError, PlanError, UsageError, printable

if TYPE_CHECKING:
    from agentflow.schema import Backend

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Kind = Literal["workflow", "backend", "deployment", "chip", "model", "engine"]
_A = {"engine": "an"}
Kinds = Literal["workflows", "backends", "deployments", "chips", "models", "engines"]


def validate(
    files: Annotated[list[str], typer.Argument(help="Documents of any kind.")],
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
                print(f"{printable(name, 1000)}: ok, {_A.get(kind or '', 'a')} {kind}", flush=True)
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
        kind = documents.kind_of(found)
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
        Kinds | None,
        typer.Argument(help="workflows, backends, deployments, chips, models or engines; by default all."),
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
        if what not in (None, "backends"):
            raise UsageError("--provider, --model, --status and --sort are for backends")
        _directory(provider, model, status, sort or "name", json)
        return

    wanted = [kind for kind in documents.MODELS if what in (None, f"{kind}s")]
    found = {f"{kind}s": documents.list_names(kind) for kind in wanted}
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
    name: Annotated[str, typer.Argument(help="A document: its name, or the path of its file.")],
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a workflow as a Mermaid flowchart.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw a backend's law: a .png, .svg or .pdf.")] = None,
    json: Json = False,
) -> None:
    """Show a workflow as a tree; a backend or hardware with its evidence."""
    from agentflow import documents
    from agentflow.schema import Backend, HardwareDocument, Workflow

    found = documents.load_any(name)
    kind = documents.kind_of(found)
    if mermaid and not isinstance(found, Workflow):
        raise UsageError(f"{printable(name)} is a {kind}; --mermaid draws workflows")
    if json:
        import yaml

        document = yaml.safe_load(documents.dump(found))  # as one would write it
        output.print_json({"schema_version": 1, "kind": kind, "document": document})
        return
    from agentflow.report import tree

    if isinstance(found, Backend):
        output.show(tree.backend_report(found))
        _show_law(found, plot)
    elif isinstance(found, HardwareDocument):
        from agentflow.report.hardware import hardware_report

        output.show(hardware_report(found))
    elif isinstance(found, Workflow):
        print(tree.mermaid(found)) if mermaid else output.show(tree.workflow_tree(found))


def _show_law(backend: Backend, plot: Path | None) -> None:
    """Show, and draw, how long calls take at a backend."""
    from agentflow.analysis.directory import law_points
    from agentflow.report.directory import law_table

    output.announce_compiling()
    tokens = getattr(backend.law.measured, "ttft_input_tokens", 0) or 1000
    points = law_points(backend, tokens)
    print()
    output.show(law_table(points, tokens, output.stdout()))
    if plot is not None:
        from agentflow.report.plots import plot_law

        plot_law(backend.name, points, tokens, plot)


def schema(kind: Annotated[Kind, typer.Argument(help="workflow, backend, deployment, chip, model or engine")]) -> None:
    """Print the JSON Schema of a document, for editors (draft-07)."""
    from agentflow import documents

    output.print_json(documents.json_schema(kind))

"""The commands about documents: validate, list, show, schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from agentflow.cli import output
from agentflow.errors import AgentflowError, DocumentError, PlanError, UsageError, printable

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
    json: Json = False,
) -> None:
    """List the catalogue and your own documents."""
    from agentflow import documents

    wanted = [kind for kind in documents.MODELS if what in (None, f"{kind}s")]
    found = {f"{kind}s": documents.list_names(kind) for kind in wanted}
    if json:
        output.print_json({"schema_version": 1, **found})
        return
    from agentflow.report.catalogue import catalogue_report

    output.show(catalogue_report(found))


def show(
    name: Annotated[str, typer.Argument(help="A document: its name, or the path of its file.")],
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a workflow as a Mermaid flowchart.")] = False,
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
    elif isinstance(found, HardwareDocument):
        from agentflow.report.hardware import hardware_report

        output.show(hardware_report(found))
    elif isinstance(found, Workflow):
        print(tree.mermaid(found)) if mermaid else output.show(tree.workflow_tree(found))


def schema(kind: Annotated[Kind, typer.Argument(help="workflow, backend, deployment, chip, model or engine")]) -> None:
    """Print the JSON Schema of a document, for editors (draft-07)."""
    from agentflow import documents

    output.print_json(documents.json_schema(kind))

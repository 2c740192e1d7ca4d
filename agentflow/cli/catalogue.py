"""The commands about documents: validate, list, show, schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agentflow.cli import output
from agentflow.cli.options import Json, check_plot
from agentflow.errors import AgentflowError, DocumentError, PlanError, Problem, UsageError, meant, printable, quoted

if TYPE_CHECKING:
    from agentflow.schema import Backend
    from agentflow.schema import Workflow as WorkflowDocument

Kind = Literal["workflow", "backend", "deployment", "chip", "model", "engine"]
_A = {"engine": "an"}
Kinds = Literal["workflows", "backends", "deployments", "chips", "models", "engines"]


def validate(
    files: Annotated[list[str], typer.Argument(help="Documents of any kind.")],
    backend: Annotated[str | None, typer.Option(help="Also check that the workflows' steps find this backend.")] = None,
    json: Json = False,
) -> None:
    """Check documents: every problem with file, line and column, and backends and prompts that do not fit."""
    checked = [_check(name, backend) for name in files]
    if json:
        found = [
            {"file": c.name, "valid": c.error is None, "kind": c.kind, "problems": _problems(c.error),
             "warnings": c.warnings}
            for c in checked
        ]  # fmt: skip
        output.print_json({"schema_version": 1, "files": found})
    else:
        for c in checked:
            if c.error is None:
                print(f"{printable(c.name, 1000)}: ok, {_A.get(c.kind or '', 'a')} {c.kind}", flush=True)
            else:
                output.warn(str(c.error))
            for text in c.warnings:
                output.warn(f"{printable(c.name, 1000)}: {text}")
    raise typer.Exit(2 if any(c.error is not None for c in checked) else 0)


@dataclass
class _Checked:
    """What `validate` found of one file."""

    name: str
    kind: str | None = None
    error: AgentflowError | None = None
    warnings: list[str] = field(default_factory=list)


def _check(name: str, backend: str | None) -> _Checked:
    """Find out what kind of document a file holds, and what is wrong with it."""
    from agentflow import documents
    from agentflow.schema import Workflow

    checked = _Checked(name)
    try:
        found = documents.load_any(name)
        checked.kind = documents.kind_of(found)
        if isinstance(found, Workflow):
            checked.warnings = _check_workflow(found, backend)
    except AgentflowError as error:
        checked.error = error
    return checked


def _check_workflow(workflow: WorkflowDocument, backend: str | None) -> list[str]:
    """Check a workflow's graph, its backends and its prompts' lengths; returns what is doubtful."""
    from agentflow import documents
    from agentflow.analysis.assignment import assign_backends, own_backends
    from agentflow.analysis.context import overflows
    from agentflow.plan import compile_plan

    problems: list[Problem] = []

    def note(path: tuple[str, ...], message: str) -> None:
        file, line, column = documents.position_of(workflow, path) or ("", 0, 0)
        problems.append(Problem(file, line, column, ".".join(path), message))

    if backend is not None:
        assignment = assign_backends(workflow, backend)
        compile_plan(workflow, assignment, documents.position_of)
    else:
        compile_plan(workflow, {"*": documents.placeholder_backend()}, documents.position_of)
        assignment, wrong = own_backends(workflow)
        for item, message in wrong:
            note(_place_of(item.path, "backend") if item.step.backend else ("defaults", "backend"), message)
    warnings = []
    for found in overflows(workflow, assignment):
        if found.always and not found.rescued:
            note(_place_of(found.path, "input_tokens"), str(found))
        else:
            warnings.append(str(found))
    if problems:
        raise DocumentError(dict.fromkeys(problems))
    return warnings + _unknown_models(workflow)


def _place_of(path: str, key: str) -> tuple[str, ...]:
    """Return where a step's key stands in its document."""
    return ("steps", *path.replace(".", ".steps.").split("."), key)


def _unknown_models(workflow: WorkflowDocument) -> list[str]:
    """Say which models no profile of the catalogue or the user's folders has."""
    from agentflow import documents
    from agentflow.analysis.assignment import model_steps

    known = {name.partition("/")[2].partition("@")[0] for name in documents.list_backends()}
    known |= set(documents.list_names("model"))
    said: dict[str, None] = {}
    for item in model_steps(workflow):
        homeless = item.step.backend is None and item.default_backend is None
        if homeless and item.model is not None and item.model not in known:
            hint = meant(item.model, sorted(known)) or "name a backend of yours when you run it"
            said[f"no provider here has the model {quoted(item.model)}; {hint}"] = None
    return list(said)


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
    check_plot(plot)
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

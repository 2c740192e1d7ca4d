"""From text to documents: read, include what is named, validate, remember the places."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from agentflow.documents import catalogue
from agentflow.documents.explain import explain
from agentflow.documents.names import note_names
from agentflow.documents.reader import MAX_BYTES, Tree, Where, read_tree
from agentflow.documents.served import check_served, served_backend
from agentflow.errors import AgentflowError, DocumentError, NotFoundError, Problem, did_you_mean, quoted
from agentflow.schema import Backend, Chip, Deployment, Engine, Workflow
from agentflow.schema import LanguageModel as Llm
from agentflow.schema._base import Model

M = TypeVar("M", bound=Model)
Kind = Literal["workflow", "backend", "deployment", "chip", "model", "engine"]
MODELS: dict[Kind, type[Model]] = {
    "workflow": Workflow, "backend": Backend, "deployment": Deployment, "chip": Chip, "model": Llm, "engine": Engine,
}  # fmt: skip
"""Kinds of documents, in the order in which a bare name is looked for."""
_PARTS: dict[str, Kind] = {"chip": "chip", "model": "model", "engine": "engine"}
# Where a document may name another: by its kind and the place of the mapping, the keys and what they name.
_NAMED: dict[tuple[type[Model], Where], dict[str, Kind]] = {
    (Deployment, ()): _PARTS,
    (Backend, ("law",)): {"deployment": "deployment"},
    (Backend, ("law", "deployment")): {"deployment": "deployment"},
    (Backend, ("law", "deployment", "deployment")): _PARTS,
}
# A key that only documents of one kind have at the top.
_MARKS: dict[str, Kind] = {
    "steps": "workflow", "law": "backend", "chip": "deployment", "flops": "chip", "attention": "model",
    "families": "engine", "default": "engine",
}  # fmt: skip
MAX_INCLUDES = 16
MAX_SAMPLES = 100_000

DEPLOYMENTS = "deployments/"
_trees: dict[int, Tree] = {}
_cache: dict[tuple[str, int, int], Any] = {}


def parse_workflow(text: str | bytes, file: str = "<string>", folder: Path | None = None) -> Workflow:
    """Read a workflow from text.

    Parameters
    ----------
    text : str or bytes
    file : str
        Its name in errors.
    folder : Path, optional
        Where files that it names are looked for; without it, it can name none.

    Raises
    ------
    DocumentError
        With everything that is wrong with it.
    """
    return _parse(text, file, folder, Workflow, ())


def parse_backend(text: str | bytes, file: str = "<string>", folder: Path | None = None) -> Backend:
    """Read a backend from text; see `parse_workflow`."""
    return _parse(text, file, folder, Backend, ())


def load_workflow(name: str | os.PathLike[str]) -> Workflow:
    """Load a workflow by its name in the catalogue or the path of its file.

    Raises
    ------
    NotFoundError
        If there is none.
    DocumentError
        With everything that is wrong with it.
    """
    return _load("workflow", os.fspath(name), Workflow, None, ())


def load_backend(name: str | os.PathLike[str]) -> Backend:
    """Load a backend by its name in the catalogue (`groq/llama-3.3-70b`) or the path of its file."""
    return _load("backend", os.fspath(name), Backend, None, ())


def load_chip(name: str | os.PathLike[str]) -> Chip:
    """Load a chip's data sheet by its name in the catalogue or the path of its file."""
    return _load("chip", os.fspath(name), Chip, None, ())


def load_model(name: str | os.PathLike[str]) -> Llm:
    """Load a language model's architecture by its name in the catalogue or the path of its file."""
    return _load("model", os.fspath(name), Llm, None, ())


def load_engine(name: str | os.PathLike[str]) -> Engine:
    """Load a serving engine's constants by name or path; `roofline` is the bound itself."""
    return _load("engine", os.fspath(name), Engine, None, ())


def load_deployment(name: str | os.PathLike[str]) -> Deployment:
    """Load a deployment by name or path, with its chip, model and engine.

    Raises
    ------
    NotFoundError
        If there is none.
    DocumentError
        With everything that is wrong with it, also if it could not exist.
    """
    return _load("deployment", os.fspath(name), Deployment, None, ())


def resolve_backend(name: str | os.PathLike[str] | Backend, model: str | None = None) -> Backend:
    """Turn what a user means by a backend into one.

    Parameters
    ----------
    name : str, path or Backend
        A backend, its name, the path of its file, or a provider's name: its profile of the model. Or a
        deployment, `deployments/NAME` or the path of its file, with `@64` for 64 requests in flight.
    model : str, optional
        The step's model, for a provider's name.
    """
    if isinstance(name, Backend):
        return name
    text = os.fspath(name)
    base, at, load = text.rpartition("@")
    if not at or (not base.startswith(DEPLOYMENTS) and not base.endswith((".yaml", ".yml"))):
        base, load = text, ""
    if base.startswith(DEPLOYMENTS):
        return served_backend(load_deployment(base.removeprefix(DEPLOYMENTS)), text, load)
    if catalogue.is_path(base):
        found = load_any(base)
        if isinstance(found, Deployment):
            return served_backend(found, f"{DEPLOYMENTS}{found.name}" + (f"@{load}" if load else ""), load)
        return load_backend(base)
    return load_backend(text) if "/" in text else load_backend(catalogue.profile_of(text, model))


def load_any(name: str | os.PathLike[str]) -> Model:
    """Load a document of any kind.

    Parameters
    ----------
    name : str or path
        The path of a file; or a name of the catalogue: a workflow's, a backend's (`groq/llama-3.3-70b`), or one
        of hardware, alone or behind its folder (`h100-sxm`, `chips/h100-sxm`).
    """
    text = os.fspath(name)
    if catalogue.is_path(text):
        with catalogue.find("workflow", text).open("rb") as stream:
            head = read_tree(stream.read(MAX_BYTES + 1), text).data
        keys = head if isinstance(head, dict) else {}
        kind: Kind = next((_MARKS[key] for key in _MARKS if key in keys), "workflow")
        return _load(kind, text, MODELS[kind], None, ())
    folder, _, rest = text.partition("/")
    if rest:
        kind = next((k for k in MODELS if folder == f"{k}s"), "backend")
        return _load(kind, text if kind == "backend" else rest, MODELS[kind], None, ())
    for kind in MODELS:
        if text in catalogue.names(kind):
            return _load(kind, text, MODELS[kind], None, ())
    near = {kind: did_you_mean(text, catalogue.names(kind)) for kind in MODELS}
    closest: Kind = next((kind for kind in MODELS if near[kind]), "workflow")
    return _load(closest, text, MODELS[closest], None, ())  # says what is near


def kind_of(document: Model) -> Kind:
    """Return the kind of a document."""
    return next(kind for kind, model in MODELS.items() if isinstance(document, model))


def list_names(kind: Kind) -> list[str]:
    """Names of all documents of a kind in the catalogue and the user's folders."""
    return catalogue.names(kind)


def placeholder_backend() -> Backend:
    """Return a backend that stands for any, to compile a workflow without one."""
    law = {"measured": {"ttft": 1.0, "decode_rate": 50.0}}
    return Backend.model_validate({"name": "any/any", "provider": "any", "model": "any", "law": law})


def list_workflows() -> list[str]:
    """Names of all workflows of the catalogue and the user's folders."""
    return catalogue.names("workflow")


def list_backends() -> list[str]:
    """Names of all backends of the catalogue and the user's folders."""
    return catalogue.names("backend")


def position_of(document: Model, path: Where) -> tuple[str, int, int] | None:
    """File, line and column (from 1) of a path in a document that was read from text."""
    tree = _trees.get(id(document))
    return None if tree is None else (tree.file, *tree.place(tuple(path)))


def _load(kind: str, name: str, model: type[M], near: Path | None, chain: tuple[str, ...]) -> M:
    path = catalogue.find(kind, name, near)
    try:
        status = path.stat()
        key = (str(path.resolve()), status.st_mtime_ns, status.st_size)
        if key not in _cache:
            with path.open("rb") as stream:
                text = stream.read(MAX_BYTES + 1)
            file = name if catalogue.is_path(name) else os.path.relpath(path) if len(chain) == 0 else str(path.name)
            _cache[key] = _parse(text, file, path.resolve().parent, model, (*chain, key[0]))
    except OSError as error:
        raise NotFoundError(f"{name}: cannot be read: {error.strerror}") from None
    made: M = _cache[key]
    return made


def _parse(text: str | bytes, file: str, folder: Path | None, model: type[M], chain: tuple[str, ...]) -> M:
    tree = read_tree(text, file)
    if not isinstance(tree.data, dict):
        tree.add((), f"must be a mapping, not {quoted(tree.data)}", "a document begins with schema_version: 1")
        tree.check()
    data = _include(tree.data, (), tree, folder, chain, model)
    made: M | None = None
    try:
        made = model.model_validate(data)
    except ValidationError as error:
        explain(error, model, tree)
        if model is Workflow:
            note_names(tree)
    if made is not None:
        check_served(made, tree)
    tree.check()
    assert made is not None
    _trees[id(made)] = tree
    weakref.finalize(made, _trees.pop, id(made), None)
    return made


def _include(data: Any, path: Where, tree: Tree, folder: Path | None, chain: tuple[str, ...], root: type[Model]) -> Any:
    """Put in what a document names: nested workflows, hardware, and samples."""
    if isinstance(data, list):
        return [_include(item, (*path, i), tree, folder, chain, root) for i, item in enumerate(data)]
    if not isinstance(data, dict):
        return data
    made = {key: _include(value, (*path, key), tree, folder, chain, root) for key, value in data.items()}
    if isinstance(made.get("samples"), str):
        made["samples"] = _samples(made["samples"], (*path, "samples"), tree, folder)
    named = _NAMED.get((root, path), {})
    if root is Workflow and made.get("type") == "workflow":
        named = {"workflow": "workflow"}
    for key, kind in named.items():
        if isinstance(made.get(key), str):
            found = _named(made[key], (*path, key), tree, folder, chain, kind)
            made[key] = made[key] if found is None else found
    return made


def _inside(name: str, path: Where, tree: Tree, folder: Path | None) -> Path | None:
    """Find a file that a document names in its own folder."""
    if folder is None:
        tree.add(path, f"names the file {quoted(name)}, but this text has no folder", "load it from a file")
        return None
    try:
        target = (folder / name).resolve()
        inside = target.is_relative_to(folder.resolve())
        there = inside and target.is_file()
    except (OSError, ValueError):
        target, inside, there = folder, True, False
    if not inside:
        tree.add(path, f"the file {quoted(name)} is outside the document's folder", "keep it beside the document")
    elif not there:
        tree.add(path, f"there is no file {quoted(name)} in the document's folder", "check its name")
    return target if there else None


def _named(name: str, path: Where, tree: Tree, folder: Path | None, chain: tuple[str, ...], kind: Kind) -> Model | None:
    """Load what a document names; None where that has problems, which are noted."""
    if len(chain) >= MAX_INCLUDES:
        tree.add(path, f"workflows are nested more than {MAX_INCLUDES} deep", "flatten them")
        return None
    before = len(tree.problems)
    try:
        if catalogue.is_path(name) or "/" in name:
            target = _inside(name, path, tree, folder)
        else:
            target = catalogue.find(kind, name, folder)
        if target is not None:
            if str(target.resolve()) not in chain:
                return _load(kind, str(target), MODELS[kind], None, chain)
            ring = " -> ".join(Path(p).stem for p in (*chain[chain.index(str(target.resolve())) :], str(target)))
            tree.add(path, f"the workflow contains itself: {ring}", "a repetition is a step of type loop")
    except DocumentError as error:
        tree.problems.extend(error.problems)
    except (AgentflowError, OSError) as error:
        tree.add(path, str(error))
    if kind != "workflow" and len(tree.problems) > before:
        tree.unread.add(path)  # a name in a mapping's place is no problem of its own
    return None


def _samples(name: str, path: Where, tree: Tree, folder: Path | None) -> list[float]:
    target = _inside(name, path, tree, folder)
    if target is None:
        return [1.0]
    try:
        with target.open("rb") as stream:
            lines = stream.read(MAX_BYTES + 1)[: MAX_BYTES + 1].decode("utf-8-sig").split()
    except (OSError, UnicodeDecodeError):
        tree.add(path, f"{quoted(name)} is not a file of numbers", "write one number a line")
        return [1.0]
    values = []
    for i, line in enumerate(lines[:MAX_SAMPLES]):
        try:
            values.append(float(line))
        except ValueError:
            if i:
                message = f"{quoted(line)} is not a number"
                tree.problems.append(Problem(str(name), i + 1, 1, "", message, "write one number a line"))
                break
    return values or [1.0]

"""From text to workflows and backends: read, include what is named, validate, remember the places."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from agentflow.documents import catalogue
from agentflow.documents.explain import explain
from agentflow.documents.reader import MAX_BYTES, Tree, Where, read_tree
from agentflow.errors import AgentflowError, DocumentError, NotFoundError, Problem, quoted
from agentflow.schema import Backend, Workflow
from agentflow.schema._base import Model

M = TypeVar("M", bound=Model)
MAX_INCLUDES = 16
MAX_SAMPLES = 100_000

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


def resolve_backend(name: str | os.PathLike[str] | Backend, model: str | None = None) -> Backend:
    """Turn what a user means by a backend into one.

    Parameters
    ----------
    name : str, path or Backend
        A backend, its name, the path of its file, or a provider's name: its profile of the model.
    model : str, optional
        The step's model, for a provider's name.
    """
    if isinstance(name, Backend):
        return name
    text = os.fspath(name)
    if catalogue.is_path(text) or "/" in text:
        return load_backend(text)
    return load_backend(catalogue.profile_of(text, model))


def load_any(name: str | os.PathLike[str]) -> Workflow | Backend:
    """Load a workflow or a backend, whichever the name or the file is."""
    text = os.fspath(name)
    if catalogue.is_path(text):
        with catalogue.find("workflow", text).open("rb") as stream:
            head = read_tree(stream.read(MAX_BYTES + 1), text).data
        return load_backend(text) if isinstance(head, dict) and "law" in head else load_workflow(text)
    return load_backend(text) if "/" in text else load_workflow(text)


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
    data = _include(tree.data, (), tree, folder, chain, model is Workflow)
    made: M | None = None
    try:
        made = model.model_validate(data)
    except ValidationError as error:
        explain(error, model, tree)
    tree.check()
    assert made is not None
    _trees[id(made)] = tree
    weakref.finalize(made, _trees.pop, id(made), None)
    return made


def _include(data: Any, path: Where, tree: Tree, folder: Path | None, chain: tuple[str, ...], nested: bool) -> Any:
    """Put in the files that a document names: nested workflows, and samples."""
    if isinstance(data, list):
        return [_include(item, (*path, i), tree, folder, chain, nested) for i, item in enumerate(data)]
    if not isinstance(data, dict):
        return data
    made = {key: _include(value, (*path, key), tree, folder, chain, nested) for key, value in data.items()}
    if isinstance(made.get("samples"), str):
        made["samples"] = _samples(made["samples"], (*path, "samples"), tree, folder)
    if nested and made.get("type") == "workflow" and isinstance(made.get("workflow"), str):
        found = _nested(made["workflow"], (*path, "workflow"), tree, folder, chain)
        if found is not None:
            made["workflow"] = found
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


def _nested(name: str, path: Where, tree: Tree, folder: Path | None, chain: tuple[str, ...]) -> Workflow | None:
    if len(chain) >= MAX_INCLUDES:
        tree.add(path, f"workflows are nested more than {MAX_INCLUDES} deep", "flatten them")
        return None
    try:
        if catalogue.is_path(name) or "/" in name:
            found = _inside(name, path, tree, folder)
            if found is None:
                return None
            target = found
        else:
            target = catalogue.find("workflow", name, folder)
        if str(target.resolve()) in chain:
            ring = " -> ".join(Path(p).stem for p in (*chain[chain.index(str(target.resolve())) :], str(target)))
            tree.add(path, f"the workflow contains itself: {ring}", "a repetition is a step of type loop")
            return None
        return _load("workflow", str(target), Workflow, None, chain)
    except DocumentError as error:
        tree.problems.extend(error.problems)
    except (AgentflowError, OSError) as error:
        tree.add(path, str(error))
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

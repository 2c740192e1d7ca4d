"""Where documents are found: the user's folders, the current folder, and the catalogue that is installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from agentflow.errors import NoProfileError, NotFoundError, did_you_mean, listed, printable, quoted

KINDS = {
    "workflow": "workflows",
    "backend": "backends/providers",
    "deployment": "backends/deployments",
    "chip": "backends/chips",
    "model": "backends/models",
    "engine": "backends/engines",
}


def folders() -> Iterator[Path]:
    """Yield the folders that may hold `workflows` and `backends`, first the user's own."""
    for part in os.environ.get("AGENTFLOW_PATH", "").split(os.pathsep):
        if part:
            yield Path(part)
    yield Path.cwd()
    package = Path(__file__).resolve().parent.parent
    yield package / "_catalogue"
    yield package.parent


def names(kind: str) -> list[str]:
    """List the names of all documents of a kind, sorted; no file is opened."""
    found: set[str] = set()
    for folder in folders():
        base = folder / KINDS[kind]
        if not base.is_dir():
            continue
        for path in base.rglob("*.yaml") if kind == "backend" else base.glob("*.yaml"):
            found.add(
                path.relative_to(base).with_suffix("").as_posix() if path.name.count(".") == 1 else _stem(path, base)
            )
    return sorted(found)


def _stem(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix().removesuffix(".yaml")


def is_path(name: str) -> bool:
    """Whether a user means a file rather than a name of the catalogue."""
    return name.endswith((".yaml", ".yml")) or name.startswith((".", "~", os.sep)) or "\\" in name


def find(kind: str, name: str, near: Path | None = None) -> Path:
    """Find a document.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    name : str
        A name of the catalogue, or a path.
    near : Path, optional
        A folder that is looked at first.

    Raises
    ------
    NotFoundError
        If there is none; the message names what is near.
    """
    if "\0" in name or len(name) > 1000:
        raise NotFoundError(f"no {kind} is named {quoted(name)}")
    if (is_path(name) or near is None) and Path(name).expanduser().is_dir() and name not in names(kind):
        shown = printable(name, 200).rstrip("/")
        raise NotFoundError(f"{shown}: is a folder; name the documents in it, such as {shown}/*.yaml")
    if is_path(name):
        path = Path(name).expanduser()
        if path.is_file():
            return path
        way = _near_file(path) or f"see `agentflow list {kind}s` for the catalogue"
        raise NotFoundError(f"{printable(name, 200)}: there is no such file; {way}")
    parts = name.split("/")
    if all(part not in ("", ".", "..") for part in parts):
        for folder in ([near] if near else []) + [folder / KINDS[kind] for folder in folders()]:
            path = folder.joinpath(*parts[:-1], parts[-1] + ".yaml")
            if path.is_file():
                return path
    raise NotFoundError(_missing(kind, name))


def _near_file(path: Path) -> str | None:
    """Ask whether a file beside it was meant, one with another ending too."""
    try:
        there = [p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml")]
    except (OSError, ValueError):
        return None
    same = [name for name in there if Path(name).stem == path.name or Path(name).stem == path.stem]
    close = same[0] if same else did_you_mean(path.name, sorted(there))
    return f"did you mean the file '{printable(str(path.parent / close), 200)}'?" if close else None


def _missing(kind: str, name: str) -> str:
    known = names(kind)
    if any(Path(name + ending).is_file() for ending in (".yaml", ".yml")):
        return f"no {kind} is named {quoted(name)}; {_near_file(Path(name))}"
    close = did_you_mean(name, known)
    if close is None and kind == "backend":
        provider, _, model = name.partition("/")
        there = [n for n in known if n.startswith(provider + "/")]
        if there:
            close = did_you_mean(model, [n.partition("/")[2] for n in there])
            if close is None:
                has = listed([n.partition("/")[2] for n in there], 40)
                return f"no backend is named {quoted(name)}; {provider} has {has}"
            close = f"{provider}/{close}"
    way = f"did you mean '{close}'?" if close else f"see `agentflow list {kind}s`"
    return f"no {kind} is named {quoted(name)}; {way}"


def profile_of(provider: str, model: str | None) -> str:
    """Name a provider's profile of a model; where there are only dated ones (`model@2024-09`), the newest.

    Raises
    ------
    NotFoundError
        If the provider is unknown or does not have the model.
    """
    known = names("backend")
    providers = sorted({n.partition("/")[0] for n in known})
    models = sorted(n.partition("/")[2] for n in known if n.startswith(provider + "/"))
    if not models:
        close = did_you_mean(provider, providers)
        way = f"did you mean '{close}'?" if close else f"the providers are {listed(providers, 40)}"
        raise NotFoundError(f"no provider is named {quoted(provider)}; {way}")
    if model is None:
        raise NotFoundError(
            f"the step names no model, so {provider} cannot pick a profile; name one of {listed(models, 40)}"
        )
    if model in models:
        return f"{provider}/{model}"
    dated = [m for m in models if m.startswith(model + "@")]
    if dated:
        return f"{provider}/{dated[-1]}"
    others = sorted({n.partition("/")[0] for n in known if n.partition("/")[2].split("@")[0] == model})
    where = (
        f"{listed(others, 40)} {'has' if len(others) == 1 else 'have'} it"
        if others
        else "no provider of the catalogue has it"
    )
    raise NoProfileError(
        f"{provider} has no profile of {printable(model)}: {where}; {provider} has {listed(models, 40)}"
    )

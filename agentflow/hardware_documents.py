"""Load hardware documents by name: chips, models, engines, deployments.

A deployment names its chip, model and engine; `load_deployment` brings them together.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from agentflow.errors import DocumentError, NotFoundError, Problem, printable
from agentflow.schema.hardware import Chip, Deployment, Engine, Model

_Document = TypeVar("_Document", Chip, Model, Engine, Deployment)
_FOLDERS: dict[type, str] = {Chip: "chips", Model: "models", Engine: "engines", Deployment: "deployments"}


def _root() -> Path:
    packaged = Path(__file__).parent / "_catalogue" / "backends"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "backends"


def hardware_names(kind: type[_Document]) -> list[str]:
    """Names in the catalogue, sorted; nothing is parsed."""
    return sorted(path.stem for path in (_root() / _FOLDERS[kind]).glob("*.yaml"))


def _load(kind: type[_Document], name: str) -> _Document:
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        names = hardware_names(kind)
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise NotFoundError(f"no {_FOLDERS[kind][:-1]} named '{printable(name)}'{hint}")
        path = _root() / _FOLDERS[kind] / f"{name}.yaml"
    try:
        return kind.model_validate(yaml.safe_load(path.read_bytes()))
    except OSError as error:
        raise NotFoundError(f"cannot read '{printable(name)}': {error.strerror}") from None
    except yaml.YAMLError as error:
        raise DocumentError(f"{path}: not YAML: {printable(str(error), 200)}") from None
    except ValidationError as error:
        raise DocumentError(
            Problem(str(path), 0, 0, ".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()
        ) from None


def load_chip(name: str) -> Chip:
    """Load a chip by catalogue name or path."""
    return _load(Chip, name)


def load_model(name: str) -> Model:
    """Load a language model's architecture by catalogue name or path."""
    return _load(Model, name)


def load_engine(name: str) -> Engine:
    """Load a serving engine's constants by catalogue name or path; ``roofline`` is the bound itself."""
    return Engine(name="roofline") if name == "roofline" else _load(Engine, name)


def load_deployment(name: str) -> Deployment:
    """Load a deployment by catalogue name or path, its chip, model and engine too."""
    return resolve(_load(Deployment, name))


def resolve(deployment: Deployment) -> Deployment:
    """Put documents in place of a deployment's names."""
    chip, model, engine = deployment.chip, deployment.model, deployment.engine
    return deployment.model_copy(
        update={
            "chip": load_chip(chip) if isinstance(chip, str) else chip,
            "model": load_model(model) if isinstance(model, str) else model,
            "engine": load_engine(engine) if isinstance(engine, str) else engine,
        }
    )

"""What each field of a document means, from the models' own source: for editors and for the reference."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass
from functools import cache

from agentflow.schema._base import Model

_PARAMETERS = re.compile(r"^Parameters\n-+\n(?P<body>.*?)(?=^\S+\n-+\n|\Z)", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r"^(?P<names>\w[\w, ]*?) : .*\n(?P<text>(?:    .*\n?|\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class FieldText:
    """A field as its model's source has it: its annotation as written, and the sentence that explains it."""

    annotation: str
    text: str


@cache
def field_texts(model: type[Model]) -> dict[str, FieldText]:
    """Read the fields of a model and of the models it builds on, in their order.

    A field is explained by the string below it, or by an entry of the class's *Parameters* section.
    """
    found: dict[str, FieldText] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, Model) and base is not Model:
            found.update(_own(base))
    return {name: found[name] for name in model.model_fields if name in found}


def summary_of(model: type[Model]) -> str:
    """Return what the class says of itself, without its sections."""
    text = inspect.cleandoc(model.__doc__ or "")
    return re.split(r"^\w+\n-+\n", text, maxsplit=1, flags=re.MULTILINE)[0].strip()


def _own(model: type[Model]) -> dict[str, FieldText]:
    source = textwrap.dedent(inspect.getsource(model))
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    section = _section(model)
    found = {}
    for node, after in zip(body.body, [*body.body[1:], None], strict=True):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        name, text = node.target.id, section.get(node.target.id, "")
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            text = " ".join(after.value.value.split())
        found[name] = FieldText(ast.unparse(node.annotation), text)
    return found


def _section(model: type[Model]) -> dict[str, str]:
    """Read the *Parameters* section of a docstring."""
    match = _PARAMETERS.search(inspect.cleandoc(model.__doc__ or "") + "\n")
    found: dict[str, str] = {}
    for entry in _ENTRY.finditer(match["body"] if match else ""):
        found.update(dict.fromkeys(re.split(r",\s*", entry["names"]), " ".join(entry["text"].split())))
    return found

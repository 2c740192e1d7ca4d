"""Names of steps that a workflow with other problems gets wrong too, so that one look tells them all.

A workflow that is well formed has its names checked when it is compiled; this reads the plain data of one that is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentflow.documents.reader import Tree, Where
from agentflow.errors import meant, printable


def note_names(tree: Tree) -> None:
    """Note every need, catch and answer of a workflow's data that names no step."""
    steps = tree.data.get("steps")
    if not isinstance(steps, Mapping):
        return
    answer = tree.data.get("answer")
    if isinstance(answer, str) and answer not in steps:
        tree.add(("answer",), f"no step named '{printable(answer)}'", meant(answer, steps))
    _scope(steps, ("steps",), tree)


def _scope(steps: Mapping[str, Any], at: Where, tree: Tree) -> None:
    for name, step in steps.items():
        if not isinstance(step, Mapping):
            continue
        for i, need in enumerate(_items(step.get("needs"))):
            source = need.partition(".")[0] if isinstance(need, str) else None
            if source and source not in steps:
                hint = meant(source, steps) or "a need names a step of the same scope"
                tree.add((*at, name, "needs", i), f"no step named '{printable(source)}'", hint)
        for i, catch in enumerate(_items(step.get("catch"))):
            to = catch.get("to") if isinstance(catch, Mapping) else None
            if isinstance(to, str) and to not in steps:
                said = f"leads nowhere: no step named '{printable(to)}'"
                tree.add((*at, name, "catch", i, "to"), said, meant(to, steps))
        if isinstance(step.get("steps"), Mapping):
            _scope(step["steps"], (*at, name, "steps"), tree)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

"""Numba's cache sees an entry point's own file only: all else that is compiled in has to be part of its key."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from agentflow.engine import batching_kernel, events_kernel, helpers, kernel


def imported(module: ModuleType) -> set[tuple[str, str]]:
    """Modules of agentflow that a file imports from, each with the name that it takes."""
    found = set()
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("agentflow"):
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                try:
                    import_module(whole)
                    found.add((whole, ""))
                except ModuleNotFoundError:
                    found.add((str(node.module), name.name))
    return found


@pytest.mark.parametrize("module", [kernel, batching_kernel, events_kernel], ids=lambda m: m.__name__)
def test_a_kernel_is_keyed_by_all_that_it_imports(module: ModuleType) -> None:
    modules = {part.__name__ for part in module.SOURCES if isinstance(part, ModuleType)}
    figures = [part for part in module.SOURCES if not isinstance(part, ModuleType)]
    for name, taken in imported(module):
        assert name in modules or getattr(sys.modules[name], taken) in figures, f"{name} {taken}"


def test_what_one_kernel_takes_from_another_keys_it_too() -> None:
    parts = set(events_kernel.SOURCES)
    for module in (kernel, batching_kernel):
        assert parts >= set(module.SOURCES)


def test_the_digest_depends_on_sources_and_figures(tmp_path: Path) -> None:
    made = ModuleType("made")
    made.__file__ = str(tmp_path / "made.py")
    seen = set()
    for text in ("a = 1", "a = 2"):
        Path(made.__file__).write_text(text)
        seen |= {helpers.digest(made), helpers.digest(made, 1), helpers.digest(made, 2), helpers.digest(made, 1, 2)}
        seen.add(helpers.digest(made, 12))
    assert len(seen) == 10
    assert 0 not in seen

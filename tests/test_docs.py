"""Every code block of the documentation runs and prints what is shown (``python -m tests.record`` records anew)."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agentflow import documents
from agentflow.errors import DocumentError
from agentflow.plan import compile_plan
from agentflow.schema import Workflow
from tests.recorded import ROOT, blocks, difference, files_of, pages, replay

PAGES = pages()
NAMES = [str(path.relative_to(ROOT / "docs")) for path in PAGES]
NOT_CODE = {"text", "mermaid", ""}
RUN = {"console", "yaml", "python", "pycon", "sh"}


@pytest.fixture
def folder(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page's commands run: beside the files that it holds, or in the checkout."""
    files = files_of(path.read_text(encoding="utf-8"))
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = tmp_path if files else ROOT
    monkeypatch.chdir(found)
    return found


def test_there_are_pages() -> None:
    assert {"tutorial.md", "howto/ci-gate.md", "concepts/latency.md", "reference/json.md", "semantics.md"} <= set(NAMES)


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_block_is_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert {block.language for block in blocks(text)} <= RUN | NOT_CODE
    named = [block for block in blocks(text) if block.language == "yaml"]
    assert len(named) == len(files_of(text)), "a yaml block names its file in its first line"


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_commands_print_what_is_shown(path: Path, folder: Path) -> None:
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language == "console":
            assert (found := difference(replay(block.text, folder), block.text)) is None, found


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_documents_are_as_the_page_says(path: Path, folder: Path) -> None:
    for name, text in files_of(path.read_text(encoding="utf-8")).items():
        if text.startswith(f"# {name}: refused"):
            with pytest.raises(DocumentError):
                documents.load_any(name)
            continue
        document = documents.load_any(name)
        if isinstance(document, Workflow):
            compile_plan(document, {"*": documents.placeholder_backend()}, documents.position_of)


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_python_runs(path: Path, folder: Path) -> None:
    found = blocks(path.read_text(encoding="utf-8"))
    for block in found:
        if block.language == "python":
            done = subprocess.run(
                [sys.executable, "-c", block.text],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    sessions = "".join(block.text for block in found if block.language == "pycon")
    test = doctest.DocTestParser().get_doctest(sessions, {}, path.name, str(path), 0)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_shell_lines_are_those_of_the_readme(path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language == "sh":
            assert [line for line in block.text.splitlines() if line not in readme] == []


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_links_lead_somewhere(path: Path) -> None:
    generated = {"workflow.md", "backend.md", "command.md", "python.md"}
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text):
        assert (path.parent / target).exists() or Path(target).name in generated, target

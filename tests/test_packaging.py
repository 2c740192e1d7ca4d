"""What a wheel carries, and that it works far from the checkout."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import agentflow
from tests.recorded import ROOT

EXPECTED = {"matplotlib", "networkx", "numpy", "pydantic"}  # what the user asked for by name, besides pytest


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_-]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


def test_named_dependencies_are_declared(project: dict[str, Any]) -> None:
    assert requirement_names(project["project"]["dependencies"]) >= EXPECTED
    assert "pytest" in requirement_names(project["project"]["optional-dependencies"]["test"])


def test_version_is_told_once(project: dict[str, Any]) -> None:
    assert agentflow.__version__ == project["project"]["version"]


def test_wheel_carries_package_and_catalogue(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert "agentflow = agentflow.cli:main" in entry_points
    assert "agentflow/py.typed" in names
    page = ROOT / "agentflow" / "report" / "page"
    parts = [path for path in page.rglob("*") if path.suffix in {".js", ".css", ".jinja"}]
    assert len(parts) > 8 and {str(path.relative_to(ROOT)) for path in parts} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for folder in ("backends", "workflows"):
        own = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.yaml")}
        assert own
        assert own == {
            name.removeprefix("agentflow/_catalogue/")
            for name in names
            if name.startswith(f"agentflow/_catalogue/{folder}/") and name.endswith(".yaml")
        }
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/")) or "__pycache__" in name]


def test_unpacked_wheel_finds_its_catalogue_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    script = f"""
import json, sys
sys.path.insert(0, {str(site)!r})
import agentflow
from agentflow.documents import list_backends, list_workflows, load_backend, load_workflow
backends, workflows = list_backends(), list_workflows()
load_workflow("prompt-chain-8"), load_backend("together/llama-3.3-70b")
print(json.dumps([agentflow.__file__, list(backends), list(workflows)]))
"""
    # -P and the first place on the path: neither the current folder nor an editable install may answer
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    where, backends, workflows = json.loads(done.stdout)
    assert Path(where).is_relative_to(site)
    assert set(workflows) == {path.stem for path in (ROOT / "workflows").glob("*.yaml")}
    assert "groq/llama-3.3-70b" in backends


def test_import_is_light() -> None:
    heavy = ["matplotlib", "numba", "networkx", "pandas", "scipy"]
    script = f"import sys, agentflow; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_machine_paths_or_addresses_of_registries() -> None:
    suspicious = re.compile("|".join(["/" + "work/", "/" + "root/", "/" + "home/[a-z]", "py" + r"pi\.org"]))
    folders = ("agentflow", "backends", "benchmarks", "docs", "examples", "tests", "workflows", ".ci")
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = [path for path in files if path.suffix in {".py", ".yaml", ".md", ".toml", ".txt", ".svg", ""}]
    assert len(texts) > 200
    found = [str(path.relative_to(ROOT)) for path in texts if suspicious.search(path.read_text(encoding="utf-8"))]
    assert found == []

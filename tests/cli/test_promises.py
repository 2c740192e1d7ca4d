"""What the command promises from outside: exit codes, streams, help, quiet pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import agentflow
from agentflow import units
from agentflow.cli import run
from agentflow.errors import AgentflowError

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["run", "compare", "demo", "explain", "stack", "sweep", "optimize", "validate", "list", "show", "schema"]
CHAIN = """
name: chain
steps:
  look: {type: tool, latency: {lognormal: {p50: 1s, p95: 3s}}}
  think: {type: wait, needs: [look], duration: 1s}
"""


@pytest.fixture
def chain(tmp_path: Path) -> str:
    path = tmp_path / "chain.yaml"
    path.write_text(CHAIN)
    return str(path)


def outside(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    code = "from agentflow.cli import main; main()"
    env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, env=env, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert "Usage: agentflow" in capsys.readouterr().out


def test_the_main_help_lists_the_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    page = capsys.readouterr().out
    assert all(f"  {command} " in page for command in COMMANDS)
    assert "3 inconclusive" in " ".join(page.split())


@pytest.mark.parametrize(
    ("expression", "code"), [("e2e.p50>1h", 0), ("e2e.p50>1ms", 1), ("e2e.p55x>1s", 2), ("e2e.p99.9>1ms", 3)]
)
def test_gates_decide_the_exit_code(expression: str, code: int, chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", chain, "--runs", "400", "--fail-if", expression]) == code
    captured = capsys.readouterr()
    assert (code == 2) == (captured.out == "")


def test_a_comparisons_gates_are_checked_for_each_scenario(chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", chain, chain, "--runs", "400", "--fail-if", "e2e.p50>1ms", "--json"]) == 1
    assert [gate["verdict"] for gate in json.loads(capsys.readouterr().out)["gates"]] == ["fail", "fail"]


def test_precision_that_is_met_says_nothing_and_one_that_is_not_does(
    chain: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["run", chain, "--runs", "500", "--precision", "5%", "--json"]) == 0
    captured = capsys.readouterr()
    e = json.loads(captured.out)["e2e_s"]["p95"]
    assert max(e["high"] - e["value"], e["value"] - e["low"]) <= 0.05 * e["value"]
    assert "stopped" not in captured.err
    monkeypatch.setattr("agentflow.analysis.precision.run_to_precision.__defaults__", (1000,))
    assert run(["run", chain, "--runs", "500", "--precision", "0.1%"]) == 0
    assert "stopped at 1,000 runs" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1%", "200%", "soon"])
def test_a_precision_that_makes_no_sense_is_refused(text: str, chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", chain, "--precision", text]) == 2
    assert "--precision" in capsys.readouterr().err


def test_validate_tells_all_files(chain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nsteps:\n  a: {type: wait, duration: -1s}\n  b: {type: wiat}\n")
    assert run(["validate", chain, str(bad), "--json"]) == 2
    good, wrong = json.loads(capsys.readouterr().out)["files"]
    assert (good["valid"], good["problems"]) == (True, [])
    assert [problem["line"] for problem in wrong["problems"]] == [3, 4]
    assert run(["validate", chain]) == 0
    assert "ok" in capsys.readouterr().out


def test_show_as_json_is_what_one_would_write(chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", chain, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["document"]["name"]) == ("workflow", "chain")
    assert run(["show", "groq/llama-3.3-70b", "--mermaid"]) == 2


@pytest.mark.parametrize("kind", ["workflow", "backend"])
def test_the_schema_is_draft_07(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    assert run(["schema", kind]) == 0
    jsonschema.Draft7Validator.check_schema(json.loads(capsys.readouterr().out))


def test_an_unexpected_error_is_one_line_and_exits_with_70(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("something\nunforeseen")

    monkeypatch.delenv("AGENTFLOW_DEBUG", raising=False)
    monkeypatch.setattr("agentflow.documents.list_names", broken)
    assert run(["list"]) == 70
    err = capsys.readouterr().err
    assert "RuntimeError: something unforeseen" in err and "report" in err and "Traceback" not in err
    monkeypatch.setenv("AGENTFLOW_DEBUG", "1")
    with pytest.raises(RuntimeError):
        run(["list"])


def test_interrupts_exit_with_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agentflow.documents.list_names", interrupted)
    assert run(["list"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_results_go_to_stdout_and_nothing_else_when_piped(chain: str) -> None:
    done = outside("run", chain, "--runs", "200")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\x1b" not in done.stdout
    assert max(map(len, done.stdout.decode("utf-8").splitlines())) <= 80


def test_a_terminal_without_unicode_gets_ascii(chain: str) -> None:
    done = outside("compare", chain, chain, "--runs", "200", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"+- " in done.stdout
    shown = outside("show", "research-report", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (shown.returncode, shown.stderr) == (0, b"")


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "from agentflow.cli import main; main()"
    line = f"{sys.executable} -c '{code}' schema workflow | head -1"
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"{\n", b"")


def test_the_package_imports_nothing_heavy_and_lists_its_names() -> None:
    assert agentflow.__all__ == sorted(agentflow.__all__) and len(agentflow.__all__) <= 20
    for name in agentflow.__all__:
        assert getattr(agentflow, name).__module__.startswith("agentflow.")
    assert issubclass(agentflow.AgentflowError, Exception) and agentflow.AgentflowError is AgentflowError
    assert set(agentflow.__all__) <= set(dir(agentflow))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = agentflow.nothing
    code = "import sys, agentflow; print([m for m in ('numpy', 'numba', 'pydantic', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


def test_the_version_is_that_of_the_distribution() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == agentflow.__version__
    assert outside("--version").stdout.decode().split() == ["agentflow", agentflow.__version__]


@pytest.mark.parametrize(
    "seconds, text",
    [(100.0, "100 s"), (150.0, "2.5 min"), (7200.0, "2 h"), (10_800.0, "3 h"), (172_800.0, "2 d"), (259_200.0, "3 d")],
)
def test_durations_are_told_in_a_unit_of_which_there_are_two(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text
    assert units.format_duration(-seconds) == "-" + text


@pytest.mark.parametrize("arguments", [["trace", "rag", "--run", str(2**63 - 1)], ["trace", "rag", "--sample", "3000000000"],
                                       ["stack", "--links", "1", "--output-tokens", "1e15"]])  # fmt: skip
def test_sizes_beyond_all_reason_are_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "internal error" not in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_without_a_traceback() -> None:
    command = [sys.executable, "-m", "agentflow", "list", "workflows"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "cannot read or write" in done.stderr and "internal" not in done.stderr


def test_a_reader_who_goes_is_no_failed_gate() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "agentflow", "show", "groq/llama-3.3-70b", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.wait(60) == 0

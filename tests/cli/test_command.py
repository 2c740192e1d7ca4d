"""The command as a user has it: output, exit codes, no traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agentflow.cli import run

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--runs", "400", "--threads", "1"]


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    run([*arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_json_of_a_run_has_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    found = json_of(capsys, "run", "research-report", *SMALL)
    assert list(found) == [
        "schema_version", "workflow", "assignment", "runs", "seed", "engine", "e2e_s", "ttft_s", "outcomes",
        "failures", "tokens", "calls", "attempts", "cost_usd", "energy_j", "steps", "critical_path", "gates",
        "profiles", "manifest",
    ]  # fmt: skip
    assert list(found["e2e_s"]) == ["mean", "p50", "p90", "p95", "p99"]
    assert list(found["e2e_s"]["p95"]) == ["value", "low", "high", "level", "drift_low", "drift_high"]
    total = sum(x for row in found["critical_path"]["mean_s"].values() for x in row.values())
    assert total == pytest.approx(found["e2e_s"]["mean"]["value"], abs=1e-9)
    assert sum(found["outcomes"].values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "tool-use", *SMALL, "--fail-if", "e2e.p95>10h"], 0, ""),
        (["run", "tool-use", *SMALL, "--fail-if", "e2e.p50>1ms"], 1, ""),
        (["run", "tool-use", "--runs", "50", "--fail-if", "e2e.p99>1ms"], 3, ""),
        (["run", "tool-use", *SMALL, "--fail-if", "e2e.q95>1s"], 2, "q95"),
        (["run", "tool-us", *SMALL], 2, "did you mean 'tool-use'?"),
        (["run", "tool-use", *SMALL, "--backend", "grok"], 2, "did you mean 'groq'?"),
        (["run", "tool-use", *SMALL, "--assign", "nothing"], 2, "STEP=BACKEND"),
        (["run", "tool-use", *SMALL, "--plot", "x.gif"], 2, ".png"),
        (["run", "tool-use", "--runs", "0"], 2, "runs"),
        (["nonsense"], 2, "nonsense"),
        (["validate", "no-such-file.yaml"], 2, "no such file"),
        (["show", "groq/llama-3.3-70b"], 0, ""),
        (["show", "support-triage", "--mermaid"], 0, ""),
        (["list"], 0, ""),
        (["schema", "workflow"], 0, ""),
        (["--version"], 0, ""),
    ],
)
def test_exit_codes(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err + captured.out


def test_the_graphs_mistakes_are_told_with_their_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text(
        "name: x\nsteps:\n  planner: {type: wait, duration: 1s, needs: [end]}\n"
        "  end: {type: wait, duration: 1s, needs: [planner]}\n  b:\n    type: wait\n    duration: 1s\n    needs: [palner]\n"
    )
    assert run(["validate", str(path)]) == 2
    err = capsys.readouterr().err
    assert f"{path}:8:13: steps.b.needs.0: no step named 'palner'; did you mean 'planner'?" in err
    path.write_text(path.read_text().replace("palner", "planner"))
    assert run(["validate", str(path)]) == 2
    assert "cycle planner -> end -> planner" in capsys.readouterr().err


def test_a_hostile_name_is_inert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "w.yaml"
    path.write_text('name: "[red]</script>=cmd()"\nsteps: {a: {type: wait, duration: 1s}}\n')
    assert run(["run", str(path), "--runs", "100"]) == 0
    assert "[red]</script>=cmd()" in capsys.readouterr().out
    assert run(["show", str(path), "--mermaid"]) == 0
    assert "<" not in capsys.readouterr().out


def test_saved_results_are_whole_and_read_back(tmp_path: Path) -> None:
    from agentflow import load_result

    path = tmp_path / "r.npz"
    assert run(["run", "tool-use", *SMALL, "--save", str(path)]) == 0
    assert load_result(path).runs == 400
    assert [p.name for p in tmp_path.iterdir()] == ["r.npz"]


def test_pictures_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        arguments = ["compare", "tool-use", "--backend", "groq", "--backend", "together", *SMALL]
        assert run([*arguments, "--plot", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_interrupt_exits_with_130(tmp_path: Path) -> None:
    out = tmp_path / "r.npz"
    command = [sys.executable, "-c", "from agentflow.cli import main; main()", "run", "w1", "--runs", "50000000"]
    process = subprocess.Popen(
        [*command, "--save", str(out)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    time.sleep(4.0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert not out.exists()


def test_nothing_heavy_is_imported_for_help() -> None:
    code = "import sys; from agentflow.cli import run; run(['--help']); print([m for m in ('numba','networkx','matplotlib','pydantic') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.rstrip().endswith("[]")

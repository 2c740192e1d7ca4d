"""What a newcomer gets wrong, and what the command says of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agentflow.cli import run

Capture = pytest.CaptureFixture[str]
LONG = """name: long
defaults: {model: llama-3.3-70b}
steps:
  read: {type: chat, input_tokens: 200k, output_tokens: 5}
"""


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def _write(text: str) -> str:
        path = tmp_path / "agent.yaml"
        path.write_text(text)
        return str(path)

    return _write


def said(capsys: Capture, *arguments: str, code: int) -> tuple[str, str]:
    assert run(list(arguments)) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_a_run_says_why_it_failed_and_what_to_do(write, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out, err = said(capsys, "run", write(LONG), "--backend", "groq", "--runs", "300", code=0)
    assert "context_overflow at read 100 %" in out
    assert "profiles  of 2025-08; retired" in out
    assert "read needs 200,001 tokens" in err and err.count("shorten the prompt") == 1
    out, _ = said(capsys, "run", write(LONG), "--backend", "groq", "--runs", "300", "--json", code=0)
    found = json.loads(out)
    assert found["failures"]["reasons"] == [
        {"outcome": "failed", "error": "context_overflow", "step": "read", "share": 1.0, "by": None}
    ]
    assert found["profiles"][0]["backend"] == "groq/llama-3.3-70b"


def test_explain_warns_too(write, capsys: Capture) -> None:
    _, err = said(capsys, "explain", write(LONG), "--backend", "groq", "--runs", "100", code=0)
    assert "read needs 200,001 tokens" in err


def test_validate_sees_a_prompt_that_cannot_fit(write, capsys: Capture) -> None:
    path = write(LONG)
    assert "ok" in said(capsys, "validate", path, code=0)[0]
    assert (
        "agent.yaml:4:36: steps.read.input_tokens: read needs"
        in said(capsys, "validate", path, "--backend", "groq", code=2)[1]
    )
    own = write(LONG.replace("70b}", "70b, backend: groq}"))
    assert "131,072" in said(capsys, "validate", own, code=2)[1]


def test_validate_checks_the_backend_and_the_model_of_the_document(write, capsys: Capture) -> None:
    text = LONG.replace("200k", "20")
    _, err = said(capsys, "validate", write(text.replace("70b}", "70b, backend: grok}")), code=2)
    assert "agent.yaml:2:43: defaults.backend: no provider is named 'grok'; did you mean 'groq'?" in err
    _, err = said(capsys, "validate", write(text.replace("70b}", "71b}")), code=0)
    assert "no provider here has the model 'llama-3.3-71b'; did you mean 'llama-3.3-70b'?" in err


def test_one_look_tells_every_typo_once(write, capsys: Capture) -> None:
    path = write("""name: typos
steps:
  planner: {type: chat, output_token: 5}
  look: {type: tool, needs: [palnner], latency: 1s, catch: [{errors: [timeout], to: wirte}]}
  write: {type: chat, needs: [planner], output_tokens: 5}
  fan: {type: map, count: 2, steps: {a: {type: wait, duration: 1s}, b: {type: wait, needs: [aa], duration: 1s}}}
answer: wriet
""")
    lines = said(capsys, "validate", path, code=2)[1].splitlines()
    told = [line.partition("agent.yaml:")[2] for line in lines]
    assert [line.split(":")[0] for line in told] == ["3", "4", "4", "6", "7"]
    assert [re.findall("did you mean '(.*?)'", line) for line in told] == [
        ["output_tokens"], ["planner"], ["write"], ["a"], ["write"],
    ]  # fmt: skip


def test_the_compilers_names_have_the_same_hint(write, capsys: Capture) -> None:
    path = write("name: x\nsteps:\n  planner: {type: wait, duration: 1s}\n"
                 "  b: {type: wait, duration: 1s, needs: [palner]}\n")  # fmt: skip
    assert "no step named 'palner'; did you mean 'planner'?" in said(capsys, "validate", path, code=2)[1]


def test_a_folder_is_called_a_folder(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is a folder" in said(capsys, "validate", str(tmp_path), code=2)[1]
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "mine: is a folder" in said(capsys, "validate", "mine", code=2)[1]


def test_a_result_is_saved_as_what_its_name_says(tmp_path: Path, capsys: Capture) -> None:
    assert ".npz" in said(capsys, "run", "tool-use", "--save", str(tmp_path / "x.json"), code=2)[1]


def test_help_of_capacity_asks_for_nothing_that_it_has_not(capsys: Capture) -> None:
    assert "needs --arrivals" not in " ".join(said(capsys, "capacity", "--help", code=0)[0].split())


def test_two_runs_have_no_negative_seconds(write, capsys: Capture) -> None:
    text = "name: x\nsteps:\n  a: {type: tool, latency: {lognormal: {p50: 1s, p95: 30s}}}\n"
    for seed in range(5):
        out, _ = said(capsys, "run", write(text), "--runs", "2", "--seed", str(seed), "--json", code=0)
        found = json.loads(out)
        assert found["e2e_s"]["mean"]["low"] >= 0 and found["steps"]["a"]["latency_s"]["mean"]["low"] >= 0
    assert "1 run, seed" in said(capsys, "run", write(text), "--runs", "1", code=0)[0]


def test_optimize_says_the_nearest_breach_and_fails(capsys: Capture) -> None:
    arguments = ["optimize", "tool-use", "--backends", "groq,together", "--runs", "200", "--max-cost", "$0.0000001"]
    out, _ = said(capsys, *arguments, code=1)
    assert "no assignment that was tried is within the limits" in out and "the nearest: p95" in out
    out, _ = said(capsys, *arguments, "--json", code=1)
    found = json.loads(out)
    assert found["best"] is None
    assert found["nearest"]["cost_usd"] == min(row["cost_usd"] for row in found["front"])


def test_a_sweep_says_that_times_count_runs_without_an_answer(write, capsys: Capture) -> None:
    text = "name: x\nbudget: {deadline: 1s}\nsteps:\n  a: {type: tool, latency: {uniform: [0.1, 2]}}\n"
    arguments = ["sweep", write(text), "--runs", "200", "--vary"]
    assert "without an answer" in said(capsys, *arguments, "latency=1,2", code=0)[0]
    assert "without an answer" not in said(capsys, *arguments, "latency=0.01,0.02", code=0)[0]


def test_a_price_that_no_batch_earns_is_named(capsys: Capture) -> None:
    arguments = ["bounds", "h100-sxm", "llama-3.1-70b", "--usd-per-chip-hour", "2.5", "--usd-per-mtok"]
    out, _ = said(capsys, *arguments, "1", code=0)
    assert "batch 34, the largest that fits" in out
    assert re.search(
        r"batch \d+, .* tok/s a user; more than the 34 that fit, so not at this price", " ".join(out.split())
    )
    assert "not at this price" not in said(capsys, *arguments, "2", code=0)[0]


@pytest.mark.parametrize("width", [80, 60])
def test_no_long_name_breaks_within_a_word(width: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    backends = ["anthropic/claude-sonnet-4.5", "groq/llama-3.3-70b"]
    for command in (["compare", "tool-use"], ["stack", "--links", "1,2"]):
        out, _ = said(capsys, *command, *(part for b in backends for part in ("--backend", b)), "--runs", "200", code=0)
        assert "claude-sonnet-4.5" in out and "llama-3.3-70b" in out
        assert max(map(len, out.splitlines())) <= width


def test_exit_code_70_is_told(capsys: Capture) -> None:
    assert "70 an error in agentflow itself" in " ".join(said(capsys, "--help", code=0)[0].split())


def test_a_file_that_was_meant_is_named(
    write, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(LONG)
    monkeypatch.chdir(tmp_path)
    assert "did you mean the file 'agent.yaml'?" in said(capsys, "run", "agent", code=2)[1]
    assert "did you mean the file 'agent.yaml'?" in said(capsys, "run", "agent.yml", code=2)[1]
    assert "did you mean the file 'agent.yaml'?" in said(capsys, "run", "./agnet.yaml", code=2)[1]


def test_a_provider_without_one_steps_model_is_told_with_the_step(write, capsys: Capture) -> None:
    path = write(LONG + "  answer: {type: chat, model: gpt-4.1, output_tokens: 5}\n")
    err = said(capsys, "run", path, "--backend", "groq", code=2)[1]
    assert err.startswith("answer: groq has no profile of gpt-4.1: azure, openai have it")
    assert "--assign answer=BACKEND" in err


def test_backends_are_divided_by_commas_everywhere(capsys: Capture) -> None:
    out, _ = said(capsys, "compare", "tool-use", "--backend", "groq, together", "--backend", "cerebras", "--runs", "100",
                  "--json", code=0)  # fmt: skip
    assert [case["label"] for case in json.loads(out)["cases"]] == ["groq", "together", "cerebras"]


def test_a_bare_quantile_is_taken_for_that_of_the_answer(capsys: Capture) -> None:
    assert (
        "did you mean 'e2e.p95'?" in said(capsys, "run", "tool-use", "--runs", "50", "--fail-if", "p95>1s", code=2)[1]
    )


def test_calibrate_warns_of_milliseconds(tmp_path: Path, capsys: Capture) -> None:
    rows = [f"{300 + 7 * (i % 11)},{2300 + 31 * (i % 13)},100" for i in range(60)]
    path = tmp_path / "load.csv"
    path.write_text("\n".join(["ttft,latency,output_tokens", *rows]))
    assert "check the units" in said(capsys, "calibrate", str(path), code=0)[1]
    assert said(capsys, "calibrate", str(path), "--columns", "ttft=ttft:ms,e2e=latency:ms", code=0)[1] == ""


ONE = """name: one
defaults: {retry: {max_attempts: 1}}
steps:
  ask: {type: chat, input_tokens: 10, output_tokens: 1}
"""
DESK = """schema_version: 1
name: desk
provider: own
model: m
law: {measured: {ttft: 1s, decode_rate: 20 tok/s}}
capacity: {concurrency: 1, max_queue: 2}
"""


def test_a_run_under_load_says_why_it_failed_too(write, tmp_path: Path, capsys: Capture) -> None:
    """Ten at once, one served and two waiting: seven are turned away, in each of the replications."""
    desk, wide = tmp_path / "desk.yaml", tmp_path / "wide.yaml"
    desk.write_text(DESK)
    wide.write_text(DESK.replace("name: desk", "name: wide").replace("max_queue: 2", "max_queue: 6"))
    load = ("--arrivals", "batch:10", "--runs", "250")
    out, _ = said(capsys, "run", write(ONE), "--backend", str(desk), *load, code=0)
    assert "because   rate_limit (queue full) at ask 70.0 %\n" in re.sub(" +\n", "\n", out)
    out, _ = said(capsys, "run", write(ONE), "--backend", str(desk), *load, "--json", code=0)
    found = json.loads(out)
    assert (found["failures"]["runs"], found["failures"]["runs_looked_at"]) == (175, 175)
    (reason,) = found["failures"]["reasons"]
    assert reason.pop("share") == pytest.approx(0.7)
    assert reason == {"outcome": "failed", "error": "rate_limit", "step": "ask", "by": "queue_full"}
    out, _ = said(capsys, "compare", write(ONE), "--backend", f"{desk},{wide}", *load, code=0)
    seen = " ".join(out.split())
    assert "because: rate_limit (queue full) at ask 70.0 %" in seen
    assert "because: rate_limit (queue full) at ask 30.0 %" in seen

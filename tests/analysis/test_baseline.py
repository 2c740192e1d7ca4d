"""Gates on a change: what a baseline is, how much a figure has moved, and one verdict for text, JSON and exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentflow import simulate
from agentflow.analysis.baseline import JsonBaseline, ResultBaseline, change, is_paired, load_baseline
from agentflow.analysis.gates import check, parse_gate
from agentflow.analysis.metrics import Metrics, figure_names
from agentflow.analysis.summary import summarize
from agentflow.cli import run
from agentflow.errors import AgentflowError, UsageError
from agentflow.estimate import student_quantile
from agentflow.report.jsonable import run_object
from agentflow.result import Result
from tests.analysis.made import lognormal, made

OLD = made(lognormal(1, 2000))
NEW = made(lognormal(1, 2000) * 1.2 * np.exp(0.01 * np.random.default_rng(5).standard_normal(2000)))


def with_runs(result: Result) -> ResultBaseline:
    return ResultBaseline("old.npz", Metrics(result))


def printed(result: Result) -> JsonBaseline:
    return JsonBaseline("old.json", json.loads(json.dumps(run_object(summarize(result)))))


def verdict(gate: str, baseline: Any, new: Result = NEW) -> str:
    return check(Metrics(new), parse_gate(gate), baseline).verdict


@pytest.mark.parametrize(
    ("gate", "found"),
    [
        ("e2e.p95>+10%", "fail"), ("e2e.p95>+30%", "pass"), ("e2e.p95>+20%", "inconclusive"),
        ("e2e.mean>+0.1s", "fail"), ("e2e.mean>+1s", "pass"), ("e2e.mean<-0.1s", "pass"), ("e2e.p50<+50%", "fail"),
        ("steps.write.latency.p95>+10%", "fail"), ("steps.write.latency.mean>+40%", "pass"),
        ("cost.mean>+1%", "pass"), ("tokens.output.mean>+1", "pass"), ("calls>+50%", "pass"),
        ("outcomes.failed>+1pp", "pass"), ("outcomes.answered<-1pp", "pass"), ("steps.write.critical_share<-1%", "pass"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [with_runs, printed])
def test_a_change_is_told_from_both_kinds_of_baseline(gate: str, found: str, kind: Any) -> None:
    assert verdict(gate, kind(OLD)) == found


def test_shared_draws_make_the_interval_narrow() -> None:
    paired, apart = (
        check(Metrics(NEW), parse_gate("e2e.p95>+10%"), b).estimate for b in (with_runs(OLD), printed(OLD))
    )
    assert paired.value == pytest.approx(apart.value) == pytest.approx(0.2, abs=0.02)
    assert paired.half_width is not None and apart.half_width is not None
    assert paired.half_width < 0.35 * apart.half_width
    assert is_paired(Metrics(NEW), with_runs(OLD))
    assert not is_paired(Metrics(NEW), with_runs(made(lognormal(1, 2000), seed=1)))
    assert not is_paired(Metrics(NEW), printed(OLD))


def test_intervals_of_independent_runs_cover() -> None:
    truth, held = 1.25, 0
    for seed in range(300):
        old, new = made(lognormal(seed, 500)), made(lognormal(10_000 + seed, 500) * truth, seed=1)
        e = change(Metrics(new), with_runs(old), "e2e.p95", "relative")[0].estimate
        assert e.low is not None and e.high is not None
        held += e.low <= truth - 1.0 <= e.high
    assert held >= 0.93 * 300


def test_a_printed_baseline_has_the_figures_that_were_printed() -> None:
    baseline, old = printed(OLD), with_runs(OLD)
    known = 0
    for name in figure_names(OLD):
        try:
            found = baseline.figure(name)
        except UsageError:
            continue
        known += 1
        assert found.estimate.value == pytest.approx(old.figure(name).estimate.value)
        assert found.dimension == old.figure(name).dimension
    assert known >= 20
    for name in ("calls.p95", "tokens.output.p99", "e2e.p99.9", "steps.nix.latency.p95", "nonsense"):
        with pytest.raises(UsageError, match=r"old\.json has no"):
            baseline.figure(name)


@pytest.mark.parametrize(
    ("gate", "baseline", "said"),
    [
        ("e2e.p95>+10%", None, "add --baseline old.json"),
        ("outcomes.failed>+10%", with_runs(OLD), "outcomes.failed>+1pp"),
        ("outcomes.failed>+10", with_runs(OLD), "percentage points, such as +1pp"),
        ("e2e.p95>+10 apples", with_runs(OLD), "apples"),
        ("e2e.p59x>+10%", with_runs(OLD), "did you mean"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_way_out(gate: str, baseline: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        verdict(gate, baseline)
    assert said in str(caught.value)


def test_files_that_are_no_baseline_are_refused(tmp_path: Path) -> None:
    cases = {"a.json": "{", "b.json": "[]", "c.json": '{"workflow": 1}', "d.npz": "PK", "e.json": '{"x": NaN}'}
    for name, text in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(AgentflowError, match="neither"):
            load_baseline(tmp_path / name)
    document = run_object(summarize(OLD)) | {"schema_version": 9}
    (tmp_path / "f.json").write_text(json.dumps(document))
    with pytest.raises(AgentflowError, match="schema_version"):
        load_baseline(tmp_path / "f.json")
    with pytest.raises(AgentflowError, match="No such file"):
        load_baseline(tmp_path / "none.json")
    OLD.save(tmp_path / "g.npz")
    assert isinstance(load_baseline(tmp_path / "g.npz"), ResultBaseline)


@pytest.mark.parametrize("saved", ["--json", "--save"])
@pytest.mark.parametrize(("limit", "code", "word"), [("+10%", 1, "fail"), ("+500%", 0, "pass"), ("-2%", 1, "fail")])
def test_text_json_and_exit_code_say_the_same(
    saved: str, limit: str, code: int, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    base = ["run", "prompt-chain-8", "--runs", "400", "--backend"]
    assert run([*base, "cerebras", "--json", *(["--save", str(old)] if saved == "--save" else [])]) == 0
    text = capsys.readouterr().out
    if saved == "--json":
        old.write_text(text)
    gate = ["--baseline", str(old), "--fail-if", f"e2e.p95>{limit}"]
    assert run([*base, "groq", *gate, "--json"]) == code
    (found,) = json.loads(capsys.readouterr().out)["gates"]
    assert (found["verdict"], found["change"]) == (word, "relative") and found["baseline"]["value"] > 0
    assert run([*base, "groq", *gate]) == code
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("e2e.p95>"))
    assert line.split()[1] == word and "+" in line


def test_a_result_against_itself_has_not_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "old"
    arguments = ["run", "prompt-chain-8", "--backend", "groq", "--runs", "2000"]
    assert run([*arguments, "--save", str(old)]) == 0
    assert run([*arguments, "--baseline", str(old), "--fail-if", "e2e.p95>+1%", "--fail-if", "e2e.p95<-1%"]) == 0
    assert run(["run", "research-report", "--backend", "groq", "--runs", "200", "--baseline", str(old)]) == 0
    assert "the baseline is of 'prompt-chain-8'" in capsys.readouterr().err


def test_a_comparisons_gates_on_a_change_are_against_its_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "prompt-chain-8", "--backend", "groq", "--backend", "together", "--runs", "400"]
    assert run([*arguments, "--baseline", "together", "--fail-if", "e2e.p95<-10%", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["gates"]
    assert (found["scenario"], found["verdict"]) == ("groq", "fail")


def test_under_load_the_replications_are_paired_not_the_runs() -> None:
    old, new = (simulate("tool-use", place, runs=1000, arrivals="poisson:0.5/s") for place in ("groq", "cerebras"))
    paired, apart = (check(Metrics(new), parse_gate("e2e.p95>+1%"), b).estimate for b in (with_runs(old), printed(old)))
    logs = [np.log(Metrics(r).by_replication("e2e_s", 0.95)) for r in (new, old)]
    half = student_quantile(0.975, len(logs[0]) - 1) * (logs[0] - logs[1]).std(ddof=1) / len(logs[0]) ** 0.5
    assert paired.value == pytest.approx(apart.value)
    assert paired.high is not None and np.log1p(paired.high) == pytest.approx(np.log1p(paired.value) + half)
    assert not is_paired(Metrics(new), with_runs(simulate("tool-use", "groq", runs=1000)))
    assert (
        verdict("outcomes.failed>+1pp", printed(old), new) == "inconclusive"
    )  # dependent runs: no interval was printed

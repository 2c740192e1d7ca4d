"""What is said of a system under load: its capacity, whether it is stable, intervals that hold what they promise."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import agentflow
from agentflow.analysis.loading.arrivals import parse_arrivals, read_times
from agentflow.analysis.loading.load import LoadReport, report_load, shape_of, warnings_of
from agentflow.analysis.metrics import Metrics
from agentflow.analysis.summary import summarize
from agentflow.cli.app import app
from agentflow.engine import Shape, pilot, run_load
from agentflow.engine.arrivals import Arrivals, Batch, Closed, Given, Renewal
from agentflow.errors import AgentflowError, UsageError
from agentflow.plan import compile_plan
from agentflow.report.load import load_table
from agentflow.result import load_result
from tests.load.contended import limited
from tests.make import backend, chat, workflow

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("AGENTFLOW_DATA", ROOT.parent / "shared" / "data"))
EXPONENTIAL = {"exponential": {"mean": 1.0}}
PLACE = limited(backend("place", ttft=EXPONENTIAL), concurrency=2)
PLAN = compile_plan(workflow({"a": chat(1), "b": chat(1, "a")}), {"*": PLACE})  # two seconds of work a run


def loaded(arrivals: Arrivals, runs: int = 2_000, seed: int = 0) -> LoadReport:
    alone = pilot(PLAN, seed)
    report = report_load(run_load(PLAN, arrivals, shape_of(PLAN, arrivals, alone, runs), seed, alone=alone))
    assert report is not None
    return report


@pytest.mark.parametrize(("rate", "state"), [(0.5, "stable"), (0.93, "near"), (1.1, "unstable")])
def test_the_state_is_that_of_the_offered_load(rate: float, state: str) -> None:
    report = loaded(Renewal(per_second=rate))
    (place,) = report.resources
    assert report.capacity is not None
    assert report.capacity == (pytest.approx(1.0, rel=0.05), "place")
    assert place.offered == pytest.approx(rate, rel=0.05)
    assert report.state == state
    said = " ".join(warnings_of(report))
    assert ("unstable" in said) == (state == "unstable")
    assert ("waits hang on small changes" in said) == (state == "near")
    if state == "unstable":
        assert place.utilisation.value > 0.97
        assert "place can serve" in said
    else:
        assert place.utilisation.value == pytest.approx(rate, rel=0.05)


def test_a_batch_has_a_makespan() -> None:
    report = loaded(Batch(runs=400), runs=4_000)
    assert report.makespan_s is not None
    assert report.makespan_s.value == pytest.approx(400, rel=0.05)  # 800 s of work on two slots
    assert report.capacity is not None
    assert report.state == "stable"


def test_a_closed_loop_has_a_throughput() -> None:
    report = loaded(Closed(number=50, think=1.0))
    assert report.throughput.value == pytest.approx(1.0, rel=0.05)
    assert report.resources[0].utilisation.value > 0.99


def test_traces_are_replayed(tmp_path: Path) -> None:
    file = tmp_path / "times.csv"
    file.write_text("arrival_s,tokens\n" + "".join(f"{3 * k},7\n" for k in range(30)), encoding="utf-8")
    assert read_times(file) == [3.0 * k for k in range(30)]
    arrivals = parse_arrivals(f"trace:{file},speed=3")
    assert isinstance(arrivals, Given)
    assert arrivals.times == tuple(float(k) for k in range(30))
    assert arrivals.rate == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["azure2023_code.csv", "azure2023_conv.csv", "mooncake_conversation.csv"])
@pytest.mark.skipif(not DATA.is_dir(), reason="the measured data are not here: set AGENTFLOW_DATA, or put them there")
def test_published_traces_are_read(name: str) -> None:
    times = read_times(DATA / "arrivals" / name)
    assert len(times) > 1_000
    assert times[0] == 0.0
    assert np.all(np.diff(times) >= 0)
    assert 500 < times[-1] < 10 * 86_400


KINDS = {
    "poisson:2/s": 1.0,
    "constant:2/s": 0.0,
    "gamma:2/s,cv=3": 9.0,
    "mmpp:0.5/s@20s,8/s@5s": None,
}


@pytest.mark.parametrize("text", KINDS)
def test_arrivals_come_at_their_rate(text: str) -> None:
    arrivals = parse_arrivals(text)
    blocks = arrivals.blocks(0, 0)
    times = np.concatenate([next(blocks)[0] for _ in range(50)])
    gaps = np.diff(times)
    assert arrivals.rate is not None
    assert np.all(gaps >= 0)
    assert 1 / gaps.mean() == pytest.approx(arrivals.rate, rel=0.03)
    variation = KINDS[text]
    if variation is not None:
        assert gaps.var() / gaps.mean() ** 2 == pytest.approx(variation, rel=0.06, abs=1e-9)
    else:
        assert gaps.var() / gaps.mean() ** 2 > 2


def test_a_day_has_its_peak() -> None:
    arrivals = parse_arrivals("daily:0.5/s,peak=1.8")
    blocks = arrivals.blocks(0, 0)
    times = np.concatenate([next(blocks)[0] for _ in range(60)])
    days = int(times[-1] // 86_400)
    hours = np.bincount((times[times < days * 86_400] % 86_400 // 3600).astype(int), minlength=24) / days / 3600
    assert hours.mean() == pytest.approx(0.5, rel=0.03)
    assert hours.max() == pytest.approx(0.9, rel=0.05)
    assert int(hours.argmax()) in (11, 12)
    assert int(hours.argmin()) in (0, 23)


WRONG = ("poison:1/s", "poisson", "poisson:1", "poisson:0/s", "poisson:1/s,cv=2", "gamma:1/s,cv=x", "closed:0",
         "closed:2,think=x", "batch:1.5", "trace:nowhere.csv", "mmpp:1/s", "mmpp:1/s@3s", "daily:1/s,peak=9", "")  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises((UsageError, AgentflowError)):
        parse_arrivals(text)


def test_threads_do_not_matter() -> None:
    shape = Shape(6, 50, 200)
    one, two = (run_load(PLAN, Renewal(per_second=0.8), shape, 3, threads=n) for n in (1, 3))
    assert one.e2e_s.tobytes() == two.e2e_s.tobytes()
    assert one.load is not None and two.load is not None
    for name, column in one.load.columns().items():
        assert column.tobytes() == two.load.columns()[name].tobytes(), name


def test_a_result_is_saved_and_read_with_its_load(tmp_path: Path) -> None:
    result = run_load(PLAN, Renewal(per_second=0.8), Shape(4, 10, 50), 3, written="poisson:0.8/s")
    result.save(tmp_path / "r.npz")
    again = load_result(tmp_path / "r.npz")
    assert report_load(again) == report_load(result)
    assert summarize(again) == summarize(result)


def test_the_command_reports_load(tmp_path: Path) -> None:
    file = tmp_path / "place.yaml"
    file.write_text(
        "schema_version: 1\nname: place\nprovider: p\nmodel: m\nlaw: {measured: {ttft: 1s, decode_rate: 50 tok/s}}\n"
        "capacity: {concurrency: 3}\n",
        encoding="utf-8",
    )
    arguments = ["run", "prompt-chain-8", "--backend", str(file), "--arrivals", "poisson:0.03/s", "--runs", "500"]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    out: dict[str, Any] = json.loads(done.stdout)
    assert out["engine"] == "events"
    load = out["load"]
    assert load["rate_per_s"] == 0.03
    assert load["resources"]["place"]["slots"] == 3
    assert load["state"] in ("stable", "near", "unstable")
    table = CliRunner().invoke(app, arguments)
    assert table.exit_code == 0
    assert "place" in table.stdout
    assert "busy" in table.stdout


def test_python_takes_arrivals_too() -> None:
    made = workflow({"a": chat(1), "b": chat(1, "a")})
    result = agentflow.simulate(made, PLACE, runs=400, arrivals="poisson:0.5/s")
    assert result.engine == "events"
    assert result.load is not None
    comparison = agentflow.compare(
        [made], [PLACE, PLACE.model_copy(update={"name": "other"})], runs=400, arrivals="batch:40"
    )
    assert "place" in str(comparison) or comparison is not None


@pytest.mark.slow
def test_intervals_at_load_08_cover() -> None:
    """M/M/1 at load 0.8: of 300 intervals of the mean and of the p95, nominally 95 %, at least 92 % hold the truth."""
    plan = compile_plan(workflow({"a": chat(1)}), {"*": limited(backend("q", ttft=EXPONENTIAL), concurrency=1)})
    arrivals = Renewal(per_second=0.8)
    alone = pilot(plan, 0)
    shape = shape_of(plan, arrivals, alone, 20_000)
    truth = {"mean": 5.0, "p95": -5.0 * math.log(0.05)}
    inside = dict.fromkeys(truth, 0)
    for seed in range(300):
        metrics = Metrics(run_load(plan, arrivals, shape, seed, alone=alone))
        for name, value in truth.items():
            estimate = summarize_e2e(metrics)[name]
            assert estimate.low is not None and estimate.high is not None
            inside[name] += estimate.low <= value <= estimate.high
    assert min(inside.values()) >= 276, inside


def summarize_e2e(metrics: Metrics) -> Any:
    from agentflow.analysis.summary import summary_of

    return summary_of(metrics).e2e_s


def test_an_overloaded_system_is_called_so_and_its_answers_are_counted_apart() -> None:
    full = backend("full", ttft=1.0, capacity={"concurrency": 1, "max_queue": 0})
    made = workflow({"ask": chat(1)})
    over, fine = (agentflow.simulate(made, full, arrivals=f"poisson:{rate}/s", runs=400) for rate in (2.0, 0.1))
    found, calm = summarize(over).load, summarize(fine).load
    assert found is not None and calm is not None
    assert (found.verdict, calm.verdict) == ("overloaded", "")
    lost = summarize(over).outcomes["failed"].value
    assert lost > 0.4
    assert found.answered == pytest.approx(found.throughput.value * (1.0 - lost))
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(load_table(found))
    printed = " ".join(capture.get().split())
    assert "verdict overloaded: 2 runs/s arrive, full bears 1" in printed
    assert f"{found.answered:.4g} runs/s with an answer" in printed

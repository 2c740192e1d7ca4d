"""A profile from requests of a known law, what few requests support, and real load-test files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from agentflow.analysis.fitting.calibrate import calibrate, calibrate_summary
from agentflow.analysis.fitting.calibration import e2e_draws
from agentflow.analysis.fitting.laws import quantile
from agentflow.analysis.fitting.requests import Requests, RequestSummary, build, concatenate
from agentflow.analysis.fitting.variation import between_runs, prefill
from agentflow.documents import dump, parse_backend
from agentflow.errors import CalibrationError
from agentflow.importers.loadtest import read_requests

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "tests" / "data" / "loadtest"
DATA = Path(os.environ.get("AGENTFLOW_DATA", ROOT.parent / "shared" / "data"))
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the measured data are not here: set AGENTFLOW_DATA, or put them in ../shared/data"
)


def sample(n: int, seed: int = 0, run_sd: float = 0.0, runs: int = 1, prompt: float | None = None) -> Requests:
    rng = np.random.default_rng(seed)
    run = np.arange(n) % runs
    slow = np.exp(run_sd * rng.standard_normal(runs))[run]
    tokens = rng.integers(50, 200, n)
    inputs = rng.integers(500, 8000, n) if prompt else np.full(n, 550)
    ttft = rng.lognormal(np.log(0.3), 0.2, n)
    if prompt:
        ttft = ttft + inputs / prompt
    rate = rng.lognormal(np.log(80.0), 0.1, n) / slow
    e2e = ttft * slow + (tokens - 1) / rate
    return build(ttft * slow, e2e, tokens, input_tokens=inputs, run=run, source="x.csv", tool="CSV", date="2026-01-02")


def test_a_known_law_is_recovered() -> None:
    result = calibrate(sample(500), name="here/llama")
    law = result.backend.law.measured
    assert quantile(law.ttft, [0.5])[0] == pytest.approx(0.3, rel=0.03)
    assert quantile(law.decode_rate, [0.5])[0] == pytest.approx(80.0, rel=0.02)
    assert (law.stall, law.variation.between_runs, law.prefill_rate) == (None, 0.0, None)
    assert (result.backend.provider, result.backend.model) == ("here", "llama")
    e2e = {r.probability: r.error for r in result.quantiles if r.quantity == "e2e_s"}
    assert abs(e2e[0.5]) < 0.02
    assert abs(e2e[0.95]) < 0.04


def test_the_profile_survives_its_own_document() -> None:
    requests = sample(200, seed=3)
    requests.ttft[5] += 60.0
    requests.e2e[5] += 60.0
    backend = calibrate(requests).backend
    assert backend.law.measured.stall is not None
    again = parse_backend(dump(backend))
    assert quantile(again.law.measured.ttft, [0.95]) == pytest.approx(quantile(backend.law.measured.ttft, [0.95]))
    assert again.law.measured.stall == backend.law.measured.stall
    assert again.evidence == backend.evidence


def test_evidence_names_file_date_count_and_kind() -> None:
    requests = concatenate([sample(80), build([np.nan] * 20, [np.nan] * 20, [-1] * 20, error=["rate_limit"] * 20)])
    backend = calibrate(requests).backend
    first, second, drift = backend.evidence
    assert (drift.figures, drift.kind) == (("drift",), "assumed")
    assert backend.law.measured is not None and backend.law.measured.drift is not None
    assert (first.kind, first.n, str(first.date), first.source) == ("measured", 80, "2026-01-02", "CSV x.csv")
    assert (second.figures, second.n) == (("errors",), 100)
    assert backend.errors["rate_limit"].probability == 0.2


def test_the_run_factor_is_found_and_divided_out() -> None:
    result = calibrate(sample(600, seed=4, run_sd=0.3, runs=30))
    law = result.backend.law.measured
    assert law.variation.between_runs == pytest.approx(0.3, abs=0.09)
    spread = np.log(quantile(law.decode_rate, [0.95, 0.05]))
    assert spread[0] - spread[1] == pytest.approx(2 * 1.645 * 0.1, rel=0.25)  # the call's own noise is left


def test_runs_that_do_not_differ_are_given_no_factor() -> None:
    rng = np.random.default_rng(5)
    found = between_runs(rng.normal(0.0, 0.2, 300), np.arange(300) % 20)
    assert found.between == 0.0
    assert between_runs(rng.normal(0.0, 0.2, 40), np.arange(40) % 2).between == 0.0  # two runs cannot tell


def test_a_prompts_share_of_ttft_is_its_prefill() -> None:
    law = calibrate(sample(400, seed=6, prompt=10_000.0)).backend.law.measured
    assert law.prefill_rate == pytest.approx(10_000.0, rel=0.1)
    same = sample(400, seed=6)
    assert prefill(same.ttft, same.input_tokens).rate is None


def test_few_requests_say_what_they_cannot_support() -> None:
    result = calibrate(sample(12))
    notes = " ".join(result.notes)
    assert "12 answered requests support p50; p90 needs 36, p95 needs 72, p99 needs 368" in notes
    assert "only medians are measured" in notes
    assert "assumed" in result.backend.evidence[0].note
    p95 = next(r for r in result.quantiles if r.quantity == "ttft_s" and r.probability == 0.95)
    assert p95.measured.low is None


def test_too_few_answers_are_refused_with_the_reason() -> None:
    failed = build([np.nan] * 9, [np.nan] * 9, [-1] * 9, error=["rate_limit"] * 9, source="f.json")
    with pytest.raises(CalibrationError, match=r"f.json:1: 0 of 9 requests were answered \(9 rate_limit\)"):
        calibrate(failed)
    with pytest.raises(CalibrationError, match="no speed can be told"):
        calibrate(build([0.1] * 9, [0.1] * 9, [1] * 9))


def test_json_is_plain() -> None:
    text = json.dumps(calibrate(sample(60)).as_dict(), allow_nan=False)
    assert json.loads(text)["families"]["ttft"]["candidates"]


def test_a_summary_becomes_a_table() -> None:
    summary = read_requests(FILES / "profile_export_aiperf.json")
    assert isinstance(summary, RequestSummary)
    result = calibrate_summary(summary)
    assert result.backend.name == "calibrated/tiny"
    assert quantile(result.backend.law.measured.ttft, [0.5])[0] == pytest.approx(0.21)
    assert result.backend.errors["server_error"].probability == 0.02


@needs_data
@pytest.mark.parametrize(
    "tool", ["aiperf_profile_export.jsonl aiperf", "guidellm.json guidellm", "vllm_bench.json vllm"]
)
def test_load_tests_of_a_known_endpoint(tool: str) -> None:
    name, truth = tool.split()
    requests = read_requests(DATA / "calibration" / name)
    true = json.loads((DATA / "calibration" / f"truth_{truth}.json").read_text())
    assert isinstance(requests, Requests)
    law = calibrate(requests).backend.law.measured
    p = [0.05, 0.5, 0.95]
    np.testing.assert_allclose(quantile(law.ttft, p), np.quantile([t["ttft"] for t in true], p), rtol=0.04)
    np.testing.assert_allclose(quantile(law.decode_rate, p), np.quantile([1 / t["gap"] for t in true], p), rtol=0.03)


@needs_data
def test_half_of_an_endpoints_requests_predict_the_other_half() -> None:
    where = {"provider": "fireworks", "model_size": "70b"}
    requests = read_requests(DATA / "providers" / "llmperf_requests.csv", where=where)
    assert isinstance(requests, Requests)
    half = np.arange(len(requests)) % 2 == 0
    law = calibrate(requests.take(half)).backend.law.measured
    other = requests.take(~half)
    drawn = e2e_draws(law, other.input_tokens, other.output_tokens)
    np.testing.assert_allclose(np.quantile(drawn, 0.5), np.quantile(other.e2e, 0.5), rtol=0.03)
    np.testing.assert_allclose(np.quantile(drawn, 0.95), np.quantile(other.e2e, 0.95), rtol=0.08)


def test_milliseconds_taken_for_seconds_are_suspected() -> None:
    measured = sample(200)
    right = calibrate(measured)
    scaled = build(measured.ttft * 1000, measured.e2e * 1000, measured.output_tokens, source="x.csv", tool="CSV")
    wrong = calibrate(scaled)
    assert not any("check the units" in note for note in right.notes)
    assert "check the units" in wrong.notes[0]

"""Each reader against a small file whose times are known, and against broken files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agentflow.analysis.fitting.requests import Requests, RequestSummary
from agentflow.errors import CalibrationError, UsageError
from agentflow.importers.loadtest import parse_columns, read_requests
from agentflow.importers.loadtest._text import error_name, line_of

FILES = Path(__file__).resolve().parents[1] / "data" / "loadtest"

TTFT = [0.2 + 0.05 * ((i * 7) % 5) for i in range(6)]
GAP = [0.01 + 0.001 * ((i * 3) % 4) for i in range(6)]
COLUMNS = {"ttft": "first byte (ms)", "e2e": "total_s", "start": "when", "run": "session"}


def read(name: str, **options: object) -> Requests:
    found = read_requests(FILES / name, **options)  # type: ignore[arg-type]
    assert isinstance(found, Requests)
    return found


@pytest.mark.parametrize(
    ("name", "tool", "failures"),
    [
        ("llmperf_individual_responses.json", "llmperf", ["rate_limit"]),
        ("vllm_bench.json", "vLLM bench serve", ["rate_limit"]),
        ("guidellm.json", "GuideLLM", ["server_error"]),
        ("profile_export.jsonl", "AIPerf", ["rate_limit"]),
        ("requests.csv", "CSV", ["rate_limit"]),
    ],
)
def test_every_format_tells_the_same_requests(name: str, tool: str, failures: list[str]) -> None:
    requests = read(name, columns=COLUMNS if tool == "CSV" else None)
    assert requests.tool == tool
    assert [e for e in requests.error if e] == failures
    answered = requests.take(requests.answered)
    np.testing.assert_allclose(answered.ttft, TTFT, rtol=1e-5)
    np.testing.assert_allclose(answered.decode_rate, 1 / np.array(GAP), rtol=1e-3)


def test_vllm_speed_is_per_token_not_per_chunk() -> None:
    data = json.loads((FILES / "vllm_bench.json").read_text())
    per_chunk = 1 / np.mean(data["itls"][0])
    assert read("vllm_bench.json").decode_rate[0] > 3 * per_chunk


def test_a_short_answer_of_llmperf_is_an_answer() -> None:
    assert read("llmperf_individual_responses.json").error[1] == ""


def test_each_benchmark_of_a_sweep_and_each_session_is_a_run() -> None:
    requests = read("guidellm.json")
    assert requests.run[requests.answered].tolist() == [0, 0, 0, 1, 1, 1]
    assert requests.notes == ("1 requests cut off at the end of the test are left out",)
    assert sorted(set(read("requests.csv", columns=COLUMNS).run.tolist())) == [0, 1]


def test_warm_up_is_left_out() -> None:
    requests = read("profile_export.jsonl")
    assert len(requests) == 7
    assert requests.notes == ("1 warm-up requests are left out",)
    assert requests.date == "2026-01-02"


def test_a_summary_gives_percentiles_with_speed_inverted() -> None:
    summary = read_requests(FILES / "profile_export_aiperf.json")
    assert isinstance(summary, RequestSummary)
    assert summary.ttft[3] == (0.5, 0.21)
    assert summary.decode_rate[0] == pytest.approx((0.05, 1 / 0.0025))
    assert (summary.n, summary.error_share, summary.model) == (200, 0.02, "tiny")


def test_rows_of_several_endpoints_must_be_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "two.csv"
    file.write_text("model,ttft_s,e2e_s,output_tokens\na,0.1,1.1,20\nb,0.2,1.2,20\n")
    with pytest.raises(CalibrationError, match=r"two.csv:1: rows of 2 different models .*--where model=a"):
        read_requests(file)
    found = read_requests(file, where={"model": "b"})
    assert isinstance(found, Requests)
    assert (found.ttft.tolist(), found.model) == ([0.2], "b")


CSV = "ttft_ms,e2e_ms,output_tokens\n100,1100,20\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.json", "", "empty.json:1: the file is empty"),
        ("cut.json", '[\n {"ttft_s": 0.1,\n', "cut.json:3: not valid JSON"),
        ("other.json", '{"a": 1}', "other.json:1: not a result file that is known; known are llmperf"),
        ("a.json", '[\n {"ttft_s": 0.1,\n  "end_to_end_latency_s": 0.05}\n]', "a.json:3: E2E 0.05 s is less than TTFT"),
        ("b.json", '[\n {"ttft_s": 1},\n 7\n]', "b.json:2: no field 'end_to_end_latency_s'"),
        ("c.json", '[\n {"ttft_s": "x", "end_to_end_latency_s": 2}\n]', 'c.json:2: ttft_s is "x", not a number'),
        ("d.json", '[\n {"ttft_s": NaN, "end_to_end_latency_s": 2}\n]', "d.json:2: ttft_s is NaN, not a number"),
        ("v.json", '{"mean_ttft_ms": 3}', "v.json:1: no per-request list 'ttfts'; .*--save-detailed"),
        ("w.json", '{"ttfts": [1],\n "output_lens": [1, 2]}', "w.json:2: output_lens has 2 entries, ttfts 1"),
        ("g.json", '{"benchmarks": [\n{"type_": 1}]}', "g.json:2: no 'requests' in this benchmark"),
        ("l.jsonl", '{"metadata": {}, "metrics": {}}\n{"metadata"', "l.jsonl:1: no field 'time_to_first_token'"),
        ("s.json", '{"results_ttft_s_quantiles_p50": 1}', "s.json:1: this is llmperf's summary"),
        ("a.csv", CSV + "\n100,x,20\n", "a.csv:4: e2e is 'x', not a number"),
        ("b.csv", CSV + "100,50,20\n", "b.csv:3: E2E 0.05 s is not at least the TTFT 0.1 s; check the columns' units"),
        ("c.csv", CSV + "100,50\n", "c.csv:3: 2 cells, the header has 3"),
        ("d.csv", "# c\nttft,e2e\n1,2\n", "d.csv:2: no column for output; name it: --columns output=COLUMN"),
        ("e.csv", "ttft,e2e,output\n", "e.csv:1: no rows"),
    ],
)
def test_a_malformed_file_is_told_with_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(CalibrationError, match=message):
        read_requests(file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"ttft,e2e\n\xff\xfe\n")
    for name, message in (("bytes.csv", "bytes.csv:2: not UTF-8"), ("none.csv", "No such file"), (".", "a folder")):
        with pytest.raises(CalibrationError, match=message):
            read_requests(tmp_path / name)


def test_flags_are_checked() -> None:
    assert parse_columns("ttft=a:ms, e2e=b") == {"ttft": "a:ms", "e2e": "b"}
    for text, message in (("ttft", "is not FIELD=COLUMN"), ("tttf=a", "did you mean 'ttft'")):
        with pytest.raises(UsageError, match=message):
            parse_columns(text)
    with pytest.raises(UsageError, match="no format 'xml'"):
        read_requests(FILES / "requests.csv", "xml")
    with pytest.raises(CalibrationError, match=r"requests.csv:3: no column 'total'; did you mean 'total_s'"):
        read_requests(FILES / "requests.csv", columns={**COLUMNS, "e2e": "total"})
    with pytest.raises(CalibrationError, match="not a result file of guidellm"):
        read_requests(FILES / "vllm_bench.json", "guidellm")


@pytest.mark.parametrize(
    ("code", "message", "name"),
    [
        (429, "", "rate_limit"),
        ("503", "", "server_error"),
        (None, "HTTP 504 gateway", "timeout"),
        (None, "Request timed out", "timeout"),
        (400, "maximum context length is 8192", "context_overflow"),
        (401, "", "client"),
        (-1, "", "server_error"),
        (None, "cancelled", "client"),
    ],
)
def test_errors_get_the_schemas_names(code: object, message: str, name: str) -> None:
    assert error_name(code, message) == name


def test_the_line_of_a_value_is_found_without_parsing_twice() -> None:
    text = '{\n "a": [1,\n  {"b}": "]",\n   "c": 2}],\n "d": {}\n}'
    assert line_of(text, ["a", 1, "c"]) == 4
    assert line_of(text, ["d"]) == 5
    assert line_of(text, ["a", 9]) == 2


def test_dates_and_times_of_day_in_a_table(tmp_path: Path) -> None:
    file = tmp_path / "dated.csv"
    file.write_text("ttft,e2e,output,timestamp,date\n1,2,20,2026-01-02T03:04:05Z,2026-01-02\n1,2,20,late,-\n")
    found = read_requests(file)
    assert isinstance(found, Requests)
    assert found.date == "2026-01-02"
    assert found.start[0] == 1767323045.0
    assert np.isnan(found.start[1])


def test_columns_go_by_their_usual_names_too() -> None:
    from agentflow.importers.loadtest.table import parse_columns

    assert parse_columns("input_tokens=a,TTFT=b:ms,completion-tokens=c") == {
        "input": "a",
        "ttft": "b:ms",
        "output": "c",
    }

"""What `agentflow calibrate` prints and writes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from agentflow.cli.calibration import calibrate_command
from agentflow.documents import parse_backend
from agentflow.errors import CalibrationError, UsageError

FILES = Path(__file__).resolve().parents[1] / "data" / "loadtest"
LLMPERF = str(FILES / "llmperf_individual_responses.json")
SUMMARY = str(FILES / "profile_export_aiperf.json")


def run(*files: str, **options: object) -> str:
    out = io.StringIO()
    calibrate_command(files, console=Console(file=out, width=120), **options)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.fixture
def table(tmp_path: Path) -> str:
    rng = np.random.default_rng(1)
    rows = [
        f"{t:.2f},{t + s:.2f},100" for t, s in zip(rng.lognormal(5.5, 0.2, 90), rng.normal(1000, 60, 90), strict=True)
    ]
    file = tmp_path / "load.csv"
    file.write_text("\n".join(["ttft_ms,e2e_ms,output_tokens", *rows]) + "\n")
    return str(file)


def test_report_profile_and_plot(table: str, tmp_path: Path) -> None:
    yaml, png = tmp_path / "out.yaml", tmp_path / "qq.png"
    text = run(table, name="here/tiny", output=str(yaml), plot=str(png), as_of="2026-01-31")
    for part in ("here/tiny: 90 answered requests", "TTFT: ", "decode rate", "E2E", "95 % interval", "p99 needs 368"):
        assert part in text
    assert "needs 368" in text
    backend = parse_backend(yaml.read_text())
    assert (backend.name, str(backend.as_of), backend.evidence[0].kind) == ("here/tiny", "2026-01-31", "measured")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("*.part"))


def test_without_output_the_profile_is_printed(table: str) -> None:
    text = run(table)
    assert parse_backend(text[text.index("schema_version") :]).name == "calibrated/load"


def test_json_alone(table: str) -> None:
    data = json.loads(run(table, as_json=True))
    assert data["schema_version"] == 1
    assert data["answered"] == 90


def test_a_summary() -> None:
    assert "a summary has no requests" in run(SUMMARY)
    with pytest.raises(UsageError, match="no requests to plot"):
        run(SUMMARY, plot="x.png")
    with pytest.raises(UsageError, match="stands alone"):
        run(SUMMARY, LLMPERF)


def test_bad_flags(table: str, tmp_path: Path) -> None:
    for options, message in (
        ({"as_of": "yesterday"}, "--as-of"),
        ({"where": ["x"]}, "--where"),
        ({"as_of": "2999-01-01"}, "--as-of 2999-01-01: is in the future"),
        ({"output": str(tmp_path / "no" / "x.yaml")}, "--output .*: there is no folder"),
        ({"plot": str(tmp_path / "x.nope")}, "--plot .*must end in .png"),
        ({"columns": "first=x"}, "The fields are ttft, e2e"),
    ):
        with pytest.raises(UsageError, match=message):
            run(table, **options)
    with pytest.raises(UsageError, match="at least one"):
        run()
    with pytest.raises(UsageError, match="twice"):
        run(table, table)


def test_files_of_different_models_are_not_pooled() -> None:
    other = str(FILES / "vllm_bench.json")
    assert "12 answered" in run(LLMPERF, other)  # llmperf does not name its model
    guide = str(FILES / "guidellm.json")
    run(other, guide)


def test_different_models_are_refused(tmp_path: Path) -> None:
    data = json.loads((FILES / "vllm_bench.json").read_text())
    data["model_id"] = "large"
    file = tmp_path / "large.json"
    file.write_text(json.dumps(data))
    with pytest.raises(CalibrationError, match="one endpoint at a time"):
        run(str(FILES / "vllm_bench.json"), str(file))

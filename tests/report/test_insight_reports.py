"""What `explain` and its kin print and draw: widths, ASCII, hostile names, pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agentflow.analysis.explain import Explanation, explain
from agentflow.cli import run
from agentflow.report.explanation import explain_report
from agentflow.report.insight_plots import plot_explanation
from tests.make import backend, chat, tool, workflow

LONG = "a_step_with_quite_a_long_nm"


def printed(report: Any, content: Any, width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    console = Console(file=file, width=width, highlight=False, emoji=False, markup=False)
    console.print(report(content, console))
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.fixture(scope="module")
def racing() -> Explanation:
    """Two branches with retries, a join, and a step beside that nobody waits for."""
    slow = {"lognormal": {"p50": 1.0, "p95": 4.0}}
    retry = {"max_attempts": 4, "initial_interval": 0.5}
    steps = {
        LONG: tool(slow, errors={"server_error": 0.3}, retry=retry),
        "other": chat(60),
        "meet": chat(20, LONG, "other"),
        "log": tool(9, "other"),
    }
    return explain(workflow(steps, answer="meet"), backend(rate=40.0), runs=1000)


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_an_explanation_fits_the_terminal(racing: Explanation, width: int, encoding: str) -> None:
    text = printed(explain_report, racing, width, encoding)
    assert max(map(len, text.splitlines())) <= width
    for word in ("of what", "slack", "attempts that failed", "waits for the last branch", "A slow run takes", "any"):
        assert word in text


def test_pictures_are_written_whole(racing: Explanation, tmp_path: Path) -> None:
    for suffix in (".png", ".svg", ".pdf"):
        plot_explanation(racing, tmp_path / f"x{suffix}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pdf", "x.png", "x.svg"]
    picture = (tmp_path / "x.svg").read_text()
    plot_explanation(racing, tmp_path / "x.svg")
    assert picture == (tmp_path / "x.svg").read_text()


def test_the_command_explains(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "support-triage", "--runs", "400", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["explanation"]["steps"]["write"]["critical_share"]["value"] > 0.9
    total = sum(x for step in found["explanation"]["steps"].values() for x in step["mean_s"].values())
    assert total == pytest.approx(found["e2e_s"]["mean"]["value"], rel=1e-12)
    assert run(["explain", "support-triage", "--runs", "400"]) == 0
    assert "critical" in capsys.readouterr().out

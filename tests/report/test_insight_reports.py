"""What `explain` and its kin print and draw: widths, ASCII, hostile names, pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agentflow.analysis.insight.breakeven import break_even_of, parse_target
from agentflow.analysis.insight.explain import Explanation, explain
from agentflow.analysis.insight.whatif import rank
from agentflow.analysis.scenario import build_scenarios
from agentflow.cli import run
from agentflow.report.explanation import explain_report
from agentflow.report.helping import break_even_report, ranking_report
from agentflow.report.insight_plots import plot_explanation
from agentflow.report.palette import share
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


@pytest.fixture(scope="module")
def wished(racing: Explanation) -> tuple[Any, Any]:
    """The same kind of workflow with a long name, what would help, and a target that no speed meets."""
    steps = {"a": chat(60), "search": tool(12.0, "a"), LONG: chat(60, "a"), "log": tool(0.5, "a")}
    made = build_scenarios(workflow(steps, answer=LONG), backend(rate=20.0))[0]
    waits = build_scenarios(workflow({k: steps[k] for k in ("a", "search")}), backend(rate=20.0))[0]
    needs = [break_even_of(made, parse_target("p95<5s"), 400), break_even_of(waits, parse_target("p95<10s"), 400)]
    return rank(made, [backend("other", ttft=0.5, rate=40.0)], 400), needs


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_would_help_fits_the_terminal(wished: tuple[Any, Any], width: int, encoding: str) -> None:
    ranking, needs = wished
    text = printed(lambda r, _: ranking_report(r), ranking, width, encoding)
    text += "".join(printed(lambda n, _: break_even_report(n), need, width, encoding) for need in needs)
    assert max(map(len, text.splitlines())) <= width and "\x1b" not in text
    flat = " ".join(text.split())
    for said in ("on other", "2 times faster", "nothing you do to", "any one of these suffices", "tok/s, now 20"):
        assert said in flat
    assert "no speed suffices: with all model calls in no time the p95 is 12.0 s; the tool search takes" in flat


def test_the_command_ranks_and_breaks_even(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["explain", "prompt-chain-8", "--backend", "groq", "--runs", "200", "--try", "cerebras"]
    assert run([*arguments, "--by", "mean", "--target", "p95<5s", "--target", "ttft.p50<1ms", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first = found["what_if"]["changes"][0]
    assert (first["kind"], first["helps"], first["change"]) == ("backend", True, "on cerebras/llama-3.3-70b")
    assert [need["target"] for need in found["break_even"]] == ["p95<5s", "ttft.p50<1ms"]
    assert found["break_even"][0]["rows"][0]["suffices"] and not found["break_even"][0]["met"]
    assert run([*arguments, "--target", "p95<5s"]) == 0
    assert "any one of these suffices" in capsys.readouterr().out
    assert run(["explain", "prompt-chain-8", "--backend", "groq", "--target", "p95>5s"]) == 2


def test_shares_beyond_all_and_below_none_are_written_plainly() -> None:
    written = [share(x) for x in (0.0, 1.0, 1.013, -0.0029, -0.0001, 0.9996, 0.00051, 0.25)]
    assert written == ["0 %", "100 %", "101.3 %", "-0.3 %", "-0.01 %", "99.96 %", "0.051 %", "25.0 %"]

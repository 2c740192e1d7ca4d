"""Tables for people, JSON for programs: widths, signs, hostile names, stable keys."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console, RenderableType

from agentflow.analysis.compare import compare_results
from agentflow.analysis.gates import check, parse_gate
from agentflow.analysis.metrics import Metrics
from agentflow.analysis.summary import summarize
from agentflow.report.jsonable import compare_object, run_object
from agentflow.report.palette import COLOURS, SIGNS
from agentflow.report.plots import plot_comparison, plot_summary
from agentflow.report.tables import compare_report, run_report
from agentflow.result import COMPONENTS
from tests.analysis.made import lognormal, made

HOSTILE = ["[red]bold[/red]", "</script><b>", "=cmd()", "\x1b[31mred", "a\nb\rc", "\u202eevil", "$x^2$", "é" * 60]


def printed(report: Any, *content: Any, width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    console = Console(file=file, width=width, highlight=False, emoji=False, markup=False)
    shown: RenderableType = report(content[0], console, *content[1:])
    console.print(shown)
    file.flush()
    return raw.getvalue().decode(encoding)


def comparison(*labels: str) -> Any:
    times = lognormal(1, 500)
    return compare_results(labels, [made((i + 1) * times, workflow="chain") for i in range(len(labels))])


@pytest.mark.parametrize("width", [80, 100, 160])
def test_nothing_is_wider_than_the_terminal_or_cut_off(width: int) -> None:
    many = comparison("anthropic/claude-sonnet-4.5", "groq", "openai/gpt-4.1")
    gates = [check(Metrics(case.result), parse_gate("e2e.p95>2s")) for case in many.cases]
    summary = summarize(made(lognormal(2, 500), step="a_step_with_quite_a_long_name"))
    for text in (
        printed(compare_report, many, gates, width=width),
        printed(run_report, summary, gates[:1], width=width),
    ):
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text.replace("a_step_with_quite_a_long_nam…", "")


def test_the_run_report_says_what_it_promises() -> None:
    text = printed(run_report, summarize(made(lognormal(1, 2000))))
    for word in ("made on somewhere/model, 2,000 runs, seed 0", "p95", "answered 100 %", "decode", "longest step", "█"):
        assert word in text


def test_too_few_runs_print_no_bound_but_how_many_are_needed() -> None:
    text = printed(run_report, summarize(made(lognormal(1, 50))))
    assert "needs 72 runs" in text and "needs 368 runs" in text


def test_the_comparison_counts_from_the_slowest() -> None:
    text = printed(compare_report, comparison("fast", "slow"))
    fast = next(line for line in text.splitlines() if line.startswith("fast"))
    assert "2.0 ± " in fast or "2.00 ± " in fast
    assert "p50 of slow over" in text


def test_ascii_terminals_get_ascii() -> None:
    for text in (
        printed(run_report, summarize(made(lognormal(1, 500))), encoding="ascii"),
        printed(compare_report, comparison("a", "b"), encoding="ascii"),
    ):
        assert "ddddd" in text
    assert "+- " in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_inert(name: str, tmp_path: Path) -> None:
    result = made(lognormal(1, 500), workflow=name, assignment={"write": name})
    summary = summarize(result)
    both = compare_results([name, "b"], [result, made(lognormal(2, 500))])
    for text in (printed(run_report, summary, width=200), printed(compare_report, both, width=200)):
        assert "\x1b" not in text and "\r" not in text and "\u202e" not in text
    assert printed(run_report, summary, width=200).count("[red]") == 2 * name.count("[red]")
    assert json.loads(json.dumps(run_object(summary)))["workflow"] == name
    plot_comparison(both, tmp_path / "picture.svg")
    picture = (tmp_path / "picture.svg").read_text(encoding="utf-8")
    assert "<b>" not in picture and "</script>" not in picture


def key_tree(value: Any) -> Any:
    return {key: key_tree(item) for key, item in value.items()} if isinstance(value, dict) else None


E = {"value": None, "low": None, "high": None, "level": None}
WITH_DRIFT = {**E, "drift_low": None, "drift_high": None}
TIMES = {name: E for name in ("mean", "p50", "p90", "p95", "p99")}
TOKENS = ("input", "cached_input", "output", "reasoning")
RUN = {
    "schema_version": None, "workflow": None, "assignment": {"write": None}, "runs": None, "seed": None,
    "engine": None, "e2e_s": {name: WITH_DRIFT for name in TIMES}, "ttft_s": TIMES,
    "outcomes": {"answered": None, "fallback": None, "failed": None}, "failures": None,
    "tokens": {kind: E for kind in TOKENS}, "calls": E, "attempts": E,
    "cost_usd": {"mean": E, "p95": E}, "energy_j": None,
    "steps": {"write": {
        "executions": None, "latency_s": {"mean": E, "p50": E, "p95": E}, "components_s": {"decode": None},
        "critical_share": None, "tokens": dict.fromkeys(TOKENS), "cost_usd": None,
    }},
    "critical_path": {"mean_s": {"write": {"decode": None}}, "tail_s": None},
    "gates": None, "profiles": None,
    "manifest": {"agentflow": None, "numpy": None, "python": None, "plan_fingerprint": None},
}  # fmt: skip


def test_the_keys_of_a_run_are_stable() -> None:
    found = run_object(summarize(made(lognormal(1, 500))))
    assert key_tree(found) == RUN
    assert list(found) == list(RUN)
    assert found["schema_version"] == 1


def test_the_keys_of_a_comparison_are_stable() -> None:
    both = comparison("a", "b")
    gate = check(Metrics(both.cases[0].result), parse_gate("e2e.p95>2s"))
    found = compare_object(both, [gate])
    assert list(found) == ["schema_version", "baseline", "cases", "gates"]
    faster = {name: E for name in ("mean", "p50", "p95")}
    assert key_tree(found["cases"][0]) == {"label": None, **RUN, "times_faster": faster, "difference_s": faster}
    assert set(found["gates"][0]) >= {"expression", "verdict"}


def test_the_components_of_the_critical_path_add_up_to_the_mean() -> None:
    found = run_object(summarize(made(lognormal(1, 500))))
    total = sum(sum(row.values()) for row in found["critical_path"]["mean_s"].values())
    assert total == pytest.approx(found["e2e_s"]["mean"]["value"], rel=1e-12)


def test_json_has_no_nan_whatever_the_runs() -> None:
    for result in (made([0.0]), made(np.zeros(100)), made([1.0, 2.0], cost_usd=None)):
        json.dumps(run_object(summarize(result)), allow_nan=False)
        json.dumps(compare_object(compare_results(["a", "b"], [result, result])), allow_nan=False)
        printed(run_report, summarize(result))
        printed(compare_report, compare_results(["a", "b"], [result, result]))


def test_every_component_has_a_colour_and_signs_of_its_own() -> None:
    assert tuple(COLOURS) == COMPONENTS == tuple(SIGNS)
    assert len(set(COLOURS.values())) == len(COMPONENTS)
    for encoding in (0, 1):
        assert len({signs[encoding] for signs in SIGNS.values()}) == len(COMPONENTS)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_pictures_are_the_same_each_time_and_leave_nothing_else(suffix: str, tmp_path: Path) -> None:
    both, first, second = comparison("a", "b"), tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    plot_comparison(both, first)
    plot_comparison(both, second)
    assert first.read_bytes() == second.read_bytes()
    plot_summary(both.cases[0].summary, first)
    assert len(list(tmp_path.iterdir())) == 2

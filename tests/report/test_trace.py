"""Timelines of single runs: they parse, nest, keep time in order, and add up to what the engine says."""

from __future__ import annotations

import base64
import datetime
import json
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agentflow import documents
from agentflow.analysis.traced import QUANTILES, Traced, nearest_run, trace
from agentflow.cli import run as command
from agentflow.engine import run_plan
from agentflow.errors import UsageError
from agentflow.plan import compile_plan
from agentflow.report.trace import chrome_trace, mermaid_gantt, otlp_trace
from agentflow.report.trace.mermaid import MOST_ROWS
from agentflow.report.trace.spans import last_end, nanoseconds, ran
from tests.make import backend, chat, fan, guardrail, loop, nested, tool, workflow

HOSTILE = "</script>[red]=cmd() #; crit, 'x"
START = 1_763_719_200_000_000_000
PLACE = backend(ttft={"lognormal": {"p50": 0.5, "p95": 2.0}}, rate={"lognormal": {"p50": 40, "p95": 90}})


def traced(name: str) -> Traced:
    return trace(name, PLACE, runs=[*range(6), "typical", "slow"], sample=200)


def everything() -> Traced:
    """What the catalogue does not have: any-joins, hedges, retries, failures, guardrails beside, an inner workflow."""
    inner = workflow({"x": chat(20), "y": tool({"exponential": {"mean": 1.0}}, "x")})
    steps = {
        "guard": guardrail({"exponential": {"mean": 1.0}}, blocking=False, errors={"content_filter": 0.2}),
        "a": chat(
            {"lognormal": {"p50": 50, "p95": 90}}, "guard", errors={"rate_limit": 0.4}, retry={"max_attempts": 3}
        ),
        "b": tool({"exponential": {"mean": 2.0}}, "guard"),
        "either": chat(30, "a", "b", join="any", hedge={"after": 1.0}, stream=True),
        "wide": fan(
            {"uniform": [0, 4]},
            {"p": tool({"exponential": {"mean": 1.0}}), "q": chat(9, "p")},
            "guard",
            max_concurrency=2,
        ),
        "again": loop(3, {"w": chat(20)}, "either", "wide", continue_probability=0.5),
        "inside": nested(inner, "again"),
    }
    return trace(workflow(steps, name=HOSTILE, budget={"deadline": 9.0}), PLACE, runs=range(60))


@pytest.fixture(scope="module")
def all_traced() -> list[Traced]:
    return [*map(traced, documents.list_workflows()), everything()]


def test_a_visits_components_fill_it_and_the_path_fills_the_run(all_traced: list[Traced]) -> None:
    for item in all_traced:
        for found in item.traces:
            visits = {visit.node: visit for visit in found.visits}
            for visit in found.visits:
                if not visit.composite:
                    assert sum(visit.components_s.values()) == pytest.approx(visit.end_s - visit.start_s, abs=1e-9)
                if visit.parent in visits and visit.status != "skipped":
                    around = visits[visit.parent]
                    assert around.composite and around.step == visit.step.rpartition(".")[0]
                    assert around.start_s <= visit.start_s and visit.end_s <= around.end_s + 1e-9
            steps = [visits[node] for node in found.path if node in visits and not visits[node].composite]
            total = sum(sum(visit.components_s.values()) for visit in steps)
            assert total == pytest.approx(found.e2e_s, abs=1e-9)
            for one, two in pairwise(steps):
                assert two.start_s == pytest.approx(one.end_s, abs=1e-9)
            assert all(visit.critical == (visit.node in found.path) for visit in found.visits)


def test_the_visits_add_up_to_the_runs_own_figures() -> None:
    plan = compile_plan(everything().workflow, {"*": PLACE})
    result = run_plan(plan, 60)
    for found in everything().traces:
        n = found.run
        assert (found.e2e_s, found.ttft_s) == (result.e2e_s[n], result.ttft_s[n])
        assert found.outcome == result.outcome_names[result.outcome[n]]
        for kind in ("input", "cached_input", "output", "reasoning"):
            assert sum(visit.tokens[kind] for visit in found.visits) == getattr(result, f"{kind}_tokens")[n]
        assert sum(visit.calls for visit in found.visits) == result.calls[n]
        assert sum(visit.attempts for visit in found.visits) == result.attempts[n]
    assert {found.outcome for found in everything().traces} > {"answered", "deadline_exceeded"}
    statuses = {visit.status for found in everything().traces for visit in found.visits}
    assert statuses >= {"done", "cancelled", "failed"}


def test_the_typical_run_is_the_median_and_the_slow_one_the_p95() -> None:
    found = trace("tool-use", PLACE, runs=["typical", "slow"], sample=200)
    e2e = run_plan(compile_plan(found.workflow, found.assignment), 200).e2e_s
    for one, word in zip(found.traces, found.labels, strict=True):
        assert (e2e <= one.e2e_s).sum() == QUANTILES[word] * 200
        assert one.run == nearest_run(e2e, QUANTILES[word])
    with pytest.raises(UsageError, match="typical or slow"):
        trace("tool-use", PLACE, runs=["usual"])


# --- Chrome ---------------------------------------------------------------------------------------------


def slices(item: Traced) -> dict[tuple[int, int], list[dict[str, Any]]]:
    found: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in json.loads(json.dumps(chrome_trace(item), allow_nan=False))["traceEvents"]:
        if event["ph"] == "X":
            found[event["pid"], event["tid"]].append(event)
    return found


def edges(event: dict[str, Any]) -> tuple[int, int]:
    start = round(event["ts"] * 1000)
    return start, start + round(event["dur"] * 1000)


def test_chrome_slices_of_a_lane_nest_and_never_cross(all_traced: list[Traced]) -> None:
    for item in all_traced:
        for lane in slices(item).values():
            stack: list[tuple[int, int]] = []
            for start, end in sorted((edges(event) for event in lane), key=lambda e: (e[0], -e[1])):
                while stack and stack[-1][1] <= start:
                    stack.pop()
                assert end >= start >= 0
                assert not stack or end <= stack[-1][1]
                stack.append((start, end))


def test_chrome_components_fill_their_visit_and_the_critical_lane_fills_the_run(all_traced: list[Traced]) -> None:
    for item in all_traced:
        found = slices(item)
        for lane in found.values():
            visits = [edges(event) for event in lane if event["cat"] == "step"]
            parts = [edges(event) for event in lane if event["cat"] == "component"]
            assert sum(b - a for a, b in visits) == sum(b - a for a, b in parts)
        for number, one in enumerate(item.traces):
            path = [edges(event) for event in found.get((number + 1, 1), []) if event["cat"] == "step"]
            assert sum(b - a for a, b in path) == pytest.approx(nanoseconds(one.e2e_s), abs=len(path))


def test_chrome_draws_every_visit_once_besides_the_path(all_traced: list[Traced]) -> None:
    for item in all_traced:
        found = slices(item)
        for number, one in enumerate(item.traces):
            drawn = [e for (pid, tid), lane in found.items() if pid == number + 1 and tid > 1 for e in lane]
            assert sum(event["cat"] != "component" for event in drawn) == len(ran(one))


def test_parallel_visits_have_lanes_of_their_own_and_a_composite_holds_what_runs_in_it() -> None:
    steps = {"wide": fan(3, {"p": tool(1.0), "q": tool(2.0, "p")}), "last": tool(1.0, "wide")}
    lanes = slices(trace(workflow(steps), PLACE, runs=[0]))
    named = {tid: [e["name"] for e in lane if e["cat"] != "component"] for (_, tid), lane in lanes.items() if tid > 1}
    assert named == {
        2: ["wide", "wide.p (1)", "wide.q (1)", "last"],
        3: ["wide.p (2)", "wide.q (2)"],
        4: ["wide.p (3)", "wide.q (3)"],
    }


# --- OTLP -------------------------------------------------------------------------------------------------


def spans(item: Traced) -> list[dict[str, Any]]:
    found = json.loads(json.dumps(otlp_trace(item, START), allow_nan=False))
    return found["resourceSpans"][0]["scopeSpans"][0]["spans"]


def facts(span: dict[str, Any]) -> dict[str, Any]:
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


def test_otlp_is_what_the_protocol_says(all_traced: list[Traced]) -> None:
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

    for item in all_traced:
        found = otlp_trace(item, START)
        for span in found["resourceSpans"][0]["scopeSpans"][0]["spans"]:  # protobuf's own JSON has ids in base64
            for key in ("traceId", "spanId", "parentSpanId"):
                if key in span:
                    span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
        parsed = json_format.ParseDict(found, service.ExportTraceServiceRequest())
        assert sum(len(scope.spans) for part in parsed.resource_spans for scope in part.scope_spans) == sum(
            1 + len(ran(one)) for one in item.traces
        )


def test_otlp_spans_are_trees_in_order_of_time(all_traced: list[Traced]) -> None:
    for item in all_traced:
        found = spans(item)
        by_id = {(span["traceId"], span["spanId"]): span for span in found}
        assert len(by_id) == len(found)
        assert len({span["traceId"] for span in found}) == len({one.run for one in item.traces})
        for span in found:
            assert re.fullmatch("[0-9a-f]{32}", span["traceId"]) and re.fullmatch("[0-9a-f]{16}", span["spanId"])
            assert isinstance(span["startTimeUnixNano"], str)
            start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
            assert START <= start <= end
            if "parentSpanId" in span:
                around = by_id[span["traceId"], span["parentSpanId"]]
                assert int(around["startTimeUnixNano"]) <= start and end <= int(around["endTimeUnixNano"])
            for event in span.get("events", []):
                assert int(event["timeUnixNano"]) >= START
    roots = [span for span in spans(all_traced[0]) if "parentSpanId" not in span]
    for span, one in zip(roots, all_traced[0].traces, strict=True):
        assert int(span["endTimeUnixNano"]) - START == nanoseconds(last_end(one))


def test_otlp_calls_have_the_genai_attributes() -> None:
    item = trace("research-report", "groq", runs=[0])
    calls = [span for span in spans(item) if span["kind"] == 3]
    visits = [visit for visit in ran(item.traces[0]) if visit.backend]
    assert len(calls) == len(visits) > 5
    for span, visit in zip(calls, visits, strict=True):
        found = facts(span)
        assert found["gen_ai.operation.name"] == "chat"
        assert found["gen_ai.provider.name"] == found["gen_ai.system"] == "groq"
        assert span["name"] == f"chat {found['gen_ai.request.model']}"
        assert found["gen_ai.usage.input_tokens"] == str(visit.tokens["input"])
        assert found["gen_ai.usage.output_tokens"] == str(visit.tokens["output"])
        assert 0.0 < found["gen_ai.response.time_to_first_chunk"] <= visit.end_s - visit.start_s
    tools = [span for span in spans(item) if facts(span).get("gen_ai.operation.name") == "execute_tool"]
    assert tools and all(facts(span)["gen_ai.tool.name"] == "search" for span in tools)


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [("azure", "gpt-4o", "azure.ai.openai"), ("azure", "llama-3.3-70b", "azure.ai.inference"), ("bedrock", "x", "aws.bedrock"),
     ("google", "x", "gcp.gemini"), ("vertex", "x", "gcp.vertex_ai"), ("mistral", "x", "mistral_ai"), ("me", "x", "me")],
)  # fmt: skip
def test_otlp_names_providers_as_the_conventions_do(provider: str, model: str, name: str) -> None:
    place = backend().model_copy(update={"provider": provider, "model": model})
    call = next(span for span in spans(trace(workflow({"a": chat(5)}), place, runs=[0])) if span["kind"] == 3)
    assert facts(call)["gen_ai.provider.name"] == name


def test_otlp_errors_are_errors() -> None:
    steps = {"a": chat(5, errors={"content_filter": 1.0})}
    root, call = spans(trace(workflow(steps), PLACE, runs=[0]))
    assert root["status"] == {"code": 2, "message": "failed"}
    assert call["status"]["code"] == 2 and facts(call)["error.type"] == "content_filter"


# --- Mermaid ----------------------------------------------------------------------------------------------


def test_mermaid_rows_have_the_visits_times(all_traced: list[Traced]) -> None:
    row = re.compile(r" {4}[^:;#]+ :(?:crit, )?(?:done, )?n(\d+), (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}), (\d+)ms")
    for item in all_traced:
        charts = mermaid_gantt(item).split("\n\n")
        assert len(charts) == len(item.traces)
        for chart, one in zip(charts, item.traces, strict=True):
            lines = chart.strip("\n").split("\n")
            assert lines[0] == "gantt" and lines[1].startswith("    title ")
            visits = {visit.node: visit for visit in ran(one) if not visit.composite}
            rows = [line for line in lines[4:] if not line.startswith("    section ")]
            assert len(rows) == min(len(visits), MOST_ROWS)  # the longest of very many
            for line in rows:
                found = row.fullmatch(line)
                assert found, line
                visit = visits[int(found[1])]
                start = datetime.datetime.fromisoformat(found[2]) - datetime.datetime(1970, 1, 1)
                assert start.total_seconds() == pytest.approx(visit.start_s, abs=1e-3)
                assert int(found[3]) / 1000 == pytest.approx(visit.end_s - visit.start_s, abs=2e-3)


def test_mermaid_leaves_the_shortest_of_very_many_out_and_says_so() -> None:
    steps = {f"s{i}": tool(1.0 + i) for i in range(130)}
    text = mermaid_gantt(trace(workflow(steps), PLACE, runs=[0]))
    assert "the 120 longest of 130 visits" in text
    assert "s129, 130.00 s" in text and "s0, 1.00 s" not in text


# --- names, the command -----------------------------------------------------------------------------------


def test_a_hostile_name_stays_a_name() -> None:
    item = trace(workflow({"a": chat(5)}, name=HOSTILE), backend(name="=cmd()</script>"), runs=[0])
    chart = mermaid_gantt(item)
    assert chart.count("\n") == 6 and "<" not in chart and "[" not in chart and "#" not in chart and ";" not in chart
    for text in (json.dumps(chrome_trace(item)), json.dumps(otlp_trace(item, 0))):
        assert "</script>[red]=cmd()" in text  # as a JSON string, which a viewer shows as text


@pytest.mark.parametrize("form", ["chrome", "otlp", "mermaid"])
def test_the_command_writes_what_it_prints(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out"
    more = ["--start", "2026-11-21T10:00:00Z"] if form == "otlp" else []
    arguments = [
        "trace",
        "tool-use",
        "--backend",
        "groq",
        "--run",
        "3",
        "--slow",
        "--sample",
        "50",
        "--format",
        form,
        *more,
    ]
    assert command([*arguments, "--output", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert command(arguments) == 0
    assert capsys.readouterr().out == path.read_text(encoding="utf-8")
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--format", "svg"], "svg"),
        (["--start", "2026-11-21T10:00:00Z"], "--format otlp"),
        (["--format", "otlp", "--start", "noon"], "2026-11-21T10:00:00Z"),
        (["--format", "otlp", "--start", "2026-11-21T10:00:00"], "zone"),
        (["--output", "no/such/folder/x"], "cannot be written"),
        (["--run", "-1"], "greater"),
    ],
)
def test_the_command_says_what_is_wrong(more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["trace", "tool-use", "--backend", "groq", "--sample", "50", *more]) == 2
    assert said in capsys.readouterr().err

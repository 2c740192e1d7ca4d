"""The report's page in headless Chromium: what it shows, what it asks of the network, how fast it answers."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentflow import documents
from agentflow.analysis.findings import Findings, find
from agentflow.analysis.setting import Setting
from agentflow.cli import run as command
from agentflow.engine import run_plan
from agentflow.plan import layout as L
from agentflow.report.page import Extra, render_page
from agentflow.report.page.graph import draw_graph
from agentflow.report.page.render import page_style
from agentflow.report.palette import seconds
from agentflow.schema import Workflow
from tests.make import backend, chat, fan, loop, tool, workflow
from tests.report import browser

HOSTILE = "</script><script>document.title='won'</script><img src=x onerror=alert(1)>[red]=cmd()&amp;\"'"
FAST = backend("fast/place", ttft={"lognormal": {"p50": 0.2, "p95": 0.5}}, rate={"lognormal": {"p50": 90, "p95": 150}})
SLOW = backend("slow/place", ttft={"lognormal": {"p50": 0.6, "p95": 1.5}}, rate={"lognormal": {"p50": 30, "p95": 50}})


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def findings() -> Findings:
    return find("research-report", ["groq", "together"], runs=2000)


@pytest.fixture(scope="module")
def path(findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(render_page(findings), tmp_path_factory.mktemp("page"))


def written(text: str, folder: Path) -> Path:
    target = folder / "report.html"
    target.write_text(text, encoding="utf-8")
    return target


class Opened:
    """A page that was opened, with what it asked for and what it complained about."""

    def __init__(self, chromium: Any, path: Path, wait: str = "done", **context: Any) -> None:
        self.page = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **context}).new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        begun = time.perf_counter()
        self.page.goto(path.as_uri())
        if wait:
            self.page.wait_for_selector("body[data-answered]" if wait == "answered" else f"body[data-state={wait}]")
        self.seconds = time.perf_counter() - begun

    def tile(self, name: str) -> float:
        """The number in a tile, in full."""
        return float(self.page.locator(".tile", has_text=re.compile(f"^{name}")).locator("data").get_attribute("value"))

    def slide(self, key: str, place: int) -> None:
        """Put a slider somewhere and wait until all runs are done."""
        self.page.locator(f"#k-{key}").fill(str(place))
        self.page.wait_for_selector("body[data-state=busy]")
        self.page.wait_for_selector("body[data-state=done]")

    def runs(self) -> int:
        """Runs that the page computes: as many as stand behind its numbers once it is done."""
        return int(re.search(r"over ([\d,]+) runs", self.page.locator("#said").inner_text())[1].replace(",", ""))  # type: ignore[index]


@pytest.fixture
def opened(chromium: Any, path: Path) -> Iterator[Opened]:
    found = Opened(chromium, path)
    yield found
    found.page.context.close()


# --- one file, nothing else ---------------------------------------------------------------------------------


def test_it_asks_the_network_for_nothing_and_complains_of_nothing(opened: Opened, path: Path) -> None:
    assert opened.requests == [path.as_uri()]
    assert opened.complaints == []


def test_no_address_is_loaded_from(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert set(re.findall(r"url\(([^)]*)\)", text)) == {"#head"}
    assert all(found.startswith("#") for found in re.findall(r'\b(?:href|src|action|data)="([^"]*)"', markup))
    assert not re.search(r"@import|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|\beval\(|innerHTML|new Function", text)
    assert not re.search(r'\s(?:style|on\w+)="', markup)


def test_the_policy_lets_nothing_else_run_or_load(opened: Opened) -> None:
    policy = opened.page.locator("meta[http-equiv]").get_attribute("content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    tried = """() => {
      const script = document.createElement("script"), image = document.createElement("img");
      script.textContent = "document.title = 'won'";
      image.src = "https://example.com/x.png";
      document.body.append(script, image);
      return new Promise((tell) => setTimeout(() => {  // later: what a debugger runs at once is let through
        try { tell((0, eval)("1")); } catch (error) { tell(error.name); }
      }, 20));
    }"""
    assert opened.page.evaluate(tried) == "EvalError"
    assert opened.page.title() == "research-report: how long until the answer"
    assert any("script-src" in text for text in opened.complaints)
    assert any("img-src" in text or "default-src" in text for text in opened.complaints)


def test_a_hostile_name_is_inert(chromium: Any, tmp_path: Path) -> None:
    place = backend(
        HOSTILE, evidence=[{"figures": ["ttft"], "source": HOSTILE, "url": HOSTILE, "kind": "assumed", "note": HOSTILE}]
    )
    document = workflow({"a": chat(9, description=HOSTILE)}, name=HOSTILE, description=HOSTILE, source=HOSTILE)
    extra = Extra(HOSTILE, [HOSTILE], [[HOSTILE]], HOSTILE)
    found = Opened(chromium, written(render_page(find(document, [place, SLOW], runs=300), [extra]), tmp_path))
    assert found.page.title() == f"{HOSTILE}: how long until the answer"
    assert found.page.locator("h1").inner_text() == HOSTILE
    assert found.page.evaluate("() => [document.scripts.length, document.images.length]") == [2, 0]
    assert (
        HOSTILE in found.page.locator("#choice").inner_text() or HOSTILE in found.page.locator("#controls").inner_text()
    )
    assert found.complaints == [] and len(found.requests) == 1


# --- its numbers are Python's -------------------------------------------------------------------------------


def test_the_table_is_the_comparison(opened: Opened, findings: Findings) -> None:
    rows = opened.page.locator("table.compare tbody tr")
    cases = sorted(findings.comparison.cases, key=lambda case: case.summary.e2e_s["p50"].value)
    assert rows.count() == len(cases)
    for i, case in enumerate(cases):
        text = rows.nth(i).inner_text()
        assert text.startswith(case.label)
        assert f"{seconds(case.summary.e2e_s['p50'].value)} s" in text
        assert f"{seconds(case.summary.e2e_s['p95'].value)} s" in text
    assert (
        opened.page.locator(".lead")
        .inner_text()
        .startswith(f"{cases[0].label} answers fastest: half the answers within")
    )


def test_the_tiles_are_pythons_to_1e_9(opened: Opened, findings: Findings) -> None:
    best = min(findings.comparison.cases, key=lambda case: case.summary.e2e_s["p50"].value)
    runs = opened.runs()
    assert runs >= 1000
    want = run_plan(
        replace(
            findings.merged.plan,
            tables=findings.merged.choose([findings.comparison.cases.index(best)] * findings.merged.specs),
        ),
        runs,
    )
    assert opened.tile("p50") == pytest.approx(np.quantile(want.e2e_s, 0.5), rel=1e-9)
    assert opened.tile("p95") == pytest.approx(np.quantile(want.e2e_s, 0.95), rel=1e-9)
    assert opened.tile("first token") == pytest.approx(np.quantile(want.ttft_s, 0.5), rel=1e-9)
    assert opened.tile("1,000 answers") == pytest.approx(1000 * want.cost_usd.mean(), rel=1e-9)  # type: ignore[union-attr]
    assert "128 of its runs agree with the simulator to 1e-9" in opened.page.locator("#check").inner_text()


def test_another_backend_for_one_step_gives_pythons_numbers(opened: Opened, findings: Findings) -> None:
    m = findings.merged
    start = 0 if findings.comparison.cases[0].label == "groq" else 1
    spec = m.spec_steps.index(m.plan.steps.index("draft.write"))
    opened.page.locator("#scope").select_option(str(spec))
    opened.page.locator("#choice").select_option(str(1 - start))
    opened.page.wait_for_selector("body[data-state=busy]")
    opened.page.wait_for_selector("body[data-state=done]")
    choice = [start] * m.specs
    choice[spec] = 1 - start
    want = run_plan(replace(m.plan, tables=m.choose(choice)), opened.runs())
    assert opened.tile("p50") == pytest.approx(np.quantile(want.e2e_s, 0.5), rel=1e-9)
    assert opened.tile("p95") == pytest.approx(np.quantile(want.e2e_s, 0.95), rel=1e-9)
    stack = opened.page.locator("#stack-table tr", has_text="draft.write").locator("td").last
    opened.page.locator("details", has=opened.page.locator("#stack-table")).locator("summary").click()
    step = want.critical_s[m.plan.steps.index("draft.write")].sum() / want.runs
    assert stack.inner_text() == seconds(step)


def test_a_slider_does_what_it_says(chromium: Any, tmp_path: Path) -> None:
    found = find(workflow({"a": chat(100), "b": chat(50, "a")}), [backend("one", ttft=1.0, rate=10.0)], runs=300)
    page = Opened(chromium, written(render_page(found), tmp_path))
    assert page.tile("p50") == pytest.approx(1 + 9.9 + 1 + 4.9)
    page.slide("speed", 100)
    assert page.tile("p50") == pytest.approx(1 + 9.9 / 8 + 1 + 4.9 / 8)
    page.page.locator("#scope").select_option(label="b")
    page.slide("output", 50)
    assert page.tile("p50") == pytest.approx(1 + 9.9 / 8 + 1 + 9.9 / 8)
    assert (
        "50.8 %" in page.page.locator(".tile .delta").first.inner_text()
        or "from 16.8 s" in page.page.locator(".tile .delta").first.inner_text()
    )
    page.page.locator(".changes button", has_text="all: output speed").click()
    page.page.wait_for_selector("body[data-state=busy]")
    page.page.wait_for_selector("body[data-state=done]")
    assert page.tile("p50") == pytest.approx(1 + 9.9 + 1 + 9.9)


def test_a_page_that_computes_other_numbers_offers_no_what_if(chromium: Any, path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head, tail = text.split('"checks":[[', 1)
    number, rest = tail.split(",", 1)
    page = Opened(
        chromium, written(f'{head}"checks":[[{float(number) * (1 + 1e-8)!r},{rest}', tmp_path), wait="refused"
    )
    assert "switched off" in page.page.locator("#trouble").inner_text()
    assert not page.page.locator("#lab").is_visible()
    assert page.page.locator("table.compare").is_visible()


# --- speed ----------------------------------------------------------------------------------------------------


def large() -> Workflow:
    """300 steps: chains that part and meet, a tool now and then."""
    steps: dict[str, Any] = {}
    for i in range(300):
        needs = [f"s{j}" for j in ({i - 1, i - 3} if i % 4 == 0 else {i - 1}) if j >= 0]
        steps[f"s{i}"] = (
            tool({"exponential": {"mean": 0.5}}, *needs)
            if i % 7 == 6
            else chat({"lognormal": {"p50": 80, "p95": 200}}, *needs)
        )
    return workflow(steps, defaults={"retry": {"max_attempts": 3}})


def test_300_steps_open_within_2_s_and_answer_a_drag_within_100_ms(chromium: Any, tmp_path: Path) -> None:
    path = written(render_page(find(large(), [FAST, SLOW], runs=500)), tmp_path)
    page = Opened(chromium, path, wait="answered")
    assert page.seconds < 2.0
    page.page.wait_for_selector("body[data-state=done]")
    answered = []
    for place in range(-60, 61, 10):
        page.page.locator("#k-speed").fill(str(place))
        page.page.wait_for_selector("body[data-state=busy]")
        answered.append(float(page.page.evaluate("() => document.body.dataset.answered")))
        assert int(page.page.evaluate("() => document.body.dataset.runs")) >= 20
    assert statistics.median(answered) < 100.0


# --- for everybody --------------------------------------------------------------------------------------------


def test_every_control_and_picture_has_a_name_and_headings_go_down_one_by_one(opened: Opened) -> None:
    names = opened.page.evaluate("""() => [...document.querySelectorAll("button, select, input, svg[role], section, [role=region]")]
      .filter((e) => e.offsetParent !== null || e.ownerSVGElement !== undefined)
      .map((e) => [e.outerHTML.slice(0, 80), (e.labels?.[0]?.textContent ?? e.getAttribute("aria-label")
        ?? document.getElementById(e.getAttribute("aria-labelledby") ?? "")?.textContent ?? e.textContent).trim()])""")
    assert len(names) > 20
    assert [element for element, name in names if not name] == []
    levels = opened.page.evaluate("() => [...document.querySelectorAll('h1, h2, h3')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert opened.page.evaluate("() => document.documentElement.lang") == "en"


def test_the_keyboard_reaches_and_moves_everything(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    page.locator("#k-speed").focus()
    before = opened.tile("p50")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("body[data-state=busy]")
    page.wait_for_selector("body[data-state=done]")
    assert opened.tile("p50") < before
    assert page.locator("#k-speed").get_attribute("aria-valuetext") == "times 1.5"
    node = page.locator("#graph .node[data-step='draft.write']")
    node.focus()
    page.keyboard.press("Enter")
    assert page.locator("#scope").evaluate("(select) => select.selectedOptions[0].textContent") == "draft.write"
    assert page.evaluate("() => document.activeElement.id") == "scope"


def test_texts_stand_out_from_their_grounds_in_both_themes() -> None:
    def luminance(colour: str) -> float:
        digits = colour.lstrip("#")
        digits = "".join(c + c for c in digits) if len(digits) == 3 else digits
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    themes = re.findall(r"--back: .*?}", page_style(), flags=re.DOTALL)
    assert len(themes) == 4  # light, dark by preference, dark by choice, print
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#\w+)", theme))
        for ink in ("ink", "soft", "accent", "good", "bad"):
            for ground in ("back", "card"):
                a, b = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
                assert (a + 0.05) / (b + 0.05) >= 4.5, (ink, ground, theme)


def test_the_theme_follows_the_system_and_the_button(chromium: Any, path: Path) -> None:
    ground = "() => getComputedStyle(document.body).backgroundColor"
    page = Opened(chromium, path, color_scheme="dark").page
    dark = page.evaluate(ground)
    page.locator("#theme").click()
    assert page.locator("#theme").inner_text() == "Theme: light"
    light = page.evaluate(ground)
    page.locator("#theme").click()
    assert (page.locator("#theme").inner_text(), page.evaluate(ground)) == ("Theme: dark", dark)
    assert light != dark
    assert Opened(chromium, path, color_scheme="light").page.evaluate(ground) == light


def test_a_narrow_screen_scrolls_down_only(chromium: Any, path: Path) -> None:
    page = Opened(chromium, path, viewport={"width": 360, "height": 800}).page
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360


def test_on_paper_all_evidence_is_open(opened: Opened) -> None:
    opened.page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    assert opened.page.locator("details.source:not([open])").count() == 0
    opened.page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
    assert opened.page.locator("details.source:not([open])").count() == 4
    assert opened.page.pdf().startswith(b"%PDF")


def test_without_javascript_the_figures_and_the_evidence_are_there(chromium: Any, path: Path) -> None:
    page = Opened(chromium, path, wait="", java_script_enabled=False).page
    assert page.locator("table.compare").is_visible()
    assert "needs JavaScript" in page.locator("noscript").inner_text()
    assert not page.locator("#lab").is_visible()


# --- what is in it --------------------------------------------------------------------------------------------


def test_every_backend_that_answers_anything_shows_its_evidence(opened: Opened, findings: Findings) -> None:
    text = opened.page.locator("#evidence").inner_text()
    assert len(findings.backends) == 4
    for name, place in findings.backends.items():
        assert name in text
        opened.page.locator("details.source", has_text=name).locator("summary").click()
        shown = " ".join(opened.page.locator("details.source", has_text=name).inner_text().split())
        for item in place.evidence:
            assert " ".join(item.source.split()) in shown


def test_the_run_is_drawn_visit_by_visit(opened: Opened) -> None:
    page = opened.page
    typical = page.locator("#run-note").inner_text()
    assert page.locator("#waterfall g").count() > 5
    page.locator("#slow").click()
    assert page.locator("#slow").get_attribute("aria-pressed") == "true"
    assert page.locator("#run-note").inner_text() != typical


def test_charts_have_axis_titles_with_units(opened: Opened) -> None:
    for box in ("distribution", "stack", "waterfall"):
        assert "(s)" in opened.page.locator(f"#{box} svg").inner_html()
    assert "(s)" in opened.page.locator(".scale").inner_html()


@pytest.mark.parametrize("name", documents.list_workflows())
def test_boxes_of_the_graph_do_not_overlap_and_arrows_end_at_boxes(name: str) -> None:
    picture = draw_graph(documents.load_workflow(name))
    leaves = [box for box in picture.boxes if not box.composite]
    for i, a in enumerate(leaves):
        assert a.x >= 0 and a.y >= 0 and a.x + a.w <= picture.w + 1e-9 and a.y + a.h <= picture.h + 1e-9
        for b in leaves[:i]:
            assert a.x + a.w <= b.x or b.x + b.w <= a.x or a.y + a.h <= b.y or b.y + b.h <= a.y
    ends = {(round(box.x, 3), round(box.y + box.h / 2, 3)) for box in picture.boxes}
    starts = {(round(box.x + box.w, 3), round(box.y + box.h / 2, 3)) for box in picture.boxes}
    for arrow in picture.arrows:
        first, last = arrow.commands[0][1][0], arrow.commands[-1][1][-1]
        assert (round(first[0], 3), round(first[1], 3)) in starts
        assert (round(last[0], 3), round(last[1], 3)) in ends


def test_the_graph_has_every_step_and_every_edge() -> None:
    document = workflow(
        {"a": tool(1.0), "m": fan(3, {"x": tool(1.0), "y": tool(1.0, "x")}, "a"), "l": loop(2, {"z": chat(5)}, "m")}
    )
    picture = draw_graph(document)
    assert [box.path for box in picture.boxes if not box.composite] == ["a", "m.x", "m.y", "l.z"]
    assert [box.path for box in picture.boxes if box.composite] == ["m", "l"]
    assert len(picture.arrows) == 3
    inside = {box.path: box for box in picture.boxes}
    assert inside["m"].x < inside["m.x"].x and inside["m.y"].x + inside["m.y"].w < inside["m"].x + inside["m"].w


def test_further_tables_stand_after_the_comparison(findings: Findings) -> None:
    text = render_page(findings, [Extra("What would help", ["Change", "Saves"], [["a faster write", "2.1 s"]])])
    assert (
        text.index('id="compare"')
        < text.index("What would help")
        < text.index("a faster write")
        < text.index('id="whatif"')
    )


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "report.html"
    assert (
        command(
            [
                "report",
                "tool-use",
                "--backend",
                "groq",
                "--backend",
                "together",
                "--runs",
                "300",
                "--output",
                str(target),
            ]
        )
        == 0
    )
    shown = capsys.readouterr()
    assert shown.out == "" and str(target) in shown.err
    text = target.read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert data["labels"] == ["groq", "together"] and data["components"] == list(L.COMPONENTS)
    assert command(["report", "tool-use", "--backend", "groq", "--output", str(tmp_path / "no" / "x.html")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_region_and_the_providers_drift_are_told(findings: Findings) -> None:
    plain = render_page(findings)
    assert "from day to day" in plain and "Assumed:" not in plain
    far = find("tool-use", ["groq"], runs=300, setting=Setting(region="eu-hetzner"))
    assert "Assumed: calls from eu-hetzner" in render_page(far)


def test_the_picture_of_mean_and_slow_runs_has_the_pages_colours_and_the_results_seconds(
    opened: Opened, findings: Findings
) -> None:
    best = min(findings.comparison.cases, key=lambda case: case.summary.e2e_s["p50"].value)
    picture = opened.page.locator("#where svg")
    assert "slowest" in (picture.get_attribute("aria-label") or "")
    text = picture.text_content() or ""
    assert f"mean of all runs: {seconds(best.summary.e2e_s['mean'].value)} s" in text
    assert f"mean of the {best.result.tail_runs:,} slowest runs" in text and "time on the critical path (s)" in text
    colours = "() => [...document.querySelectorAll('#where .c-human')].map((e) => getComputedStyle(e).fill)"
    light = set(opened.page.evaluate(colours))
    opened.page.emulate_media(color_scheme="dark")
    dark = set(opened.page.evaluate(colours))
    assert len(light) == len(dark) == 1 and light != dark


def test_the_command_ranks_what_would_help_in_the_page(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    arguments = ["report", "prompt-chain-8", "--backend", "groq", "--backend", "cerebras", "--runs", "1000"]
    assert command([*arguments, "--output", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "What would help on groq" in text and "on cerebras/llama-3.3-70b" in text
    assert command([*arguments, "--no-what-if", "--output", str(page)]) == 0
    assert "What would help" not in page.read_text(encoding="utf-8")


def test_an_extra_table_fits_a_phone(findings: Findings, chromium: Any, tmp_path: Path) -> None:
    columns = ["Step", "Change", "p95 sooner (s)", "95 % interval", "p95 then (s)", "1,000 answers cost more"]
    row = ("research.read", "hedged after 12.5 s, its p95", "10.9", "[9.27, 12.6]", "26.6", "not known")
    page = render_page(findings, [Extra("What would help", columns, [row], "", (2, 3, 4, 5))])
    opened = Opened(chromium, written(page, tmp_path), viewport={"width": 420, "height": 900}).page
    cells = opened.locator("table.extra td").evaluate_all("cells => cells.map(c => c.getBoundingClientRect().right)")
    assert len(cells) == 6 and max(cells) <= 420
    title = opened.locator("table.extra td").nth(2).evaluate("c => getComputedStyle(c, '::before').content")
    assert "p95 sooner (s)" in title


def test_the_page_says_why_its_p95s_differ(findings: Findings) -> None:
    plain = render_page(findings)
    assert "on the first of the runs above, so p50 and p95 differ" in plain and "from fresh runs" not in plain
    more = render_page(findings, [Extra("What would help", ["Step"], [["a"]])])
    assert "has its own, from fresh runs" in more

"""What a notebook shows: HTML that parses, figures as inline SVG, nothing foreign in it."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from agentflow import documents
from agentflow.analysis.compare import compare_results
from agentflow.report.palette import COLOURS
from agentflow.shown import html_of
from tests.analysis.made import lognormal, made
from tests.make import chat, tool, workflow

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>[red]=cmd()&\"'"
VOID = {"br", "img", "meta", "link", "input", "hr"}


class Elements(HTMLParser):
    """Collects elements and attributes, and checks that each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def figure(text: str) -> ElementTree.Element:
    found = re.search(r"<svg.*</svg>", text, re.DOTALL)
    assert found
    return ElementTree.fromstring(found[0])


def values() -> list[Any]:
    times = lognormal(1, 500)
    one, two = made(times, workflow=HOSTILE, step=HOSTILE), made(2 * times, workflow=HOSTILE, step=HOSTILE)
    document = workflow({"a": tool(1.0), "b": chat(5, "a")}, name=HOSTILE, description=HOSTILE)
    return [one, compare_results([HOSTILE, "other"], [one, two]), document]


@pytest.mark.parametrize("value", values(), ids=["result", "comparison", "workflow"])
def test_hostile_names_are_texts(value: Any) -> None:
    page = value._repr_html_()
    found = Elements(page)
    assert found.seen.isdisjoint({"script", "style", "img", "iframe", "object", "link"})
    assert not [name for name in found.attributes if name.startswith("on")]
    assert HOSTILE in found.words
    picture = figure(page)
    assert picture.get("role") == "img" and picture.get("aria-label")


def test_a_result_shows_its_estimates_and_how_they_stack() -> None:
    page = made(lognormal(1, 1000))._repr_html_()
    words = Elements(page).words
    for word in (
        "p50",
        "p99",
        "to the answer (s)",
        "answered 100 %",
        "time from the request to the answer (s)",
        "decode",
    ):
        assert word in words
    assert COLOURS["decode"].lower() in page


def test_a_comparison_shows_who_is_faster() -> None:
    times = lognormal(1, 500)
    words = Elements(compare_results(["fast", "slow"], [made(times), made(2 * times)])._repr_html_()).words
    assert "times as fast as slow" in words and "2.0" in words
    assert words.index("fast") < words.index("slow")


@pytest.mark.parametrize("name", documents.list_workflows())
def test_a_workflow_shows_every_step(name: str) -> None:
    document = documents.load_workflow(name)
    page = document._repr_html_()
    titles = [element.text for element in figure(page).iter() if element.tag.endswith("title")]
    assert set(document.steps) <= set(titles)


def test_a_workflow_that_cannot_be_compiled_shows_itself_too() -> None:
    document = workflow({"a": tool(1.0, "c"), "b": tool(1.0, "a", "nobody"), "c": tool(1.0, "b")})
    assert [e.text for e in figure(document._repr_html_()).iter() if e.tag.endswith("title")] == ["a", "b", "c"]


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError, match="int"):
        html_of(1)


def test_showing_touches_no_state_of_matplotlib() -> None:
    """A notebook has figures and a backend of its own."""
    script = """
import matplotlib.pyplot as plt, matplotlib
matplotlib.use("svg")
from tests.analysis.made import lognormal, made
made(lognormal(1, 100))._repr_html_()
print(matplotlib.get_backend(), plt.get_fignums())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["svg", "[]"]

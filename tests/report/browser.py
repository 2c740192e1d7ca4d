"""A JavaScript engine for the tests: node, or headless Chromium; and Chromium itself for the pages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agentflow.report.page.data import engine_script

DRIVER = """
function answer(request) {
  const engine = makeEngine(request.data, request.runs);
  for (const [name, values] of Object.entries(request.knobs)) engine.knobs[name].set(values);
  const totals = engine.advance(engine.newTotals(request.runs), request.runs);
  const found = {};
  for (const [name, values] of Object.entries(totals)) found[name] = name === "runs" ? values : Array.from(values);
  return found;
}
"""
NODE = """
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  console.log(JSON.stringify(answer(JSON.parse(line))));
});
"""


class NodeEngine:
    """The page's engine in a node process of its own."""

    def __init__(self, node: str) -> None:
        command = [node, "-e", engine_script() + DRIVER + NODE]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """Simulate what the request says and return its totals."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request, allow_nan=False) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the engine stopped; its error is on stderr"
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class ChromiumEngine:
    """The page's engine in a page of headless Chromium."""

    def __init__(self) -> None:
        self.opened = chromium()
        self.page = self.opened.__enter__().new_page()
        self.page.evaluate(f"() => {{ {engine_script()}{DRIVER} window.answer = answer; }}")

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """Simulate what the request says and return its totals."""
        found: dict[str, Any] = self.page.evaluate("(request) => window.answer(request)", request)
        return found

    def close(self) -> None:
        """End the browser."""
        self.opened.__exit__(None, None, None)


def engine() -> NodeEngine | ChromiumEngine:
    """Return an engine; the test is skipped where neither is installed."""
    node = shutil.which("node")
    return NodeEngine(node) if node else ChromiumEngine()


def chromium_path() -> str | None:
    """Return the browser: CHROMIUM, or what is on the PATH."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start headless Chromium; the test is skipped where there is none."""
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium on the PATH (CHROMIUM names one elsewhere; Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()

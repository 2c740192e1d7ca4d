"""Fills the page's template: everything in one file, with a policy under which nothing else is loaded or run."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from agentflow import __version__
from agentflow.analysis.findings import Findings
from agentflow.report.insight_plots import where_svg
from agentflow.report.page import view
from agentflow.report.page.data import engine_script, script
from agentflow.report.page.graph import draw_graph
from agentflow.report.palette import COLOURS, DARK

SCREEN = ("draw.js", "charts.js", "controls.js", "page.js")
"""What the page needs besides the engine, in the order in which the files need one another."""


@dataclass(frozen=True)
class Extra:
    """A further table for the report, which stands after the comparison: a ranking of what would help, say.

    The columns in `numbers`, counted from 0, are flush right.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    numbers: Sequence[int] = ()


def render_page(findings: Findings, extra: Sequence[Extra] = ()) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    findings
        What `agentflow.analysis.findings.find` gathered.
    extra
        Further tables.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup, escape

    def sentence(words: view.Words) -> Markup:
        return Markup("").join(Markup("<b>{}</b>").format(text) if bold else escape(text) for text, bold in words)

    def breakable(text: str) -> Markup:
        return Markup("/<wbr>").join(text.split("/"))

    environment = Environment(
        loader=PackageLoader("agentflow.report.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, code = page_style(), page_script()
    comparison = findings.comparison
    first = comparison.cases[0].result
    words, shown = view.takeaway(findings), view.ranked(findings)[0]
    return environment.get_template("page.html.jinja").render(
        findings=findings,
        policy=policy(style, code),
        style=Markup(style),
        script=Markup(code),
        data=Markup(_harmless(json.dumps(view.page_data(findings), allow_nan=False, separators=(",", ":")))),
        version=__version__,
        runs=first.runs,
        seed=first.seed,
        assumptions=first.manifest.get("assumptions", ""),
        plan=first.manifest.get("plan_fingerprint"),
        takeaway=words,
        sentence=sentence,
        short=_short,
        breakable=breakable,
        axis=view.axis(findings),
        rows=view.rows(findings),
        baseline=comparison.cases[comparison.baseline].label,
        components=view.present(findings),
        sources=view.sources(findings),
        where=Markup(where_svg(shown.summary, shown.result.tail_runs)),
        where_of=shown.label,
        picture=draw_graph(findings.workflow),
        extra=extra,
    )


@lru_cache(maxsize=1)
def page_script() -> str:
    """Return the page's whole script."""
    return f"(() => {{\n{engine_script()}{''.join(script(name) for name in SCREEN)}}})();\n"


@lru_cache(maxsize=1)
def page_style() -> str:
    """Return the page's style sheet, the components' colours with it."""
    style = files("agentflow.report.page").joinpath("style.css").read_text(encoding="utf-8")
    light = "".join(f".c-{name} {{ fill: {colour}; }}\n" for name, colour in COLOURS.items())
    rules = {name: f".c-{name} {{ fill: {colour}; }}" for name, colour in DARK.items()}
    automatic = "".join(f":root:not([data-theme='light']) {rule}\n" for rule in rules.values())
    chosen = "".join(f":root[data-theme='dark'] {rule}\n" for rule in rules.values())
    dark = f"@media screen and (prefers-color-scheme: dark) {{\n{automatic}}}\n@media screen {{\n{chosen}}}\n"
    return style + light + dark


def policy(style: str, code: str) -> str:
    """Return the page's content security policy: its own script and style, and nothing else from anywhere."""
    sources = {"script": code, "style": style}
    allowed = "; ".join(f"{kind}-src 'sha256-{_digest(text)}'" for kind, text in sources.items())
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _harmless(text: str) -> str:
    """JSON text that cannot end the script element it stands in; it parses to the same."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _short(text: Any, most: int) -> str:
    """Cut a text that would be wider than its box."""
    found = str(text)
    return found if len(found) <= most else found[: most - 1] + "…"

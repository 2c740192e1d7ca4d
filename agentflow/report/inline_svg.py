"""Matplotlib's SVG as part of a page: no style of its own, which a strict policy forbids, and the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

from agentflow.errors import printable
from agentflow.report.figures import STYLE
from agentflow.report.palette import COLOURS

_CLASS = {colour.lower(): f"c-{name}" for name, colour in COLOURS.items()}
_KEPT = {"fill", "stroke", "stroke-width", "stroke-linecap", "stroke-dasharray", "fill-opacity", "opacity",
         "text-anchor", "font-size", "font-weight"}  # fmt: skip
_GRID = "#dddddd"


def inline_svg(size: tuple[float, float], draw: Callable[[Any], None], name: str) -> str:
    """Draw on a figure of this size (inches) and return it as an element of a page.

    Text stays text and takes the page's colour; the components take its classes, and so its colours in the dark.

    Parameters
    ----------
    size, draw
        As for `agentflow.report.figures.write_figure`.
    name
        What those are told who do not see it.
    """
    import matplotlib
    from matplotlib.figure import Figure

    drawn = io.StringIO()
    with matplotlib.rc_context(STYLE | {"svg.fonttype": "none"}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    text = drawn.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(
        r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", text, flags=re.DOTALL
    )
    text = re.sub(r'\s(?:clip-path|xmlns|xmlns:xlink|version|transform-origin)="[^"]*"', "", text)
    text = re.sub(r"<defs>\s*<clipPath.*?</clipPath>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'\sstyle="([^"]*)"', lambda match: _attributes(match[1]), text)
    head = re.match(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', text)
    assert head is not None
    label = escape(printable(name, 300))
    return f'<svg role="img" aria-label="{label}" viewBox="{head[1]}">{text[head.end() :]}'


def _attributes(style: str) -> str:
    """Write a style's declarations as attributes."""
    found: dict[str, str] = {}
    for declaration in style.split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font":
            found |= _font(value)
        elif key in _KEPT:
            found[key] = _colour(value) if key in ("fill", "stroke") else value
    classes = [_CLASS[value] for key, value in found.items() if key == "fill" and value in _CLASS]
    if found.get("stroke") == _GRID:
        classes.append("grid")
    more = f' class="{" ".join(classes)}"' if classes else ""
    return more + "".join(f' {key}="{value}"' for key, value in found.items())


def _font(value: str) -> dict[str, str]:
    """Return size and weight of a font; its family is the page's."""
    size = re.search(r"([\d.]+)px", value)
    weight = {"font-weight": "bold"} if re.match(r"(?:bold|[6-9]00)\b", value) else {}
    return weight | ({"font-size": size[1]} if size else {})


def _colour(value: str) -> str:
    """Return a colour that stands out from either ground: those that mean something, else that of the text."""
    if value == "none" or value.lower() in _CLASS or value.lower() == _GRID:
        return value.lower()
    return "none" if value.lower() in ("#ffffff", "white") else "currentColor"

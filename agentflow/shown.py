"""How results, comparisons and workflows show themselves in a notebook.

The classes stand below the reports, which know how to draw them; they are looked up by name when a notebook asks,
the one place where a lower room calls a higher one (decision 0010).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def html_of(value: Any) -> str:
    """Return what a notebook shows for a value: HTML with a figure, every text escaped."""
    found: str = import_module("agentflow.report.notebook").html_of(value)
    return found

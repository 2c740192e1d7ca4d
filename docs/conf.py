"""Sphinx builds the site from these pages: `python -m sphinx -W docs docs/_build`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _generate import write_reference

import agentflow

project = "agentflow"
author = "The agentflow authors"
copyright = "2026, the agentflow authors"
version = release = agentflow.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
suppress_warnings = ["myst.xref_missing"]  # pages also link to files of the repository

html_theme = "furo"
html_title = "agentflow"
html_static_path: list[str] = []
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = False

write_reference(Path(__file__).parent / "reference")

"""The plan's tables as the page's engine reads them, and that engine's own text."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentflow.plan import layout as L
from agentflow.plan.merge import Merged

ENGINE = ("random.js", "tables.js", "call.js", "run.js", "engine.js")
"""The engine's files, in the order in which they need one another."""

_INTEGERS = ("node_i", "pred_i", "ref_i", "lists", "losers", "guards", "spec_i", "place_i", "draw_i", "error_i",
             "layer_i", "backend_i", "dist_i")  # fmt: skip
_FLOATS = ("node_p", "ref_f", "spec_f", "place_f", "error_f", "layer_f", "route_f", "backend_f", "dist_f", "table",
           "totals")  # fmt: skip


def engine_data(merged: Merged, seed: int) -> dict[str, Any]:
    """Return the tables of plans put together, as a JSON object; infinity is null."""
    t = merged.plan.tables
    tables = {name: _table("i", getattr(t, name)) for name in _INTEGERS}
    tables |= {name: _table("f", getattr(t, name)) for name in _FLOATS}
    tables["place_f"] = _table("f", t.place_f[:, : L.P_MAX_TOKENS + 1])  # the rest is for the kernel's short way
    return {
        "seed": f"{seed % 2**64:016x}",
        "specs": merged.specs,
        "choices": merged.choices,
        "steps": len(merged.plan.steps),
        "slots": merged.plan.slots,
        "exports": merged.plan.exports,
        "tables": tables,
        "node_hash": [f"{int(h):016x}" for h in t.node_hash],
        "backend_key": [f"{int(h):016x}" for h in t.backend_key],
    }


def _table(kind: str, table: NDArray[Any]) -> dict[str, Any]:
    width = table.shape[1] if table.ndim == 2 else 1
    values = table.ravel().tolist()
    if kind == "f":
        values = [_number(x) for x in values]
    return {"kind": kind, "width": width, "data": values}


def _number(x: float) -> float | int | None:
    if np.isinf(x):
        return None
    return int(x) if x == int(x) and abs(x) < 2**53 else x


def layout_constants() -> dict[str, int]:
    """Return the names of `agentflow.plan.layout` that stand for a whole number."""
    return {name: value for name, value in vars(L).items() if name.isupper() and isinstance(value, int)}


@lru_cache(maxsize=1)
def engine_script() -> str:
    """Return the engine's text, with the layout's numbers written out as constants before it."""
    code = "".join(script(name) for name in ENGINE)
    used = set(re.findall(r"\b[A-Z][A-Z0-9_]*\b", code))
    constants = "".join(f"const {name} = {value};\n" for name, value in layout_constants().items() if name in used)
    return f'"use strict";\n{constants}{code}'


def script(name: str) -> str:
    """Return the text of one of the page's files."""
    return files("agentflow.report.page").joinpath("script", name).read_text(encoding="utf-8")

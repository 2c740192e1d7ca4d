"""Puts the plans of one workflow at several backends together, so that each step can be answered at any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agentflow.errors import PlanError
from agentflow.plan import Plan
from agentflow.plan import layout as L

_SHARED = ("node_p", "node_hash", "pred_i", "ref_i", "ref_f", "lists", "losers", "guards", "totals")


@dataclass(frozen=True)
class Merged:
    """Plans of one workflow that differ in their backends only.

    Parameters
    ----------
    plan : Plan
        With the tables of all; its nodes point at the specs of the first.
    specs : int
        Specs of one plan: spec s at the backends of plan k is row `k * specs + s` of `spec_i` and `spec_f`.
    choices : int
        Number of plans.
    spec_steps : tuple of int
        The step that each spec is of.
    """

    plan: Plan
    specs: int
    choices: int
    spec_steps: tuple[int, ...]

    def choose(self, choice: Sequence[int]) -> L.Tables:
        """Return tables in which spec s is answered at the backends of plan `choice[s]`."""
        t = self.plan.tables
        node_i = t.node_i.copy()
        calls = node_i[:, L.N_KIND] == L.CALL
        specs = node_i[calls, L.N_SPEC]
        node_i[calls, L.N_SPEC] = specs + self.specs * np.asarray(choice, np.int32)[specs]
        return t._replace(node_i=node_i)


def merge_plans(plans: Sequence[Plan]) -> Merged:
    """Put plans together.

    Parameters
    ----------
    plans : sequence of Plan
        One or more, of the same workflow, each with its hedges set.

    Raises
    ------
    PlanError
        If the plans are of different workflows.
    """
    first = plans[0]
    for other in plans[1:]:
        same = all(np.array_equal(getattr(first.tables, name), getattr(other.tables, name)) for name in _SHARED)
        if not same or other.steps != first.steps:
            raise PlanError("only plans of the same workflow can be put together")
    merged = _Tables()
    for plan in plans:
        merged.add(plan.tables)
    calls = first.tables.node_i[first.tables.node_i[:, L.N_KIND] == L.CALL]
    steps = {int(row[L.N_SPEC]): int(row[L.N_STEP]) for row in calls}
    specs = len(first.tables.spec_i)
    rows = {name: np.concatenate(tables) for name, tables in merged.rows.items()}
    whole = replace(first, tables=first.tables._replace(**rows), priced=all(plan.priced for plan in plans))
    return Merged(whole, specs, len(plans), tuple(steps.get(spec, -1) for spec in range(specs)))


class _Tables:
    """The tables that differ, one piece a plan, each with what points into another shifted by what came before."""

    def __init__(self) -> None:
        names = ("spec_i", "spec_f", "place_i", "place_f", "draw_i", "error_i", "error_f", "layer_i", "layer_f",
                 "route_f", "backend_i", "backend_f", "backend_key", "dist_i", "dist_f", "table")  # fmt: skip
        self.rows: dict[str, list[Any]] = {name: [] for name in names}
        self.before = dict.fromkeys(names, 0)

    def add(self, t: L.Tables) -> None:
        """Append the tables of a plan."""
        at = self.before
        moved = {name: getattr(t, name).copy() for name in self.rows}
        moved["backend_key"] = moved["backend_key"][: len(t.backend_i)]  # one row longer, see Encoder
        spec, place, error = moved["spec_i"], moved["place_i"], moved["error_i"]
        for column in (L.S_INPUT, L.S_CACHED):
            spec[:, column] += np.where(spec[:, column] >= 0, at["dist_i"], 0).astype(np.int32)
        spec[:, [L.S_PLACE_LO, L.S_PLACE_HI]] += at["place_i"]
        spec[:, [L.S_LAYER_LO, L.S_LAYER_HI]] += at["layer_i"]
        spec[:, [L.S_ROUTE_LO, L.S_ROUTE_HI]] += at["route_f"]
        place[:, L.P_BACKEND] += np.where(place[:, L.P_BACKEND] >= 0, at["backend_i"], 0).astype(np.int32)
        place[:, [L.P_DRAW_LO, L.P_DRAW_HI]] += at["draw_i"]
        place[:, [L.P_ERR_LO, L.P_ERR_HI]] += at["error_i"]
        lanes, odd = place[:, L.P_POINTS : L.P_LENGTHS], place[:, [L.P_SHAPE]] == L.ODD
        quantiles = place[:, L.P_LENGTHS : L.PLACE_COLUMNS] > 0
        lanes += np.where(odd, at["dist_i"], np.where(quantiles, at["table"], 0)).astype(np.int32)
        moved["draw_i"][:, 1] += at["dist_i"]
        after = error[:, L.E_RETRY_AFTER]
        error[:, L.E_RETRY_AFTER] += np.where(after >= 0, at["dist_i"], 0).astype(np.int32)
        stall = moved["backend_i"][:, L.B_STALL_DIST]
        moved["backend_i"][:, L.B_STALL_DIST] += np.where(stall >= 0, at["dist_i"], 0).astype(np.int32)
        moved["backend_i"][:, L.B_TABLE] += at["table"]
        dist = moved["dist_i"]
        for row in dist[dist[:, L.D_FAMILY] == L.MIXTURE]:
            parts = slice(row[L.D_OFF] + row[L.D_LEN], row[L.D_OFF] + 2 * row[L.D_LEN])
            moved["table"][parts] += at["dist_i"]
        dist[:, L.D_OFF] += at["table"]
        for name, rows in moved.items():
            self.rows[name].append(rows)
            self.before[name] += len(rows)

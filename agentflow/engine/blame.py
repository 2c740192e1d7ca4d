"""What the critical path of recorded runs is made of, and what of it is lost."""

from __future__ import annotations

import numpy as np

from agentflow.engine.recording import Mask, Recording
from agentflow.plan import layout as L
from agentflow.plan.layout import F64


def critical_steps(recording: Recording, path: Mask) -> Mask:
    """Return which steps are on the critical path, shape (R, S); a skipped visit is not."""
    plan = recording.plan
    found = np.zeros((len(recording.runs), len(plan.steps)), np.bool_)
    for node in _visits(recording, path):
        counts = path[:, node] & (recording.status(node) != L.SKIPPED)
        found[:, plan.tables.node_i[node, L.N_STEP]] |= counts
    return found


def critical_seconds(recording: Recording, path: Mask) -> F64:
    """Return each run's seconds on the critical path by step and component, shape (R, S, C); they add up to E2E."""
    plan = recording.plan
    found = np.zeros((len(recording.runs), len(plan.steps), L.NCOMP))
    for node in _calls(recording, path):
        rows = path[:, node] & (recording.status(node) != L.SKIPPED)
        found[rows, plan.tables.node_i[node, L.N_STEP]] += recording.components_s[rows, node]
    return found


def failed_seconds(recording: Recording, path: Mask) -> F64:
    """Return each run's seconds on the critical path in attempts that failed, by step, shape (R, S)."""
    plan = recording.plan
    found = np.zeros((len(recording.runs), len(plan.steps)))
    for node in _calls(recording, path):
        rows = path[:, node] & (recording.status(node) != L.SKIPPED)
        found[rows, plan.tables.node_i[node, L.N_STEP]] += recording.failed_s[rows, node]
    return found


def slowest_branch_seconds(recording: Recording, path: Mask) -> F64:
    """Return each run's seconds in which a join waited for its last branch alone, shape (R, S), by the join's step.

    At every join on the critical path: from the moment at which all branches that it waits for but the last one were
    in, to the moment at which it fired. Seconds that lie in the wait of an outer join too count once, there.
    """
    plan = recording.plan
    found = np.zeros((len(recording.runs), len(plan.steps)))
    reached = np.full(len(recording.runs), np.inf)  # what lies after it has been counted
    for node in np.flatnonzero(path.any(axis=0))[::-1].tolist():
        if len(recording.edges_into(node)) < 2:
            continue
        fired, before = _wait_for_last(recording, node)
        rows = path[:, node] & (before < fired)
        waited = np.maximum(0.0, np.minimum(fired, reached) - before)
        found[rows, plan.tables.node_i[node, L.N_STEP]] += waited[rows]
        reached[rows] = np.minimum(reached, before)[rows]
    return found


def _wait_for_last(recording: Recording, node: int) -> tuple[F64, F64]:
    """Return when a join fired, and when the last branch but one was in (the same moment where there was but one)."""
    row = recording.plan.tables.node_i[node]
    closes = row[L.N_KIND] in (L.END, L.IEND)
    fired = recording.end[:, node] if closes else recording.start[:, node]
    edges = recording.edges_into(node)
    if row[L.N_KIND] == L.END and row[L.N_KIND2] == L.MAP:
        width = recording.marks[:, node, L.V_ROUTE]
    else:
        width = np.full(len(fired), len(edges))
        if row[L.N_KIND] == L.END:  # a loop that stopped early ended with a check, which did the waiting
            width[recording.marks[:, node, L.V_ROUTE] >= 0] = 0
    arrived = []
    for number, e in enumerate(edges):
        moment, active = recording.edge(e)
        arrived.append(np.where(active & (moment <= fired) & (number < width), moment, -np.inf))
    ordered = np.sort(np.stack(arrived), axis=0)
    last, before = ordered[-1], ordered[-2]
    before = np.where(last < fired, last, before)  # what it waited for then was no branch: a step that was skipped
    return fired, np.where(before >= 0.0, before, fired)


def _visits(recording: Recording, path: Mask) -> list[int]:
    """List the nodes on any path that are visits of steps, composites too."""
    kinds = recording.plan.tables.node_i[:, L.N_KIND]
    found: list[int] = np.flatnonzero(path.any(axis=0) & np.isin(kinds, (L.CALL, L.END))).tolist()
    return found


def _calls(recording: Recording, path: Mask) -> list[int]:
    """List the nodes on any path that are calls."""
    kinds = recording.plan.tables.node_i[:, L.N_KIND]
    found: list[int] = np.flatnonzero(path.any(axis=0) & (kinds == L.CALL)).tolist()
    return found

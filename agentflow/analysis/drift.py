"""Day-to-day drift of the providers, as an interval of its own beside the simulation's.

On a given day a provider's whole TTFT law and whole speed law are off by a factor each, the same for all runs; no
number of runs removes it, so it is not mixed into the runs. To first order a figure of E2E moves by the seconds on
its critical path that the factor stretches (the derivative of a longest path by a length is whether the path uses
it): prefill for TTFT, reasoning and decode for speed. Steps at one backend share its factors, so their seconds add
up before they are squared.
"""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Mapping
from math import exp, sqrt

from agentflow.result import Result
from agentflow.schema import Backend, Drift, Evidence

Z95 = 1.959963984540054
KEY = "drift"
"""Where a result's manifest keeps the backends' drift."""

ONE_PROVIDER = Drift(ttft=0.175, speed=0.095)
"""Daily medians of one live provider (November 2026): all that is measured of any."""


def assumed_drift() -> Evidence:
    """Return the evidence for a profile that takes its drift from another provider's."""
    return Evidence(
        figures=("drift",),
        source="Daily medians of one live provider",
        date=datetime.date(2026, 11, 21),
        kind="assumed",
        note="coefficient of variation from day to day; one load test cannot tell its own",
    )


def drift_of(assignment: Mapping[str, Backend]) -> str:
    """Write the backends' drift for a manifest: log-sd of TTFT and speed by backend; null where none is stated."""
    found = {}
    for backend in assignment.values():
        measured = backend.law.measured
        drift = getattr(measured, "drift", None)
        found[backend.name] = None if drift is None else [drift.ttft, drift.speed]
    return json.dumps(found, sort_keys=True)


def drift_factor(result: Result, tail: bool = False) -> float | None:
    """Return the factor by which drift widens a figure of E2E to either side at 95 %; None where it is not known.

    Parameters
    ----------
    result : Result
    tail : bool
        For figures of the slow tail, from its own critical path; else from that of all runs.
    """
    drifts = json.loads(result.manifest.get(KEY, "{}"))
    used = {result.assignment[step] for step in result.steps if step in result.assignment}
    if not used or any(drifts.get(name) is None for name in used):
        return None
    seconds = result.tail_critical_s if tail and result.tail_runs else result.critical_s
    columns = {name: i for i, name in enumerate(result.components)}
    stretched: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for step, row in zip(result.steps, seconds, strict=True):
        if step in result.assignment:
            parts = stretched[result.assignment[step]]
            parts[0] += float(row[columns["prefill"]])
            parts[1] += float(row[columns["reasoning"]] + row[columns["decode"]])
    total = float(seconds.sum())
    if total <= 0.0:
        return None
    square = sum((drifts[name][i] * parts[i]) ** 2 for name, parts in stretched.items() for i in (0, 1))
    return exp(Z95 * sqrt(square) / total)

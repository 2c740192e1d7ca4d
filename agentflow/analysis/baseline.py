"""Changes against a baseline: a result that was saved, what `run --json` printed, or another scenario."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from agentflow.analysis.compare import difference as unpaired
from agentflow.analysis.insight.paired import difference, log_ratio
from agentflow.analysis.metrics import Figure, Metrics, column_of, figure
from agentflow.errors import AgentflowError, UsageError, printable, quoted
from agentflow.estimate import Estimate, share_estimate
from agentflow.result import load_result

How = Literal["relative", "absolute"]

MOST_BYTES = 64_000_000
"""Bytes of JSON that are read at most; that of a workflow of 300 steps has 300,000."""


class Baseline(Protocol):
    """What figures are compared with."""

    @property
    def label(self) -> str:
        """What it is called."""

    @property
    def workflow(self) -> str:
        """The workflow's name."""

    def figure(self, name: str) -> Figure:
        """Look up a figure as `agentflow.analysis.metrics.figure` does."""


@dataclass(frozen=True)
class ResultBaseline:
    """A result with all its runs."""

    label: str
    metrics: Metrics

    @property
    def workflow(self) -> str:
        """The workflow's name."""
        return self.metrics.result.workflow

    def figure(self, name: str) -> Figure:
        """Look up a figure."""
        return figure(self.metrics, name)


@dataclass(frozen=True)
class JsonBaseline:
    """What `agentflow run --json` printed: estimates without their runs."""

    label: str
    document: Mapping[str, Any]

    @property
    def workflow(self) -> str:
        """The workflow's name."""
        return str(self.document["workflow"])

    def figure(self, name: str) -> Figure:
        """Look up a figure among those that were printed."""
        try:
            return self._find(name)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
            way = "a file that `agentflow run --save` wrote has all"
            raise UsageError(f"{printable(self.label)} has no {quoted(name)}; {way}") from None

    def _find(self, name: str) -> Figure:
        """Walk to the figure."""
        d, parts = self.document, name.split(".")
        head = {"e2e": "e2e_s", "ttft": "ttft_s", "cost": "cost_usd", "energy": "energy_j"}.get(parts[0], parts[0])
        if head == "outcomes":
            return Figure(name, "share", self._share(float(d["outcomes"].get(name.partition(".")[2], 0.0))))
        if head == "steps":
            return self._step(name)
        if head in ("calls", "attempts", "tokens"):
            subject, row = (name, d) if head != "tokens" else (name.partition(".")[2], d["tokens"])
            return Figure(name, "count", _estimate(row[subject.removesuffix(".mean")]))
        dimension = {"e2e_s": "seconds", "ttft_s": "seconds", "cost_usd": "usd", "energy_j": "joules"}[head]
        return Figure(name, dimension, _estimate(d[head][".".join(parts[1:])]))  # type: ignore[arg-type]

    def _share(self, share: float) -> Estimate:
        """Return a share of the runs; under load, where runs depend on one another, without an interval."""
        if self.document.get("load") is not None:
            return Estimate(share)
        runs = int(self.document["runs"])
        return share_estimate(round(share * runs), runs)

    def _step(self, name: str) -> Figure:
        """Walk to a step's figure; its path may have dots."""
        path, _, what = name.removeprefix("steps.").rpartition(".")
        if what == "critical_share":
            return Figure(name, "share", self._share(float(self.document["steps"][path]["critical_share"])))
        path = path.removesuffix(".latency_s").removesuffix(".latency")
        return Figure(name, "seconds", _estimate(self.document["steps"][path]["latency_s"][what]))


def _estimate(row: Mapping[str, Any]) -> Estimate:
    """Read an estimate."""
    low, high = row["low"], row["high"]
    if low is None or high is None:
        return Estimate(float(row["value"]), level=float(row["level"]))
    return Estimate(float(row["value"]), float(low), float(high), float(row["level"]))


def _no_number(name: str) -> float:
    """Refuse infinity and what is not a number, which are no JSON."""
    raise ValueError(name)


def load_baseline(path: str | os.PathLike[str]) -> Baseline:
    """Read a baseline: a file that `agentflow run --save` wrote, or what `agentflow run --json` printed.

    Raises
    ------
    AgentflowError
        If the file is missing or is neither.
    """
    name, file = os.fspath(path), Path(path)
    if file.is_file() and zipfile.is_zipfile(file):
        return ResultBaseline(name, Metrics(load_result(path)))
    neither = f"{name}: neither what `agentflow run --save` wrote nor what `agentflow run --json` printed"
    try:
        if file.stat().st_size > MOST_BYTES:
            raise AgentflowError(f"{neither}: too large")
        found = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise AgentflowError(f"{name}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise AgentflowError(neither) from error
    if not isinstance(found, dict) or not {"schema_version", "workflow", "runs", "e2e_s"} <= set(found):
        raise AgentflowError(neither)
    if found["schema_version"] != 1:
        raise AgentflowError(f"{name}: schema_version {quoted(found['schema_version'])} is not known; print it anew")
    return JsonBaseline(name, found)


def change(metrics: Metrics, baseline: Baseline, name: str, how: How) -> tuple[Figure, Figure]:
    """Estimate how much more a figure is than in a baseline, and return it with the baseline's figure.

    Over the same draws (a baseline with all its runs, of the same seed and number) times, tokens and costs are paired.
    Else the two intervals are joined as of independent runs, which is too wide where the draws are shared.

    Raises
    ------
    UsageError
        If the figure is not known, or a share of a baseline that is 0 is asked for.
    """
    now, then = figure(metrics, name), baseline.figure(name)
    if how == "absolute":
        return Figure(name, now.dimension, _difference(metrics, baseline, name, now.estimate, then.estimate)), then
    if then.estimate.value <= 0.0:
        way = "+1pp" if now.dimension == "share" else "+1s" if now.dimension == "seconds" else "+0.01"
        raise UsageError(
            f"{printable(name)} is {then.estimate.value:g} in {printable(baseline.label)}, and no share of that can be "
            f"told; write the change itself, such as {name}>{way}"
        )
    return Figure(name, "share", _ratio(metrics, baseline, name, now.estimate, then.estimate)), then


def is_paired(metrics: Metrics, baseline: Baseline) -> bool:
    """Whether run n of both has the same draws."""
    if not isinstance(baseline, ResultBaseline):
        return False
    a, b = metrics, baseline.metrics
    same = (a.result.seed, a.result.runs, a.replications) == (b.result.seed, b.result.runs, b.replications)
    return same and a.groups == b.groups


def _difference(metrics: Metrics, baseline: Baseline, name: str, now: Estimate, then: Estimate) -> Estimate:
    """Estimate now - then."""
    column = column_of(name)
    if column is not None and isinstance(baseline, ResultBaseline) and is_paired(metrics, baseline):
        return difference(metrics, baseline.metrics, *column)
    return unpaired(now, then, 0.0)


def _ratio(metrics: Metrics, baseline: Baseline, name: str, now: Estimate, then: Estimate) -> Estimate:
    """Estimate now / then - 1."""
    column, found = column_of(name), None
    if column is not None and isinstance(baseline, ResultBaseline) and is_paired(metrics, baseline):
        found = log_ratio(metrics, baseline.metrics, *column)
    elif min(now.value, now.low or 0.0, then.low or 0.0) > 0.0:
        found = unpaired(now.map(math.log), then.map(math.log), 0.0)
    if found is not None:
        return found.map(math.expm1)
    apart = unpaired(now, then, 0.0)  # a bound is 0: the baseline counts as known, its share of the width in seconds
    return apart.scaled(1.0 / then.value)

"""Gates: `--fail-if "e2e.p95>10s"`, or `"e2e.p95>+10%"` against a baseline: pass, fail or inconclusive."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentflow import units
from agentflow.analysis.baseline import Baseline, How, ResultBaseline, change, is_paired
from agentflow.analysis.compare import Comparison
from agentflow.analysis.metrics import Dimension, Metrics, figure
from agentflow.errors import UsageError, quoted
from agentflow.estimate import Estimate

Verdict = Literal["pass", "fail", "inconclusive"]

_EXPRESSION = re.compile(r"\s*(?P<metric>[^<>=\s]+)\s*(?P<operator><=|>=|<|>)\s*(?P<limit>[^<>=]*[^<>=\s])\s*")


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition under which a scenario fails: a figure, a comparison, a limit as written.

    A limit with a sign (`+10%`, `-0.5s`, `+1pp`) is one on the change against a baseline.
    """

    expression: str
    metric: str
    operator: str
    limit: str

    @property
    def change(self) -> How | None:
        """Whether the limit is on a change, as a share of the baseline or in the figure's own unit."""
        if self.limit[:1] not in ("+", "-"):
            return None
        return "relative" if self.limit.endswith("%") else "absolute"


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate found.

    Attributes
    ----------
    gate
        The gate.
    verdict
        "fail" if the whole interval meets the condition, "pass" if none of it does, else "inconclusive".
    estimate
        The figure, in seconds, US dollars, joules, a share, or a count, as `dimension` says.
    limit
        The limit in the same unit.
    dimension
        What the figure measures.
    runs_needed
        About how many runs would settle an inconclusive gate; 0 if settled, or if no number would.
    baseline
        The baseline's figure, where the gate is on a change: `estimate` and `limit` are then the change and its limit.
    scenario
        The scenario's name, where there are several.
    unit
        What the figure itself measures; `dimension`, but for a change that is a share of the baseline.
    """

    gate: Gate
    verdict: Verdict
    estimate: Estimate
    limit: float
    dimension: Dimension
    runs_needed: int = 0
    baseline: Estimate | None = None
    scenario: str = ""
    unit: Dimension = "count"


def parse_gate(expression: str, option: str = "--fail-if", example: str = "e2e.p95>10s") -> Gate:
    """Read a gate such as `e2e.p95>10s`, `outcomes.failed > 1%` or `ttft.p50<=800ms`.

    Parameters
    ----------
    expression
        As written.
    option, example
        What the message of an error names.

    Raises
    ------
    UsageError
        If the expression is not FIGURE, one of < <= > >=, LIMIT.
    """
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise UsageError(f"{option} {expression!r}: expected FIGURE, one of > >= < <=, LIMIT, such as {example!r}")
    return Gate(expression.strip(), match["metric"], match["operator"], match["limit"])


def check(metrics: Metrics, gate: Gate, baseline: Baseline | None = None, scenario: str = "") -> GateResult:
    """Answer a gate from a result's figures.

    Raises
    ------
    UsageError
        If the figure is unknown, the limit is not of its dimension, or is on a change and there is no baseline.
    """
    if gate.change is not None:
        return _check_change(metrics, gate, baseline, scenario)
    found = figure(metrics, gate.metric)
    limit = _parse_limit(gate, found.dimension)
    verdict = decide(found.estimate, gate.operator, limit)
    more = _runs_to_settle(found.estimate, limit, metrics.result.runs) if verdict == "inconclusive" else 0
    return GateResult(gate, verdict, found.estimate, limit, found.dimension, more, None, scenario, found.dimension)


def require_baseline(gates: Sequence[Gate], baseline: Baseline | None) -> None:
    """Refuse gates on a change where there is nothing to compare with."""
    for gate in gates:
        if gate.change is not None and baseline is None:
            raise UsageError(
                f"--fail-if {quoted(gate.expression)}: a limit with a sign is on the change against a baseline; add "
                "--baseline old.json, which agentflow run --json printed"
            )


def check_all(comparison: Comparison, gates: Sequence[Gate]) -> list[GateResult]:
    """Answer gates for each scenario of a comparison; those on a change, for each but the baseline."""
    metrics = [Metrics(case.result) for case in comparison.cases] if gates else []
    base = comparison.baseline
    return [
        check(metric, gate, ResultBaseline(comparison.cases[base].label, metrics[base]), case.label)
        for gate in gates
        for number, (metric, case) in enumerate(zip(metrics, comparison.cases, strict=True))
        if gate.change is None or number != base
    ]


def _check_change(metrics: Metrics, gate: Gate, baseline: Baseline | None, scenario: str) -> GateResult:
    """Answer a gate on the change against a baseline."""
    require_baseline([gate], baseline)
    assert gate.change is not None and baseline is not None
    dimension = "share" if gate.change == "relative" else figure(metrics, gate.metric).dimension
    limit = _parse_change(gate, dimension)
    found, then = change(metrics, baseline, gate.metric, gate.change)
    verdict = decide(found.estimate, gate.operator, limit)
    more = 0
    if verdict == "inconclusive" and is_paired(metrics, baseline):  # else more runs of one side would not do
        more = _runs_to_settle(found.estimate, limit, metrics.result.runs)
    return GateResult(gate, verdict, found.estimate, limit, dimension, more, then.estimate, scenario, then.dimension)


def decide(estimate: Estimate, operator: str, limit: float) -> Verdict:
    """Say whether `estimate operator limit` holds over the whole interval ("fail"), nowhere in it, or in part."""
    low, high = estimate.low, estimate.high
    if low is None or high is None:
        return "inconclusive"
    if operator in ("<", "<="):  # mirrored: x < limit is -x > -limit
        low, high, limit = -high, -low, -limit
    met, unmet = (low > limit, high <= limit) if operator in (">", "<") else (low >= limit, high < limit)
    return "fail" if met else "pass" if unmet else "inconclusive"


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """Return the command's exit code: 1 if a gate failed, else 3 if one is inconclusive, else 0."""
    return 1 if "fail" in verdicts else 3 if "inconclusive" in verdicts else 0


def _parse_limit(gate: Gate, dimension: Dimension) -> float:
    """Read the limit in the unit of the figure."""
    try:
        if dimension == "seconds":
            return units.parse_duration(gate.limit)
        if dimension == "share":
            return units.parse_percent(gate.limit)
        if dimension == "usd":
            return units.parse_usd(gate.limit)
        if dimension == "joules":
            return units.parse_energy(gate.limit)
        return units.parse_count(gate.limit)
    except ValueError as error:
        raise UsageError(f"--fail-if {quoted(gate.expression)}: the limit {error}") from error


def _parse_change(gate: Gate, dimension: Dimension) -> float:
    """Read the limit of a change; that of a share in percentage points, unless it is itself a share of the share."""
    sign, text = -1.0 if gate.limit[0] == "-" else 1.0, gate.limit[1:].strip()
    if gate.change == "absolute" and dimension == "share":
        if not text.endswith("pp"):
            raise UsageError(
                f"--fail-if {quoted(gate.expression)}: write the change of a share in percentage points, such as +1pp, "
                "or as a share of what it was, such as +10%"
            )
        text = text.removesuffix("pp").strip() + "%"
    return sign * _parse_limit(Gate(gate.expression, gate.metric, gate.operator, text), dimension)


def _runs_to_settle(estimate: Estimate, limit: float, runs: int) -> int:
    """Return about how many runs make the interval stop short of the limit, from its width now."""
    half, distance = estimate.half_width, abs(estimate.value - limit)
    if half is None:
        return estimate.runs_needed
    if distance < half / 100.0:  # the limit is the figure itself, as far as can be told
        return 0
    wanted = 1.2 * runs * (half / distance) ** 2
    digit = int(10 ** max(0, math.floor(math.log10(wanted)) - 1))
    return math.ceil(wanted / digit) * digit

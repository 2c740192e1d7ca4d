"""Gates: `--fail-if "e2e.p95>10s"`, answered from the interval with pass, fail or inconclusive."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentflow import units
from agentflow.analysis.metrics import Dimension, Metrics, figure
from agentflow.errors import UsageError, quoted
from agentflow.estimate import Estimate

Verdict = Literal["pass", "fail", "inconclusive"]

_EXPRESSION = re.compile(r"\s*(?P<metric>[^<>=\s]+)\s*(?P<operator><=|>=|<|>)\s*(?P<limit>[^<>=]*[^<>=\s])\s*")


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition under which a scenario fails: a figure, a comparison, a limit as written."""

    expression: str
    metric: str
    operator: str
    limit: str


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
    """

    gate: Gate
    verdict: Verdict
    estimate: Estimate
    limit: float
    dimension: Dimension
    runs_needed: int = 0


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


def check(metrics: Metrics, gate: Gate) -> GateResult:
    """Answer a gate from a result's figures.

    Raises
    ------
    UsageError
        If the figure is unknown or the limit is not of its dimension.
    """
    found = figure(metrics, gate.metric)
    limit = _parse_limit(gate, found.dimension)
    verdict = decide(found.estimate, gate.operator, limit)
    more = _runs_to_settle(found.estimate, limit, metrics.result.runs) if verdict == "inconclusive" else 0
    return GateResult(gate, verdict, found.estimate, limit, found.dimension, more)


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

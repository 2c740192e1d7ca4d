"""Break-even: how fast a step would have to be for a target such as `e2e.p95<10s`, or that no speed suffices.

A factor f makes the step's first token come f times as soon, or its tokens f times as fast, or both; a tool's, a
person's or a wait's time f times as short. All factors share their draws, so the target's figure falls as f grows, and
the least f that meets it is a root. Its interval comes from the figure's own: the least f at which the interval's lower
bound meets the target, and the least at which its upper bound does (Fieller's way of inverting a bound).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from agentflow import documents
from agentflow.analysis.assignment import BackendLike
from agentflow.analysis.gates import Gate, decide, parse_gate
from agentflow.analysis.insight.changes import has_latency, leaf_steps, with_latency, with_speed
from agentflow.analysis.metrics import Metrics, figure
from agentflow.analysis.scenario import Progress, Scenario, WorkflowLike, build_scenarios
from agentflow.analysis.setting import Setting
from agentflow.analysis.stack import standout
from agentflow.errors import UsageError, quoted
from agentflow.estimate import Estimate
from agentflow.result import COMPONENTS
from agentflow.schema.distribution import median
from agentflow.units import parse_duration

if TYPE_CHECKING:
    from agentflow.plan import Plan

What = Literal["speed", "ttft", "both", "time"]
"""Of a model call: output speed, time to first token, both; of anything else, the time it takes."""

ENDLESS = 1e9
"""Times as fast that stand for no time at all."""

_FACTOR_ERROR = 0.002
_MOST_STEPS = 12
_NEAR = 100


@dataclass(frozen=True)
class Target:
    """What is wanted: a figure of E2E or TTFT below a limit (s), and as it is written."""

    text: str
    gate: Gate
    limit_s: float


@dataclass(frozen=True)
class BreakEven:
    """What one step, or all model calls together, would need for the target.

    Attributes
    ----------
    step
        The step's path; None for all model calls together.
    what
        What of it changes.
    factor
        How many times as fast it has to be, with its interval; None where nothing suffices.
    now, needed
        Output speed (tokens/s) or time (s) at the median: as it is, and as it has to be. None for several steps, for
        both at once, and where nothing suffices.
    floor_s
        The target's figure if that took no time at all (s).
    left_step, left_component, left_s
        Where nothing suffices: the step that then has the most seconds in the runs about the figure, the most of what,
        and how many (s).
    """

    step: str | None
    what: What
    factor: Estimate | None
    now: float | None
    needed: Estimate | None
    floor_s: Estimate
    left_step: str | None = None
    left_component: str | None = None
    left_s: float = 0.0


@dataclass(frozen=True)
class BreakEvens:
    """What would be needed for a target.

    Attributes
    ----------
    target
        What is wanted.
    now_s
        The target's figure as it is (s).
    met
        Whether it is met already, by the whole interval; None where the interval straddles the limit.
    rows
        All model calls together first, then the steps with the most seconds on critical paths; empty where it is met.
    unscalable
        Steps whose backend's law knows no speed that could be changed: a deployment, a table.
    """

    target: Target
    now_s: Estimate
    met: bool | None
    rows: tuple[BreakEven, ...]
    unscalable: tuple[str, ...]


def parse_target(text: str) -> Target:
    """Read a target such as `p95<10s`, `e2e.mean<4s` or `ttft.p50<800ms`.

    Raises
    ------
    UsageError
        If it is not a figure of E2E or TTFT, < or <=, and a duration.
    """
    gate = parse_gate(text, "--target", "p95<10s")
    metric = gate.metric if "." in gate.metric or not gate.metric.startswith(("p", "mean")) else f"e2e.{gate.metric}"
    if gate.operator not in ("<", "<="):
        raise UsageError(f"--target {quoted(text)}: write what is wanted, such as 'p95<10s'")
    if metric.partition(".")[0] not in ("e2e", "e2e_s", "ttft", "ttft_s"):
        raise UsageError(f"--target {quoted(text)}: a target is a figure of e2e or ttft, such as 'ttft.p50<800ms'")
    try:
        limit = parse_duration(gate.limit)
    except ValueError as error:
        raise UsageError(f"--target {quoted(text)}: the limit {error}") from error
    return Target(text.strip(), Gate(gate.expression, metric, gate.operator, gate.limit), limit)


def break_even(
    workflow: WorkflowLike,
    target: str | Target,
    backend: BackendLike | None = None,
    *,
    assign: Mapping[str, BackendLike] | None = None,
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    setting: Setting | None = None,
) -> BreakEvens:
    """Say what each step of a workflow would need for a target.

    Parameters
    ----------
    target
        For example `p95<10s`; see `parse_target`.
    workflow, backend, assign, runs, seed, threads, progress, setting
        As for `simulate`.

    Raises
    ------
    AgentflowError
        As for `simulate`, and if the target makes no sense.
    """
    wanted = parse_target(target) if isinstance(target, str) else target
    return break_even_of(build_scenarios(workflow, backend, assign, setting)[0], wanted, runs, seed, threads, progress)


def break_even_of(
    scenario: Scenario,
    target: Target,
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> BreakEvens:
    """Do the same for a scenario that is at hand."""
    look = _Looker(target, runs, seed, threads)
    base = look(scenario)
    now = figure(base, target.gate.metric).estimate
    verdict = decide(now, target.gate.operator, target.limit_s)
    met = {"fail": True, "pass": False, "inconclusive": None}[verdict]  # a target is a gate turned round
    if now.value <= target.limit_s or met:
        return BreakEvens(target, now, met, (), ())
    ways, unscalable = _ways(scenario, base)
    rows = []
    for done, (step, what, change) in enumerate(ways):
        rows.append(_search(look, scenario, step, what, change))
        if progress is not None:
            progress(done + 1, len(ways))
    return BreakEvens(target, now, met, tuple(rows), unscalable)


class _Looker:
    """Simulates scenarios over the same draws."""

    def __init__(self, target: Target, runs: int, seed: int, threads: int | None) -> None:
        self.target, self.runs, self.seed, self.threads = target, runs, seed, threads

    def __call__(self, scenario: Scenario) -> Metrics:
        """Simulate one scenario."""
        from agentflow.engine import run_plan

        return Metrics(run_plan(self.plan(scenario), self.runs, self.seed, threads=self.threads))

    def plan(self, scenario: Scenario) -> Plan:
        """Compile one scenario."""
        from agentflow.plan import compile_plan

        return compile_plan(scenario.workflow, scenario.assignment, documents.position_of)

    def figure(self, scenario: Scenario) -> Estimate:
        """Estimate the target's figure."""
        return figure(self(scenario), self.target.gate.metric).estimate


Way = Callable[[float], Scenario]


def _ways(scenario: Scenario, base: Metrics) -> tuple[list[tuple[str | None, What, Way]], tuple[str, ...]]:
    """List what could be made faster, the most promising first, and the steps that cannot."""
    result = base.result
    seconds = dict(zip(result.steps, (result.critical_s + result.tail_critical_s).sum(axis=1).tolist(), strict=True))
    leaves = leaf_steps(scenario.workflow)
    models = [path for path, step in leaves.items() if not has_latency(step)]
    fixed = tuple(path for path in models if with_speed(scenario, path) is None)
    found: list[tuple[str | None, What, Way]] = []
    free = [path for path in models if path not in fixed]
    if len(free) > 1:
        found += [(None, what, _way(scenario, free, what)) for what in ("both", "speed", "ttft")]
    for path in sorted(leaves, key=lambda path: -seconds.get(path, 0.0))[:_MOST_STEPS]:
        if has_latency(leaves[path]):
            found.append((path, "time", _shorter(scenario, path)))
        elif path in free:
            found += [(path, what, _way(scenario, [path], what)) for what in ("both", "speed", "ttft")]
    return found, fixed


def _way(scenario: Scenario, paths: list[str], what: str) -> Way:
    """Make model calls faster."""

    def change(factor: float) -> Scenario:
        made = scenario
        for path in paths:
            ttft, speed = 1.0 if what == "speed" else factor, 1.0 if what == "ttft" else factor
            made = with_speed(made, path, ttft, speed) or made
        return made

    return change


def _shorter(scenario: Scenario, path: str) -> Way:
    """Make a step that calls no model shorter."""
    return lambda factor: with_latency(scenario, path, 1.0 / factor)


def _search(look: _Looker, scenario: Scenario, step: str | None, what: Any, change: Way) -> BreakEven:
    """Find the least factor for one way, or what is left where none suffices."""
    target, end = look.target, look(change(ENDLESS))
    floor = figure(end, target.gate.metric).estimate
    if floor.value > target.limit_s:
        left = standout(_seconds_about(look, change(ENDLESS), end, floor.value))
        if left is None:
            return BreakEven(step, what, None, None, None, floor)
        return BreakEven(step, what, None, None, None, floor, left.step, left.step_component, left.step_s)
    known: dict[float, Estimate] = {math.log(ENDLESS): floor}

    def estimate(log_factor: float) -> Estimate:
        if log_factor not in known:
            known[log_factor] = look.figure(change(math.exp(log_factor)))
        return known[log_factor]

    value = least(lambda x: estimate(x).value, known, target.limit_s)
    low = least(lambda x: estimate(x).low or 0.0, known, target.limit_s)
    high = None if floor.high is None or floor.high > target.limit_s else least(
        lambda x: estimate(x).high or 0.0, known, target.limit_s
    )  # fmt: skip
    factor = Estimate(math.exp(value), math.exp(low), math.inf if high is None else math.exp(high))
    now = _now(scenario, step, what)
    needed = None if now is None else _scaled(now, factor, faster=what == "speed")
    return BreakEven(step, what, factor, now, needed, floor)


def _seconds_about(look: _Looker, scenario: Scenario, found: Metrics, value: float) -> dict[str, dict[str, float]]:
    """Return the mean seconds on the critical path by step and component of the runs nearest to a figure.

    The runs beyond a quantile may be slow for another reason, which has no part in it. Of TTFT, that of the runs whose
    TTFT is near, up to the answer.
    """
    from agentflow.engine.blame import critical_seconds
    from agentflow.engine.recording import record_runs

    result = found.result
    column = result.ttft_s if look.target.gate.metric.startswith("ttft") else result.e2e_s
    chosen = np.sort(np.argsort(np.abs(column - value), kind="stable")[:_NEAR])
    plan = look.plan(scenario)
    total = sum(
        critical_seconds(recording, recording.critical_path()).sum(axis=0)
        for recording in record_runs(plan, chosen, look.seed)
    )
    mean = (np.asarray(total) / len(chosen)).tolist()
    rows = {step: dict(zip(COMPONENTS, row, strict=True)) for step, row in zip(result.steps, mean, strict=True)}
    return {step: row for step, row in rows.items() if any(row.values())}


def least(value: Callable[[float], float], known: Mapping[float, Any], limit: float) -> float:
    """Find the least x >= 0 at which a falling function is at most a limit, that it meets at the largest of `known`.

    Parameters
    ----------
    value
        Falls, also in steps.
    known
        Places where looking costs nothing; they narrow the search.

    Returns
    -------
    float
        To `_FACTOR_ERROR`, on the side that meets the limit.
    """
    low, high = 0.0, max(known)
    for x in sorted(known):
        if value(x) <= limit:
            high = x
            break
        low = x
    if low == 0.0 and value(0.0) <= limit:
        return 0.0
    step = math.log(2.0)
    while high - low > 2.0 * step:  # the answer is rarely far beyond a small factor: go up by doubling
        middle = low + step
        low, high = (low, middle) if value(middle) <= limit else (middle, high)
        step *= 2.0
    while high - low > _FACTOR_ERROR:
        above, below = value(low) - limit, limit - value(high)
        share = above / (above + below) if above + below > 0.0 else 0.5
        middle = low + (high - low) * min(0.9, max(0.1, share))
        low, high = (low, middle) if value(middle) <= limit else (middle, high)
    return high


def _now(scenario: Scenario, step: str | None, what: str) -> float | None:
    """Return a step's output speed (tokens/s) or time (s) at the median."""
    if step is None or what == "both":
        return None
    if what == "time":
        leaf = leaf_steps(scenario.workflow)[step]
        return median(leaf.duration if leaf.type == "wait" else leaf.latency)
    law = scenario.assignment[step].law.measured
    assert law is not None  # only such are made faster
    return median(law.decode_rate if what == "speed" else law.ttft)


def _scaled(now: float, factor: Estimate, faster: bool) -> Estimate:
    """Return the figure at the factor: a speed rises with it, a time falls."""
    low, high = factor.low or 1.0, factor.high or math.inf
    if faster:
        return Estimate(now * factor.value, now * low, None if math.isinf(high) else now * high)
    return Estimate(now / factor.value, now / high, now / low)

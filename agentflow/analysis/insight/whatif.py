"""What would help: every candidate simulated anew on the same draws, ranked on some runs and measured on others.

The candidate that comes out first of many has luck on its side: its gain is too high on the runs on which it was
chosen. So the order is that of the scenario's own runs, and every figure shown comes from fresh runs that had no part
in the choice; there each interval covers like that of a change chosen beforehand. Whether a change helps at all is
asked of all of them at once: Holm's procedure (1979) keeps the chance of any false yes at 5 %. Decision 0009.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from agentflow import documents
from agentflow.analysis.assignment import BackendLike
from agentflow.analysis.insight.candidates import candidates
from agentflow.analysis.insight.changes import Change, leaf_steps
from agentflow.analysis.insight.paired import difference
from agentflow.analysis.metrics import NO_ANSWER, Metrics
from agentflow.analysis.scenario import Progress, Scenario, WorkflowLike, build_scenarios
from agentflow.analysis.setting import Setting
from agentflow.analysis.summary import STATS
from agentflow.errors import PlanError, UsageError
from agentflow.estimate import Estimate, mean_estimate
from agentflow.result import Result, hist_quantile

Basis = Literal["mean", "p95"]

Hope = Literal["helps", "nothing", "unsettled", "untried"]
"""Of a step: something helps; nothing that was tried gains `MATTERS`; the runs cannot tell; nothing was tried."""

MATTERS = 0.01
"""Share of the time by which they are ranked below which a gain is called nothing."""

MOST_STEPS = 40
"""Steps to which something is done; of more, those with the most seconds on critical paths."""

LEAST_RUNS = 100
"""Runs below which nothing is ranked: a p95 has no interval below 72."""

_VISITS = 600_000

_ERROR = 0.05


@dataclass(frozen=True)
class WhatIf:
    """One change and what it gains, measured on fresh runs.

    Attributes
    ----------
    change
        What is done to which step.
    gain_s
        How much sooner the answer comes, by `mean` and `p95` of E2E (s): each with the 95 % interval of a paired
        difference; below 0 where it comes later.
    e2e_s
        E2E with the change, by the same names (s).
    unanswered
        How much larger the share of the runs without an answer is.
    cost_usd
        How much more a run costs on average (US dollars); None where a price is not known.
    helps
        Whether the gain by which the changes are ranked is above 0, all candidates considered, and no more runs stay
        without an answer.
    """

    change: Change
    gain_s: dict[str, Estimate]
    e2e_s: dict[str, Estimate]
    unanswered: Estimate
    cost_usd: Estimate | None
    helps: bool

    @property
    def fails_more(self) -> bool:
        """Whether more runs stay without an answer: a run that gives up early is quick, too."""
        return self.unanswered.low is not None and self.unanswered.low > 0.0


@dataclass(frozen=True)
class Ranking:
    """What would help, in order.

    Attributes
    ----------
    rows
        All candidates, ranked by their gain on the scenario's own runs; those that leave more runs without an answer
        come last.
    basis
        By which figure of E2E they are ranked.
    runs, seed, fresh_seed
        Runs of the choice and, as many, of the figures; their seeds.
    e2e_s
        E2E as it is, on the fresh runs (s).
    steps
        By step that takes time: what can be done to it, see `Hope`.
    left_out
        Candidates that make no valid workflow, and why.
    """

    rows: tuple[WhatIf, ...]
    basis: Basis
    runs: int
    seed: int
    fresh_seed: int
    e2e_s: dict[str, Estimate]
    steps: dict[str, Hope]
    left_out: tuple[tuple[Change, str], ...]

    def steps_that(self, hope: Hope) -> tuple[str, ...]:
        """Return the steps of which this is known."""
        return tuple(step for step, found in self.steps.items() if found == hope)


def what_if(
    workflow: WorkflowLike,
    backend: BackendLike | None = None,
    *,
    others: Sequence[BackendLike] = (),
    assign: Mapping[str, BackendLike] | None = None,
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    basis: Basis = "p95",
    progress: Progress | None = None,
    setting: Setting | None = None,
) -> Ranking:
    """Rank what could be done to the steps of a workflow.

    Parameters
    ----------
    workflow, backend, assign, runs, seed, threads, progress, setting
        As for `simulate`; as many fresh runs are added.
    others
        Backends or providers that each model call could go to instead.
    basis
        Whether to rank by the mean or by the p95 of E2E.

    Raises
    ------
    AgentflowError
        As for `simulate`.
    """
    scenario = build_scenarios(workflow, backend, assign, setting)[0]
    return rank(scenario, others, runs, seed, threads, basis, progress, setting=setting)


def rank(
    scenario: Scenario,
    others: Sequence[BackendLike] = (),
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    basis: Basis = "p95",
    progress: Progress | None = None,
    changes: Sequence[Change] | None = None,
    setting: Setting | None = None,
    most_steps: int = MOST_STEPS,
) -> Ranking:
    """Do the same for a scenario that is at hand, or for these changes only."""
    if runs < LEAST_RUNS:
        raise UsageError(f"a ranking of what would help needs at least {LEAST_RUNS} runs")
    fresh = fresh_seed(seed)
    simulate = _Simulator(runs, (seed, fresh), threads, progress)
    base = [Metrics(result) for result in simulate(scenario)]
    wanted = list(changes) if changes is not None else _wanted(scenario, others, base[0].result, setting, most_steps)
    simulate.total = len(wanted) + 1
    found: list[tuple[float, WhatIf]] = []
    left_out: list[tuple[Change, str]] = []
    for change in wanted:
        try:
            results = simulate(change.apply(scenario))
        except PlanError as error:
            left_out.append((change, error.problems[0].message if error.problems else str(error)))
            continue
        chosen, measured = (Metrics(result) for result in results)
        found.append((_gain(base[0], chosen, basis).value, _measure(change, base[1], measured)))
    rows = _decide([row for _, row in found], basis)
    order = sorted(range(len(rows)), key=lambda i: (rows[i].fails_more, -found[i][0]))
    ranked = tuple(rows[i] for i in order)
    e2e = {name: base[1].column("e2e_s", STATS[name]) for name in ("mean", "p95")}
    least = MATTERS * e2e[basis].value
    return Ranking(
        rows=ranked,
        basis=basis,
        runs=runs,
        seed=seed,
        fresh_seed=fresh,
        e2e_s=e2e,
        steps={step: _hope(step, ranked, basis, least) for step in leaf_steps(scenario.workflow)},
        left_out=tuple(left_out),
    )


def _wanted(
    scenario: Scenario, others: Sequence[BackendLike], result: Result, setting: Setting | None, most: int
) -> list[Change]:
    """Return the candidates; in a large workflow, those of the steps that matter most."""
    found = candidates(scenario, others, slow_latencies(result), setting)
    leaves = leaf_steps(scenario.workflow)
    seconds = dict(zip(result.steps, (result.critical_s + result.tail_critical_s).sum(axis=1).tolist(), strict=True))
    chosen = set(sorted(leaves, key=lambda step: -seconds.get(step, 0.0))[:most])
    return [change for change in found if change.step in chosen or change.step not in leaves]


def _hope(step: str, rows: Sequence[WhatIf], basis: Basis, least: float) -> Hope:
    """Say what is known of one step."""
    gains = [row.gain_s[basis] for row in rows if row.change.step == step and not row.fails_more]
    if not any(row.change.step == step for row in rows):
        return "untried"
    if any(row.helps for row in rows if row.change.step == step):
        return "helps"
    return "nothing" if all(gain.high is not None and gain.high < least for gain in gains) else "unsettled"


def affordable(scenario: Scenario, runs: int) -> tuple[int, int]:
    """Return how many of the runs, and how many steps, a page can wait for; a large workflow takes half a minute."""
    from agentflow.plan import compile_plan

    nodes = len(compile_plan(scenario.workflow, scenario.assignment, documents.position_of).tables.node_i)
    return min(runs, max(10 * LEAST_RUNS, _VISITS // nodes)), min(12, max(4, 4 * _VISITS // (nodes * 1000)))


def slow_latencies(result: Result) -> dict[str, float]:
    """Return the p95 of the latency of each step's visits (s), of those that were visited."""
    counts = zip(result.steps, result.step_latency_hist, strict=True)
    return {step: hist_quantile(row, 0.95) for step, row in counts if row.any()}


def fresh_seed(seed: int) -> int:
    """Return the seed of runs that have nothing to do with those of this seed."""
    return int.from_bytes(hashlib.blake2b(f"fresh runs of {seed}".encode(), digest_size=8).digest(), "little") >> 1


class _Simulator:
    """Runs scenarios on both seeds."""

    def __init__(self, runs: int, seeds: Sequence[int], threads: int | None, progress: Progress | None) -> None:
        self.runs, self.seeds, self.threads = runs, seeds, threads
        self.progress, self.total, self.done = progress, 1, 0

    def __call__(self, scenario: Scenario) -> list[Result]:
        """Simulate one scenario."""
        from agentflow.engine import run_plan
        from agentflow.plan import compile_plan

        plan = compile_plan(scenario.workflow, scenario.assignment, documents.position_of)
        results = [run_plan(plan, self.runs, seed, threads=self.threads) for seed in self.seeds]
        self.done += 1
        if self.progress is not None and self.total > 1:
            self.progress(self.done * self.runs * len(self.seeds), self.total * self.runs * len(self.seeds))
        return results


def _gain(base: Metrics, changed: Metrics, basis: str) -> Estimate:
    """Estimate how much sooner the answer comes, by a paired difference."""
    return difference(base, changed, "e2e_s", STATS[basis])


def _measure(change: Change, base: Metrics, changed: Metrics) -> WhatIf:
    """Estimate what a change does."""
    cost = None
    if base.result.cost_usd is not None and changed.result.cost_usd is not None:
        cost = mean_estimate(changed.result.cost_usd - base.result.cost_usd)
    lost = _unanswered(changed.result).astype(np.float64) - _unanswered(base.result)
    return WhatIf(
        change=change,
        gain_s={name: _gain(base, changed, name) for name in ("mean", "p95")},
        e2e_s={name: changed.column("e2e_s", STATS[name]) for name in ("mean", "p95")},
        unanswered=mean_estimate(lost),
        cost_usd=cost,
        helps=False,
    )


def _unanswered(result: Result) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether a run ended without an answer."""
    names = [i for i, name in enumerate(result.outcome_names) if name in NO_ANSWER]
    return np.isin(result.outcome, names)


def _decide(rows: Sequence[WhatIf], basis: Basis) -> list[WhatIf]:
    """Say which changes help, all of them considered: Holm (1979), one-sided."""
    from dataclasses import replace

    chances = [1.0 if row.fails_more else _chance(row.gain_s[basis]) for row in rows]
    helps = [False] * len(rows)
    for place, i in enumerate(sorted(range(len(rows)), key=lambda i: chances[i])):
        if chances[i] > _ERROR / 2.0 / (len(rows) - place):
            break
        helps[i] = True
    return [replace(row, helps=yes) for row, yes in zip(rows, helps, strict=True)]


def _chance(gain: Estimate) -> float:
    """Return how likely a gain as large as this is where there is none, from its interval's width towards 0."""
    if gain.low is None or gain.value <= 0.0:
        return 1.0
    width = gain.value - gain.low
    if width <= 0.0:
        return 0.0
    z = NormalDist().inv_cdf((1.0 + gain.level) / 2.0) * gain.value / width
    return 1.0 - NormalDist().cdf(z)

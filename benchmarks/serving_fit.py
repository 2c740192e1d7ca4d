"""Real vLLM runs, request by request: fit a deployment's few constants on some requests, predict the others.

What is fitted: six constants of the law of a step, and the blocks of the cache. What is not: the scheduler's rules, and
of a mixture of experts how the experts that a step reads grow with its tokens.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares

from agentflow.engine.batching import Fleet, Replica, Served, StepLaw, StepTable, serve
from agentflow.errors import CapacityError
from agentflow.hardware import IterationTable, cache_blocks, iteration_table
from agentflow.hardware.demand import weight_bytes
from agentflow.hardware.iteration import UTILISATION
from agentflow.plan.layout import F64
from agentflow.schema.deployment import Deployment
from benchmarks.serving_data import Run, deployment
from benchmarks.serving_experts import shared_experts_table

CONSTANTS = ("fixed", "token", "kv", "pair", "mixed_fixed", "mixed_kv")
SCALE = 0.01
"""Relative error from which on a request counts by its error and no longer by the square."""

PRIOR = 1.0
"""Standard deviation of a constant's logarithm around the data sheet's: counts where the requests say little."""

STARTS, SPREAD = 16, 0.5
"""Searches, and the standard deviation of the logarithms of what they start from."""

ENDLESS = 1 << 40


def engine_table(run: Run, d: Deployment) -> tuple[IterationTable, int]:
    """Tabulate the steps of one engine of the run, and count the blocks of its cache.

    Raises
    ------
    CapacityError
        If the weights leave no room for a cache.
    """
    engines = d.attention_data_parallel
    table = shared_experts_table if engines > 1 else iteration_table
    t = table(d, run.max_sequences, run.token_budget)
    blocks = cache_blocks(d) // engines
    if blocks < 1:
        raise CapacityError(
            f"{d.model.name} on {d.chips} x {d.chip.name}: weights leave no room for a cache in the {UTILISATION:.0%} "
            "of the memory that vLLM takes; the table's tp or dtype, or the chip, must be others"
        )
    return t, blocks


def from_data_sheet(run: Run, mixed_kv: float | None = None, d: Deployment | None = None) -> Replica:
    """Make the replica that chip, model and engine give, without any measurement of the run.

    ``mixed_kv`` stands for the engine's constant of that name, to leave out what was learnt from the run itself; ``d``
    for the catalogue's deployment.
    """
    d = d or deployment(run)
    t, blocks = engine_table(run, d)
    cost = t.mixed_kv if mixed_kv is None else mixed_kv * t.kv
    law = StepTable(t.plain_seconds, t.mixed_seconds, t.sequence, t.kv, cost, t.pair)
    return Replica(law, run.token_budget, run.max_sequences, blocks)


def predict(run: Run, replica: Replica) -> Served:
    """Serve the run's requests; data-parallel engines are replicas that the least loaded is chosen of."""
    return serve(Fleet([replica] * run.replicas), run.arrival, run.prompt, run.output)


def ratios(run: Run, served: Served) -> F64:
    """Predicted over measured, less 1: rows E2E, TPOT, TTFT."""
    gaps = np.maximum(run.output - 1, 1)
    measured = (run.last - run.arrival, (run.last - run.first) / gaps, run.first - run.arrival)
    predicted = (
        served.finished - run.arrival,
        (served.finished - served.first_token) / gaps,
        served.first_token - run.arrival,
    )
    return np.array([p / m - 1 for p, m in zip(predicted, measured, strict=True)])


def errors(run: Run, served: Served, part: slice) -> tuple[float, float, float]:
    """Mean absolute relative errors of E2E, TPOT and TTFT over some requests."""
    e2e, tpot, ttft = np.abs(ratios(run, served)[:, part]).mean(axis=1)
    return float(e2e), float(tpot), float(ttft)


class Fit:
    """Fits a run's constants on its first requests, starting from the data sheet.

    ``rules`` are changes of the replica's, to see what a rule of the scheduler explains; with ``one_law`` steps with
    prompts follow the law of those without.
    """

    def __init__(self, run: Run, requests: int, one_law: bool = False, **rules: bool) -> None:
        self.run, self.requests, self.one_law, self.rules = run, requests, one_law, rules
        d = deployment(run)
        resident, routed = weight_bytes(d)
        self.experts = routed / (resident + routed)
        experts = d.model.experts
        self.miss = 1.0 - experts.active / experts.total if experts else 0.0
        t, self.blocks = engine_table(run, d)
        half = run.token_budget // 2
        token = (t.mixed_seconds[-1] - t.mixed_seconds[half]) / (run.token_budget - half)
        fixed = max(t.plain_seconds[-1] - run.max_sequences * token, t.plain_seconds[1])
        self.start = np.array([fixed, token, t.kv, t.pair, fixed / 2, t.mixed_kv])

    def replica(self, constants: F64, blocks: int) -> Replica:
        """Make a replica of constants."""
        fixed, token, kv, pair, mixed_fixed, mixed_kv = constants.tolist()
        law = StepLaw(
            fixed=fixed * (1 - self.experts), token=token, kv=kv, pair=pair, mixed_fixed=mixed_fixed,
            mixed_kv=mixed_kv, experts=fixed * self.experts, expert_miss=self.miss,
        )  # fmt: skip
        if self.one_law:
            law = replace(law, mixed_fixed=None, mixed_kv=None)
        return Replica(law, self.run.token_budget, self.run.max_sequences, blocks, **self.rules)

    def residuals(self, constants: F64, blocks: int) -> F64:
        """Return relative errors of the requests that are fitted on, in units of SCALE."""
        replica = self.replica(constants, blocks)
        if not all(map(replica.holds, self.run.prompt.tolist(), self.run.output.tolist())):
            return np.full(3 * self.requests, 1e3)
        return np.ravel(ratios(self.run, predict(self.run, replica))[:, : self.requests]) / SCALE

    def cost(self, constants: F64, blocks: int) -> float:
        """Sum of what requests count."""
        return float((np.sqrt(1 + self.residuals(constants, blocks) ** 2) - 1).sum())

    def constants(self, start: F64, blocks: int) -> F64:
        """Find the constants by least squares, blocks given."""

        def wrong(logs: F64) -> F64:
            return np.concatenate([self.residuals(np.exp(logs), blocks), (logs - np.log(self.start)) / PRIOR])

        found = least_squares(wrong, np.log(start), diff_step=3e-4, loss="soft_l1", x_scale=0.1)
        best: F64 = np.exp(found.x)
        return best

    def best_blocks(self, constants: F64, ladder: list[int]) -> int:
        """Choose the blocks with the least cost; of several, the most, as then they do not matter."""
        costs = {blocks: self.cost(constants, blocks) for blocks in ladder}
        return max(ladder, key=lambda blocks: (-costs[blocks], blocks))

    def starts(self) -> list[F64]:
        """Where searches start: the data sheet, and around it, as what requests tell apart has several valleys."""
        rng = np.random.default_rng(0)
        return [self.start * np.exp(rng.normal(0.0, SPREAD * (i > 0), len(self.start))) for i in range(STARTS)]

    def best_constants(self, starts: list[F64], blocks: int) -> F64:
        """Search from each start; the least cost wins."""
        return min((self.constants(start, blocks) for start in starts), key=lambda found: self.cost(found, blocks))

    def run_fit(self) -> Replica:
        """Fit constants and blocks in turn, ever finer."""
        ladder = [*np.geomspace(0.6 * self.blocks, 2 * self.blocks, 61).astype(int).tolist(), ENDLESS]
        trials = []
        for blocks in (self.blocks, ENDLESS):
            constants = self.best_constants(self.starts()[: STARTS // 2], blocks)
            best = self.best_blocks(constants, ladder)
            constants = self.best_constants([constants, *self.starts()], best)
            trials.append((self.cost(constants, best), best, constants))
        _, best, found = min(trials, key=lambda trial: trial[0])
        for step in (8, 2):
            if best == ENDLESS:
                break
            best = self.best_blocks(found, [best + step * i for i in range(-8, 9)])
            found = self.best_constants([found, *self.starts()], best)
        return self.replica(found, best)


def fit(run: Run, requests: int = 150, one_law: bool = False, **rules: bool) -> Replica:
    """Fit a run's constants on its first requests."""
    return Fit(run, requests, one_law, **rules).run_fit()

"""Real vLLM runs, request by request: read them, fit a deployment's few constants on some requests, predict the others.

What is fitted: six constants of the law of a step, and the blocks of the cache. What is not: the scheduler's rules, and
of a mixture of experts how the experts that a step reads grow with its tokens.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from agentflow.documents import load_chip, load_engine, load_model
from agentflow.engine.batching import Fleet, Replica, Served, StepLaw, StepTable, serve
from agentflow.hardware import cache_blocks, iteration_table
from agentflow.hardware.demand import weight_bytes
from agentflow.plan.layout import F64, I64
from agentflow.schema.deployment import Deployment

CHIPS = {"RTXPRO6000": "rtx-pro-6000", "RTX4090": "rtx-4090", "H100": "h100-sxm"}
MODELS = {"Llama-3.1-8B": "llama-3.1-8b", "Qwen3-32B": "qwen3-32b", "Qwen3-30B-A3B": "qwen3-30b-a3b"}
TENSOR_PARALLEL = {("RTXPRO6000", "Qwen3-32B"): 2}
"""Where the table's column is wrong: it says 1, but the run's own configuration says 2 (LLMServingSim,
bench/examples/RTXPRO6000/Qwen3-32B/config.json), and one such card cannot read 65 GB in 25 ms."""

CONSTANTS = ("fixed", "token", "kv", "pair", "mixed_fixed", "mixed_kv")
SCALE = 0.01
"""Relative error from which on a request counts by its error and no longer by the square."""

PRIOR = 1.0
"""Standard deviation of a constant's logarithm around the data sheet's: counts where the requests say little."""

STARTS, SPREAD = 16, 0.5
"""Searches, and the standard deviation of the logarithms of what they start from."""

ENDLESS = 1 << 40


@dataclass(frozen=True)
class Run:
    """One run; columns by request in the order of arrival, in seconds and tokens."""

    gpu: str
    model: str
    tensor_parallel: int
    replicas: int
    max_sequences: int
    token_budget: int
    arrival: F64
    prompt: I64
    output: I64
    first: F64
    last: F64

    @property
    def name(self) -> str:
        return f"{self.model} on {self.replicas * self.tensor_parallel} x {self.gpu}"


def read_runs(file: Path) -> list[Run]:
    """Read a table with the columns of ``serving/vllm_requests.csv``."""
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    runs = []
    for key in dict.fromkeys((row["gpu"], row["model"]) for row in rows):
        own = sorted((r for r in rows if (r["gpu"], r["model"]) == key), key=lambda r: float(r["arrival_s"]))
        column = {name: np.array([float(r[name]) for r in own]) for name in own[0] if name.endswith(("_s", "_tokens"))}
        runs.append(
            Run(
                *key,
                TENSOR_PARALLEL.get(key, int(own[0]["tp"])),
                int(own[0]["dp"]),
                int(own[0]["max_num_seqs"]),
                int(own[0]["max_num_batched_tokens"]),
                column["arrival_s"],
                column["input_tokens"].astype(np.int64),
                column["output_tokens"].astype(np.int64),
                column["first_token_s"],
                column["last_token_s"],
            )
        )
    return runs


def deployment(run: Run) -> Deployment:
    """Look up what ran in the catalogue."""
    known = next((name for prefix, name in MODELS.items() if run.model.startswith(prefix)), run.model.lower())
    return Deployment(
        name="run",
        chip=load_chip(CHIPS.get(run.gpu, run.gpu.lower())),
        model=load_model(known),
        engine=load_engine("vllm"),
        tensor_parallel=run.tensor_parallel,
    )


def from_data_sheet(run: Run, mixed_kv: float | None = None) -> Replica:
    """Make the replica that chip, model and engine give, without any measurement of the run.

    ``mixed_kv`` stands for the engine's constant of that name, to leave out what was learnt from the run itself.
    """
    d = deployment(run)
    t = iteration_table(d, run.max_sequences, run.token_budget)
    cost = t.mixed_kv if mixed_kv is None else mixed_kv * t.kv
    law = StepTable(t.plain_seconds, t.mixed_seconds, t.sequence, t.kv, cost, t.pair)
    return Replica(law, run.token_budget, run.max_sequences, cache_blocks(d))


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
        t = iteration_table(d, run.max_sequences, run.token_budget)
        half = run.token_budget // 2
        token = (t.mixed_seconds[-1] - t.mixed_seconds[half]) / (run.token_budget - half)
        fixed = max(t.plain_seconds[-1] - run.max_sequences * token, t.plain_seconds[1])
        self.start = np.array([fixed, token, t.kv, t.pair, fixed / 2, t.mixed_kv])
        self.blocks = cache_blocks(d)

    def replica(self, constants: F64, blocks: int) -> Replica:
        """Make a replica of constants."""
        fixed, token, kv, pair, mixed_fixed, mixed_kv = constants.tolist()
        law = StepLaw(
            fixed=fixed * (1 - self.experts), token=token, kv=kv, pair=pair, mixed_fixed=mixed_fixed,
            mixed_kv=mixed_kv, experts=fixed * self.experts, expert_miss=self.miss,
        )  # fmt: skip
        if self.one_law:
            law = replace(law, mixed_fixed=None, mixed_kv=None)
        return Replica(law, self.run.token_budget, self.run.max_sequences, blocks, **self.rules)  # type: ignore[arg-type]

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
        return np.exp(found.x)

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

"""What moves measured times other than chance: the run they belong to, and the length of the prompt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_RUNS = 3
PERMUTATIONS = 199
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class RunVariation:
    """How much whole runs differ.

    Attributes
    ----------
    between, within
        Log-sd of the runs' factors, and of calls within a run.
    factor
        Each request's run factor (a slowdown; 1 = typical), shrunk towards 1; shape (n,).
    runs
        Number of runs.
    """

    between: float
    within: float
    factor: Floats
    runs: int


def between_runs(log_time: Floats, run: NDArray[np.int64], seed: int = 0) -> RunVariation:
    """Estimate the spread of runs' speed factors from calls' log times.

    Parameters
    ----------
    log_time : ndarray, shape (n,)
        Log of each call's time over what is typical for its tokens.
    run : ndarray, shape (n,)
        Index of the run each call belongs to.
    seed : int
        Of the permutation test that must reject "no difference" at 5 % before there is one.

    Returns
    -------
    RunVariation
        `between` is 0 with fewer than three runs, or where the test does not reject.

    Notes
    -----
    One-way random effects by the method of moments, unequal sizes allowed (Searle, Casella & McCulloch,
    *Variance Components*, 1992, section 3.6).
    """
    _, index = np.unique(run, return_inverse=True)
    runs, n = int(index.max(initial=-1)) + 1, len(log_time)
    flat = RunVariation(0.0, float(np.std(log_time)) if n else 0.0, np.ones(n), runs)
    if runs < LEAST_RUNS or n < 2 * runs:
        return flat
    size = np.bincount(index).astype(np.float64)
    centred = log_time - float(np.mean(log_time))
    total = float(np.sum(centred**2))

    def spread_of_means(values: Floats) -> float:
        return float(np.sum(np.bincount(index, values) ** 2 / size))

    observed = spread_of_means(centred)
    rng = np.random.default_rng(seed)
    as_far = sum(spread_of_means(rng.permutation(centred)) >= observed for _ in range(PERMUTATIONS))
    if (as_far + 1) / (PERMUTATIONS + 1) > _SIGNIFICANT:
        return flat
    within = max((total - observed) / (n - runs), 0.0)
    typical = (n - float(np.sum(size**2)) / n) / (runs - 1)
    between = max((observed / (runs - 1) - within) / typical, 0.0)
    if between == 0.0:
        return flat
    means = np.bincount(index, centred) / size
    factor = np.exp(means * between / (between + within / size))
    return RunVariation(math.sqrt(between), math.sqrt(within), factor[index], runs)


@dataclass(frozen=True)
class Prefill:
    """How TTFT grows with the prompt: `rate` tokens/s beyond `input_tokens`; None where it does not show."""

    rate: float | None
    input_tokens: int


def prefill(ttft: Floats, input_tokens: NDArray[np.int64], seed: int = 0) -> Prefill:
    """Estimate the prefill rate where prompts differ enough to tell.

    Parameters
    ----------
    ttft : ndarray, shape (n,)
        Seconds.
    input_tokens : ndarray, shape (n,)
        Counts, -1 where unknown.
    seed : int
        Of the choice of pairs.

    Returns
    -------
    Prefill
        With a rate only if there are 30 requests, the 90th percentile of the prompts is at least twice the
        10th, and Spearman's rank correlation is beyond three standard errors. The rate is one over the
        Theil-Sen slope, the median over pairs of requests.
    """
    known = input_tokens >= 0
    if not known.any():
        return Prefill(None, 0)
    tokens, times = input_tokens[known].astype(np.float64), ttft[known]
    low, middle, high = (float(v) for v in np.quantile(tokens, [0.1, 0.5, 0.9]))
    flat = Prefill(None, round(middle))
    if len(tokens) < 30 or high < 2.0 * max(low, 1.0):
        return flat
    if _rank_correlation(tokens, times) * math.sqrt(len(tokens) - 1) < 3.0:
        return flat
    rng = np.random.default_rng(seed)
    a, b = rng.integers(len(tokens), size=(2, 20_000))
    apart = np.abs(tokens[a] - tokens[b]) >= (high - low) / 4.0
    slope = float(np.median((times[a] - times[b])[apart] / (tokens[a] - tokens[b])[apart]))
    reference = round(low)
    if slope <= 0.0 or np.min(times - np.maximum(tokens - reference, 0.0) * slope) <= 0.0:
        return flat
    return Prefill(1.0 / slope, reference)


def _rank_correlation(x: Floats, y: Floats) -> float:
    ranks = [_ranks(v) for v in (x, y)]
    if min(float(np.ptp(r)) for r in ranks) == 0.0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: Floats) -> Floats:
    _, index, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    return np.asarray((ends - (count - 1) / 2.0)[index], dtype=np.float64)

"""Which family a sample comes from: candidates compared by the likelihood of requests they have not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentflow.analysis.fitting.families import FAMILIES, constant, lognormal
from agentflow.analysis.fitting.laws import log_density
from agentflow.schema import Distribution, LogNormal, Samples

Floats = NDArray[np.float64]

ENOUGH = 30
"""Fewer requests than this support a median and an assumed shape, not a choice of family."""

FOLDS = 10
CONTAMINATION = 0.01  # weight of a wide lognormal behind every candidate: one odd request decides nothing
STALL_SHARE = 0.05  # "rare": at most this share of the requests
STALL_FACTOR = 4.0  # "far": this many times the median, and far beyond the body's own spread
PRIOR_WEIGHT = 10.0  # requests that an assumed spread counts for, where the measured ones are few
TTFT_SPREAD = 0.20
SPEED_SPREAD = 0.085
"""Log-sd within a typical hosted endpoint: from p5 and p95 over the median, 477 endpoints, Artificial
Analysis, August 2025 (TTFT 0.840 and 1.515, output speed 0.826 and 1.104)."""


@dataclass(frozen=True)
class Candidate:
    """A family's score: mean log density of held-out values (nats a request) and its standard error."""

    family: str
    score: float
    error: float


@dataclass(frozen=True)
class Fit:
    """A law and how it was chosen.

    Attributes
    ----------
    law
        The fitted distribution, SI units.
    family
        Name of the chosen family.
    n
        Number of values fitted.
    candidates
        All families, best first; empty where the choice was not made by likelihood.
    note
        What a reader must know of it ("" if nothing).
    """

    law: Distribution
    family: str
    n: int
    candidates: tuple[Candidate, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class StallSplit:
    """Values without their rare far outliers.

    Attributes
    ----------
    body
        The mask of ordinary values.
    probability
        Share of stalls.
    excess
        Law of what a stall adds to the body's median (s); None without stalls.
    """

    body: NDArray[np.bool_]
    probability: float
    excess: Distribution | None


def split_stalls(x: Floats) -> StallSplit:
    """Tell rare stalls from an ordinary right tail.

    A value is a stall if it is at least four times the median, lies farther out than six of the body's own
    upper log-spreads, and such values are at most 5 % of all (one is always rare).

    Parameters
    ----------
    x : ndarray, shape (n,)
        Durations in seconds, positive.

    Returns
    -------
    StallSplit
    """
    median = float(np.median(x))
    spread = max(math.log(float(np.quantile(x, 0.84)) / median), 0.05)
    far = x > median * max(STALL_FACTOR, math.exp(min(6.0 * spread, 50.0)))
    count = int(far.sum())
    if count == 0 or count > max(1.0, STALL_SHARE * len(x)) or len(x) < 10:
        return StallSplit(np.ones(len(x), dtype=np.bool_), 0.0, None)
    excess = x[far] - float(np.median(x[~far]))
    law: Distribution = constant(excess)
    if count > 1:  # a few are too few for a family: they stand for themselves
        law = lognormal(excess) if count > 20 else Samples(values=tuple(np.sort(excess).tolist()))
    return StallSplit(~far, count / len(x), law)


def fit(x: Floats, *, spread: float, families: Sequence[str] | None = None) -> Fit:
    """Fit the family with the highest held-out likelihood.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Positive values: durations (s) or rates (tokens/s).
    spread : float
        Log-sd to assume where the values are too few to tell (`TTFT_SPREAD`, `SPEED_SPREAD`).
    families : sequence of str, optional
        Names in `FAMILIES` to choose from; all by default.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        If there is no value, or one is not positive and finite.

    Notes
    -----
    Ten folds, the same for every family. Each candidate is scored as 99 % of itself and 1 % of a wide
    lognormal, so that a value outside its support costs much but not everything. Families within half a
    standard error of the best (paired differences) count as equal; the one with the fewest parameters wins.
    """
    if len(x) == 0 or not bool(np.all(np.isfinite(x) & (x > 0.0))):
        raise ValueError("values to fit must be positive and finite, and at least one")
    if float(np.ptp(x)) <= 1e-9 * float(np.median(x)) and len(x) >= ENOUGH:
        return Fit(constant(x), "constant", len(x))
    if len(x) < ENOUGH:
        return _fit_few(x, spread)
    names = tuple(FAMILIES if families is None else families)
    scores = {name: held_out(x, name) for name in names}
    best = max(names, key=lambda name: float(np.mean(scores[name])))
    chosen = min(
        (name for name in names if _as_good(scores[best], scores[name])),
        key=lambda name: (FAMILIES[name][1], -float(np.mean(scores[name]))),
    )
    ranked = sorted(names, key=lambda name: -float(np.mean(scores[name])))
    candidates = tuple(
        Candidate(n, float(np.mean(scores[n])), float(np.std(scores[n]) / math.sqrt(len(x)))) for n in ranked
    )
    return Fit(FAMILIES[chosen][0](x), chosen, len(x), candidates)


def held_out(x: Floats, family: str, folds: int = FOLDS) -> Floats:
    """Log density of each value under the family fitted without its fold, shape (n,)."""
    fitter = FAMILIES[family][0]
    fold = np.random.default_rng(len(x)).permutation(len(x)) % folds
    out = np.empty(len(x))
    for k in range(folds):
        seen, unseen = x[fold != k], x[fold == k]
        if len(unseen) == 0:
            continue
        wide = LogNormal(mu=math.log(float(np.median(seen))), sigma=1.5)
        inside = math.log1p(-CONTAMINATION) + log_density(fitter(seen), unseen)
        out[fold == k] = np.logaddexp(inside, math.log(CONTAMINATION) + log_density(wide, unseen))
    return out


def _as_good(best: Floats, other: Floats) -> bool:
    gap = best - other
    return bool(np.mean(gap) <= 0.5 * np.std(gap) / math.sqrt(len(gap)))


def _fit_few(x: Floats, spread: float) -> Fit:
    # The sample's own variance counts for n - 1, the assumed one for ten: with 3 requests the spread is
    # mostly assumed, with 29 mostly measured.
    n, logs = len(x), np.log(x)
    own = float(np.var(logs, ddof=1)) if n > 1 else 0.0
    sigma = math.sqrt(((n - 1) * own + PRIOR_WEIGHT * spread**2) / (n - 1 + PRIOR_WEIGHT))
    law = LogNormal(mu=float(np.median(logs)), sigma=sigma)
    share = PRIOR_WEIGHT / (n - 1 + PRIOR_WEIGHT)
    return Fit(law, "lognormal (few requests)", n, note=f"{n} requests: {share:.0%} of the spread is assumed")

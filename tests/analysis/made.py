"""Results made by hand, from NumPy columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentflow.result import COMPONENTS, HIST_BINS, Result, hist_index


def made(e2e: Any, *, seed: int = 0, step: str = "write", **changes: Any) -> Result:
    """A workflow of one step that decodes all the time; `changes` replace any field."""
    times: NDArray[np.float64] = np.asarray(e2e, dtype=np.float64).copy()
    runs = len(times)
    by_component = np.zeros((1, len(COMPONENTS)))
    by_component[0, COMPONENTS.index("decode")] = times.sum()
    ones = np.ones(runs, dtype=np.int64)
    fields: dict[str, Any] = {
        "workflow": "made",
        "assignment": {step: "somewhere/model"},
        "runs": runs,
        "seed": seed,
        "steps": (step,),
        "step_types": ("chat",),
        "outcome_names": ("answered", "fallback", "failed"),
        "e2e_s": times,
        "ttft_s": times / 2.0,
        "outcome": np.zeros(runs, dtype=np.uint8),
        "input_tokens": 100 * ones,
        "cached_input_tokens": 0 * ones,
        "output_tokens": 50 * ones,
        "reasoning_tokens": 0 * ones,
        "calls": ones.astype(np.int32),
        "attempts": ones.astype(np.int32),
        "cost_usd": 0.001 * np.ones(runs),
        "step_executions": np.array([runs]),
        "step_latency_sum": np.array([times.sum()]),
        "step_latency_hist": np.bincount(hist_index(times), minlength=HIST_BINS)[None, :].astype(np.int64),
        "step_component_s": by_component.copy(),
        "step_tokens": np.array([[100 * runs, 0, 50 * runs, 0]]),
        "step_cost": np.array([0.001 * runs]),
        "step_calls": np.array([runs]),
        "step_attempts": np.array([runs]),
        "step_critical_runs": np.array([runs]),
        "critical_s": by_component.copy(),
        "tail_critical_s": 0.0 * by_component,
        "tail_runs": 0,
        "manifest": {"agentflow": "0", "numpy": "0", "python": "0", "plan_fingerprint": "0"},
    }
    return Result(**fields | changes)


def lognormal(seed: int, runs: int, sigma: float = 0.5) -> NDArray[np.float64]:
    """Lognormal times with median 1 s."""
    return np.exp(sigma * np.random.default_rng(seed).standard_normal(runs))

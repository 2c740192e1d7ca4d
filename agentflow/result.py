"""What the engine hands back: columns with one value a run, totals by step and component, a manifest.

Latencies of steps, of which a run may have thousands, are kept as counts over logarithmic bins, as an HDR
histogram does: the bin is read off the float's own bits (exponent and the top 7 bits of the mantissa), so a
bin is at most 1/128 wide, relative to its lower edge, over eleven decades.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentflow.atomic import write_whole
from agentflow.binned import NOT_KEPT, Binned, NotKept
from agentflow.errors import AgentflowError
from agentflow.loaded import Load, read_load
from agentflow.shown import html_of

if TYPE_CHECKING:
    import pandas as pd

COMPONENTS = (
    "client", "network", "queue", "prefill", "reasoning", "decode", "backoff", "tool", "human", "wait",
)  # fmt: skip
"""The components that every second on the critical path is attributed to, in the order of all columns."""

TOKEN_KINDS = ("input", "cached_input", "output", "reasoning")
"""The columns of `Result.step_tokens`."""

HIST_SHIFT = 45
"""Bits of a float64 that a bin leaves out: 52 of the mantissa less the 7 that count."""

HIST_LOW_EXPONENT = -14
"""The first bin starts at 2**-14 s, 61 microseconds; what is shorter falls into it too."""

HIST_HIGH_EXPONENT = 24
"""The last bin ends at 2**24 s, 194 days; what is longer falls into it too."""

HIST_OFFSET = (1023 + HIST_LOW_EXPONENT) << 7
"""The bits of 2**HIST_LOW_EXPONENT, shifted."""

HIST_BINS = (HIST_HIGH_EXPONENT - HIST_LOW_EXPONENT) << 7
"""Number of bins: 128 for each doubling."""

FORMAT = 1
"""Version of the file that `Result.save` writes."""

_PER_RUN = {
    "e2e_s": "<f8", "ttft_s": "<f8", "outcome": "|u1", "input_tokens": "<i8", "cached_input_tokens": "<i8",
    "output_tokens": "<i8", "reasoning_tokens": "<i8", "calls": "<i4", "attempts": "<i4", "cost_usd": "<f8",
    "energy_j": "<f8",
}  # fmt: skip
_PER_STEP = {
    "step_executions": "<i8", "step_latency_sum": "<f8", "step_latency_hist": "<i8", "step_component_s": "<f8",
    "step_tokens": "<i8", "step_cost": "<f8", "step_calls": "<i8", "step_attempts": "<i8",
    "step_critical_runs": "<i8", "critical_s": "<f8", "tail_critical_s": "<f8",
}  # fmt: skip
_OPTIONAL = ("cost_usd", "energy_j")
_WIDTHS = {
    "step_latency_hist": HIST_BINS, "step_component_s": len(COMPONENTS), "step_tokens": len(TOKEN_KINDS),
    "critical_s": len(COMPONENTS), "tail_critical_s": len(COMPONENTS),
}  # fmt: skip
_FACTS = (
    "workflow", "assignment", "runs", "seed", "engine", "steps", "step_types", "components", "outcome_names",
    "tail_runs", "manifest",
)  # fmt: skip
_UNREADABLE = (
    OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, MemoryError, OverflowError,
    RecursionError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def hist_index(seconds: ArrayLike) -> NDArray[np.int64]:
    """Return the bins of durations: `(float64 bits >> 45) - HIST_OFFSET`, cut to [0, HIST_BINS).

    Parameters
    ----------
    seconds
        Durations >= 0, in seconds, of any shape.
    """
    bits = np.asarray(seconds, dtype=np.float64).view(np.int64)
    clipped: NDArray[np.int64] = np.clip((bits >> HIST_SHIFT) - HIST_OFFSET, 0, HIST_BINS - 1)
    return clipped


def hist_edges() -> NDArray[np.float64]:
    """Return the HIST_BINS + 1 edges of the bins, in seconds; the first is 0, for what falls short of it."""
    bits = (np.arange(HIST_BINS + 1, dtype=np.int64) + HIST_OFFSET) << HIST_SHIFT
    edges = bits.view(np.float64)
    edges[0] = 0.0
    return edges


def hist_value(index: ArrayLike) -> NDArray[np.float64]:
    """Return the middles of bins, in seconds."""
    edges = hist_edges()
    position = np.asarray(index, dtype=np.int64)
    return (edges[position] + edges[position + 1]) / 2.0


def hist_quantile(counts: NDArray[np.int64], p: float) -> float:
    """Return the quantile `p` in [0, 1] of what a histogram counted, in seconds.

    Within its bin the values are taken as evenly spread, so the error is below 1/128 of the quantile.
    0 where nothing was counted.
    """
    cumulative = np.cumsum(counts)
    total = int(cumulative[-1])
    if total == 0:
        return 0.0
    target = p * total
    index = int(np.searchsorted(cumulative, max(target, 1e-9), side="left"))
    edges = hist_edges()
    before = int(cumulative[index] - counts[index])
    share = (target - before) / int(counts[index])
    return float(edges[index] + (edges[index + 1] - edges[index]) * share)


@dataclass(frozen=True, eq=False)
class Result:
    """The runs of one scenario.

    N runs, S steps, C components (`COMPONENTS`), B bins (`HIST_BINS`). Seconds, tokens, US dollars and joules.
    All arrays are read-only. `cost_usd` and `energy_j` are None where a backend that was used has no price, or no
    power. Under load, where runs are many and their columns were not asked for, `binned` has the columns' bins, and
    whoever looks into a column itself gets an AgentflowError that says how to have it.

    Attributes
    ----------
    workflow, assignment, runs, seed, engine
        The scenario; `assignment` maps a step's path to the name of the backend that answers it.
    steps, step_types, components, outcome_names
        The names of the rows and columns; `outcome` holds indices into `outcome_names`.
    e2e_s, ttft_s, outcome, calls, attempts, cost_usd, energy_j
        One value a run, shape (N,).
    input_tokens, cached_input_tokens, output_tokens, reasoning_tokens
        One value a run, shape (N,).
    step_executions, step_latency_sum, step_cost, step_calls, step_attempts
        Totals over all visits of a step in all runs, shape (S,).
    step_latency_hist, step_component_s, step_tokens
        The same, by bin (S, B), component (S, C) and kind of tokens (S, 4).
    step_critical_runs
        Runs in which the step was on the critical path, shape (S,).
    critical_s
        Seconds on the critical path, summed over the runs, shape (S, C); its sum is that of `e2e_s`.
    tail_critical_s, tail_runs
        The same over the `tail_runs` runs at or above the p95 of E2E; 0 runs where they are too few.
    manifest
        Versions and the plan's fingerprint.
    load
        Under load: the replications, whose runs follow one another in all columns, and the resources. Else None.
    binned
        The bins of the columns where runs were not kept, else None.
    """

    workflow: str
    assignment: dict[str, str]
    runs: int
    seed: int
    steps: tuple[str, ...]
    step_types: tuple[str, ...]
    outcome_names: tuple[str, ...]
    e2e_s: NDArray[np.float64]
    ttft_s: NDArray[np.float64]
    outcome: NDArray[np.uint8]
    input_tokens: NDArray[np.int64]
    cached_input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    reasoning_tokens: NDArray[np.int64]
    calls: NDArray[np.int32]
    attempts: NDArray[np.int32]
    cost_usd: NDArray[np.float64] | None
    step_executions: NDArray[np.int64]
    step_latency_sum: NDArray[np.float64]
    step_latency_hist: NDArray[np.int64]
    step_component_s: NDArray[np.float64]
    step_tokens: NDArray[np.int64]
    step_cost: NDArray[np.float64]
    step_calls: NDArray[np.int64]
    step_attempts: NDArray[np.int64]
    step_critical_runs: NDArray[np.int64]
    critical_s: NDArray[np.float64]
    tail_critical_s: NDArray[np.float64]
    tail_runs: int
    engine: str = "montecarlo"
    components: tuple[str, ...] = COMPONENTS
    manifest: dict[str, str] = field(default_factory=dict)
    energy_j: NDArray[np.float64] | None = None
    load: Load | None = None
    binned: Binned | None = None

    def __post_init__(self) -> None:
        if self.runs < 1:
            raise ValueError("a result holds at least one run")
        for name, dtype in {**_PER_RUN, **_PER_STEP}.items():
            column = getattr(self, name)
            if (column is None and name in _OPTIONAL) or isinstance(column, NotKept):
                continue
            if column.shape != self._shape(name) or column.dtype != np.dtype(dtype):
                raise ValueError(f"{name}: {column.dtype}{column.shape} is not {dtype}{self._shape(name)}")
            column.setflags(write=False)

    def _shape(self, name: str) -> tuple[int, ...]:
        """Return the shape that a column has to have."""
        if name in _PER_RUN:
            return (self.runs,)
        return (len(self.steps), _WIDTHS[name]) if name in _WIDTHS else (len(self.steps),)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result to one file, whole or not at all (a temporary file beside it, then a rename).

        Raises
        ------
        AgentflowError
            If the file cannot be written, or the runs were not kept.
        """
        target = Path(path)
        if self.binned is not None:
            len(self.e2e_s)  # says so
        write_whole(target, self._write, sync=True)

    def _write(self, file: BinaryIO) -> None:
        """Write the columns and, as JSON text, the facts."""
        facts = {name: getattr(self, name) for name in _FACTS}
        if self.load is not None:
            facts["load"] = self.load.facts()
        text = json.dumps({"agentflow_result": FORMAT, **facts}, sort_keys=True)
        columns = {name: getattr(self, name) for name in (*_PER_RUN, *_PER_STEP)}
        if self.load is not None:
            columns |= {f"load_{name}": column for name, column in self.load.columns().items()}
        columns["facts"] = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
        np.savez(file, **{name: column for name, column in columns.items() if column is not None})

    def to_pandas(self) -> pd.DataFrame:
        """Return the per-run columns as a pandas DataFrame, one row a run (needs the extra `pandas`)."""
        try:
            import pandas as pd
        except ImportError as error:
            raise AgentflowError("to_pandas() needs pandas: pip install 'agentflow-sim[pandas]'") from error
        columns: dict[str, Any] = {name: getattr(self, name) for name in _PER_RUN}
        columns["outcome"] = pd.Categorical.from_codes(self.outcome.tolist(), pd.Index(list(self.outcome_names)))
        present = {name: column for name, column in columns.items() if column is not None}
        return pd.DataFrame(present, index=pd.RangeIndex(self.runs, name="run"))

    def __repr__(self) -> str:
        return f"<Result of {self.workflow!r}: {self.runs:,} runs, seed {self.seed}, {len(self.steps)} steps>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the figures with their intervals, and how the latency stacks."""
        return html_of(self)


def load_result(path: str | os.PathLike[str]) -> Result:
    """Read a result that `Result.save` wrote.

    Raises
    ------
    AgentflowError
        If the file is missing, is damaged, or is not such a file.
    """
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            return _read(file)
    except FileNotFoundError as error:
        raise AgentflowError(f"{path}: no such file") from error
    except _UNREADABLE as error:
        raise AgentflowError(f"{path}: not a result that agentflow saved, or damaged ({error})") from error


def _read(file: Any) -> Result:
    """Build the result from an open .npz file."""
    facts = json.loads(bytes(file["facts"]).decode("utf-8"))
    if facts.pop("agentflow_result") != FORMAT:
        raise ValueError("written by another version of agentflow")
    loaded = facts.pop("load", None)
    if set(facts) != set(_FACTS):
        raise ValueError("its facts are not those of a result")
    facts |= {name: tuple(value) for name, value in facts.items() if isinstance(value, list)}
    names = {item.name for item in fields(Result)} - set(_FACTS) - {"load", "binned"}
    columns = {name: file[name] for name in names if name in file.files}
    result = Result(**facts, **{"cost_usd": None, **columns}, load=_read_load(file, loaded))
    if int(result.outcome.max()) >= len(result.outcome_names):
        raise ValueError("an outcome without a name")
    return result


def _read_load(file: Any, facts: dict[str, Any] | None) -> Load | None:
    """Build what a result under load has besides."""
    if facts is None:
        return None
    return read_load(facts, {name[5:]: file[name] for name in file.files if name.startswith("load_")})


def binned_columns(binned: Binned) -> dict[str, Any]:
    """Return what stands for the per-run columns of a result whose runs are in bins."""
    known = {*_PER_RUN} - {*_OPTIONAL} | {*binned.columns}
    return {name: NOT_KEPT if name in known else None for name in _PER_RUN}

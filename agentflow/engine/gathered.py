"""What is kept of the runs of a simulation under load: every run's row, or bins whose size the runs do not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

import numpy as np

from agentflow.binned import Binned, Bins, Filling, added
from agentflow.engine import events_state as E
from agentflow.engine.arrivals import Arrivals
from agentflow.engine.events import ROWS as BUFFERED
from agentflow.engine.events import Timeline
from agentflow.engine.montecarlo import TAIL
from agentflow.engine.state import ROWS, Output, new_output
from agentflow.plan import Plan
from agentflow.plan import layout as L
from agentflow.plan.layout import F64, I64
from agentflow.result import HIST_BINS, hist_index

KEPT_RUNS = 100_000
"""Runs whose columns are kept unless one says otherwise: some 30 MB."""

GROUPS = 100
"""Groups of replications at most, of each of which bins are kept."""

BUFFER = 8192
"""Runs that are put into bins at once."""

TIMES = ("e2e_s", "ttft_s")
LOST = (L.RUN_FAILED, L.DEADLINE_EXCEEDED, L.RUN_BUDGET)
"""Outcomes without an answer."""

Arrays = dict[str, Any]
Tail = tuple[F64, int]


@dataclass(frozen=True)
class Shape:
    """How a simulation under load is cut up: replications of so many runs, each after a warm-up of so many."""

    replications: int
    warmup: int
    runs: int

    @property
    def total(self) -> int:
        """Runs in all."""
        return self.replications * self.runs

    @property
    def paths(self) -> int:
        """Paths of slow runs to keep of each replication: those of its slowest fifth, all the slowest in most cases."""
        return 1 + min(ceil((1.0 - TAIL) * self.total), ceil(0.2 * self.runs))

    def group(self, number: int) -> int:
        """Return the group of a replication: its own, unless there are more than `GROUPS`."""
        each = ceil(self.replications / GROUPS)
        return min(number // each, self.replications // each - 1)

    @property
    def groups(self) -> int:
        """How many groups of replications there are."""
        return self.group(self.replications - 1) + 1


class Gathered(Protocol):
    """What is kept of one replication's runs."""

    def add(self, rows: E.Rows, n: int, paths: int) -> int:
        """Take the first n rows of a buffer, and its first paths; return how many paths are to stay."""

    def arrays(self) -> Arrays:
        """Return all of it as arrays by name, after the last run."""


def gather(
    plan: Plan, arrivals: Arrivals, shape: Shape, seed: int, number: int, columns: bool
) -> tuple[Timeline, Gathered]:
    """Begin a replication, and to keep what is wanted of it."""
    if not columns:
        return Timeline(plan, arrivals, seed, number), Tally(plan)
    timeline = Timeline(plan, arrivals, seed, number, shape.runs, shape.paths + shape.paths // 2 + BUFFERED)
    return timeline, Columns(shape, timeline)


class Columns:
    """Every run of a replication, by its number, and the paths of the slowest, where the kernel has written them."""

    def __init__(self, shape: Shape, timeline: Timeline) -> None:
        self.most = shape.paths
        self.timeline = timeline
        self.paths = 0

    def add(self, rows: E.Rows, n: int, paths: int) -> int:
        """Let the paths of the slowest stay, where there is no more room."""
        self.paths = paths
        if paths == len(rows.slow):  # full
            rows.order[:] = np.argpartition(-rows.slow, self.most - 1)
            self.timeline.pass_over(float(rows.slow[rows.order[: self.most]].min()))
            self.paths = self.most
        return self.paths

    def arrays(self) -> Arrays:
        """Return rows, moments and paths."""
        rows = self.timeline.rows
        slow = rows.order[: self.paths]
        if self.paths > self.most:
            times = rows.slow[slow]
            slow = slow[times >= np.partition(times, -self.most)[-self.most]]
        span = np.array([rows.moments[:, 0].min(initial=np.inf), rows.moments[:, 1].max(initial=-np.inf)])
        columns = {name: getattr(rows, name) for name in (*ROWS, "moments")}
        slowest = {"slow_times": rows.slow[slow], "slow_paths": _paths(rows)[slow]}
        return columns | slowest | {"span": span}


def _paths(rows: E.Rows) -> F64:
    """Return the critical paths, one a row."""
    return rows.path.reshape(len(rows.slow), -1)


class Tally:
    """Bins of every column of a replication, and its critical seconds by bin of E2E."""

    def __init__(self, plan: Plan) -> None:
        self.columns = {name: Filling() for name in _names(plan)}
        self.lost = {name: Filling() for name in TIMES}
        self.outcomes = np.zeros(len(plan.outcome_names), np.int64)
        self.paths = Paths(len(plan.steps) * L.NCOMP)
        self.buffer: Output = new_output(plan, BUFFER, np.zeros((0, HIST_BINS), np.int64), every=True)
        self.span = np.array([np.inf, -np.inf])
        self.held = 0

    def add(self, rows: E.Rows, n: int, paths: int) -> int:
        """Take the first n rows of a buffer, each of which has its path."""
        self.paths.add(rows.slow[:paths], _paths(rows)[:paths])
        self.span[0] = rows.moments[:n, 0].min(initial=self.span[0])
        self.span[1] = rows.moments[:n, 1].max(initial=self.span[1])
        if self.held + n > BUFFER:
            self._flush()
        for name in ROWS:
            getattr(self.buffer, name)[self.held : self.held + n] = getattr(rows, name)[:n]
        self.held += n
        return 0

    def _flush(self) -> None:
        rows, n = self.buffer, self.held
        self.outcomes += np.bincount(rows.outcome[:n], minlength=len(self.outcomes))
        lost = np.isin(rows.outcome[:n], LOST)
        for name, filling in self.columns.items():
            values = _values(rows, name)[:n]
            filling.add(values[~lost] if name in self.lost else values)
            if name in self.lost:
                self.lost[name].add(values[lost])
        self.held = 0

    def arrays(self) -> Arrays:
        """Return bins, outcomes and critical seconds."""
        self._flush()
        found: Arrays = {"outcomes": self.outcomes, "span": self.span} | self.paths.arrays()
        for kind, fillings in (("all", self.columns), ("lost", self.lost)):
            for name, filling in fillings.items():
                found |= _pack(f"{kind}_{name}", filling.bins())
        return found


class Paths:
    """Critical seconds, summed over the runs whose E2E lies in one bin of `result.hist_index`."""

    def __init__(self, width: int) -> None:
        self.place = np.full(HIST_BINS, -1)
        self.runs = np.zeros(HIST_BINS, np.int64)
        self.sums = np.zeros((64, width))
        self.used = 0

    def add(self, times: F64, paths: F64) -> None:
        """Take runs."""
        index = hist_index(times)
        order = np.argsort(index, kind="stable")
        first = np.flatnonzero(np.diff(index[order], prepend=-1))
        if len(first):
            counts = np.diff(first, append=len(order))
            self.join(index[order][first], counts, np.add.reduceat(paths[order], first, axis=0))

    def join(self, at: I64, runs: I64, sums: F64) -> None:
        """Add sums to different bins."""
        new = at[self.place[at] < 0]
        self.place[new] = self.used + np.arange(len(new))
        self.used += len(new)
        if self.used > len(self.sums):
            more = np.zeros((max(self.used, 2 * len(self.sums)) - len(self.sums), self.sums.shape[1]))
            self.sums = np.concatenate([self.sums, more])
        self.runs[at] += runs
        self.sums[self.place[at]] += sums

    def arrays(self) -> Arrays:
        """Return the bins in use, their runs, and their sums."""
        at = np.flatnonzero(self.place >= 0)
        return {"path_bins": at, "path_runs": self.runs[at], "path_sums": self.sums[self.place[at]]}

    def slowest(self, runs: int) -> F64:
        """Return the critical seconds of the slowest runs; of the bin that is split, a share."""
        total, left = np.zeros(self.sums.shape[1]), runs
        for at in np.flatnonzero(self.place >= 0)[::-1]:
            taken = min(left, int(self.runs[at]))
            total += self.sums[self.place[at]] * (taken / int(self.runs[at]))
            left -= taken
            if left == 0:
                break
        return total


class Everything:
    """The rows of all replications, one after the other."""

    def __init__(self, plan: Plan, shape: Shape) -> None:
        self.plan, self.shape = plan, shape
        self.rows = new_output(plan, shape.total)
        self.moments = np.empty((shape.total, 2))
        self.slow: list[tuple[F64, F64]] = []

    def add(self, number: int, arrays: Mapping[str, Any]) -> None:
        """Take a replication's runs."""
        self.slow.append((arrays["slow_times"], arrays["slow_paths"]))
        used = [name for name in ROWS if len(getattr(self.rows, name)) == self.shape.total]
        if self.shape.replications == 1:
            self.rows = self.rows._replace(**{name: arrays[name] for name in used})
            self.moments = arrays["moments"]
            return
        rows = slice(number * self.shape.runs, (number + 1) * self.shape.runs)
        for name in used:
            getattr(self.rows, name)[rows] = arrays[name]
        self.moments[rows] = arrays["moments"]

    def tail(self) -> Tail:
        """Critical seconds of the slow tail, from the paths that were kept, and its runs."""
        e2e = self.rows.times[:, 0]
        if len(e2e) < 20:
            return np.zeros((len(self.plan.steps), L.NCOMP)), 0
        rank = ceil(TAIL * len(e2e))
        limit = np.partition(e2e, rank - 1)[rank - 1]
        critical, n = np.zeros(len(self.plan.steps) * L.NCOMP), 0
        for times, paths in self.slow:
            slow = times >= limit
            critical += paths[slow].sum(axis=0)
            n += int(np.count_nonzero(slow))
        return critical.reshape(-1, L.NCOMP), n


class Groups:
    """The bins of all replications, by group."""

    def __init__(self, plan: Plan, shape: Shape) -> None:
        self.plan, self.shape = plan, shape
        self.outcomes = np.zeros((shape.groups, len(plan.outcome_names)), np.int64)
        self.columns: dict[str, list[Bins]] = {name: [] for name in _names(plan)}
        self.lost: dict[str, list[Bins]] = {name: [] for name in TIMES}
        self.paths = Paths(len(plan.steps) * L.NCOMP)

    def add(self, number: int, arrays: Mapping[str, Any]) -> None:
        """Take a replication's bins."""
        group = self.shape.group(number)
        self.outcomes[group] += arrays["outcomes"]
        for kind, columns in (("all", self.columns), ("lost", self.lost)):
            for name, groups in columns.items():
                bins = _unpack(f"{kind}_{name}", arrays)
                if group < len(groups):
                    groups[group] = added([groups[group], bins])
                else:
                    groups.append(bins)
        self.paths.join(arrays["path_bins"], arrays["path_runs"], arrays["path_sums"])

    def tail(self) -> Tail:
        """Critical seconds of the slow tail, and its runs."""
        runs = self.shape.total
        if runs < 20:
            return np.zeros((len(self.plan.steps), L.NCOMP)), 0
        slow = runs - ceil(TAIL * runs) + 1
        return self.paths.slowest(slow).reshape(-1, L.NCOMP), slow

    def binned(self) -> Binned:
        """Return the columns."""
        columns, lost = ({name: tuple(bins) for name, bins in part.items()} for part in (self.columns, self.lost))
        numbers = [self.shape.group(number) for number in range(self.shape.replications)]
        return Binned(columns, lost, self.outcomes, np.bincount(numbers))


_TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")
_COUNTS = ("calls", "attempts")


def _names(plan: Plan) -> tuple[str, ...]:
    """Name the columns of a plan's runs."""
    known = (*("cost_usd",) * plan.priced, *("energy_j",) * plan.powered)
    return (*TIMES, *_TOKENS, *_COUNTS, *known)


def _values(rows: Output, name: str) -> Any:
    """Return a column of an output."""
    if name in TIMES:
        return rows.times[:, TIMES.index(name)]
    if name in _TOKENS:
        return rows.tokens[:, _TOKENS.index(name)]
    if name in _COUNTS:
        return rows.counts[:, _COUNTS.index(name)]
    return rows.cost if name == "cost_usd" else rows.energy


def _pack(name: str, bins: Bins) -> Arrays:
    whole = np.stack([bins.at, bins.counts])
    return {
        f"{name}_bins": whole,
        f"{name}_ends": np.stack([bins.least, bins.greatest]),
        f"{name}_moments": np.array([bins.mean, bins.squares]),
    }


def _unpack(name: str, arrays: Mapping[str, Any]) -> Bins:
    (at, counts), (least, greatest) = arrays[f"{name}_bins"], arrays[f"{name}_ends"]
    mean, squares = arrays[f"{name}_moments"].tolist()
    return Bins(at, counts, least, greatest, mean, squares)

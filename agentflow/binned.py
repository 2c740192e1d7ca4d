"""Columns in bins: what stays of a column with a value a run where runs are too many to keep each.

A bin is read off the float's own bits (exponent and the top 9 bits of the mantissa), so it is at most 1/512 wide,
relative to its lower edge. It knows how many values fell into it, the least and the greatest; between these they are
taken as evenly spread. An order statistic is then off by less than a bin, and exact where a bin holds one or two values
or equal ones. Bins of two columns add up to those of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentflow.errors import AgentflowError

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

BITS = 9
_SHIFT = 52 - BITS
_OFFSET = (1023 - 30) << BITS  # the first bin starts at 2**-30; what is less falls into it too
_BINS = 80 << BITS


def bin_index(values: ArrayLike) -> I64:
    """Return the bins of values >= 0."""
    bits = np.asarray(values, np.float64).view(np.int64)
    clipped: I64 = np.clip((bits >> _SHIFT) - _OFFSET, 0, _BINS - 1)
    return clipped


@dataclass(frozen=True, eq=False)
class Bins:
    """Values in U bins, none of which is empty.

    Attributes
    ----------
    at, counts, least, greatest
        Each bin's place, how many values it holds, the least and the greatest of them, shape (U,).
    mean, squares
        The mean of all values and the sum of their squared deviations from it; both of the values themselves.
    """

    at: I64
    counts: I64
    least: F64
    greatest: F64
    mean: float = 0.0
    squares: float = 0.0

    @cached_property
    def _below(self) -> I64:
        """Values in each bin and those before it."""
        below: I64 = np.cumsum(self.counts)
        return below

    def __len__(self) -> int:
        return int(self._below[-1]) if len(self.at) else 0

    def __getitem__(self, rank: int) -> float:
        """Return the order statistic of a rank, 0 for the least."""
        i = int(np.searchsorted(self._below, rank, side="right"))
        count, low, high = int(self.counts[i]), float(self.least[i]), float(self.greatest[i])
        before = int(self._below[i]) - count
        return low if count == 1 else low + (high - low) * (rank - before) / (count - 1)

    def quantile(self, p: float) -> float:
        """Return a quantile, interpolated between order statistics as `numpy.quantile` does."""
        position = (len(self) - 1) * p
        lower = math.floor(position)
        left, right = self[lower], self[min(lower + 1, len(self) - 1)]
        return left + (right - left) * (position - lower)

    def at_most(self, limit: float) -> float:
        """Return how many values are at most a limit; of the bin that it splits, a share."""
        whole = self.greatest <= limit
        found = float(self.counts[whole].sum())
        for i in np.flatnonzero(~whole & (self.least <= limit)):
            share = (limit - self.least[i]) / (self.greatest[i] - self.least[i])
            found += 1.0 + math.floor(share * (float(self.counts[i]) - 1.0))
        return found

    def clipped(self, low: float, high: float) -> Bins:
        """Return the bins of the values, those below `low` or above `high` moved there."""
        least, greatest = np.clip(self.least, low, high), np.clip(self.greatest, low, high)
        middle = (least + greatest) / 2.0
        mean = float(np.average(middle, weights=self.counts)) if len(self.at) else 0.0
        squares = float(np.sum(self.counts * (middle - mean) ** 2))
        return added([Bins(bin_index(least), self.counts, least, greatest, mean, squares)])


def added(parts: Sequence[Bins]) -> Bins:
    """Return the bins of all parts' values together."""
    at = np.concatenate([part.at for part in parts])
    order = np.argsort(at, kind="stable")
    first = np.flatnonzero(np.diff(at[order], prepend=-1))
    n, mean, squares = 0, 0.0, 0.0
    for part in parts:
        n, mean, squares = _joined(n, mean, squares, len(part), part.mean, part.squares)

    def gathered(how: np.ufunc, name: str) -> Any:
        values = np.concatenate([getattr(part, name) for part in parts])[order]
        return how.reduceat(values, first) if len(first) else values

    return Bins(
        at[order][first],
        gathered(np.add, "counts"),
        gathered(np.minimum, "least"),
        gathered(np.maximum, "greatest"),
        mean,
        squares,
    )


def _joined(n: int, mean: float, squares: float, m: int, other: float, more: float) -> tuple[int, float, float]:
    """Join two samples' number, mean and squared deviations (Chan, Golub and LeVeque 1983)."""
    if m == 0:
        return n, mean, squares
    apart = other - mean
    return n + m, mean + apart * m / (n + m), squares + more + apart * apart * n * m / (n + m)


class Filling:
    """Bins that values are put into; its memory does not depend on how many."""

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, np.int64)
        self.least, self.greatest = np.empty(_BINS), np.empty(_BINS)
        self.n, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Put in values >= 0."""
        if not len(values):
            return
        ordered = np.sort(values.astype(np.float64))
        index = bin_index(ordered)
        first = np.flatnonzero(np.diff(index, prepend=-1))
        last = np.append(first[1:], len(ordered)) - 1
        at, low, high = index[first], ordered[first], ordered[last]
        empty = self.counts[at] == 0
        self.least[at] = np.where(empty, low, np.minimum(self.least[at], low))
        self.greatest[at] = np.where(empty, high, np.maximum(self.greatest[at], high))
        self.counts[at] += last - first + 1
        mean = float(ordered.mean())
        more = float(np.sum((ordered - mean) ** 2))
        self.n, self.mean, self.squares = _joined(self.n, self.mean, self.squares, len(ordered), mean, more)

    def bins(self) -> Bins:
        """Return what was put in."""
        used = np.flatnonzero(self.counts)
        return Bins(used, self.counts[used], self.least[used], self.greatest[used], self.mean, self.squares)


@dataclass(frozen=True, eq=False)
class Binned:
    """The columns of a result whose runs were not kept, by group of replications; G groups, O outcomes.

    Attributes
    ----------
    columns
        By name of a per-run column of `Result`, the bins of each group.
    lost
        By name of a time, those of the runs without an answer; they are not among `columns`.
    outcomes
        Runs by outcome, shape (G, O).
    members
        Replications of each group, which are neighbours, shape (G,).
    """

    columns: Mapping[str, tuple[Bins, ...]]
    lost: Mapping[str, tuple[Bins, ...]]
    outcomes: I64
    members: I64

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self.outcomes)

    def by_group(self, column: str) -> tuple[Bins, ...]:
        """Return a column's bins in each group."""
        if column not in self._whole:
            parts = self.columns[column]
            if column in self.lost:
                parts = tuple(added(pair) for pair in zip(parts, self.lost[column], strict=True))
            self._whole[column] = parts
        return self._whole[column]

    def together(self, column: str) -> Bins:
        """Return a column's bins over all groups."""
        if column not in self._together:
            self._together[column] = added(self.by_group(column))
        return self._together[column]

    def means(self, each: F64) -> F64:
        """Return the means over each group of a figure that each replication has."""
        sums: F64 = np.add.reduceat(each, np.cumsum(self.members) - self.members)
        return sums / self.members

    def meeting(self, column: str, least: float, most: float) -> Binned:
        """Return it with the times of runs without an answer at least `least`, and all times at most `most`."""
        kept = tuple(part.clipped(0.0, most) for part in self.columns[column]) if most < math.inf else None
        lost = tuple(part.clipped(min(least, most), most) for part in self.lost[column])
        columns = dict(self.columns) if kept is None else {**self.columns, column: kept}
        return replace(self, columns=columns, lost={**self.lost, column: lost})

    @cached_property
    def _whole(self) -> dict[str, tuple[Bins, ...]]:
        return {}

    @cached_property
    def _together(self) -> dict[str, Bins]:
        return {}


class NotKept:
    """Stands for a column with a value a run that was not kept; whoever looks into it is told how to have it."""

    def __repr__(self) -> str:
        return "<not kept>"

    def _tell(self, *_: Any, **__: Any) -> NoReturn:
        raise AgentflowError(
            "this result has no value a run: under load so many runs are kept in bins, unless they are asked for with "
            "columns=True, or with --save"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._tell()

    __hash__ = object.__hash__
    __array__ = __len__ = __iter__ = __getitem__ = __lt__ = __le__ = __gt__ = __ge__ = __ne__ = _tell
    __eq__ = _tell
    __add__ = __sub__ = __mul__ = __truediv__ = __radd__ = __rsub__ = __rmul__ = __rtruediv__ = _tell


NOT_KEPT: Any = NotKept()

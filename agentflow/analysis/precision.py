"""Runs until the estimate is as narrow as was asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from agentflow.analysis.metrics import Metrics
from agentflow.estimate import runs_needed
from agentflow.result import Result

MOST_RUNS = 4_000_000
"""Where the search for a precision ends: about 300 MB of columns."""


def relative_half_width(result: Result) -> float:
    """Return the half-width of the interval of the p95 of E2E over the p95; infinity without an interval."""
    estimate = Metrics(result).column("e2e_s", 0.95)
    if estimate.half_width is None:
        return math.inf
    if estimate.half_width == 0.0:
        return 0.0
    return estimate.half_width / estimate.value if estimate.value > 0.0 else math.inf


def run_to_precision(
    run: Callable[[int], Sequence[Result]], runs: int, precision: float, most: int = MOST_RUNS
) -> Sequence[Result]:
    """Run ever larger batches until the p95 of each scenario is known to a relative precision.

    Parameters
    ----------
    run
        Runs all scenarios with a number of runs. A batch holds the runs of the one before as its first ones.
    runs
        Number of runs to begin with.
    precision
        What `relative_half_width` has to fall to, for example 0.02.
    most
        Runs at which to stop all the same; look at `relative_half_width` to learn whether it was met.
    """
    count = min(max(runs, runs_needed(0.95)), max(most, runs))
    while True:
        results = run(count)
        width = max(relative_half_width(result) for result in results)
        if width <= precision or count >= most:
            return results
        count = min(most, _next_count(count, width / precision))


def _next_count(count: int, excess: float) -> int:
    """Return how many runs to try next: the width falls with the root of their number; 10 % to spare."""
    wanted = count * min(max(1.1 * excess**2, 1.5), 64.0)
    digit = 10 ** (math.floor(math.log10(wanted)) - 1)
    return int(math.ceil(wanted / digit) * digit)

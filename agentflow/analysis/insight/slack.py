"""Slack: how much longer a step could take without moving the answer.

The slack of a step in a run is the largest delay that each of its visits could have on top while the run, with the
same draws, routes and iterations, is answered no later (the total float of network planning, Kelley 1961, for a step
that is visited once). It is 0 for a step on the critical path, and has no bound where no delay moves the answer: a log
that is written after the answer, a branch that a quorum does not wait for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentflow.engine.recording import Recording
from agentflow.engine.replay import delayed_e2e
from agentflow.plan import layout as L

CELLS = 2_000_000
"""Moments (nodes x runs x steps) that are looked at together: 16 MB."""

_HALVINGS = 32


def slack_s(recording: Recording, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the slack of steps in each run.

    Parameters
    ----------
    recording
        R runs.
    steps
        Numbers of K steps of the plan; of composites there is none.

    Returns
    -------
    float64[R, K]
        Seconds, to 1e-9 of E2E; infinity where no delay moves the answer, not a number where the step did not run.
    """
    runs, nodes = recording.entered.shape
    found = np.full((runs, len(steps)), np.nan)
    some = max(1, CELLS // max(1, nodes * runs))
    for lo in range(0, len(steps), some):
        part = steps[lo : lo + some]
        found[:, lo : lo + some] = np.where(_ran(recording, part), _bisect(recording, part), np.nan)
    return found


def _ran(recording: Recording, steps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a step was visited in a run, shape (R, K)."""
    rows = recording.plan.tables.node_i
    ran = np.zeros((len(recording.runs), len(steps)), np.bool_)
    for node in np.flatnonzero(rows[:, L.N_KIND] == L.CALL).tolist():
        visited = ~np.isin(recording.status(node), (L.NONE, L.SKIPPED, L.WIPED))
        ran |= visited[:, None] & (steps == rows[node, L.N_STEP])
    return ran


def _bisect(recording: Recording, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Find the largest delays that leave E2E where it was."""
    shape = (len(recording.runs), len(steps))
    limit = recording.e2e_s[:, None] * (1.0 + 1e-12) + 1e-12
    most = np.broadcast_to(2.0 * recording.e2e_s[:, None] + 1e-6, shape)
    low, high = np.zeros(shape), most.copy()
    unbounded = delayed_e2e(recording, steps, most) <= limit
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        harmless = delayed_e2e(recording, steps, middle) <= limit
        low, high = np.where(harmless, middle, low), np.where(harmless, high, middle)
    low[low < most * 1e-9] = 0.0
    return np.where(unbounded, np.inf, low)

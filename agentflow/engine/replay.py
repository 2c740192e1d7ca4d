"""When a recorded run would have been answered, had a step taken longer, with all else as it was.

Routes, iterations, failures and draws stay those of the recorded run; only the moments move, through the same joins,
slots and guardrails as in the kernel. A branch that a join cut short is taken never to come, since how long it would
have gone on is not recorded: what is found is the least by which the answer moves with what is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentflow.engine.recording import Mask, Recording
from agentflow.plan import layout as L
from agentflow.plan.layout import F64, I64

GONE = (L.CANCELLED, L.WIPED)
BROKEN = (L.CAUGHT, L.FAILED, L.ABSORBED)


def delayed_e2e(recording: Recording, steps: NDArray[np.int64], delay_s: F64) -> F64:
    """Return E2E of each run, had every visit of a step taken longer.

    Parameters
    ----------
    recording
        R runs.
    steps
        Which step each column delays, shape (K,).
    delay_s
        By how much, in seconds, shape (R, K).

    Returns
    -------
    float64[R, K]
        Seconds. A run that its deadline cut stays at its deadline.
    """
    return _Replay(recording, steps, delay_s).e2e()


class _Replay:
    """The moments of all visits under these delays, node by node in the plan's order."""

    def __init__(self, recording: Recording, steps: NDArray[np.int64], delay_s: F64) -> None:
        self.recording, self.steps, self.delay = recording, steps, delay_s
        nodes = len(recording.plan.tables.node_i)
        self.end = np.empty((nodes, *delay_s.shape))
        self.begin: dict[int, F64] = {}
        self.slots: dict[int, F64] = {}
        self.taken: dict[int, I64] = {}
        self.rows = np.arange(len(delay_s))
        beside = recording.plan.tables.pred_i[:, 1] <= L.EDGE_BESIDE
        self.beside = set(recording.plan.tables.pred_i[beside, 0].tolist())
        for node in range(nodes):
            self._place(node)

    def _place(self, node: int) -> None:
        """Find when a node's visits end."""
        recording = self.recording
        kind = int(recording.plan.tables.node_i[node, L.N_KIND])
        entered = recording.entered[:, node]
        found = self.end[node]
        found[:] = recording.end[:, node, None]
        if not entered.any():
            return
        moment = {
            L.CALL: self._call,
            L.BEGIN: self._opens,
            L.CHECK: self._resolved,
            L.IBEGIN: self._instance,
            L.IEND: self._instance_end,
            L.END: self._composite_end,
        }[kind](node)
        alive = entered & ~np.isin(recording.status(node), GONE)
        found[alive] = moment[alive]

    def _arrivals(self, node: int) -> list[tuple[F64, Mask]]:
        """Return when each edge into a node is resolved now, and whether it was active."""
        pred, result = self.recording.plan.tables.pred_i, []
        for e in self.recording.edges_into(node):
            source, kind = int(pred[e, 0]), int(pred[e, 1])
            moment = self.begin[source] if kind <= L.EDGE_BESIDE else self.end[source]
            result.append((moment, self.recording.edge(e)[1]))
        return result

    def _resolved(self, node: int) -> F64:
        """Return when the last edge is resolved."""
        arrivals = self._arrivals(node)
        if not arrivals:
            return np.broadcast_to(self.recording.start[:, node, None], self.delay.shape)
        latest = arrivals[0][0]
        for moment, _ in arrivals[1:]:
            latest = np.maximum(latest, moment)
        return latest

    def _opens(self, node: int) -> F64:
        """Return when a node's join fires."""
        k = int(self.recording.plan.tables.node_i[node, L.N_JOIN])
        latest = self._resolved(node)
        if k > 0:
            start = self.recording.start[:, node]
            edges = [self.recording.edge(e) for e in self.recording.edges_into(node)]
            fired = np.sum([ok & (moment <= start) for moment, ok in edges], axis=0) >= k
            active = [np.where(ok[:, None], moment, np.inf) for moment, ok in self._arrivals(node)]
            kth = np.sort(np.stack(active), axis=0)[k - 1]
            latest = np.where(fired[:, None], kth, latest)
        if node in self.beside:
            self.begin[node] = latest
        return latest

    def _call(self, node: int) -> F64:
        """Return when a call ends: its own seconds after its start, and the delay if it is the step's."""
        recording = self.recording
        begin = self._opens(node)
        own = recording.end[:, node] - recording.start[:, node]
        ran = ~np.isin(recording.status(node), (L.SKIPPED, L.NONE))
        ran &= (own > 0.0) | ~np.isin(recording.status(node), BROKEN)  # one that failed at its start made no call
        mine = self.steps == recording.plan.tables.node_i[node, L.N_STEP]
        moved: F64 = begin + np.where(ran, own, 0.0)[:, None] + np.where(ran[:, None] & mine, self.delay, 0.0)
        return moved

    def _instance(self, node: int) -> F64:
        """Return when a map's instance begins: with the map, or when a slot is free."""
        row = self.recording.plan.tables.node_i
        opening = int(row[node, L.N_PREV])
        width = int(row[opening, L.N_SLOTS])
        if width == 0:
            return self.end[opening]
        if opening not in self.slots:
            self.slots[opening] = np.repeat(self.end[opening][None], width, axis=0)
        free = self.slots[opening]
        self.taken[node] = free.argmin(axis=0)
        first: F64 = free.min(axis=0)
        return first

    def _instance_end(self, node: int) -> F64:
        """Return when a map's instance ends, and free its slot."""
        row = self.recording.plan.tables.node_i
        opening, outer = int(row[node, L.N_MATE]), int(row[node, L.N_PREV])
        moment = self._unless_broken(node, self._resolved(node))
        if opening in self.taken:
            free, slot = self.slots[outer], self.taken[opening][None]
            entered = self.recording.entered[:, node, None]
            kept = np.take_along_axis(free, slot, axis=0)
            np.put_along_axis(free, slot, np.where(entered, moment, kept), axis=0)
        return moment

    def _composite_end(self, node: int) -> F64:
        """Return when a composite ends."""
        row = self.recording.plan.tables.node_i[node]
        begin = int(row[L.N_MATE])
        moment = self._map_end(node, begin) if row[L.N_KIND2] == L.MAP else self._body_end(node)
        skipped = self.recording.status(node) == L.SKIPPED
        return np.where(skipped[:, None], self.end[begin], self._unless_broken(node, moment))

    def _body_end(self, node: int) -> F64:
        """Return when the body of a nested workflow or the last iteration of a loop ends."""
        recording = self.recording
        stopped = recording.marks[:, node, L.V_ROUTE] >= 0  # a loop that stopped early ends with a check
        moment = self._resolved(node)
        source = np.maximum(recording.marks[:, node, L.V_CRIT] >> 1, 0)
        return np.where(stopped[:, None], self.end[source, self.rows], moment)

    def _map_end(self, node: int, begin: int) -> F64:
        """Return when enough instances of a map are done."""
        recording = self.recording
        width = recording.marks[:, node, L.V_ROUTE]
        k = int(recording.plan.tables.node_i[node, L.N_JOIN])
        if not self.recording.edges_into(node):
            return self.end[begin]
        done = []
        for number, (moment, ok) in enumerate(self._arrivals(node)):
            done.append(np.where((ok & (number < width))[:, None], moment, np.inf))
        need = np.maximum((width if k == 0 else np.minimum(width, k)) - 1, 0)
        ordered = np.sort(np.stack(done), axis=0)
        moment = np.take_along_axis(ordered, np.broadcast_to(need[None, :, None], (1, *self.delay.shape)), axis=0)[0]
        return np.where((width == 0)[:, None], self.end[begin], moment)

    def _unless_broken(self, node: int, moment: F64) -> F64:
        """Return the moment at which a scope failed where it did, else this one."""
        recording = self.recording
        broken = np.isin(recording.status(node), BROKEN)
        if not broken.any():
            return moment
        source = np.maximum(recording.marks[:, node, L.V_CRIT] >> 1, 0)
        return np.where(broken[:, None], self.end[source, self.rows], moment)

    def e2e(self) -> F64:
        """Return when the runs end."""
        recording = self.recording
        fixed = np.broadcast_to(recording.e2e_s[:, None], self.delay.shape)
        last = self.end[np.maximum(recording.last, 0), self.rows]
        shown = self._answered()
        moment = np.where((recording.answer >= 0)[:, None], shown, last)
        return np.where((recording.outcome == L.DEADLINE_EXCEEDED)[:, None], fixed, moment)

    def _answered(self) -> F64:
        """Return when the answer is there and the guardrails beside it have passed."""
        recording, tables = self.recording, self.recording.plan.tables
        named = int(tables.totals[3])
        shown = self.end[np.maximum(recording.answer, 0), self.rows].copy()
        for node in np.flatnonzero(tables.node_i[:, L.N_FLAGS] & L.TOP).tolist():
            stands = (recording.status(node) == L.DONE) & (recording.state[:, node, L.F_CUT] == np.inf)
            rows = stands & (recording.answer != named)
            shown[rows] = np.maximum(shown[rows], self.end[node][rows])
        for answer in np.unique(recording.answer[recording.answer >= 0]).tolist():
            row = tables.node_i[answer]
            for guard in tables.guards[row[L.N_GUARD_LO] : row[L.N_GUARD_HI]].tolist():
                passed = (recording.status(guard) == L.DONE) & (recording.end[:, guard] <= recording.e2e_s)
                rows = passed & (recording.answer == answer)
                shown[rows] = np.maximum(shown[rows], self.end[guard][rows])
        return shown

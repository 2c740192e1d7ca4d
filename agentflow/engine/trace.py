"""Single runs in full: every visit with its times, tokens and backend, and which of them the answer waited for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentflow.engine.montecarlo import _Lanes, _run_block, compile_kernel, set_hedges
from agentflow.engine.state import Work
from agentflow.plan import Plan
from agentflow.plan import layout as L
from agentflow.plan.encode import hash64
from agentflow.plan.layout import F64
from agentflow.result import COMPONENTS

_STATUS = ("none", "done", "skipped", "caught", "failed", "absorbed", "cancelled", "wiped")
_FAILED = (L.CAUGHT, L.FAILED, L.ABSORBED)


@dataclass(frozen=True)
class Visit:
    """One visit of a step in a run.

    Parameters
    ----------
    step : str
        Its path.
    node : int
        Its place in the plan, the same in every run.
    parent : int
        The node of the composite visit around it, or -1.
    indices : tuple of int
        Loop iterations and map instances around it, outermost first, from 0.
    composite : bool
        Whether it is a loop, a map or a nested workflow.
    status : str
        `done`, `skipped`, `caught`, `failed`, `absorbed` or `cancelled`.
    error : str or None
        What it failed with.
    start_s, end_s : float
        From the run's arrival.
    first_s : float or None
        When the first visible token of the attempt that answered came; None where none answered, and for what is no
        model call.
    backend : str or None
        Where the last attempt went.
    fallback : bool
        Whether a fallback answered.
    tokens : mapping
        `input`, `cached_input`, `output` and `reasoning` of all attempts together.
    cost_usd : float
    calls, attempts : int
        Calls started, and tries of them all.
    components_s : dict
        Seconds by component; they add up to `end_s - start_s`, a composite's are 0.
    critical : bool
        Whether the answer waited for it.
    """

    step: str
    node: int
    parent: int
    indices: tuple[int, ...]
    composite: bool
    status: str
    error: str | None
    start_s: float
    end_s: float
    first_s: float | None
    backend: str | None
    fallback: bool
    tokens: dict[str, int]
    cost_usd: float
    calls: int
    attempts: int
    components_s: dict[str, float]
    critical: bool


@dataclass(frozen=True)
class Trace:
    """One run in full.

    Parameters
    ----------
    run : int
    e2e_s, ttft_s : float
    outcome : str
    visits : list of Visit
        In the order of the plan.
    path : tuple of int
        Nodes of the steps on the critical path, first to last; a composite's own node stands where its time is no
        step's.
    critical_s : float64[S, C]
        Seconds on the critical path by step and component; they add up to `e2e_s`.
    """

    run: int
    e2e_s: float
    ttft_s: float
    outcome: str
    visits: list[Visit]
    path: tuple[int, ...]
    critical_s: F64


def trace_runs(plan: Plan, runs: Sequence[int], seed: int = 0) -> list[Trace]:
    """Simulate single runs and return all their visits.

    Parameters
    ----------
    plan : Plan
    runs : sequence of int
        Numbers of runs, each at least 0; run n is the same as in `run_plan` with this seed.
    seed : int
    """
    compile_kernel(plan)
    plan = set_hedges(plan, seed)
    lanes, around = _Lanes(plan), _surroundings(plan)
    names = {hash64("backend:" + name): name for name in plan.assignment.values()}
    backends = [names.get(int(key)) for key in plan.tables.backend_key]
    traces = []
    for run in runs:
        output = _run_block(plan, lanes, np.array([run], np.int64), seed)
        work = lanes.mine().work
        e2e = float(output.times[0, 0])
        path = _critical_path(plan, work, e2e, output.critical)
        visits = [
            _visit(plan, work, int(node), around[int(node)], backends, int(node) in path)
            for node in work.visited[: work.counter[L.K_VISITED]]
            if plan.tables.node_i[node, L.N_KIND] in (L.CALL, L.END) and work.si[node, L.V_STATUS] != L.WIPED
        ]
        outcome = plan.outcome_names[int(output.outcome[0])]
        ttft = float(output.times[0, 1])
        traces.append(Trace(int(run), e2e, ttft, outcome, visits, path, output.critical.copy()))
    return traces


def _visit(
    plan: Plan,
    work: Work,
    node: int,
    around: tuple[int, tuple[int, ...]],
    backends: Sequence[str | None],
    critical: bool,
) -> Visit:
    row, state, fixed = work.sf[node], work.si[node], plan.tables.node_i[node]
    status, composite = int(state[L.V_STATUS]), bool(fixed[L.N_KIND] == L.END)
    billed = not composite and bool(fixed[L.N_FLAGS] & L.BILLED) and status != L.SKIPPED
    use = row[L.F_USE : L.F_USE + L.NUSE] if billed else np.zeros(L.NUSE)
    seconds = np.zeros(L.NCOMP) if composite else row[L.F_COMP : L.F_COMP + L.NCOMP]
    place = int(state[L.V_BACKEND]) if billed else -1
    return Visit(
        step=plan.steps[fixed[L.N_STEP]],
        node=node,
        parent=around[0],
        indices=around[1],
        composite=composite,
        status=_STATUS[status],
        error=L.ERRORS[state[L.V_ERR]] if status in _FAILED else None,
        start_s=float(row[L.F_START]),
        end_s=float(row[L.F_END]),
        first_s=float(row[L.F_FIRST]) if billed and status == L.DONE else None,
        backend=backends[place] if place >= 0 else None,
        fallback=billed and bool(state[L.V_FALLBACK]),
        tokens={
            "input": int(use[L.U_INPUT]),
            "cached_input": int(use[L.U_CACHED]),
            "output": int(use[L.U_OUTPUT]),
            "reasoning": int(use[L.U_REASONING]),
        },
        cost_usd=float(use[L.U_COST]),
        calls=int(use[L.U_CALLS]),
        attempts=int(use[L.U_ATTEMPTS]),
        components_s=dict(zip(COMPONENTS, seconds.tolist(), strict=True)),
        critical=critical,
    )


def _surroundings(plan: Plan) -> list[tuple[int, tuple[int, ...]]]:
    """Return for each node the composite around it (its END node) and the iterations and instances it stands in."""
    found: list[tuple[int, tuple[int, ...]]] = []
    open_: list[list[int]] = []  # END node, index of the iteration or instance, -1 for a nested workflow
    for row in plan.tables.node_i:
        kind = row[L.N_KIND]
        if kind == L.END:
            open_.pop()
        indices = tuple(index for _, index in open_ if index >= 0)
        found.append((open_[-1][0] if open_ else -1, indices))
        if kind == L.BEGIN:
            open_.append([int(row[L.N_MATE]), 0 if row[L.N_KIND2] == L.LOOP else -1])
        elif kind == L.CHECK:
            open_[-1][1] += 1
        elif kind == L.IBEGIN:
            open_[-1][1] = int(row[L.N_INDEX])
    return found


def _critical_path(plan: Plan, work: Work, e2e: float, critical: F64) -> tuple[int, ...]:
    """Return the nodes of the critical path, first to last.

    The kernel hands back the seconds by step, not the visit from which it walked back; of the visits that end with
    the run, it is one whose own walk gives the same seconds.
    """
    for node in work.visited[: work.counter[L.K_VISITED]][::-1]:
        if work.sf[node, L.F_END] == e2e and work.si[node, L.V_STATUS] != L.WIPED:
            path, seconds = _walk_back(plan, work, int(node))
            if np.allclose(seconds, critical, rtol=1e-12, atol=1e-12):
                return path
    return ()


def _walk_back(plan: Plan, work: Work, node: int) -> tuple[tuple[int, ...], F64]:
    seconds = np.zeros((len(plan.steps), L.NCOMP))
    path: list[int] = []
    while node >= 0:
        kind, status = plan.tables.node_i[node, L.N_KIND], work.si[node, L.V_STATUS]
        if kind in (L.CALL, L.END) and status != L.SKIPPED:
            path.append(node)
        if kind == L.CALL and status != L.SKIPPED:
            seconds[plan.tables.node_i[node, L.N_STEP]] += work.sf[node, L.F_COMP : L.F_COMP + L.NCOMP]
        code = int(work.si[node, L.V_CRIT])
        while code >= 0 and code & 1:  # the source ran beside: its own start decided
            code = int(work.si[code >> 1, L.V_CRIT])
        node = code >> 1 if code >= 0 else -1
    return tuple(reversed(path)), seconds

"""One run from its arrival to its answer."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import simpy

from tests.reference import keys, state
from tests.reference.composites import COMPOSITES, start
from tests.reference.path import critical_components, under_way
from tests.reference.scope import enter
from tests.reference.shape import body_of
from tests.reference.state import Clock, Run, Scope, Visit
from tests.reference.timeline import Usage
from tests.reference.tokens import is_model_call


@dataclass(frozen=True)
class ReferenceRun:
    """What one run gave. `visits`: (step path, indices, start, end, status) in the order of their starts.

    `cause`: of a run without an answer, the error and the step that ended it.
    """

    e2e_s: float
    ttft_s: float
    outcome: str
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    calls: int
    attempts: int
    cost_usd: float
    energy_j: float
    visits: list[tuple[str, tuple[int, ...], float, float, str]]
    critical_components: dict[tuple[str, str], float]
    steps: dict[str, Usage]
    near_floor: int  # cuts so close to a whole token that rounding decides
    cause: tuple[str | None, str] | None


def simulate_run(workflow: Any, assignment: Mapping[str, Any], seed: int, run: int) -> ReferenceRun:
    """Simulate run number `run`.

    Parameters
    ----------
    workflow
        A schema Workflow whose nested workflows are resolved.
    assignment
        Backends by step path ("draft.write"); "*" serves every path that is not listed. The i-th fallback
        (from 0) of a step is "path!i".
    seed, run
        Which draws.
    """
    clock = Clock()
    this = Run(workflow, assignment, keys.run_key(seed, run), clock, body_of(workflow))
    ended = clock.process(life_of(this))
    clock.run(until=ended)
    report: ReferenceRun = ended.value
    return report


def life_of(run: Run) -> Generator[simpy.Event, Any, ReferenceRun]:
    """Let a run happen, from now on."""
    top = enter(run, run.top, None, 0, start)
    yield run.clock.process(_until_the_end(run, top))
    return _report(run, top)


def _until_the_end(run: Run, top: Scope) -> Generator[simpy.Event, Any, None]:
    budget = run.workflow.budget
    waits: list[simpy.Event] = [top.process]
    if budget is not None and budget.deadline is not None:
        waits.append(run.clock.at(budget.deadline, state.DEADLINE))
    yield run.clock.any_of(waits)
    if not top.over and _is_answered(run, top):
        yield top.process
    elif not top.over:
        top.cancel()
        yield run.clock.at(run.clock.now, state.DEADLINE)  # let what was cut count its tokens


def _is_answered(run: Run, top: Scope) -> bool:
    """Whether the named answer is there, and shown, by now."""
    visit = top.visits.get(run.workflow.answer or "")
    return visit is not None and visit.status == "done" and _shown(visit, visit.end) is not None


def _shown(visit: Visit, moment: float) -> float | None:
    """When something of this visit is shown: not before the guardrails beside it have passed."""
    guards = visit.effective_guards()
    if any(guard.status != "done" for guard in guards):
        return None
    return max([moment, *(guard.end for guard in guards)])


def _answer(run: Run, top: Scope) -> Visit | None:
    done = [visit for visit in top.visits.values() if visit.status == "done"]
    for visit in done:
        if visit.name == run.workflow.answer:
            return visit
    return max(done, key=lambda visit: (visit.end, visit.order), default=None)


def _report(run: Run, top: Scope) -> ReferenceRun:
    answer = _answer(run, top) if top.status == "done" else None
    cause = None
    if answer is not None:
        last = _last_shown(answer)
        e2e, outcome = last.end, _outcome(run, answer)
    else:
        e2e = run.clock.now
        outcome = {"cancelled": "deadline_exceeded"}.get(top.status, "failed")
        if top.error == "budget_exceeded":
            outcome = "budget_exceeded"
        cut = under_way(run) if top.status == "cancelled" else None
        last = cut or top.failing or _ended_last(top)
        cause = _last_failure(run) if cut is None else (None, cut.path)
    total = run.spent()
    return ReferenceRun(
        e2e_s=e2e,
        ttft_s=_ttft(run, answer, e2e),
        outcome=outcome,
        input_tokens=total.input,
        cached_input_tokens=total.cached,
        output_tokens=total.output,
        reasoning_tokens=total.reasoning,
        calls=total.calls,
        attempts=total.attempts,
        cost_usd=total.cost,
        energy_j=total.energy,
        visits=[(visit.path, visit.indices, visit.start, visit.end, visit.status) for visit in run.visits],
        critical_components=critical_components(last),
        steps=_by_step(run),
        near_floor=total.near_floor,
        cause=cause,
    )


def _last_failure(run: Run) -> tuple[str | None, str]:
    """The error and the step of the call that failed last; one that nothing took goes before the others."""
    failed = [v for v in run.visits if v.status in ("failed", "caught") and v.step.type not in COMPOSITES]
    last = max(failed, key=lambda v: (v.status == "failed", not v.absorbed, v.end, v.order), default=None)
    return (None, "") if last is None else (last.error, last.path)


def _last_shown(answer: Visit) -> Visit:
    """The answer, or the guardrail that held it back longest."""
    guards = sorted(answer.effective_guards(), key=lambda visit: visit.order)
    return max([answer, *guards], key=lambda visit: visit.end)


def _ended_last(top: Scope) -> Visit:
    """Of a run in which nothing is done: the visit that ended last."""
    return max(top.visits.values(), key=lambda visit: (visit.end, visit.order))


def _outcome(run: Run, answer: Visit) -> str:
    if answer.step.outcome is not None:
        return str(answer.step.outcome)
    return "fallback" if any(visit.by_fallback for visit in run.visits) else "answered"


def _ttft(run: Run, answer: Visit | None, e2e: float) -> float:
    streams = [visit for visit in run.visits if getattr(visit.step, "stream", None) is True]
    shown = [moment for visit in streams if (moment := _first_token(visit)) is not None]
    if not shown and answer is not None and is_model_call(answer.step) and answer.step.stream is not False:
        own = _first_token(answer)
        shown = [] if own is None else [own]
    return min([e2e, *shown])


def _first_token(visit: Visit) -> float | None:
    if visit.status != "done" or visit.first_token is None:
        return None
    return _shown(visit, visit.first_token)


def _by_step(run: Run) -> dict[str, Usage]:
    steps: dict[str, Usage] = {}
    for visit in run.visits:
        if visit.status not in ("skipped", "never"):
            steps.setdefault(visit.path, Usage()).add(visit.usage)
    return steps

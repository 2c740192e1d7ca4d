"""Compiles a workflow and its backends to a plan: the flat arrays that the engine reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np

from agentflow.errors import PlanError, meant
from agentflow.plan import layout as L
from agentflow.plan.encode import Encoder, array, mask_of
from agentflow.plan.graph import COMPOSITES, Locate, Path, Report, Scope, analyse, body_of
from agentflow.plan.normal import polynomials
from agentflow.plan.resources import Breaker, Client, Fleet, Limiter, Resource, limiters_of, resources_of
from agentflow.plan.unroll import Frame, StepInfo, Unroller, count_nodes
from agentflow.schema import Backend, Step, Workflow

__all__ = ["MAX_NODES", "Breaker", "Client", "Fleet", "Limiter", "Plan", "Resource", "compile_plan"]

MAX_NODES = 100_000
"""Bound on the nodes of a plan."""

_COMPONENT = {"human": L.C_HUMAN, "wait": L.C_WAIT}


@dataclass(frozen=True)
class Plan:
    """A workflow at its backends, compiled.

    Parameters
    ----------
    workflow : str
        Its name.
    steps, step_types : tuple of str
        Paths of all steps, composites too, in the document's order, and their types.
    assignment : dict
        Names of the backends by step path; fallbacks as `path!0`.
    outcome_names : tuple of str
        What the outcome numbers of a result mean.
    tables : Tables
        The arrays.
    priced, powered : bool
        Whether each backend has a price, and whether the energy of its calls is known.
    slots, exports : int
        Sizes of the engine's state.
    hedge_quantiles : tuple of (int, int, float)
        Specs and steps whose hedge waits for a quantile of the step's own latency, to be set by a pilot.
    fingerprint : str
        Hash of all of it.
    backends : tuple of str
        Names of the rows of `tables.backend_f`.
    resources : tuple of Resource
        What runs share under load.
    priorities : tuple of int
        Of each step, for queues that look at it: the higher the sooner.
    limits : tuple of Limiter
    breakers : tuple of Breaker
    place_breakers : tuple of int
        For each row of `tables.place_i` its breaker, or -1.
    client : Client, optional
        What SDK and framework cost, under load.
    fleets : tuple of Fleet
        Replicas that serve deployments under load; a backend without one keeps its law.
    """

    workflow: str
    steps: tuple[str, ...]
    step_types: tuple[str, ...]
    assignment: dict[str, str]
    outcome_names: tuple[str, ...]
    tables: L.Tables
    priced: bool
    powered: bool
    slots: int
    exports: int
    hedge_quantiles: tuple[tuple[int, int, float], ...]
    fingerprint: str
    backends: tuple[str, ...] = ()
    resources: tuple[Resource, ...] = ()
    priorities: tuple[int, ...] = ()
    limits: tuple[Limiter, ...] = ()
    breakers: tuple[Breaker, ...] = ()
    place_breakers: tuple[int, ...] = ()
    client: Client | None = None
    fleets: tuple[Fleet, ...] = ()


class Shared(NamedTuple):
    """What runs share, as in `Plan`."""

    resources: tuple[Resource, ...]
    priorities: tuple[int, ...]
    limits: tuple[Limiter, ...]
    breakers: tuple[Breaker, ...]
    place_breakers: tuple[int, ...]


def compile_plan(workflow: Workflow, assignment: Mapping[str, Backend], locate: Locate | None = None) -> Plan:
    """Compile a workflow.

    Parameters
    ----------
    workflow : Workflow
        All nested workflows resolved.
    assignment : mapping
        Backends by step path (`draft.write`; `*` for all others); a step's i-th fallback is `draft.write!0`.
    locate : callable, optional
        Tells file, line and column of a path in a document, for the errors.

    Raises
    ------
    PlanError
        With everything that is wrong with the graph: unknown steps, cycles, steps that can never run, too many nodes.
    """
    return _Compiler(workflow, assignment, Report(locate)).compile()


class _Compiler:
    def __init__(self, workflow: Workflow, assignment: Mapping[str, Backend], report: Report) -> None:
        self.workflow = workflow
        self.assignment = assignment
        self.report = report
        self.encoder = Encoder()
        self.infos: dict[str, StepInfo] = {}
        self.types: list[str] = []
        self.used: dict[str, str] = {}
        self.labels: list[str] = list(L.OUTCOMES)
        self.hedges: list[tuple[int, int, float]] = []
        self.priorities: list[int] = []
        self.breakers: list[Breaker] = []
        self.place_breakers: list[int] = []

    def compile(self) -> Plan:
        workflow = self.workflow
        self._check_size()
        top = self._scope(workflow, [(None, workflow.steps, None)], ("steps",), "", top=True)
        if workflow.answer is not None and workflow.answer not in workflow.steps:
            said = f"no step named '{workflow.answer}'"
            self.report.add(workflow, ("answer",), said, meant(workflow.answer, workflow.steps))
        self.report.check()
        assert top is not None
        unroller = Unroller(self.infos)
        frame = Frame("", (), -1, {}, None)
        unroller.place_scope(top, workflow.steps, frame, top=True)
        unroller.finish(frame)
        answer = frame.placed[workflow.answer].node if workflow.answer else -1
        tables = self._tables(unroller, answer)
        steps = tuple(self.infos)
        shared = Shared(
            resources_of(self.encoder.backends),
            tuple(self.priorities),
            limiters_of(self.encoder.backends),
            tuple(self.breakers),
            tuple(self.place_breakers),
        )
        return Plan(
            workflow=workflow.name,
            steps=steps,
            step_types=tuple(self.types),
            assignment=self.used,
            outcome_names=tuple(self.labels),
            tables=tables,
            priced=self.encoder.priced,
            powered=self.encoder.powered,
            slots=unroller.slots,
            exports=unroller.exported,
            hedge_quantiles=tuple(self.hedges),
            fingerprint=_fingerprint(steps, tables, shared),
            backends=tuple(backend.name for backend in self.encoder.backends),
            **shared._asdict(),
        )

    def _check_size(self) -> None:
        worst = ("", 0)
        for path, nodes in count_nodes(self.workflow.steps):
            if path == "" and nodes > MAX_NODES:
                where: Path = ("steps", *worst[0].replace(".", ".steps.").split("."))
                self.report.add(
                    self.workflow, where, f"the plan would have {nodes:,} nodes, most of them here ({worst[1]:,}); "
                    f"at most {MAX_NODES:,} fit", "lower max_iterations, max_count or the number of steps inside",
                )  # fmt: skip
                self.report.check()
            elif nodes > worst[1] or (nodes > MAX_NODES and path.startswith(worst[0])):
                worst = (path, nodes)

    def _scope(self, document: Workflow, scopes: list[Any], at: Path, prefix: str, top: bool = False) -> Scope | None:
        """Analyse a scope and all inside it, and encode its steps."""
        steps: Mapping[str, Step] = scopes[-1][1]
        scope = analyse(document, scopes, at, self.report, tuple(prefix.split(".")[:-1]))
        for name, step in steps.items():
            path = prefix + name
            self.infos[path] = info = StepInfo(len(self.infos), -1, self._label(step), False, None, document)
            self.types.append(step.type)
            self.priorities.append(getattr(step, "priority", 0))
            here: Path = (*at, name)
            if step.type == "workflow":
                inner: Any = step.workflow
                if not isinstance(inner, Workflow):
                    raise PlanError(f"step {path}: workflow '{inner}' was not loaded")
                info.scope = self._scope(inner, [*scopes, ("workflow", inner.steps, None)], ("steps",), path + ".")
            elif step.type in COMPOSITES:
                inside = [*scopes, (step.type, body_of(step), None)]
                info.scope = self._scope(document, inside, (*here, "steps"), path + ".")
                if step.type == "map":
                    info.spec = self.encoder.dist(step.count, True)
            else:
                self._encode(document, step, path, here, info)
        return scope

    def _label(self, step: Any) -> int:
        if step.outcome is None:
            return -1
        if step.outcome not in self.labels:
            self.labels.append(step.outcome)
        return self.labels.index(step.outcome)

    def _encode(self, document: Workflow, step: Any, path: str, here: Path, info: StepInfo) -> None:
        """Write the spec of a plain step and its places."""
        e = self.encoder
        modelled = step.type not in ("tool", "human", "wait") and getattr(step, "latency", None) is None
        info.billed = modelled
        places: list[tuple[Backend | None, int]] = [(None, 0)]
        if modelled:
            places = [(self._backend(path), 0)]
            places += [(self._backend(f"{path}!{i}"), mask_of(f.on)) for i, f in enumerate(step.fallbacks)]
        lo = len(e.place_i)
        for backend, takes in places:
            self.place_breakers.append(self._breaker(step, backend.name if backend else path))
            total = e.place(step, backend, takes)
            if total > 1.0 + 1e-9:
                name = f" with those of {backend.name}" if backend else ""
                self.report.add(
                    document, (*here, "errors"), f"the probabilities{name} add up to {total:g}", "at most 1"
                )
        defaults = document.defaults
        own = step.type not in ("human", "wait")
        retry = step.retry if step.retry is not None else (defaults.retry if own else None)
        timeout = step.timeout if step.timeout is not None else (defaults.timeout if own else None)
        layers = e.layers(retry or ())
        routes = e.route(step.routes)
        tokens = getattr(step, "input_tokens", None) if modelled else None
        cached = getattr(step, "cached_input_tokens", None) if modelled else None
        hedge = step.hedge
        spec = len(e.spec_i)
        after = 0.0
        if hedge is not None:
            if isinstance(hedge.after, str):
                self.hedges.append((spec, info.index, float(hedge.after[1:]) / 100.0))
                after = inf
            else:
                after = hedge.after
        media = getattr(step, "media", None) if modelled else None
        e.spec_i.append(
            [
                L.LAW_MODEL if modelled else L.LAW_LATENCY,
                _COMPONENT.get(step.type, L.C_TOOL),
                e.dist(tokens.own, True) if tokens is not None else -1,
                e.dist(cached, True) if cached is not None else -1,
                lo,
                len(e.place_i),
                *layers,
                *routes,
                hedge.max_hedges if hedge is not None else 0,
                _short_way(modelled, e.place_i[lo][L.P_SHAPE], hedge),
            ]
        )
        e.spec_f.append(
            [
                timeout.attempt if timeout and timeout.attempt is not None else inf,
                timeout.idle if timeout and timeout.idle is not None else inf,
                after,
                media.tokens if media is not None else 0.0,
                float(getattr(step, "max_tokens", None) or 0.0),
            ]
        )
        info.spec = spec

    def _breaker(self, step: Any, name: str) -> int:
        """Return the row of a step's breaker before a place; steps with the same one share it."""
        said = step.circuit_breaker
        if said is None:
            return -1
        breaker = Breaker(name, said.failures, said.open_for, said.trials, mask_of(said.on))
        if breaker not in self.breakers:
            self.breakers.append(breaker)
        return self.breakers.index(breaker)

    def _backend(self, path: str) -> Backend:
        found = self.assignment.get(path, self.assignment.get("*"))
        if found is None:
            raise PlanError(f"step {path}: no backend is assigned to it")
        self.used[path] = found.name
        return found

    def _tables(self, u: Unroller, answer: int) -> L.Tables:
        e, budget = self.encoder, self.workflow.budget
        bounds = [inf, inf, inf]
        if budget is not None:
            bounds = [inf if b is None else float(b) for b in (budget.deadline, budget.tokens, budget.usd)]
        return L.Tables(
            node_i=array(u.nodes, L.NODE_COLUMNS, np.int32),
            node_p=np.array(u.go_on, np.float64),
            node_hash=np.array(u.hashes, np.uint64),
            pred_i=array(u.preds, 3, np.int32),
            ref_i=array(u.refs, 2, np.int32),
            ref_f=np.array([*u.factors, 0.0]),
            lists=np.array([*u.lists, 0], np.int32),
            losers=np.array([*u.losers, 0], np.int32),
            guards=np.array([*u.guards, 0], np.int32),
            spec_i=array(e.spec_i, L.SPEC_COLUMNS, np.int32),
            spec_f=array(e.spec_f, 5, np.float64),
            place_i=array(e.place_i, L.PLACE_COLUMNS, np.int32),
            place_f=array(e.place_f, L.PLACE_FLOATS, np.float64),
            draw_i=array(e.draws, 2, np.int32),
            error_i=array(e.error_i, 3, np.int32),
            error_f=array(e.error_f, 2, np.float64),
            layer_i=array(e.layer_i, 3, np.int32),
            layer_f=array(e.layer_f, 6, np.float64),
            route_f=np.array([*e.routes, 0.0]),
            backend_i=array(e.backend_i, L.BACKEND_COLUMNS, np.int32),
            backend_f=array(e.backend_f, L.BACKEND_FLOATS, np.float64),
            backend_key=np.array([*e.backend_key, 0], np.uint64),
            dist_i=array(e.dist_i, 3, np.int32),
            dist_f=array(e.dist_f, L.DIST_FLOATS, np.float64),
            table=np.array([*e.table, 0.0]),
            normal=polynomials().ravel(),
            totals=np.array([*bounds, float(answer)]),
        )


def _short_way(modelled: bool, shape: int, hedge: object) -> int:
    """Choose the way through the kernel that a step's first attempt may take."""
    if hedge is not None or (modelled and shape == L.UNFIT):
        return L.NO_PLAIN
    return L.PLAIN_CALL if modelled else L.PLAIN_WAIT


def _fingerprint(steps: tuple[str, ...], tables: L.Tables, shared: Shared) -> str:
    digest = hashlib.blake2b(digest_size=8)
    digest.update("\n".join(steps).encode())
    if any(shared.priorities) or shared.resources or shared.limits or shared.breakers:
        digest.update(repr(shared).encode())
    for table in tables:
        digest.update(np.ascontiguousarray(table).tobytes())
    return digest.hexdigest()

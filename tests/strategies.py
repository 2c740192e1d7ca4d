"""Hypothesis strategies: workflows with their backends, valid by construction, that use every feature.

Each example switches a few features on (now and then all), so that small plans dominate and shrink well. Most
numbers are multiples of 1/8: sums of them are exact, so that what is simultaneous stays so in any order of
addition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from agentflow.schema import Backend, LoopStep, Workflow, WorkflowStep
from tests import make
from tests import strategies_calls as calls
from tests.strategies_calls import OFF_GRID, Draw, Features

FEATURES = (
    "families",
    "errors",
    "retry",
    "timeout",
    "fallbacks",
    "hedge",
    "catch",
    "joins",
    "routes",
    "guardrail",
    "map",
    "loop",
    "nested",
    "history",
    "tokens",
    "cache",
    "bounds",
    "network",
    "served",
    "variation",
    "budget",
    "answer",
)

# The composites that may start before all their needs are done; a map's `join` is that of its instances.
JOINING = {kind.model_fields["type"].default for kind in (LoopStep, WorkflowStep) if "join" in kind.model_fields}
JOINING |= {"chat", "embeddings", "retrieval", "guardrail", "tool", "human", "wait"}


@dataclass(frozen=True)
class Case:
    """A workflow and where its steps are answered ("*" for all that are not listed)."""

    workflow: Workflow
    assignment: dict[str, Backend]


@dataclass
class Place:
    """What a body's steps can see: where they are, and outputs that they may take in."""

    path: str = ""
    kind: str = "top"
    depth: int = 0
    in_loop: bool = False
    outer: list[str] = field(default_factory=list)  # references to what is done before this body starts


@dataclass
class Made:
    """The steps of a body, with every path below it that has an output."""

    steps: dict[str, make.Step]
    outputs: list[str]
    called: list[tuple[str, int]]  # path of each model call, and its number of fallbacks


@st.composite
def cases(
    draw: Draw, most: int = 4, depth: int = 2, only: Features = frozenset(FEATURES), always: Features = frozenset()
) -> Case:
    """Draw a case: at most `most` steps in a body, bodies nested at most `depth` deep, these features `only`."""
    if draw(st.integers(0, 9)) == 9:
        features = only
    else:
        features = draw(st.frozensets(st.sampled_from(sorted(only)), max_size=7))
    features |= always
    made = _body(draw, features, Place(), most, depth)
    document: dict[str, Any] = {"steps": made.steps}
    if "retry" in features and draw(st.booleans()):
        document["defaults"] = {"retry": draw(calls.retry())}
    if "timeout" in features and draw(st.booleans()):
        document.setdefault("defaults", {})["timeout"] = draw(calls.timeout())
    if "budget" in features:
        document["budget"] = draw(_budget())
    if "answer" in features and draw(st.booleans()):
        document["answer"] = draw(st.sampled_from(sorted(made.steps)))
    workflow = make.workflow(**document)
    return Case(workflow, _assignment(draw, features, made.called))


def _assignment(draw: Draw, features: Features, called: list[tuple[str, int]]) -> dict[str, Backend]:
    pool = draw(calls.backends(features))
    assignment = {"*": pool[0]}
    for path, fallbacks in called:
        if len(pool) > 1 and draw(st.booleans()):
            assignment[path] = draw(st.sampled_from(pool))
        for number in range(fallbacks):
            assignment[f"{path}!{number}"] = draw(st.sampled_from(pool))
    return assignment


@st.composite
def _budget(draw: Draw) -> dict[str, Any]:
    bounds: dict[str, st.SearchStrategy[Any]] = {
        "tokens": st.integers(1, 400),
        "usd": st.sampled_from([0.0007, 0.013, 0.31]),
        "deadline": st.integers(1, 80).map(lambda n: n / 8 + OFF_GRID),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(bounds)), min_size=1))
    return {name: draw(bounds[name]) for name in sorted(chosen)}


def _body(draw: Draw, features: Features, place: Place, most: int, depth: int) -> Made:
    """Draw a body: steps in topological order, written down in any order."""
    n = draw(st.integers(1, most if place.depth == 0 else max(1, most - 1)))
    names = [f"{'abcd'[min(place.depth, 3)]}{i}" for i in range(n)]
    if place.depth and draw(st.integers(0, 5)) == 5:
        names = [f"a{i}" for i in range(n)]  # the same names as outside: the inner ones are meant
    made = Made({}, [], [])
    routes: dict[str, list[str]] = {}
    sources: dict[str, set[str]] = {}
    ancestors: dict[str, set[str]] = {}
    outputs: dict[str, list[str]] = {}
    for i, name in enumerate(names):
        step = _edges(draw, features, names[:i], routes)
        sources[name] = {need.partition(".")[0] for need in step["needs"]}
        sources[name] |= {s for s in names[:i] if any(c["to"] == name for c in made.steps[s].get("catch", []))}
        ancestors[name] = sources[name].union(*(ancestors[source] for source in sources[name]))
        seen = [path for a in sorted(ancestors[name]) for path in outputs[a]]
        outer = [path for path in place.outer if path.split(".")[0] not in names]
        _fill(draw, features, step, name, _Inside(place, depth, most, seen + outer), made, routes, outputs)
        _catch(draw, features, step, names[i + 1 :])
        made.steps[name] = step
    for name in names:
        _join(draw, features, made.steps[name])
        made.outputs += outputs[name]
    if place.kind == "loop" and "history" in features:
        _look_back(draw, made)
    order = draw(st.permutations(names)) if draw(st.integers(0, 3)) == 3 else names
    made.steps = {name: made.steps[name] for name in order}
    return made


@dataclass
class _Inside:
    place: Place
    depth: int
    most: int
    seen: list[str]


def _look_back(draw: Draw, made: Made) -> None:
    """Let steps of a loop's body take in what any of them gave in the previous iteration."""
    for step in made.steps.values():
        if "input_tokens" in step and made.outputs and draw(st.booleans()):
            step["input_tokens"]["from"][draw(st.sampled_from(made.outputs))] = 0.5


def _edges(draw: Draw, features: Features, before: list[str], routes: dict[str, list[str]]) -> make.Step:
    """Draw the needs of a step among the steps before it."""
    count = draw(st.integers(0, min(3, len(before)))) if before else 0
    sources = sorted(draw(st.sets(st.sampled_from(before), min_size=count, max_size=count))) if count else []
    if len(sources) > 1 and draw(st.booleans()):
        sources.reverse()
    needs = []
    for source in sources:
        if routes.get(source) and draw(st.integers(0, 3)):
            needs += [f"{source}.{r}" for r in sorted(draw(st.sets(st.sampled_from(routes[source]), min_size=1)))]
        else:
            needs.append(source)
    step: make.Step = {"needs": needs}
    if "answer" in features and draw(st.integers(0, 3)) == 3:
        step["outcome"] = draw(st.sampled_from(["escalated", "refused"]))
    return step


def _catch(draw: Draw, features: Features, step: make.Step, later: list[str]) -> None:
    if "catch" not in features or not later or not draw(st.booleans()):
        return
    step["catch"] = [
        {"errors": sorted(draw(calls.error_names())), "to": draw(st.sampled_from(later))}
        for _ in range(draw(st.integers(1, 2)))
    ]


def _join(draw: Draw, features: Features, step: make.Step) -> None:
    """Draw a join: of the edges from one source at most one is ever active."""
    sources = {need.partition(".")[0] for need in step["needs"]}
    if "joins" not in features or not sources or step["type"] not in JOINING:
        return
    quorum = st.integers(1, len(sources)).map(lambda k: {"quorum": k})
    step["join"] = draw(st.one_of(st.sampled_from(["all", "any"]), quorum))


def _fill(
    draw: Draw,
    features: Features,
    step: make.Step,
    name: str,
    inside: _Inside,
    made: Made,
    routes: dict[str, list[str]],
    outputs: dict[str, list[str]],
) -> None:
    """Give a step its type and what belongs to it."""
    place = inside.place
    path = f"{place.path}.{name}" if place.path else name
    composites = [kind for kind in ("map", "loop", "nested") if kind in features and inside.depth > 0]
    if composites and draw(st.integers(0, 2)) == 2:
        kind = draw(st.sampled_from(composites))
        inner = _composite(draw, features, step, kind, path, inside)
        outputs[name] = [name, *(f"{name}.{output}" for output in inner.outputs)]
        made.called += inner.called
        return
    step.update(draw(calls.step_of_type(features, inside.seen, place.in_loop)))
    outputs[name] = [] if step["type"] == "wait" else [name]
    if step.get("routes"):
        routes[name] = [r for r, p in step["routes"].items() if p > 0]
    if "output_tokens" in step and "latency" not in step:
        made.called.append((path, len(step.get("fallbacks", ()))))


def _composite(draw: Draw, features: Features, step: make.Step, kind: str, path: str, inside: _Inside) -> Made:
    """Fill in a composite and its body."""
    place = inside.place
    depth, most = inside.depth - 1, min(inside.most, 3)
    if kind == "nested":
        inner = _body(draw, features, Place(path, kind, place.depth + 1), most, depth)
        document: dict[str, Any] = {"steps": inner.steps}
        if "retry" in features and draw(st.booleans()):
            document["defaults"] = {"retry": draw(calls.retry())}
        step.update(type="workflow", workflow=make.workflow(**document))
        return inner
    in_loop = kind == "loop" or place.in_loop
    inner = _body(draw, features, Place(path, kind, place.depth + 1, in_loop, inside.seen), most, depth)
    if kind == "loop":
        step.update(type="loop", steps=inner.steps, **draw(calls.iterations()))
    else:
        step.update(type="map", steps=inner.steps, **draw(calls.instances(features)))
    return inner

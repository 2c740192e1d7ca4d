"""Strategies of the parts: distributions, calls with their errors and retries, bodies' bounds, backends."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

from agentflow.schema import Backend
from tests import make

T = TypeVar("T")
Features = frozenset[str]
Written = st.SearchStrategy[Any]

ERRORS = ("rate_limit", "timeout", "server_error", "content_filter", "invalid_output", "context_overflow")
ALL_ERRORS = (*ERRORS, "budget_exceeded")


class Draw(Protocol):
    """What Hypothesis hands to a composite strategy."""

    def __call__(self, strategy: st.SearchStrategy[T]) -> T: ...


OFF_GRID = 1 / 37
"""Keeps what cuts or starts a call off the grid of constant latencies, where the last bit of a sum would decide."""


def eighths(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda n: n / 8)


def _families(scale: float) -> Written:
    """Every family, around `scale`."""
    at = st.sampled_from([0.5 * scale, scale, 2.25 * scale])
    tables = [
        {"p5": 0.25 * scale, "p50": scale, "p95": 3 * scale},
        {"p10": scale, "p90": 4 * scale},
        {"p20": 0.0, "p50": scale, "p99.5": 2 * scale},
    ]
    single = st.one_of(
        at.map(lambda x: {"uniform": [0.5 * x, 2 * x]}),
        at.map(lambda x: {"normal": {"mean": x, "sd": 0.75 * x}}),
        at.map(lambda x: {"lognormal": {"p50": x, "p95": 3 * x}}),
        st.sampled_from([{"lognormal": {"mu": 0.25, "sigma": 0.5}}]),
        at.map(lambda x: {"exponential": {"mean": x}}),
        st.sampled_from([0.5, 1.0, 2.0]).map(lambda cv: {"gamma": {"mean": scale, "cv": cv}}),
        at.map(lambda x: {"weibull": {"scale": x, "shape": 1.5}}),
        st.sampled_from(tables).map(lambda table: {"quantiles": table}),
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5]).map(lambda x: x * scale), min_size=1, max_size=4).map(
            lambda values: {"samples": values}
        ),
    )
    shifted = st.tuples(single, st.sampled_from([-0.5 * scale, 0.3 * scale])).map(lambda d: {**d[0], "shift": d[1]})
    parts = st.lists(st.one_of(single, shifted), min_size=2, max_size=3)
    mixture = parts.map(lambda ds: {"mixture": [{"weight": i + 1, **d} for i, d in enumerate(ds)]})
    return st.one_of(single, single, shifted, mixture)


def durations(features: Features) -> Written:
    plain = eighths(1, 24)
    return st.one_of(plain, plain, _families(1.0)) if "families" in features else plain


def counts(features: Features, most: int = 40) -> Written:
    plain = st.integers(0, most)
    return st.one_of(plain, plain, _families(most / 2)) if "families" in features else plain


def rates(features: Features) -> Written:
    plain = st.sampled_from([4.0, 16.0, 64.0])
    laws = st.sampled_from(
        [
            {"lognormal": {"p50": 16.0, "p95": 30.0}},
            {"uniform": [4.0, 32.0]},
            {"quantiles": {"p5": 4.0, "p50": 16.0, "p95": 40.0}},
            {"gamma": {"mean": 16.0, "cv": 0.25}},
            {"weibull": {"scale": 16.0, "shape": 4.0}},
            {"samples": [8.0, 11.0, 17.0]},
        ]
    )
    return st.one_of(plain, laws) if "families" in features else plain


def error_names() -> st.SearchStrategy[set[str]]:
    return st.sets(st.sampled_from(ALL_ERRORS), min_size=1, max_size=4)


@st.composite
def errors(draw: Draw, features: Features, share: float) -> dict[str, Any]:
    """Errors whose probabilities add up to at most `share`."""
    names = draw(st.lists(st.sampled_from(ALL_ERRORS), min_size=1, max_size=3, unique=True))
    found: dict[str, Any] = {}
    for name in names:
        spec: dict[str, Any] = {"probability": draw(st.sampled_from([share / 8, share / 3]))}
        if name == "timeout":
            spec.update(draw(st.sampled_from([{}, {"after": 2.0}, {"after": 0.125}])))
        else:
            spec.update(draw(st.sampled_from([{}, {"at": "start"}, {"at": "first_token"}, {"at": "end"}])))
        if "retry" in features and draw(st.booleans()):
            spec["retry_after"] = draw(durations(features))
        found[name] = spec
    return found


@st.composite
def _layer(draw: Draw) -> Any:
    if draw(st.integers(0, 5)) == 5:
        return draw(st.sampled_from(["openai", "anthropic", "langgraph", "asl"]))
    policy: dict[str, Any] = {
        "max_attempts": draw(st.integers(1, 3)),
        "initial_interval": draw(eighths(0, 8)),
        "backoff_factor": draw(st.sampled_from([1.0, 2.0, 1.5])),
        "max_interval": draw(st.sampled_from([1.0, 8.0])),
        "jitter": draw(st.sampled_from(["none", "none", "full", 0.25])),
        "respect_retry_after": draw(st.booleans()),
        "retry_after_cap": draw(st.sampled_from([60.0, 1.0])),
    }
    if draw(st.booleans()):
        policy["on"] = sorted(draw(error_names()))
    if draw(st.integers(0, 3)) == 3:
        policy["jitter_add"] = 0.5
    return policy


def retry() -> Written:
    layers = st.lists(_layer(), min_size=1, max_size=3)
    return st.one_of(_layer(), _layer(), layers, st.just("none"))


def timeout() -> Written:
    bound = eighths(1, 40)
    both = st.fixed_dictionaries({"attempt": bound, "idle": bound})
    return st.one_of(bound, both, bound.map(lambda s: {"idle": s}), st.just({"idle": 0.0625}))


def _routes() -> st.SearchStrategy[dict[str, float]]:
    return st.sampled_from(
        [{"x": 0.5, "y": 0.5}, {"x": 0.75, "y": 0.25}, {"x": 0.25, "y": 0.25, "z": 0.5}, {"x": 1.0, "y": 0.0}]
    )


@st.composite
def _call(draw: Draw, features: Features) -> make.Step:
    """Draw what any call may have."""
    step: make.Step = {}
    if "errors" in features and draw(st.booleans()):
        step["errors"] = draw(errors(features, 0.6))
    if "retry" in features and draw(st.booleans()):
        step["retry"] = draw(retry())
    if "timeout" in features and draw(st.booleans()):
        step["timeout"] = draw(timeout())
    if "hedge" in features and draw(st.booleans()):
        step["hedge"] = {"after": draw(eighths(1, 24)) + OFF_GRID, "max_hedges": draw(st.integers(1, 3))}
    if "routes" in features and draw(st.booleans()):
        step["routes"] = draw(_routes())
    if "breaker" in features and draw(st.integers(0, 2)):
        step["circuit_breaker"] = draw(_breaker())
    return step


@st.composite
def _breaker(draw: Draw) -> dict[str, Any]:
    """Draw a circuit breaker; it counts under load only."""
    breaker = {"failures": draw(st.integers(1, 3)), "open_for": draw(eighths(1, 40)) + OFF_GRID}
    if draw(st.booleans()):
        breaker["on"] = sorted(draw(error_names()))
    return {**breaker, "trials": draw(st.integers(1, 2))}


@st.composite
def _model_call(draw: Draw, features: Features, seen: list[str], in_loop: bool) -> make.Step:
    """Draw what a call of a model may have."""
    step: make.Step = {"output_tokens": draw(counts(features))}
    entry: dict[str, Any] = {"own": draw(counts(features)), "from": {}, "history": False}
    if seen and "tokens" in features and draw(st.booleans()):
        names = sorted(draw(st.sets(st.sampled_from(seen), min_size=1, max_size=3)))
        entry["from"] = {name: draw(st.sampled_from([1.0, 0.5, 0.25, 2.0])) for name in names}
    if in_loop and "history" in features:
        entry["history"] = draw(st.booleans())
    step["input_tokens"] = entry
    if "tokens" in features:
        step.update(draw(_more_tokens(features)))
    if "cache" in features and draw(st.booleans()):
        step["cached_input_tokens"] = draw(counts(features))
    if "bounds" in features and draw(st.booleans()):
        step["max_tokens"] = draw(st.integers(1, 30))
    if draw(st.integers(0, 2)) == 2:
        step["stream"] = draw(st.booleans())
    if "fallbacks" in features and draw(st.booleans()):
        nothing: Written = st.just({})
        on = st.one_of(nothing, error_names().map(lambda names: {"on": sorted(names)}))
        step["fallbacks"] = [{"backend": "spare", **draw(on)} for _ in range(draw(st.integers(1, 2)))]
    return step


@st.composite
def _more_tokens(draw: Draw, features: Features) -> make.Step:
    step: make.Step = {}
    if draw(st.booleans()):
        step["reasoning_tokens"] = draw(counts(features))
    if draw(st.integers(0, 3)) == 3:
        step["media"] = {
            "images": 2,
            "tokens_per_image": 7.25,
            "audio_seconds": 2.0,
            "tokens_per_audio_second": 3.0,
        }
    return step


@st.composite
def step_of_type(draw: Draw, features: Features, seen: list[str], in_loop: bool) -> make.Step:
    """Draw a step that is no composite. `seen` are the outputs that it may take in."""
    kinds = ["chat", "chat", "chat", "tool", "tool", "embeddings", "retrieval", "human", "wait"]
    kinds += ["guardrail"] * (6 if "guardrail" in features else 1)
    kind = draw(st.sampled_from(kinds))
    if kind == "wait":
        return {"type": kind, "duration": draw(durations(features))}
    step: make.Step = {"type": kind, **draw(_call(features))}
    if kind in ("tool", "human") or (kind in ("retrieval", "guardrail") and draw(st.booleans())):
        step["latency"] = draw(durations(features))
        step["output_tokens"] = draw(counts(features))
    else:
        step.update(draw(_model_call(features, seen, in_loop)))
    if kind == "guardrail" and "guardrail" in features:
        step["blocking"] = draw(st.booleans())
        if draw(st.booleans()):
            step["errors"] = {"content_filter": 0.5}
    return step


@st.composite
def iterations(draw: Draw) -> make.Step:
    """Draw a loop's bounds."""
    most = draw(st.integers(1, 3))
    chance = st.sampled_from([1.0, 0.5, 0.25, 0.0])
    several = st.lists(chance, min_size=most - 1, max_size=most - 1)
    return {"max_iterations": most, "continue_probability": draw(st.one_of(chance, several))}


@st.composite
def instances(draw: Draw, features: Features) -> make.Step:
    """Draw a map's bounds."""
    fixed = st.integers(0, 4).map(lambda n: {"count": n})
    ranges = st.sampled_from([{"count": {"uniform": [0, 3]}}, {"count": {"uniform": [1, 4]}, "max_count": 3}])
    open_ended = st.sampled_from(
        [
            {"count": {"exponential": {"mean": 2}}, "max_count": 4},
            {"count": {"normal": {"mean": 2, "sd": 1}}, "max_count": 3},
            {"count": {"samples": [0, 2, 3]}},
        ]
    )
    step: make.Step = draw(st.one_of(fixed, ranges, open_ended) if "families" in features else st.one_of(fixed, ranges))
    if draw(st.booleans()):
        step["max_concurrency"] = draw(st.integers(1, 3))
    if "joins" in features and draw(st.booleans()):
        quorum = st.integers(1, 3).map(lambda k: {"quorum": k})
        step["join"] = draw(st.one_of(st.sampled_from(["all", "any"]), quorum))
    return step


@st.composite
def backends(draw: Draw, features: Features) -> list[Backend]:
    """Draw one to three backends."""
    return [draw(_backend(features, f"place-{i}")) for i in range(draw(st.integers(1, 3)))]


@st.composite
def _backend(draw: Draw, features: Features, name: str) -> Backend:
    more: dict[str, Any] = {}
    served = "served" in features and draw(st.integers(0, 2)) > 0
    if not served and draw(st.booleans()):
        more["prefill_rate"] = draw(st.sampled_from([8.0, 128.0]))
        more["ttft_input_tokens"] = draw(st.sampled_from([0, 10]))
    # Never 0: what fails in no time, while its siblings start, leaves open which of them did start.
    more["network"] = draw(st.one_of(eighths(1, 4), durations(features)) if "network" in features else eighths(1, 1))
    if not served and "network" in features and draw(st.booleans()):
        more["stall"] = {
            "probability": draw(st.sampled_from([0.25, 1.0])),
            "duration": draw(durations(features)),
        }
    if "variation" in features:
        more["variation"] = {"between_runs": draw(st.sampled_from([0.0, 0.3])), "between_calls": 0.2}
    if "bounds" in features:
        more["context"] = draw(st.sampled_from([None, 30, 60]))
        more["max_output"] = draw(st.sampled_from([None, 20]))
    if "cache" in features or "history" in features:
        rates_ = st.sampled_from([0.5, 1.0])
        more["cache"] = {
            "hit_rate": draw(rates_),
            "min_tokens": draw(st.sampled_from([0, 16])),
            "block": draw(st.sampled_from([1, 8])),
        }
    if "errors" in features and draw(st.booleans()):
        more["errors"] = draw(errors(features, 0.4))
    if draw(st.booleans()) or "budget" in features:
        more["price"] = draw(_price())
    if served:
        own = {key: more.pop(key) for key in ("network", "variation") if key in more}
        return make.served(name, draw(_served(own)), **more)
    return make.backend(name, ttft=draw(durations(features)), rate=draw(rates(features)), **more)


@st.composite
def _served(draw: Draw, own: dict[str, Any]) -> dict[str, Any]:
    """Draw the law of a deployment or of a table."""
    if draw(st.booleans()):
        speculation = st.sampled_from(
            [None, {"draft_tokens": 3, "tokens_per_step": 2.5}, {"draft_tokens": 4, "acceptance": 0.7}]
        )
        deployment = make.slow_deployment(watts=draw(st.sampled_from([None, 100.0])), speculation=draw(speculation))
        load = {"concurrency": draw(st.sampled_from([1, 2.5])), "input_tokens": 20, "output_tokens": 30}
        return {"deployment": {"deployment": deployment, **load, **own}}
    lengths = draw(st.sampled_from([[None], [10], [8, 16, 40]]))
    rows = [
        {"concurrency": load, "input_tokens": length, "ttft": 0.3 * load + 0.03 * (length or 0), "tpot": tpot * load}
        for length, tpot in zip(lengths, (0.11, 0.07, 0.13), strict=False)
        for load in (1, 3, 4)
    ]
    return {"table": {"concurrency": draw(st.sampled_from([1, 2, 4])), "rows": rows, **own}}


@st.composite
def _price(draw: Draw) -> dict[str, Any]:
    price: dict[str, Any] = {"input": "$3/Mtok", "output": "$15/Mtok"}
    if draw(st.booleans()):
        price.update(cached_input="$0.3/Mtok", reasoning="$12/Mtok", per_call=0.001)
    return price

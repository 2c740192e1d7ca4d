"""Latency stacking: the answer time against the number of chained calls, a band a backend, beside what people feel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentflow.analysis.assignment import BackendLike
from agentflow.analysis.metrics import Metrics
from agentflow.analysis.scenario import Progress, Scenario, build_scenarios, run_scenarios
from agentflow.analysis.setting import Setting
from agentflow.analysis.summary import STATS
from agentflow.errors import UsageError, quoted
from agentflow.estimate import Estimate
from agentflow.schema import Workflow

LIMITS_S = {"1 s": 1.0, "10 s": 10.0, "60 s": 60.0}
"""Times that people feel: a flow of thought is kept up to 1 s, attention up to 10 s (Nielsen, Usability Engineering,
1993, chapter 5, after Miller 1968); after a minute they do something else (assumed)."""

READING = 6.0
"""Tokens that a person reads in a second: 238 words a minute in silence (Brysbaert 2019, Journal of Memory and Language
109:104047, a meta-analysis of 190 studies) at 1.3 to 1.5 tokens a word are 5.2 to 6.0."""

MOST_LINKS = 200

_RANGE = re.compile(r"\s*(\d{1,4})\s*(?:\.\.\s*(\d{1,4})\s*)?")


@dataclass(frozen=True)
class Point:
    """A chain of one length: E2E by `mean`, `p50`, `p95` (s), and how long a person reads what it has written (s)."""

    links: int
    e2e_s: dict[str, Estimate]
    reading_s: float


@dataclass(frozen=True)
class Band:
    """One backend.

    Attributes
    ----------
    label
        As it was named.
    points
        By number of links, rising.
    within
        The most links, of those asked for, whose p95 is within each of `LIMITS_S`, and within the time in which a
        person reads what was written (under "reader"); None where the fewest are too many.
    """

    label: str
    points: tuple[Point, ...]
    within: dict[str, int | None]


@dataclass(frozen=True)
class Stacking:
    """Chains on several backends; `input_tokens` are what each link reads beside the answer before it."""

    bands: tuple[Band, ...]
    links: tuple[int, ...]
    model: str
    input_tokens: float
    output_tokens: float
    runs: int
    seed: int


def parse_links(text: str) -> tuple[int, ...]:
    """Read numbers of links such as `1..12` or `1,2,4,8`.

    Raises
    ------
    UsageError
        If it is neither, or a number is not from 1 to `MOST_LINKS`.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise UsageError(f"--links {quoted(text)}: write a range such as 1..12, or numbers such as 1,2,4,8")
        low, high = int(match[1]), int(match[2] or match[1])
        if not 1 <= low <= high <= MOST_LINKS:
            raise UsageError(f"--links {quoted(text)}: numbers of links rise, from 1 to {MOST_LINKS}")
        found |= set(range(low, high + 1))
    return tuple(sorted(found))


def chain(links: int, model: str, input_tokens: float, output_tokens: float) -> Workflow:
    """Return a chain of calls, each of which reads its instructions and the answer before it."""
    steps: dict[str, object] = {}
    for i in range(1, links + 1):
        before = f"link{i - 1}"
        linked = {"needs": [before]} if i > 1 else {}
        own: dict[str, object] = {"own": input_tokens, **({"from": {before: 1.0}} if i > 1 else {})}
        steps[f"link{i}"] = {"type": "chat", **linked, "input_tokens": own, "output_tokens": output_tokens}
    name = f"chain-of-{links}"
    return Workflow.model_validate({"schema_version": 1, "name": name, "defaults": {"model": model}, "steps": steps})


def stack_links(
    links: Sequence[int],
    backends: Sequence[BackendLike],
    *,
    model: str = "llama-3.3-70b",
    input_tokens: float = 700.0,
    output_tokens: float = 300.0,
    runs: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    setting: Setting | None = None,
) -> Stacking:
    """Simulate chains of calls on several backends, over common random numbers.

    Parameters
    ----------
    links
        Numbers of links.
    backends
        Backends or providers, whose profile of `model` is taken.
    model, input_tokens, output_tokens
        What each link is: its model, what it reads beside the answer before it, what it writes.
    runs, seed, threads, progress, setting
        As for `simulate`.

    Raises
    ------
    AgentflowError
        If a backend is unknown, or a chain is longer than its context.
    """
    lengths = tuple(sorted(set(links)))
    if not lengths or not backends:
        raise UsageError("stacking needs at least one number of links and one backend")
    scenarios: list[Scenario] = []
    for length in lengths:
        scenarios += build_scenarios(chain(length, model, input_tokens, output_tokens), list(backends), None, setting)
    results = run_scenarios(scenarios, runs, seed, threads, None, progress, reasons=False)
    metrics = [Metrics(result) for result in results]
    count = len(backends)
    bands = []
    for number in range(count):
        points = tuple(
            Point(
                length,
                {name: metrics[count * i + number].column("e2e_s", STATS[name]) for name in ("mean", "p50", "p95")},
                length * output_tokens / READING,
            )
            for i, length in enumerate(lengths)
        )
        bands.append(Band(scenarios[number].label, points, _within(points)))
    return Stacking(tuple(bands), lengths, model, input_tokens, output_tokens, runs, seed)


def _within(points: Sequence[Point]) -> dict[str, int | None]:
    """Return the most links that are within each limit."""
    limits: Mapping[str, Sequence[float]] = {
        **{name: [limit] * len(points) for name, limit in LIMITS_S.items()},
        "reader": [point.reading_s for point in points],
    }
    return {
        name: max((p.links for p, most in zip(points, row, strict=True) if p.e2e_s["p95"].value <= most), default=None)
        for name, row in limits.items()
    }

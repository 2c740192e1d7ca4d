"""Backends side by side by their own figures, and the law of one backend by what a call takes."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentflow.analysis.metrics import Metrics
from agentflow.analysis.scenario import Scenario, run_scenarios
from agentflow.errors import UsageError, did_you_mean, listed, printable
from agentflow.estimate import Estimate
from agentflow.schema import Backend, Workflow
from agentflow.schema.distribution import median

OLD = datetime.timedelta(days=183)
"""Age from which a profile is called old: eleven months moved medians of speed by 27 % (docs/validation.md)."""

TOKENS = (1, 100, 500, 2000, 8000)
"""Output tokens at which a law is shown."""

Sort = Literal["name", "speed", "ttft", "total", "price", "date"]


@dataclass(frozen=True)
class Entry:
    """One backend in a list.

    Attributes
    ----------
    ttft_s, tokens_per_s, total_500_s
        Medians: time to first token, output speed, and both together for 500 output tokens; None where the law is
        not one of measurements.
    input_usd, output_usd
        Dollars a token; None without a price.
    as_of, status, old
        When it was measured, what has become of it, and whether that is more than half a year ago.
    """

    name: str
    provider: str
    model: str
    status: str
    as_of: datetime.date | None
    old: bool
    ttft_s: float | None
    tokens_per_s: float | None
    total_500_s: float | None
    input_usd: float | None
    output_usd: float | None


def entry_of(backend: Backend, today: datetime.date) -> Entry:
    """Return a backend's row."""
    law, price = backend.law.measured, backend.price
    first = speed = total = None
    if law is not None:
        first, speed = float(median(law.ttft)), float(median(law.decode_rate))
        total = first + 499.0 / speed if speed > 0.0 else None
    return Entry(
        name=backend.name,
        provider=backend.provider,
        model=backend.model,
        status=backend.status,
        as_of=backend.as_of,
        old=backend.status == "current" and backend.as_of is not None and today - backend.as_of > OLD,
        ttft_s=first,
        tokens_per_s=speed,
        total_500_s=total,
        input_usd=None if price is None else price.input,
        output_usd=None if price is None else price.output,
    )


def choose(
    entries: Sequence[Entry],
    provider: str | None = None,
    model: str | None = None,
    status: str | None = None,
    sort: Sort = "name",
) -> list[Entry]:
    """Filter and sort backends; those without the figure come last.

    Raises
    ------
    UsageError
        If no backend has that provider, model or status.
    """
    found = list(entries)
    for wanted, field in ((provider, "provider"), (model, "model"), (status, "status")):
        if wanted is None:
            continue
        left = [entry for entry in found if getattr(entry, field) == wanted]
        if not left:
            known = sorted({str(getattr(entry, field)) for entry in found})
            near = did_you_mean(wanted, known)
            way = f"did you mean {near!r}?" if near else f"there are {listed(known, 40)}"
            raise UsageError(f"no backend with {field} {printable(wanted)}; {way}")
        found = left
    return sorted(found, key=lambda entry: (_rank(entry, sort), entry.name))


def _rank(entry: Entry, sort: Sort) -> float:
    worst = float("inf")
    if sort == "speed":
        return -entry.tokens_per_s if entry.tokens_per_s is not None else worst
    if sort == "ttft":
        return entry.ttft_s if entry.ttft_s is not None else worst
    if sort == "total":
        return entry.total_500_s if entry.total_500_s is not None else worst
    if sort == "price":
        return entry.output_usd if entry.output_usd is not None else worst
    if sort == "date":
        return -entry.as_of.toordinal() if entry.as_of is not None else worst
    return 0.0


@dataclass(frozen=True)
class LawPoint:
    """What one call of `output_tokens` takes (s): to the first token, and to the last."""

    output_tokens: int
    ttft_s: dict[str, Estimate]
    total_s: dict[str, Estimate]


def law_points(
    backend: Backend, input_tokens: int = 1000, tokens: Sequence[int] = TOKENS, runs: int = 4000
) -> list[LawPoint]:
    """Simulate single calls at a backend, by output tokens; p50 and p95."""
    scenarios = []
    for count in tokens:
        step = {"type": "chat", "input_tokens": input_tokens, "output_tokens": count}
        workflow = Workflow.model_validate({"name": f"{count} tokens", "steps": {"call": step}})
        scenarios.append(Scenario(workflow.name, workflow, {"call": backend}))
    points = []
    for count, result in zip(tokens, run_scenarios(scenarios, runs, reasons=False), strict=True):
        metrics = Metrics(result)
        both = [
            {name: metrics.column(column, p) for name, p in (("p50", 0.5), ("p95", 0.95))}
            for column in ("ttft_s", "e2e_s")
        ]
        points.append(LawPoint(count, *both))
    return points

"""What the page's template is filled with: words and numbers, ready to be shown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.analysis.compare import Case
from agentflow.analysis.findings import Findings
from agentflow.analysis.metrics import NO_ANSWER
from agentflow.analysis.stack import Standout, by_component, standout
from agentflow.estimate import Estimate
from agentflow.plan import layout as L
from agentflow.report.page.data import engine_data
from agentflow.report.palette import COLOURS, dollars, seconds, share
from agentflow.report.tree import figures
from agentflow.schema import Backend, Evidence

Words = list[tuple[str, bool]]
"""A sentence in pieces, each with whether it is set in bold."""

DOMINANT = 0.15
"""Share of the mean below which the longest step explains nothing."""


@dataclass(frozen=True)
class Part:
    """A piece of a bar: its component, and where it begins and how long it is, in per cent of the longest bar."""

    component: str
    x: float
    w: float
    text: str


@dataclass(frozen=True)
class Row:
    """One scenario in the comparison."""

    label: str
    number: int
    places: str
    parts: tuple[Part, ...]
    p50_at: float
    p95_at: float
    p50: str
    p95: str
    interval: str
    drift: str
    ttft: str
    cost: str
    answered: str
    faster: str
    is_baseline: bool


@dataclass(frozen=True)
class Source:
    """A backend and where its figures come from."""

    name: str
    status: str
    kinds: str
    figures: Sequence[tuple[str, str]]
    evidence: Sequence[Evidence]


def ranked(findings: Findings) -> list[Case]:
    """Return the scenarios, the fastest first."""
    return sorted(findings.comparison.cases, key=lambda case: case.summary.e2e_s["p50"].value)


def takeaway(findings: Findings) -> Words:
    """Say the most important thing: how long it takes, on what it is fastest, where the seconds go."""
    cases = ranked(findings)
    best, base = cases[0], findings.comparison.cases[findings.comparison.baseline]
    p50, p95 = best.summary.e2e_s["p50"], best.summary.e2e_s["p95"]
    words: Words = []
    if len(cases) > 1:
        words += [(best.label, True), (" answers fastest: ", False)]
    words += [(f"half the answers within {seconds(p50.value)} s, 95 % within {seconds(p95.value)} s", True)]
    times = best.speedup["p50"]
    if best is not base and times is not None:
        words += [(", ", False), (f"{_times(times)} times as fast as ", False), (base.label, False)]
    words.append((". ", False))
    return words + _cause(best)


def _cause(case: Case) -> Words:
    mean = standout(case.summary.critical_mean_s)
    if mean is None:
        return []
    if mean.step_share < DOMINANT:
        spread = len(case.summary.critical_mean_s)
        told = f"Of the mean {seconds(mean.total_s)} s, {share(mean.component_share)} is {mean.component}"
        return [(f"{told}, spread over {spread} steps; none takes more than {share(mean.step_share)}.", False)]
    words: Words = [
        (f"Of the mean {seconds(mean.total_s)} s, ", False),
        (mean.step, True),
        (f" takes {share(mean.step_share)} ({mean.step_component}).", False),
    ]
    tail = standout(case.summary.critical_tail_s) if case.summary.critical_tail_s else None
    if tail is not None and _differs(mean, tail):
        words += [
            (" In the slowest 5 % it is ", False),
            (tail.step, True),
            (f", {share(tail.step_share)} ({tail.step_component}).", False),
        ]
    return words


def _differs(mean: Standout, tail: Standout) -> bool:
    return (mean.step, mean.step_component) != (tail.step, tail.step_component)


def _times(e: Estimate) -> str:
    half = e.half_width
    if half is None:
        return f"{e.value:.2g}"
    digits = 2 if half < 0.05 else 1
    return f"{e.value:.{digits}f} ± {max(half, 0.5 * 10**-digits):.{digits}f}"


def rows(findings: Findings) -> list[Row]:
    """Return the comparison, the fastest first."""
    cases = ranked(findings)
    comparison = findings.comparison
    most = _longest(cases)
    return [
        _row(case, comparison.cases.index(case), case is comparison.cases[comparison.baseline], most) for case in cases
    ]


def _longest(cases: Sequence[Case]) -> float:
    """Return the end of the longest bar or whisker (s)."""
    return max(max(case.summary.e2e_s["p95"].value, case.summary.e2e_s["mean"].value) for case in cases) or 1.0


def axis(findings: Findings) -> list[tuple[float, str]]:
    """Return the marks of the bars' axis: place in per cent, and what is written there."""
    most = _longest(findings.comparison.cases)
    power = 10.0 ** math.floor(math.log10(most / 4))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= most / 5)
    return [(100 * i * step / most, f"{i * step:,.10g}") for i in range(int(most / step) + 1)]


def _row(case: Case, number: int, is_baseline: bool, most: float) -> Row:
    s = case.summary
    p95, places = s.e2e_s["p95"], sorted(set(s.assignment.values()))
    times = case.speedup["p50"]
    lost = sum(s.outcomes[name].value for name in NO_ANSWER)
    return Row(
        label=case.label,
        number=number,
        places=", ".join(places[:6]) + (f" and {len(places) - 6} more" if len(places) > 6 else ""),
        parts=tuple(_parts(by_component(s.critical_mean_s), most)),
        p50_at=100 * s.e2e_s["p50"].value / most,
        p95_at=100 * p95.value / most,
        p50=seconds(s.e2e_s["p50"].value),
        p95=seconds(p95.value),
        interval="" if p95.low is None or p95.high is None else f"{seconds(p95.low)} to {seconds(p95.high)}",
        drift="{} to {}".format(*map(seconds, s.drift["p50"])) if s.drift else "",
        ttft=seconds(s.ttft_s["p50"].value),
        cost=dollars(1000 * s.cost_usd["mean"].value) if s.cost_usd else "not known",
        answered=share(1.0 - lost),
        faster="1" if is_baseline else _times(times) if times is not None else "",
        is_baseline=is_baseline,
    )


def _parts(components: dict[str, float], most: float) -> Iterator[Part]:
    x = 0.0
    for name in COLOURS:
        if components.get(name):
            w = 100 * components[name] / most
            yield Part(name, x, w, f"{name}: {seconds(components[name])} s")
            x += w


def present(findings: Findings) -> list[str]:
    """Return the components that any bar has, in their order."""
    found = {name for case in findings.comparison.cases for name in by_component(case.summary.critical_mean_s)}
    return [name for name in COLOURS if name in found]


def sources(findings: Findings) -> list[Source]:
    """Return every backend that was used, with its evidence."""
    return [_source(backend) for _, backend in sorted(findings.backends.items())]


def _source(backend: Backend) -> Source:
    kinds = Counter(kind for item in backend.evidence for kind in [item.kind] * len(item.figures))
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "no evidence given"
    status = backend.status + (f", as of {backend.as_of}" if backend.as_of else "")
    return Source(backend.name, status, told, list(figures(backend)), backend.evidence)


def page_data(findings: Findings) -> dict[str, Any]:
    """Return what the page's script reads."""
    plan, cases = findings.merged.plan, findings.comparison.cases
    first = ranked(findings)[0]
    steps = findings.merged.spec_steps
    return {
        "engine": engine_data(findings.merged, cases[0].result.seed),
        "start": cases.index(first),
        "labels": [case.label for case in cases],
        "steps": list(plan.steps),
        "types": list(plan.step_types),
        "specSteps": list(steps),
        "places": [
            [
                scenario.assignment[plan.steps[step]].name if plan.steps[step] in scenario.assignment else None
                for step in steps
            ]
            for scenario in findings.scenarios
        ],
        "components": list(L.COMPONENTS),
        "outcomes": list(plan.outcome_names),
        "priced": plan.priced,
        "checks": [check.tolist() for check in findings.checks],
        "runs": cases[0].result.runs,
    }

"""The report of `explain`: where the seconds go, in the mean and in the slow tail, and what of them is lost."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentflow.analysis.insight.explain import Explanation, StepBlame
from agentflow.report.palette import COLOURS, SIGNS, portion, seconds, share
from agentflow.report.tables import headline
from agentflow.report.text import grid, interval, is_ascii, plain, runs

MOST_STEPS = 40
"""Steps that get a row; of more, those with the most seconds."""

_LOSSES = {
    "failed_attempts": "attempts that failed",
    "backoff": "waits between tries",
    "queue": "queues and stalls",
    "hedge_wait": "waits for a hedge",
    "slowest_branch": "waits for the last branch",
}


def explain_report(explanation: Explanation, console: Console) -> RenderableType:
    """Show where the seconds of one scenario go."""
    summary = explanation.summary
    mean, p95 = summary.e2e_s["mean"], summary.e2e_s["p95"]
    line = Text("answer  ").append(f"mean {seconds(mean.value)} s {interval(mean)}")
    line.append(f", p95 {seconds(p95.value)} s {interval(p95)}")
    parts: list[RenderableType] = [headline(summary), line]
    if explanation.tail_runs:
        parts.append(
            Text(
                f"tail    the {runs(explanation.tail_runs)} at or above the p95, "
                f"mean {seconds(explanation.tail_total_s)} s",
                "dim",
            )
        )
    parts += [Text(), steps_table(explanation), Text(), components_table(explanation, console), Text()]
    losses = losses_table(explanation)
    parts += [
        losses if losses.row_count else Text("nothing is lost to retries, queues or slow branches", "dim"),
        Text(),
    ]
    parts += [reading(explanation), *notes(explanation)]
    return Group(*parts)


def steps_table(explanation: Explanation) -> Table:
    """Show each step's part in the critical path."""
    rows = [step for step in explanation.steps if step.slack_s or step.unbounded_share or step.mean_s]
    least = sorted((_total(step.mean_s) for step in rows), reverse=True)[:MOST_STEPS]
    rows = [step for step in rows if _total(step.mean_s) >= least[-1]][:MOST_STEPS]
    tail = explanation.tail_runs > 0
    columns = ["step", ">critical\nin", ">slack\ns", ">mean\ns", ">share\n"]
    table = grid(*columns, *([">tail\ns", ">share\n", ">of what\nit adds"] if tail else []), wrap=(0,))
    added = explanation.tail_total_s - explanation.mean_total_s
    for step in rows:
        mean, slow = _total(step.mean_s), _total(step.tail_s)
        cells = [share(step.critical_share.value), _slack(step), seconds(mean), _of(mean, explanation.mean_total_s)]
        if tail:
            cells += [seconds(slow), _of(slow, explanation.tail_total_s), _of(slow - mean, added)]
        table.add_row(plain(step.path, limit=28), *cells)
    return table


def components_table(explanation: Explanation, console: Console) -> Table:
    """Show the components of the critical path, for the mean and for the slow tail."""
    (mean, slow), tail = explanation.components_s, explanation.tail_runs > 0
    ascii_only, width = is_ascii(console), max(8, min(24, (console.width - 44) // 2))
    bars = ["", ">tail\ns", ">share\n", ""] if tail else [""]
    table = grid("component", ">mean\ns", ">share\n", *bars)
    for name in COLOURS:
        a, b = mean.get(name, 0.0), slow.get(name, 0.0)
        if a <= 0.0 and b <= 0.0:
            continue
        cells: list[str | Text] = [
            seconds(a),
            _of(a, explanation.mean_total_s),
            _bar(name, a, explanation.mean_total_s, width, ascii_only),
        ]
        if tail:
            cells += [seconds(b), _of(b, explanation.tail_total_s)]
            cells += [_bar(name, b, explanation.tail_total_s, width, ascii_only)]
        table.add_row(name, *cells)
    return table


def losses_table(explanation: Explanation) -> Table:
    """Show what the critical path loses."""
    tail = explanation.tail_runs > 0
    table = grid(
        "lost to", ">mean\ns", ">share\n", *([">tail\ns", ">share\n"] if tail else []), "most at\n", wrap=(0, 3, 5)
    )
    for loss in explanation.losses:
        if loss.mean_s.value <= 0.0 and (loss.tail_s is None or loss.tail_s.value <= 0.0):
            continue
        cells = [seconds(loss.mean_s.value), portion(loss.mean_share)]
        if tail and loss.tail_s is not None and loss.tail_share is not None:
            cells += [seconds(loss.tail_s.value), portion(loss.tail_share)]
        worst = max(loss.steps_s, key=lambda step: loss.steps_s[step], default="")
        table.add_row(_LOSSES[loss.name], *cells, plain(worst, limit=28))
    return table


def reading(explanation: Explanation) -> Text:
    """Say what makes the slow runs slow."""
    added = explanation.tail_total_s - explanation.mean_total_s
    if explanation.tail_runs == 0 or added <= 0.0:
        return Text("The runs are too few, or too alike, to have a slow tail.")
    gains = {step.path: _total(step.tail_s) - _total(step.mean_s) for step in explanation.steps}
    step = max(gains, key=lambda name: gains[name])
    mean, slow = explanation.components_s
    parts = {name: slow.get(name, 0.0) - mean.get(name, 0.0) for name in {**mean, **slow}}
    part = max(parts, key=lambda name: parts[name])
    text = Text(f"A slow run takes {seconds(added)} s more than the mean one: ")
    text.append_text(plain(step, "bold")).append(f" adds {portion(gains[step] / added)} of that; ")
    return text.append(f"over all steps {part} adds {portion(parts[part] / added)}.")


def notes(explanation: Explanation) -> list[RenderableType]:
    """Say what the words mean."""
    lines = [
        "slack: how much longer a step could take without moving the answer, mean over the runs in which it ran "
        f"(of {runs(explanation.slack_runs)})"
    ]
    most = max((_total(step.tail_s) - _total(step.mean_s) for step in explanation.steps), default=0.0)
    if 0.0 < explanation.tail_total_s - explanation.mean_total_s < most:
        lines.append("over 100 %: other steps take less time in a slow run than in the mean one")
    if any(loss.name == "slowest_branch" and loss.mean_s.value > 0.0 for loss in explanation.losses):
        lines.append("waits for the last branch: all others that the join waits for were in")
    if explanation.recorded_runs < explanation.summary.runs:
        lines.append(f"lost: over the first {runs(explanation.recorded_runs)}")
    return [Text(line, "dim") for line in lines]


def _bar(name: str, part: float, whole: float, width: int, ascii_only: bool) -> Text:
    """Draw a component's share."""
    length = round(width * part / whole) if whole > 0.0 else 0
    return Text(SIGNS[name][ascii_only] * length, COLOURS[name])


def _slack(step: StepBlame) -> str:
    """Write a step's slack."""
    if step.slack_s is None:
        return "any" if step.unbounded_share > 0.0 else ""
    return seconds(step.slack_s.value)


def _of(part: float, whole: float) -> str:
    """Write a share."""
    return portion(part / whole) if whole > 0.0 else ""


def _total(row: dict[str, float]) -> float:
    """Sum the seconds over the components."""
    return sum(row.values())

"""What would help and what a target would need, as tables of the terminal and as rows of a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from agentflow.analysis.insight.breakeven import BreakEven, BreakEvens
from agentflow.analysis.insight.whatif import MATTERS, Ranking, WhatIf
from agentflow.errors import listed, printable
from agentflow.estimate import Estimate
from agentflow.report.page.render import Extra
from agentflow.report.palette import dollars, seconds, share
from agentflow.report.text import grid, interval, plain

MOST_ROWS = 12
"""Changes that are shown; JSON has all."""

FRESH = (
    "fresh runs: the changes were chosen on the runs above and are measured on others, so that luck does not count; "
    "hence another {} than above"
)
REDRAWN = (
    "a hedge or a retry draws the length of its answer anew, so it also rescues from a long answer; where the question "
    "decides the length, it gains less"
)

_NAMES = {"speed": "output speed", "ttft": "first token", "both": "speed and first token", "time": "its time"}


def ranking_report(ranking: Ranking) -> RenderableType:
    """Show what would help, the best first, and the steps to which nothing does."""
    shown = helping(ranking)
    basis = ranking.e2e_s[ranking.basis]
    head = Text("what would help  ", "bold").append(
        f"{len(ranking.rows)} changes tried, on the same draws; {ranking.basis} now {seconds(basis.value)} s "
        f"{interval(basis)} on fresh runs",
        "not bold",
    )
    priced = any(row.cost_usd is not None for row in shown)
    columns = ["step", "change", f">{ranking.basis}\nsooner", "95 %\ninterval", f">{ranking.basis}\nthen"]
    table = grid(*columns, *([">$ more\n1,000 runs"] if priced else []), wrap=(0, 1))
    for row in shown[:MOST_ROWS]:
        cells = gain_cells(row, ranking.basis)
        cost = [_more_dollars(row.cost_usd)] if priced else []
        table.add_row(plain(row.change.step, limit=28), plain(described(row)), *cells, *cost)
    body: list[RenderableType] = [table] if shown else [Text("nothing that was tried helps")]
    lines = [Text(line, "dim") for line in ranking_notes(ranking)]
    return Group(head, *body, *lines)


def helping(ranking: Ranking) -> list[WhatIf]:
    """Return the changes that help, in order."""
    return [row for row in ranking.rows if row.helps]


def gain_cells(row: WhatIf, basis: str) -> list[str]:
    """Write a gain, its interval and the figure with the change (s)."""
    gain = row.gain_s[basis]
    return [seconds(gain.value), interval(gain), seconds(row.e2e_s[basis].value)]


def described(row: WhatIf) -> str:
    """Write a change with its proviso."""
    return f"{row.change.description}, {row.change.proviso}" if row.change.proviso else row.change.description


def ranking_notes(ranking: Ranking) -> list[str]:
    """Say what else was found."""
    found, shown = [FRESH.format(ranking.basis)], helping(ranking)
    if any(row.change.kind == "hedge" or "hedge" in row.change.description for row in shown):
        found.append(REDRAWN)
    if len(shown) > MOST_ROWS:
        most = max(row.gain_s[ranking.basis].value for row in shown[MOST_ROWS:])
        found.append(f"{len(shown) - MOST_ROWS} more help, by {seconds(most)} s at most")
    if nothing := ranking.steps_that("nothing"):
        found.append(
            f"nothing you do to {_names(nothing)} helps: nothing that was tried gains {100 * MATTERS:.0f} % of the "
            f"{ranking.basis}"
        )
    if unsettled := ranking.steps_that("unsettled"):
        found.append(f"not settled with {ranking.runs:,} runs: whether anything helps at {_names(unsettled)}")
    if untried := ranking.steps_that("untried"):
        found.append(f"nothing was tried at {_names(untried)}")
    for row in [row for row in ranking.rows if row.fails_more][:3]:
        lost = share(row.unanswered.value)
        found.append(
            f"{printable(row.change.step, 40)} {row.change.description}: {lost} of the runs more get no answer"
        )
    return found


def ranking_extra(ranking: Ranking, where: str = "") -> Extra:
    """Return the same as a table of a page; `where` names the backend, where there are several."""
    shown, basis = helping(ranking)[:MOST_ROWS], ranking.basis
    columns = ["Step", "Change", f"{basis} sooner (s)", "95 % interval", f"{basis} then (s)", "1,000 answers cost more"]
    rows = [
        (row.change.step, described(row), *gain_cells(row, basis), _more_dollars(row.cost_usd) or "not known")
        for row in shown
    ]
    tried = f"{len(ranking.rows)} changes, each simulated on the same {ranking.runs:,} draws"
    now = f"the {basis} is {seconds(ranking.e2e_s[basis].value)} s as it is, on these fresh runs"
    none = [] if rows else ["none of them is shown to help"]
    notes = "; ".join([f"Tried were {tried}; {now}", *none, *ranking_notes(ranking)])
    return Extra(f"What would help{where and ' on '}{where}", columns, rows, f"{notes}.", (2, 3, 4, 5))


def break_even_report(found: BreakEvens) -> RenderableType:
    """Show what a target would need, and of which steps nothing suffices."""
    head = Text(f"{printable(found.target.text, 40)}  ", "bold").append(
        f"now {seconds(found.now_s.value)} s {interval(found.now_s)}: {verdict(found)}", "not bold"
    )
    enough = [row for row in found.rows if row.factor is not None]
    table = grid("step", "what", ">times as fast", "95 % interval", "needed", wrap=(0, 1, 4))
    for row in enough:
        table.add_row(plain(row.step or "all model calls", limit=28), _NAMES[row.what], *factor_cells(row), needed(row))
    lines = [Text(line) for line in never(found)]
    body: list[RenderableType] = [Text("any one of these suffices:"), table] if enough else []
    return Group(head, *body, *lines)


def verdict(found: BreakEvens) -> str:
    """Say whether a target is met."""
    return {True: "met", False: "not met", None: "the runs cannot tell"}[found.met]


def factor_cells(row: BreakEven) -> list[str]:
    """Write a factor and its interval."""
    assert row.factor is not None
    low, high = row.factor.low or 1.0, row.factor.high
    top = "no bound" if high is None or math.isinf(high) else _times(high)
    return [_times(row.factor.value), f"[{_times(low)}, {top}]"]


def _times(factor: float) -> str:
    """Write a factor with three figures."""
    return f"{factor:.3g}" if factor < 1000 else f"{factor:,.0f}"


def needed(row: BreakEven) -> str:
    """Write what is needed in the step's own unit, and what there is."""
    if row.needed is None or row.now is None:
        return ""
    if row.what == "speed":
        return f"{row.needed.value:,.0f} tok/s, now {row.now:,.0f}"
    return f"{seconds(row.needed.value)} s, now {seconds(row.now)}"


def never(found: BreakEvens) -> list[str]:
    """Say of what nothing suffices, and what is in the way."""
    figure = found.target.gate.metric.removeprefix("e2e.").removeprefix("e2e_s.")
    lines = []
    both = [row for row in found.rows if row.what == "both"]
    whole = both[0] if both and (both[0].step is None or len(both) == 1) else None
    if whole is not None and whole.factor is None:
        lines.append(
            f"no speed suffices: with all model calls in no time the {figure} is {seconds(whole.floor_s.value)} s; "
            + _rest(whole)
        )
    steps = dict.fromkeys(row.step for row in found.rows if row.step is not None)
    alone = [step for step in steps if all(row.factor is None for row in found.rows if row.step == step)]
    if alone and not (len(alone) == len(steps) == 1 and lines):
        best = min((row for row in found.rows if row.step in alone), key=lambda row: row.floor_s.value)
        told = f"no speed of {_names(alone)} alone suffices"
        rest = f": {printable(best.step or '', 40)} in no time leaves {seconds(best.floor_s.value)} s; {_rest(best)}"
        lines.append(told + rest)
    for row in found.rows:
        if row.factor is None and row.step not in alone and row.what in ("speed", "ttft") and row.step is not None:
            what = "output speed" if row.what == "speed" else "TTFT"
            lines.append(
                f"no {what} of {printable(row.step, 40)} alone suffices: {seconds(row.floor_s.value)} s are left"
            )
    if found.unscalable:
        lines.append(f"a deployment's speed is not a figure to change, so not asked of: {_names(found.unscalable)}")
    return lines


def _rest(row: BreakEven) -> str:
    """Say what is in the way."""
    if row.left_step is None:
        return "nothing else takes time"
    kind = {"tool": "the tool ", "human": "the person at "}.get(row.left_component or "", "")
    own = f" ({row.left_component})" if not kind else ""
    return f"{kind}{printable(row.left_step, 40)} takes {seconds(row.left_s)} s of it{own}"


def _names(steps: Sequence[str]) -> str:
    """List steps."""
    return listed([printable(step, 40) for step in steps], 8)


def _more_dollars(cost: Estimate | None) -> str:
    """Write what a run costs more, or less."""
    if cost is None:
        return ""
    more = 1000.0 * cost.value
    if abs(more) < 5e-5:
        return "0"
    return f"{'+' if more > 0.0 else '-'}{dollars(abs(more))}"

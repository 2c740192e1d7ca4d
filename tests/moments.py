"""Workflows in which a call that costs money ends at the moment when another, which the budget may stop, starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.make import Step, backend, chat, fan, loop, nested, tool, workflow
from tests.strategies import Case

PRICE = {"input": "$0/Mtok", "output": "$0/Mtok", "per_call": 0.001}
FREE = backend("free", price={"input": "$0/Mtok", "output": "$0/Mtok"})
PAID = backend("paid", price=PRICE)
SLOW = backend("slow", ttft=2.0, price=PRICE)
AT_ONCE = backend("at-once", price=PRICE, errors={"context_overflow": {"probability": 1.0}})
"""A backend at which calls fail, and cost, in no time."""

END = tool(0.25)
TOOL = tool(1.0)


@dataclass(frozen=True)
class Moment:
    """A case and what follows of it: the outcome, E2E (s), dollars."""

    case: Case
    outcome: str
    e2e_s: float
    cost_usd: float


def fails(*needs: str) -> Step:
    """Make a call whose failure, if it is one of `AT_ONCE`, goes on to the step `end`."""
    return chat(0, *needs, catch=_caught("context_overflow"))


def _caught(*errors: str) -> list[dict[str, Any]]:
    return [{"errors": list(errors), "to": "end"}]


def _inside(steps: dict[str, Step], *needs: str, **more: Any) -> Step:
    return nested(workflow(steps), *needs, **more)


def _case(steps: dict[str, Step], usual: Any, at_once: Sequence[str] = (), usd: float = 0.0007) -> Case:
    places = {"*": usual, **dict.fromkeys(at_once, AT_ONCE)}
    return Case(workflow({**steps, "end": END}, budget={"usd": usd}), places)


_failing = _inside({"tool": TOOL, "fails": fails("tool"), "end": END})
_deeper = _inside({"in": _failing})
_asking = _inside({"tool": TOOL, "asks": chat(0, "tool")})
_racing = _inside({"loses": chat(0), "tool": TOOL, "wins": tool(0.5, "tool", "loses", join="any")})
_cut = _inside({"cut": chat(0), "tool": TOOL, "fails": chat(0, "tool")}, catch=_caught("context_overflow"))
_asks = chat(0, "tool")
_wins = tool(0.5, "tool", "loses", join="any")
_again = loop(2, {"tool": TOOL}, continue_probability=1.0)
_dear = loop(2, {"asks": chat(0)}, continue_probability=1.0)

MOMENTS = {
    "started before": Moment(_case({"asks": chat(0), "fails": fails()}, FREE, ["fails"]), "answered", 1.0, 0.001),
    "started after": Moment(
        _case({"fails": fails(), "asks": chat(0)}, FREE, ["fails"]), "budget_exceeded", 0.0, 0.001
    ),
    "before the join that cuts": Moment(
        _case({"loses": chat(0), "tool": TOOL, "asks": _asks, "wins": _wins}, SLOW), "answered", 3.0, 0.002
    ),
    "after the join that cuts": Moment(
        _case({"loses": chat(0), "tool": TOOL, "wins": _wins, "asks": _asks}, SLOW), "budget_exceeded", 1.0, 0.001
    ),
    "before the join that cuts a body": Moment(
        _case({"loses": _inside({"in": chat(0)}), "tool": TOOL, "asks": _asks, "wins": _wins}, SLOW),
        "answered",
        3.0,
        0.002,
    ),
    "a body under way with a join that cuts": Moment(
        _case({"tool": TOOL, "asks": _asks, "inner": _racing}, SLOW), "budget_exceeded", 1.0, 0.001
    ),
    "a body under way in which it fails": Moment(
        _case({"tool": TOOL, "asks": _asks, "inner": _failing}, FREE, ["inner.fails"]), "budget_exceeded", 1.0, 0.001
    ),
    "a body under way that fails": Moment(
        _case({"tool": TOOL, "asks": _asks, "inner": _cut}, SLOW, ["inner.fails"], usd=0.0015),
        "budget_exceeded",
        1.0,
        0.002,
    ),
    "a body under way that asks": Moment(
        _case({"tool": TOOL, "fails": fails("tool"), "inner": _asking}, FREE, ["fails"]), "answered", 2.0, 0.001
    ),
    "of two bodies the first asks": Moment(
        _case({"first": _asking, "second": _failing}, FREE, ["second.fails"]), "answered", 2.0, 0.001
    ),
    "of two bodies the first asks, the second is deeper": Moment(
        _case({"first": _asking, "second": _deeper}, FREE, ["second.in.fails"]), "answered", 2.0, 0.001
    ),
    "of two bodies the second asks": Moment(
        _case({"first": _failing, "second": _asking}, FREE, ["first.fails"]), "budget_exceeded", 1.0, 0.001
    ),
    "a loop goes on": Moment(
        _case({"tool": TOOL, "fails": fails("tool"), "again": _again}, FREE, ["fails"]), "answered", 2.0, 0.001
    ),
    "a loop of calls goes on": Moment(
        _case({"tool": TOOL, "fails": fails("tool"), "again": _dear}, PAID, ["fails"], usd=0.0025),
        "answered",
        2.0,
        0.003,
    ),
    "rounds in no time": Moment(
        _case({"again": loop(3, {"fails": fails(), "end": END}, continue_probability=1.0), "asks": chat(0)}, FREE,
              ["again.fails"]),
        "budget_exceeded", 0.0, 0.001,
    ),
    "instances at once": Moment(
        _case({"first": chat(0), "all": fan(1, {"fails": fails(), "end": END})}, FREE, ["all.fails"]),
        "answered", 1.0, 0.001,
    ),
}  # fmt: skip

_first = {"input_tokens": {"own": 5, "from": {"never.out": 1.0}}, "join": "any"}
NEVER_STARTED = Case(
    workflow(
        {
            "soon": TOOL,
            "late": tool(2.0),
            "never": fan(1, {"out": tool(1.0, output_tokens=10)}, "soon", "late"),
            "first": chat(0, "soon", "late", "never", **_first),
        }
    ),
    {"*": FREE},
)
"""A step starts, and takes in what a composite hands on, before that composite, which it cancels, has started."""

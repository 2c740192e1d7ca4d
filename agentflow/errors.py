"""What can go wrong, as one tree of exceptions.

::

    AgentflowError
    ├── DocumentError       a document cannot be read; .problems, all of them at once
    ├── NotFoundError       no such name in the catalogue
    ├── PlanError           a workflow cannot be compiled; .problems
    ├── UsageError          a flag or an expression makes no sense
    ├── CalibrationError    measurements do not support a profile
    └── CapacityError       hardware cannot hold what is asked of it

Each of them is the user's to mend: the command prints its text and exits with 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SHOWN = 60  # characters of a user's own text that a message repeats


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a document, where it is, and the way out.

    Parameters
    ----------
    file : str
        Name of the file as the user gave it; empty where there is none.
    line, column : int
        Place in the file, both from 1; 0 where it is not known.
    path : str
        Place in the document, such as ``steps.plan.needs``.
    message : str
        What is wrong.
    hint : str or None
        The way out.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        place = printable(self.file, 1000)
        if self.line:
            place += f":{self.line}:{self.column}"
        head = f"{place}: " if place else ""
        where = f"{printable(self.path, 400)}: " if self.path else ""
        tail = f"; {self.hint}" if self.hint else ""
        return head + where + self.message + tail


class AgentflowError(Exception):
    """Whatever this package raises on purpose."""


class _ProblemsError(AgentflowError):
    """An error that lists problems.

    Parameters
    ----------
    problems : iterable of Problem, or str
        A bare text stands for one problem without a place.
    """

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = (Problem("", 0, 0, "", problems),)
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[_ProblemsError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class DocumentError(_ProblemsError):
    """A document cannot be read; `problems` holds everything wrong with it."""


class PlanError(_ProblemsError):
    """A workflow cannot be compiled; `problems` holds everything wrong with it."""


class NotFoundError(AgentflowError):
    """The catalogue has no document of this name."""


class NoProfileError(NotFoundError):
    """A provider has no profile of this model."""


class UsageError(AgentflowError):
    """A flag, a value or an expression given by the user makes no sense."""


class CalibrationError(AgentflowError):
    """Measurements do not support the profile asked of them."""


class CapacityError(AgentflowError):
    """Hardware cannot hold what is asked of it."""


def printable(text: str, limit: int = _SHOWN) -> str:
    """Text that is safe on a terminal: what does not print is escaped, what is long is cut.

    Parameters
    ----------
    text : str
        Any text, a hostile one too.
    limit : int
        Characters kept.

    Examples
    --------
    >>> printable("a" * 80, 5)
    'aaaaa…'
    """
    cut = text if len(text) <= limit else text[:limit] + "…"
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def quoted(value: object, limit: int = _SHOWN) -> str:
    """Show a user's own value in a message: texts in quotes, big things cut or only named.

    Examples
    --------
    >>> quoted("palner")
    "'palner'"
    >>> quoted([1, 2])
    'a list'
    """
    if isinstance(value, str):
        return f"'{printable(value, limit)}'"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return printable(type(value).__name__, limit)


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Join names for a message, the first `limit` of them.

    Examples
    --------
    >>> listed(["a", "b", "c"], 2)
    'a, b ... (3 in all)'
    """
    every = list(names)
    text = ", ".join(printable(name) for name in every[:limit])
    return text if len(every) <= limit else f"{text} ... ({len(every)} in all)"


def did_you_mean(name: str, options: Iterable[str]) -> str | None:
    """Find the option that was probably meant.

    Parameters
    ----------
    name : str
        What the user wrote.
    options : iterable of str
        What would have been right.

    Returns
    -------
    str or None
        The nearest option within about a third of the letters, or None.

    Examples
    --------
    >>> did_you_mean("palner", ["planner", "writer"])
    'planner'
    """
    if len(name) > 100:
        return None
    wanted = name.casefold().replace("-", "_")
    best: str | None = None
    least = max(2.0, (len(wanted) + 2) // 3 + 0.5) if len(wanted) > 2 else 1.5
    for option in options:
        candidate = option.casefold().replace("-", "_")
        if abs(len(candidate) - len(wanted)) >= least:
            # A cut name ("cont" for "context") is near however long the rest is.
            if len(wanted) >= 3 and candidate.startswith(wanted) and best is None:
                best = option
            continue
        distance = _distance(wanted, candidate, least)
        if distance < least:
            best, least = option, distance
    return best


def meant(name: str, options: Iterable[str]) -> str | None:
    """Ask whether the nearest option was meant.

    Examples
    --------
    >>> meant("palner", ["planner", "writer"])
    "did you mean 'planner'?"
    """
    near = did_you_mean(name, options)
    return f"did you mean '{near}'?" if near else None


def _distance(a: str, b: str, bound: float) -> float:
    """Optimal string alignment distance of two words, or `bound` once it cannot be below."""
    if a == b:
        return 0.0
    before: Sequence[int] = ()
    last: Sequence[int] = range(len(b) + 1)
    for i, x in enumerate(a):
        row = [i + 1]
        for j, y in enumerate(b):
            cost = min(last[j] + (x != y), last[j + 1] + 1, row[j] + 1)
            if i and j and x == b[j - 1] and y == a[i - 1]:
                cost = min(cost, before[j - 1] + 1)
            row.append(cost)
        if min(row) >= bound:
            return bound
        before, last = last, row
    return float(last[-1])

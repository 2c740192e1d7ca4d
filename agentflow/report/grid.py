"""Tables without lines that never cut a number: what does not fit a narrow terminal is laid out anew, not truncated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_LONGEST_NAME, _LONGEST_WORD = 40, 28
"""Letters of a name in the first column, and of a word in the others, that are not folded while there is room."""


@dataclass(frozen=True)
class _Column:
    """A column: its title, its alignment, and whether its cells may be folded."""

    title: str
    right: bool
    wrap: bool


class Grid(Table):
    """A table that chooses its layout when it is printed.

    The first of these that fits the width: as it is; with narrow gaps and titles of several lines; with each row's
    first cell on a line of its own; each row as a list of its cells.
    """

    def __init__(self, columns: Sequence[str], header: bool, wrap: Sequence[int], gap: int) -> None:
        super().__init__(box=None, show_header=header, pad_edge=False, header_style="dim", padding=(0, gap, 0, 0))
        self._made = [_Column(title.lstrip(">"), title.startswith(">"), i in wrap) for i, title in enumerate(columns)]
        self._cells: list[list[Text]] = []
        self._gap = gap
        for column in self._made:
            self._add(self, column)

    @staticmethod
    def _add(table: Table, column: _Column, title: str | None = None, width: int | None = None) -> None:
        table.add_column(
            column.title if title is None else title,
            justify="right" if column.right else "left",
            no_wrap=not column.wrap,
            overflow="fold",
            width=width,
        )

    def add_row(self, *renderables: RenderableType | None, style: object = None, end_section: bool = False) -> None:
        """Add a row of texts."""
        super().add_row(*renderables, end_section=end_section)
        self._cells.append([cell if isinstance(cell, Text) else Text(str(cell or "")) for cell in renderables])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Print the first layout that fits."""
        every = list(range(len(self._made)))
        titles = [column.title for column in self._made]
        if self._widths(every, titles, self._gap, options.max_width) is not None:
            yield from self._table(every, titles, self._gap, options.max_width, self._cells, console, options)
            return
        narrow = level([self._folded(i) for i in every])
        if self._widths(every, narrow, 1, options.max_width) is not None:
            yield from self._table(every, narrow, 1, options.max_width, self._cells, console, options)
            return
        rest = every[1:]
        titles[1:] = level([self._folded(i) for i in rest]) if rest else []
        if not rest or self._widths(rest, titles, 1, options.max_width - 2) is None:
            yield from self._records()
            return
        if self.show_header:
            yield Text(_flat(titles[0]), "dim")
            yield from self._table(rest, titles, 1, options.max_width, [], console, options, 2)
        for row in self._cells:
            yield row[0]
            yield from self._table(rest, titles, 1, options.max_width, [row], console, options, 2, bare=True)

    def _folded(self, number: int) -> str:
        """Return a title in several lines if it is wider than its cells."""
        title = self._made[number].title
        cells = max((cell_len(line) for row in self._cells for line in row[number].plain.split("\n")), default=0)
        wide = max((cell_len(line) for line in title.split("\n")), default=0)
        if wide <= cells:
            return title
        words = title.replace("95 %", "95\u00a0%").split()
        return fill(" ".join(words), max(1, cells, *map(cell_len, words)), break_long_words=False)

    def _widths(self, columns: Sequence[int], titles: Sequence[str], gap: int, room: int) -> dict[int, int] | None:
        """Return the columns' widths; None where they do not fit."""
        wide, least = {}, {}
        for i in columns:
            texts = [row[i].plain for row in self._cells] + ([titles[i]] if self.show_header else [])
            wide[i] = max((cell_len(line) for text in texts for line in text.split("\n")), default=0)
            word = max((cell_len(word) for text in texts for word in text.split()), default=0)
            least[i] = min(word, _LONGEST_WORD if i else _LONGEST_NAME) if self._made[i].wrap else wide[i]
        left = room - gap * (len(columns) - 1) - sum(least.values())
        if left < 0:
            return None
        # What is left is shared out by what each column lacks, so that rows stay low.
        while left > 0 and (lacks := {i: wide[i] - least[i] for i in columns if least[i] < wide[i]}):
            share = {i: max(1, left * lack // sum(lacks.values())) for i, lack in lacks.items()}
            for i, more in sorted(share.items(), key=lambda item: lacks[item[0]]):
                more = min(more, lacks[i], left)
                least[i] += more
                left -= more
        return least

    def _table(
        self, columns: Sequence[int], titles: Sequence[str], gap: int, room: int, rows: Sequence[Sequence[Text]],
        console: Console, options: ConsoleOptions, indent: int = 0, bare: bool = False,
    ) -> RenderResult:  # fmt: skip
        """Print some columns of some rows."""
        widths = self._widths(columns, titles, gap, room - indent) or {}
        header = self.show_header and not bare
        table = Table(box=None, show_header=header, pad_edge=False, header_style="dim", padding=(0, gap, 0, 0))
        for i in columns:
            self._add(table, self._made[i], titles[i], max(1, widths[i]))
        for row in rows:
            table.add_row(*(row[i] for i in columns))
        if not indent:
            yield from table.__rich_console__(console, options)
            return
        yield Padding(table, (0, 0, 0, indent))

    def _records(self) -> RenderResult:
        """Print each row as a list of its cells."""
        for row in self._cells:
            yield Text(f"{_flat(self._made[0].title)}: " if self._made[0].right else "", "dim").append_text(row[0])
            for column, cell in zip(self._made[1:], row[1:], strict=True):
                if cell.plain:
                    title = _flat(column.title)
                    yield Text(f"  {title}: " if title and self.show_header else "  ", "dim").append_text(cell)


def _flat(title: str) -> str:
    """Write a title in one line."""
    return " ".join(title.split())


def level(titles: Sequence[str]) -> list[str]:
    """Let titles of several lines end on the same line."""
    most = max(title.count("\n") for title in titles)
    return ["\n" * (most - title.count("\n")) + title for title in titles]

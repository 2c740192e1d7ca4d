"""Tables in narrow terminals: numbers whole, names whole."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.text import Text

from agentflow.report.palette import count, dollars, seconds
from agentflow.report.text import grid

NUMBERS = ["[33,471, 35,774]", "1,234,567", "99.95 %"]


def printed(width: int) -> str:
    table = grid("seconds", ">to the answer", "95 % interval", ">of all the runs", wrap=(0,))
    table.add_row("anthropic/claude-sonnet-4.5", Text(NUMBERS[1]), NUMBERS[0], NUMBERS[2])
    table.add_row("groq", "1", "[0.9, 1.1]", "1 %")
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.mark.parametrize("width", [120, 80, 72, 60, 50, 40])
def test_no_width_cuts_a_number_or_a_name(width: int) -> None:
    text = printed(width)
    assert all(number in text for number in [*NUMBERS, "anthropic/claude-sonnet-4.5"])
    assert max(map(len, text.splitlines())) <= width


def test_a_long_name_gets_a_line_of_its_own_before_it_is_folded() -> None:
    table = grid("holds", ">runs/s", "first used up", wrap=(0, 2))
    name = "deployments/llama-3.1-70b-8xh100"
    table.add_row(name, "1.32", f"{name}, at 2.16 runs/s")
    console = Console(width=62, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(table)
    assert name in [line.strip() for line in capture.get().splitlines()]


def test_a_wide_terminal_gets_one_line_a_row() -> None:
    assert len(printed(80).strip().splitlines()) == 3


def test_titles_of_several_lines_end_on_the_same_line() -> None:
    lines = printed(65).splitlines()
    last = lines[next(i for i, line in enumerate(lines) if line.startswith("anthropic")) - 1]
    assert lines[0].strip() != last.strip()
    assert all(word in last.split() for word in ("seconds", "answer", "interval", "runs"))


def test_a_number_that_heads_a_record_has_its_title() -> None:
    table = grid(">output\ntokens", ">" + "much too long a title")
    table.add_row("7", "9" * 30)
    console = Console(width=20, color_system=None)
    with console.capture() as capture:
        console.print(table)
    assert capture.get().splitlines()[0] == "output tokens: 7"


@pytest.mark.parametrize(
    ("written", "short"),
    [
        (seconds(1.23456e9), "1.23e+09"),
        (seconds(34_557.0), "34,557"),
        (count(8_546_900.0), "8.55M"),
        (count(1.5e9), "1.5G"),
        (count(30_500.0), "30.5k"),
        (dollars(1_234_567.0), "$1.23M"),
        (dollars(12_345.6), "$12,345.60"),
        (dollars(3e18), "$3e+18"),
    ],
)
def test_huge_numbers_are_short(written: str, short: str) -> None:
    assert written == short

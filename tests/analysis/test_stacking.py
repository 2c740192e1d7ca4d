"""Chains of calls: their time is that of their calls, and what fits is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentflow.analysis.insight.stacking import READING, chain, parse_links, stack_links
from agentflow.cli import run
from agentflow.errors import UsageError
from tests.make import backend


@pytest.mark.parametrize(
    ("text", "links"), [("1..4", (1, 2, 3, 4)), ("8,1, 2..3", (1, 2, 3, 8)), ("5", (5,)), ("3..3", (3,))]
)
def test_numbers_of_links_are_read(text: str, links: tuple[int, ...]) -> None:
    assert parse_links(text) == links


@pytest.mark.parametrize("text", ["", "0..3", "4..2", "1...3", "a", "1..201", "-1"])
def test_what_is_no_number_of_links_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--links"):
        parse_links(text)


def test_a_chain_takes_the_time_of_its_calls() -> None:
    """The first link reads 100 tokens, each other 100 and the 81 before it; prefill 100 tokens/s, 8 tokens/s written."""
    place = backend(ttft=1.0, rate=8.0, prefill_rate=100)
    found = stack_links([1, 2, 5], [place], input_tokens=100, output_tokens=81, runs=80)
    first, other = 1 + 1 + 10, 1 + 1.81 + 10
    (band,) = found.bands
    for point, n in zip(band.points, (1, 2, 5), strict=True):
        assert point.e2e_s["p95"].value == pytest.approx(first + (n - 1) * other)
        assert point.reading_s == pytest.approx(n * 81 / READING)
    assert band.within == {"1 s": None, "10 s": None, "60 s": 2, "reader": 5}
    assert [s.input_tokens.from_ for s in list(chain(3, "m", 1, 1).steps.values())[1:]] == [{"link1": 1}, {"link2": 1}]


def test_backends_are_paired_and_longer_chains_keep_their_first_links() -> None:
    found = stack_links([2, 3], ["groq", "cerebras"], runs=400, seed=3)
    slow, quick = found.bands
    assert [slow.label, quick.label] == ["groq", "cerebras"]
    again = stack_links([3], ["cerebras"], runs=400, seed=3)
    assert again.bands[0].points[0] == quick.points[1]


def test_the_command_stacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "stack.svg"
    arguments = ["stack", "--links", "1..3", "--backends", "groq, cerebras", "--backend", "together", "--runs", "200"]
    assert run([*arguments, "--json", "--plot", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in found["backends"]] == ["groq", "cerebras", "together"]
    assert [p["links"] for p in found["backends"][0]["points"]] == [1, 2, 3]
    assert picture.read_text().rstrip().endswith("</svg>")
    assert run(arguments) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "3 or more" in text and "none" in text
    assert run(["stack", "--output-tokens", "0"]) == 2
    assert "--output-tokens" in capsys.readouterr().err

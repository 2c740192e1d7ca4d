"""Each example prints what was recorded (``python -m tests.record`` records anew), and the page of claims quotes it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from benchmarks import write_claims
from tests.recorded import difference, example_output, examples, run_command, run_example

CLAIMS = write_claims.claims()
DONE = {0, 1, 3}  # a gate may fail: that is an answer


@pytest.mark.parametrize("path", examples(), ids=lambda path: path.stem)
def test_prints_what_was_recorded(path: Path) -> None:
    recorded = example_output(path).read_text(encoding="utf-8")
    assert (found := difference(run_example(path), recorded)) is None, found


def test_the_page_of_claims_quotes_the_examples() -> None:
    """`python -m benchmarks.write_claims` writes it anew."""
    assert len(CLAIMS) >= 10
    assert write_claims.PAGE.read_text(encoding="utf-8") == write_claims.page()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: Path(claim.program).stem)
def test_says_what_is_claimed_and_gives_a_command_that_runs(claim: write_claims.Claim) -> None:
    assert claim.question.endswith("?")
    assert len(claim.claim) > 40
    assert len(claim.verdict) > 80
    program, *arguments = shlex.split(claim.command)
    assert program == "agentflow"
    done = run_command(arguments)
    assert done.returncode in DONE, done.stderr
    assert done.stdout


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: Path(claim.program).stem)
def test_no_verdict_is_written_down(claim: write_claims.Claim) -> None:
    """What the program says in the end it has computed: no figure of the verdict stands in its source."""
    source = Path(claim.program)
    text = (write_claims.ROOT / source).read_text(encoding="utf-8")
    body = text[text.index("def main(") :]
    figures = [
        word for word in claim.verdict.replace(",", " ").split() if "." in word and any(c.isdigit() for c in word)
    ]
    assert [figure for figure in figures if len(figure.strip("().;%s+$")) > 3 and figure in body] == []

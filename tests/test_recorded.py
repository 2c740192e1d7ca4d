"""The comparison of outputs lets the last bits pass, and nothing else."""

from __future__ import annotations

import pytest

from tests.recorded import blocks, difference


@pytest.mark.parametrize(
    ("printed", "recorded"),
    [
        ("p95 14.2 s", "p95 14.2 s"),
        ("p95 14.2 s", "p95 14.3 s"),
        ("10,012 runs", "10,000 runs"),
        ("plan ████   3.1 s", "plan █████  3.1 s"),
        ("a\nb  ", "a\nb\n"),
    ],
)
def test_what_a_processor_may_change_passes(printed: str, recorded: str) -> None:
    assert difference(printed, recorded) is None


@pytest.mark.parametrize(
    ("printed", "recorded"),
    [
        ("p95 14.2 s", "p95 14.9 s"),
        ("p95 14.2 s", "p90 14.2 s"),
        ("answered", "failed"),
        ("one", "one\ntwo"),
        ("10,512 runs", "10,000 runs"),
        ("pass 3", "pass"),
    ],
)
def test_what_is_wrong_does_not(printed: str, recorded: str) -> None:
    assert difference(printed, recorded) is not None


def test_blocks_know_their_place() -> None:
    page = "x\n```sh\na\nb\n```\ny\n```text\nc\n```\n"
    found = blocks(page)
    assert [(block.language, block.text) for block in found] == [("sh", "a\nb\n"), ("text", "c\n")]
    assert all(page[block.start : block.end] == block.text for block in found)

"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from agentflow.atomic import write_whole
from agentflow.cli import run
from agentflow.errors import AgentflowError
from agentflow.report.figures import write_figure


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def half(file: BinaryIO) -> None:
        file.write(b"ne")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_whole(target, half)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_has_the_rights_that_the_user_gives_new_files(tmp_path: Path) -> None:
    target, before = tmp_path / "a.txt", os.umask(0o027)
    try:
        write_whole(target, lambda file: file.write(b"new"), sync=True)
    finally:
        os.umask(before)
    assert target.read_bytes() == b"new" and target.stat().st_mode & 0o777 == 0o640


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AgentflowError, match="cannot be written: No such file"):
        write_whole(tmp_path / "no" / "a.txt", lambda file: None)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_a_figure_that_fails_leaves_the_old_one(suffix: str, tmp_path: Path) -> None:
    target = tmp_path / f"a{suffix}"

    def draw(figure: Any) -> None:
        figure.subplots().plot([1, 2], [1, 2])

    write_figure(target, (2, 2), draw)
    first = target.read_bytes()
    write_figure(target, (2, 2), draw)
    assert target.read_bytes() == first and len(first) > 500

    def broken(figure: Any) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write_figure(target, (2, 2), broken)
    assert target.read_bytes() == first and list(tmp_path.iterdir()) == [target]


def test_a_law_is_not_simulated_for_a_picture_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "groq/llama-3.3-70b", "--plot", "x.gif"]) == 2
    captured = capsys.readouterr()
    assert ".png" in captured.err and "TTFT p50" not in captured.out

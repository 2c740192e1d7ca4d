"""Each example prints what was recorded (``python -m tests.record`` records anew)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recorded import difference, example_output, examples, run_example


@pytest.mark.parametrize("path", examples(), ids=lambda path: path.stem)
def test_prints_what_was_recorded(path: Path) -> None:
    recorded = example_output(path).read_text(encoding="utf-8")
    assert (found := difference(run_example(path), recorded)) is None, found

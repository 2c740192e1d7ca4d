"""Record anew what the README and the examples print: ``python -m tests.record``. Read the difference."""

from __future__ import annotations

from tests.recorded import ROOT, blocks, example_output, examples, replay, run_command, run_example

README = ROOT / "README.md"
PICTURE = ["demo", "--plot", "docs/images/demo.png"]


def record_examples() -> None:
    """Write each example's output to ``examples/output/``."""
    for path in examples():
        example_output(path).write_text(run_example(path), encoding="utf-8")


def record_readme() -> None:
    """Write the outputs of the README's commands into its ``console`` blocks, and draw its picture."""
    run_command(PICTURE).check_returncode()
    page = README.read_text(encoding="utf-8")
    for block in reversed(blocks(page)):
        if block.language == "console":
            page = page[: block.start] + replay(block.text) + page[block.end :]
    README.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    record_examples()
    record_readme()

"""Record anew what the README, the documentation and the examples print: ``python -m tests.record``. Read the difference."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import write_claims
from tests.recorded import ROOT, blocks, example_output, examples, files_of, pages, replay, run_command, run_example

README = ROOT / "README.md"
PICTURE = ["demo", "--plot", "docs/images/demo.png"]


def record_examples() -> None:
    """Write each example's output to ``examples/output/``, and the page that quotes them."""
    for path in examples():
        example_output(path).write_text(run_example(path), encoding="utf-8")
    write_claims.PAGE.write_text(write_claims.page(), encoding="utf-8")


def record_page(path: Path) -> None:
    """Write the outputs of a page's commands into its ``console`` blocks; they run beside the files that it holds."""
    page = path.read_text(encoding="utf-8")
    with TemporaryDirectory() as name:
        folder = Path(name) if files_of(page) else ROOT
        for file, text in files_of(page).items():
            (Path(name) / file).write_text(text, encoding="utf-8")
        for block in reversed(blocks(page)):
            if block.language == "console":
                page = page[: block.start] + replay(block.text, folder) + page[block.end :]
    path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    record_examples()
    run_command(PICTURE).check_returncode()
    for page in [README, *pages()]:
        record_page(page)

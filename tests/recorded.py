"""Compare what is printed with what was recorded, and record anew: ``python -m tests.record``."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 90  # the width of the terminal in which outputs are recorded; a page of the site shows it whole

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_BAR = re.compile(r"[\u2500-\u259f]+[ ]*|[ ]{2,}")


def run(arguments: list[str], folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python as a user would, in a terminal of known width without colours."""
    plain = {"COLUMNS": str(COLUMNS), "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | plain | environment,
        check=False,
    )


def run_command(arguments: list[str], folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run ``agentflow`` with arguments in a folder."""
    return run(["-c", "from agentflow.cli import main; main()", *arguments], folder)


def difference(printed: str, recorded: str, relative: float = 0.005) -> str | None:
    """Say where two texts differ by more than a processor's last bits could explain; None where nowhere.

    Numbers may differ by one in their last printed digit or by `relative`, bars and padding by their length.
    """
    left, right = printed.strip().splitlines(), recorded.strip().splitlines()
    for number, (a, b) in enumerate(zip(left, right, strict=False), 1):
        if a.rstrip() != b.rstrip() and not _near(a, b, relative):
            return f"line {number}:\n  printed:  {a}\n  recorded: {b}"
    if len(left) != len(right):
        return f"{len(left)} lines printed, {len(right)} recorded"
    return None


def _near(a: str, b: str, relative: float) -> bool:
    a, b = _BAR.sub(" ", a).strip(), _BAR.sub(" ", b).strip()
    if _NUMBER.sub("#", a) != _NUMBER.sub("#", b):
        return False
    return all(map(_same, _NUMBER.findall(a), _NUMBER.findall(b), [relative] * len(a)))


def _same(a: str, b: str, relative: float) -> bool:
    x, y = float(a.replace(",", "")), float(b.replace(",", ""))
    last_digit = 10.0 ** -len(a.partition(".")[2])
    return abs(x - y) <= max(1.01 * last_digit, relative * abs(y))


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and where in the page the text begins and ends."""

    language: str
    text: str
    start: int
    end: int


def blocks(page: str) -> list[Block]:
    """List the fenced blocks of a page."""
    fences = re.finditer(r"^```(\w*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    return [Block(fence[1], fence[2], fence.start(2), fence.end(2)) for fence in fences]


def examples() -> list[Path]:
    """List the examples."""
    return sorted((ROOT / "examples").glob("*.py"))


def example_output(path: Path) -> Path:
    """Say where an example's output is recorded."""
    return path.parent / "output" / f"{path.stem}.txt"


def run_example(path: Path) -> str:
    """Run an example; give what it prints."""
    done = run([str(path)], PYTHONPATH=str(ROOT))
    if done.returncode:
        raise RuntimeError(f"{path.name} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def pages() -> list[Path]:
    """List the pages of the documentation that people write."""
    folders = [ROOT / "docs", *(ROOT / "docs" / name for name in ("howto", "concepts", "reference"))]
    written = {"workflow.md", "backend.md", "command.md", "python.md"}
    found = [path for folder in folders for path in sorted(folder.glob("*.md"))]
    return [path for path in found if not (path.parent.name == "reference" and path.name in written)]


def files_of(page: str) -> dict[str, str]:
    """Return the documents of a page whose first line names their file: ``# agent.yaml``."""
    found = {}
    for block in blocks(page):
        name = re.match(r"# ([\w-]+\.yaml)(: refused)?\n", block.text)
        if block.language == "yaml" and name:
            found[name[1]] = block.text
    return found


def replay(session: str, folder: Path = ROOT) -> str:
    """Run the ``$ agentflow ...`` lines of a recorded session again; give the session that this makes.

    ``> /dev/null`` drops an output, ``> old.json`` writes it into the folder; ``$ echo $?`` prints the exit code of the
    command before it.
    """
    lines, code = [], 0
    for line in session.splitlines():
        if not line.startswith("$ "):
            continue
        lines.append(line)
        if line == "$ echo $?":
            lines.append(str(code))
            continue
        text, silent, target = line.removeprefix("$ ").partition(" > ")
        program, *arguments = shlex.split(text, comments=True)
        if program != "agentflow":
            raise ValueError(f"only agentflow's own output can be recorded, not that of {program!r}")
        done = run_command(arguments, folder)
        code = done.returncode
        if silent and target != "/dev/null":
            if folder == ROOT:
                raise ValueError(f"{target}: a page that writes files holds a document of its own, and runs beside it")
            (folder / target).write_text(done.stdout, encoding="utf-8")
        printed = done.stdout + done.stderr if code == 2 else done.stdout
        lines += [] if silent else [line.rstrip() for line in printed.rstrip().splitlines()]
    return "\n".join(lines) + "\n"

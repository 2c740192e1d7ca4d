"""Lists what the examples settle: `python -m benchmarks.write_claims` writes docs/claims.md from recorded outputs."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "claims.md"
HEAD = """# Claims, and what the simulation says

Each question is one that people argue about, each answer the last lines of a small program in `examples/`, which the
tests run against its recorded output. The answer rests on the profiles and workflows it names: what they assume, it
assumes. Run the program to see the whole table with its intervals, or start from the command.

This page is written by `python -m benchmarks.write_claims`.
"""


@dataclass(frozen=True)
class Claim:
    """One question: who says what, the program and the command that answer it, and the answer."""

    question: str
    claim: str
    program: str
    command: str
    verdict: str


def read_claim(program: Path) -> Claim | None:
    """Read an example's docstring and recorded output; None where it settles no claim."""
    text = ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or ""
    if "\nClaim: " not in text:
        return None
    question, _, rest = text.partition("\n\nClaim: ")
    claim, _, rest = rest.partition("\nFrom the shell: ")
    output = (program.parent / "output" / f"{program.stem}.txt").read_text(encoding="utf-8")
    verdict = output.rpartition("\nVerdict: ")[2]
    return Claim(question, _flat(claim), f"examples/{program.name}", _flat(rest.partition("\n\n")[0]), _flat(verdict))


def claims() -> list[Claim]:
    """List the claims that the examples settle."""
    found = (read_claim(path) for path in sorted((ROOT / "examples").glob("*.py")))
    return [claim for claim in found if claim is not None]


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for claim in claims():
        parts.append(
            f"## {claim.question}\n\n*The claim.* {_sentence(claim.claim)}\n\n"
            f"*The simulation.* {_sentence(claim.verdict)}\n\n"
            f"`python {claim.program}`, or to begin with: `{claim.command}`\n"
        )
    return "\n".join(parts)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _flat(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""The README tells the truth: its commands print what it shows (``python -m tests.record`` records anew)."""

from __future__ import annotations

import doctest
import re

import pytest

from tests.recorded import ROOT, Block, blocks, difference, replay

PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = blocks(PAGE)
SESSIONS = [block for block in BLOCKS if block.language == "console"]


def first_words(block: Block) -> str:
    return block.text.splitlines()[0].removeprefix("$ ")[:40]


def test_the_first_block_sets_up_everything_in_two_commands() -> None:
    first = BLOCKS[0]
    assert first.language == "sh"
    commands = [line.partition(" #")[0].strip() for line in first.text.splitlines()]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv .venv && ") for command in commands)
    assert commands[0].endswith("agentflow demo")
    assert commands[1].endswith("-m pytest")


@pytest.mark.parametrize("block", SESSIONS, ids=first_words)
def test_commands_print_what_is_shown(block: Block) -> None:
    assert (found := difference(replay(block.text), block.text)) is None, found


def test_python_sessions_print_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = "".join(block.text for block in BLOCKS if block.language == "pycon")
    test = doctest.DocTestParser().get_doctest(text, {}, "README", "README.md", 0)
    assert test.examples
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0


def test_every_claim_has_the_command_that_reproduces_it() -> None:
    section = PAGE.partition("## How right it is")[2].partition("\n## ")[0]
    claims = [claim for claim in re.split(r"^- ", section, flags=re.MULTILINE) if re.search(r"\d", claim)]
    assert len(claims) >= 6
    assert [claim for claim in claims if not re.search(r"`(agentflow|pytest|python) [^`]+`", claim)] == []


def test_links_and_pictures_exist() -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", PAGE)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []

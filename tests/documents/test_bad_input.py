"""Any bytes in: a document, or problems with their place and a way out; never another exception."""

from __future__ import annotations

import random
import string
import time
from pathlib import Path

import pytest

from agentflow import documents
from agentflow.errors import DocumentError, NotFoundError, PlanError
from agentflow.plan import compile_plan

GOOD = """schema_version: 1
name: ok
defaults: {model: llama-3.3-70b, retry: [openai, langgraph], timeout: {attempt: 30s, idle: 5s}}
budget: {tokens: 60k, deadline: 120s}
steps:
  plan: {type: chat, input_tokens: 900, output_tokens: {lognormal: {p50: 250, p95: 600}}, routes: {a: 0.25, b: 0.75}}
  look: {type: tool, needs: [plan.a], latency: {mixture: [{weight: 0.9, uniform: [0.1, 200ms]}, {weight: 0.1, value: 3s}]}}
  tell: {type: chat, needs: [plan.b, look], join: any, input_tokens: {own: 5, from: {plan: 1.0}}, output_tokens: 1.2k}
"""


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        documents.parse_workflow(text, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_a_good_document_survives_a_round_trip() -> None:
    workflow = documents.parse_workflow(GOOD)
    assert documents.parse_workflow(documents.dump(workflow)) == workflow


@pytest.mark.parametrize(
    ("written", "place", "message"),
    [
        ("nmae: x", "f.yaml:2:1", "did you mean 'name'?"),
        ("steps: {a: {type: chta}}", "f.yaml:2:19", "did you mean 'chat'?"),
        ("steps: {a: {type: wait, duration: -3s}}", "f.yaml:2:35", "must not be negative"),
        ("steps: {a: {type: wait, duration: .nan}}", "f.yaml:2:35", "must be a duration"),
        ("steps: {a: {type: wait, duration: 3 parsecs}}", "f.yaml:2:35", "'parsecs' is no unit of it"),
        ("steps: {a: {type: chat, output_tokens: 3, stream: no}}", "f.yaml:2:51", "must be true or false, not 'no'"),
        (
            "steps: {a: {type: wait, duration: {p50: 1s, p95: 2s}}}",
            "f.yaml:2:35",
            "write {lognormal: {p50: .., p95: ..}}",
        ),
        (
            "steps: {a: {type: wait, duration: {p10: 1s, p99: 2s}}}",
            "f.yaml:2:35",
            "write {quantiles: {p10: .., p99: ..}}",
        ),
        ("steps: {a: {type: wait, duration: 1s, needs: b}, b: {type: wait, duration: 1s}}", "f.yaml:2:46", "write [b]"),
        ("steps: {a: {type: chat, output_tokens: 3, routes: {x: 0.5, y: 0.4}}}", "f.yaml:2:51", "add up to 0.9, not 1"),
        ("steps: {a: {type: wait, duration: 1s}, a: {type: wait, duration: 1s}}", "f.yaml:2:40", "there twice"),
        ("steps: {a: &x {type: wait, duration: 1s}}", "f.yaml:2:12", "anchor"),
        ("steps: {a: !!python/name:os.system x}", "f.yaml:2:12", "tag"),
        (
            "steps: {a: {type: wait, duration: 1s, circuit_breaker: {failures: 0}}}",
            "f.yaml:2:67",
            "at least 1",
        ),
        ("steps: {a: {type: wait, duration: " + "9" * 400 + "}}", "f.yaml:2:35", "more than 15 digits"),
        ("steps: {a: {type: wait, duration: {samples: ../x.csv}}}", "f.yaml:2:45", "has no folder"),
    ],
)
def test_mistakes_are_told_with_their_place(written: str, place: str, message: str) -> None:
    found = problems(f"schema_version: 1\n{written}\n")
    assert any(text.startswith(place + ":") and message in text for text in found), found


def test_all_mistakes_at_once() -> None:
    text = GOOD.replace("900", "-900").replace("type: tool", "type: toll").replace("join: any", "jion: any")
    assert len(problems(text)) == 3


@pytest.mark.parametrize(
    "hostile",
    ["", "- 1", "[" * 5000, "{" * 5000, "a: *b", b"\xff\xfe\x00", "\x00", 'a: "\\ud800"', "--- 1\n--- 2", "a" * 1_000_001,
     "a: [" + "1," * 200_000, "? {a: 1}\n: 2", "<<: {a: 1}", "\ufeff\ufeff", "%YAML 9.9\n---\na", "a:\t- b", "!!binary aa", "&a [*a]"],
)  # fmt: skip
def test_hostile_text_costs_little(hostile: str | bytes) -> None:
    start = time.process_time()
    assert problems(hostile)
    assert time.process_time() - start < 2.0  # generous: a bound on the order, not a measurement


def test_files_outside_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("1\n2\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    document = inner / "w.yaml"
    document.write_text("name: x\nsteps: {a: {type: wait, duration: {samples: ../secret.csv}}}\n")
    with pytest.raises(DocumentError, match="outside the document's folder"):
        documents.load_workflow(str(document))
    (inner / "own.csv").write_text("1\n2\n")
    document.write_text("name: x\nsteps: {a: {type: wait, duration: {samples: own.csv}}}\n")
    assert documents.load_workflow(str(document)).steps["a"].duration.values == (1.0, 2.0)  # type: ignore[union-attr]


def test_a_workflow_that_contains_itself(tmp_path: Path) -> None:
    path = tmp_path / "me.yaml"
    path.write_text("name: me\nsteps: {a: {type: workflow, workflow: me.yaml}}\n")
    with pytest.raises(DocumentError, match="contains itself: me -> me"):
        documents.load_workflow(str(path))


def test_names_that_are_not_there() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'groq'"):
        documents.resolve_backend("grok", "llama-3.3-70b")
    with pytest.raises(NotFoundError, match="have it"):
        documents.resolve_backend("groq", "gpt-4o")
    with pytest.raises(NotFoundError, match="no such file"):
        documents.load_workflow("../../no/such/file")


def _mutations(count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    alphabet = (string.printable + "é\u2028&*!%@`").encode()
    words = [
        b"type",
        b"null",
        b"true",
        b"-1",
        b"1e999",
        b"{",
        b"}",
        b"[",
        b"]",
        b": ",
        b"\n  ",
        b"chat",
        b"p50",
        b"needs",
        b"- ",
    ]
    made = []
    for _ in range(count):
        data = bytearray(GOOD.encode())
        for _ in range(rng.randint(1, 5)):
            at = rng.randrange(len(data) + 1)
            kind = rng.randrange(4)
            if kind == 0:
                data[at:at] = bytes([rng.choice(alphabet)])
            elif kind == 1:
                data[at:at] = rng.choice(words)
            elif kind == 2:
                del data[at : at + rng.randint(1, 30)]
            else:
                start = rng.randrange(len(data) + 1)
                data[at:at] = data[start : start + rng.randint(1, 40)]
        made.append(bytes(data))
    return made


def _fuzz(count: int, seed: int) -> tuple[int, int]:
    good = bad = 0
    for data in _mutations(count, seed):
        try:
            documents.parse_workflow(data, "fuzz.yaml")
            good += 1
        except DocumentError as error:
            bad += 1
            assert all(p.line >= 1 and p.column >= 1 and p.message for p in error.problems), data
    return good, bad


def test_mutated_documents() -> None:
    good, bad = _fuzz(1_000, 1)
    assert bad > 500
    assert good > 5


@pytest.mark.slow
def test_mutated_documents_many() -> None:
    assert sum(_fuzz(100_000, 2)) == 100_000


def test_a_number_out_of_bounds_hides_no_other_problem() -> None:
    text = "schema_version: 1\nname: x\nsteps:\n  a: {type: wait, duration: 1e999}\n  b: {type: tool, latency: -1s}\n"
    with pytest.raises(DocumentError) as caught:
        documents.parse_workflow(text, "f.yaml")
    assert [(p.line, p.column) for p in caught.value.problems] == [(4, 29), (5, 28)]


def test_a_bad_entry_does_not_leave_an_empty_list_behind() -> None:
    text = "schema_version: 1\nname: x\nsteps:\n  a: {type: tool, latency: 1s, catch: [{errors: [timeot], to: b}]}\n"
    text += "  b: {type: wait, duration: 1s}\n"
    with pytest.raises(DocumentError) as caught:
        documents.parse_workflow(text, "f.yaml")
    assert [p.message for p in caught.value.problems] == ["no error is named 'timeot'"]


def test_a_cycle_is_told_beside_a_missing_step() -> None:
    steps = "  a: {type: tool, latency: 1s, needs: [b]}\n  b: {type: tool, latency: 1s, needs: [a]}\n"
    text = f"schema_version: 1\nname: x\nsteps:\n{steps}  c: {{type: tool, latency: 1s, needs: [gone]}}\n"
    with pytest.raises(PlanError) as caught:
        compile_plan(documents.parse_workflow(text, "f.yaml"), {}, documents.position_of)
    assert [p.line for p in caught.value.problems] == [4, 6]

"""`agentflow bounds`, and hardware in list, show, validate and schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentflow.cli import run


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_worked_example_at_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bounds", "--deployment", "gpt-4-128xa100", "--usd-per-chip-hour", "1", "--usd-per-mtok", "4.9"]
    (found,) = json_of(capsys, *arguments)["bounds"]
    assert found["compute_bound"] == pytest.approx(557, abs=0.5)
    assert found["memory_bound"] == pytest.approx(3.6, abs=0.05)
    assert found["price"]["per_chip"] == pytest.approx(57, abs=0.5)
    assert found["memory_bound"] < found["price"]["per_chip"] < found["compute_bound"]
    assert 10 < found["price"]["batch"] / 128 < 40
    assert run(arguments) == 0
    assert "56.7 tok/s and chip: batch 2," in capsys.readouterr().out


def test_as_few_chips_as_fit(capsys: pytest.CaptureFixture[str]) -> None:
    chips = {}
    for chip in ("h100-sxm", "h200-sxm", "groq-lpu", "cerebras-wse3", "sambanova-sn40l"):
        (found,) = json_of(capsys, "bounds", chip, "llama-3.1-70b", "--batch", "1")["bounds"]
        chips[chip] = found["chips"]
        assert found["points"][0]["fits"]
    assert chips["h100-sxm"] == 2 and chips["cerebras-wse3"] == 4 and chips["sambanova-sn40l"] == 4
    assert 600 < chips["groq-lpu"] < 800  # 141 GB over 230 MB a chip


def test_a_price_of_a_chip(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = json_of(capsys, "bounds", "h100-sxm", "llama-3.1-8b", "--usd-per-chip-hour", "$2")["bounds"]
    for point in found["points"]:
        assert point["usd_per_mtok"] == pytest.approx(2 / 3600 / point["per_chip"] * 1e6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["h100-sxm", "llama-3.1-70b", "--tensor-parallel", "1"], "tensor_parallel 2 would fit"),
        (["h100-sxm", "llama-3.1-70b", "--tensor-parallel", "3"], "2 or 4 would"),
        (["phone", "llama-3.1-70b"], "use a chip with more memory"),
        (["h100-smx", "llama-3.1-70b"], "did you mean 'h100-sxm'?"),
        (["h100-sxm", "llama-3.1-70b", "--weights", "fp9"], "did you mean 'fp8'?"),
        (["h100-sxm", "llama-3.1-70b", "--context", "400k"], "at most 131072"),
        (["h100-sxm"], "name a CHIP and a MODEL"),
        (["h100-sxm", "llama-3.1-8b", "--usd-per-mtok", "1"], "add --usd-per-chip-hour"),
        (["h100-sxm", "llama-3.1-8b", "--plot", "x.gif"], ".png"),
        (["--deployment", "gpt-4-128xa100", "--weights", "fp8"], "a deployment says these things itself"),
    ],
)
def test_what_cannot_be_is_told_with_a_way_out(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bounds", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_roofline_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "roofline.svg"
    names = ["--deployment", "llama-3.1-70b-8xh100", "--deployment", "llama-3.1-70b-8xb200"]
    assert run(["bounds", *names, "--plot", str(target)]) == 0
    assert "llama-3.1-70b-8xb200" in capsys.readouterr().out
    assert target.stat().st_size > 5000


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("h100-sxm", "chip"),
        ("models/llama-3.1-70b", "model"),
        ("vllm", "engine"),
        ("deployments/phi-4-epyc", "deployment"),
    ],
)
def test_hardware_is_shown_and_validated(name: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json_of(capsys, "show", name)
    assert found["kind"] == kind and found["document"]["evidence"]
    assert run(["show", name]) == 0
    assert "evidence for" in capsys.readouterr().out
    folder = Path(__file__).parents[2] / "backends" / f"{kind}s" / f"{name.rpartition('/')[2]}.yaml"
    assert run(["validate", str(folder)]) == 0
    assert f"ok, a{'n' if kind == 'engine' else ''} {kind}" in capsys.readouterr().out
    assert name.rpartition("/")[2] in json_of(capsys, "list", f"{kind}s")[f"{kind}s"]
    assert run(["schema", kind]) == 0


def test_a_deployment_that_cannot_be_is_told_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mine.yaml"
    target.write_text("name: mine\nchip: h100-sxm\nmodel: llama-3.1-70b\nwieghts: fp8\n")
    assert run(["validate", str(target)]) == 2
    assert "mine.yaml:4:1: wieghts: unknown key 'wieghts'; did you mean 'weights'?" in capsys.readouterr().err
    target.write_text("name: mine\nchip: h100-sxm\nmodel: llama-3.1-70b\n")
    assert run(["validate", str(target)]) == 2
    assert "tensor_parallel 2 would fit" in capsys.readouterr().err

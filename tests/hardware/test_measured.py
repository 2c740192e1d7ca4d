"""Fits reproduce a stand-in of known law; with the measurements at hand, errors stay bounded."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from agentflow.documents import load_chip, load_engine, load_model
from agentflow.hardware import decode_step_time, prefill_time, serve
from agentflow.schema.deployment import Constants, Deployment, Engine
from benchmarks import splitwise_fit
from benchmarks.hardware_data import Kernel, Serving, data_folder, inferencex, splitwise
from benchmarks.hardware_fit import HANDED_ON, fit_serving, table
from benchmarks.hardware_tables import newer_chips, tables
from benchmarks.validate_hardware import halves, saturated, splitwise_folds, with_catalogue
from benchmarks.write_engines import BOARDS, READ_FASTER

NO_DATA = "the measurements are not here; set AGENTFLOW_DATA to their folder"


def stand_in_kernels() -> list[Kernel]:
    engine = load_engine("vllm-0.2")
    out = []
    for chip in ("a100-80gb", "h100-sxm"):
        for tensor in (2, 4, 8):
            for prompt, batch in ((256, 1), (1024, 1), (2048, 1), (512, 8), (512, 32)):
                k = Kernel(chip, "llama2-70b", tensor, prompt, batch, 128, 1.0, 1.0)
                d = splitwise_fit.deployment(k).model_copy(update={"engine": engine})
                times = (prefill_time(d, prompt, batch), decode_step_time(d, batch, prompt + 64))
                out.append(dataclasses.replace(k, prefill=times[0], decode=times[1]))
    return out


def test_fit_reproduces_a_stand_in_of_known_law() -> None:
    kernels = stand_in_kernels()
    prefill, decode = splitwise_fit.errors(kernels, splitwise_fit.fit(kernels))
    assert prefill < 0.03
    assert decode < 0.02


def stand_in_runs() -> list[Serving]:
    out = []
    for chip in ("h100-sxm", "h200-sxm"):
        for tensor in (2, 4, 8):
            for load in (4.0, 16.0, 64.0):
                for prompt, answer in ((1024.0, 1024.0), (8192.0, 1024.0)):
                    d = Deployment(
                        name="x", chip=load_chip(chip), model=load_model("llama-3.1-70b"),
                        engine=load_engine("vllm"),
                        tensor_parallel=tensor, weights="fp8", kv="fp8",
                    )  # fmt: skip
                    r = serve(d, load, prompt, answer)
                    out.append(Serving(d, "vllm", load, prompt, answer, r.ttft.total, r.tpot))
    return out


def test_serving_fit_reproduces_a_stand_in_of_known_law() -> None:
    rows = stand_in_runs()
    t = table(rows)
    tpot, ttft = fit_serving(t).predict(t)
    assert np.abs(tpot / t.tpot - 1).mean() < 0.03
    assert np.abs(ttft / t.ttft - 1).mean() < 0.10


def test_fitting_code_and_public_functions_are_one_law() -> None:
    rows = stand_in_runs()[:6]
    t = table(rows)
    fitted = fit_serving(t)
    values = fitted.constants({k: v[:1] for k, v in t.groups.items()})
    known = {k: float(np.ravel(v)[0]) for k, v in values.items() if k in Constants.model_fields}
    engine = Engine(name="vllm", default=Constants(**known, handed_on=HANDED_ON, reserved_output=0.6))
    tpot, ttft = fitted.predict(t)
    for i, row in enumerate(rows):
        load = serve(row.deployment.model_copy(update={"engine": engine}), row.concurrency, row.input_tokens,
                     row.output_tokens)  # fmt: skip
        assert load.tpot == pytest.approx(tpot[i], rel=1e-6)
        assert load.ttft.total == pytest.approx(ttft[i], rel=1e-6)


def test_tables_that_need_no_data() -> None:
    text = tables()
    assert "groq-llama-3.1-70b" in text
    assert "compute bound 557 passes/s, memory bound 3.6, and 57 tokens/s a chip" in text


def test_newer_chips_as_the_article_has_them() -> None:
    cells = [line.split("|") for line in newer_chips().splitlines() if line.startswith("| 4,000 |")]
    factor = {row[2].strip(): float(row[7]) for row in cells}
    assert factor["H200, bf16"] == pytest.approx(1.7, rel=0.1)
    assert 4 < factor["B200, fp8"] < factor["B200, fp4"] < 7.5


def errors(predicted: Sequence[float], measured: Sequence[float]) -> float:
    return float(np.abs(np.array(predicted) / np.array(measured) - 1).mean())


@pytest.mark.skipif(data_folder() is None, reason=NO_DATA)
def test_splitwise_errors_of_the_catalogue() -> None:
    folder = data_folder()
    assert folder is not None
    kernels = splitwise(folder)
    cells = [(k, splitwise_fit.deployment(k).model_copy(update={"engine": load_engine("vllm-0.2")})) for k in kernels]
    decode = [decode_step_time(d, k.batch, k.prompt + k.output / 2) for k, d in cells]
    prefill = [prefill_time(d, k.prompt, k.batch) for k, d in cells]
    assert errors(decode, [k.decode for k in kernels]) < 0.05
    assert errors(prefill, [k.prefill for k in kernels]) < 0.10


@pytest.mark.skipif(data_folder() is None, reason=NO_DATA)
def test_splitwise_errors_on_unseen_cells() -> None:
    folder = data_folder()
    assert folder is not None
    kernels = splitwise(folder)
    found = []
    for train, test in splitwise_folds(kernels)[:2]:  # two of the four: fitting takes seconds
        found.append(splitwise_fit.errors(test, splitwise_fit.fit(train)))
    prefill, decode = np.mean(found, axis=0)
    assert decode < 0.05
    assert prefill < 0.10


@pytest.mark.skipif(data_folder() is None, reason=NO_DATA)
def test_inferencex_errors_of_the_catalogue() -> None:
    folder = data_folder()
    assert folder is not None
    rows = [r for r in inferencex(folder) if not r.unexplained and not saturated(r)]
    loads = [serve(with_catalogue(r), r.concurrency, r.input_tokens, r.output_tokens) for r in rows]
    assert errors([load.tpot for load in loads], [r.tpot for r in rows]) < 0.09
    assert errors([load.ttft.total for load in loads], [r.ttft for r in rows]) < 0.25


@pytest.mark.slow
@pytest.mark.skipif(data_folder() is None, reason=NO_DATA)
def test_inferencex_errors_on_the_unseen_half() -> None:
    folder = data_folder()
    assert folder is not None
    rows = [r for r in inferencex(folder) if not r.unexplained and not saturated(r)]
    t, first = table(rows), halves(rows) == 0
    tpot, ttft = fit_serving(t.take(first)).predict(t.take(~first))
    assert errors(tpot, t.tpot[~first]) < 0.10
    assert errors(ttft, t.ttft[~first]) < 0.28


def test_boards_have_hoppers_constants_but_for_what_kernels_say() -> None:
    engine = load_engine("vllm")
    hopper = engine.constants("hopper").model_dump()
    for family, changed in BOARDS.items():
        own = engine.constants(family).model_dump()
        differing = {name for name in own if own[name] != hopper[name]}
        assert differing == changed.keys() | set(READ_FASTER.get(family, ()))
        assert all(own[name] == pytest.approx(value) for name, value in changed.items())
    assert {e.kind for e in engine.evidence if set(e.figures) & BOARDS.keys()} == {"assumed"}

"""Tables of real runs: whatever chips, models and settings they name are found, or it is said what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentflow.errors import UsageError
from benchmarks.serving_data import catalogue_chip, catalogue_model, deployment, read_runs
from benchmarks.serving_fit import from_data_sheet, predict
from benchmarks.validate_serving import first_of, main

HEAD = "gpu,model,tp,dp,ep,dtype,max_num_seqs,max_num_batched_tokens,request_id,input_tokens,output_tokens,arrival_s,"
HEAD += "queued_s,scheduled_s,first_token_s,last_token_s,ttft_ms\n"


def table(tmp_path: Path, *rows: str, head: str = HEAD) -> Path:
    file = tmp_path / "runs.csv"
    file.write_text("# source: made up\n" + head + "".join(f"{row}\n" for row in rows))
    return file


def test_a_table_of_runs_is_read(tmp_path: Path) -> None:
    file = table(
        tmp_path,
        "H100,Qwen3-8B,2.0,3,False,bfloat16,8,512,b,20,3,0.5,0.5,0.5,0.7,0.9,200",
        "H100,Qwen3-8B,2.0,3,False,bfloat16,8,512,a,10,2,0.0,0.0,0.0,0.2,0.3,200",
        "H100,Qwen3-8B,2.0,3,False,bfloat16,8,512,c,10,2,0.1,0.1,,,,",
        "H100,Qwen3-8B,1,1,False,fp8,8,512,a,10,2,0.0,0.0,0.0,0.2,0.3,200",
    )
    run, alone = read_runs(file)
    assert run.tensor_parallel == 2 and run.replicas == 3
    assert run.prompt.tolist() == [10, 20] and run.max_sequences == 8 and run.token_budget == 512
    assert alone.tensor_parallel == 1 and deployment(alone).weights == "fp8"
    assert deployment(run).chip.name == "h100-sxm"
    assert first_of(run) == 1


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("RTXPRO6000", "rtx-pro-6000"), ("NVIDIA GeForce RTX 5090", "rtx-5090"), ("A100", "a100-80gb"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"), ("NVIDIA H100 80GB HBM3", "h100-sxm"), ("L40S", "l40s"),
        ("AMD Instinct MI300X", "mi300x"), ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"),
    ],
)  # fmt: skip
def test_chips_are_found_by_the_names_that_drivers_give(written: str, name: str) -> None:
    assert catalogue_chip(written) == name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"), ("Qwen/Qwen3-30B-A3B-Instruct-2507", "qwen3-30b-a3b"),
        ("google/gemma-2-9b-it", "gemma-2-9b"), ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b"),
        ("Llama-2-7b-chat-hf", "llama-2-7b"), ("openai/gpt-oss-20b", "gpt-oss-20b"),
    ],
)  # fmt: skip
def test_models_are_found_whatever_their_maker_and_variant(written: str, name: str) -> None:
    assert catalogue_model(written) == name


@pytest.mark.parametrize("written", ["H100 PCIe", "H100 NVL", "RTX 3090", "TPU"])
def test_a_chip_that_is_another_one_is_not_taken_for_it(written: str) -> None:
    with pytest.raises(UsageError, match=f"--chip {written}=NAME"):
        catalogue_chip(written)


def test_what_is_not_in_the_catalogue_is_said_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = "1,1,False,bfloat16,8,512,a,10,2,0.0,0.0,0.0,0.2,0.3,200"
    file = table(tmp_path, f"Abacus 9,Qwen3-8B,{rest}", f"H100,Qwen9-8B,{rest}", f"H100,Qwen3-8B,{rest}",
                 f"RTX4090,Qwen3-32B,{rest}")  # fmt: skip
    assert main(["--data", str(file), "--blind"]) == 0
    printed = capsys.readouterr()
    assert "Qwen3-8B on 1 x H100" in printed.out and "Abacus" not in printed.out
    assert "--chip Abacus 9=NAME" in printed.err
    assert "did you mean 'qwen3-8b'?; write --model Qwen9-8B=NAME" in printed.err
    assert "weights take" in printed.err and "tensor_parallel 4 would fit" in printed.err
    assert main(["--data", str(file), "--blind", "--chip", "Abacus 9=l40s", "--model", "Qwen9-8B=qwen3-8b"]) == 0
    assert capsys.readouterr().out.count(" on 1 x ") == 3


@pytest.mark.parametrize(
    ("row", "head", "text"),
    [
        ("H100", "gpu\n", "no column model"),
        ("H100,Qwen3-8B,1,1,False,int9,8,512,a,10,2,0.0,0.0,0.0,0.2,0.3,200", HEAD, "the dtype 'int9' is not known"),
        ("H100,Qwen3-8B,two,1,False,bf16,8,512,a,10,2,0.0,0.0,0.0,0.2,0.3,200", HEAD, "could not convert"),
        ("H100,Qwen3-8B,1,1,False,bf16,8,512,a,10,2,0.0,,,,,", HEAD, "no request has"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(
    row: str, head: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(table(tmp_path, row, head=head))]) == 2
    assert text in capsys.readouterr().err


def test_a_run_on_an_unseen_pair_is_predicted(tmp_path: Path) -> None:
    rows = (
        f"L40S,google/gemma-2-9b-it,1,1,False,bfloat16,64,2048,{i},900,200,{i / 9},0,0,{i},{i + 9},0" for i in range(40)
    )
    (run,) = read_runs(table(tmp_path, *rows))
    served = predict(run, from_data_sheet(run))
    tpot = (served.finished - served.first_token) / (run.output - 1)
    assert np.all((tpot > 18.5e9 / 864e9) & (tpot < 5 * 18.5e9 / 864e9))

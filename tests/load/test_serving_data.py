"""Tables of real runs: whatever chips, models and settings they name are found, or it is said what is not."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agentflow.errors import CapacityError, UsageError
from benchmarks.serving_data import Run, catalogue_chip, catalogue_model, deployment, read_runs
from benchmarks.serving_fit import Fit, from_data_sheet, predict
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
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000-workstation"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "rtx-pro-6000-max-q"),
        ("RTX3090", "rtx-3090"), ("RTXA6000", "rtx-a6000"), ("A6000", "rtx-a6000"), ("NVIDIA RTX A6000", "rtx-a6000"),
        ("H100-SXM", "h100-sxm"), ("H100_SXM5_80GB", "h100-sxm"), ("A100-80GB", "a100-80gb"), ("L4", "l4"),
        ("NVIDIA H100 PCIe", "h100-pcie"), ("H100 NVL", "h100-nvl"), ("NVIDIA A10G", "a10g"), ("A10", "a10"),
        ("Tesla T4", "t4"), ("Tesla V100-SXM2-16GB", "v100-16gb"), ("V100", "v100-32gb"), ("H20", "h20"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"), ("RTX6000Ada", "rtx-6000-ada"), ("MI325X", "mi325x"),
        ("AMD Instinct MI325X OAM", "mi325x"), ("NVIDIA GB10", "dgx-spark"),
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
        ("Llama-3.1-8B-Instruct", "llama-3.1-8b"), ("Qwen3-32B-FP8", "qwen3-32b"),
        ("Qwen/Qwen3-4B-Thinking-2507", "qwen3-4b"), ("Qwen2.5-14B-Instruct-GPTQ-Int4", "qwen2.5-14b"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "llama-3.1-8b"), ("gemma-3-12b-it", "gemma-3-12b"),
        ("microsoft/Phi-4-mini-instruct", "phi-4-mini"), ("Qwen2.5-Coder-32B-Instruct", "qwen2.5-32b"),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3"), ("deepseek-ai/DeepSeek-R1-0528", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "qwen2.5-32b"), ("DeepSeek-R1-0528-Qwen3-8B", "qwen3-8b"),
        ("DeepSeek-R1-Distill-Llama-8B", "llama-3.1-8b"), ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.1-70b"),
    ],
)  # fmt: skip
def test_models_are_found_whatever_their_maker_and_variant(written: str, name: str) -> None:
    assert catalogue_model(written) == name


@pytest.mark.parametrize("written", ["H200 NVL", "RTX 3090 Ti", "A100 40GB PCIe", "H20-3e", "A40", "TPU"])
def test_a_chip_that_is_another_one_is_not_taken_for_it(written: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--chip {shlex.quote(written + '=NAME')}, or")):
        catalogue_chip(written)


@pytest.mark.parametrize("written", ["Qwen-7B", "Qwen3-Next-80B-A3B", "Qwen2.5-VL-7B-Instruct", "gemma-3-1b-it"])
def test_a_model_that_is_another_one_is_not_taken_for_it(written: str) -> None:
    with pytest.raises(UsageError, match=f"--model {written}=NAME, or"):
        catalogue_model(written)


@pytest.mark.parametrize(
    ("model", "dtype", "weights"),
    [
        ("Qwen3-32B-FP8", "float8_e4m3fn", "fp8"), ("Qwen3-32B-FP8", "torch.bfloat16", "fp8"),
        ("Qwen3-32B", "torch.float8_e4m3fn", "fp8"), ("Qwen3-32B-AWQ", "float16", "int4"), ("Qwen3-32B", "auto", None),
        ("DeepSeek-V3", "bfloat16", None), ("Llama-3.1-8B-Instruct-quantized.w8a8", "", "int8"),
    ],
)  # fmt: skip
def test_weights_are_those_of_the_name_or_of_the_dtype(
    model: str, dtype: str, weights: str | None, tmp_path: Path
) -> None:
    (run,) = read_runs(table(tmp_path, f"H100,{model},1,1,False,{dtype},8,512,a,10,2,0.0,0.0,0.0,0.2,0.3,200"))
    assert deployment(run).weights == weights


def test_what_is_not_in_the_catalogue_is_said_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = "1,1,False,bfloat16,8,512,a,10,2,0.0,0.0,0.0,0.2,0.3,200"
    file = table(tmp_path, f"Abacus 9,Qwen3-8B,{rest}", f"H100,Qwen9-8B,{rest}", f"H100,Qwen3-8B,{rest}",
                 f"RTX4090,Qwen3-32B,{rest}")  # fmt: skip
    assert main(["--data", str(file), "--blind"]) == 0
    printed = capsys.readouterr()
    assert "Qwen3-8B on 1 x H100" in printed.out and "Abacus" not in printed.out
    assert "--chip 'Abacus 9=NAME', or" in printed.err
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


def made_up(tmp_path: Path, gpu: str, model: str, settings: str = "1,1,False,bfloat16") -> Run:
    rows = (
        f"{gpu},{model},{settings},64,2048,{i},{200 + 37 * i % 900},{50 + 11 * i % 150},{i / 4},,,{i / 4 + 0.2},{i + 9},"
        for i in range(40)
    )
    (run,) = read_runs(table(tmp_path, *rows))
    return run


def fastest(run: Run) -> float:
    """Seconds a token of the request that was served fastest."""
    served = predict(run, from_data_sheet(run))
    return float(((served.finished - served.first_token) / (run.output - 1)).min())


@pytest.mark.parametrize(
    ("gpu", "model", "settings", "gigabytes", "bandwidth"),
    [
        ("RTX3090", "Llama-3.1-8B-Instruct", "1,1,False,bfloat16", 15.0, 936),
        ("RTXA6000", "meta-llama/Llama-3.1-8B-Instruct", "2,1,False,bfloat16", 7.5, 768),
        ("A10G", "Phi-4-mini-instruct", "1,2,False,bfloat16", 7.7, 600),
        ("L4", "Qwen3-4B", "2,1,False,bfloat16", 4.0, 300),
        ("L40S", "Qwen3-32B-FP8", "1,1,False,float8_e4m3fn", 31.0, 864),
        ("NVIDIA H100 PCIe", "Qwen3-32B", "2,1,False,bfloat16", 32.0, 2000),
        ("T4", "Qwen3-4B", "1,1,False,half", 8.0, 320),
        ("H100 NVL", "DeepSeek-R1-Distill-Qwen-14B", "1,1,False,auto", 28.0, 3900),
        ("MI325X", "Llama-3.3-70B-Instruct", "1,1,False,auto", 139.0, 6000),
    ],
)
def test_every_usual_pair_runs_no_faster_than_its_weights_are_read(
    gpu: str, model: str, settings: str, gigabytes: float, bandwidth: float, tmp_path: Path
) -> None:
    bound = gigabytes / bandwidth
    assert bound < fastest(made_up(tmp_path, gpu, model, settings)) < 3 * bound


def test_data_parallel_engines_share_the_experts_of_a_mixture(tmp_path: Path) -> None:
    alone, both = (
        made_up(tmp_path, "H100", "Qwen3-30B-A3B-Instruct-2507", s + "bfloat16") for s in ("1,1,,", "1,2,True,")
    )
    assert deployment(both).attention_data_parallel == 2 and deployment(both).expert_parallel
    assert deployment(both).chips == 2 and not deployment(alone).expert_parallel
    one, shared = from_data_sheet(alone), from_data_sheet(both)
    assert shared.kv_blocks > 2 * one.kv_blocks  # each chip holds half the experts
    assert fastest(both) < fastest(alone)
    assert shared.law.kv == pytest.approx(one.law.kv, rel=0.01)
    assert shared.max_sequences == one.max_sequences and len(shared.law.plain_seconds) == len(one.law.plain_seconds)
    assert Fit(both, 20).blocks == shared.kv_blocks


@pytest.mark.parametrize(("gpu", "slower"), [("H100", 1.15), ("RTXPRO6000", 1.6)])
def test_a_step_of_engines_that_share_experts_is_bounded_by_those_that_do_not(
    gpu: str, slower: float, tmp_path: Path
) -> None:
    """Full steps: half the experts are read and twice the tokens computed by each; what links add is little on NVLink."""
    run = made_up(tmp_path, gpu, "Qwen3-30B-A3B", "1,2,True,bfloat16")
    shared = from_data_sheet(run)
    alone = from_data_sheet(run, d=deployment(replace(run, replicas=1, expert_parallel=False)))
    assert alone.law.plain_seconds[64] / 2 < shared.law.plain_seconds[64] < alone.law.plain_seconds[64]
    assert alone.law.mixed_seconds[2048] < shared.law.mixed_seconds[2048] < slower * alone.law.mixed_seconds[2048]


def test_data_parallel_engines_of_a_dense_model_have_nothing_in_common(tmp_path: Path) -> None:
    alone, both = (made_up(tmp_path, "L40S", "Qwen3-8B", s) for s in ("1,1,False,auto", "1,2,True,auto"))
    assert deployment(alone) == deployment(both) and both.replicas == 2
    assert predict(both, from_data_sheet(both)).finished.max() < predict(alone, from_data_sheet(alone)).finished.max()


def test_a_mixture_that_one_card_cannot_hold_is_spread_over_two(tmp_path: Path) -> None:
    assert fastest(made_up(tmp_path, "L40S", "Qwen3-30B-A3B", "1,2,True,bfloat16")) > 0
    with pytest.raises(CapacityError, match="weights take"):
        from_data_sheet(made_up(tmp_path, "L40S", "Qwen3-30B-A3B", "1,1,False,bfloat16"))


def test_weights_that_leave_no_cache_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CapacityError, match=r"qwen2\.5-14b on 1 x v100-32gb: weights leave no room"):
        from_data_sheet(made_up(tmp_path, "V100", "Qwen2.5-14B"))

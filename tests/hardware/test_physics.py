"""The roofline behaves as hardware does: units, limits and monotonicity."""

import pytest

from agentflow.documents import list_names, load_chip, load_deployment, load_engine, load_model
from agentflow.errors import CapacityError, NotFoundError, UsageError
from agentflow.hardware import (
    TableLaw,
    check,
    decode_step,
    decode_step_time,
    deployment_law,
    energy_per_token,
    kv_bytes_per_token,
    memory_fit,
    parameters,
    prefill_time,
    serve,
    token_time,
)  # fmt: skip
from agentflow.hardware.demand import coverage, slow_share
from agentflow.hardware.serving import queue_behind
from agentflow.schema.deployment import Deployment, Speculation

H100, LLAMA = "h100-sxm", "llama-3.1-70b"


def deployment(chip: str = H100, model: str = LLAMA, engine: str = "vllm", **fields: object) -> Deployment:
    values: dict[str, object] = {"tensor_parallel": 8} | fields
    return Deployment(name="test", chip=load_chip(chip), model=load_model(model), engine=load_engine(engine), **values)


def changed(base: Deployment, **fields: object) -> Deployment:
    return base.model_copy(update=fields)


@pytest.mark.parametrize("name", list_names("model"))
def test_parameters_follow_from_the_architecture(name: str) -> None:
    model = load_model(name)
    p = parameters(model)
    if model.published_parameters:
        assert p.total == pytest.approx(model.published_parameters, rel=0.02)
    if model.published_active:
        assert p.used == pytest.approx(model.published_active, rel=0.09)  # some count the input embedding


def test_catalogue_is_complete_and_cited() -> None:
    assert len(list_names("model")) >= 25
    for name in list_names("model"):
        assert load_model(name).evidence
    for name in list_names("chip"):
        chip = load_chip(name)
        figures = {f for e in chip.evidence for f in e.figures}
        assert {"flops", "memory", "bandwidth"} <= figures, name
    for name in list_names("engine"):
        assert load_engine(name).evidence


@pytest.mark.parametrize("name", list_names("deployment"))
def test_every_catalogue_deployment_runs(name: str) -> None:
    d = load_deployment(name)
    check(d, 1000)
    load = serve(d, 1, 500, 200)
    assert 0 < load.tpot < 10
    assert 0 < load.ttft.total < 200
    assert d.evidence


def test_kv_bytes_of_a_token_are_known() -> None:
    assert kv_bytes_per_token(load_model(LLAMA)) == 2 * 80 * 8 * 128 * 2
    assert kv_bytes_per_token(load_model("deepseek-v3")) == 61 * (512 + 64) * 2


def test_bound_without_overheads_is_bytes_over_bandwidth() -> None:
    d = deployment(model="llama-2-7b", engine="roofline", tensor_parallel=1)
    p = parameters(load_model("llama-2-7b"))
    reads = 2 * p.used + kv_bytes_per_token(load_model("llama-2-7b"))
    assert decode_step_time(d, 1, 1) == pytest.approx(reads / 3.35e12, rel=1e-6)


def test_bound_of_a_long_prefill_is_flop_over_peak() -> None:
    d = deployment(model="llama-2-7b", engine="roofline", tensor_parallel=1)
    p = parameters(load_model("llama-2-7b"))
    flop = 2 * 2000 * p.resident + 2 * p.head + 4 * 2000 * 1000 * 32 * 32 * 128
    assert prefill_time(d, 2000) == pytest.approx(flop / 989e12, rel=0.01)


@pytest.mark.parametrize("model", ["llama-3.1-70b", "deepseek-v3", "gpt-oss-120b", "qwen3.5-397b-a17b"])
def test_more_work_takes_longer(model: str) -> None:
    d = deployment("b200-sxm", model, weights="fp8", expert_weights="fp4")
    by_batch = [decode_step_time(d, b, 1000) for b in (1, 4, 16, 64, 256)]
    by_context = [decode_step_time(d, 16, c) for c in (1, 1000, 10_000, 100_000)]
    by_prompt = [prefill_time(d, n) for n in (1, 100, 1000, 10_000, 100_000)]
    for times in (by_batch, by_context, by_prompt):
        assert times == sorted(times)
    assert by_batch[-1] < 256 * by_batch[0]  # batching pays


def test_more_chips_are_faster_but_not_without_end() -> None:
    times = [decode_step_time(deployment(tensor_parallel=n, engine="roofline"), 16, 1000) for n in (2, 4, 8)]
    assert times == sorted(times, reverse=True)
    real = [decode_step_time(deployment(tensor_parallel=n), 1, 100) for n in (2, 8, 64)]
    assert real[1] < real[0]
    assert real[2] > real[1] * 0.5  # latencies do not shrink with chips


def test_what_binds_changes_with_the_load() -> None:
    d = deployment(engine="roofline")
    assert decode_step(d, 1, 1).bound == "weights"
    assert decode_step(d, 64, 100_000).bound == "kv"
    assert decode_step(d, 3000, 10).bound == "compute"
    swarm = load_deployment("petals-llama-2-70b")
    assert decode_step(changed(swarm, pipeline_parallel=10), 1, 10).bound == "links"


def test_cached_prefix_saves_time_but_is_attended_to() -> None:
    d = deployment()
    assert prefill_time(d, 20_000, cached=19_000) < 0.2 * prefill_time(d, 20_000)
    assert prefill_time(d, 20_000, cached=19_000) > prefill_time(d, 1000)


def test_expert_coverage() -> None:
    assert coverage(256, 8, 1) == pytest.approx(8 / 256)
    assert coverage(256, 8, 10_000) == pytest.approx(1.0)
    assert coverage(0, 0, 5) == 0.0


def test_latent_cache_is_smaller_and_not_split_by_tensor_parallelism() -> None:
    model = load_model("deepseek-v3")
    narrow = memory_fit(deployment("h200-sxm", "deepseek-v3", tensor_parallel=8, weights="fp8"), 4096)
    assert narrow.per_sequence == pytest.approx(4096 * kv_bytes_per_token(model))


def test_speculation_pays_at_small_batch_only() -> None:
    plain = deployment("b200-sxm", "deepseek-v3", "tensorrt-llm", weights="fp8")
    draft = changed(plain, speculation=Speculation(draft_tokens=3, tokens_per_step=2.2))
    small, large = (token_time(plain, b, 1000) / token_time(draft, b, 1000) for b in (1, 2000))
    assert small > 1.5
    assert large < small
    with pytest.raises(ValueError, match="at most 4"):
        Speculation(draft_tokens=3, tokens_per_step=5)


def test_acceptance_gives_tokens_by_leviathan() -> None:
    assert Speculation(draft_tokens=4, acceptance=0.8).tokens == pytest.approx((1 - 0.8**5) / (1 - 0.8))
    assert Speculation(draft_tokens=4, acceptance=0.0).tokens == 1
    assert Speculation(draft_tokens=4, acceptance=1.0).tokens == 5
    plain = deployment()
    for cost, worth in ((0.02, True), (1.0, False)):  # a draft as dear as a step never pays
        draft = changed(plain, speculation=Speculation(draft_tokens=4, acceptance=0.7, draft_cost=cost))
        assert (token_time(draft, 1, 1000) < token_time(plain, 1, 1000)) is worth
    for wrong in ({}, {"acceptance": 0.5, "tokens_per_step": 2.0}):
        with pytest.raises(ValueError, match="not both"):
            Speculation.model_validate({"draft_tokens": 3} | wrong)


def test_three_tiers_of_an_rdu() -> None:
    rack = load_deployment("sambanova-llama-3.1-405b")
    assert slow_share(rack) == 0  # 51 GB of 64 a socket
    half = changed(rack, tensor_parallel=8)
    assert 0.4 < slow_share(half) < 0.6  # the rest is read from DDR, sixteen times as slow as HBM
    assert token_time(half, 1, 500) > 5 * token_time(rack, 1, 500)
    assert memory_fit(half, 500).sequences < memory_fit(rack, 500).sequences
    with pytest.raises(CapacityError):
        check(changed(half, chip=rack.chip.model_copy(update={"overflow_memory": None})))
    unfused = changed(rack, chip=rack.chip.model_copy(update={"on_chip_memory": None}),
                      engine=rack.engine.model_copy(update={"default": rack.engine.default.model_copy(
                          update={"handed_on": 1.0})}))  # fmt: skip
    assert prefill_time(unfused, 4000) > prefill_time(rack, 4000)  # operators hand on through HBM, not SRAM


def test_diffusion_is_bound_by_compute() -> None:
    d = load_deployment("llada-8b-h100")
    assert d.diffusion is not None and not d.diffusion.cached
    assert {decode_step(d, batch, 1000).bound for batch in (1, 8, 64)} == {"compute"}
    assert decode_step(changed(d, diffusion=None), 1, 1000).bound == "weights"
    one, eight = (token_time(d, batch, 1000) for batch in (1, 8))
    assert eight > 6 * one  # batching shares nothing that binds
    fewer = changed(d, diffusion=d.diffusion.model_copy(update={"steps": 8}))
    assert token_time(fewer, 1, 1000) == pytest.approx(one / 2)
    kept = changed(d, diffusion=d.diffusion.model_copy(update={"cached": True}))
    assert token_time(kept, 1, 1000) < 0.5 * one


def test_what_if_chips_help_where_they_should() -> None:
    base = deployment(weights="fp8", kv="fp8")
    near, fast, stacked = (
        deployment(f"what-if-{n}", weights="fp8", kv="fp8") for n in ("pnm", "low-latency-links", "3d")
    )
    long = 30_000
    assert token_time(near, 64, long) < 0.6 * token_time(base, 64, long)
    assert token_time(near, 1, 10) == pytest.approx(token_time(base, 1, 10), rel=0.01)
    assert token_time(fast, 1, 10) < 0.95 * token_time(base, 1, 10)
    assert token_time(stacked, 1, 10) < 0.8 * token_time(base, 1, 10)
    flash = deployment("what-if-hbf", weights="fp8", kv="fp8")
    assert memory_fit(flash, long).sequences > 20 * memory_fit(base, long).sequences


def test_offloaded_layers_are_slow_and_make_room() -> None:
    d = load_deployment("llama-3.1-70b-4090-offload")
    assert token_time(d, 1, 500) > 5 * token_time(changed(d, offloaded_layers=0), 1, 500)
    with pytest.raises(CapacityError, match=r"would fit|more memory"):
        check(changed(d, offloaded_layers=0))


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"tensor_parallel": 3}, "2 or 4 would"),
        ({"tensor_parallel": 1}, "tensor_parallel 2 would fit"),
        ({"tensor_parallel": 8, "pipeline_parallel": 81}, "80 layers"),
        ({"expert_parallel": True}, "no experts"),
    ],
)
def test_impossible_deployments_say_what_would_fit(fields: dict[str, object], hint: str) -> None:
    with pytest.raises(CapacityError, match=hint):
        check(deployment(**fields), 1000)


def test_context_beyond_the_model_is_refused() -> None:
    with pytest.raises(CapacityError, match="at most 131072"):
        check(deployment(), 200_000)


def test_unknown_names_suggest() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'h100-sxm'"):
        load_chip("h100-smx")
    with pytest.raises(ValueError, match="load_chip"):
        Deployment(name="x", chip="h100-sxm", model=load_model(LLAMA))


def test_first_token_grows_with_load_through_its_queue() -> None:
    d = deployment()
    loads = [serve(d, c, 2000, 500) for c in (1, 8, 64)]
    queues = [load.ttft.queue for load in loads]
    assert queues == sorted(queues)
    assert {load.ttft.prefill for load in loads} == {loads[0].ttft.prefill}
    assert loads[-1].tpot > loads[0].tpot


def test_queue_of_one_is_empty_and_a_saturated_one_holds_everyone() -> None:
    assert queue_behind(1.0, 1, 10) == pytest.approx(0.0, abs=0.1)
    assert queue_behind(1.0, 1000, 10) == pytest.approx(990, rel=0.02)


def test_requests_beyond_memory_wait_for_a_place() -> None:
    d = deployment(tensor_parallel=4, kv="bf16")
    room = memory_fit(d, 20_000 + 600).sequences
    assert serve(d, 2 * room, 20_000, 1000).ttft.queue > serve(d, 0.9 * room, 20_000, 1000).ttft.queue + 10


def test_law_agrees_with_the_model_it_was_compiled_from() -> None:
    d = deployment()
    law = deployment_law(d, 16, 1500, 400)
    load = serve(d, 16, 1500, 400)
    assert law.tpot(1500 + 200) == pytest.approx(load.tpot, rel=1e-6)
    assert law.ttft(1500) == pytest.approx(load.ttft.total, rel=0.25)
    assert law.ttft(8000) > law.ttft(8000, cached=7000) > law.waiting
    assert law.decode(100, 1) == 0.0


def test_table_law_interpolates_and_does_not_guess() -> None:
    law = TableLaw((1, 10), (0.1, 1.0), (0.01, 0.03))
    assert law.at(0.5) == (0.1, 0.01)
    assert law.at(5.5) == pytest.approx((0.55, 0.02))
    with pytest.raises(UsageError, match="not measured"):
        law.at(11)
    with pytest.raises(UsageError, match="rising"):
        TableLaw((2, 1), (1, 1), (1, 1))


def test_energy_is_watts_times_seconds() -> None:
    d = deployment()
    joules = energy_per_token(d, 1, 1000)
    step = decode_step_time(d, 1, 1000)
    assert 0.3 * 8 * 700 * step <= joules <= 8 * 700 * step
    assert energy_per_token(d, 64, 1000) < joules


@pytest.mark.parametrize("name", [name for name in list_names("chip") if load_chip(name).kind == "gpu"])
def test_a_gpus_peaks_are_dense_and_its_links_have_their_latency(name: str) -> None:
    chip = load_chip(name)
    eight_bits = {"int8" if dtype == "int8" else "fp8" for dtype in chip.flops if dtype in ("int8", "fp8")}
    for dtype in eight_bits:  # twice those of 16 bits, and four times where a GeForce's 16 bits are halved
        assert chip.flops[dtype] / chip.flops["bf16"] == pytest.approx(4.0 if name == "rtx-3090" else 2.0, rel=0.03)
    assert chip.watts and chip.link_bandwidth
    constants = load_engine("vllm").constants(chip.family)
    assert (constants.allreduce_latency > 2e-5) == (chip.link_bandwidth <= 64e9)


@pytest.mark.parametrize(
    "name",
    ["rtx-3090", "rtx-a6000", "rtx-6000-ada", "a10", "a10g", "l4", "t4", "v100-16gb", "v100-32gb", "h100-pcie", "h100-nvl",
     "h20", "rtx-pro-6000-workstation", "rtx-pro-6000-max-q", "mi325x"],
)  # fmt: skip
def test_each_figure_of_a_card_has_a_source_and_a_date_or_is_assumed(name: str) -> None:
    entries = load_chip(name).evidence
    figures = {f for e in entries for f in e.figures} - {"visible_memory"}
    assert figures == {"flops", "memory", "bandwidth", "link_bandwidth", "watts"}
    assert all(e.kind == "assumed" or (e.date and e.source) for e in entries)
    assert not any(e.kind == "assumed" for e in entries if "flops" in e.figures or "bandwidth" in e.figures)


SHOWN = {name for name in list_names("chip") if load_chip(name).visible_memory}


def test_cards_whose_gddr6_corrects_errors_say_what_they_show() -> None:
    assert {"l4", "l40s", "a10", "a10g", "t4"} <= SHOWN


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_what_a_driver_shows_is_cited_and_less_than_the_data_sheet(name: str) -> None:
    chip = load_chip(name)
    assert chip.visible_memory and 0.9 < chip.visible_memory / (chip.memory / 1e9 * 2**30) < 1.0
    (entry,) = (e for e in chip.evidence if "visible_memory" in e.figures)
    assert entry.source and entry.date


def test_cards_without_nvlink_gain_less_from_a_second_one() -> None:
    def gain(chip: str) -> float:
        one, two = (deployment(chip, "qwen3-8b", tensor_parallel=n) for n in (1, 2))
        return prefill_time(one, 2000) / prefill_time(two, 2000)

    assert gain("h100-pcie") < gain("h100-nvl") and gain("rtx-a6000") < gain("a100-80gb")

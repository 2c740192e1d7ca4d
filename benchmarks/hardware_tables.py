"""Tables of the hardware model that need no measured rows: cited speeds, worked examples, what-ifs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from agentflow.analysis.bounds import batch_for_rate, bounds, rate_for_price
from agentflow.documents import load_chip, load_deployment, load_engine, load_model, make_deployment
from agentflow.hardware import decode_step, memory_fit, prefill_time, token_time
from agentflow.schema.deployment import Deployment, Speculation
from benchmarks.cited import CITED, LLAMA_CPP, OTHERS


def percent(value: float) -> str:
    """Show a share with one decimal."""
    return f"{100 * value:.1f} %"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Show rows as a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def prose(text: str) -> str:
    """Put a wrapped text on one line."""
    return " ".join(text.split())


def made(chip: str, model: str, engine: str, **fields: Any) -> Deployment:
    """Put catalogue documents together."""
    documents = {"chip": load_chip(chip), "model": load_model(model), "engine": load_engine(engine)}
    return make_deployment({"name": f"{model} on {chip}"} | documents | fields)


def _beside(speed: float, cited: float) -> tuple[str, str, str]:
    return f"{speed:,.3g}" if speed < 100 else f"{speed:,.0f}", f"{cited:,g}", f"{100 * (speed / cited - 1):+.0f} %"


def cited_speeds() -> str:
    """Single-user speeds of other architectures beside cited ones."""
    rows = []
    for name, cited, source, fitted in CITED:
        speed = 1 / token_time(load_deployment(name), 1, 600)
        rows.append((name, *_beside(speed, cited), fitted or "nothing", source))
    for chip, cited, fitted in LLAMA_CPP:
        speed = 1 / token_time(made(chip, "llama-2-7b", "llama-cpp", weights="int4"), 1, 64)
        source = "llama.cpp discussions 4167 and 15013, 7B Q4_0, tg128"
        rows.append((f"llama-2-7b on {chip}", *_beside(speed, cited), fitted or "nothing", source))
    return markdown(("deployment, one user", "tok/s", "cited", "error", "fitted on this figure", "source"), rows)


def other_models() -> str:
    """The same constants on models and dates they have not seen."""
    rows = []
    for chip, model, engine, fields, cited, source in OTHERS:
        d = made(chip, model, engine, **fields)
        rows.append((d.name, str(d.chips), *_beside(1 / token_time(d, 1, 600), cited), source))
    return markdown(("nothing fitted", "chips", "tok/s", "cited", "error", "source"), rows)


def worked_example() -> str:
    """'How much AI inference can we do?', from the same functions as the command `bounds`."""
    a100 = load_deployment("gpt-4-128xa100")
    b = bounds(a100, usd_per_chip_hour=1.0)
    real = rate_for_price(4.9, 1.0)
    batch = batch_for_rate(a100, real)
    largest = bounds(a100, context=4000)
    return (
        f"GPT-4 as {b.flop / 1e9:.0f} GFLOP a pass on an A100: compute bound {b.compute_bound:.0f} passes/s, "
        f"memory bound {b.memory_bound:.1f}, and {real:.0f} tokens/s a chip at $4.9 per million tokens and "
        f"$1 an hour. Between them is batch: {real:.0f} a chip takes {batch:,.0f} sequences on the 128 chips, "
        f"{batch / 128:.0f} for each, which share the reads of weights. The largest batch that 4,000 tokens of "
        f"context leave room for is {largest.largest_batch:,.0f}, and yields {largest.estimate.per_chip:.0f} a chip. "
        "`agentflow bounds --deployment gpt-4-128xa100 --usd-per-mtok 4.9` says the same."
    )


GPT_4 = [("a100", None), ("h100", None), ("h200", None), ("b200", None), ("b200", "fp8"), ("b200", "fp4")]


def newer_chips() -> str:
    """GPT-4 on 128 chips of each kind, at the largest batch that fits; and what to read in it."""
    rows, factors = [], {}
    for context in (1000, 4000, 8000):
        found = []
        for chip, dtype in GPT_4:
            d = load_deployment(f"gpt-4-128x{chip}")
            if dtype:
                d = d.model_copy(update={"weights": dtype, "expert_weights": dtype})
            found.append((chip, dtype or "bf16", bounds(d, context=context)))
        base = found[1][2].estimate.per_chip
        for chip, dtype, r in found:
            e = r.estimate
            factors[context, chip, dtype] = e.per_chip / base
            rows.append((f"{context:,}", f"{chip.upper()}, {dtype}", f"{r.compute_bound:,.0f}", f"{r.memory_bound:.1f}",
                         f"{e.batch:,.0f}", f"{e.per_chip:.0f}", f"{e.per_chip / base:.2f}", e.bound))  # fmt: skip
    head = ("context", "128 chips, GPT-4", "compute bound", "memory bound", "batch", "tok/s a chip", "/ H100", "binds")
    near = [factors[4000, *key] for key in (("h200", "bf16"), ("b200", "bf16"), ("b200", "fp8"), ("b200", "fp4"))]
    text = f"""
    The article has H200 at about 1.7 times H100 and B200 at 4 to 7 times. Bandwidth alone gives 1.43 and 2.30. The rest
    is memory, which leaves room for a larger batch (up to 256 sequences for each of 16 stages), and narrower weights.
    At 4,000 tokens of context H200 is at {near[0]:.1f}, and B200 at {near[1]:.1f} with the same 16-bit weights,
    {near[2]:.1f} in 8 bits, {near[3]:.1f} in 4. At 1,000 tokens both are limited by bandwidth; at 8,000 H100 has
    little room left. One factor without a context and a format says little.
    """
    return markdown(head, rows) + "\n\n" + prose(text)


def llama_servers() -> str:
    """Llama 3 70B on servers of eight chips: input and output rates by context."""
    rows = []
    for name, tensor in (("8xh100", 8), ("8xh100", 2), ("8xh100-bf16", 8), ("8xh200", 8), ("8xb200", 8)):
        d = load_deployment(f"llama-3.1-70b-{name}").model_copy(update={"tensor_parallel": tensor})
        for context in (8000, 32_000):
            b = bounds(d, context=context)
            rates = (b.compute_bound * 8, b.input_rate * 8, b.estimate.per_chip * 8)
            bound, estimate, output = (f"{rate:,.0f}" for rate in rates)
            label = name if tensor == 8 else f"{name} as four of two chips"
            rows.append((label, f"{context:,}", bound, estimate, f"{b.largest_batch * 8 / tensor:.0f}", output,
                         b.estimate.bound))  # fmt: skip
    return markdown(
        ("Llama 3 70B", "context", "input tok/s, bound", "estimated", "batch that fits", "output tok/s", "binds"), rows
    )


def llama_text() -> str:
    """Say where the article's two figures lie."""
    d = load_deployment("llama-3.1-70b-8xh100")
    low, high = 1000.0, 100_000.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if bounds(d, context=middle).estimate.per_chip * 8 > 3200 else (low, middle)
    bound = bounds(d).compute_bound * 8
    return prose(f"""
    Cited for 8 x H100: about 100,000 tokens/s of input, and 3,200 of long-prompt output. The first is within
    {bound / 1e5 - 1:.0%} of the compute bound in fp8, {bound:,.0f}; the estimate, with arithmetic at 75 % of its peak,
    all-reduces and what kernels hand on, as fitted on measured TTFT, is a quarter to a half of it: as a real rate it is
    not reached. The second is the estimate at {low:,.0f} tokens of context, with all the memory full of caches.
    """)


WHAT_IF = ("h100-sxm", "what-if-hbf", "what-if-pnm", "what-if-3d", "what-if-low-latency-links")


def what_ifs() -> str:
    """Four directions of inference hardware beside the H100 they start from: Llama 3 70B, TP 8, fp8."""
    rows = []
    for chip in WHAT_IF:
        d = made(chip, "llama-3.1-70b", "vllm", tensor_parallel=8, weights="fp8", kv="fp8")
        speeds = [1 / token_time(d, batch, context) for batch, context in ((1, 1000), (64, 1000), (64, 30_000))]
        rows.append((chip, *(f"{s:.0f}" for s in speeds), decode_step(d, 64, 30_000).bound,
                     f"{memory_fit(d, 30_000).sequences:,.0f}", f"{1e3 * prefill_time(d, 8000):.0f}"))  # fmt: skip
    head = (
        "Llama 3 70B, tok/s a user",
        "batch 1, 1k",
        "64, 1k",
        "64, 30k",
        "binds there",
        "30k contexts that fit",
        "prefill 8k, ms",
    )
    return markdown(head, rows)


KINDS = (
    "llama-3.1-70b-8xh100", "llama-3.1-70b-8xtpu-v6e", "llama-3.1-70b-16xtrainium2", "llama-3.1-8b-2xinferentia2",
    "groq-llama-3.1-70b", "cerebras-llama-3.1-70b", "sambanova-llama-3.1-70b", "taalas-llama-3.1-8b",
    "miner-llama-3.1-70b",
    "llama-3.1-70b-m3-ultra", "phi-4-epyc", "llama-3.1-70b-4090-offload", "petals-llama-2-70b", "phone-llama-3.2-3b",
    "browser-llama-3.2-1b", "llada-8b-h100",
)  # fmt: skip


def kinds() -> str:
    """One deployment of each kind of chip: what binds, and what batching does."""
    rows = []
    for name in KINDS:
        d = load_deployment(name)
        most = min(memory_fit(d, 1000).sequences, d.max_batch, 32)
        one, many = (batch / token_time(d, batch, 1000) for batch in (1, most))
        first = prefill_time(d, 1000)
        rows.append((name, d.chip.kind, decode_step(d, 1, 1000).bound, f"{one:,.3g}", f"{most:.0f}",
                     f"{many / one:.1f}", f"{first:.3g}"))  # fmt: skip
    return markdown(
        ("1,000 tokens of context", "chip", "binds", "tok/s, one user", "batch", "times the output", "prefill, s"), rows
    )


def speculation() -> str:
    """Speculative decoding by acceptance and batch: speed over plain decoding."""
    plain = load_deployment("llama-3.1-70b-8xh100")
    rows = []
    for acceptance in (0.5, 0.7, 0.9):
        draft = plain.model_copy(
            update={"speculation": Speculation(draft_tokens=4, acceptance=acceptance, draft_cost=0.1)}
        )
        gains = (token_time(plain, n, 1000) / token_time(draft, n, 1000) for n in (1, 16, 64, 256, 1024))
        rows.append((f"{acceptance:g}", *(f"{gain:.2f}" for gain in gains)))
    return markdown(("acceptance, 4 drafts at 0.1 steps", "batch 1", "16", "64", "256", "1024"), rows)


KINDS_TEXT = """
### Other architectures

Every kind by its mechanism. What the catalogue marks `assumed` stays assumed, above all for the miner's ASIC, the phone
and the browser."""
FITTED_TEXT = """
Two constants are fitted for each vendor: Groq, `bandwidth` and `layer_overhead`; Cerebras, `mesh_latency` and the
tokens of a speculative step; SambaNova, `layer_overhead` and the tokens of a speculative step. No cited single-user
speed of Groq for 405B was found, so there is no figure to compare its prediction with."""
OTHERS_TEXT = """
The same constants, with nothing fitted, on other models. Vendors change their software and use drafts that they do not
describe: Groq's own figures for Llama 3 70B range from 250 to 319 without drafts, and reach 1,665 with them. Experts on
an LPU come out too fast: routing between chips costs time that dense models do not show."""
WHAT_IF_TEXT = """
### What if

The four directions of the inference-hardware literature, on an H100; their factors are assumed: flash with the same
bandwidth and much more room, attention beside the memory at four times the bandwidth, memory on logic at four
times, all-reduces at a tenth of the latency."""
DRAFT_TEXT = "Speculative decoding pays while weights bind; at a large batch the checked drafts cost arithmetic."


def tables() -> str:
    """All of them, with what to read in them."""
    groq = 1 / token_time(load_deployment("groq-llama-3.1-405b"), 1, 600)
    parts = [
        KINDS_TEXT.strip(), kinds(), prose(FITTED_TEXT) + f" That is {groq:.0f} tok/s.", cited_speeds(),
        prose(OTHERS_TEXT), other_models(), WHAT_IF_TEXT.strip(), what_ifs(), DRAFT_TEXT, speculation(),
        "### How much AI inference can we do?", worked_example(), newer_chips(), llama_servers(), llama_text(),
    ]  # fmt: skip
    return "\n\n".join(parts)

"""The command that says what hardware allows: bounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentflow.cli import output
from agentflow.cli.options import Json, check_plot
from agentflow.errors import UsageError, quoted

if TYPE_CHECKING:
    from agentflow.analysis.bounds import Bounds
    from agentflow.schema import Deployment

Dollars = Annotated[str | None, typer.Option("--usd-per-chip-hour", help="Price of a chip, such as 2.5.")]


def bounds(
    chip: Annotated[str | None, typer.Argument(help="A chip: its name, or the path of its file.")] = None,
    model: Annotated[str | None, typer.Argument(help="A language model.")] = None,
    deployment: Annotated[list[str] | None, typer.Option(help="A deployment. Repeat it to compare.")] = None,
    engine: Annotated[str | None, typer.Option(help="The serving engine; by default the chip's usual one.")] = None,
    tensor_parallel: Annotated[int | None, typer.Option(min=1, help="By default as few chips as fit.")] = None,
    pipeline_parallel: Annotated[int | None, typer.Option(min=1, help="By default as few chips as fit.")] = None,
    weights: Annotated[str | None, typer.Option(help="Dtype of the weights, such as fp8.")] = None,
    kv: Annotated[str | None, typer.Option(help="Dtype of the cache.")] = None,
    context: Annotated[str, typer.Option(help="Tokens of context, such as 8k.")] = "1000",
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Sequences decoding together. Repeat it.")] = None,
    usd_per_chip_hour: Dollars = None,
    usd_per_mtok: Annotated[
        str | None, typer.Option("--usd-per-mtok", help="Explain this price of a million tokens by the batch it needs.")
    ] = None,
    json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the roofline: PNG, SVG or PDF.")] = None,
) -> None:
    """Say what chips allow a model: bounds of compute and memory, and the speed between them by batch."""
    from agentflow import units
    from agentflow.analysis.bounds import BATCHES, explain_price
    from agentflow.analysis.bounds import bounds as bounds_of

    check_plot(plot)
    tokens = _number("--context", context, units.parse_count)
    price = None if usd_per_chip_hour is None else _number("--usd-per-chip-hour", usd_per_chip_hour, units.parse_usd)
    wanted = None if usd_per_mtok is None else _number("--usd-per-mtok", usd_per_mtok, units.parse_usd)
    named = _deployments(deployment, chip, model)
    if not named:
        assert chip is not None and model is not None
        named = [_made(chip, model, engine, tensor_parallel, pipeline_parallel, weights, kv, tokens)]
    elif engine or tensor_parallel or pipeline_parallel or weights or kv:
        raise UsageError("a deployment says these things itself; name a CHIP and a MODEL instead, or edit its document")
    found = [bounds_of(d, context=tokens, batches=batch or BATCHES, usd_per_chip_hour=price) for d in named]
    explained = [] if wanted is None else [
        explain_price(d, wanted, context=tokens, usd_per_chip_hour=price) for d in named
    ]  # fmt: skip
    _report(found, explained, json, plot)


def _deployments(names: list[str] | None, chip: str | None, model: str | None) -> list[Deployment]:
    """Load the deployments that were named."""
    from agentflow import documents

    if names:
        if chip or model:
            raise UsageError("name a CHIP and a MODEL, or a --deployment, not both")
        return [documents.load_deployment(name.removeprefix("deployments/")) for name in names]
    if not chip or not model:
        raise UsageError("name a CHIP and a MODEL, such as h100-sxm llama-3.1-70b, or a --deployment")
    return []


def _made(
    chip: str, model: str, engine: str | None, tensor: int | None, stages: int | None, weights: str | None,
    kv: str | None, context: float,
) -> Deployment:  # fmt: skip
    """Put a chip and a model together."""
    from agentflow import documents
    from agentflow.analysis.bounds import fewest_chips

    sheet = documents.load_chip(chip.removeprefix("chips/"))
    fields: dict[str, object] = {
        "name": f"{model} on {chip}",
        "chip": sheet,
        "model": documents.load_model(model.removeprefix("models/")),
        "engine": documents.load_engine(engine or sheet.engine),
    }
    given = {"tensor_parallel": tensor, "pipeline_parallel": stages, "weights": weights, "kv": kv}
    fields |= {name: value for name, value in given.items() if value is not None}
    made = documents.make_deployment(fields)
    return made if tensor or stages else fewest_chips(made, context)


def _number(flag: str, text: str, parse: object) -> float:
    """Read a flag's number above 0."""
    try:
        value = float(parse(text))  # type: ignore[operator]
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None
    if value <= 0:
        raise UsageError(f"{flag} {quoted(text)}: must be above 0")
    return value


def _report(found: list[Bounds], explained: list[dict[str, float]], json: bool, plot: Path | None) -> None:
    """Print bounds, and draw them."""
    if plot is not None:
        from agentflow.report.roofline import plot_roofline

        plot_roofline(found, plot)
    if json:
        cases = [b.to_json() for b in found]
        for case, reason in zip(cases, explained, strict=False):
            case["price"] = reason
        output.print_json({"schema_version": 1, "bounds": cases})
        return
    from agentflow.report.roofline import bounds_report

    output.show(bounds_report(found, explained))

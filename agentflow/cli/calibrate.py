"""The command that turns load tests into backends: calibrate."""

from __future__ import annotations

from typing import Annotated

import typer

from agentflow.cli import output
from agentflow.cli.options import Json


def calibrate(
    files: Annotated[list[str], typer.Argument(help="Result files of llmperf, vLLM, GuideLLM or AIPerf, or a CSV.")],
    format: Annotated[str | None, typer.Option(help="The files' format; by default found from the content.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the profile, PROVIDER/MODEL.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns of a CSV, such as ttft=first_ms:ms,e2e=total.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Keep the rows of a CSV with COLUMN=VALUE.")] = None,
    as_of: Annotated[str | None, typer.Option(help="When it was measured, 2026-11-21.")] = None,
    output_file: Annotated[str | None, typer.Option("--output", help="Write the profile to this file.")] = None,
    plot: Annotated[str | None, typer.Option(help="Draw fitted against measured quantiles.")] = None,
    json: Json = False,
) -> None:
    """Turn measured requests into a backend's profile, with its evidence."""
    from agentflow.cli.calibration import calibrate_command

    calibrate_command(
        files, format=format, name=name, columns=columns, where=where or (), as_of=as_of, output=output_file, plot=plot,
        as_json=json, console=output.stdout(),
    )  # fmt: skip

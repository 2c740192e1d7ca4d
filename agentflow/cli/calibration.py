"""``agentflow calibrate``: from load tests' result files to a backend's profile."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from agentflow.analysis.fitting.calibrate import DOUBT, calibrate, calibrate_summary
from agentflow.analysis.fitting.calibration import Calibration
from agentflow.analysis.fitting.requests import Requests, RequestSummary, concatenate
from agentflow.atomic import write_whole
from agentflow.cli.output import warn
from agentflow.documents import dump
from agentflow.errors import CalibrationError, UsageError
from agentflow.importers.loadtest import parse_columns, read_requests
from agentflow.report.calibration import calibration_report, qq_plot
from agentflow.report.figures import check_plot, save_figure


def calibrate_command(
    files: Sequence[str],
    *,
    format: str | None = None,
    name: str | None = None,
    columns: str | None = None,
    where: Sequence[str] = (),
    as_of: str | None = None,
    output: str | None = None,
    plot: str | None = None,
    as_json: bool = False,
    seed: int = 0,
    console: Console | None = None,
) -> Calibration:
    """Calibrate a profile and print it; what ``agentflow calibrate FILE...`` does.

    Parameters
    ----------
    files : sequence of str
        Result files of one endpoint; each file's runs count as runs of their own.
    format : str, optional
        One of `agentflow.importers.loadtest.FORMATS`; from the content by default.
    name : str, optional
        Of the profile, ``provider/model``.
    columns : str, optional
        For CSV: ``ttft=COLUMN[:ms],e2e=COLUMN,...``.
    where : sequence of str
        For CSV: ``COLUMN=VALUE``, rows to take.
    as_of : str, optional
        Day of the measurement, YYYY-MM-DD.
    output : str, optional
        Where to write the YAML; with neither this nor `as_json` it is printed after the report.
    plot : str, optional
        Where to write the QQ plot; the suffix tells the format.
    as_json : bool
        Print JSON and nothing else.
    seed : int
        Of the comparison's draws.
    console : Console, optional
        Where to print.

    Returns
    -------
    Calibration

    Raises
    ------
    CalibrationError
        If a file is malformed or supports no profile.
    UsageError
        If a flag makes no sense.
    """
    console = console or Console()
    day = _day(as_of)
    if plot is not None:
        check_plot(Path(plot))
    if output is not None and not Path(output).parent.is_dir():
        raise UsageError(f"--output {output}: there is no folder {Path(output).parent}")
    data = _read(files, format, parse_columns(columns or ""), _pairs(where))
    if isinstance(data, RequestSummary):
        result = calibrate_summary(data, name=name, as_of=day)
    else:
        result = calibrate(data, name=name, as_of=day, seed=seed)
    for note in result.notes:
        if note.startswith(DOUBT):
            warn(note)
    text = dump(result.backend)
    if plot is not None and not result.qq:
        raise UsageError("--plot: a summary file has no requests to plot; give the requests' own file")
    if output is not None:
        write_whole(Path(output), lambda file: file.write(text.encode("utf-8")))
    if plot is not None:
        save_figure(Path(plot), qq_plot(result))
    if as_json:
        console.print(json.dumps(result.as_dict(), allow_nan=False), markup=False, highlight=False, soft_wrap=True)
        return result
    console.print(calibration_report(result))
    if output is None:
        console.print("\n" + text, markup=False, highlight=False, soft_wrap=True, end="")
    else:
        console.print(f"profile written to {output}", markup=False, highlight=False)
    return result


def _read(
    files: Sequence[str], format: str | None, columns: dict[str, str], where: dict[str, str]
) -> Requests | RequestSummary:
    if not files:
        raise UsageError("calibrate needs at least one result file")
    if len(set(files)) < len(files):
        raise UsageError("a file is named twice; its requests would count double")
    parts = [read_requests(file, format, columns=columns, where=where) for file in files]
    requests = [part for part in parts if isinstance(part, Requests)]
    if len(requests) == len(parts):
        _same_endpoint(requests)
        return concatenate(requests)
    if len(parts) > 1:
        raise UsageError("a summary file stands alone; give the files that hold the requests")
    summary = parts[0]
    assert isinstance(summary, RequestSummary)
    return summary


def _same_endpoint(parts: Sequence[Requests]) -> None:
    models = {part.model: part.sources[0] for part in parts if part.model}
    if len(models) > 1:
        told = ", ".join(f"{source} is of {model}" for model, source in models.items())
        raise CalibrationError(f"{told}; calibrate one endpoint at a time")


def _pairs(where: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in where:
        column, sign, value = text.partition("=")
        if not sign or not column:
            raise UsageError(f"--where: {text!r} is not COLUMN=VALUE")
        pairs[column] = value
    return pairs


def _day(text: str | None) -> datetime.date | None:
    if text is None:
        return None
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--as-of: {text!r} is no date; write it as 2026-01-31") from error
    if day > datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1):  # tomorrow: it is so somewhere
        raise UsageError(f"--as-of {text}: is in the future; say when it was measured")
    return day

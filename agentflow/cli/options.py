"""The options that several commands have, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentflow.errors import UsageError, quoted

if TYPE_CHECKING:
    from agentflow.analysis.gates import Gate
    from agentflow.analysis.setting import Setting

Runs = Annotated[int, typer.Option(help="Number of simulated runs.", min=1, max=100_000_000)]
Seed = Annotated[int, typer.Option(help="Run n of a seed is always the same.", min=0, max=2**63 - 1)]
Threads = Annotated[
    int | None, typer.Option(help="Threads; by default one a core. The result is the same.", min=1, max=1024)
]
Precision = Annotated[str | None, typer.Option(help="Go on until the interval of the p95 is this narrow, such as 2%.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Plot = Annotated[Path | None, typer.Option(help="Draw the stacked latency: a .png, .svg or .pdf.")]
FailIf = Annotated[
    list[str] | None,
    typer.Option(
        help="Gate such as 'e2e.p95>10s', or 'e2e.p95>+10%' against --baseline; exit code 1 if it is so. "
        "May be repeated."
    ),
]
Assign = Annotated[list[str] | None, typer.Option(help="STEP=BACKEND: another backend for one step. May be repeated.")]
Arrive = Annotated[
    str | None,
    typer.Option(help="Runs meet: poisson:0.5/s, gamma:2/s,cv=3, closed:20,think=5s, batch:2000, trace:FILE."),
]
Tier = Annotated[str | None, typer.Option(help="The customer's tier, whose rate limits count: needs --arrivals.")]
Client = Annotated[
    str | None,
    typer.Option(help="What the framework costs: openai, langgraph, openai-agents, pydantic-ai; needs --arrivals."),
]
Objective = Annotated[str | None, typer.Option(help="Objective such as 'p95<20s', for the goodput: needs --arrivals.")]
Region = Annotated[str | None, typer.Option(help="Where the user is, such as eu-hetzner; see backends/network.yaml.")]
NewConnections = Annotated[bool, typer.Option("--new-connections", help="Each call opens a connection of its own.")]
PriceTrend = Annotated[str | None, typer.Option(help="How prices move, such as -86%/yr; needs --when.")]
SpeedTrend = Annotated[str | None, typer.Option(help="How speeds move, such as x2/yr; needs --when.")]
When = Annotated[str | None, typer.Option(help="The date that trends run to: 2028-05-01, or 18mo.")]
Workflow = Annotated[str, typer.Argument(help="A workflow of the catalogue, or the path of a file.")]
OneBackend = Annotated[str | None, typer.Option(help="A backend, a provider, or the path of a file.")]
Backends = Annotated[
    list[str] | None, typer.Option(help="Backends or providers to compare, divided by commas. May be repeated.")
]


def assignments(pairs: list[str] | None) -> dict[str, str]:
    """Read STEP=BACKEND pairs."""
    found: dict[str, str] = {}
    for pair in pairs or ():
        step, equals, backend = pair.partition("=")
        if not (step and equals and backend):
            raise UsageError(f"--assign {quoted(pair)}: write STEP=BACKEND, such as write=groq")
        if step in found:
            raise UsageError(f"--assign {quoted(pair)}: the step has a backend already")
        found[step] = backend
    return found


def read_precision(text: str | None) -> float | None:
    """Read a precision such as 2%."""
    if text is None:
        return None
    from agentflow.units import parse_percent

    try:
        share = parse_percent(text)
    except ValueError as error:
        raise UsageError(f"--precision: {error}") from None
    if not 0.0 < share < 1.0:
        raise UsageError(f"--precision {quoted(text)}: must be between 0 and 100 %, such as 2%")
    return share


def check_loaded(arrivals: str | None, **only: object) -> None:
    """Refuse options that say nothing of runs that are alone."""
    for name, value in only.items():
        if value is not None and arrivals is None:
            raise UsageError(f"--{name}: runs that are alone share nothing; add --arrivals, such as poisson:0.5/s")


def read_setting(
    region: str | None,
    new_connections: bool,
    price: str | None,
    speed: str | None,
    when: str | None,
    tier: str | None = None,
    client: str | None = None,
) -> Setting | None:
    """Read where and when the scenario takes place."""
    if new_connections and region is None:
        raise UsageError("--new-connections: say from where with --region")
    if all(said is None for said in (region, price, speed, when, tier, client)):
        return None
    import datetime

    from agentflow.analysis.loading.client import parse_client
    from agentflow.analysis.setting import Setting
    from agentflow.analysis.trends import parse_trend, parse_when

    today = datetime.datetime.now(datetime.UTC).date()
    return Setting(
        region=region,
        new_connections=new_connections,
        price=None if price is None else parse_trend(price),
        speed=None if speed is None else parse_trend(speed),
        when=None if when is None else parse_when(when, today),
        tier=tier,
        client=None if client is None else parse_client(client),
    )


def read_gates(expressions: list[str] | None) -> list[Gate]:
    """Read the gates, before anything is simulated."""
    if not expressions:
        return []
    from agentflow.analysis.gates import parse_gate

    return [parse_gate(expression) for expression in expressions]


def check_save(path: Path | None) -> None:
    """Refuse a file that would not hold what its name says, before anything is simulated."""
    if path is None:
        return
    if path.suffix.lower() not in ("", ".npz"):
        raise UsageError(f"--save {path}: the name must end in .npz; --json prints the figures as JSON")
    if not path.parent.is_dir():
        raise UsageError(f"--save {path}: there is no folder {path.parent}")


def check_plot(plot: Path | None) -> None:
    """Refuse a picture that could not be written, before anything is simulated."""
    if plot is not None:
        from agentflow.report.figures import check_plot

        check_plot(plot)


def split_names(texts: Sequence[str] | None) -> list[str]:
    """Read names that are divided by commas, in one option or several; a file's name may have commas."""
    parts = [[text] if Path(text).is_file() else text.split(",") for text in texts or ()]
    return [name.strip() for part in parts for name in part if name.strip()]

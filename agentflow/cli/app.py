"""The command's parts put together, and its usage errors turned into ours."""

from __future__ import annotations

from typing import Annotated

import typer

from agentflow.cli import bounds, calibrate, capacity, catalogue, insight, report, search, simulate, trace
from agentflow.errors import UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Simulate how long an agentic workflow takes to answer, on which backend, and why.",
)
app.command()(simulate.run)
app.command()(simulate.compare)
app.command()(simulate.demo)
app.command()(report.report)
app.command()(trace.trace)
app.command()(insight.explain)
app.command()(insight.stack)
app.command()(search.sweep)
app.command()(search.optimize)
app.command()(capacity.capacity)
app.command()(calibrate.calibrate)
app.command()(bounds.bounds)
app.command()(catalogue.validate)
app.command("list")(catalogue.list_)
app.command()(catalogue.show)
app.command()(catalogue.schema)


def invoke(argv: list[str]) -> int:
    """Run the command and return its exit code.

    Raises
    ------
    AgentflowError
        If a flag or a document makes no sense.
    KeyboardInterrupt
        If the user interrupts.
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(args=argv, prog_name="agentflow", standalone_mode=False)
    except Exception as error:
        shown = getattr(error, "format_message", None)
        if shown is None or not hasattr(error, "exit_code"):
            if type(error).__name__ == "Abort":
                raise KeyboardInterrupt from None
            raise
        context = getattr(error, "ctx", None)
        usage = f"{context.get_usage()}\n" if context is not None else ""
        raise UsageError(f"{usage}{shown()}" if shown() else "see agentflow --help") from None
    return code if isinstance(code, int) else 0


def _version(wanted: bool) -> None:
    if wanted:
        import agentflow

        print(f"agentflow {agentflow.__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done and every gate passed; 1 a gate failed; 2 bad input or usage; 3 inconclusive; "
    "70 an error in agentflow itself; 130 interrupted."
)
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass

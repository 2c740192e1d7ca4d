"""The command line: parse, call, print, exit code; nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

OK, FAILED, USAGE, INCONCLUSIVE, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 70, 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 a gate failed, 2 bad input, 3 inconclusive, 70 a bug, 130 interrupted."""
    sys.exit(run(sys.argv[1:] if argv is None else list(argv)))


def run(argv: list[str]) -> int:
    """Run the command with these arguments and return its exit code; no traceback reaches the user."""
    from agentflow.errors import AgentflowError

    try:
        from agentflow.cli.app import invoke

        code = invoke(argv)
        sys.stdout.flush()
        return code
    except AgentflowError as error:
        print(error, file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # typer and rich exit with 1, a failed gate's code, if the reader has gone
        _leave_stdout()
        return OK
    except OSError as error:
        _leave_stdout()
        where = f" {error.filename}" if error.filename else ""
        print(f"cannot read or write{where}: {error.strerror or error}", file=sys.stderr)
        return USAGE
    except Exception as error:
        if os.environ.get("AGENTFLOW_DEBUG"):
            raise
        text = " ".join(str(error).split())[:300]
        print(f"internal error, please report it: {type(error).__name__}: {text}", file=sys.stderr)
        print("AGENTFLOW_DEBUG=1 shows where it happened", file=sys.stderr)
        return INTERNAL


def _leave_stdout() -> None:
    """Write what is still to come nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

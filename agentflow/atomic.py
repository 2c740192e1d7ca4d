"""Files that are written whole or not at all: beside the target first, then renamed."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from agentflow.errors import AgentflowError

_LOCK = threading.Lock()


def write_whole(path: Path, write: Callable[[BinaryIO], object], sync: bool = False) -> None:
    """Write a file whole or not at all; who reads it meanwhile sees the old one.

    Parameters
    ----------
    path
        The file; one that is there is replaced.
    write
        Is given the open file.
    sync
        Whether to wait until it is on the disk.

    Raises
    ------
    AgentflowError
        If the file cannot be written.
    """
    partial: str | None = None
    try:
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(partial, 0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        os.replace(partial, path)
    except OSError as error:
        raise AgentflowError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)


def _umask() -> int:
    """Return what the process takes from new files' rights; there is no way to ask but to set it."""
    with _LOCK:
        mask = os.umask(0)
        os.umask(mask)
    return mask

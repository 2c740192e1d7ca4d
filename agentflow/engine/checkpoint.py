"""Replications that are done, in a folder: a simulation that was killed goes on with what is missing.

Each replication is one file, written whole or not at all; its name holds a digest of all that decides its bytes, so
that those of another plan, seed, load or version are never taken.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from agentflow.atomic import write_whole
from agentflow.engine.events import Look
from agentflow.errors import AgentflowError

_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def digest_of(*parts: Any) -> str:
    """Return a digest of what decides a replication's bytes."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def kept(folder: Path, digest: str, make: Callable[[int], Mapping[str, Any]]) -> Callable[[int], Mapping[str, Any]]:
    """Return what reads a replication's arrays from a folder, or makes and writes them.

    Raises
    ------
    AgentflowError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AgentflowError(f"{folder}: cannot be made: {error.strerror}") from error

    def work(number: int) -> Mapping[str, Any]:
        path = folder / f"{digest}-{number:05d}.npz"
        try:
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except _UNREADABLE:
            made = make(number)
        write_whole(path, partial(_save, made), sync=True)
        return made

    return work


def _save(arrays: Mapping[str, Any], file: BinaryIO) -> None:
    np.savez(file, **arrays)


def pack(look: Look) -> dict[str, Any]:
    """Give the arrays of a look names of their own."""
    return {f"look_{item.name}": np.asarray(getattr(look, item.name)) for item in fields(look)}


def unpack(arrays: Mapping[str, Any]) -> Look:
    """Undo `pack`."""
    parts = {item.name: arrays[f"look_{item.name}"] for item in fields(Look)}
    return Look(**parts | {"clock": float(parts["clock"]), "ended": int(parts["ended"])})

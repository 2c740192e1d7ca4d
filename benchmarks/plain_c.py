"""W2 in plain C: compiles ``w2.c`` with the compiler that it finds, and calls it from Python.

    python -m benchmarks.plain_c        # what it sees, and how fast; speed_load puts the engine beside it

Without a compiler ``NoCompiler`` says why, and whoever compares goes on without.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.simpy_w2 import RATE

SOURCE = Path(__file__).with_name("w2.c")
COMPILERS = ("cc", "gcc", "clang")
STEPS = ("planner", "researcher", "writer", "critic", "guardrail", "fallback")
TOTALS = (
    "visits", "attempts", "latency_s", "input_tokens", "output_tokens",
    "queue_s", "prefill_s", "decode_s", "backoff_s",
    "critical_queue_s", "critical_prefill_s", "critical_decode_s", "critical_backoff_s",
)  # fmt: skip
BINS = 4864
COLUMNS = {
    "e2e_s": np.float64, "ttft_s": np.float64, "input_tokens": np.int64, "output_tokens": np.int64,
    "calls": np.int32, "attempts": np.int32, "failed": np.uint8,
}  # fmt: skip


class NoCompiler(Exception):
    """No C compiler was found, or it failed."""


class _Columns(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in (*COLUMNS, "totals", "counts")]


@dataclass(frozen=True)
class Made:
    """What the program saw; n runs.

    Attributes
    ----------
    runs : dict of str to array
        The columns, each of n values.
    totals : float64[STEPS, TOTALS]
    counts : int64[STEPS + 1, BINS]
        Visits by their latency, step by step; attempts by their wait.
    """

    runs: dict[str, NDArray[np.generic]]
    totals: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def wait_s(self) -> float:
        """Mean wait of an attempt (s)."""
        queue, attempts = (self.totals[:, TOTALS.index(name)].sum() for name in ("queue_s", "attempts"))
        return float(queue / attempts)


Simulate = Callable[[int, int, int], Made]
"""From the runs that warm up, those that count, and the seed."""


def compiler() -> str:
    """Find a C compiler: the environment's CC, or one of the usual names."""
    named = os.environ.get("CC", "").strip()
    for name in (named,) if named else COMPILERS:
        command = shlex.split(name)[0]
        if shutil.which(command):
            return name
    raise NoCompiler(f"no C compiler: {named or ', '.join(COMPILERS)} not found")


def compiled(*defines: str) -> Simulate:
    """Compile the program, for this processor where the compiler can; what is defined is said in its source."""
    command = shlex.split(compiler())
    with tempfile.TemporaryDirectory() as folder:
        made = str(Path(folder) / "w2.so")
        options = [*(f"-D{name}" for name in defines), "-shared", "-fPIC", str(SOURCE), "-o", made, "-lm"]
        said = ""
        for level in (["-O3", "-march=native"], ["-O3"]):
            done = subprocess.run([*command, *level, *options], capture_output=True, text=True)
            if done.returncode == 0:
                break
            said = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        else:
            raise NoCompiler(f"{command[0]} failed: {said}")
        try:
            library = ctypes.CDLL(made)
        except OSError as error:
            raise NoCompiler(f"what {command[0]} made cannot be loaded: {error}") from error
    function = library.simulate
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_double, ctypes.c_uint64, _Columns]

    def simulate(warmup: int, runs: int, seed: int) -> Made:
        columns = {name: np.empty(runs, kind) for name, kind in COLUMNS.items()}
        totals, counts = np.zeros((len(STEPS), len(TOTALS))), np.zeros((len(STEPS) + 1, BINS), np.int64)
        addresses = (array.ctypes.data for array in (*columns.values(), totals, counts))
        function(warmup, runs, RATE, seed, _Columns(*addresses))
        return Made(columns, totals, counts)

    return simulate


def main(runs: int = 1_000_000) -> None:
    """Print its speed, and what W2 looks like."""
    for defines in ((), ("KEYED",), ("BARE",)):
        simulate = compiled(*defines)
        began = time.process_time()
        made = simulate(200, runs, 1)
        seconds = time.process_time() - began
        print(
            f"{' '.join(defines) or 'as it is'}: {runs / seconds:,.0f} workflows per CPU-second, "
            f"E2E mean {made.runs['e2e_s'].mean():.2f} s, {made.runs['attempts'].mean():.2f} attempts a workflow"
            + ("" if "BARE" in defines else f", mean wait {made.wait_s:.3f} s")
        )


if __name__ == "__main__":
    main()

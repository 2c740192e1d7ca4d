"""Kill a simulation under load again and again, let it go on each time, and compare the bytes it ends with.

    python -m benchmarks.resume_load [--runs 1000000] [--kills 6] [--threads 1]

The command simulates W2 (W1's calls at 32 slots, Poisson arrivals at load 0.8) once without a break, and once with
`--checkpoint`, where SIGKILL hits it as soon as it has written some replications more than at its start; then the same
with `--save`, which keeps a column a run. Compared are the JSON on stdout and the file that was saved.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from benchmarks.models import ROOT, W1_STEPS, w1_file
from benchmarks.simpy_w2 import RATE, SLOTS

WAIT = 600.0  # seconds at most for a replication


@dataclass(frozen=True)
class Resumed:
    """What became of it: replications that were done at each kill, whether the bytes are the same, their digest."""

    at_kills: tuple[int, ...]
    same: bool
    digest: str
    seconds: tuple[float, float]
    kept_bytes: int


def command(folder: Path, runs: int, threads: int) -> list[str]:
    """Write W2's backends into a folder; return the command that simulates them."""
    words = [sys.executable, "-m", "agentflow", "run", str(ROOT / "workflows" / "w1.yaml"), "--json"]
    for step, kind in W1_STEPS.items():
        place = folder / f"{kind}.yaml"
        capacity = f"capacity: {{concurrency: {SLOTS}, shared: w2}}\n"
        place.write_text(w1_file(kind).read_text(encoding="utf-8") + capacity, encoding="utf-8")
        words += ["--assign", f"{step}={place}"]
    return [*words, "--arrivals", f"poisson:{RATE}/s", "--runs", str(runs), "--threads", str(threads)]


def resume(folder: Path, runs: int, kills: int, threads: int = 1, save: bool = False, seed: int = 0) -> Resumed:
    """Simulate without a break and with as many kills, in an empty folder."""
    words = command(folder, runs, threads)
    saved = [folder / name for name in ("whole.npz", "resumed.npz")] if save else []
    began = time.perf_counter()
    whole = _run([*words, *_saving(saved, 0)])
    one = time.perf_counter() - began
    done = folder / "done"
    resumed, at_kills = [*words, *_saving(saved, 1), "--checkpoint", str(done)], []
    draws = random.Random(seed)
    for _ in range(kills):
        at_kills.append(_kill(resumed, done, draws.randint(1, 3), draws.uniform(0.0, 0.03)))
    began = time.perf_counter()
    last = _run(resumed)
    files = [path.read_bytes() for path in saved]
    same = whole == last and (not files or files[0] == files[1])
    digest = sha256(whole + (files[0] if files else b"")).hexdigest()[:16]
    kept = sum(path.stat().st_size for path in done.iterdir())
    return Resumed(tuple(at_kills), same, digest, (one, time.perf_counter() - began), kept)


def _saving(saved: list[Path], which: int) -> list[str]:
    return ["--save", str(saved[which])] if saved else []


def _run(words: list[str]) -> bytes:
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout


def _kill(words: list[str], done: Path, more: int, delay: float) -> int:
    """Start the command; kill it a moment after it has written so many replications more; return how many are there."""
    wanted = len(list(done.glob("*.npz"))) + more
    with open(os.devnull, "wb") as nowhere, subprocess.Popen(words, stdout=nowhere, stderr=nowhere, cwd=ROOT) as child:
        until = time.monotonic() + WAIT
        while len(list(done.glob("*.npz"))) < wanted and child.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        if child.wait() != -signal.SIGKILL:
            raise RuntimeError("it ended before it was killed")
    return len(list(done.glob("*.npz")))


def main() -> None:
    """Print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    for save in (False, True):
        with tempfile.TemporaryDirectory() as name:
            found = resume(Path(name), chosen.runs, chosen.kills, chosen.threads, save)
        what = "JSON and columns" if save else "JSON"
        print(
            f"{chosen.runs:,} runs, {what}: killed with {', '.join(map(str, found.at_kills))} of 20 replications done; "
            f"{'the same bytes' if found.same else 'OTHER BYTES'} ({found.digest}); without a break "
            f"{found.seconds[0]:.1f} s, the last part {found.seconds[1]:.1f} s; {found.kept_bytes / 1e6:.1f} MB kept"
        )
        if not found.same:
            sys.exit(1)


if __name__ == "__main__":
    main()

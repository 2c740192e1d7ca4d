"""Measure continuous batching beside Vidur and AISimulate, on the same requests and at the same step times.

    python -m benchmarks.peers --vidur CHECKOUT --vidur-python PYTHON --install
    python -m benchmarks.peers --vidur CHECKOUT --vidur-python PYTHON --aisimulate-python PYTHON

Rates are requests per CPU-second (user and system, all threads) of the simulation proper: no start, no imports, no
plots. Each round runs a peer in a process of its own and then agentflow, which serves the same requests again and
again; medians of the rounds. A peer that cannot be run is printed with the rate that others measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agentflow.documents import load_deployment
from agentflow.engine.batching import Replica, StepTable, serve
from agentflow.hardware import cache_blocks, iteration_table

BUDGET, MOST, BLOCK = 2048, 256, 16
PREFILL, DECODE = 0.012, 0.008
"""AISimulate's fixed seconds of a step: for its prompts, and for its decoding; made up, of an 8B model's size."""

CITED = {"Vidur": "28", "AISimulate": "9,000 to 11,000"}
AIMS = {"Vidur": 1000, "AISimulate": 20}
HEAD = """\
| peer, tokens in/out, load | peer: requests per CPU-second (range) | agentflow | faster by \
| peer: wall by CPU seconds | largest difference of an end (s) |
|---|--:|--:|--:|--:|--:|"""
HERE = Path(__file__).parent
Told = dict[str, Any]


class NotRun(Exception):
    """A peer cannot be run here."""


@dataclass(frozen=True)
class Case:
    """Requests of one shape at a replica; `run` has a peer serve them, and says what it told."""

    peer: str
    label: str
    replica: Replica
    prompt: int
    output: int
    arrivals: np.ndarray
    job: Told
    run: Callable[[Told], Told]


def replica_of(law: StepTable, blocks: int) -> Replica:
    """A replica by the rules that both peers share: a step is planned when the one before it has ended."""
    return Replica(law, BUDGET, MOST, blocks, BLOCK, asynchronous=False, prefix_cache=False)


def full_rate(replica: Replica, prompt: int, output: int) -> float:
    """Requests a second of a replica that serves one full batch from the start to the end."""
    return MOST / float(serve(replica, np.zeros(MOST), prompt, output).finished.max())


def common(replica: Replica, prompt: int, output: int) -> Told:
    """What a peer is told of a replica and its requests."""
    return {
        "prompt": prompt, "output": output, "token_budget": BUDGET, "max_sequences": MOST, "block_size": BLOCK,
        "kv_blocks": replica.kv_blocks,
    }  # fmt: skip


def driven(python: Path, script: str, *arguments: str) -> Callable[[Told], Told]:
    """Run one of the scripts beside this one in another environment."""

    def run(job: Told) -> Told:
        command = [str(python), str(HERE / script), *arguments]
        done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotRun((done.stderr.strip().splitlines() or ["it failed without a word"])[-1])
        told: Told = json.loads(done.stdout)
        return told

    return run


def unrun(reason: str) -> Callable[[Told], Told]:
    """Stand in for a peer that cannot be run."""

    def run(_: Told) -> Told:
        raise NotRun(reason)

    return run


def vidur_cases(run: Callable[[Told], Told], requests: int) -> list[Case]:
    """Llama 3 8B's shape at the steps of Llama 3.1 8B on an H100, which is the same architecture; 2,048 in, 512 out."""
    d = load_deployment("llama-3.1-8b-h100")
    law = StepTable(**asdict(iteration_table(d, MOST, BUDGET)))
    replica, prompt, output = replica_of(law, cache_blocks(d)), 2048, 512
    rng, cases = np.random.default_rng(0), []
    for rate, label in (
        (0.8 * full_rate(replica, prompt, output), "at 0.8 of a full batch's rate"),
        (0.5, "at 0.5 requests/s, Vidur's default"),
    ):
        arrivals = np.cumsum(rng.exponential(1 / rate, requests))
        job = {"arrivals": arrivals.tolist(), "law": asdict(law), "metrics": False} | common(replica, prompt, output)
        cases.append(Case("Vidur", label, replica, prompt, output, arrivals, job, run))
        cases.append(
            Case("Vidur", f"{label}, its metrics on", replica, prompt, output, arrivals, job | {"metrics": True}, run)
        )
    return cases


def aisimulate_cases(run: Callable[[Told], Told], requests: int) -> list[Case]:
    """1,024 in, 256 out, at fixed step times: the one law that AISimulate can be told; its own Poisson arrivals."""
    law = StepTable([0.0, *[DECODE] * MOST], [0.0, *[PREFILL + DECODE] * BUDGET])
    replica, prompt, output = replica_of(law, 30_000), 1024, 256
    cases = []
    for rate, label in (
        (0.8 * full_rate(replica, prompt, output), "at 0.8 of a full batch's rate"),
        (5.0, "at 5 requests/s"),
    ):
        job = {
            "rate": rate, "requests": requests, "prefill_ms": 1e3 * PREFILL, "decode_ms": 1e3 * DECODE,
            "records": False,
        } | common(replica, prompt, output)  # fmt: skip
        try:
            arrivals = np.array(run(job | {"records": True})["arrivals"])
        except NotRun:
            arrivals = np.cumsum(np.random.default_rng(0).exponential(1 / rate, requests))
        cases.append(Case("AISimulate", label, replica, prompt, output, arrivals, job, run))
    return cases


def ours(case: Case, least: float = 0.3) -> float:
    """Requests per CPU-second of agentflow, over at least so many seconds."""
    served, began = 0, time.process_time()
    while (spent := time.process_time() - began) < least:
        serve(case.replica, case.arrivals, case.prompt, case.output)
        served += len(case.arrivals)
    return served / spent


def difference(case: Case) -> float:
    """Largest difference between the moments at which requests end (s)."""
    arrivals = case.arrivals
    if case.peer == "AISimulate":
        # it lets a step of prompts alone take PREFILL, ours PREFILL + DECODE; the first step is the only such one
        # while the batch never runs empty
        arrivals = np.array([arrivals[0] - DECODE, *arrivals[1:]])
    told = np.array(case.run(case.job | {"records": True})["finished"])
    return float(np.abs(serve(case.replica, arrivals, case.prompt, case.output).finished - told).max())


def row(case: Case, rounds: int) -> str:
    """Measure a case: a line of the table."""
    serve(case.replica, case.arrivals, case.prompt, case.output)
    many, theirs, mine, walls = len(case.arrivals), [], [], []
    reason = ""
    for _ in range(rounds):
        try:
            told = case.run(case.job)
            theirs.append(many / told["cpu"])
            walls.append(told["wall"] / told["cpu"])
        except NotRun as error:
            reason = str(error)
        mine.append(ours(case))
    here = statistics.median(mine)
    name = f"{case.peer}, {case.prompt:,}/{case.output}, {case.label}"
    if reason:
        return f"| {name} | {CITED[case.peer]} (cited, not run here: {reason}) | {here:,.0f} | | | |"
    there = statistics.median(theirs)
    spread = f"{min(theirs):,.0f} to {max(theirs):,.0f}"
    return (
        f"| {name} | {there:,.0f} ({spread}) | {here:,.0f} | {here / there:,.0f} x | {statistics.median(walls):.2f} "
        f"| {difference(case):.0e} |"
    )


def environment(folder: Path, package: str) -> Path:
    """Make an environment with a package from wherever pip is set up to find it; returns its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotRun(f"pip: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return python


def peers(options: argparse.Namespace, folder: Path) -> tuple[Callable[[Told], Told], Callable[[Told], Told]]:
    """How to run Vidur and AISimulate."""
    if options.vidur is None or options.vidur_python is None:
        vidur = unrun("--vidur and --vidur-python were not given")
    else:
        vidur = driven(options.vidur_python, "peers_vidur.py", str(options.vidur))
    python = options.aisimulate_python
    if python is None and not options.install:
        return vidur, unrun("neither --aisimulate-python nor --install was given")
    try:
        return vidur, driven(python or environment(folder / "aisimulate", "aisimulate"), "peers_aisimulate.py")
    except NotRun as error:
        return vidur, unrun(str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vidur", type=Path, help="a checkout of Vidur")
    parser.add_argument("--vidur-python", type=Path, help="the Python of an environment with what Vidur requires")
    parser.add_argument("--aisimulate-python", type=Path, help="the Python of an environment with AISimulate")
    parser.add_argument("--install", action="store_true", help="make AISimulate's environment, with pip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vidur-requests", type=int, default=300)
    parser.add_argument("--aisimulate-requests", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        vidur, aisimulate = peers(options, Path(folder))
        print(HEAD)
        cases = vidur_cases(vidur, options.vidur_requests) + aisimulate_cases(aisimulate, options.aisimulate_requests)
        for case in cases:
            print(row(case, options.rounds), flush=True)
    print(f"\nAims: {', '.join(f'{AIMS[name]:,} times {name}' for name in AIMS)}.")


if __name__ == "__main__":
    main()

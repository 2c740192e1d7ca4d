"""Measure the engine, in one run beside the same work in SimPy, and print a Markdown table.

    python -m benchmarks.speed [--rounds 11] [--json FILE] [--quick] [--record]

Rates are per CPU-second (user and system time of all threads), medians of interleaved rounds: what the
machine does besides hits all rows alike. ``docs/decisions/0005`` says which SimPy is meant by which row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numba

from agentflow.engine import run_plan
from benchmarks import models
from benchmarks.simpy_w1 import Lean, Plain, simulate

PAGE = models.ROOT / "benchmarks" / "README.md"
MARK = "<!-- what follows is written by --record -->"
CHAINS = (1, 2, 5, 10, 20, 50, 100, 200)
WIDTHS = (8, 20, 50, 100)
CALLS_A_SAMPLE = 500_000  # results stay small: fresh memory costs more than the work on some machines


@dataclass(frozen=True)
class Case:
    """One row: ``work(threads)`` does it once and says how many workflows and how many attempts that were."""

    name: str
    work: Callable[[], tuple[int, int]]


def engine_case(name: str, plan: Any, runs: int, threads: int = 1) -> Case:
    """Make a case of the engine."""

    def work() -> tuple[int, int]:
        result = run_plan(plan, runs=runs, seed=1, threads=threads)
        return runs, int(result.attempts.sum())

    return Case(name, work)


def sized(plan: Any, calls: int) -> int:
    """Choose how many runs of a plan make about ``calls`` attempts."""
    probe = run_plan(plan, runs=200, seed=1, threads=1)
    return max(200, round(calls * 200 / int(probe.attempts.sum())))


def simpy_case(name: str, kind: type[Lean] | type[Plain], runs: int, at_once: int) -> Case:
    """Make a case of SimPy."""

    def work() -> tuple[int, int]:
        return runs, simulate(kind, runs, 1, at_once).attempts

    return Case(name, work)


def cases(quick: bool) -> list[Case]:
    """List everything that is measured side by side."""
    calls = CALLS_A_SAMPLE // 10 if quick else CALLS_A_SAMPLE
    w1 = models.w1()
    runs = sized(w1, 4 * calls)
    simpy_runs = 2000 if quick else 6000
    rows = [
        engine_case("W1", w1, runs),
        engine_case("W1, 2 threads", w1, runs, threads=2),
        simpy_case("SimPy plain, 2,000 at once", Plain, simpy_runs, 2000),
        simpy_case("SimPy plain", Plain, simpy_runs, 1),
        simpy_case("SimPy lean", Lean, simpy_runs, 1),
    ]
    shapes: list[tuple[str, Any]] = [(f"chain of {n}", models.chain(n)) for n in CHAINS]
    shapes += [(f"fan-out {n}", models.fan_out(n)) for n in WIDTHS]
    shapes += [(f"map of {n}", models.mapped(n)) for n in WIDTHS]
    shapes += [(f"loop to {n}", models.loop(n)) for n in (5, 50)]
    rows += [engine_case(name, plan, sized(plan, calls)) for name, plan in shapes]
    rows += [engine_case(f"W1, {n:,} runs", w1, n) for n in ((10_000,) if quick else (10_000, 100_000, 1_000_000))]
    return rows


def measure(rows: list[Case], rounds: int) -> dict[str, dict[str, float]]:
    """Go round all rows ``rounds`` times; give the medians of their rates and costs."""
    samples: dict[str, list[tuple[float, float]]] = {row.name: [] for row in rows}
    for round_ in range(rounds + 1):
        for row in rows:
            began = time.process_time()
            workflows, attempts = row.work()
            seconds = time.process_time() - began
            if round_:  # the first round warms up
                samples[row.name].append((seconds / workflows, seconds / attempts))
        print(f"round {round_} of {rounds}", file=sys.stderr)
    return {
        name: {
            "workflows_per_cpu_s": 1 / statistics.median(workflow for workflow, _ in pairs),
            "ns_per_attempt": 1e9 * statistics.median(attempt for _, attempt in pairs),
        }
        for name, pairs in samples.items()
    }


MEMORY = """
import re, sys
from pathlib import Path
from agentflow.engine import run_plan
from benchmarks import models

def peak():
    # the process's own peak; getrusage would count the parent's memory at the time of the fork
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

plan = models.w1()
run_plan(plan, runs=1000, seed=1, threads=1)
before = peak()
result = run_plan(plan, runs=int(sys.argv[1]), seed=1, threads=int(sys.argv[2]))
print(before, peak())
"""


def child(arguments: list[str], **environment: str) -> tuple[float, float, str]:
    """Run Python on something; give wall seconds, CPU seconds, and what it printed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=models.ROOT,
        env=os.environ | environment,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, done.stdout


def command_arguments(runs: int) -> list[str]:
    """Write down ``agentflow run w1`` with W1's own backends."""
    arguments = [
        "-c",
        "from agentflow.cli import main; main()",
        "run",
        str(models.ROOT / "workflows" / "w1.yaml"),
    ]
    for path, kind in models.W1_STEPS.items():
        arguments += ["--assign", f"{path}={models.w1_file(kind)}"]
    return [*arguments, "--runs", str(runs), "--seed", "1", "--json"]


def processes(rounds: int, quick: bool) -> dict[str, float]:
    """Measure what needs a process of its own: memory, the command's wall time, the first compile."""
    runs = 100_000 if quick else 1_000_000
    before, after = map(float, child(["-c", MEMORY, str(runs), "1"])[2].split())
    before2, after2 = map(float, child(["-c", MEMORY, str(runs), "2"])[2].split())
    command = command_arguments(10_000)
    child(command)
    warm = [child(command) for _ in range(rounds)]
    with tempfile.TemporaryDirectory() as cache:
        cold_wall, cold_cpu, _ = child(command, NUMBA_CACHE_DIR=cache)
    return {
        "memory_runs": runs,
        "memory_import_mb": before,
        "memory_above_import_mb": after - before,
        "memory_above_import_2_threads_mb": after2 - before2,
        "command_wall_s": statistics.median(wall for wall, _, _ in warm),
        "command_cpu_s": statistics.median(cpu for _, cpu, _ in warm),
        "command_first_cpu_s": cold_cpu,
        "command_first_wall_s": cold_wall,
    }


def markdown(rates: dict[str, dict[str, float]], other: dict[str, float]) -> str:
    """Lay out all figures as Markdown tables."""
    w1 = rates["W1"]
    lines = [
        "| | workflows per CPU-second | ns per attempt | cost per attempt, W1 = 1 | W1 is faster by |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, rate in rates.items():
        faster = f"{w1['workflows_per_cpu_s'] / rate['workflows_per_cpu_s']:,.0f} x" if "SimPy" in name else ""
        relative = rate["ns_per_attempt"] / w1["ns_per_attempt"]
        lines.append(
            f"| {name} | {rate['workflows_per_cpu_s']:,.0f} | {rate['ns_per_attempt']:,.0f} | "
            f"{'' if faster else f'{relative:.2f}'} | {faster} |"
        )
    lines += ["", "| | |", "|---|--:|"]
    lines += [
        f"| peak memory of {other['memory_runs']:,.0f} runs of W1 above the import | "
        f"{other['memory_above_import_mb']:.0f} MB |",
        f"| the same with 2 threads | {other['memory_above_import_2_threads_mb']:.0f} MB |",
        f"| `agentflow run`, 10,000 runs of W1, wall time in all | {other['command_wall_s']:.2f} s |",
        f"| the same, CPU time | {other['command_cpu_s']:.2f} s |",
        f"| the same for the first time on a machine, CPU time | {other['command_first_cpu_s']:.1f} s |",
    ]
    return "\n".join(lines)


def record(table: str, mark: str = MARK, until: str | None = None) -> None:
    """Write the table into the page after a mark, with the day and the machine's kind; keep it from `until` on."""
    page = PAGE.read_text(encoding="utf-8")
    at = page.index(mark) + len(mark)
    rest = "" if until is None else f"\n{page[page.index(until, at) :]}"
    versions = f"Python {platform.python_version()}, numba {numba.__version__}, {os.cpu_count()} cores"
    day = datetime.now(UTC).date()
    said = f"Recorded {day}: {versions} ({platform.machine()})."
    PAGE.write_text(f"{page[:at]}\n\n{said}\n\n{table}\n{rest}", encoding="utf-8")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: whether it runs, not how fast")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--record", action="store_true", help="also write the table into benchmarks/README.md")
    options = parser.parse_args()
    rates = measure(cases(options.quick), options.rounds)
    other = processes(options.rounds, options.quick)
    table = markdown(rates, other)
    print(table)
    if options.record:
        record(table)
    if options.json:
        machine = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
        }
        options.json.write_text(json.dumps({"machine": machine, "rates": rates, "processes": other}, indent=2) + "\n")


if __name__ == "__main__":
    main()

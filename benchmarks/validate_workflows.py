"""Compare calls and tokens of simulated workflows with those of real runs, and write the table of the docs.

    python -m benchmarks.validate_workflows                      # print, against the quantiles below
    python -m benchmarks.validate_workflows --write              # into docs/validation.md
    python -m benchmarks.validate_workflows --measure [--chatdev CLONE] [--swe-agent CLONE]    # the quantiles anew

Coding sessions are in the measured data: AGENTFLOW_DATA, or ../shared/data beside the checkout. The other two are in
clones of github.com/OpenBMB/ChatDev (with its history) and github.com/gruckion/mini-swe-agent.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentflow import Estimate, Result, load_backend, simulate
from agentflow.estimate import quantile_estimate
from benchmarks import traced_sessions
from benchmarks.provider_splits import data_folder
from benchmarks.traced_sessions import Runs

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "validation.md"
BEGIN, END = "<!-- workflows: begin (benchmarks/validate_workflows.py) -->", "<!-- workflows: end -->"
WITHIN = 0.20
RUNS, SEED = 20_000, 1
QUANTITIES = ("calls", "input_tokens", "output_tokens")
LEVELS = (0.50, 0.95)
SESSIONS = Path("traces") / "coding_sessions.jsonl.gz"


@dataclass(frozen=True)
class Measured:
    """Quantiles of real runs: of calls, input and output tokens, at p50 and at p95; how many runs, and whose."""

    workflow: str
    backend: str
    runs: int
    quantiles: dict[float, tuple[float, float, float]]
    source: str


FACTS = (
    Measured(
        "chatdev", "together", 66, {0.5: (14, 18_711, 5_870), 0.95: (46, 94_892, 24_710)},
        "logs of finished runs with GPT-3.5, 2023-06 to 2024-01, in the history of github.com/OpenBMB/ChatDev",
    ),
    Measured(
        "swe-agent", "together", 500, {0.5: (36, 450_676, 9_439), 0.95: (83, 1_965_173, 22_894)},
        "trajectories of mini-SWE-agent 1.15 with Gemini 3 Pro on SWE-bench Verified, 2025-11-18,"
        " github.com/gruckion/mini-swe-agent@d12a71a",
    ),
    Measured(
        "coding-session", "anthropic", 364, {0.5: (42, 4_900_262, 18_227), 0.95: (233.7, 32_652_908, 109_346)},
        "sessions with Claude models, 2025 to 2026, coding_sessions.jsonl.gz of the measured data (Apache-2.0)",
    ),
    Measured(
        "coding-session", "anthropic", 353, {0.5: (40, 4_746_207, 17_837), 0.95: (205.6, 25_489_189, 92_659)},
        "the same, each session once: one of them is there nine times",
    ),
)  # fmt: skip


def simulated(facts: Measured, runs: int = RUNS) -> Result:
    """Simulate a workflow where no context ends: what is compared is how much is said, not what a backend refuses."""
    home = load_backend(f"{facts.backend}/{MODELS[facts.backend]}").model_copy(update={"context": None})
    return simulate(facts.workflow, home, runs=runs, seed=SEED)


MODELS = {"together": "llama-3.3-70b", "anthropic": "claude-sonnet-4.5"}


def estimates(result: Result) -> dict[float, tuple[Estimate, ...]]:
    """Estimate the quantiles of calls, input and output."""
    columns = [np.sort(getattr(result, name)) for name in QUANTITIES]
    return {p: tuple(quantile_estimate(column, p) for column in columns) for p in LEVELS}


def errors(result: Result, measured: dict[float, tuple[float, float, float]]) -> dict[float, list[float]]:
    """Return simulated over measured less 1, for calls, input and output, by level."""
    found = estimates(result)
    return {p: [e.value / m - 1 for e, m in zip(found[p], measured[p], strict=True)] for p in LEVELS}


HEAD = """## Workflows: calls and tokens beside those of real agents

Three workflows of the catalogue have their structure and their token laws from measured runs, see the source in each.
Compared here are totals of a whole run, which the simulation makes of them: calls, all input tokens (each call sends
its history again), all output tokens; p50 and p95 shall agree within {within:.0%}. Simulated with {runs:,} runs, and no
context ends; the interval is that of the simulation. The measured quantiles have one of their own: the p95 of 364
sessions is uncertain by some 13 % for input tokens, that of 66 runs by more. `python -m benchmarks.validate_workflows`
prints the table, with `--measure` the measured quantiles.

Laws are fitted on the same runs, so this shows that calls, history and their spread are put together rightly, not that
other agents behave alike: the same agent on other tasks differs by more. SWE-agent 1.1 with Claude Sonnet 4.5 on 616
longer issues of SWE-bench Pro makes 78 calls in the median and sends 2.7 million tokens
(github.com/nilenso/swe-bench-pro-cost-token-time-analysis@1169deb), twice and six times what stands here.

The language has no law that holds for a run and shapes all its steps' outputs, and no loop that forgets when its
context is full. So big programs are too rarely big in every review (ChatDev's p95), and what a tool adds in a
coding session is set lower than measured, where a real context would have been compacted."""


def section(facts: tuple[Measured, ...] = FACTS, runs: int = RUNS) -> str:
    """Return the section of the docs."""
    rows, sources, results = [], [], {}
    for number, one in enumerate(facts, 1):
        if one.workflow not in results:
            results[one.workflow] = simulated(one, runs)
        found, off = estimates(results[one.workflow]), errors(results[one.workflow], one.quantiles)
        sources.append(f"{number}. {one.workflow}, {one.runs} runs: {one.source}.")
        for index, name in enumerate(QUANTITIES):
            cells = [f"{one.workflow} ({number})", name.replace("_tokens", " tokens")]
            for p in LEVELS:
                e, m = found[p][index], one.quantiles[p][index]
                cells += [f"{m:,.0f}", f"{e.value:,.0f} [{e.low:,.0f}, {e.high:,.0f}]", f"{off[p][index]:+.0%}"]
            rows.append([*cells, "yes" if all(abs(off[p][index]) <= WITHIN for p in LEVELS) else "**no**"])
    header = ["workflow", "a run's", "p50 real", "simulated", "", "p95 real", "simulated", "", "within"]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows])
    return "\n\n".join([HEAD.format(within=WITHIN, runs=runs), table, "\n".join(sources)])


def write(document: Path, text: str) -> None:
    """Replace the section between the markers, or append it."""
    old = document.read_text(encoding="utf-8")
    block = f"{BEGIN}\n{text}\n{END}"
    if BEGIN in old:
        before, rest = old.split(BEGIN, 1)
        document.write_text(before + block + rest.split(END, 1)[1], encoding="utf-8")
    else:
        document.write_text(old.rstrip("\n") + f"\n\n{block}\n", encoding="utf-8")


def measure(arguments: list[str]) -> None:
    """Print the quantiles of what can be read here."""
    given = dict(itertools.pairwise(arguments))
    sessions = data_folder() / SESSIONS
    found: dict[str, Runs] = {}
    if "--chatdev" in given:
        found["chatdev"] = traced_sessions.chatdev(Path(given["--chatdev"]))
    if "--swe-agent" in given:
        found["swe-agent"] = traced_sessions.swe_agent(Path(given["--swe-agent"]))
    if sessions.is_file():
        found["coding-session"] = traced_sessions.coding_sessions(sessions)
        found["coding-session, each once"] = found["coding-session"].distinct()
    for name, runs in found.items():
        print(name, len(runs.totals), {p: tuple(round(x, 1) for x in runs.quantiles(p)) for p in LEVELS})


def main(arguments: list[str]) -> int:
    """Print, write or measure."""
    if "--measure" in arguments:
        measure(arguments)
    elif "--write" in arguments:
        write(DOCUMENT, section())
    else:
        print(section())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

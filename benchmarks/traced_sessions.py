"""What real agents used: calls and tokens of each run, from the measured data and from public repositories' files."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

USAGE = re.compile(r"OpenAI_Usage_Info Receive\]\*\*\s*prompt_tokens: (\d+)\s*completion_tokens: (\d+)")
MODEL = re.compile(r"ModelType\.(\w+)")
STARTED = re.compile(r"20\d{12}")
FINISHED = "**duration**="


@dataclass(frozen=True)
class Runs:
    """Calls, input tokens and output tokens of each run, one row a run, three columns."""

    totals: NDArray[np.int64]

    def quantiles(self, p: float) -> tuple[float, float, float]:
        """Return a quantile of calls, input and output."""
        calls, sent, made = np.quantile(self.totals, p, axis=0)
        return float(calls), float(sent), float(made)

    def distinct(self) -> Runs:
        """Leave out what is there more than once."""
        return Runs(np.unique(self.totals, axis=0))


def coding_sessions(file: Path) -> Runs:
    """Read sessions of a coding agent: a JSON object a line, a request a call; nested sub-agents count."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return _runs(list(_calls(json.loads(line)["requests"])) for line in lines)


def _calls(requests: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    for request in requests:
        if "requests" in request:
            yield from _calls(request["requests"])
        elif "in" in request:
            yield request["in"], request["out"]


def chatdev(repository: Path) -> Runs:
    """Read the finished runs with GPT-3.5 whose logs are in the history of a clone of OpenBMB/ChatDev."""
    listing = _git(repository, "log", "--all", "--raw", "--no-renames", "--no-abbrev", "--format=", "--", "*.log")
    blobs = {line.split()[3]: line.split("\t")[1] for line in listing.splitlines() if line.startswith(":")}
    found: dict[str, list[tuple[int, int]]] = {}
    for blob, path in blobs.items():
        if set(blob) == {"0"}:
            continue
        text, started = _git(repository, "cat-file", "blob", blob), STARTED.search(path)
        model, calls = MODEL.search(text), [(int(a), int(b)) for a, b in USAGE.findall(text)]
        if started and model and model[1].startswith("GPT_3_5") and FINISHED in text and calls:
            found.setdefault(started[0], calls)
    return _runs(found.values())


def swe_agent(repository: Path) -> Runs:
    """Read the trajectories of mini-SWE-agent that lie in a clone of gruckion/mini-swe-agent."""
    paths = [
        p for p in _git(repository, "ls-tree", "-r", "--name-only", "HEAD").splitlines() if p.endswith(".traj.json")
    ]
    found = []
    for path in paths:
        trajectory = json.loads(_git(repository, "show", f"HEAD:{path}"))
        if isinstance(trajectory, dict):
            replies = [(m.get("extra") or {}).get("response") or {} for m in trajectory["messages"]]
            usages = [reply["usage"] for reply in replies if reply.get("usage")]
            found.append([(u["prompt_tokens"], u["completion_tokens"]) for u in usages])
    return _runs(found)


def _runs(sessions: Any) -> Runs:
    rows = [(len(calls), sum(a for a, _ in calls), sum(b for _, b in calls)) for calls in sessions if calls]
    return Runs(np.array(rows, dtype=np.int64))


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")

"""Fit hosted endpoints on half of their requests, predict the other half, and write the tables of the docs.

    python -m benchmarks.validate_providers [FILE.csv]           # print
    python -m benchmarks.validate_providers --write              # into docs/validation.md

Needs the measured data: AGENTFLOW_DATA, or ../shared/data beside the checkout.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np

from agentflow.analysis.fitting.calibrate import calibrate
from agentflow.analysis.fitting.laws import quantile
from agentflow.analysis.fitting.requests import Requests
from agentflow.importers.loadtest import read_requests
from benchmarks.provider_splits import (
    LEAST,
    RANDOM_SPLITS,
    Trial,
    data_folder,
    families,
    fitted_law,
    median_errors,
    read_endpoints,
    trials,
)

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "validation.md"
BEGIN, END = "<!-- providers: begin (benchmarks/validate_providers.py) -->", "<!-- providers: end -->"
TARGETS = (0.03, 0.08)
CALIBRATION = (
    ("AIPerf", "aiperf_profile_export.jsonl", "truth_aiperf.json"),
    ("GuideLLM", "guidellm.json", "truth_guidellm.json"),
    ("vLLM bench serve", "vllm_bench.json", "truth_vllm.json"),
)


def main(arguments: list[str]) -> int:
    folder = data_folder()
    files = [a for a in arguments if not a.startswith("--")]
    file = Path(files[0]) if files else folder / "providers" / "llmperf_requests.csv"
    text = section(file, folder / "calibration")
    if "--write" in arguments:
        write(DOCUMENT, text)
    else:
        print(text)
    return 0


def section(file: Path, calibration: Path) -> str:
    endpoints = read_endpoints(file)
    large = {name: r for name, r in endpoints.items() if int(r.answered.sum()) >= LEAST}
    found = [trial for name, requests in large.items() for trial in trials(name, requests)]
    parts = [HEAD.format(total=len(endpoints), large=len(large), least=LEAST, random=RANDOM_SPLITS)]
    parts += [by_way(found), PER_ENDPOINT, by_endpoint(found), chosen(found), failures(endpoints)]
    if calibration.is_dir():
        parts += [TRUTH, known_truth(calibration)]
    return "\n\n".join(parts)


HEAD = """## Hosted endpoints: half of the requests predict the other half

Data: per-request TTFT, E2E and tokens of {total} hosted endpoints, 550 tokens in and about 150 out, five
at a time, December 2023 and January 2024 (llmperf leaderboard, Apache-2.0). The {large} endpoints with
at least {least} answered requests are split in half; a profile is calibrated on one half exactly as
`agentflow calibrate` does it (family by held-out likelihood, stalls apart, TTFT independent of speed)
and predicts the E2E of the other half at its token counts. Random splits are drawn {random} times. Short
answers (llmperf's -100) are answers; 429s and other failures are error probabilities of the profile, not
latencies.

An error is |predicted / measured - 1|; each figure is the median over endpoints of an endpoint's median
over its splits. *Half-sample* takes the fitted half's own quantiles as the prediction, without any law:
what sampling alone costs, since the p95 of some 37 requests is between their second and third largest.
Targets: p50 within 3 %, p95 within 8 %."""

PER_ENDPOINT = """By endpoint, the median over all splits. Where the half-sample fails too, the endpoint
changed while it was measured (cold starts, queues that built up) or its tail is a handful of requests:
no law learnt from one half can know the other. Replicate's E2E spreads over a factor of five in several
modes: the median of 37 such requests is itself uncertain by some 8 %."""

TRUTH = """### Against a known law

Three load-test tools measured 200 requests each against an endpoint that recorded what it did: each
request's own TTFT and speed. Fitted quantiles beside the true ones; the tools add some 3 ms of client
and socket to TTFT."""


def by_way(found: list[Trial]) -> str:
    rows = []
    for way in [*dict.fromkeys(t.way for t in found), None]:
        errors = np.median(np.array(list(median_errors(found, way).values())), axis=0)
        verdict = "yes" if errors[0] <= TARGETS[0] and errors[1] <= TARGETS[1] else "**no**"
        rows.append([way or "all", *(f"{e:.1%}" for e in errors), verdict])
    return table(["split", "law p50", "law p95", "half-sample p50", "half-sample p95", "within targets"], rows)


def by_endpoint(found: list[Trial]) -> str:
    rows = [[name, *(f"{e:.1%}" for e in errors)] for name, errors in sorted(median_errors(found).items())]
    return table(["endpoint", "law p50", "law p95", "half-sample p50", "half-sample p95"], rows)


def chosen(found: list[Trial]) -> str:
    def told(counts: Counter[str]) -> str:
        return ", ".join(f"{name} {count}" for name, count in counts.most_common())

    ttft, speed = families(found)
    text = f"Families chosen over the {len(found)} halves: TTFT {told(ttft)}; decode rate {told(speed)}."
    return textwrap.fill(text, 110)


def failures(endpoints: dict[str, Requests]) -> str:
    rows = []
    for name, requests in endpoints.items():
        failed = Counter(e for e in requests.error if e)
        answered = int(requests.answered.sum())
        stall = fitted_law(calibrate(requests)).stall if answered >= 3 else None
        if failed or stall is not None:
            kinds = ", ".join(f"{kind} {count / len(requests):.1%}" for kind, count in failed.items())
            share = f"{stall.probability:.1%}" if stall is not None else ""
            rows.append([name, str(len(requests)), str(answered), kinds, share])
    lead = "What becomes an error or a stall of the profile, fitted on all of an endpoint's requests:\n\n"
    return lead + table(["endpoint", "requests", "answered", "errors", "stalls"], rows)


def known_truth(folder: Path) -> str:
    rows = []
    for tool, result, truth in CALIBRATION:
        requests = read_requests(folder / result)
        assert isinstance(requests, Requests)
        law = fitted_law(calibrate(requests))
        true = json.loads((folder / truth).read_text(encoding="utf-8"))
        for label, fitted, values in (
            ("TTFT", law.ttft, [t["ttft"] for t in true]),
            ("decode rate", law.decode_rate, [1.0 / t["gap"] for t in true]),
        ):
            p = (0.05, 0.5, 0.95)
            errors = quantile(fitted, p) / np.quantile(values, p) - 1.0
            rows.append([tool, label, fitted.family, *(f"{e:+.1%}" for e in errors)])
    return table(["tool", "quantity", "family", "p5", "p50", "p95"], rows)


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in [header, *rows]]
    lines.insert(1, "|" + "|".join(" --- " for _ in header) + "|")
    return "\n".join(lines)


def write(document: Path, text: str) -> None:
    """Replace the section between the markers, or append it."""
    old = document.read_text(encoding="utf-8") if document.exists() else "# Validation\n"
    block = f"{BEGIN}\n{text}\n{END}"
    if BEGIN in old and END in old:
        before, rest = old.split(BEGIN, 1)
        new = before + block + rest.split(END, 1)[1]
    else:
        new = old.rstrip("\n") + "\n\n" + block + "\n"
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Serve requests in AISimulate's Rust core at a fixed step-time law; run by the Python of its environment.

    python peers_aisimulate.py < job.json

The requests are AISimulate's own Poisson arrivals. Prints CPU and wall seconds of the call into the core, the wall
seconds that the core itself reports, and, if asked for, when requests arrived and ended (then the times are of a run
that records them). `benchmarks.peers` writes the job.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from importlib.metadata import version
from typing import Any


class Timed:
    """The core, with the seconds of the last call into it."""

    def __init__(self) -> None:
        self.core: Any = importlib.import_module("aisimulate._runtime")
        self.cpu = self.wall = 0.0

    def run_replay_json(self, spec: str) -> str:
        wall, cpu = time.perf_counter(), time.process_time()
        report: str = self.core.run_replay_json(spec)
        self.cpu, self.wall = time.process_time() - cpu, time.perf_counter() - wall
        return report


def document(job: dict[str, Any], requests: int) -> dict[str, Any]:
    """A job as AISimulate's prediction document."""
    worker = {
        "scheduler": {"max_batched_tokens": job["token_budget"], "max_sequences": job["max_sequences"]},
        "kv_cache": {
            "block_size": job["block_size"], "prefix_caching": False,
            "capacity": {"type": "fixed", "blocks": job["kv_blocks"]},
        },
        "timing": {"type": "fixed", "prefill_ms": job["prefill_ms"], "decode_ms": job["decode_ms"]},
    }  # fmt: skip
    return {
        "traffic": {
            "source": {"type": "synthetic", "input_tokens": job["prompt"], "output_tokens": job["output"]},
            "load": {"type": "poisson", "requests_per_second": job["rate"], "seed": 1},
            "stop": {"requests": requests},
        },
        "engine": {
            "mode": "aggregated", "model": "meta-llama/Meta-Llama-3.1-8B", "hardware": "h100_sxm", "backend": "vllm",
            "workers": {"aggregated": worker},
        },
    }  # fmt: skip


def main() -> None:
    from aisimulate.config.cli import CorePredictionConfig
    from aisimulate.predict import run_prediction
    from aisimulate.runner import EngineReplayRunnerFactory
    from aisimulate.sweeper.replay import ReplayOutputRequirements

    job = json.load(sys.stdin)
    timed = Timed()

    def run(requests: int, records: bool) -> dict[str, Any]:
        result = run_prediction(
            CorePredictionConfig.model_validate(document(job, requests)), stack="engine",
            runner_factory=EngineReplayRunnerFactory(runtime=timed),
            output_requirements=ReplayOutputRequirements(include_raw_report=True, capture_per_request=records),
        )  # fmt: skip
        return dict(result.native)

    run(200, False)  # what a first call costs is not of interest
    native = run(job["requests"], job["records"])
    told = {
        "cpu": timed.cpu, "wall": timed.wall, "own_wall": native["wall_time_ms"] / 1e3,
        "version": version("aisimulate"), "completed": native["completed_requests"],
    }  # fmt: skip
    if job["records"]:
        for name, key in ("arrivals", "arrival_time_ms"), ("finished", "last_token_ms"):
            told[name] = [record[key] / 1e3 for record in native["per_request"]]
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()

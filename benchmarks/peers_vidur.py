"""Serve given requests in Vidur at a given step-time law; run by the Python of an environment that Vidur works in.

    python peers_vidur.py CHECKOUT < job.json

Of Vidur run its events, its scheduler with chunked prefill (`sarathi`) and, if asked for, its metrics. In place of its
learned step times it gets the law of the job: a table. Prints CPU and wall seconds of the simulation proper, and
when requests ended. `benchmarks.peers` writes the job.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import tempfile
import time
from types import SimpleNamespace
from typing import Any


class Law:
    """Step times of the job in the place of Vidur's predictor."""

    job: dict[str, Any]

    def __init__(self, **_: object) -> None:
        law = self.job["law"]
        self.plain, self.mixed = law["plain_seconds"], law["mixed_seconds"]
        self.kv, self.mixed_kv = law["kv"], law["mixed_kv"]
        self.sequence, self.pair = law["sequence"], law["pair"]

    def get_execution_time(self, batch: Any, _stage: int) -> Any:
        """Seconds of a step of a batch."""
        # what the sequences hold after the step; Vidur counts the token that a decoding one makes in it already
        held, pairs = batch.total_num_tokens - batch.num_decode_tokens, 0.0
        for request in batch.requests:
            held += request._num_processed_tokens
        if batch.num_prefill_tokens:
            for request, tokens in zip(batch.requests, batch.num_tokens, strict=True):
                if not request._is_prefill_complete:
                    pairs += tokens * (request._num_processed_tokens + 0.5 * (tokens + 1))
        if pairs:
            seconds = self.mixed[batch.total_num_tokens] + self.sequence * batch.size
            seconds += self.mixed_kv * held + self.pair * pairs
        else:
            seconds = self.plain[batch.size] + self.kv * held
        return SimpleNamespace(total_time=seconds, model_time=seconds)


def simulator(job: dict[str, Any], folder: str) -> tuple[Any, list[Any]]:
    """Vidur's simulator of a job, and its requests."""
    from vidur import config as c
    from vidur.entities import Request
    from vidur.execution_time_predictor import ExecutionTimePredictorRegistry as Predictors
    from vidur.request_generator import RequestGeneratorRegistry as Generators
    from vidur.simulator import Simulator

    requests = [Request(t, job["prompt"], job["output"]) for t in job["arrivals"]]
    Law.job = job
    generator, predictor = c.SyntheticRequestGeneratorConfig(), c.LinearRegressionExecutionTimePredictorConfig()
    Generators.unregister(generator.get_type())
    Generators.register(generator.get_type(), lambda _config: SimpleNamespace(generate=lambda: requests))
    Predictors.unregister(predictor.get_type())
    Predictors.register(predictor.get_type(), Law)
    scheduler = c.SarathiSchedulerConfig(
        batch_size_cap=job["max_sequences"], block_size=job["block_size"], watermark_blocks_fraction=0.0,
        num_blocks=job["kv_blocks"], chunk_size=job["token_budget"],
    )  # fmt: skip
    metrics = c.MetricsConfig(
        write_metrics=job["metrics"], enable_chrome_trace=False, store_plots=False, output_dir=folder, cache_dir=folder
    )
    replica = c.ReplicaConfig(model_name="meta-llama/Meta-Llama-3-8B")
    cluster = c.ClusterConfig(replica_config=replica, replica_scheduler_config=scheduler)
    made = Simulator(c.SimulationConfig(
        log_level="warning", cluster_config=cluster, request_generator_config=generator,
        execution_time_predictor_config=predictor, metrics_config=metrics,
    ))  # fmt: skip
    atexit.unregister(made._write_output)
    return made, requests


def main() -> None:
    sys.path.insert(0, os.path.abspath(sys.argv[1]))
    job = json.load(sys.stdin)
    out, sys.stdout = sys.stdout, sys.stderr  # Vidur logs on standard output
    with tempfile.TemporaryDirectory() as folder:
        made, requests = simulator(job, folder)
        wall, cpu = time.perf_counter(), time.process_time()
        made.run()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    json.dump({"cpu": cpu, "wall": wall, "finished": [r.completed_at for r in requests]}, out)


if __name__ == "__main__":
    main()

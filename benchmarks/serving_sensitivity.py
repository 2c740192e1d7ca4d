"""What an a priori prediction of a serving run hangs on: how far its times move when a constant is a tenth larger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from agentflow.engine.batching import Replica
from agentflow.schema.deployment import Deployment
from benchmarks.hardware_tables import markdown
from benchmarks.serving_data import Run, deployment
from benchmarks.serving_fit import from_data_sheet, predict, ratios

MORE = 1.1
CONSTANTS = (
    "bandwidth", "kv_bandwidth", "compute", "handed_on", "layer_overhead", "step_overhead", "sequence_overhead",
    "link", "allreduce_latency",
)  # fmt: skip


def scaled(d: Deployment, name: str) -> Deployment:
    """A deployment whose engine has a tenth more of a constant on its chip."""
    family = d.chip.family
    before = d.engine.constants(family)
    after = before.model_copy(update={name: MORE * getattr(before, name)})
    return d.model_copy(
        update={"engine": d.engine.model_copy(update={"families": {**d.engine.families, family: after}})}
    )


def bias(run: Run, replica: Replica) -> float:
    """Median relative error of E2E, with its sign."""
    return float(np.median(ratios(run, predict(run, replica))[0]))


def sensitivity_table(runs: Sequence[Run], mixed_kv: dict[str, float]) -> str:
    """Bias of each run, and how far a tenth more of each constant moves it, in percentage points."""
    rows = []
    blind = {run.name: from_data_sheet(run, mixed_kv.get(run.gpu)) for run in runs}
    base = {name: bias(run, blind[name]) for name, run in zip(blind, runs, strict=True)}
    rows.append(("as it is", *(f"{100 * value:+.1f} %" for value in base.values())))
    for name in CONSTANTS:
        made = (from_data_sheet(run, mixed_kv.get(run.gpu), scaled(deployment(run), name)) for run in runs)
        rows.append((name, *_moved(runs, made, base)))
    more = (replace(r, kv_blocks=int(MORE * r.kv_blocks)) for r in blind.values())
    rows.append(("blocks of the cache", *_moved(runs, more, base)))
    return markdown(("median error of E2E, moved by a tenth more of", *base), rows)


def _moved(runs: Sequence[Run], replicas: Iterable[Replica], base: dict[str, float]) -> list[str]:
    pairs = zip(runs, replicas, strict=True)
    return [f"{100 * (bias(run, replica) - base[run.name]):+.1f}" for run, replica in pairs]

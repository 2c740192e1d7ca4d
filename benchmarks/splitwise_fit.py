"""Fit the constants of the early vLLM that Splitwise measured: slow host, per-sequence sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from agentflow.documents import load_chip, load_model
from agentflow.hardware.demand import Demand, decode_demand, prefill_demand
from agentflow.hardware.timing import step_time
from agentflow.schema.deployment import Constants, Deployment, Engine
from benchmarks.hardware_data import Kernel
from benchmarks.hardware_fit import HANDED_ON

FAMILIES = ("ampere", "hopper")
# constant: (start, log-sd, fitted apart for each family)
SPEC: dict[str, tuple[float, float, bool]] = {
    "host_layer": (0.45e-3, 1.0, True),
    "host_layer_prefill": (0.6e-3, 1.0, True),
    "layer_overhead": (30e-6, 1.0, True),
    "sequence_overhead": (0.3e-3, 1.0, False),
    "sequence_overhead_prefill": (5e-3, 1.0, True),
    "bandwidth": (0.6, 0.2, True),
    "compute": (0.6, 0.2, True),
    "link": (0.3, 0.5, True),
    "link_large": (0.1, 0.7, True),
}
LARGE_MESSAGE = 24e6  # bytes; all-reduces of a longer prompt than about 1,500 tokens slow down on A100


def deployment(kernel: Kernel, constants: dict[str, Constants] | None = None) -> Deployment:
    """Give a cell as a deployment."""
    name = {"llama2-70b": "llama-2-70b", "bloom-176b": "bloom-176b"}[kernel.model]
    engine = Engine(name="vllm-0.2", families=constants or {})
    return Deployment(
        name="cell", chip=load_chip(kernel.chip), model=load_model(name), engine=engine,
        tensor_parallel=kernel.tensor_parallel,
    )  # fmt: skip


def demands(kernel: Kernel) -> tuple[Demand, Demand]:
    """Prefill of the whole batch; a decode step in the middle of the answer."""
    d = deployment(kernel)
    return prefill_demand(d, kernel.prompt, 0, kernel.batch), decode_demand(
        d, kernel.batch, kernel.prompt + kernel.output / 2
    )


def _unpack(vector: Any) -> dict[str, Constants]:
    out = {}
    for f, family in enumerate(FAMILIES):
        values, at = {}, 0
        for name, (_, _, apart) in SPEC.items():
            raw = float(np.exp(vector[at + (f if apart else 0)]))
            values[name] = min(raw, 0.9) if name in ("bandwidth", "compute", "link", "link_large") else raw
            at += len(FAMILIES) if apart else 1
        out[family] = Constants(**values, large_message=LARGE_MESSAGE, handed_on=HANDED_ON)
    return out


def fit(kernels: Sequence[Kernel]) -> dict[str, Constants]:
    """Constants by chip family that minimise the relative errors of prefill and decode together."""
    start, width = [], []
    for value, sd, apart in SPEC.values():
        start += [float(np.log(value))] * (len(FAMILIES) if apart else 1)
        width += [sd] * (len(FAMILIES) if apart else 1)
    x0, sds = np.array(start), np.array(width)
    work = [(k, *demands(k), load_chip(k.chip).family) for k in kernels]

    def residuals(vector: Any) -> Any:
        constants, errors = _unpack(vector), []
        for k, prefill, decode, family in work:
            c = constants[family]
            errors.append(float(step_time(prefill, c, prefill=True).total) / k.prefill - 1)
            errors.append(float(step_time(decode, c).total) / k.decode - 1)
        return np.concatenate([np.array(errors), 0.03 * (vector - x0) / sds])

    return _unpack(least_squares(residuals, x0, loss="soft_l1", f_scale=0.1, max_nfev=60, x_scale=sds).x)


def errors(kernels: Sequence[Kernel], constants: dict[str, Constants]) -> tuple[float, float]:
    """Mean absolute relative errors of prefill and decode."""
    prefill, decode = [], []
    for k in kernels:
        c = constants[load_chip(k.chip).family]
        a, b = demands(k)
        prefill.append(abs(float(step_time(a, c, prefill=True).total) / k.prefill - 1))
        decode.append(abs(float(step_time(b, c).total) / k.decode - 1))
    return float(np.mean(prefill)), float(np.mean(decode))

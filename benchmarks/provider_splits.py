"""Half-samples of hosted endpoints' requests: fit on one half, predict the other half's E2E."""

from __future__ import annotations

import csv
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentflow.analysis.fitting.calibrate import calibrate
from agentflow.analysis.fitting.calibration import Calibration, e2e_draws
from agentflow.analysis.fitting.requests import Requests
from agentflow.importers.loadtest import read_requests
from agentflow.schema import Measured

Mask = NDArray[np.bool_]

RANDOM_SPLITS = 8
LEAST = 60  # answered requests of an endpoint, so that each half has 30


def data_folder() -> Path:
    """Folder of the measured data: AGENTFLOW_DATA, else ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("AGENTFLOW_DATA", beside))


def read_endpoints(file: Path) -> dict[str, Requests]:
    """Read each endpoint of a CSV with columns provider and model; keyed "provider model-size"."""
    with file.open(encoding="utf-8", newline="") as handle:
        rows = csv.DictReader(line for line in handle if not line.startswith("#"))
        keys = dict.fromkeys((r["provider"], r["model"], r.get("model_size", "")) for r in rows)
    endpoints = {}
    for provider, model, size in keys:
        found = read_requests(file, "csv", where={"provider": provider, "model": model})
        assert isinstance(found, Requests)
        endpoints[f"{provider} {size or model}"] = found
    return endpoints


def splits(name: str, n: int) -> Iterator[tuple[str, Mask]]:
    """Yield (way, mask of the half to fit on) for `n` requests in the order they were sent."""
    order = np.arange(n)
    yield "first half -> second", order < n // 2
    yield "second half -> first", order >= n - n // 2
    yield "every other -> rest", order % 2 == 0
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    for _ in range(RANDOM_SPLITS):
        half = np.zeros(n, dtype=np.bool_)
        half[rng.permutation(n)[: n // 2]] = True
        yield "random halves", half


@dataclass(frozen=True)
class Trial:
    """Relative errors of one prediction, at p50 and p95.

    `law` is the fitted profile; `empirical` takes the fitted half's own quantiles for the other half's: what
    sampling alone costs.
    """

    endpoint: str
    way: str
    law: tuple[float, float]
    empirical: tuple[float, float]
    families: tuple[str, str]


def fitted_law(found: Calibration) -> Measured:
    """Return the law that a calibration fitted: always a measured one."""
    law = found.backend.law.measured
    assert law is not None
    return law


def trials(name: str, requests: Requests) -> list[Trial]:
    """Fit and predict an endpoint in every split; failures are left to the profile's error probabilities."""
    answered = requests.take(requests.answered)
    out = []
    for way, half in splits(name, len(answered)):
        seen, unseen = answered.take(half), answered.take(~half)
        result = calibrate(seen)
        drawn = e2e_draws(fitted_law(result), unseen.input_tokens, unseen.output_tokens)
        probabilities = (0.5, 0.95)
        truth = np.quantile(unseen.e2e, probabilities)
        law = np.abs(np.quantile(drawn, probabilities) / truth - 1.0)
        empirical = np.abs(np.quantile(seen.e2e, probabilities) / truth - 1.0)
        out.append(
            Trial(
                name,
                way,
                (float(law[0]), float(law[1])),
                (float(empirical[0]), float(empirical[1])),
                (result.ttft.family, result.decode_rate.family),
            )
        )
    return out


def median_errors(found: list[Trial], way: str | None = None) -> dict[str, tuple[float, float, float, float]]:
    """Median over an endpoint's splits of (law p50, law p95, empirical p50, empirical p95), by endpoint."""
    table: dict[str, tuple[float, float, float, float]] = {}
    for name in dict.fromkeys(t.endpoint for t in found):
        rows = [(*t.law, *t.empirical) for t in found if t.endpoint == name and way in (None, t.way)]
        a, b, c, d = (float(v) for v in np.median(np.array(rows), axis=0))
        table[name] = (a, b, c, d)
    return table


def families(found: list[Trial]) -> tuple[Counter[str], Counter[str]]:
    """How often each family was chosen, for TTFT and for the decode rate."""
    return Counter(t.families[0] for t in found), Counter(t.families[1] for t in found)

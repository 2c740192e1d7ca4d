"""From measured requests to a backend's profile, and how well the profile fits them."""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentflow.analysis.drift import ONE_PROVIDER, assumed_drift
from agentflow.analysis.fitting.calibration import Calibration, QuantileRow, e2e_draws, fitted_rows, qq_pairs
from agentflow.analysis.fitting.fit import ENOUGH, SPEED_SPREAD, TTFT_SPREAD, Fit, StallSplit, fit, split_stalls
from agentflow.analysis.fitting.requests import Requests, RequestSummary
from agentflow.analysis.fitting.variation import LEAST_RUNS, Prefill, RunVariation, between_runs, prefill
from agentflow.errors import CalibrationError
from agentflow.estimate import Estimate, quantile_estimate, runs_needed
from agentflow.schema import (
    Backend,
    Distribution,
    ErrorSpec,
    Evidence,
    Law,
    Measured,
    Quantiles,
    Stall,
    Variation,
)

Floats = NDArray[np.float64]

LEAST = 3
"""Fewest answered requests from which a profile is made at all."""

PLAUSIBLE_SECONDS = (1e-6, 1e6)
PLAUSIBLE_RATES = (1e-4, 1e8)

DOUBT = "check the units"
ODD_TTFT, ODD_SPEED = 60.0, 1.0
"""Medians of TTFT (s) above which, and of tokens a second below which, a unit was most likely taken for another."""

OWN_DRIFT = f"drift from day to day is assumed: {ONE_PROVIDER.ttft:.1%} in TTFT, {ONE_PROVIDER.speed:.1%} in speed"

PROBABILITIES = (0.05, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99)


def calibrate(
    requests: Requests,
    *,
    name: str | None = None,
    as_of: datetime.date | None = None,
    seed: int = 0,
) -> Calibration:
    """Fit a backend's measured law to requests.

    Parameters
    ----------
    requests : Requests
        From one endpoint; see `agentflow.importers.loadtest`.
    name : str, optional
        Of the profile, ``provider/model``; by default from the file's model or name.
    as_of : date, optional
        Day of the measurement, where the files do not tell.
    seed : int
        Of the draws behind the E2E comparison and the permutation test.

    Returns
    -------
    Calibration

    Raises
    ------
    CalibrationError
        If fewer than three requests were answered, or none is long enough to tell a speed.
    """
    _check(requests)
    parts = _fit_parts(requests.take(requests.answered), seed)
    failed = Counter(e for e in requests.error if e)
    measured = _measured(parts)
    day = as_of or _day(requests.date)
    backend = _backend(requests, parts, measured, failed, name, day)
    rows, qq = _compare(requests, parts, measured, seed)
    return Calibration(
        backend=backend,
        ttft=parts.ttft,
        decode_rate=parts.rate,
        quantiles=rows,
        qq=MappingProxyType(qq),
        answered=int(requests.answered.sum()),
        failed=MappingProxyType(dict(failed)),
        notes=_notes(requests, parts, failed, day),
    )


def calibrate_summary(
    summary: RequestSummary, *, name: str | None = None, as_of: datetime.date | None = None
) -> Calibration:
    """Turn a summary's percentiles into a profile: quantile tables, with nothing to choose.

    Raises
    ------
    CalibrationError
        If the summary's percentiles do not ascend, or are no measurement.
    """
    laws = []
    for label, points in (("TTFT", summary.ttft), ("speed", summary.decode_rate), ("E2E", summary.e2e)):
        values = [x for _, x in points]
        if len(values) < 2 or not 1e-6 <= min(values) <= max(values) <= 1e8 or values != sorted(values):
            raise CalibrationError(f"{summary.source}:1: the percentiles of {label} do not ascend; export them again")
        laws.append(_rounded(Quantiles(points=points)))
    tokens = 0 if math.isnan(summary.input_tokens) else round(summary.input_tokens)
    measured = Measured(ttft=laws[0], ttft_input_tokens=tokens, decode_rate=laws[1], drift=ONE_PROVIDER)
    title, provider, model = _names(name, summary.model, summary.source)
    day = as_of or _day(summary.date)
    evidence = Evidence(
        figures=("ttft", "decode_rate"),
        source=f"{summary.tool} {PurePath(summary.source).name}".strip(),
        date=day,
        n=summary.n,
        kind="measured",
        note="percentiles of a summary file, without the requests",
    )
    share = round(summary.error_share, 6)
    backend = Backend(
        name=title,
        provider=provider,
        model=model,
        as_of=day,
        law=Law(measured=measured),
        errors={"server_error": ErrorSpec(probability=share)} if share > 0.0 else {},
        evidence=(evidence, assumed_drift()),
    )
    fits = [Fit(law, f"{len(summary.ttft)} quantiles", summary.n) for law in laws[:2]]
    notes = ["a summary has no requests: no choice of family, no stalls, no QQ plot; better give the requests"]
    notes.append(OWN_DRIFT)
    if share > 0.0:
        notes.append(f"{share:.1%} of the requests failed, of unknown kind: taken as server_error")
    return Calibration(backend, fits[0], fits[1], _summary_rows(summary, measured), {}, summary.n, {}, tuple(notes))


@dataclass(frozen=True)
class _Parts:
    """The pieces of the fit; `answered` are the requests they come from."""

    answered: Requests
    stalls: StallSplit
    prefill: Prefill
    runs: RunVariation
    base: Floats  # TTFT without the prompt's share and the run's factor
    speed: Floats
    ttft: Fit
    rate: Fit


def _check(requests: Requests) -> None:
    where = requests.sources[0] if requests.sources else "requests"
    answered = int(requests.answered.sum())
    if answered < LEAST:
        failed = Counter(e for e in requests.error if e)
        why = f" ({', '.join(f'{n} {e}' for e, n in failed.most_common())})" if failed else ""
        way_out = f"measure at least {LEAST}, better {ENOUGH}"
        raise CalibrationError(f"{where}:1: {answered} of {len(requests)} requests were answered{why}; {way_out}")
    speed = requests.decode_rate
    for what, values, (low, high) in (
        ("TTFT of {:g} s", requests.ttft[requests.answered], PLAUSIBLE_SECONDS),
        ("speed of {:g} tokens/s", speed[np.isfinite(speed)], PLAUSIBLE_RATES),
    ):
        odd = values[(values < low) | (values > high)]
        if len(odd):
            told = what.format(float(odd[0]))
            raise CalibrationError(f"{where}:1: a {told} is no measurement; check the units or remove the request")
    if int(np.isfinite(speed).sum()) < LEAST:
        what = "no speed can be told: the answers have one token, or came all at once"
        raise CalibrationError(f"{where}:1: {what}; measure streamed answers of 16 tokens or more")


def _fit_parts(answered: Requests, seed: int) -> _Parts:
    stalls = split_stalls(answered.ttft)
    body = stalls.body
    growth = prefill(answered.ttft[body], answered.input_tokens[body], seed)
    base = answered.ttft.copy()
    if growth.rate is not None:
        base = base - np.maximum(answered.input_tokens - growth.input_tokens, 0) / growth.rate
    speed = answered.decode_rate
    typical = np.median(base[body]) + np.maximum(answered.output_tokens - 1, 0) / np.nanmedian(speed)
    taken = base + np.nan_to_num(answered.decode)
    factor = np.ones(len(answered))
    runs = between_runs(np.log(taken / typical)[body], answered.run[body], seed)
    factor[body] = runs.factor
    base, speed = base / factor, speed * factor
    told = np.isfinite(speed)
    return _Parts(
        answered=answered,
        stalls=stalls,
        prefill=growth,
        runs=runs,
        base=base,
        speed=speed,
        ttft=fit(base[body], spread=TTFT_SPREAD),
        rate=fit(speed[told], spread=SPEED_SPREAD),
    )


def _measured(parts: _Parts) -> Measured:
    stall = None
    if parts.stalls.excess is not None:
        stall = Stall(probability=_round(parts.stalls.probability), duration=_rounded(parts.stalls.excess))
    rate = parts.prefill.rate
    return Measured(
        ttft=_rounded(parts.ttft.law),
        ttft_input_tokens=parts.prefill.input_tokens,
        prefill_rate=None if rate is None else _round(rate),
        decode_rate=_rounded(parts.rate.law),
        variation=Variation(between_runs=_round(parts.runs.between)),
        stall=stall,
        drift=ONE_PROVIDER,
    )


def _backend(
    requests: Requests,
    parts: _Parts,
    measured: Measured,
    failed: Mapping[str, int],
    name: str | None,
    day: datetime.date | None,
) -> Backend:
    title, provider, model = _names(name, requests.model, requests.sources[0] if requests.sources else "")
    tried = len(requests) - failed.get("client", 0)
    counts = {kind: count for kind, count in sorted(failed.items()) if kind != "client"}
    errors: Any = {kind: ErrorSpec(probability=_round(count / tried)) for kind, count in counts.items()}
    figures = ["ttft", "decode_rate"]
    figures += ["prefill_rate"] if measured.prefill_rate is not None else []
    figures += ["stall"] if measured.stall is not None else []
    figures += ["variation"] if measured.variation.between_runs > 0.0 else []
    source = ", ".join(PurePath(s).name for s in requests.sources) or "requests"
    source = f"{requests.tool} {source}".strip()
    few = [f"{label}: {f.note}" for label, f in (("ttft", parts.ttft), ("decode_rate", parts.rate)) if f.note]
    families = f"ttft {parts.ttft.family}, decode_rate {parts.rate.family}, by held-out likelihood"
    note = "; ".join(few) if few else families
    evidence = [
        Evidence(figures=tuple(figures), source=source, date=day, n=len(parts.answered), kind="measured", note=note)
    ]
    if errors:
        evidence.append(Evidence(figures=("errors",), source=source, date=day, n=tried, kind="measured"))
    evidence.append(assumed_drift())
    return Backend(
        name=title,
        provider=provider,
        model=model,
        as_of=day,
        law=Law(measured=measured),
        errors=errors,
        evidence=tuple(evidence),
    )


def _compare(
    requests: Requests, parts: _Parts, measured: Measured, seed: int
) -> tuple[tuple[QuantileRow, ...], dict[str, tuple[Floats, Floats]]]:
    answered = parts.answered
    speed = parts.speed[np.isfinite(parts.speed)]
    body = parts.base[parts.stalls.body]
    e2e = answered.ttft + np.nan_to_num(answered.decode)
    drawn = np.sort(e2e_draws(measured, answered.input_tokens, answered.output_tokens, seed))
    rows: list[QuantileRow] = []
    laws: tuple[tuple[str, Floats, Distribution | Floats], ...] = (
        ("ttft_s", body, measured.ttft),
        ("decode_rate", speed, measured.decode_rate),
        ("e2e_s", e2e, drawn),
    )
    for quantity, values, law in laws:
        ordered = np.sort(values)
        rows += fitted_rows(quantity, law, [(p, quantile_estimate(ordered, p)) for p in PROBABILITIES])
    return tuple(rows), {
        "ttft_s": qq_pairs(measured.ttft, body),
        "decode_rate": qq_pairs(measured.decode_rate, speed),
    }


def _summary_rows(summary: RequestSummary, measured: Measured) -> tuple[QuantileRow, ...]:
    tokens = np.array([1 if math.isnan(summary.output_tokens) else round(summary.output_tokens)])
    drawn = e2e_draws(measured, np.array([-1]), tokens)
    laws: tuple[tuple[str, tuple[tuple[float, float], ...], Distribution | Floats], ...] = (
        ("ttft_s", summary.ttft, measured.ttft),
        ("decode_rate", summary.decode_rate, measured.decode_rate),
        ("e2e_s", summary.e2e, np.sort(drawn)),
    )
    rows: list[QuantileRow] = []
    for quantity, points, law in laws:
        rows += fitted_rows(quantity, law, [(p, Estimate(value)) for p, value in points])
    return tuple(rows)


def _notes(requests: Requests, parts: _Parts, failed: Mapping[str, int], day: datetime.date | None) -> tuple[str, ...]:
    n, notes = len(parts.answered), [*_doubts(parts.answered), *requests.notes]
    told = [p for p in (0.5, 0.9, 0.95, 0.99) if n >= runs_needed(p)]
    lacking = [f"p{100 * p:g} needs {runs_needed(p)}" for p in (0.5, 0.9, 0.95, 0.99) if p not in told]
    can = "support " + (", ".join(f"p{100 * p:g}" for p in told) or "no quantile with an interval")
    notes.append(f"{n} answered requests {can}" + (f"; {', '.join(lacking)}" if lacking else ""))
    if n < ENOUGH:
        notes.append(f"fewer than {ENOUGH}: only medians are measured. {parts.ttft.note}; beyond p90 is a guess")
    if parts.stalls.excess is not None:
        count = int((~parts.stalls.body).sum())
        notes.append(f"{count} of {n} requests stalled; they are the profile's stall, not its TTFT")
    elif n >= ENOUGH:
        notes.append(f"no stall among {n}: their true share is below {3 / n:.1%} (95 %)")
    if parts.runs.runs > 1 and parts.runs.between == 0.0:
        few = f"{parts.runs.runs} are too few" if parts.runs.runs < LEAST_RUNS else "no difference shows"
        notes.append(f"variation between runs: {few}; taken as 0")
    if failed.get("rate_limit"):
        share = failed["rate_limit"] / len(requests)
        notes.append(f"{share:.0%} rate-limited at this test's pace: for a slower client, lower errors.rate_limit")
    notes.append(OWN_DRIFT)
    if day is None:
        notes.append("no date is known: give --as-of, trends and readers need it")
    if failed.get("client"):
        notes.append(f"{failed['client']} requests failed by the load test's own fault and are left out")
    return tuple(notes)


def _doubts(answered: Requests) -> list[str]:
    """Say if the times look like milliseconds that were taken for seconds."""
    ttft = float(np.median(answered.ttft))
    speeds = answered.decode_rate[np.isfinite(answered.decode_rate)]
    speed = float(np.median(speeds)) if len(speeds) else ODD_SPEED
    if ttft < ODD_TTFT and speed >= ODD_SPEED:
        return []
    return [
        f"{DOUBT}: a median TTFT of {ttft:,.3g} s and {speed:.2g} tokens/s look like milliseconds taken for "
        "seconds; name the unit, such as --columns ttft=COLUMN:ms,e2e=COLUMN:ms"
    ]


def _names(name: str | None, model: str, source: str) -> tuple[str, str, str]:
    if name:
        provider, _, rest = name.partition("/")
        return name, provider, rest or model or provider
    stem = PurePath(model or PurePath(source).stem).name
    slug = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-.") or "endpoint"
    return f"calibrated/{slug}", "calibrated", model or slug


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text[:10])
    except ValueError:
        return None


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def _rounded(law: Distribution) -> Distribution:
    """Six digits are more than any load test tells, and keep the document readable."""

    def walk(value: Any) -> Any:
        if isinstance(value, float):
            return _round(value)
        if isinstance(value, tuple):
            return tuple(walk(v) for v in value)
        return _rounded(value) if hasattr(value, "model_copy") else value

    return law.model_copy(update={key: walk(value) for key, value in law})

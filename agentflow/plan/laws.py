"""The law of a backend in the numbers that the kernel reads: docs/semantics.md, "One attempt at a backend"."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.hardware import call_energy, deployment_law
from agentflow.hardware.law import TableLaw
from agentflow.plan import layout as L
from agentflow.schema import Backend, Deployed, Distribution, Measured, Table, Variation

TABLE_COLUMNS = 4
"""Of a table by input length: length, queue, prefill, time per token."""


@dataclass(frozen=True)
class LawRow:
    """One backend's law.

    Parameters
    ----------
    kind : int
        `LAW_MEASURED`, `LAW_DEPLOYMENT` or `LAW_TABLE`.
    variation : Variation
    waiting, fixed, per_token, square : float
        Seconds before the prefill, and of the prefill of n new tokens: fixed + per_token n + square n².
    token, growth : float
        Seconds per output token at no context, and for each token of it.
    table : list of float
        Column by column.
    joules : (float, float) or None
        For each new input token and each output token.
    """

    kind: int
    variation: Variation
    waiting: float = 0.0
    fixed: float = 0.0
    per_token: float = 0.0
    square: float = 0.0
    token: float = 0.0
    growth: float = 0.0
    table: tuple[float, ...] = ()
    joules: tuple[float, float] | None = None


def law_row(backend: Backend) -> LawRow:
    """Compile a backend's law.

    Raises
    ------
    CapacityError
        If a deployment cannot hold its load.
    """
    law = backend.law
    if law.deployment is not None:
        return _deployed(law.deployment)
    if law.table is not None:
        return _table(law.table)
    assert law.measured is not None
    rate = law.measured.prefill_rate
    return LawRow(L.LAW_MEASURED, law.measured.variation, per_token=1.0 / rate if rate else 0.0)


def network_of(backend: Backend) -> Distribution | None:
    """Return what the way to a backend adds."""
    law: Measured | Deployed | Table | None = backend.law.measured or backend.law.deployment or backend.law.table
    assert law is not None
    return law.network


def _deployed(law: Deployed) -> LawRow:
    load = (law.concurrency, float(law.input_tokens), float(law.output_tokens))
    found = deployment_law(law.deployment, *load)
    return LawRow(
        L.LAW_DEPLOYMENT,
        law.variation,
        waiting=found.waiting,
        fixed=found.prefill_fixed,
        per_token=found.prefill_per_token,
        square=found.prefill_per_token_squared,
        token=found.token_fixed,
        growth=found.token_per_context,
        joules=call_energy(law.deployment, *load),
    )


def _table(law: Table) -> LawRow:
    lengths = sorted({row.input_tokens or 0 for row in law.rows})
    columns: list[list[float]] = [[], [], [], []]
    for length in lengths:
        rows = sorted((r for r in law.rows if (r.input_tokens or 0) == length), key=lambda r: r.concurrency)
        curve = TableLaw(
            tuple(r.concurrency for r in rows), tuple(r.ttft for r in rows), tuple(r.tpot for r in rows)
        )  # fmt: skip
        ttft, tpot = curve.at(law.concurrency)
        prefill = min(curve.ttft[0], ttft)  # what the least load measured; the rest is waiting
        for column, value in zip(columns, (float(length), ttft - prefill, prefill, tpot), strict=True):
            column.append(value)
    return LawRow(L.LAW_TABLE, law.variation, table=tuple(x for column in columns for x in column))

"""Runs that are not kept: bins that are as good as the runs, for a memory that does not grow with them."""

from __future__ import annotations

import copy
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentflow.analysis.baseline import ResultBaseline, change, is_paired
from agentflow.analysis.loading.slo import Slo, parse_slo
from agentflow.analysis.metrics import Metrics, figure, figure_names
from agentflow.analysis.summary import summary_of
from agentflow.binned import BITS, Binned, Bins, Filling, added
from agentflow.cli.app import app
from agentflow.engine import Shape, pilot, run_load
from agentflow.engine.arrivals import Arrivals, Batch, Renewal
from agentflow.engine.gathered import GROUPS, KEPT_RUNS
from agentflow.errors import AgentflowError
from agentflow.estimate import quantile_estimate
from agentflow.plan import compile_plan
from agentflow.report.jsonable import run_object
from agentflow.result import Result, load_result
from tests.load.contended import limited
from tests.load.test_reports import EXPONENTIAL, PLAN
from tests.make import backend, chat, workflow

WIDTH = 2.0**-BITS
VALUES = st.lists(
    st.one_of(st.sampled_from([0.0, 1.0, 1.5, 7.0]), st.floats(1e-6, 1e9), st.floats(2.0, 2.01)),
    min_size=1,
    max_size=60,
).map(np.array)
PLACE = limited(backend("place", ttft=EXPONENTIAL, errors={"server_error": 0.2}), concurrency=2)
FAILING = compile_plan(workflow({"a": chat(1), "b": chat(1, "a")}), {"*": PLACE})
ALONE = pilot(FAILING, 0)


def filled(*parts: Any) -> Bins:
    filling = Filling()
    for part in parts:
        filling.add(part)
    return filling.bins()


@given(VALUES, st.floats(0.001, 0.999))
def test_order_statistics_are_within_a_bin(values: Any, p: float) -> None:
    bins, ordered = filled(values), np.sort(values)
    assert len(bins) == len(values)
    found = np.array([bins[rank] for rank in range(len(bins))])
    assert np.all(np.diff(found) >= 0.0)
    np.testing.assert_allclose(found, ordered, rtol=WIDTH, atol=2.0**-30)
    assert (found[0], found[-1]) == (ordered[0], ordered[-1])
    assert bins.quantile(p) == pytest.approx(float(np.quantile(values, p)), rel=WIDTH, abs=2.0**-30)
    assert bins.mean == pytest.approx(values.mean(), rel=1e-12)
    assert bins.squares == pytest.approx(float(np.sum((values - values.mean()) ** 2)), rel=1e-9, abs=1e-6)
    assert quantile_estimate(bins, p).runs_needed == quantile_estimate(ordered, p).runs_needed


@given(VALUES, VALUES)
def test_bins_of_parts_add_up_to_those_of_all(one: Any, other: Any) -> None:
    whole = filled(np.concatenate([one, other]))
    for bins in (added([filled(one), filled(other)]), filled(one, other)):
        for name in ("at", "counts", "least", "greatest"):
            assert np.array_equal(getattr(bins, name), getattr(whole, name)), name
        assert bins.mean == pytest.approx(whole.mean, rel=1e-12)
        assert bins.squares == pytest.approx(whole.squares, rel=1e-9, abs=1e-6)


@given(VALUES, st.floats(0.0, 20.0), st.floats(0.0, 1e6))
def test_clipped_bins_are_those_of_clipped_values(values: Any, low: float, more: float) -> None:
    found, wanted = filled(values).clipped(low, low + more), np.sort(np.clip(values, low, low + more))
    assert len(found) == len(values)
    np.testing.assert_allclose([found[rank] for rank in range(len(found))], wanted, rtol=WIDTH, atol=2.0**-30)
    assert found.mean == pytest.approx(float(wanted.mean()), rel=WIDTH, abs=2.0**-30)


@given(VALUES, st.floats(0.0, 20.0))
def test_values_up_to_a_limit_are_counted_but_for_those_in_its_bin(values: Any, limit: float) -> None:
    found, near = filled(values).at_most(limit), WIDTH * limit + 2.0**-30
    assert np.count_nonzero(values <= limit - near) <= found <= np.count_nonzero(values <= limit + near)


def test_whole_numbers_are_exact() -> None:
    values = np.arange(1000) % 7
    bins = filled(values)
    assert [bins.quantile(p) for p in (0.1, 0.5, 0.95)] == np.quantile(values, (0.1, 0.5, 0.95)).tolist()


def simulate(columns: bool | None, shape: Shape, arrivals: Arrivals | None = None, **options: Any) -> Result:
    options = {"threads": 1, **options}
    return run_load(FAILING, arrivals or Renewal(per_second=0.7), shape, 3, alone=ALONE, columns=columns, **options)


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from flat(item, f"{path}/{name}")
    else:
        yield path, value


@pytest.mark.parametrize("slo", ["p95<9s", "mean<3s", "ttft.p50<1s"])
def test_both_say_the_same(slo: str) -> None:
    shape = Shape(10, 50, 3_000)
    metrics = [Metrics(simulate(columns, shape)) for columns in (True, False)]
    kept, binned = (dict(flat(run_object(summary_of(m, parse_slo(slo))))) for m in metrics)
    del binned["/manifest/quantiles"]
    assert set(kept) == set(binned)
    for name, value in kept.items():
        if isinstance(value, float):
            tail = "critical_path/tail" in name
            assert binned[name] == pytest.approx(value, rel=0.03 if tail else 4 * WIDTH, abs=1e-9), name
        else:
            assert binned[name] == value, name
    objective: Slo = parse_slo(slo)
    one, two = (objective.estimate(m.result) for m in metrics)
    for found, wanted in ((two.value, one.value), (two.low, one.low), (two.high, one.high)):
        assert found == pytest.approx(wanted, rel=4 * WIDTH)
    for name in figure_names(metrics[0].result):
        assert figure(metrics[1], name).estimate.value == pytest.approx(
            figure(metrics[0], name).estimate.value, rel=2 * WIDTH
        ), name


def test_a_single_replication_has_intervals_too() -> None:
    shape = Shape(1, 0, 4_000)
    one, two = (Metrics(simulate(columns, shape)).column("e2e_s", 0.95) for columns in (True, False))
    assert (two.low, two.value, two.high) == pytest.approx((one.low, one.value, one.high), rel=WIDTH)
    one, two = (Metrics(simulate(columns, shape)).column("e2e_s", "mean") for columns in (True, False))
    assert (two.low, two.value, two.high) == pytest.approx((one.low, one.value, one.high), rel=1e-9)


def test_replications_beyond_a_hundred_are_put_together() -> None:
    shape = Shape(2 * GROUPS + 1, 0, 20)
    kept, binned = (simulate(columns, shape, Batch(runs=20)) for columns in (True, False))
    assert binned.binned is not None
    members = binned.binned.members
    assert members.sum() == shape.replications and members.min() == 3 and members.max() < 6
    each, edges = Metrics(kept).by_replication("e2e_s", "mean"), np.cumsum(members)
    means = [part.mean() for part in np.split(each, edges[:-1])]
    assert Metrics(binned).by_replication("e2e_s", "mean").tolist() == pytest.approx(means)
    one, two = (summary_of(Metrics(r), parse_slo("p50<20s")) for r in (kept, binned))
    assert one.load is not None and two.load is not None
    assert one.load.makespan_s == two.load.makespan_s
    assert one.load.goodput is not None and two.load.goodput is not None
    assert two.load.goodput.value == pytest.approx(one.load.goodput.value, rel=0.02)
    assert not is_paired(Metrics(kept), ResultBaseline("binned", Metrics(binned)))


def test_a_change_against_a_baseline_is_paired() -> None:
    shape = Shape(5, 10, 400)
    now = Metrics(simulate(False, shape, Renewal(per_second=0.8)))
    then = ResultBaseline("before", Metrics(simulate(True, shape)))
    found, _ = change(now, then, "e2e.p95", "relative")
    exact, _ = change(Metrics(simulate(True, shape, Renewal(per_second=0.8))), then, "e2e.p95", "relative")
    assert found.estimate.value == pytest.approx(exact.estimate.value, abs=4 * WIDTH)
    assert found.estimate.half_width == pytest.approx(exact.estimate.half_width, rel=0.05)


def test_who_looks_for_the_runs_is_told_how_to_keep_them(tmp_path: Path) -> None:
    result = simulate(False, Shape(2, 0, 50))
    assert result.binned is not None and result.load is not None and result.runs == 100
    looks = (
        lambda: result.e2e_s.mean(),
        lambda: np.sort(result.ttft_s),
        lambda: result.outcome == 0,
        lambda: result.calls[3],
        lambda: len(result.load.end_s),  # type: ignore[union-attr]
        lambda: result.save(tmp_path / "r.npz"),
        lambda: result.to_pandas(),
    )
    for look in looks:
        with pytest.raises(AgentflowError, match="columns=True"):
            look()
    assert not list(tmp_path.iterdir())
    assert result.cost_usd is None, "no price is no column that was not kept"
    assert repr(copy.deepcopy(result).e2e_s) == "<not kept>"
    assert "p95" in result._repr_html_()


def test_few_runs_are_kept_unless_one_says_otherwise() -> None:
    few, many = Shape(2, 0, KEPT_RUNS // 2), Shape(2, 0, KEPT_RUNS // 2 + 1)
    assert simulate(None, few).binned is None
    assert isinstance(simulate(None, many).binned, Binned)
    assert len(simulate(True, many).e2e_s) == KEPT_RUNS + 2


def test_threads_and_a_checkpoint_do_not_matter(tmp_path: Path) -> None:
    shape = Shape(6, 50, 300)
    texts = {
        json.dumps(run_object(summary_of(Metrics(simulate(False, shape, **options)), parse_slo("p95<9s"))))
        for options in ({}, {"threads": 3}, *2 * [{"checkpoint": tmp_path}])
    }
    assert len(texts) == 1
    assert len(list(tmp_path.glob("*.npz"))) == 6
    simulate(True, shape, checkpoint=tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 12, "rows are not bins"


def test_the_command_keeps_the_runs_that_it_saves(tmp_path: Path) -> None:
    file, saved = tmp_path / "place.yaml", tmp_path / "r.npz"
    file.write_text(
        "schema_version: 1\nname: place\nprovider: p\nmodel: m\nlaw: {measured: {ttft: 1s, decode_rate: 50 tok/s}}\n"
        "capacity: {concurrency: 30}\n",
        encoding="utf-8",
    )
    arguments = ["run", "prompt-chain-8", "--backend", str(file), "--arrivals", "poisson:0.3/s", "--json"]
    arguments += ["--runs", str(KEPT_RUNS + 1)]
    binned = json.loads(CliRunner().invoke(app, arguments).stdout)
    kept = json.loads(CliRunner().invoke(app, [*arguments, "--save", str(saved)]).stdout)
    assert "not kept" in binned["manifest"]["quantiles"] and "quantiles" not in kept["manifest"]
    assert binned["e2e_s"]["p95"]["value"] == pytest.approx(kept["e2e_s"]["p95"]["value"], rel=WIDTH)
    assert len(load_result(saved).e2e_s) == kept["runs"] == binned["runs"]


def peak_bytes(runs: int, columns: bool) -> int:
    tracemalloc.start()
    try:
        result = run_load(PLAN, Renewal(per_second=0.5), Shape(10, 50, runs // 10), threads=1, columns=columns)
        summary_of(Metrics(result), parse_slo("p95<9s"))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_runs() -> None:
    """Each run has a row of 57 bytes and its arrival and end; of the bins more get used, up to a number."""
    small, large = 40_000, 400_000
    more = large - small
    assert peak_bytes(large, columns=False) - peak_bytes(small, columns=False) < 6 * more
    assert peak_bytes(large, columns=True) - peak_bytes(small, columns=True) > 73 * more

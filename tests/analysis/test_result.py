"""Results: histograms, files written whole, damage refused, notebooks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.errors import AgentflowError
from agentflow.result import HIST_BINS, hist_edges, hist_index, hist_quantile, hist_value, load_result
from tests.analysis.made import lognormal, made


@given(st.floats(min_value=2.0**-13, max_value=2.0**24, exclude_max=True))
def test_a_value_lies_in_its_bin(value: float) -> None:
    index, edges = int(hist_index(value)), hist_edges()
    assert edges[index] <= value < edges[index + 1]
    assert float(hist_value(index)) == pytest.approx(value, rel=1 / 128)


def test_what_is_too_short_or_too_long_falls_into_the_outer_bins() -> None:
    assert hist_index([0.0, 1e-9, 1e9, np.inf]).tolist() == [0, 0, HIST_BINS - 1, HIST_BINS - 1]
    assert len(hist_edges()) == HIST_BINS + 1


def test_quantiles_from_a_histogram() -> None:
    values = lognormal(1, 50_000)
    counts = np.bincount(hist_index(values), minlength=HIST_BINS)
    for p in (0.01, 0.5, 0.95, 0.99):
        assert hist_quantile(counts, p) == pytest.approx(float(np.quantile(values, p)), rel=1 / 128)
    assert hist_quantile(np.zeros(HIST_BINS, dtype=np.int64), 0.5) == 0.0


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    for cost in (0.5 * np.ones(100), None):
        result, path = made(lognormal(1, 100), cost_usd=cost), tmp_path / "result"
        result.save(path)
        back = load_result(path)
        assert back.assignment == result.assignment and back.manifest == result.manifest and back.steps == result.steps
        assert np.array_equal(back.e2e_s, result.e2e_s) and np.array_equal(back.critical_s, result.critical_s)
        assert (back.cost_usd is None) == (cost is None)
    first = (tmp_path / "result").read_bytes()
    result.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == first


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.npz"
    path.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(AgentflowError, match="No space left"):
        made([1.0]).save(path)
    assert [(item.name, item.read_bytes()) for item in tmp_path.iterdir()] == [("result.npz", b"old")]


def test_saving_where_there_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AgentflowError, match="cannot be written"):
        made([1.0]).save(tmp_path / "no" / "result.npz")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "result.npz"
    with pytest.raises(AgentflowError, match="no such file"):
        load_result(path)
    made(lognormal(1, 20)).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    damaged = [b"", b"PK", whole[:100], whole[: len(whole) // 2], whole[:-30], b"\x93NUMPY" + whole, b"{}" * 50]
    for _ in range(50):
        changed = bytearray(whole)
        changed[int(rng.integers(len(whole) - 4000, len(whole)))] ^= 0xFF
        damaged.append(bytes(changed))
    refused = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            load_result(path)
        except AgentflowError:
            refused += 1
    assert refused >= 40  # some bytes of a zip archive mean nothing


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, facts=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(AgentflowError):
        load_result(path)
    np.save(tmp_path / "plain.npy", np.ones(3))
    with pytest.raises(AgentflowError):
        load_result(tmp_path / "plain.npy")


def test_columns_are_read_only_and_checked() -> None:
    result = made([1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        result.e2e_s[0] = 3.0
    with pytest.raises(ValueError, match="calls"):
        made([1.0, 2.0], calls=np.ones(3, dtype=np.int32))


def test_the_pandas_table_has_a_row_a_run() -> None:
    table = made(lognormal(1, 7)).to_pandas()
    assert len(table) == 7 and table.index.name == "run"
    assert table["outcome"].tolist() == ["answered"] * 7


def test_the_notebook_shows_intervals_and_no_foreign_markup() -> None:
    page = made(lognormal(1, 1000), workflow="<script>[red]&")._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;[red]&amp;" in page
    assert "p95" in page and "[" in page
    assert "needs 72 runs" in made([1.0] * 10)._repr_html_()


def test_files_are_as_readable_as_others(tmp_path: Path) -> None:
    made([1.0]).save(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"")
    assert os.stat(tmp_path / "a").st_mode == os.stat(tmp_path / "b").st_mode

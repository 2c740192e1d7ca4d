"""The benchmark beside Vidur and AISimulate: what it says of peers that cannot be run, and what it measures of those that can."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from agentflow.engine.batching import serve
from benchmarks import peers


def test_a_peer_that_cannot_be_run_is_cited_with_the_reason():
    case = peers.vidur_cases(peers.unrun("no checkout"), 5)[0]
    line = peers.row(case, rounds=1)
    assert "28 (cited, not run here: no checkout)" in line
    assert float(line.split("|")[3].replace(",", "")) > 1000


def test_a_peer_that_fails_tells_its_last_line(tmp_path, monkeypatch):
    (tmp_path / "peer.py").write_text("import sys\nsys.exit('first line\\nno module called so')\n")
    monkeypatch.setattr(peers, "HERE", tmp_path)
    with pytest.raises(peers.NotRun, match=r"^no module called so$"):
        peers.driven(sys.executable, "peer.py")({})


@pytest.mark.parametrize("late", [0.0, 0.25])
def test_a_peer_that_runs_is_compared_in_speed_and_in_each_end(tmp_path, monkeypatch, late):
    case = peers.vidur_cases(peers.unrun(""), 20)[0]
    ends = serve(case.replica, case.arrivals, case.prompt, case.output).finished
    told = {"cpu": 2.0, "wall": 3.0, "finished": [*ends[:-1], ends[-1] + late]}
    (tmp_path / "peer.py").write_text(f"import sys\nsys.stdin.read()\nprint('''{json.dumps(told)}''')\n")
    monkeypatch.setattr(peers, "HERE", tmp_path)
    case = replace(case, run=peers.driven(sys.executable, "peer.py"))
    assert peers.difference(case) == pytest.approx(late, abs=1e-12)
    assert "| 10 (10 to 10) |" in peers.row(case, rounds=1)


def test_the_peer_is_told_the_arrivals_and_limits_that_agentflow_serves():
    case = peers.vidur_cases(peers.unrun(""), 7)[0]
    assert np.array_equal(case.job["arrivals"], case.arrivals)
    limits = case.replica.token_budget, case.replica.max_sequences, case.replica.kv_blocks
    assert limits == (case.job["token_budget"], case.job["max_sequences"], case.job["kv_blocks"])

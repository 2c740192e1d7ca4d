"""A simulation under load that was killed goes on where it stopped, to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from agentflow.engine import Shape, run_load
from agentflow.engine.arrivals import Renewal
from agentflow.errors import AgentflowError
from agentflow.result import Result
from benchmarks.resume_load import resume
from tests.load.test_reports import PLAN

SHAPE = Shape(6, 50, 40_000)


def simulate(folder: Path | None, seed: int = 3, shape: Shape = SHAPE) -> Result:
    return run_load(PLAN, Renewal(per_second=0.8), shape, seed, threads=1, checkpoint=folder, columns=True)


def saved(result: Result, path: Path) -> bytes:
    result.save(path)
    return path.read_bytes()


def test_after_sigkill_the_bytes_are_the_same(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "done"
    code = "import sys; from pathlib import Path; from tests.load.test_checkpoint import simulate; simulate(Path(sys.argv[1]))"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )
    until = time.monotonic() + 120.0
    while len(list(folder.glob("*.npz"))) < 2 and child.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert len(done) >= 2
    whole = simulate(folder)
    assert len(list(folder.glob("*.npz"))) == SHAPE.replications
    assert {path: path.stat().st_mtime_ns for path in done} == done, "what was done is not done again"
    assert saved(whole, tmp_path / "a.npz") == saved(simulate(None), tmp_path / "b.npz")


def test_another_simulation_takes_nothing_from_the_folder(tmp_path: Path) -> None:
    shape = Shape(2, 5, 40)
    simulate(tmp_path, shape=shape)
    other = simulate(tmp_path, seed=4, shape=shape)
    assert len(list(tmp_path.glob("*.npz"))) == 4
    assert np.array_equal(other.e2e_s, simulate(None, seed=4, shape=shape).e2e_s)


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    shape = Shape(2, 5, 40)
    first = simulate(tmp_path, shape=shape)
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(simulate(tmp_path, shape=shape).e2e_s, first.e2e_s)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AgentflowError, match="cannot be made"):
        simulate(tmp_path / "file" / "folder", shape=Shape(2, 5, 40))


def test_kills_leave_no_trace(tmp_path: Path) -> None:
    found = resume(tmp_path, 120_000, 2)
    assert found.same
    assert found.at_kills[0] < found.at_kills[1] < 20


@pytest.mark.slow
@pytest.mark.parametrize("save", [False, True])
def test_a_million_runs_go_on_after_each_kill(tmp_path: Path, save: bool) -> None:
    found = resume(tmp_path, 1_000_000, 5, save=save)
    assert found.same
    assert len(set(found.at_kills)) == 5

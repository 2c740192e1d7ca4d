"""The benchmark under load: C, SimPy and the engine see the same of W2 and W3, and a machine without a compiler goes on."""

from __future__ import annotations

import numpy as np
import pytest

from agentflow.engine import Shape, run_load
from benchmarks import plain_c, speed, speed_load
from benchmarks.simpy_w3 import Batched
from benchmarks.speed import Case

RUNS, REPLICATIONS = 20_000, 20


def in_c(*defines: str) -> plain_c.Simulate:
    try:
        return plain_c.compiled(*defines)
    except plain_c.NoCompiler as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("defines", [(), ("KEYED",)])
def test_c_and_the_engine_see_the_same_means(defines: tuple[str, ...]) -> None:
    made = speed_load.in_c("C", in_c(*defines), RUNS, RUNS).means(REPLICATIONS)
    own = speed_load.engine(speed_load.w2(), RUNS, RUNS).means(REPLICATIONS)
    (e2e, e2e_width), (wait, wait_width) = speed_load.differences(made, own)
    assert abs(e2e) <= e2e_width < 0.02 * own[0].mean()
    assert abs(wait) <= wait_width < 0.25 * own[1].mean()


def test_c_and_the_engine_see_the_same_at_each_step() -> None:
    runs = 50_000
    made = in_c()(500, runs, 3)
    result = run_load(speed_load.w2(), speed_load.ARRIVALS, Shape(1, 500, runs), seed=3, threads=1)
    step = dict(zip(plain_c.TOTALS, made.totals.T, strict=True))
    names = [path.split(".")[-1].split("_")[0] for path in result.steps]
    rows = np.array([plain_c.STEPS.index(name) if name in plain_c.STEPS else -1 for name in names])

    def of_engine(values: np.ndarray) -> np.ndarray:
        return np.array([values[rows == i].sum() for i in range(len(plain_c.STEPS))])

    component = {name: result.step_component_s[:, i] for i, name in enumerate(result.components)}
    critical = {name: result.critical_s[:, i] for i, name in enumerate(result.components)}
    rare = np.where(np.array(plain_c.STEPS) == "fallback", 0.1, 0.02)  # 3 % of the runs have one
    for name, values in (
        ("visits", result.step_executions),
        ("attempts", result.step_attempts),
        ("input_tokens", result.step_tokens[:, 0]),
        ("output_tokens", result.step_tokens[:, 2]),
        ("prefill_s", component["prefill"]),
        ("decode_s", component["decode"]),
        ("critical_prefill_s", critical["prefill"]),
        ("critical_decode_s", critical["decode"]),
    ):
        assert np.all(np.abs(step[name] / of_engine(values) - 1.0) < rare), name
    assert step["backoff_s"].sum() == pytest.approx(component["backoff"].sum(), rel=0.05)
    paths = sum(values.sum() for name, values in step.items() if name.startswith("critical_"))
    assert paths == pytest.approx(made.runs["e2e_s"].sum(), rel=1e-9)
    assert made.counts.sum(axis=1).tolist() == [*step["visits"], step["attempts"].sum()]


def test_c_keeps_what_it_drew() -> None:
    simulate = in_c()
    one, same, other = simulate(10, 200, 1), simulate(10, 200, 1), simulate(10, 200, 2)
    assert np.array_equal(one.runs["e2e_s"], same.runs["e2e_s"])
    assert not np.array_equal(one.runs["e2e_s"], other.runs["e2e_s"])


def test_without_a_compiler_the_benchmark_says_so_and_goes_on(monkeypatch, capsys) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(plain_c.NoCompiler, match="no-such-compiler not found"):
        plain_c.compiled()
    assert [peer.name for peer in speed_load.peers_of_w2(quick=True)] == ["engine", "SimPy"]
    assert "W2 without C: no C compiler: no-such-compiler not found" in capsys.readouterr().err


def test_a_compiler_that_fails_tells_its_last_line(monkeypatch) -> None:
    monkeypatch.setenv("CC", "sh -c 'echo first >&2; echo what is wrong >&2; exit 1'")
    with pytest.raises(plain_c.NoCompiler, match=r"^sh failed: what is wrong$"):
        plain_c.compiled()


def test_simpy_and_the_engine_see_the_same_of_w3() -> None:
    slow = speed_load.in_simpy(Batched, 100, 150).means(8)
    own = speed_load.engine(speed_load.w3(), 2_000, 2_000).means(10)
    ((difference, width),) = speed_load.differences(slow, own)
    assert abs(difference) <= width < 0.25 * own[0].mean()


def fake(name: str, e2e: list[float]) -> speed_load.Peer:
    return speed_load.Peer(Case(name, lambda: (1, 8)), lambda replications: (np.array(e2e), np.zeros(0)))


def test_peers_that_disagree_are_not_measured() -> None:
    agree = fake("other", [1.0, 2.0, 3.1])
    assert "| other |" in speed_load.table([fake("engine", [1.0, 2.0, 3.0]), agree], 1, 3)
    with pytest.raises(SystemExit, match="other and the engine disagree by"):
        speed_load.table([fake("engine", [1.0, 1.1, 1.2]), fake("other", [11.0, 11.1, 11.2])], 1, 3)


def test_a_record_keeps_what_stands_around_it(tmp_path, monkeypatch) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{speed_load.MARK}\nold\n{speed_load.UNTIL}\nafter\n{speed.MARK}\nold too\n")
    monkeypatch.setattr(speed, "PAGE", page)
    speed.record("| new |", speed_load.MARK, speed_load.UNTIL)
    speed.record("| new too |")
    lines = [line for line in page.read_text().splitlines() if line and not line.startswith("Recorded")]
    assert lines == [
        "before", speed_load.MARK, "| new |", speed_load.UNTIL, "after", speed.MARK, "| new too |",
    ]  # fmt: skip

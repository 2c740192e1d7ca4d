"""What SDK and framework cost: CPU on cores that the runs of one process share."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from agentflow.analysis.loading.client import PRESETS, parse_client
from agentflow.analysis.loading.load import report_load, warnings_of
from agentflow.analysis.scenario import simulate
from agentflow.analysis.setting import Setting
from agentflow.engine import Shape, run_load
from agentflow.engine.arrivals import Batch, Given
from agentflow.engine.load import Pilot
from agentflow.errors import UsageError
from agentflow.plan import Client, compile_plan
from agentflow.result import Result
from tests.load.uncontended import run_events
from tests.make import backend, chat, fan, loop, tool, workflow

PLACE = backend(ttft=1.0, rate=10.0)


def times(client: Client, arrivals: list[float], output: int = 1) -> list[float]:
    plan = replace(compile_plan(workflow({"a": chat(output)}), {"*": PLACE}), client=client)
    return [float(x) for x in run_events(plan, len(arrivals), 0, Given(times=tuple(arrivals))).e2e_s]


def test_a_call_alone() -> None:
    assert times(Client("c", 0.1, fixed=0.03), [0.0]) == pytest.approx([0.06 + 0.03 + 1.0 + 0.04])


def test_calls_wait_for_the_core() -> None:
    """The second starts when the first has had its 0.6 s; 0.4 s at the end, where they come 0.6 s apart."""
    assert times(Client("c", 1.0), [0.0, 0.0]) == pytest.approx([2.0, 2.6])
    assert times(Client("c", 1.0, processes=2), [0.0, 0.0]) == pytest.approx([2.0, 2.0])
    assert times(Client("c", 1.0, cores=2), [0.0, 0.0]) == pytest.approx([2.0, 2.3])
    assert times(Client("c", 1.0), [0.0, 50.0]) == pytest.approx([2.0, 2.0])


def test_chunks_take_the_core_while_they_come() -> None:
    """Eleven chunks of 0.05 s in one second: half of a core; then 0.1 s to look at the answer."""
    assert times(Client("c", 0.1, 0.05, before=0.0), [0.0], 11) == pytest.approx([2.0 + 0.1])
    # A call that comes while they flow finds no backlog; three answers at a time are more than a core can take in.
    busy = times(Client("c", 0.1, 0.05, before=0.0), [0.0, 0.0, 0.0], 11)
    assert busy[0] == pytest.approx(2.0 + 3 * 0.05 + 0.5 + 0.1)
    assert busy[2] == pytest.approx(busy[0] + 0.2)


def test_the_first_token_is_shown_when_the_core_gets_to_it() -> None:
    plan = replace(compile_plan(workflow({"a": chat(5)}), {"*": PLACE}), client=Client("c", 0.0, 0.25))
    result = run_events(plan, 2, 0, Given(times=(0.0, 0.0)))
    assert result.ttft_s.tolist() == pytest.approx([1.25, 1.5])


def test_the_seconds_are_the_clients() -> None:
    plan = replace(compile_plan(workflow({"a": chat(5), "b": tool(1.0, "a")}), {"*": PLACE}), client=Client("c", 0.1))
    result = run_events(plan, 1, 0)
    column = result.components.index("client")
    assert result.critical_s[:, column].tolist() == pytest.approx([0.1, 0.0])
    assert result.critical_s.sum() == pytest.approx(result.e2e_s.sum())


def sixteen(client: Client | None) -> Result:
    """Sixteen workflows at once: a plan, three in parallel, then writer and critic, once or twice: 6 or 8 calls."""
    steps = {
        "plan": chat(1),
        "research": fan(3, {"read": chat(1)}, "plan"),
        "draft": loop(2, {"write": chat(1), "judge": chat(1, "write")}, "research", continue_probability=0.5),
    }
    ttft = {"lognormal": {"mu": math.log(0.923 / 5 * 0.96) - 0.02, "sigma": 0.2}}
    plan = replace(compile_plan(workflow(steps), {"*": backend(ttft=ttft)}), client=client)
    alone = Pilot(np.zeros(0), np.zeros(0), np.ones(1), np.zeros((0, 3)))
    return run_load(plan, Batch(runs=16), Shape(60, 0, 16), 1, alone=alone)


MEASURED = {"openai": 0.998, "langgraph": 1.165, "openai-agents": 1.186, "pydantic-ai": 1.562}


def test_the_ideal_is_what_was_measured_against() -> None:
    assert float(sixteen(None).e2e_s.mean()) == pytest.approx(0.923, rel=0.01)


@pytest.mark.parametrize("name", MEASURED)
def test_sixteen_workflows_at_once_take_as_long_as_measured(name: str) -> None:
    """Mean times of 16 concurrent workflows on one machine, Python 3.11; the workflow's shape is not told, and made up."""
    assert float(sixteen(PRESETS[name]).e2e_s.mean()) == pytest.approx(MEASURED[name], rel=0.06)


def test_clients_are_read() -> None:
    assert parse_client("langgraph") == PRESETS["langgraph"]
    assert parse_client("langgraph,processes=4").processes == 4
    own = parse_client("cpu_per_call=5ms,cpu_per_chunk=0.1ms,cores=2,before=50%")
    assert (own.cpu_per_call, own.cpu_per_chunk, own.cores, own.before) == (0.005, 0.0001, 2, 0.5)


@pytest.mark.parametrize("text", ["langraph", "cpu=1ms", "cores=0", "cpu_per_call=x", "openai,processes=1.5", ""])
def test_a_client_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_client(text)


def test_a_busy_client_is_reported() -> None:
    setting = Setting(client=parse_client("cpu_per_call=90ms"))
    result = simulate(workflow({"a": chat(1)}), PLACE, runs=20_000, arrivals="poisson:10.5/s", setting=setting)
    report = report_load(result)
    assert report is not None and report.client is not None
    assert report.client.asked.value == pytest.approx(0.945, rel=0.02)
    assert any("client's cores" in text for text in warnings_of(report))
    assert "client cpu_per_call=90ms" in result.manifest["assumptions"]

"""What the benchmarks simulate: W1 with its own backends, and graphs of other shapes from the same calls."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Any

from agentflow.documents import load_backend, load_workflow
from agentflow.plan import Plan, compile_plan
from agentflow.schema import Backend, Workflow

ROOT = Path(__file__).resolve().parents[1]
W1_STEPS = {
    "planner": "planner",
    "researcher_1": "researcher",
    "researcher_2": "researcher",
    "researcher_3": "researcher",
    "revise.writer": "writer",
    "revise.critic": "critic",
    "guardrail": "guardrail",
    "fallback": "fallback",
}
DEFAULTS = {
    "model": "llama-3.3-70b",
    "retry": {
        "max_attempts": 3,
        "initial_interval": "0.75s",
        "backoff_factor": 2,
        "max_interval": "1m",
        "jitter": 2 / 3,
    },
}


def w1_file(step: str) -> Path:
    """Find the backend document of one of W1's steps."""
    return ROOT / "benchmarks" / "w1" / f"{step}.yaml"


def w1_assignment() -> dict[str, Backend]:
    """Load the backends of W1, by the path of the step."""
    return {path: load_backend(str(w1_file(kind))) for path, kind in W1_STEPS.items()}


def w1() -> Plan:
    """Compile the reference workload."""
    return compile_plan(load_workflow(str(ROOT / "workflows" / "w1.yaml")), w1_assignment())


def call(needs: Sequence[str] = ()) -> dict[str, Any]:
    """Write down a call like W1's researcher."""
    return {
        "type": "chat",
        "needs": list(needs),
        "input_tokens": {"lognormal": {"mu": log(1500), "sigma": 0.3}},
        "output_tokens": {"lognormal": {"mu": log(400), "sigma": 0.6}},
        "errors": {"server_error": {"probability": 0.02, "at": "end"}},
    }


def compiled(name: str, steps: dict[str, Any]) -> Plan:
    """Compile steps against the backend of W1's researcher."""
    workflow = Workflow.model_validate({"name": name, "defaults": DEFAULTS, "steps": steps})
    return compile_plan(workflow, {"*": load_backend(str(w1_file("researcher")))})


def chain(length: int) -> Plan:
    """Compile a chain of ``length`` calls."""
    steps = {f"s{i}": call([f"s{i - 1}"] if i else []) for i in range(length)}
    return compiled(f"chain-{length}", steps)


def fan_out(width: int) -> Plan:
    """Compile one call, ``width`` parallel ones, and one that waits for all of them."""
    wide = [f"s{i}" for i in range(width)]
    steps = {"first": call()} | {name: call(["first"]) for name in wide} | {"last": call(wide)}
    return compiled(f"fan-out-{width}", steps)


def mapped(width: int) -> Plan:
    """Compile a map over ``width`` instances of one call."""
    return compiled(f"map-{width}", {"all": {"type": "map", "count": width, "steps": {"call": call()}}})


def loop(iterations: int) -> Plan:
    """Compile a loop of at most ``iterations`` rounds of two calls, gone on with 0.9."""
    body = {"write": call(), "read": call(["write"])}
    again = {"type": "loop", "max_iterations": iterations, "continue_probability": 0.9, "steps": body}
    return compiled(f"loop-{iterations}", {"again": again})

"""Short ways to write schema objects in tests: steps are the mappings that a document would hold."""

from __future__ import annotations

from typing import Any

from agentflow.schema import Backend, Workflow

Step = dict[str, Any]


def tool(latency: Any, *needs: str, **more: Any) -> Step:
    return {"type": "tool", "latency": latency, "needs": list(needs), **more}


def chat(output: Any, *needs: str, **more: Any) -> Step:
    more.setdefault("input_tokens", 0)
    return {"type": "chat", "output_tokens": output, "needs": list(needs), **more}


def guardrail(latency: Any, *needs: str, **more: Any) -> Step:
    return {"type": "guardrail", "latency": latency, "needs": list(needs), **more}


def loop(iterations: int, steps: dict[str, Step], *needs: str, **more: Any) -> Step:
    return {"type": "loop", "max_iterations": iterations, "steps": steps, "needs": list(needs), **more}


def fan(count: Any, steps: dict[str, Step], *needs: str, **more: Any) -> Step:
    return {"type": "map", "count": count, "steps": steps, "needs": list(needs), **more}


def nested(inner: Workflow, *needs: str, **more: Any) -> Step:
    return {"type": "workflow", "workflow": inner, "needs": list(needs), **more}


def workflow(steps: dict[str, Step], **more: Any) -> Workflow:
    return Workflow.model_validate({"schema_version": 1, "name": "made", "steps": steps, **more})


def backend(name: str = "made", ttft: Any = 1.0, rate: Any = 8.0, **more: Any) -> Backend:
    """Build a backend; of the law: `prefill_rate`, `variation`, `stall`, `network`, `ttft_input_tokens`."""
    law = {
        key: more.pop(key)
        for key in ("prefill_rate", "variation", "stall", "network", "ttft_input_tokens")
        if key in more
    }
    return Backend.model_validate(
        {
            "schema_version": 1,
            "name": name,
            "provider": "maker",
            "model": "made-8b",
            "law": {"measured": {"ttft": ttft, "decode_rate": rate, **law}},
            **more,
        }
    )

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


def slow_deployment(**more: Any) -> dict[str, Any]:
    """Build a deployment whose tokens take a fifth of a second, and longer the more context there is."""
    chip = {"name": "slow", "kind": "asic", "family": "slow", "flops": {"bf16": 1e7}, "memory": 1e7, "bandwidth": 1e6}
    model = {
        "name": "made-88k", "layers": 2, "hidden": 64, "vocabulary": 100, "feed_forward": 128, "context": 4096,
        "attention": {"heads": 4, "kv_heads": 4, "head_size": 16},
    }  # fmt: skip
    engine = {"name": "slow", "default": {"kv_bandwidth": 0.05, "request_overhead": 0.125}}
    power = more.pop("watts", None)
    return {"name": "slow", "chip": {**chip, "watts": power}, "model": model, "engine": engine, **more}


def served(name: str, law: dict[str, Any], **more: Any) -> Backend:
    """Build a backend of a deployment or a table: `law` is `{"deployment": ..}` or `{"table": ..}`."""
    return Backend.model_validate(
        {"schema_version": 1, "name": name, "provider": "maker", "model": "made-88k", "law": law, **more}
    )


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

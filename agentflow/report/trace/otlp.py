"""Simulated runs as OTLP JSON, with the attributes of OpenTelemetry's conventions for generative AI.

A run is a trace, so that predicted runs stand beside measured ones in any tracing UI. Encoding: the OTLP/JSON
protocol (ids in hexadecimal, 64-bit integers as text). Names: the GenAI semantic conventions as of semantic
conventions 1.44, since kept in open-telemetry/semantic-conventions-genai; `gen_ai.system` is the older name of
`gen_ai.provider.name`, written too for tools that still read it. What the conventions have no name for is under
`agentflow.`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from agentflow.analysis.traced import Traced
from agentflow.engine import Trace, Visit
from agentflow.errors import printable
from agentflow.report.trace.spans import last_end, nanoseconds, ran, title
from agentflow.schema import Backend

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

_PROVIDERS = {
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}  # the conventions' own names, where they differ from the catalogue's
_INTERNAL, _CLIENT = 1, 3
_OK, _ERROR = 1, 2


def otlp_trace(traced: Traced, start_unix_ns: int) -> dict[str, Any]:
    """Return an ExportTraceServiceRequest as a JSON object.

    Parameters
    ----------
    traced : Traced
    start_unix_ns : int
        When every run arrives, in nanoseconds since 1970 (UTC).
    """
    spans = [span for trace in traced.traces for span in _Run(traced, trace, start_unix_ns).spans()]
    resource = {"service.name": "agentflow", "agentflow.simulated": True}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": {"name": "agentflow"}, "spans": spans, "schemaUrl": SCHEMA_URL}],
                "schemaUrl": SCHEMA_URL,
            }
        ]
    }


class _Run:
    """Writes the spans of one run."""

    def __init__(self, traced: Traced, trace: Trace, start: int) -> None:
        self.traced, self.trace, self.start = traced, trace, start
        self.trace_id = _identifier(16, traced.fingerprint, traced.seed, trace.run)
        self.root = self._span_id(-1)
        self.backends = {backend.name: backend for backend in traced.assignment.values()}
        self.nodes = {visit.node for visit in trace.visits if visit.status != "skipped"}

    def spans(self) -> Iterator[dict[str, Any]]:
        """Write the run's own span, then one a visit."""
        trace, name = self.trace, printable(self.traced.workflow.name, 200)
        facts = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": name,
            "agentflow.run": trace.run,
            "agentflow.seed": str(self.traced.seed),
            "agentflow.plan_fingerprint": self.traced.fingerprint,
            "agentflow.outcome": trace.outcome,
            "agentflow.e2e_s": trace.e2e_s,
            "agentflow.ttft_s": trace.ttft_s,
        }
        moments = [("agentflow.first_token", trace.ttft_s), ("agentflow.answer", trace.e2e_s)]
        failed = trace.outcome if trace.outcome in ("failed", "deadline_exceeded", "budget_exceeded") else None
        span = self._span(self.root, None, f"invoke_workflow {name}", _INTERNAL, 0.0, last_end(trace), failed, facts)
        yield span | {"events": [self._event(what, when) for what, when in moments]}
        for visit in ran(trace):
            yield self._visit(visit)

    def _visit(self, visit: Visit) -> dict[str, Any]:
        kind = self.traced.step_types[visit.step]
        backend = self.backends.get(visit.backend or "")
        name, span_kind, facts = title(visit), _INTERNAL, dict[str, Any]()
        if backend is not None:
            operation = kind if kind in ("embeddings", "retrieval") else "chat"
            name, span_kind = f"{operation} {printable(backend.model, 200)}", _CLIENT
            facts = _call(operation, visit, backend)
        elif kind in ("tool", "retrieval"):
            operation = "execute_tool" if kind == "tool" else kind
            name, facts = f"{operation} {title(visit)}", {"gen_ai.operation.name": operation}
            if kind == "tool":
                facts["gen_ai.tool.name"] = printable(visit.step.rpartition(".")[2], 200)
        elif kind == "workflow":
            facts = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": printable(visit.step, 200)}
        facts |= {
            "agentflow.step": visit.step,
            "agentflow.step.type": kind,
            "agentflow.status": visit.status,
            "agentflow.critical": visit.critical,
        }
        if visit.indices:
            facts["agentflow.indices"] = ".".join(str(index) for index in visit.indices)
        facts |= {f"agentflow.component.{part}_s": s for part, s in visit.components_s.items() if s > 0.0}
        parent = self._span_id(visit.parent) if visit.parent in self.nodes else self.root
        failed = visit.error or ("cancelled" if visit.status == "cancelled" else None)
        span = self._span(self._span_id(visit.node), parent, name, span_kind, visit.start_s, visit.end_s, failed, facts)
        if visit.first_s is not None:
            span["events"] = [self._event("agentflow.first_token", visit.first_s)]
        return span

    def _span(
        self,
        span_id: str,
        parent: str | None,
        name: str,
        kind: int,
        start: float,
        end: float,
        failed: str | None,
        facts: dict[str, Any],
    ) -> dict[str, Any]:
        span: dict[str, Any] = {"traceId": self.trace_id, "spanId": span_id}
        if parent is not None:
            span["parentSpanId"] = parent
        if failed:
            facts = facts | {"error.type": failed}
        return span | {
            "name": name,
            "kind": kind,
            "startTimeUnixNano": self._moment(start),
            "endTimeUnixNano": self._moment(end),
            "attributes": _attributes(facts),
            "status": {"code": _ERROR, "message": failed} if failed else {"code": _OK},
        }

    def _event(self, name: str, when: float) -> dict[str, Any]:
        return {"name": name, "timeUnixNano": self._moment(when)}

    def _moment(self, seconds: float) -> str:
        return str(self.start + nanoseconds(seconds))

    def _span_id(self, node: int) -> str:
        return _identifier(8, self.trace_id, node)


def _call(operation: str, visit: Visit, backend: Backend) -> dict[str, Any]:
    """Attributes of a visit that called a model: the tokens of all its attempts together."""
    provider = _provider(backend)
    facts: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.system": provider,
        "gen_ai.request.model": printable(backend.model, 200),
        "gen_ai.response.model": printable(backend.model, 200),
        "gen_ai.usage.input_tokens": visit.tokens["input"],
        "gen_ai.usage.output_tokens": visit.tokens["output"] + visit.tokens["reasoning"],
        "agentflow.backend": printable(backend.name, 200),
        "agentflow.calls": visit.calls,
        "agentflow.attempts": visit.attempts,
        "agentflow.fallback": visit.fallback,
        "agentflow.cost_usd": visit.cost_usd,
    }
    if visit.tokens["cached_input"]:
        facts["gen_ai.usage.cache_read.input_tokens"] = visit.tokens["cached_input"]
    if visit.tokens["reasoning"]:
        facts["gen_ai.usage.reasoning.output_tokens"] = visit.tokens["reasoning"]
    if visit.first_s is not None:
        facts["gen_ai.response.time_to_first_chunk"] = visit.first_s - visit.start_s
        facts["gen_ai.response.finish_reasons"] = ["stop"]
    return facts


def _provider(backend: Backend) -> str:
    if backend.provider == "azure":
        return "azure.ai.openai" if backend.model.startswith(("gpt-", "o1", "o3", "o4")) else "azure.ai.inference"
    return _PROVIDERS.get(backend.provider, printable(backend.provider, 200))


def _attributes(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in facts.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": str(value)}


def _identifier(size: int, *parts: object) -> str:
    """Hash the parts to an id that is the same for the same run, in hexadecimal."""
    return hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=size).hexdigest()

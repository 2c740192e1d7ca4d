"""Simulated runs as timelines: Chrome trace JSON, OTLP JSON, Mermaid Gantt."""

from agentflow.report.trace.chrome import chrome_trace
from agentflow.report.trace.mermaid import mermaid_gantt
from agentflow.report.trace.otlp import otlp_trace

FORMATS = ("chrome", "otlp", "mermaid")

__all__ = ["FORMATS", "chrome_trace", "mermaid_gantt", "otlp_trace"]

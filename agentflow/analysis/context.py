"""Steps whose prompts are longer than what their backends take, seen before anything is simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentflow.analysis.assignment import model_steps
from agentflow.errors import printable
from agentflow.schema import Backend, Workflow
from agentflow.schema.distribution import median
from agentflow.schema.scaling import lower


@dataclass(frozen=True)
class Overflow:
    """A step whose calls fail with `context_overflow`.

    Attributes
    ----------
    path
        The step's path.
    backend
        The backend that takes least too few, of those that it could go to.
    tokens, context
        What the step sends, with the answer it has to leave room for, and what the backend takes.
    always
        Whether nearly all prompts are too long; else at least half of them are.
    rescued
        Whether a fallback with more context, or another step, takes the call.
    """

    path: str
    backend: str
    tokens: int
    context: int
    always: bool
    rescued: bool

    def __str__(self) -> str:
        which = "its calls fail" if self.always else "at least half of its calls fail"
        end = " and go on where the workflow says" if self.rescued else ""
        return (
            f"{printable(self.path)} needs {self.tokens:,} tokens of context for its prompt and answer, and "
            f"{self.backend} has {self.context:,}: {which} with context_overflow{end}; shorten the prompt, or use a "
            "backend with more context"
        )


def overflows(workflow: Workflow, assignment: Mapping[str, Backend]) -> Iterator[Overflow]:
    """List the steps whose own prompt is longer than what their backend takes.

    Tokens `from` earlier steps and from a loop's history come on top, and are not counted.
    """
    for item in model_steps(workflow):
        step: Any = item.step
        own = getattr(step, "input_tokens", None)
        backend = assignment.get(item.path)
        if own is None or backend is None or backend.context is None:
            continue
        more = (0.0 if step.media is None else step.media.tokens) + max(1.0, float(step.max_tokens or 0))
        least, typical = lower(own.own) + more, median(own.own) + more
        if typical <= backend.context:
            continue
        always = least > backend.context
        tokens = int(least if always else typical)
        others = [
            assignment.get(f"{item.path}!{i}") for i, f in enumerate(step.fallbacks) if "context_overflow" in f.on
        ]
        roomy = any(b is not None and (b.context is None or b.context >= tokens) for b in others)
        caught = any("context_overflow" in catch.errors for catch in step.catch)
        yield Overflow(item.path, backend.name, tokens, backend.context, always, roomy or caught)

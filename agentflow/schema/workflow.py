"""The workflow document: a DAG of steps, with budgets."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from agentflow.errors import did_you_mean, listed, quoted
from agentflow.schema._base import Items, Model, problem
from agentflow.schema.calls import (
    ZERO,
    Catch,
    Errors,
    Fallback,
    Hedge,
    Input,
    InputTokens,
    Join,
    Media,
    Routes,
    TimeoutField,
)
from agentflow.schema.distribution import Constant, CountDistribution, DurationDistribution, upper
from agentflow.schema.retry import Retry
from agentflow.schema.scalars import (
    Identifier,
    Line,
    PositiveSeconds,
    PositiveTokens,
    Prose,
    Reference,
    Usd,
)

_BREAKER = "a circuit breaker belongs to a backend that runs share; it comes with the simulation of load; leave it out"


class StepBase(Model):
    """What all steps have."""

    needs: Items[Reference] = ()
    description: Prose = ""
    outcome: Identifier | None = None
    catch: Items[Catch] = ()


class CallStep(StepBase):
    """What all steps have that take time by themselves."""

    later: ClassVar[Mapping[str, str]] = {"circuit_breaker": _BREAKER}
    join: Join = "all"
    errors: Errors = Field(default={})
    timeout: TimeoutField | None = None
    retry: Retry | None = None
    hedge: Hedge | None = None
    routes: Routes = Field(default={})


class ModelFields(CallStep):
    """What all steps have that call a model."""

    model: Line | None = None
    backend: Line | None = None
    input_tokens: Input = InputTokens()
    cached_input_tokens: CountDistribution | None = None
    output_tokens: CountDistribution
    reasoning_tokens: CountDistribution | None = None
    max_tokens: PositiveTokens | None = None
    media: Media | None = None
    stream: bool | None = None
    fallbacks: Items[Fallback] = ()


class ChatStep(ModelFields):
    """A call of a chat model."""

    type: Literal["chat"] = "chat"


class EmbeddingsStep(ModelFields):
    """A call of an embedding model: input only."""

    type: Literal["embeddings"] = "embeddings"
    output_tokens: CountDistribution = ZERO


class RetrievalStep(ModelFields):
    """A search: by its own latency, or by a model."""

    type: Literal["retrieval"] = "retrieval"
    latency: DurationDistribution | None = None
    output_tokens: CountDistribution = ZERO


class GuardrailStep(ModelFields):
    """A check that may reject; `blocking: false` runs it beside the steps that need it."""

    type: Literal["guardrail"] = "guardrail"
    blocking: bool = True
    latency: DurationDistribution | None = None
    output_tokens: CountDistribution = Constant(value=1.0)


class ToolStep(CallStep):
    """A tool by its latency; `output_tokens` are what it hands on."""

    type: Literal["tool"] = "tool"
    latency: DurationDistribution
    output_tokens: CountDistribution = ZERO


class HumanStep(CallStep):
    """A person by their latency."""

    type: Literal["human"] = "human"
    latency: DurationDistribution
    output_tokens: CountDistribution = ZERO


class WaitStep(CallStep):
    """A wait."""

    type: Literal["wait"] = "wait"
    duration: DurationDistribution


class MapStep(StepBase):
    """A fan-out: `count` instances of a body, `max_concurrency` at a time."""

    type: Literal["map"] = "map"
    count: CountDistribution
    max_count: PositiveTokens | None = None
    max_concurrency: PositiveTokens | None = None
    join: Join = "all"
    steps: Annotated[dict[Identifier, StepField], Field(min_length=1)]

    @property
    def bound(self) -> int:
        """The largest number of instances."""
        most = upper(self.count)
        natural = int(most + 0.5) if isfinite(most) else None
        if self.max_count is not None:
            return self.max_count if natural is None else min(natural, self.max_count)
        assert natural is not None
        return natural

    @model_validator(mode="after")
    def _bounded(self) -> MapStep:
        if self.max_count is None and not isfinite(upper(self.count)):
            raise problem("this count has no largest value", "add max_count: 20, say")
        return self


class LoopStep(StepBase):
    """A body that is repeated, at most `max_iterations` times."""

    type: Literal["loop"] = "loop"
    join: Join = "all"
    max_iterations: PositiveTokens
    continue_probability: Annotated[Any, PlainValidator(lambda v: _chances(v)), WithJsonSchema(
        {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]}
    )] = 1.0  # fmt: skip
    steps: Annotated[dict[Identifier, StepField], Field(min_length=1)]

    @model_validator(mode="after")
    def _as_many(self) -> LoopStep:
        chances = self.continue_probability
        if isinstance(chances, tuple) and len(chances) != self.max_iterations - 1:
            raise problem(
                f"continue_probability has {len(chances)} entries for {self.max_iterations} iterations",
                f"write {self.max_iterations - 1}, one after each iteration but the last, or a single number",
            )
        return self


class WorkflowStep(StepBase):
    """Another workflow in this place: its name, the path of its file, or itself."""

    type: Literal["workflow"] = "workflow"
    join: Join = "all"
    workflow: Annotated[Any, PlainValidator(lambda v: _document(v)), WithJsonSchema({"type": "string"})]


def _chances(value: Any) -> float | tuple[float, ...]:
    from agentflow.schema.scalars import _share

    return tuple(_share(x) for x in value) if isinstance(value, list | tuple) else _share(value)


def _document(value: Any) -> Any:
    if isinstance(value, Workflow) or (isinstance(value, str) and 0 < len(value) <= 1000):
        return value
    raise problem(f"must name a workflow, not {quoted(value)}", "write a name of the catalogue or the path of a file")


_STEPS: tuple[type[StepBase], ...] = (
    ChatStep, EmbeddingsStep, RetrievalStep, GuardrailStep, ToolStep, HumanStep, WaitStep, MapStep, LoopStep,
    WorkflowStep,
)  # fmt: skip
STEP_TYPES: dict[str, type[StepBase]] = {c.model_fields["type"].default: c for c in _STEPS}


def _typed(value: Any) -> Any:
    """Check a step's type before its fields, so that the message is about the type."""
    if isinstance(value, StepBase):
        return value
    if not isinstance(value, Mapping):
        raise problem(f"must be a step, not {quoted(value)}", "write a mapping with a type, such as {type: chat, ..}")
    kind = value.get("type")
    if kind is None:
        raise problem("has no type", f"add type: {listed(STEP_TYPES)}")
    if not isinstance(kind, str) or kind not in STEP_TYPES:
        near = did_you_mean(kind, STEP_TYPES) if isinstance(kind, str) else None
        way = f"did you mean '{near}'?" if near else f"the types are {listed(STEP_TYPES)}"
        raise problem(f"no step type is named {quoted(kind)}", way, "type")
    return value


Step = Annotated[
    Union[  # noqa: UP007 - a union of annotated names that Pydantic discriminates
        ChatStep, EmbeddingsStep, RetrievalStep, GuardrailStep, ToolStep, HumanStep, WaitStep, MapStep, LoopStep,
        WorkflowStep,
    ],
    Field(discriminator="type"),
]  # fmt: skip
StepField = Annotated[Step, BeforeValidator(_typed)]


class Defaults(Model):
    """What holds for the steps that do not say otherwise."""

    model: Line | None = None
    backend: Line | None = None
    retry: Retry | None = None
    timeout: TimeoutField | None = None


class Budget(Model):
    """Bounds on a run: tokens, dollars, and the moment by which the answer must be there (s)."""

    tokens: PositiveTokens | None = None
    usd: Usd | None = None
    deadline: PositiveSeconds | None = None


class Workflow(Model):
    """A workflow: steps by name, and what holds for all of them."""

    schema_version: Literal[1] = 1
    name: Line
    description: Prose = ""
    source: Prose = ""
    defaults: Defaults = Defaults()
    budget: Budget | None = None
    answer: Identifier | None = None
    steps: Annotated[dict[Identifier, StepField], Field(min_length=1)]


MapStep.model_rebuild()
LoopStep.model_rebuild()
Workflow.model_rebuild()

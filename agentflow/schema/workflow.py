"""The workflow document: a DAG of steps, with budgets."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, Literal, Union

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from agentflow.errors import did_you_mean, listed, quoted
from agentflow.schema._base import Items, Model, problem
from agentflow.schema.calls import (
    ZERO,
    Catch,
    CircuitBreaker,
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
from agentflow.shown import html_of


class StepBase(Model):
    """What all steps have."""

    needs: Items[Reference] = ()
    """Steps that come before this one; `triage.billing` names a route of a step."""
    description: Prose = ""
    """For readers."""
    outcome: Identifier | None = None
    """How a run is counted that ends here, such as `escalated`, instead of `answered`."""
    catch: Items[Catch] = ()
    """Where to go on when this step fails with certain errors."""


class CallStep(StepBase):
    """What all steps have that take time by themselves."""

    join: Join = "all"
    """When a step with several needs starts: `all`, `any`, or `{quorum: 2}`; the others are cancelled."""
    errors: Errors = Field(default={})
    """Probability of each error in an attempt, added to the backend's own."""
    timeout: TimeoutField | None = None
    """Bound on an attempt: `30s`, or `{attempt: 30s, idle: 5s}`."""
    retry: Retry | None = None
    """How failed attempts are tried again: a preset, a policy, or a list of them from inside to outside."""
    hedge: Hedge | None = None
    """A second call when the first takes long: `{after: 2s, max_hedges: 1}`."""
    circuit_breaker: CircuitBreaker | None = None
    """When to stop sending for a while: `{failures: 5, open_for: 30s}`; shared by all runs, under load."""
    routes: Routes = Field(default={})
    """Ways on and their probabilities, which add up to 1."""


class ModelFields(CallStep):
    """What all steps have that call a model."""

    model: Line | None = None
    """The LLM's name; by default that of `defaults`."""
    backend: Line | None = None
    """Where the call goes; by default that of `defaults` or of the command."""
    input_tokens: Input = InputTokens()
    """Input: a distribution, or `{own: .., from: {STEP: share}, history: true}`."""
    cached_input_tokens: CountDistribution | None = None
    """Tokens of the input that the backend has seen before, where it caches."""
    output_tokens: CountDistribution
    """Visible output, drawn anew by each attempt."""
    reasoning_tokens: CountDistribution | None = None
    """Hidden output before the first visible token: waited for, paid, not shown."""
    effort: Identifier | None = None
    """How hard a reasoning model thinks, such as `low` or `high`, where `reasoning_tokens` does not say."""
    max_tokens: PositiveTokens | None = None
    """Bound on reasoning and output together."""
    media: Media | None = None
    """Images and sound in the input, as tokens."""
    stream: bool | None = None
    """Whether the user sees this step's tokens as they come."""
    fallbacks: Items[Fallback] = ()
    """Other models or backends to go on with when the retries are used up."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """In a backend's `priority` queue: the higher, the sooner."""


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
    """Its own latency; without it the step calls a model."""
    output_tokens: CountDistribution = ZERO


class GuardrailStep(ModelFields):
    """A check that may reject; `blocking: false` runs it beside the steps that need it."""

    type: Literal["guardrail"] = "guardrail"
    blocking: bool = True
    """Whether what needs it waits for it; if not, a rejection cancels what ran beside it."""
    latency: DurationDistribution | None = None
    """Its own latency; without it the step calls a model."""
    output_tokens: CountDistribution = Constant(value=1.0)
    """Visible output, drawn anew by each attempt."""


class ToolStep(CallStep):
    """A tool by its latency; `output_tokens` are what it hands on."""

    type: Literal["tool"] = "tool"
    latency: DurationDistribution
    """How long the tool takes."""
    output_tokens: CountDistribution = ZERO
    """Tokens that it hands on to steps that take their input from it."""


class HumanStep(CallStep):
    """A person by their latency."""

    type: Literal["human"] = "human"
    latency: DurationDistribution
    """How long the person takes."""
    output_tokens: CountDistribution = ZERO
    """Tokens that the person hands on to steps that take their input from it."""


class WaitStep(CallStep):
    """A wait."""

    type: Literal["wait"] = "wait"
    duration: DurationDistribution
    """How long it waits."""


class MapStep(StepBase):
    """A fan-out: `count` instances of a body, `max_concurrency` at a time."""

    type: Literal["map"] = "map"
    count: CountDistribution
    """How many instances, drawn in each run."""
    max_count: PositiveTokens | None = None
    """Largest number of instances, needed where `count` has none of its own."""
    max_concurrency: PositiveTokens | None = None
    """How many instances run at a time; all by default."""
    join: Join = "all"
    """Which instances it waits for: `all`, `any`, or `{quorum: 2}`."""
    steps: Annotated[dict[Identifier, StepField], Field(min_length=1)]
    """The body."""

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
    """When a loop with several needs starts."""
    max_iterations: PositiveTokens
    """The bound: every workflow ends."""
    continue_probability: Annotated[Any, PlainValidator(lambda v: _chances(v)), WithJsonSchema(
        {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]}
    )] = 1.0  # fmt: skip
    """Chance of another iteration: one number, or one after each iteration but the last."""
    steps: Annotated[dict[Identifier, StepField], Field(min_length=1)]
    """The body."""

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
    """When it starts, if it has several needs."""
    workflow: Annotated[Any, PlainValidator(lambda v: _document(v)), WithJsonSchema({"type": "string"})]
    """A name of the catalogue, or the path of a file in this document's folder."""


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
    """For steps without a model."""
    backend: Line | None = None
    """For steps without a backend: a profile, or a provider's name."""
    retry: Retry | None = None
    """For all steps that make calls."""
    timeout: TimeoutField | None = None
    """For all steps that make calls."""


class Budget(Model):
    """Bounds on a run: tokens, dollars, and the moment by which the answer must be there (s)."""

    tokens: PositiveTokens | None = None
    """A step that would start a call at or over this bound fails with `budget_exceeded`."""
    usd: Usd | None = None
    """The same in dollars."""
    deadline: PositiveSeconds | None = None
    """A run that is not answered by then is cut: outcome `deadline_exceeded`."""


class Workflow(Model):
    """A workflow: steps by name, and what holds for all of them."""

    schema_version: Literal[1] = 1
    """Version of the document's form."""
    name: Line
    """Its name."""
    description: Prose = ""
    """What it does, for readers."""
    source: Prose = ""
    """Where its structure and its figures come from, with date."""
    defaults: Defaults = Defaults()
    """What holds for the steps that do not say otherwise."""
    budget: Budget | None = None
    """Bounds on a run."""
    answer: Identifier | None = None
    """The step whose end is the answer and whose first token the user sees; by default the last."""
    steps: Annotated[dict[Identifier, StepField], Field(min_length=1)]
    """The steps by name."""

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the graph."""
        return html_of(self)


MapStep.model_rebuild()
LoopStep.model_rebuild()
Workflow.model_rebuild()

"""What all models share: frozen, strict, no unknown keys, and errors in plain words with a way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, Strict, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError

T = TypeVar("T")

# A problem found inside a written value: its place below that value, what is wrong, the way out.
Found = tuple[tuple[str | int, ...], str, str]
PROBLEMS = "problems"  # the type of our own errors among Pydantic's

# A list in a document or in Python, a tuple in the model.
Items = Annotated[tuple[T, ...], Strict(False)]


def problems(found: Iterable[Found]) -> PydanticCustomError:
    """Make the error that carries problems through Pydantic; the documents give each its line and column."""
    every = tuple(found)
    text = "; also ".join(f"{'.'.join(map(str, at))}{': ' if at else ''}{what}; {way}" for at, what, way in every[:8])
    return PydanticCustomError(PROBLEMS, "{text}", {"text": text, "found": every})


def problem(message: str, hint: str, *at: str | int) -> PydanticCustomError:
    """Make the error of a single problem, at a place below the value that is being read."""
    return problems([(at, message, hint)])


class Model(BaseModel):
    """A frozen, strict model that refuses unknown keys.

    Attributes
    ----------
    later : dict
        Keys that a later version will have, each with the text that refuses it.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        populate_by_name=True,
        protected_namespaces=(),
    )
    later: ClassVar[Mapping[str, str]] = {}
    # Builds the JSON Schema of the short forms that users may write in place of the mapping.
    short_forms: ClassVar[tuple[dict[str, Any], ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the short forms to the JSON Schema of the mapping."""
        schema = handler(core_schema)
        if not cls.short_forms:
            return schema
        return {"anyOf": [*cls.short_forms, schema]}


def written_form(annotation: Any) -> tuple[dict[str, Any], ...]:
    """Return the JSON Schema of an annotated scalar or distribution, as a short form of a mapping."""
    found = [part.json_schema for part in annotation.__metadata__ if isinstance(part, WithJsonSchema)]
    return tuple(schema for schema in found if schema is not None)


def checked(parse: Callable[[Any], T], hint: str) -> Callable[[Any], T]:
    """Turn a parser that raises ValueError into a Pydantic validator with a way out."""

    def validate(value: Any) -> T:
        try:
            return parse(value)
        except ValueError as error:
            raise problem(str(error), hint) from None

    return validate

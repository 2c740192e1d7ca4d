"""The quantities of hardware documents: sizes, bandwidths, computing speeds, powers, shares, dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from agentflow import units
from agentflow.errors import did_you_mean, listed, quoted
from agentflow.schema._base import checked, problem

T = TypeVar("T")
DtypeName = Literal["fp32", "bf16", "fp8", "int8", "fp4", "int4", "int3"]
DTYPES: tuple[str, ...] = get_args(DtypeName)
BYTES: dict[str, float] = {
    # four-bit formats carry a scale for each block of 16 or 32 weights
    "fp32": 4.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5625, "int4": 0.5625, "int3": 0.4375,
}  # fmt: skip


def _above_zero(parse: Callable[[Any], float], hint: str) -> Callable[[Any], float]:
    read = checked(parse, hint)

    def validate(value: Any) -> float:
        number = read(value)
        if number <= 0:
            raise problem("must be above 0", hint)
        return number

    return validate


def _share(value: Any) -> float:
    number = checked(units.parse_percent, "write a share above 0 and at most 1, such as 0.8 or 80%")(value)
    if not 0 < number <= 1:
        raise problem(f"must lie above 0 and be at most 1, but is {quoted(value)}", "write a share such as 0.8 or 80%")
    return number


def _dtype(value: Any) -> str:
    if value in DTYPES:
        return str(value)
    near = did_you_mean(value, DTYPES) if isinstance(value, str) else None
    hint = f"did you mean '{near}'?" if near else f"the dtypes are {listed(DTYPES)}"
    raise problem(f"no dtype is named {quoted(value)}", hint)


def _peaks(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not value:
        raise problem(f"must be a mapping, not {quoted(value)}", "write {bf16: 989 TFLOP/s, fp8: 1978 TFLOP/s}")
    read = _above_zero(units.parse_flops, "write a speed such as 989 TFLOP/s")
    made: dict[str, float] = {}
    for name, speed in value.items():
        near = did_you_mean(name, DTYPES) if isinstance(name, str) and name not in DTYPES else None
        if name not in DTYPES:
            hint = f"did you mean '{near}'?" if near else f"the dtypes are {listed(DTYPES)}"
            raise problem(f"no dtype is named {quoted(name)}", hint, str(name))
        try:
            made[name] = read(speed)
        except ValueError as error:
            raise problem(str(error), "write a speed such as 989 TFLOP/s", name) from None
    return made


_WRITTEN = WithJsonSchema({"type": ["number", "string"]})
Dtype = Annotated[DtypeName, PlainValidator(_dtype), WithJsonSchema({"enum": list(DTYPES)})]
Peaks = Annotated[
    dict[str, float],
    PlainValidator(_peaks),
    WithJsonSchema({
        "type": "object", "minProperties": 1, "additionalProperties": False,
        "properties": {name: {"type": ["number", "string"]} for name in DTYPES},
    }),
]  # fmt: skip
Bytes = Annotated[float, PlainValidator(_above_zero(units.parse_bytes, "write a size such as 80 GB")), _WRITTEN]
Bandwidth = Annotated[
    float, PlainValidator(_above_zero(units.parse_bandwidth, "write a bandwidth such as 3.35 TB/s")), _WRITTEN
]
Watts = Annotated[float, PlainValidator(_above_zero(units.parse_power, "write a power such as 700 W")), _WRITTEN]
TokenRate = Annotated[float, PlainValidator(_above_zero(units.parse_rate, "write a rate such as 20k tok/s")), _WRITTEN]
Parameters = Annotated[float, PlainValidator(_above_zero(units.parse_count, "write a number such as 70.6G")), _WRITTEN]
Utilisation = Annotated[float, PlainValidator(_share), WithJsonSchema({"type": ["number", "string"]})]
Factor = Annotated[float, Field(ge=0, le=1e9)]
Chips = Annotated[int, Field(ge=1, le=100_000)]


class OrName:
    """Marks a field whose value a document may give by its name in the catalogue; loading puts the document there.

    Parameters
    ----------
    kind : str
        `chip`, `model`, `engine` or `deployment`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def _check(self, value: Any) -> Any:
        if isinstance(value, str):
            raise problem(
                f"names the {self.kind} {quoted(value)}, which only a document can",
                f"write documents.load_{self.kind}({value!r})",
            )
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Refuse a bare name before the mapping is read."""
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Allow a name beside the mapping."""
        return {"anyOf": [{"type": "string"}, handler(schema)]}

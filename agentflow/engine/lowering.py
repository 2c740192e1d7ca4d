"""How the kernels reach their arrays: what numba has no words for, written down as LLVM instructions."""

from __future__ import annotations

import operator
from typing import Any

from llvmlite.ir import IntType
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, Signature, infer_global
from numba.extending import (
    infer_getattr,
    intrinsic,
    lower_builtin,
    lower_getattr_generic,
    models,
    register_model,
)

from agentflow.engine import state

INT32 = IntType(32)


class Reference(types.Type):
    """Address of a tuple of arrays: to pass the tuples by value is to push 350 words a call, and slow to compile."""

    def __init__(self, target: Any) -> None:
        super().__init__(name=f"Reference({target})")
        self.target = target


class Table(types.Type):
    """Rows of an array whose width is known: an index is an address, without strides and without a sign to look at.

    What is frozen does not change while the kernel runs, so that what was read from it need not be read again.
    """

    def __init__(self, dtype: Any, width: int, frozen: bool) -> None:
        super().__init__(name=f"Table({dtype}, {width}, {frozen})")
        self.dtype, self.width, self.frozen = dtype, width, frozen


@register_model(Reference)
class _ReferenceModel(models.OpaqueModel):
    """A bare pointer."""


@register_model(Table)
class _TableModel(models.PrimitiveModel):
    """Address of the first row."""

    def __init__(self, manager: Any, kind: Table) -> None:
        super().__init__(manager, kind, manager.lookup(kind.dtype).get_data_type().as_pointer())


def _table_of(kind: Reference, field: str) -> Table | None:
    """Type of a field whose width the layout knows."""
    made = kind.target.instance_class
    array = kind.target.types[kind.target.fields.index(field)]
    width = state.WIDTHS.get(made, {}).get(field)
    return None if width is None else Table(array.dtype, width, made in state.FROZEN)


@infer_getattr
class _ReferenceAttributes(AttributeTemplate):
    """A reference has its tuple's fields."""

    key = Reference

    def generic_resolve(self, value, attribute):
        fields = value.target.fields
        if attribute not in fields:
            return None
        return _table_of(value, attribute) or value.target.types[fields.index(attribute)]


@lower_getattr_generic(Reference)
def _load_field(context, builder, kind, value, attribute):
    """Load what indexing needs of an array; nothing that runs below `simulate_block` changes it."""
    index = kind.target.fields.index(attribute)
    whole_type = context.get_value_type(kind.target)
    base = builder.gep(builder.bitcast(value, whole_type.as_pointer()), [INT32(0), INT32(index)])
    array = context.make_array(kind.target.types[index])(context, builder)
    stored = context.make_array(kind.target.types[index])(context, builder, ref=base)
    array.data = _load_frozen(builder, stored._get_ptr_by_name("data"))
    if _table_of(kind, attribute) is not None:
        return array.data
    for name in ("shape", "strides"):
        at = stored._get_ptr_by_name(name)
        parts = []
        for n in range(kind.target.types[index].ndim):
            parts.append(_load_frozen(builder, builder.gep(at, [INT32(0), INT32(n)])))
        setattr(array, name, cgutils.pack_array(builder, parts))
    return array._getvalue()


def _load_frozen(builder, pointer):
    """Load what does not change while the kernel runs."""
    got = builder.load(pointer)
    got.set_metadata("invariant.load", builder.module.add_metadata([]))
    return got


@infer_global(operator.getitem)
class _TableGet(AbstractTemplate):
    """Read from a table by its number, or by row and column; short integers are read as long ones."""

    def generic(self, args, keywords):
        table = args[0]
        if not isinstance(table, Table):
            return None
        return Signature(types.int64 if table.dtype == types.int32 else table.dtype, tuple(args), None)


@infer_global(operator.setitem)
class _TableSet(AbstractTemplate):
    """Write to a table."""

    def generic(self, args, keywords):
        table, index, _ = args
        if not isinstance(table, Table) or table.frozen:
            return None
        return Signature(types.none, (table, index, table.dtype), None)


def _address(context, builder, signature, arguments):
    """Address of an element."""
    table, kind = signature.args[:2]
    parts, kinds = [arguments[1]], [kind]
    if isinstance(kind, types.BaseTuple):
        parts, kinds = cgutils.unpack_tuple(builder, arguments[1]), kind.types
    at = [context.cast(builder, part, k, types.intp) for part, k in zip(parts, kinds, strict=True)]
    if len(at) == 2:
        at = [builder.add(builder.mul(at[0], at[0].type(table.width), flags=["nsw"]), at[1], flags=["nsw"])]
    return builder.gep(arguments[0], at, inbounds=True)


@lower_builtin(operator.getitem, Table, types.Integer)
@lower_builtin(operator.getitem, Table, types.BaseTuple)
def _read(context, builder, signature, arguments):
    pointer = _address(context, builder, signature, arguments)
    got = _load_frozen(builder, pointer) if signature.args[0].frozen else builder.load(pointer)
    return context.cast(builder, got, signature.args[0].dtype, signature.return_type)


@lower_builtin(operator.setitem, Table, types.Integer, types.Any)
@lower_builtin(operator.setitem, Table, types.BaseTuple, types.Any)
def _write(context, builder, signature, arguments):
    builder.store(arguments[2], _address(context, builder, signature, arguments))


@intrinsic
def reference(context, x):
    """Address of a tuple's copy on the stack."""

    def generate(context, builder, signature, arguments):
        copy = cgutils.alloca_once_value(builder, arguments[0])
        return builder.bitcast(copy, cgutils.voidptr_t)

    return Reference(x)(x), generate

"""Constants of the random numbers, the inverse normal and the exponential function, scalar and four at a time."""

from __future__ import annotations

from decimal import Decimal, localcontext
from math import log
from typing import Any

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MUL1 = np.uint64(0xBF58476D1CE4E5B9)
MUL2 = np.uint64(0x94D049BB133111EB)
TOP_BIT = np.uint64(1 << 63)
UNIT = 2.0**-53

NORMAL_OFFSET = (1023 - 54) << 5
NORMAL_MASK = (1 << 47) - 1
NORMAL_ONE = 1023 << 52

EXP_ROUND = 1.5 * 2.0**52
EXP_INVERSE = 128.0 / log(2.0)
EXP_HIGH = float.fromhex("0x1.62e42fef80000p-8")


def _exp_table() -> tuple[float, Any]:
    """Low part of ln(2)/128, and the bits of 2**(i/128) and of its relative remainder, in turns, from 50 digits."""
    with localcontext() as context:
        context.prec = 50
        ln2 = Decimal(2).ln()
        exact = [(ln2 * i / 128).exp() for i in range(128)]
        near = [float(x) for x in exact]
        tail = [float((x - Decimal(y)) / Decimal(y)) for x, y in zip(exact, near, strict=True)]
        return float(ln2 / 128 - Decimal(EXP_HIGH)), np.column_stack([near, tail]).ravel().view(np.int64)


EXP_LOW, EXP_PAIRS = _exp_table()

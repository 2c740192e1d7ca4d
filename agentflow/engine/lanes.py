"""Four draws at a time: the lognormal draws of a plain call, in the four lanes of a vector.

The same operations in the same order as `kernel.mix`, `kernel.normal_draw` and `kernel.exp`, to the bit; LLVM turns
them into whatever vectors the processor has. Lanes are, in order: input tokens, TTFT, decode rate, output tokens.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from agentflow.engine import constants as C
from agentflow.plan import layout as L

LANES = 4
I32, I64 = ir.IntType(32), ir.IntType(64)
WORDS, FLOATS = ir.VectorType(I64, LANES), ir.VectorType(ir.DoubleType(), LANES)
FOUR = types.UniTuple(types.float64, LANES)

# what is added to a visit's key: its own input, then the quantities of its first attempt
KEYS = [n * int(C.GOLDEN) % 2**64 for n in (L.QV_INPUT, *(64 + q for q in (L.Q_TTFT, L.Q_RATE, L.Q_OUTPUT)))]


class Lanes:
    """Four values under way in a function that is being built; an operator adds an instruction."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def _with(self, instruction, other, **more):
        return Lanes(self.builder, instruction(self.value, self.like(other).value, **more))

    def like(self, other):
        """Make four of a constant."""
        if isinstance(other, Lanes):
            return other
        kind = FLOATS if isinstance(other, float) else WORDS
        return Lanes(self.builder, ir.Constant(kind, [kind.element(other)] * LANES))

    def __add__(self, other):
        return self._with(self.builder.fadd if self.value.type == FLOATS else self.builder.add, other)

    def __sub__(self, other):
        return self._with(self.builder.fsub if self.value.type == FLOATS else self.builder.sub, other)

    def __mul__(self, other):
        return self._with(self.builder.fmul if self.value.type == FLOATS else self.builder.mul, other)

    def __xor__(self, other):
        return self._with(self.builder.xor, other)

    def __and__(self, other):
        return self._with(self.builder.and_, other)

    def __or__(self, other):
        return self._with(self.builder.or_, other)

    def __lshift__(self, other):
        return self._with(self.builder.shl, other)

    def __rshift__(self, other):
        return self._with(self.builder.ashr, other)

    def unsigned_shift(self, other):
        """Shift right and fill with zeros."""
        return self._with(self.builder.lshr, other)

    def plus(self, a, b):
        """Add a times b, rounded once where the processor can."""
        product = self.like(a)._with(self.builder.fmul, b, flags=("contract",))
        return self._with(self.builder.fadd, product, flags=("contract",))

    def minus(self, a, b):
        """Subtract a times b, rounded once where the processor can."""
        product = self.like(a)._with(self.builder.fmul, b, flags=("contract",))
        return self._with(self.builder.fsub, product, flags=("contract",))

    def largest(self, other):
        """Take the larger of two, lane by lane; the other if a lane is not a number."""
        other = self.like(other)
        compare = self.builder.fcmp_ordered if self.value.type == FLOATS else self.builder.icmp_signed
        chosen = compare(">", self.value, other.value)
        return Lanes(self.builder, self.builder.select(chosen, self.value, other.value))

    def smallest(self, other):
        """Take the smaller of two, lane by lane."""
        chosen = self.builder.fcmp_ordered("<", self.value, other.value)
        return Lanes(self.builder, self.builder.select(chosen, self.value, other.value))

    def words(self):
        """Look at the bits."""
        return Lanes(self.builder, self.builder.bitcast(self.value, WORDS))

    def floats(self):
        """Take bits for numbers."""
        return Lanes(self.builder, self.builder.bitcast(self.value, FLOATS))

    def number(self):
        """Turn whole numbers into floats."""
        return Lanes(self.builder, self.builder.sitofp(self.value, FLOATS))

    def each(self):
        """Take the lanes apart."""
        return [self.builder.extract_element(self.value, I32(j)) for j in range(LANES)]


def join(builder, kind, parts):
    """Put four values into a vector."""
    value = ir.Constant(kind, ir.Undefined)
    for j, part in enumerate(parts):
        value = builder.insert_element(value, part, I32(j))
    return Lanes(builder, value)


def row(builder, pointer, at):
    """Load four floats that lie side by side."""
    got = builder.load(builder.bitcast(builder.gep(pointer, [at]), FLOATS.as_pointer()))
    got.align = 8
    got.set_metadata("invariant.load", builder.module.add_metadata([]))
    return got


def columns(builder, pointer, places):
    """Load four floats at each of four places and give them column by column."""

    def mixed(a, b, order):
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, LANES), [I32(j) for j in order]))

    rows = [row(builder, pointer, at) for at in places]
    even, odd = [0, 4, 2, 6], [1, 5, 3, 7]
    a, b = mixed(rows[0], rows[1], even), mixed(rows[0], rows[1], odd)
    c, d = mixed(rows[2], rows[3], even), mixed(rows[2], rows[3], odd)
    low, high = [0, 1, 4, 5], [2, 3, 6, 7]
    return [Lanes(builder, mixed(*pair, order)) for order in (low, high) for pair in ((a, c), (b, d))]


def mix(z):
    """`kernel.mix`."""
    z = (z ^ z.unsigned_shift(30)) * int(C.MUL1)
    z = (z ^ z.unsigned_shift(27)) * int(C.MUL2)
    return z ^ z.unsigned_shift(31)


def normal(builder, table, k):
    """`kernel.normal_draw`."""
    u = (k.unsigned_shift(11).number() + 0.5) * C.UNIT
    m = u.smallest(u.like(1.0) - u)
    bits = m.words()
    i = (((bits >> 47) - C.NORMAL_OFFSET).largest(0) << 3).each()
    t = (((bits & C.NORMAL_MASK) << 5) | C.NORMAL_ONE).floats() - 1.5
    n = columns(builder, table, i) + columns(builder, table, [builder.add(at, I64(LANES)) for at in i])
    t2 = t * t
    high = n[4].plus(t, n[5]).plus(t2, n[6])
    z = n[0].plus(t, n[1]).plus(t2, n[2].plus(t, n[3]).plus(t2, high))
    return (z.words() ^ (k & int(C.TOP_BIT))).floats()


def bounded_exp(builder, pairs, x):
    """`kernel.exp` for |x| <= 700."""
    shifted = x.like(C.EXP_ROUND).plus(x, C.EXP_INVERSE)
    k = shifted.words()
    n = shifted - C.EXP_ROUND
    r = x.minus(n, C.EXP_HIGH).minus(n, C.EXP_LOW)
    places = ((k & 127) << 1).each()
    near = join(builder, WORDS, [builder.load(builder.gep(pairs, [at])) for at in places])
    rest = join(builder, WORDS, [builder.load(builder.gep(pairs, [builder.add(at, I64(1))])) for at in places]).floats()
    scale = (near + ((k >> 7) << 52)).floats()
    r2 = r * r
    high = r.like(0.5).plus(r, 1.0 / 6.0).plus(r2, r.like(1.0 / 24.0).plus(r, 1.0 / 120.0))
    return scale.plus(scale, (rest + r).plus(r2, high))


def _constant(context, builder, array):
    """Address of a copy of an array of integers in the compiled code."""
    made = context.make_constant_array(builder, types.Array(types.intp, 1, "C"), array)
    return context.make_array(types.Array(types.intp, 1, "C"))(context, builder, made).data


@intrinsic
def four_normals(context, table, key):
    """Normal draws of the four quantities of a visit and its first attempt, from the visit's key."""

    def generate(context, builder, signature, arguments):
        keys = join(builder, WORDS, [arguments[1]] * LANES) + Lanes(builder, ir.Constant(WORDS, [I64(k) for k in KEYS]))
        return context.make_tuple(builder, FOUR, normal(builder, arguments[0], mix(keys)).each())

    return FOUR(table, key), generate


@intrinsic
def four_lines(context, table, at, z):
    """First row at `at`, plus the second times z: the logarithms of lognormals from their mu and sigma."""

    def generate(context, builder, signature, arguments):
        pointer, at, z = arguments
        z = join(builder, FLOATS, [builder.extract_value(z, j) for j in range(LANES)])
        mu, sigma = (Lanes(builder, row(builder, pointer, builder.add(at, I64(LANES * j)))) for j in range(2))
        return context.make_tuple(builder, FOUR, (mu + sigma * z).each())

    return FOUR(table, types.int64, z), generate


@intrinsic
def four_exps(context, table, at, y):
    """Third row at `at`, plus the fourth times e to the y, at least 0: the draws from their logarithms."""

    def generate(context, builder, signature, arguments):
        pointer, at, y = arguments
        y = join(builder, FLOATS, [builder.extract_value(y, j) for j in range(LANES)])
        shift, scale = (Lanes(builder, row(builder, pointer, builder.add(at, I64(LANES * j)))) for j in (2, 3))
        x = scale * bounded_exp(builder, _constant(context, builder, C.EXP_PAIRS), y) + shift
        return context.make_tuple(builder, FOUR, x.largest(0.0).each())

    return FOUR(table, types.int64, y), generate


def _at(builder, pointer, at):
    """Address of four elements that lie side by side from `at` on."""
    place = builder.gep(pointer, [at])
    return builder.bitcast(place, ir.VectorType(place.type.pointee, LANES).as_pointer())


@intrinsic
def put_lanes(context, table, at, x):
    """Write four floats, or four integers, side by side, from index `at` on."""

    def generate(context, builder, signature, arguments):
        pointer, at, x = arguments
        place = _at(builder, pointer, at)
        each = [builder.extract_value(x, j) for j in range(LANES)]
        if table.dtype == types.int32:
            each = [builder.trunc(one, I32) for one in each]
        builder.store(join(builder, place.type.pointee, each).value, place, align=8)
        return context.get_dummy_value()

    kind = types.int64 if table.dtype == types.int32 else table.dtype
    return types.none(table, types.int64, types.UniTuple(kind, LANES)), generate


@intrinsic
def add_lanes(context, table, at, x):
    """Add four floats to those that stand side by side from index `at` on."""

    def generate(context, builder, signature, arguments):
        pointer, at, x = arguments
        value = join(builder, FLOATS, [builder.extract_value(x, j) for j in range(LANES)])
        place = _at(builder, pointer, at)
        builder.store(builder.fadd(builder.load(place, align=8), value.value), place, align=8)
        return context.get_dummy_value()

    return types.none(table, types.int64, FOUR), generate


@intrinsic
def add_row(context, table, at, source, start):
    """Add four floats of `source`, from index `start` on, to those of `table` from `at` on."""

    def generate(context, builder, signature, arguments):
        pointer, at, other, start = arguments
        place, there = _at(builder, pointer, at), _at(builder, other, start)
        builder.store(builder.fadd(builder.load(place, align=8), builder.load(there, align=8)), place, align=8)
        return context.get_dummy_value()

    return types.none(table, types.int64, source, types.int64), generate


@intrinsic
def least_of_four(context, table, at):
    """Which of four floats side by side is the least, and whether it is not alone."""

    def generate(context, builder, signature, arguments):
        def least(x, order):
            there = builder.shuffle_vector(x, x, ir.Constant(ir.VectorType(I32, LANES), [I32(j) for j in order]))
            return builder.select(builder.fcmp_ordered("<", there, x), there, x)

        x = builder.load(_at(builder, *arguments), align=8)
        same = builder.fcmp_ordered("==", x, least(least(x, [2, 3, 0, 1]), [1, 0, 3, 2]))
        bits = builder.zext(builder.bitcast(same, ir.IntType(LANES)), I64)
        others = builder.and_(bits, builder.sub(bits, I64(1)))
        first = builder.cttz(bits, ir.IntType(1)(1))
        return context.make_tuple(builder, signature.return_type, [first, builder.icmp_unsigned("!=", others, I64(0))])

    return types.Tuple([types.int64, types.boolean])(table, types.int64), generate

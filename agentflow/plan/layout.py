"""Where each figure stands in the flat arrays that `agentflow.plan` writes and the kernel reads.

Columns are named by a prefix for the table: N node, S spec (a step with its places), P place (a spec at one
backend), B backend, R retry layer, E error, D distribution; F and V are the kernel's own state of a visit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
F64 = NDArray[np.float64]

LINE = 64
"""Bytes of a line of the cache."""

# components of the time on a path
COMPONENTS = (
    "client",
    "network",
    "queue",
    "prefill",
    "reasoning",
    "decode",
    "backoff",
    "tool",
    "human",
    "wait",
)
NCOMP = len(COMPONENTS)
(C_CLIENT, C_NETWORK, C_QUEUE, C_PREFILL, C_REASONING, C_DECODE, C_BACKOFF, C_TOOL, C_HUMAN, C_WAIT) = range(NCOMP)

# distribution families
(CONSTANT, LOGNORMAL, UNIFORM, DISCRETE, NORMAL, EXPONENTIAL, WEIBULL, GAMMA, QUANTILES, SAMPLES, MIXTURE) = range(11)
D_FAMILY, D_OFF, D_LEN = range(3)
D_P0, D_P1, D_SHIFT, D_SCALE = range(4)
DIST_FLOATS = 4

# quantities of a visit and of an attempt (docs/semantics.md)
QV_INPUT, QV_CACHED, QV_ROUTE, QV_HIT, QV_COUNT, QV_GO_ON = range(6)
(
    Q_TTFT,
    Q_OUTPUT,
    Q_RATE,
    Q_REASONING,
    Q_ERROR,
    Q_STALL,
    Q_STALL_TIME,
    Q_NETWORK,
    Q_NOISE,
    Q_RETRY_AFTER,
    Q_LATENCY,
) = range(11)
Q_JITTER = 16

# error kinds and where they strike
ERRORS = (
    "rate_limit",
    "timeout",
    "server_error",
    "content_filter",
    "invalid_output",
    "context_overflow",
    "budget_exceeded",
)
RATE_LIMIT, TIMEOUT, SERVER_ERROR, CONTENT_FILTER, INVALID_OUTPUT, CONTEXT_OVERFLOW, BUDGET_EXCEEDED = range(7)
AT_START, AT_FIRST, AT_END = range(3)
MAX_LAYERS = 3

# nodes
CALL, BEGIN, CHECK, IBEGIN, IEND, END = range(6)
(
    N_KIND,
    N_STEP,
    N_SPEC,
    N_SCOPE,
    N_MATE,
    N_PRED_LO,
    N_PRED_HI,
    N_JOIN,
    N_FLAGS,
    N_REF_LO,
    N_REF_HI,
    N_HIST,
    N_PREV,
    N_LIST_LO,
    N_LIST_HI,
    N_INDEX,
    N_LOSER_LO,
    N_LOSER_HI,
    N_GUARD_LO,
    N_GUARD_HI,
    N_CATCH,
    N_LABEL,
    N_SLOTS,
    N_SLOT_LO,
    N_KIND2,
) = range(25)
NODE_COLUMNS = 25
EDGE_COLUMNS = DIST_COLUMNS = LAYER_COLUMNS = ERROR_COLUMNS = 3
ERROR_FLOATS, LAYER_FLOATS, BACKEND_COLUMNS, BACKEND_FLOATS = 2, 6, 4, 21
LOOP, MAP, WORKFLOW = range(3)
ABSORB, TOP, STREAM, GUARDED, NO_STREAM, BILLED = 1, 2, 4, 8, 16, 32
JOIN_ALL = 0

# edges: how the source must have ended
# (0 and up: the route it must have taken; -10 and down: that of a guardrail beside)
EDGE_NEED, EDGE_CATCH, EDGE_BESIDE, EDGE_BESIDE_ROUTE = -1, -2, -3, -10

# specs
LAW_MODEL, LAW_LATENCY = range(2)
(
    S_LAW,
    S_COMP,
    S_INPUT,
    S_CACHED,
    S_PLACE_LO,
    S_PLACE_HI,
    S_LAYER_LO,
    S_LAYER_HI,
    S_ROUTE_LO,
    S_ROUTE_HI,
    S_HEDGES,
    S_PLAIN,
) = range(12)
SPEC_COLUMNS, SPEC_FLOATS = 12, 5
S_ATTEMPT, S_IDLE, S_HEDGE_AFTER, S_MEDIA, S_MAX_TOKENS = range(5)

(
    P_BACKEND,
    P_DRAW_LO,
    P_DRAW_HI,
    P_ERR_LO,
    P_ERR_HI,
    P_TAKES,
    P_REASONING,
    P_NETWORK,
    P_OUTPUT,
    P_SHAPE,
    P_EXTRAS,
) = range(11)
# of a plain call: for each of the four lanes (own input, TTFT, decode rate, output) its quantile table and how many
# points that has, 0 where it is lognormal; where the shape is odd, the lanes' distributions instead
P_POINTS, P_LENGTHS = 11, 15
PLACE_COLUMNS = 19
STRAIGHT, BENT, ODD, UNFIT = range(4)
VARIES, STALLS, MORE_DRAWS = 1, 2, 4
# the rest is for plain calls: bounds, law and prices, then the lanes' mu, sigma, shift and scale
(
    P_ERR_TOTAL,
    P_MAX_TOKENS,
    P_CONTEXT,
    P_LONGEST,
    P_TTFT_INPUT,
    P_PREFILL,
    P_PRICE_IN,
    P_PRICE_CACHED,
    P_PRICE_OUT,
    P_PRICE_REASONING,
    P_PRICE_CALL,
) = range(11)
P_LANES = 11
PLACE_FLOATS = P_LANES + 4 * DIST_FLOATS
NO_PLAIN, PLAIN_CALL, PLAIN_WAIT = range(3)

# laws of a backend; a table's rows lie in `table`: lengths, then queue, prefill and time per token at each
LAW_MEASURED, LAW_DEPLOYMENT, LAW_TABLE = range(3)
B_STALL_DIST, B_LAW, B_TABLE, B_LENGTHS = range(4)
(
    B_TTFT_INPUT,
    B_PREFILL,
    B_SD_RUN,
    B_SD_CALL,
    B_STALL,
    B_CONTEXT,
    B_HIT,
    B_CACHE_MIN,
    B_CACHE_BLOCK,
    B_PRICE_IN,
    B_PRICE_CACHED,
    B_PRICE_OUT,
    B_PRICE_REASONING,
    B_PRICE_CALL,
    B_WAITING,
    B_FIXED,
    B_SQUARE,
    B_TOKEN,
    B_GROWTH,
    B_JOULE_IN,
    B_JOULE_OUT,
) = range(21)

R_ATTEMPTS, R_ON, R_RESPECT = range(3)
R_INITIAL, R_FACTOR, R_MAX, R_JITTER, R_ADD, R_CAP = range(6)

E_KIND, E_AT, E_RETRY_AFTER = range(3)
E_CUM, E_AFTER = range(2)

# state of a visit
(F_START, F_END, F_CUT, F_OUT, F_FIRST, F_INPUT, F_FAILED) = range(7)
F_USE = 8
(U_INPUT, U_CACHED, U_OUTPUT, U_REASONING, U_COST, U_CALLS, U_ATTEMPTS, U_ENERGY) = range(8)
NUSE = 8
F_COMP = F_USE + NUSE
STATE_COLUMNS = F_COMP + 16  # whole lines of the cache
(V_STATUS, V_STAMP, V_FORCED, V_BACKEND, V_CRIT, V_FALLBACK, V_AT, V_PLAIN, V_ROUTE, V_ERR) = range(10)
VISIT_COLUMNS = 10
NONE, DONE, SKIPPED, CAUGHT, FAILED, ABSORBED, CANCELLED, WIPED = range(8)

OUTCOMES = ("answered", "fallback", "failed", "deadline_exceeded", "budget_exceeded")
ANSWERED, FALLBACK, RUN_FAILED, DEADLINE_EXCEEDED, RUN_BUDGET = range(5)


class Tables(NamedTuple):
    """The arrays of a plan that the kernel reads; see the column names above.

    node_i int32[N, 25]; node_p float64[N] (go-on probability of a CHECK); node_hash uint64[N];
    pred_i int32[E, 3] (source, kind or route, error mask); ref_i int32[., 2] (value, visit that must be done) with
    ref_f float64[.]; lists int32[.] (values that a CHECK or END adds up); losers, guards int32[.];
    totals float64[4]: deadline (s), token bound, dollar bound (inf where there is none), the answer's node or -1.
    """

    node_i: I32
    node_p: F64
    node_hash: U64
    pred_i: I32
    ref_i: I32
    ref_f: F64
    lists: I32
    losers: I32
    guards: I32
    spec_i: I32
    spec_f: F64
    place_i: I32
    place_f: F64
    draw_i: I32
    error_i: I32
    error_f: F64
    layer_i: I32
    layer_f: F64
    route_f: F64
    backend_i: I32
    backend_f: F64
    backend_key: U64
    dist_i: I32
    dist_f: F64
    table: F64
    normal: F64
    totals: F64


# totals by step: executions, seconds, then the columns F_USE and F_COMP of a visit
ST_EXECUTIONS, ST_LATENCY, ST_USE = 0, 1, 4
ST_COMP = ST_USE + NUSE
STEP_COLUMNS = ST_COMP + NCOMP + 2

# counters of the kernel's state, and how many nodes and steps there are
K_VISITED, K_REDO, K_RUN, K_STAMP, K_MARK, K_NODES, K_STEPS, K_BEYOND, K_PRICED, K_POWERED = range(10)
COUNTERS = 10


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy that begins with a line of the cache, as a row of its table then does."""
    memory = np.empty(array.nbytes + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    made = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made

"""The inverse normal distribution function, as a table of polynomials that the kernel reads without a branch.

Each of the octaves of min(u, 1 - u) below 1/2 is cut into 32 pieces; in each a polynomial of degree 6 agrees with AS241
to about 1e-15. A lookup costs half of what AS241 costs, whose tails are a branch that 15 % of the draws take.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from agentflow.plan.layout import F64, aligned

OCTAVES = 54
PIECES = 32
DEGREE = 6

# Wichura, AS241, PPND16: numerator and denominator, highest power first, of the centre and the two tails
_CENTRE = (
    [2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0],
    [5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0],
)  # fmt: skip
_NEAR = (
    [7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0],
    [1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0],
)  # fmt: skip
_FAR = (
    [2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0],
    [2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0],
)  # fmt: skip


def _ratio(table: tuple[list[float], list[float]], r: F64) -> F64:
    return np.asarray(np.polyval(table[0], r) / np.polyval(table[1], r), dtype=np.float64)


def lower_normal(u: F64) -> F64:
    """Inverse normal distribution function for u in (0, 1/2] (Wichura 1988, Applied Statistics 37, AS241)."""
    q = u - 0.5
    centre = q * _ratio(_CENTRE, 0.180625 - q * q)
    r = np.sqrt(-np.log(u))
    tail = np.where(r <= 5.0, _ratio(_NEAR, r - 1.6), _ratio(_FAR, r - 5.0))
    return np.where(np.abs(q) <= 0.425, centre, -tail)


@lru_cache(maxsize=1)
def polynomials() -> F64:
    """Return the coefficients, float64[54 * 32 + 1, 8]: by octave from 2**-54 up, then by piece; lowest power first.

    The variable is the place in the piece, from -1/2 to 1/2.
    """
    nodes = 0.5 * np.cos((2 * np.arange(DEGREE + 1) + 1) * np.pi / (2 * DEGREE + 2))
    piece = np.arange(OCTAVES * PIECES + 1)
    low = np.ldexp(1.0 + (piece % PIECES) / PIECES, piece // PIECES - OCTAVES)
    width = np.ldexp(1.0 / PIECES, piece // PIECES - OCTAVES)
    u = np.minimum(low[:, None] + width[:, None] * (nodes + 0.5), 0.5)
    table = np.zeros((len(piece), 8))
    table[:, : DEGREE + 1] = np.linalg.solve(np.vander(nodes, increasing=True), lower_normal(u).T).T
    return aligned(table)

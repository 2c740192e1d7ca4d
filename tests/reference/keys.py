"""Random numbers of a run: docs/semantics.md, "Random numbers", in plain integers."""

from __future__ import annotations

from hashlib import blake2b
from statistics import NormalDist

MASK = (1 << 64) - 1
G = 0x9E3779B97F4A7C15

# Quantities of a visit.
OWN_INPUT, CACHED_INPUT, ROUTE, CACHE_HIT, MAP_COUNT, GO_ON = range(6)
# Quantities of an attempt.
TTFT, OUTPUT, RATE, REASONING, ERROR, STALL, STALL_TIME, NETWORK, CALL_NOISE, RETRY_AFTER, LATENCY = range(11)
JITTER = 16

_STANDARD_NORMAL = NormalDist()


def mix(z: int) -> int:
    """SplitMix64's finaliser."""
    z &= MASK
    z ^= z >> 30
    z = z * 0xBF58476D1CE4E5B9 & MASK
    z ^= z >> 27
    z = z * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def run_key(seed: int, run: int) -> int:
    return mix(mix(seed + G) + run * G)


def text_hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def instance(path: str, indices: tuple[int, ...]) -> int:
    key = text_hash(path)
    for index in indices:
        key = mix(key + (index + 1) * G)
    return key


def node_key(run: int, path: str, indices: tuple[int, ...]) -> int:
    return mix(run ^ instance(path, indices))


def node_draw(node: int, quantity: int) -> int:
    return mix(node + quantity * G)


def attempt_draw(node: int, attempt: int, quantity: int) -> int:
    return mix(node + (64 * (attempt + 1) + quantity) * G)


def backend_draw(run: int, name: str) -> int:
    return mix(run ^ text_hash(f"backend:{name}"))


def sub_key(key: int, j: int) -> int:
    """The j-th further draw under one draw's key (mixtures and gammas)."""
    return mix(key + j * G)


def uniform(draw: int) -> float:
    return ((draw >> 11) + 0.5) * 2.0**-53


def normal(draw: int) -> float:
    return _STANDARD_NORMAL.inv_cdf(uniform(draw))


def normal_quantile(p: float) -> float:
    return _STANDARD_NORMAL.inv_cdf(p)

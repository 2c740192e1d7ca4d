"""The law of one call on a deployment, in the few numbers that a compiled plan carries, and measured curves.

``law: deployment`` compiles to seven numbers: waiting and handling, prefill seconds as a quadratic of the
prompt, seconds per output token as a line in the context. ``law: table`` interpolates measured TTFT and TPOT
by concurrency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentflow.errors import UsageError
from agentflow.hardware.capacity import check
from agentflow.hardware.serving import first_token, interference, prefill_time, running_sequences, token_time
from agentflow.schema.deployment import Deployment


@dataclass(frozen=True, slots=True)
class DeploymentLaw:
    """Seconds of one call at a steady load; all parameters are plain floats.

    Parameters
    ----------
    waiting : float
        Request handling and queueing, whatever the prompt (s).
    prefill_fixed, prefill_per_token, prefill_per_token_squared : float
        a + b n + c n² seconds for n prompt tokens.
    token_fixed, token_per_context : float
        d + e k seconds an output token at k tokens of context.
    """

    waiting: float
    prefill_fixed: float
    prefill_per_token: float
    prefill_per_token_squared: float
    token_fixed: float
    token_per_context: float

    def ttft(self, input_tokens: float, cached: float = 0.0) -> float:
        """Seconds to the first token; a cached prefix costs only what later tokens attend to."""
        b, c = self.prefill_per_token, self.prefill_per_token_squared
        new = max(input_tokens - cached, 0.0)
        return self.waiting + self.prefill_fixed + b * new + c * (input_tokens**2 - min(cached, input_tokens) ** 2)

    def tpot(self, context: float) -> float:
        """Seconds per output token at a context."""
        return self.token_fixed + self.token_per_context * context

    def decode(self, input_tokens: float, output_tokens: float) -> float:
        """Seconds from the first to the last token."""
        steps = max(output_tokens - 1, 0.0)
        return steps * self.tpot(input_tokens + output_tokens / 2)


def deployment_law(
    deployment: Deployment, concurrency: float = 1, input_tokens: float = 1000, output_tokens: float = 500
) -> DeploymentLaw:
    """Compile a deployment's law at a load.

    Parameters
    ----------
    deployment : Deployment
        Resolved.
    concurrency : float
        Requests in flight on all replicas.
    input_tokens, output_tokens : float
        What the other requests look like: their prefills are waited for and slow decoding down.

    Raises
    ------
    CapacityError
        If the deployment cannot exist, or not one such request fits.
    """
    check(deployment, input_tokens + output_tokens)
    running = running_sequences(deployment, concurrency, input_tokens, output_tokens)
    first = first_token(deployment, concurrency, input_tokens, output_tokens)
    fixed, linear, square = _quadratic(deployment)
    near, far = 1.0, float(max(deployment.model.context // 2, 2))
    low, high = token_time(deployment, running, near), token_time(deployment, running, far)
    slope = (high - low) / (far - near)
    shared = interference(deployment, running, input_tokens, output_tokens)
    middle = input_tokens + output_tokens / 2
    at_load = token_time(deployment, running, middle) + shared  # exact at the load, a line elsewhere
    return DeploymentLaw(first.server + first.queue, fixed, linear, square, at_load - slope * middle, slope)


def _quadratic(deployment: Deployment) -> tuple[float, float, float]:
    """Least relative squares of a + b n + c n², none negative, over prompts up to the model's context."""
    longest = max(min(deployment.model.context, 200_000), 64)
    prompts = np.geomspace(16, longest, 25)
    seconds = np.array([prefill_time(deployment, float(n)) for n in prompts])
    terms = [0, 1, 2]
    while True:
        columns = np.stack([prompts**k for k in terms], axis=1) / seconds[:, None]
        found, *_ = np.linalg.lstsq(columns, np.ones_like(seconds), rcond=None)
        if (found >= 0).all() or len(terms) == 1:
            break
        terms.pop(int(np.argmin(found)))
    values = dict(zip(terms, np.maximum(found, 0.0).tolist(), strict=True))
    return values.get(0, 0.0), values.get(1, 0.0), values.get(2, 0.0)


@dataclass(frozen=True, slots=True)
class TableLaw:
    """Measured TTFT and TPOT (s) at rising concurrencies, straight lines between them.

    Parameters
    ----------
    concurrency, ttft, tpot : tuple of float
        Of the same length, concurrency strictly rising.

    Raises
    ------
    UsageError
        If the columns do not match.
    """

    concurrency: tuple[float, ...]
    ttft: tuple[float, ...]
    tpot: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.concurrency, self.concurrency[1:], strict=False))
        if not self.concurrency or not rising or {len(self.ttft), len(self.tpot)} != {len(self.concurrency)}:
            raise UsageError("a table needs equally long columns of concurrency (rising), ttft and tpot")

    def at(self, concurrency: float) -> tuple[float, float]:
        """TTFT and TPOT at a concurrency; below the first row, its values.

        Raises
        ------
        UsageError
            Beyond the last row: what was not measured is not known.
        """
        if concurrency > self.concurrency[-1]:
            raise UsageError(
                f"the table ends at concurrency {self.concurrency[-1]:g}; {concurrency:g} was not measured"
            )
        return self._read(self.ttft, concurrency), self._read(self.tpot, concurrency)

    def _read(self, column: Sequence[float], concurrency: float) -> float:
        return float(np.interp(concurrency, self.concurrency, column))

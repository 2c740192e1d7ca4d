"""From what speed on is faster generation worth nothing to a reader, and what is it worth to an agent?

Claim: a person reads about 250 words a minute, which is some 6 tokens a second at 0.75 words a token, so no reader
needs more; an agent that writes 100,000 tokens before it shows any does (said by many; no single source).
From the shell: agentflow compare reasoning --backend cerebras --backend together

An answer of 500 tokens is read while it appears: the reader is done at max(last token, first token + reading time).
The agent makes 200 calls of 500 tokens one after the other, then shows that same answer. All at the TTFT of
together/llama-3.3-70b, whose speed alone is changed (log-sd of a call 0.2, assumed); then the real backends.
"""

from __future__ import annotations

import textwrap

import numpy as np

from agentflow import Backend, Result, load_backend, parse_workflow, simulate
from agentflow.estimate import Estimate, quantile_estimate
from agentflow.schema import LogNormal

READING = 250 / 60 / 0.75  # tokens a second
SPEEDS = (2, 4, 6, 8, 12, 25, 50, 100, 200, 400, 800, 1600, 3200)
REAL = ("together", "openai/gpt-4.1", "groq", "cerebras")
HEAD = "schema_version: 1\nname: reader\ndefaults: {model: llama-3.3-70b}\nsteps:\n"
ANSWER = "  answer: {type: chat, %sinput_tokens: 1500, output_tokens: 500}\n"
WORK = """\
  work:
    type: loop
    max_iterations: 200
    steps: {call: {type: chat, input_tokens: 1500, output_tokens: 500}}
"""
READER = parse_workflow(HEAD + ANSWER % "")
AGENT = parse_workflow(HEAD + WORK + ANSWER % "needs: [work], ")


def at(speed: float) -> Backend:
    """Return a backend whose calls have this speed, in tokens a second, as their median."""
    known = load_backend("together/llama-3.3-70b")
    assert known.law.measured is not None
    law = known.law.measured.model_copy(update={"decode_rate": LogNormal(mu=float(np.log(speed)), sigma=0.2)})
    return known.model_copy(update={"law": known.law.model_copy(update={"measured": law})})


def lag(result: Result) -> Estimate:
    """Return the p95 of what a reader waits while reading: the end less the first token less the reading time."""
    end = np.maximum(result.e2e_s, result.ttft_s + result.output_tokens / READING)
    return quantile_estimate(np.sort(end - result.ttft_s - result.output_tokens / READING), 0.95)


def main() -> None:
    """Print what each speed, then each real backend, means to a reader and to an agent."""
    print(f"a reader needs {500 / READING:.0f} s for 500 tokens at {READING:.1f} tokens a second\n")
    print(f"{'tokens a second':>22}  {'reader waits on (p95)':>24}  {'agent answers after (p50)':>28}")
    enough: list[int] = []
    minutes: dict[int, float] = {}
    for place in (*SPEEDS, *REAL):
        backend = at(place) if isinstance(place, int) else place
        waits = lag(simulate(READER, backend, runs=2_000, seed=5))
        ends = quantile_estimate(np.sort(simulate(AGENT, backend, runs=1_000, seed=5).e2e_s), 0.5)
        assert ends.low is not None and ends.high is not None and waits.high is not None
        told = f"{ends.value / 60:.1f} [{ends.low / 60:.1f}, {ends.high / 60:.1f}] min"
        print(f"{place:>22}  {f'{waits.value:.1f} [{waits.low:.1f}, {waits.high:.1f}] s':>24}  {told:>28}")
        if isinstance(place, int):
            minutes[place] = ends.value / 60
            enough += [place] if waits.high <= 1.0 else []
    first = min(enough)
    slower, medium, fast = (minutes[s] - minutes[2 * s] for s in (25, 100, 800))
    verdict = (
        f"Verdict: from {first} tokens/s on, faster is worth less than a second to 95 % of readers. The agent "
        f"that shows its first token after 100,000 others gains {slower:.0f} min from 25 to 50 tokens/s, "
        f"{medium:.1f} min from 100 to 200 and {fast:.1f} min from 800 to 1,600; below "
        f"{minutes[SPEEDS[-1]]:.1f} min it waits for its 201 first tokens."
    )
    print("\n" + textwrap.fill(verdict, 100))


if __name__ == "__main__":
    main()

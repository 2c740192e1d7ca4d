"""Continuous batching, step by step, in plain Python."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.engine.batching import Replica


@dataclass(eq=False)
class Request:
    arrival: float
    prompt: int
    output: int
    computed: int = 0
    written: int = 0
    first: float = 0.0
    last: float = 0.0

    @property
    def left(self) -> int:
        """Tokens to compute until the next one comes out."""
        return self.prompt + self.written - self.computed


def serve(replica: Replica, requests: list[Request]) -> tuple[int, int]:
    """Serve them; return steps and preemptions."""
    coming, waiting, running = list(requests), [], []  # type: ignore[var-annotated]
    t, steps, preemptions = 0.0, 0, 0

    def blocks(request: Request, new: int = 0) -> int:
        return -(-(request.computed + new) // replica.block_tokens)

    while coming or waiting or running:
        if not waiting and not running:
            t = max(t, coming[0].arrival)
        while coming and coming[0].arrival <= t:
            waiting.append(coming.pop(0))
        budget, work, preempted = replica.max_batched_tokens, {}, False
        held = {request: blocks(request) for request in running}
        for request in list(running):
            if budget == 0 or request not in running:
                break
            new = min(request.left, budget)
            while blocks(request, new) - held[request] > replica.kv_blocks - sum(held.values()):
                victim = running.pop()
                del held[victim]
                victim.computed = 0
                waiting.insert(0, victim)
                preemptions += 1
                preempted = True
                if victim is request:
                    break
            if request not in running:
                break
            held[request] = blocks(request, new)
            work[request] = new
            budget -= new
        while waiting and not preempted and budget > 0 and len(running) < replica.max_sequences:
            if len(work) < len(running):
                break
            request = waiting[0]
            new = min(request.left, budget)
            if blocks(request, new) > replica.kv_blocks - sum(held.values()):
                break
            waiting.pop(0)
            running.append(request)
            held[request], work[request] = blocks(request, new), new
            budget -= new
        context = sum(request.computed + new for request, new in work.items())
        t += replica.fixed + replica.per_sequence * len(work)
        t += max(replica.weights, replica.per_token * sum(work.values())) + replica.per_context * context
        steps += 1
        for request, new in work.items():
            request.computed += new
            if request.left > 0:
                continue
            request.written += 1
            request.first = request.first or t
            if request.written == request.output:
                request.last = t
                running.remove(request)
    return steps, preemptions

"""What runs share: the slots of backends, one pool for each backend or for several that name the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.errors import PlanError
from agentflow.schema import Backend


@dataclass(frozen=True)
class Resource:
    """Slots that one backend or several share.

    Parameters
    ----------
    name : str
        The backend's, or what several share it by.
    backends : tuple of int
        Rows of the plan's backends that draw on it.
    concurrency : int
        Calls in service at once.
    queue : str
        Who is next: `fifo`, `priority`, `sjf`, `las` or `age`.
    max_queue : int, optional
        Calls that may wait; what comes then is turned away.
    per_tenant : bool
        Whether each tenant has slots of its own.
    """

    name: str
    backends: tuple[int, ...]
    concurrency: int
    queue: str = "fifo"
    max_queue: int | None = None
    per_tenant: bool = False


def resources_of(backends: Sequence[Backend]) -> tuple[Resource, ...]:
    """Collect the capacities of a plan's backends, in the order of its rows.

    Raises
    ------
    PlanError
        If two backends share a capacity and differ in it.
    """
    found: dict[str, Resource] = {}
    first: dict[str, Backend] = {}
    for row, backend in enumerate(backends):
        capacity = backend.capacity
        if capacity is None:
            continue
        name = capacity.shared or backend.name
        before = found.get(name)
        if before is not None and first[name].capacity != capacity:
            raise PlanError(
                f"backends {first[name].name} and {backend.name} share the capacity {name}, but say different things "
                "of it; write the same capacity in both"
            )
        first.setdefault(name, backend)
        made = Resource(
            name,
            (*(before.backends if before else ()), row),
            capacity.concurrency,
            capacity.queue,
            capacity.max_queue,
            capacity.per == "tenant",
        )
        found[name] = made
    return tuple(found.values())

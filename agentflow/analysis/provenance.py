"""What a result stands on: the date, the status and the assumed figures of the profiles that it used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agentflow.analysis.trends import measured_on
from agentflow.errors import listed
from agentflow.schema import Backend

KEY = "profiles"
"""Where a result's manifest keeps it."""


@dataclass(frozen=True)
class Profile:
    """One backend.

    Attributes
    ----------
    name, status
    as_of
        When it was measured, as 2026-02-10; None where it does not say.
    assumed
        The figures that its evidence calls assumed.
    carried_to
        The date to which trends carried it; None without any.
    """

    name: str
    as_of: str | None
    status: str
    assumed: tuple[str, ...]
    carried_to: str | None = None


def profiles_of(assignment: Mapping[str, Backend]) -> str:
    """Write for a manifest what the backends stand on."""
    found = {}
    for backend in assignment.values():
        assumed = {figure for item in backend.evidence if item.kind == "assumed" for figure in item.figures}
        begun = measured_on(backend)
        carried = None if begun == backend.as_of else str(backend.as_of)
        found[backend.name] = [None if begun is None else str(begun), backend.status, sorted(assumed), carried]
    return json.dumps(found, sort_keys=True)


def read_profiles(manifest: Mapping[str, str]) -> list[Profile]:
    """Read what `profiles_of` wrote."""
    rows = json.loads(manifest.get(KEY, "{}")).items()
    return [Profile(name, date, status, tuple(assumed), carried) for name, (date, status, assumed, carried) in rows]


def _dated(profile: Profile) -> str:
    """Write when a profile was measured, and to when it was carried."""
    if profile.as_of is None:
        return "without a date"
    return f"of {profile.as_of[:7]}" + (f" carried to {profile.carried_to[:7]}" if profile.carried_to else "")


def standing(profiles: Iterable[Profile]) -> str:
    """Say in a line when profiles were measured, which are of the past, and what in them is assumed."""
    found = list({profile.name: profile for profile in profiles}.values())
    if not found:
        return ""
    dates = Counter(_dated(p) for p in found)
    text = ", ".join(f"{n} {date}" if len(dates) > 1 else date for date, n in sorted(dates.items()))
    for status in ("retired", "historical"):
        names = [p.name for p in found if p.status == status]
        if names:
            text += f"; {status}" + ("" if len(names) == len(found) else f": {listed(names, 4)}")
    figures = Counter(figure for p in found for figure in {f.partition(".")[0] for f in p.assumed})
    if figures:
        ranked = sorted(figures.items(), key=lambda item: (-item[1], item[0]))
        parts = [name + ("" if n == len(found) else f" ({n} of {len(found)})") for name, n in ranked]
        text += f"; assumed in them: {', '.join(parts)}"
    return text

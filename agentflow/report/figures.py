"""How all pictures look, and how they are written; matplotlib is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentflow.atomic import write_whole
from agentflow.errors import UsageError

FORMATS = (".png", ".svg", ".pdf")
STYLE: Any = {
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "svg.hashsalt": "agentflow",
    "text.parse_math": False,
    "figure.facecolor": "white",
}
METADATA: dict[str, dict[str, Any]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def check_plot(path: Path) -> None:
    """Refuse a picture that cannot be written, before anything is simulated."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--plot {path}: the name must end in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.parent}")


def write_figure(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    """Draw on a figure of this size (inches), without a window, and write it whole or not at all."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        save_figure(path, figure)


def save_figure(path: Path, figure: Any) -> None:
    """Write a figure, whole or not at all; the suffix tells the format."""
    suffix = path.suffix.lower()
    write_whole(path, lambda file: figure.savefig(file, dpi=150, format=suffix[1:], metadata=METADATA[suffix]))

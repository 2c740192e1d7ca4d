"""One colour and one sign for each component, the same in every table, picture and page."""

from __future__ import annotations

from agentflow.units import format_usd

COLOURS = {
    "client": "#999999",
    "network": "#56B4E9",
    "queue": "#E69F00",
    "prefill": "#0072B2",
    "reasoning": "#CC79A7",
    "decode": "#009E73",
    "backoff": "#D55E00",
    "tool": "#F0E442",
    "human": "#5D3A9B",
    "wait": "#C8C8C8",
}
"""Colours after Okabe and Ito (2008), which people with any colour vision can tell apart."""

DARK = {"prefill": "#4D9FDB", "human": "#9B7BD4", "wait": "#8A8A8A"}
"""Lighter ones on a dark ground, for the colours that would vanish there."""

SIGNS = {
    "client": ("c", "c"), "network": ("·", "n"), "queue": ("░", "q"), "prefill": ("▒", "p"), "reasoning": ("▓", "r"),
    "decode": ("█", "d"), "backoff": ("×", "x"), "tool": ("▞", "t"), "human": ("◆", "h"), "wait": ("─", "-"),
}  # fmt: skip
"""What a bar is drawn with in a terminal, and where only ASCII can be printed."""


def seconds(x: float) -> str:
    """Write seconds with about three figures, without the unit."""
    if x != x or x in (float("inf"), float("-inf")):
        return "∞"
    if abs(x) >= 9_999_999.5:
        return f"{x:.3g}"  # half a year and more: nobody counts the digits
    if abs(x) >= 99.95:
        return f"{x:,.0f}"
    return f"{x:.1f}" if abs(x) >= 9.995 else f"{x:.2f}" if abs(x) >= 0.0995 else f"{x:.3f}"


def dollars(x: float) -> str:
    """Write an amount of US dollars."""
    return format_usd(x)


def share(x: float) -> str:
    """Write a share in per cent; near 0 and near 100 with more figures, so that neither looks reached."""
    percent = 100.0 * x
    size = abs(percent)
    if size in (0.0, 100.0):
        return f"{percent:.0f} %"
    if size < 0.1:
        return f"{percent:.2g} %"
    return f"{percent:.2f} %" if 99.95 <= size < 100.0 else f"{percent:.1f} %"


def portion(x: float) -> str:
    """Write a part of a whole in per cent, one figure after the point, so that a column of them adds up by eye."""
    return f"{100.0 * x:.1f} %".replace("-0.0 %", "0.0 %")


def count(x: float) -> str:
    """Write a count or a number of tokens."""
    for size, unit in ((1e12, ""), (1e9, "G"), (1e6, "M")):
        if x >= 0.9995 * size:
            return f"{x / size:.3g}{unit}" if unit and x < 1000 * size else f"{x:.3g}"
    return f"{x / 1000:,.1f}k" if x >= 9999.5 else f"{x:,.0f}" if x >= 99.95 else f"{x:.1f}"

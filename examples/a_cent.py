"""Inference gets 86 % cheaper a year: when does this workflow cost a cent?

Claim: the cost of inference falls by 86 % a year. We found no primary source of the figure; published ones differ
(a16z, "Welcome to LLMflation", 2024-11-12: a tenth each year; Epoch AI, 2025-03-12: 9 to 900 times, by task).
From the shell: agentflow run swe-agent --backend openai/gpt-4.1 --price-trend -86%/yr --when 18mo

The price today is simulated, the date follows from the trend, and the simulation is run once more with the prices of
that date: it has to say one cent. The interval is the simulation's; the trend's own doubt is far larger, so two others
stand beside it: 50 % (assumed), and the 90 % of a16z.
"""

from __future__ import annotations

import datetime
import math
import textwrap

from agentflow import Estimate, load_backend, simulate
from agentflow.analysis.setting import Setting
from agentflow.analysis.trends import DAYS_PER_YEAR, Trend, parse_trend
from agentflow.estimate import mean_estimate

CENT = 0.01
TRENDS = ("-86%/yr", "-50%/yr", "-90%/yr")
CASES = (
    ("support-triage", "openai/gpt-4.1"),
    ("research-report", "openai/gpt-4.1"),
    ("swe-agent", "openai/gpt-4.1"),
    ("swe-agent", "anthropic/claude-sonnet-4.5"),
    ("swe-agent", "anthropic/claude-opus-4.5"),
)


def reached(cost: float, trend: Trend, start: datetime.date) -> datetime.date:
    """Return the day on which a cost has fallen to a cent; before `start` where it costs less already."""
    return start + datetime.timedelta(days=math.log(CENT / cost) / math.log(trend.yearly) * DAYS_PER_YEAR)


def cost(workflow: str, backend: str, setting: Setting | None = None) -> Estimate:
    """Estimate the mean cost of a run."""
    result = simulate(workflow, backend, runs=5_000, seed=8, setting=setting)
    assert result.cost_usd is not None
    return mean_estimate(result.cost_usd)


def main() -> None:
    """Print the cost today and the month of the cent by trend, and check the first trend by simulation."""
    print(f"{'':47}{'$ a run':>25}  {'as of':8}" + "".join(f"{trend:>9}" for trend in TRENDS) + "  then")
    dates, checks = {}, []
    for workflow, name in CASES:
        now, start = cost(workflow, name), load_backend(name).as_of
        assert start is not None and now.low is not None and now.high is not None
        days = [reached(now.value, parse_trend(text), start) for text in TRENDS]
        then = cost(workflow, name, Setting(price=parse_trend(TRENDS[0]), when=days[0])).value
        checks.append(then)
        dates[f"{workflow} on {name}"] = days
        told = f"{now.value:.4f} [{now.low:.4f}, {now.high:.4f}]"
        print(
            f"{workflow + ' on ' + name:47}{told:>25}  {start:%Y-%m} "
            + "".join(f"{f'{day:%Y-%m}':>9}" for day in days)
            + f"  ${then:.4f}"
        )
    last = max(dates, key=lambda case: dates[case][0])
    worst, months = f"the dearest ({last})", [f"{day:%B %Y}" for day in dates[last]]
    verdict = (
        f"Verdict: at -86 % a year {worst} costs a cent in {months[0]}, at -50 % in {months[1]}: the trend "
        f"decides, not the simulation. At those prices the simulation says ${min(checks):.4f} to "
        f"${max(checks):.4f} a run. An extrapolation: no price list of that date exists."
    )
    print("\n" + textwrap.fill(verdict, 100))


if __name__ == "__main__":
    main()

"""What every test shares: warnings and floating-point errors are failures, nothing opens a window."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings

os.environ.setdefault("MPLBACKEND", "Agg")
np.seterr(divide="raise", over="raise", invalid="raise", under="ignore")

# A statistical or generated test is never retried: the same examples each time, and no clock decides.
settings.register_profile(
    "agentflow",
    deadline=None,
    derandomize=True,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate],  # shrinking a difference takes minutes; ask for it where you need it
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("agentflow")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's top folder."""
    return ROOT

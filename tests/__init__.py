"""Tests, and what they share: `tests.recorded`, `tests.reference`."""

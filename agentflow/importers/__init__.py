"""Readers of other tools' files: load tests and traces."""

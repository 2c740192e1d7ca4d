"""From measured requests to a profile."""

"""Where the seconds go, and what would help."""

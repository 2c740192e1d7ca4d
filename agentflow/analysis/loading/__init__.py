"""Many runs at once: arrivals, waits, objectives, capacity."""

"""What the runs of a scenario say: estimates with intervals, comparisons, gates."""

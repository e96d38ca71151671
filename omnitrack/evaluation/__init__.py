"""TAP-Vid datasets, metrics and baselines."""

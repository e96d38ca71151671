"""TAP-Vid data sets, metrics and baselines."""

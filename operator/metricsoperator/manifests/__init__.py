"""What the operator wants to exist, as plain dictionaries: pure functions of a MetricsCluster and the operator's settings."""

"""Reads what a retired cc-metric-store left: checkpoints (JSON, binary), write-ahead logs, archives (Parquet, zip).

Never writes, and knows nothing of a running store. The formats are those of ClusterCockpit/cc-backend v1.5.4, pkg/metricstore.
"""

"""The metric store: takes line protocol, keeps it durably, answers ClusterCockpit, DC/OS and Prometheus clients.

Imports go downwards: app, then api, then ingest and query, then engine, then memory, numeric and disk, then settings.
"""

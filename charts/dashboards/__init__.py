"""The Grafana dashboards of the chart, its README's table of values, and the schema of its MetricsCluster (`make generate`).

Dashboards are written here as rows of panels; `grafana` makes Grafana's JSON of them. They ask for metrics that store, agents
and operator expose, and for no others (tests/operatorpart/test_dashboards.py). Store and agents may both be scraped: `max by`
our own labels counts a sample once.
"""

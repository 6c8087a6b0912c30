"""What `metricscluster up` prints once everything runs: where it is, the token, three commands to try. Pure."""

import json
import shlex
from pathlib import Path

from metricscluster.ports import Ports, address


def text(
    *, cluster: str, host: str, ports: Ports, statsd: int, token: str, token_file: Path, directory: Path, interval: float
) -> str:
    """The guide; `interval` in seconds between samples, `host` the name that this machine's samples carry.

    `statsd`: the port for it, 0 where there is none.
    """
    bearer = f'-H "Authorization: Bearer $(cat {shlex.quote(str(token_file))})"'
    query = _query(cluster, host)
    store, ops, agent, metrics = (
        f"http://{address(port)}" for port in (ports.store, ports.store_ops, ports.agent, ports.agent_metrics)
    )
    return f"""
MetricsCluster {cluster} runs; Ctrl-C stops it.

  store   {store}   /api/query, /api/write, /system/v1/... (with the token)
          {ops}   /metrics, /healthz, /readyz
  agent   {agent}  /system/v1/metrics/v0/node (with the token)
          {metrics}  /metrics, /healthz, /readyz
          {f"udp://{address(statsd)}  StatsD" if statsd else "no StatsD (nodeAgent.statsd.enabled)"}
  token   {token}
          also in {token_file}
  data    {directory}

Three commands to try, {interval:g} seconds from now:

  curl -s {bearer} {store}/api/query -d {query}
  curl -s {bearer} {agent}/system/v1/metrics/v0/node
  curl -s {ops}/metrics | grep ^cpu_user
"""


def _query(cluster: str, host: str) -> str:
    """A word for the shell: the query for the load of the last five minutes."""
    queries = json.dumps([{"metric": "load_one", "host": host}])
    parts = (f'{{"cluster": {json.dumps(cluster)}, "from": ', ', "to": ', f', "queries": {queries}, "with-padding": false}}')
    head, middle, tail = (shlex.quote(part) for part in parts)
    return f"{head}$(($(date +%s)-300)){middle}$(date +%s){tail}"

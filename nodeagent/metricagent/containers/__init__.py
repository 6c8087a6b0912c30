"""Containers: cgroups found by walking the host's hierarchy, their files, the network of their pods.

No runtime is asked and no root is needed: cgroup files, /proc/<pid>/cgroup and /proc/<pid>/net/dev may be read by everyone.
"""

from metricagent.containers.containers import Containers

__all__ = ["Containers"]

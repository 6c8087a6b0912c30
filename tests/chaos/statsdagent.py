"""The agent as a program on a node where pods send from addresses of the loopback: `statsdagent.py --config ...`."""

import sys

from chaos.statsdflood import PODS
from metricagent import app
from metricagent.__main__ import main
from metricagent.pod import Pod, PodContainer
from metricagent.podobject import Described
from metricagent.pods import Pods


class KnownPods(Pods):
    """As if the API server had said it."""

    def __init__(self) -> None:
        super().__init__()
        self.replace([described(*pod) for pod in PODS.items()], 0)


def described(ip: str, id: str) -> Described:
    pod = Pod(f"uid-{ip}", f"pod-{ip}", "shop", ip, False, (PodContainer("app", id),))
    return Described(pod, ips=(ip,), ended=False, storage={})


if __name__ == "__main__":
    app.Pods = KnownPods  # type: ignore[misc]
    sys.exit(main())

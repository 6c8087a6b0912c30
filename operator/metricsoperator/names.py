"""Every name that the operator gives or looks for: the resource, its objects, labels, annotations, ports, paths.

Selectors of workloads are immutable in Kubernetes, and volumes are found by name: what is here may be added to, never changed.
"""

GROUP = "metricscluster.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "MetricsCluster"
PLURAL = "metricsclusters"
SINGULAR = "metricscluster"
SHORT_NAMES = ("mxc",)
CATEGORIES = ("metrics",)
NAME_PATTERN = (
    "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"  # Services are named after it, and a StatefulSet's name may have 52 characters
)
NAME_EXPECTED = "lower case letters, digits and -, beginning with a letter, not ending with -, 40 at most"

FIELD_MANAGER = "metricscluster-operator"  # fixed for good: server-side apply tells by it which fields are ours
HASH_ANNOTATION = f"{GROUP}/desired-hash"  # of the whole desired object: nothing is sent while it and the object agree
CLIENT_LABEL = f"{GROUP}/client"  # "true" on a pod: NetworkPolicies let it reach the store
MONITORED_LABEL = f"{GROUP}/monitored"  # "true" on the one Service of the store that monitors choose
CONFIG_ANNOTATION = f"{GROUP}/config-hash"  # on pod templates: new content of a ConfigMap rolls the pods
NAMESPACE_LABEL = f"{GROUP}/namespace"  # on objects without a namespace: that of the MetricsCluster they belong to

STORE = "store"
AGENT = "agent"

STORE_API_PORT = 8082
STORE_OPS_PORT = 8083
AGENT_API_PORT = 61001
AGENT_METRICS_PORT = 61091

PODS = "pods"  # the right to know the pods of the cluster, which agents need to name containers
REVIEWS = "reviews"  # the right to ask the API server whether a ServiceAccount may do something

AUDIENCE = "metricscluster"  # of the ServiceAccount tokens that the store accepts
CONFIG_DIRECTORY = "/etc/metricscluster/config"
CONFIG_FILE = f"{CONFIG_DIRECTORY}/config.json"
KEY_DIRECTORY = "/etc/metricscluster/keys"
USER_DIRECTORY = "/etc/metricscluster/users"
TLS_DIRECTORY = "/etc/metricscluster/tls"  # the store's certificate and key; of agents what they check it with
NATS_DIRECTORY = "/etc/metricscluster/nats"
TOKEN_DIRECTORY = "/var/run/secrets/metricscluster"  # noqa: S105 (a folder)
API_SERVER_DIRECTORY = "/var/run/secrets/apiserver"
STORE_DIRECTORY = "/var/lib/metricstore"
SPOOL_DIRECTORY = "/var/lib/metricagent"
HOST_PROC, HOST_SYS, HOST_ROOT = "/host/proc", "/host/sys", "/host/root"

PRIVATE_KEY = "private.key"
PUBLIC_KEY = "public.key"
ADMIN_TOKEN = "admin-token"  # noqa: S105 (an entry of the Secret)
AGENT_TOKEN = "agent-token"  # noqa: S105
LOGIN_PRIVATE_KEY = "login-private.pem"  # RSA, with which the store signs the tokens of those who log in
LOGIN_PUBLIC_KEY = "login-public.pem"
CERTIFICATE, CERTIFICATE_KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"  # entries of Secrets, as Kubernetes names them
NATS_CREDENTIALS, NATS_PASSWORD = "nats.creds", "password"
# The second place of a public key, or of a pair for logins: the next before a rotation, the one before after it, else the same.
OTHER_PUBLIC_KEY = "public-other.key"
OTHER_LOGIN_PRIVATE_KEY = "login-private-other.pem"
OTHER_LOGIN_PUBLIC_KEY = "login-public-other.pem"
NEXT_PRIVATE_KEY = "private-next.key"  # there while the next keys are announced
KEYS_ANNOTATION = f"{GROUP}/keys"  # on the Secret: which generation signs, and how far a rotation is
DATA_VOLUME = "data"


def store(name: str) -> str:
    """The StatefulSet, its client Service, ServiceAccount, ConfigMap and PodDisruptionBudget."""
    return f"{name}-store"


def store_headless(name: str) -> str:
    """The Service that governs the StatefulSet."""
    return f"{name}-store-headless"


def agent(name: str) -> str:
    """The DaemonSet, its Service, ServiceAccount and ConfigMap."""
    return f"{name}-agent"


def keys(name: str) -> str:
    """The Secret with the generated pairs and the admin token."""
    return f"{name}-keys"


def claim(name: str) -> str:
    """The store's volume claim, as the StatefulSet names it."""
    return f"{DATA_VOLUME}-{store(name)}-0"


def store_url(name: str, namespace: str, *, tls: bool) -> str:
    """Where clients in the cluster reach the store."""
    return f"{'https' if tls else 'http'}://{store(name)}.{namespace}.svc:{STORE_API_PORT}"


def cluster_role(prefix: str, right: str) -> str:
    """The chart's ClusterRole that grants a right."""
    return f"{prefix}-{right}"


def cluster_binding(name: str, namespace: str, role: str) -> str:
    """The ClusterRoleBinding by which a MetricsCluster has a ClusterRole; no two can be called the same: `:` is in no name."""
    return f"{role}:{namespace}:{name}"


def is_cluster_binding(binding: str, name: str, namespace: str) -> bool:
    """Whether a ClusterRoleBinding of this name can be that MetricsCluster's."""
    return bool(name and namespace) and binding.endswith(f":{namespace}:{name}")


def children(name: str) -> frozenset[str]:
    """The names of all objects that a MetricsCluster owns."""
    return frozenset({store(name), store_headless(name), agent(name), keys(name)})


def agent_subject(name: str, namespace: str) -> str:
    """The user that an agent's ServiceAccount token proves."""
    return f"system:serviceaccount:{namespace}:{agent(name)}"


def selector(name: str, component: str) -> dict[str, str]:
    """The labels by which the pods of a part are found; frozen."""
    return {
        "app.kubernetes.io/name": "metricscluster",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": component,
    }


def labels(name: str, component: str, version: str) -> dict[str, str]:
    """The labels of an object of ours. Nothing is copied from the resource: Argo CD would take the objects for its own."""
    return selector(name, component) | {
        "app.kubernetes.io/version": version,
        "app.kubernetes.io/part-of": "metricscluster",
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
    }

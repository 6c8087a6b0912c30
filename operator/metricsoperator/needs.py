"""The Secrets that a MetricsCluster names and its pods cannot begin without. Pure."""

from typing import NamedTuple

from metricsoperator import names
from metricsoperator.reasons import Reason
from metricsoperator.spec import MetricsCluster
from metricsoperator.trouble import Manifest, Trouble


class Need(NamedTuple):
    """An entry of a Secret ("" for any), and the field that names it."""

    secret: str
    entry: str
    field: str

    @property
    def holds(self) -> bool:
        """Whether pods cannot begin without it; they can without credentials for a registry."""
        return bool(self.entry)


def needs(cluster: MetricsCluster) -> list[Need]:
    """What has to be there. Secrets that may come later (users, keys of logins) are not among it."""
    spec = cluster.spec
    found = [Need(key.secret_name, key.key, f"spec.auth.publicKeys[{n}]") for n, key in enumerate(spec.auth.public_keys)]
    found += [Need(pull.name, "", f"spec.image.pullSecrets[{n}]") for n, pull in enumerate(spec.image.pull_secrets)]
    if spec.store.tls.secret_name:
        pair = (names.CERTIFICATE, names.CERTIFICATE_KEY)
        found += [Need(spec.store.tls.secret_name, entry, "spec.store.tls.secretName") for entry in pair]
    if spec.nats.credentials_secret:
        entry = names.NATS_PASSWORD if spec.nats.username else names.NATS_CREDENTIALS
        found.append(Need(spec.nats.credentials_secret, entry, "spec.nats.credentialsSecret"))
    if spec.nats.ca_secret:
        found.append(Need(spec.nats.ca_secret, names.AUTHORITY, "spec.nats.caSecret"))
    return found


def lacking(need: Need, namespace: str, secret: Manifest | None) -> Trouble | None:
    """What is wrong with a Secret that is needed; None when it has the entry."""
    if secret is None:
        text = f"{need.field} names Secret {need.secret}, which is not in namespace {namespace}; make it, or change the field"
    elif need.entry and need.entry not in secret.get("data", {}):
        text = f"{need.field} needs the entry {need.entry} of Secret {need.secret}, which lacks it; add it, or change the field"
    else:
        return None
    return Trouble(Reason.SECRET_MISSING, text)

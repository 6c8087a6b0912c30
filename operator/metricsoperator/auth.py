"""What a MetricsCluster may say about who may ask: whose tokens count, who may log in."""

from typing import Annotated

from msgspec import Meta

from metricsoperator.fields import Interval, ObjectName, OptionalName, Part, SecretKey, described, rule
from metricsoperator.names import LOGIN_PRIVATE_KEY, LOGIN_PUBLIC_KEY


class PublicKey(Part, frozen=True):
    """An Ed25519 public key (base64 of its 32 bytes) that tokens may be signed for, as ClusterCockpit has it."""

    secret_name: Annotated[ObjectName, described("Secret in the same namespace.")]
    key: Annotated[SecretKey, described("Entry of that Secret.")] = "jwt-public-key"


class LoginUsers(Part, frozen=True):
    """Who may log in as on DC/OS, with a password or a service account's key."""

    secret_name: Annotated[
        OptionalName,
        described(
            "Secret in the same namespace whose entries `metricscluster user add` makes; it may come later, and changes of it"
            " count without a restart. Empty: nobody can log in."
        ),
    ] = ""


class LoginKey(Part, frozen=True):
    """An RSA pair in PEM, of 2048 bits or more: the private half signs login tokens, the public one checks them."""

    secret_name: Annotated[ObjectName, described("Secret in the same namespace.")]
    private_key: Annotated[SecretKey, described("Entry with the private half; the store alone gets it.")] = LOGIN_PRIVATE_KEY
    public_key: Annotated[SecretKey, described("Entry with the public half.")] = LOGIN_PUBLIC_KEY


class GeneratedKeys(Part, frozen=True):
    """The keys in the Secret `<name>-keys`: made once, and anew when `generation` is raised."""

    generation: Annotated[
        int,
        Meta(ge=1, le=1_000_000),
        described(
            "Raised by one, it makes new keys and tokens in place of the present ones; status.keys says how far that is.",
            rules=[rule("self >= oldSelf", "spec.auth.keys.generation cannot be lowered: keys that are gone do not come back")],
        ),
    ] = 1
    overlap: Annotated[
        Interval,
        described(
            "How long the old keys count beside the new ones. New keys count for two minutes (for a shorter overlap: as long as"
            " that) before they sign, so that every store and agent has them by then."
        ),
    ] = "1h"


class Auth(Part, frozen=True):
    """Whose tokens are accepted, besides those of the generated key in the Secret `<name>-keys`."""

    kubernetes: Annotated[
        bool,
        described(
            "Whether ServiceAccount tokens of this cluster are accepted; without, agents use a token of the generated key."
        ),
    ] = True
    public_keys: Annotated[
        tuple[PublicKey, ...],
        Meta(max_length=16),
        described("Further keys whose tokens are accepted.", list_key="secretName key"),
    ] = ()
    login_users: Annotated[LoginUsers, described("Who may log in for a token, as on DC/OS.")] = LoginUsers()
    login_keys: Annotated[
        tuple[LoginKey, ...],
        Meta(max_length=4),
        described(
            "Keys of login tokens: the first signs, all count. None: the generated pair in the Secret `<name>-keys`. One that"
            " is not there does not count. A new one is put in front of the old, which goes when its tokens have ended.",
            list_key="secretName",
        ),
    ] = ()
    keys: Annotated[GeneratedKeys, described("The generated keys, and their rotation.")] = GeneratedKeys()
    anonymous_metrics: Annotated[bool, described("Whether the store's /metrics is served without a token.")] = True
    anonymous_agents: Annotated[
        bool, described("Whether the agents' DC/OS API answers without a token whoever reaches it.")
    ] = False

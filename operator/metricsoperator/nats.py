"""What a MetricsCluster may say about NATS: where it is, who store and agents are there, what the store takes from it."""

from typing import Annotated

from msgspec import Meta, field

from metricsoperator.fields import Name, OptionalName, Part, described, rule

_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_SERVER = rf"(nats|tls)://[A-Za-z0-9]([A-Za-z0-9.-]{{0,251}}[A-Za-z0-9])?(:{_PORT})?"

_WORD = r"[!-)+-\-/-=?-~]+"  # printable, but for `.`, `*` and `>`

Consumed = Annotated[
    str,
    Meta(
        pattern=rf"^((({_WORD}|\*)\.)*({_WORD}|\*|>))$",
        max_length=255,
        extra={"expected": "a NATS subject such as hpc-nats or metrics.>"},
    ),
]
Published = Annotated[
    str,
    Meta(
        pattern=rf"^({_WORD}(\.{_WORD})*)?$",
        max_length=255,
        extra={"expected": "a NATS subject without wildcards such as hpc-nats, or nothing"},
    ),
]
StreamName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]*$", max_length=255, extra={"expected": "letters, digits, _ and -, or nothing"})
]


class Subscription(Part, frozen=True):
    """A subject whose messages are lines for the store."""

    subject: Annotated[Consumed, described("Subject, with the wildcards of NATS.")]
    cluster: Annotated[Name, described("Cluster of lines that carry no such tag; empty: that of this resource.")] = ""
    stream: Annotated[
        StreamName,
        described(
            "JetStream stream that keeps the subject, so that nothing is lost while the store is away; it is yours, the store"
            " makes a consumer of it. Empty: core NATS, which sends a message once."
        ),
    ] = ""
    durable: Annotated[
        StreamName,
        described(
            "Name of that consumer; stores with the same share the messages. Empty: <namespace>_<name>, for this store alone."
        ),
    ] = ""


class Nats(Part, frozen=True):
    """NATS, from which the store takes lines, and to which agents send theirs with nodeAgent.delivery.by: NATS."""

    url: Annotated[
        str,
        Meta(
            pattern=rf"^({_SERVER}(,{_SERVER})*)?$",
            max_length=1024,
            extra={"expected": "nats://host:4222 or tls://host:4222, several with commas between, without a password"},
        ),
        described("Servers, nats://host:4222 or tls://host:4222, several with commas between; empty: no NATS."),
    ] = ""
    subscriptions: Annotated[
        tuple[Subscription, ...], Meta(max_length=32), described("What the store takes.", list_key="subject")
    ] = field(default=())
    username: Annotated[
        str,
        Meta(pattern=r"^[!-~]*$", max_length=255, extra={"expected": "a user name"}),
        described("User, whose password is the entry `password` of credentialsSecret. Empty: no password."),
    ] = ""
    credentials_secret: Annotated[
        OptionalName,
        described(
            "Secret in the same namespace with the login of store and agents: the entry `nats.creds` as nsc writes it, or with"
            " username the entry `password`. Changes count from the next connection on. Empty: no login."
        ),
    ] = ""
    ca_secret: Annotated[
        OptionalName,
        described(
            "Secret in the same namespace whose entry `ca.crt` the servers' certificates are checked with; nothing is then said"
            " without TLS. Empty: the system's authorities, where a server asks for TLS."
        ),
    ] = ""


RULES = [
    rule(
        "!has(self.subscriptions) || size(self.subscriptions) == 0 || (has(self.url) && self.url != '')",
        "spec.nats.url: expected NATS servers where there are subscriptions",
    ),
    rule(
        "!has(self.username) || self.username == '' || (has(self.credentialsSecret) && self.credentialsSecret != '')",
        "spec.nats.credentialsSecret: expected a Secret with the password of spec.nats.username",
    ),
]

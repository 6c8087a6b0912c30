"""Trust in the certificates of other servers.

Since 3.13 Python asks of a certificate authority what RFC 5280 does and OpenSSL by default does not, such as a key usage
extension. Many clusters' and people's own authorities lack it (kubernetes-client/python#2394); Go's clients and curl accept
them, and so do we.
"""

import ssl


def as_others_check(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context, checking chain, time and host name as before, but not the form of the authority's certificate."""
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context

"""Why a file, an address or a connection could not be used, in the words that a person expects."""

import os

import aiohttp


def why(error: Exception) -> str:
    """The cause, without addresses, tuples and class names of libraries."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not accepted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {why(error.os_error)}"
    if isinstance(error, OSError) and error.errno and error.errno > 0:  # below: getaddrinfo, which says it itself
        return os.strerror(error.errno)
    if isinstance(error, aiohttp.ClientOSError) and error.errno is None:
        return "the connection was lost"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__

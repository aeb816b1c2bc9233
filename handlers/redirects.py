"""Which redirect URLs shoppers may be sent to."""

from urllib.parse import urlsplit

from handlers.policy import Policy

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def allowed(url: str, policy: Policy) -> bool:
    """Only https, to a configured host if any are; http on loopback beside a local platform."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "http":
        return policy.loopback and host in LOOPBACK
    known = not policy.redirect_hosts or host in policy.redirect_hosts
    return parts.scheme == "https" and bool(host) and known

"""Which redirect URLs shoppers may be sent to."""

import re
from urllib.parse import urlsplit

from handlers.policy import Policy

# Browsers take a backslash for a slash: they would go to another host than the one we see.
AMBIGUOUS = re.compile(r"[\\@\s]")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def allowed(url: str, policy: Policy) -> bool:
    """Only https, to a configured host if any are; http on loopback beside a local platform."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if CONTROL.search(url) or AMBIGUOUS.search(parts.netloc):
        return False
    if parts.scheme == "http":
        return policy.loopback and host in LOOPBACK
    known = not policy.redirect_hosts or host in policy.redirect_hosts
    return parts.scheme == "https" and bool(host) and known

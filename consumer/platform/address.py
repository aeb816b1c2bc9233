"""Where the platform is: which base addresses we may send a secret key to."""

from __future__ import annotations

import ipaddress

import httpx


def base_url(address: str) -> str:
    """The address without a trailing slash.

    Raises ValueError unless it is `https`, or `http` to this very machine (PLATFORM §1.1: plain
    HTTP fails; over a network it would also show the key).
    """
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, TypeError) as error:
        raise ValueError("the platform's address is not a URL") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("the platform's address needs https:// and a host")
    if url.scheme == "http" and not is_loopback(url.host):
        raise ValueError("plain http is for loopback only; the platform's address needs https://")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("the platform's address takes no user, query or fragment")
    return str(url).rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine: localhost, 127.0.0.0/8, ::1."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def forwarded_for(address: str | None) -> str | None:
    """The `forwarded` header for a shopper's address (PLATFORM §1.2), or None if it is none.

    It only helps support: a strange address must not stand in an order's way.
    """
    try:
        shopper = ipaddress.ip_address((address or "").strip())
    except ValueError:
        return None
    return f"for={shopper}" if shopper.version == 4 else f'for="[{shopper}]"'

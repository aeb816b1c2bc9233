"""The settings' values: read from text, checked, and written again without secrets."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from consumer.signature import networks

Scope = Literal["shop", "operator", "read"]
SCOPES: dict[str, Scope] = {"shop": "shop", "operator": "operator", "read": "read"}
OLDEST_VERSION = date(2021, 3, 23)  # older ones have no payment sessions (DESIGN)
SHORTEST_TOKEN = 8
MASK = "********"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIGNING_PREFIX = "whsec_"
_CREDENTIALS = re.compile(r"(://[^/@:]*:)[^/@]*@")  # the password in a URL


class Token(NamedTuple):
    """A bearer token of the API: who may use it, and for what."""

    name: str
    scope: Scope
    secret: SecretStr


def seconds(value: Any) -> Any:
    """`45`, `45s`, `30m`, `12h` or `7d` as seconds; what is not text is left alone."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([smhd]?)", value.lower())
    if match is None:
        raise ValueError("must be a time such as 45s, 30m, 12h, 7d, or a number of seconds")
    return float(match[1]) * _UNITS[match[2]]


def duration(value: Any) -> Any:
    """The same as a timedelta."""
    return timedelta(seconds=seconds(value)) if isinstance(value, str) else value


def positive(value: timedelta) -> timedelta:
    """Longer than nothing, shorter than what a clock can add."""
    if not timedelta(0) < value <= timedelta(days=400):
        raise ValueError("must be longer than 0 and at most 400d")
    return value


def switch(value: Any) -> Any:
    """`on` or `off`."""
    words = {"on": True, "off": False}
    if isinstance(value, str) and value.lower() not in words:
        raise ValueError("must be on or off")
    return words[value.lower()] if isinstance(value, str) else value


def host_list(value: Any) -> Any:
    """Host names, in lower case, without scheme, port or path."""
    if not isinstance(value, str):
        return value
    hosts = tuple(entry.lower() for entry in entries(value))
    if not all(re.fullmatch(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", host) for host in hosts):
        raise ValueError("must be a comma-separated list of host names")
    return hosts


def entries(value: str) -> list[str]:
    """The parts of a comma-separated list; at least one."""
    found = [entry.strip() for entry in value.split(",") if entry.strip()]
    if not found:
        raise ValueError("must name at least one")
    return found


def network_list(value: Any) -> Any:
    """A comma-separated list of addresses and CIDR ranges; `platform` is the published list."""
    return networks(",".join(entries(value))) if isinstance(value, str) else value


def proxy_list(value: Any) -> Any:
    """The same, without `platform`: that is who calls, not who passes calls on."""
    if isinstance(value, str) and "platform" in entries(value):
        raise ValueError("must list addresses and CIDR ranges")
    return network_list(value)


def server_list(value: Any) -> Any:
    """A comma-separated list of `host:port`."""
    if not isinstance(value, str):
        return value
    servers = tuple(entries(value))
    for number, server in enumerate(servers, 1):
        match = re.fullmatch(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", server)
        if match is None or not 0 < int(match[1]) < 65_536:
            raise ValueError(f"entry {number} must be host:port")
    return servers


def readable_file(value: Any) -> Any:
    """The path of a file that can be read."""
    if isinstance(value, str):
        try:
            with open(value, "rb"):
                return Path(value)
        except OSError as error:
            raise ValueError(f"can't be read ({type(error).__name__})") from None
    return value


def refused_as(kind: str, load: Callable[..., object], **given: object) -> None:
    """Raises ValueError if `load` does not take a file as what it should be."""
    try:
        load(**given)
    except OSError:  # SSLError is one
        raise ValueError(f"must be a file of {kind}") from None


def secret_list(value: Any) -> Any:
    """A comma-separated list of secrets."""
    return tuple(map(SecretStr, entries(value))) if isinstance(value, str) else value


def token_list(value: Any) -> Any:
    """A comma-separated list of `name:scope:token`; names and tokens are unique."""
    if not isinstance(value, str):
        return value
    tokens = tuple(_token(number, entry) for number, entry in enumerate(entries(value), 1))
    for part, found in (
        ("name", {token.name for token in tokens}),
        ("token", {token.secret.get_secret_value() for token in tokens}),
    ):
        if len(found) < len(tokens):
            raise ValueError(f"uses one {part} twice")
    return tokens


def _token(number: int, entry: str) -> Token:
    parts = entry.split(":")
    if len(parts) != 3:
        raise ValueError(f"entry {number} must be name:scope:token")
    name, scope, secret = parts
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise ValueError(f"the name of entry {number} must be 1 to 64 of A-Z a-z 0-9 _ . -")
    if scope not in SCOPES:
        raise ValueError(f"the scope of entry {number} must be shop, operator or read")
    if not re.fullmatch(rf"[!-~]{{{SHORTEST_TOKEN},512}}", secret):
        raise ValueError(
            f"the token of entry {number} must be {SHORTEST_TOKEN} to 512 visible ASCII characters"
        )
    return Token(name, SCOPES[scope], SecretStr(secret))


def credentials(value: Any) -> Any:
    """`user:password`, as the platform sends them by basic authentication."""
    if isinstance(value, str) and not re.fullmatch(r"[^:]+:.+", value, re.DOTALL):
        raise ValueError("must be user:password")
    return value


def platform_key(value: Any) -> Any:
    """A secret API key. Public ones can't place orders."""
    if isinstance(value, str) and value.startswith("pk_"):
        raise ValueError("is a public key (pk_…); the service needs the secret one (sk_…)")
    if isinstance(value, str) and not re.fullmatch(r"[!-~]{1,512}", value):
        raise ValueError("must be visible ASCII characters without spaces")
    return value


def platform_version(value: str) -> str:
    """A date; versions before 2021-03-23 know no payment sessions."""
    try:
        version = date.fromisoformat(value) if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else None
    except ValueError:
        version = None
    if version is None:
        raise ValueError("must be a date such as 2021-12-13")
    if version < OLDEST_VERSION:
        raise ValueError(f"must be {OLDEST_VERSION} or later")
    return value


def https_or_loopback(value: str) -> str:
    """An https address, or plain http to this very machine; without a trailing slash."""
    try:
        url = urlsplit(value)
        host, _port = url.hostname, url.port
    except ValueError:
        raise ValueError("must be a URL") from None
    if url.scheme not in ("http", "https") or not host:
        raise ValueError("must be a URL that begins with https://")
    if url.scheme == "http" and not _loopback(host):
        raise ValueError("must begin with https://; plain http is for loopback only")
    if url.username is not None or url.fragment or not value.isprintable() or " " in value:
        raise ValueError("must be a URL without user, fragment or spaces")
    return value.rstrip("/")


def without_query(value: str) -> str:
    """A base address: paths are appended to it."""
    if "?" in value:
        raise ValueError("must be a URL without a query")
    return value


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def database_url(value: str) -> str:
    """`sqlite:///` and a file, or a `postgresql://` URL as libpq reads it.

    A database in memory would lose what was acknowledged (I7).
    """
    scheme = value.partition(":")[0].lower()
    if scheme.partition("+")[0] in ("postgresql", "postgres"):
        return _postgresql_url(value)
    name = value.removeprefix("sqlite:///")
    if name == value or not name or name.startswith((":memory:", "file:")) or "?" in name:
        raise ValueError("must be sqlite:/// and the path of a file, or postgresql://…")
    return value


def _postgresql_url(value: str) -> str:
    """Several hosts may be named, so a general parser does not do."""
    scheme, _, rest = value.partition("://")
    if scheme not in ("postgresql", "postgres"):
        raise ValueError("must begin with postgresql:// and name no driver")
    place, _, query = rest.partition("?")
    if not place.partition("/")[2] and "dbname=" not in query:
        raise ValueError("must name a database: postgresql://user@host/database")
    if not value.isprintable() or " " in value or "#" in value:
        raise ValueError("must be a URL without spaces or a fragment")
    return value


def decodable(secret: SecretStr) -> SecretStr:
    """A signing secret: `whsec_` and base64, or plain text."""
    signing_key(secret.get_secret_value())
    return secret


def signing_key(secret: str) -> bytes:
    """The bytes behind a Standard Webhooks secret. Raises ValueError."""
    if not secret.startswith(_SIGNING_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_SIGNING_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("must be base64 after whsec_")
    return key


def written(value: Any) -> tuple[str, bool]:
    """A value as text, and whether something in it is masked."""
    match value:
        case None:
            return "-", False
        case bool():
            return ("on" if value else "off"), False
        case SecretStr():
            return MASK, True
        case Token():
            return f"{value.name}:{value.scope}:{MASK}", True
        case timedelta():
            return _written_duration(value), False
        case float():
            return f"{value:g}", False
        case tuple():
            parts = [written(entry) for entry in value]
            return ", ".join(text for text, _ in parts) or "-", any(m for _, m in parts)
        case str() if _CREDENTIALS.search(value):
            return _CREDENTIALS.sub(rf"\1{MASK}@", value.partition("?")[0]), True
        case str() if "?" in value:  # the query of a URL may be what keeps others out
            return f"{value.partition('?')[0]}?{MASK}", True
        case _:
            return str(value), False


def _written_duration(value: timedelta) -> str:
    whole = value.total_seconds()
    for unit in "dhm":
        if whole and whole % _UNITS[unit] == 0:
            return f"{whole / _UNITS[unit]:g}{unit}"
    return f"{whole:g}s"

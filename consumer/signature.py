"""Whether a webhook comes from the platform: signature, credentials, address (PLATFORM §6.5).

Whatever a delivery's headers hold, nothing but `SignatureInvalid` is raised.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

# PLATFORM §6.5, the vendor's published list; `WEBHOOK_ALLOW=platform` means these.
PLATFORM_ADDRESSES = (
    *("54.204.214.106/32", "100.25.55.35/32", "3.94.74.169/32", "52.207.145.30/32"),
    *("35.167.151.150/32", "50.112.167.211/32", "52.36.133.196/32", "54.68.3.105/32"),
    *("52.19.155.167/32", "34.241.30.95/32"),
    *("209.87.180.0/24", "217.65.128.0/24", "210.242.154.0/29"),
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LONGEST_HEADER = 4096
_MOST_CANDIDATES = 16
_MILLISECONDS_FROM = 1e11  # as seconds this is the year 5138
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SignatureInvalid(Exception):
    """The delivery is not proven to be the platform's. `reason` is for logs, never for answers."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Verified:
    """A genuine delivery. `freshness_unchecked`: its timestamp can't be read; worth an alert."""

    timestamp: str
    signed_at: datetime | None

    @property
    def freshness_unchecked(self) -> bool:
        return self.signed_at is None


def sign(body: bytes, secret: str, timestamp: str) -> str:
    """The signature of a delivery: base64 of HMAC-SHA256 over `timestamp.body`."""
    key = secret.encode("utf-8", "surrogatepass")
    digest = hmac.digest(key, timestamp.encode() + b"." + body, "sha256")
    return base64.b64encode(digest).decode()


def verify(
    header: str | None, body: bytes, secrets: Sequence[str], now: datetime, tolerance: float
) -> Verified:
    """Check `DigitalRiver-Signature: {timestamp}, {signature}[, {signature}…]`.

    Any signature under any of the secrets counts, with or without a `v1=` before it. `tolerance`
    is the clock difference accepted either way, in seconds; a timestamp in no known form is not
    held against a delivery. Raises SignatureInvalid.
    """
    if not header:
        raise SignatureInvalid("missing")
    if len(header) > _LONGEST_HEADER or not header.isascii():
        raise SignatureInvalid("malformed")
    timestamp, *tokens = (token.strip() for token in header.split(","))
    candidates = _candidates(tokens)
    if not timestamp or not candidates:
        raise SignatureInvalid("malformed")
    expected = [sign(body, secret, timestamp).encode() for secret in secrets if secret]
    # Every pair is compared, so that time tells nothing about which one matched.
    matches = [hmac.compare_digest(c, e) for c in candidates for e in expected]
    if not any(matches):
        raise SignatureInvalid("mismatch")
    signed_at = read_timestamp(timestamp)
    if signed_at is not None and abs((now - signed_at).total_seconds()) > tolerance:
        raise SignatureInvalid("too old" if signed_at < now else "in the future")
    return Verified(timestamp, signed_at)


def read_timestamp(text: str) -> datetime | None:
    """Epoch seconds, epoch milliseconds or ISO 8601 (UTC unless it says otherwise), or None."""
    try:
        if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,9})?", text):
            number = float(text)
            seconds = number / 1000 if number >= _MILLISECONDS_FROM else number
            return datetime.fromtimestamp(seconds, UTC)
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def basic_credentials_match(header: str | None, expected: str) -> bool:
    """Whether an `Authorization` header carries `expected` (`user:password`) by basic auth.

    The scheme's case, spaces and missing padding don't matter; the comparison takes constant time.
    """
    given = _basic(header or "")
    wanted = [expected.encode("utf-8", "surrogatepass")]
    if all(char <= "\xff" for char in expected):
        wanted.append(expected.encode("latin-1"))  # older clients; RFC 7617 leaves it open
    matches = [hmac.compare_digest(given or b"", form) for form in wanted]
    return given is not None and bool(expected) and any(matches)


def networks(text: str) -> tuple[Network, ...]:
    """A comma-separated list of addresses and CIDR ranges; `platform` is `PLATFORM_ADDRESSES`.

    Raises ValueError naming the entry that is neither.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    listed = [
        e for entry in entries for e in (PLATFORM_ADDRESSES if entry == "platform" else [entry])
    ]
    return tuple(_network(entry) for entry in listed)


def address_allowed(
    peer: str | None,
    forwarded_for: Sequence[str],
    allow: Sequence[Network],
    trusted: Sequence[Network],
) -> bool:
    """Whether a delivery comes from one of `allow`; none of them allows nobody.

    `forwarded_for` holds every `X-Forwarded-For` header in the order received. Only what trusted
    proxies wrote counts: from the peer leftwards, the first address that is no trusted proxy is
    the sender; what stands left of it anyone may have made up. An unreadable one is refused.
    """
    sender = _address(peer or "")
    # `rsplit`: only as many as a chain of proxies can be long; the rest is the sender's own tale.
    claims = ",".join(forwarded_for).rsplit(",", 32)[::-1] if forwarded_for else []
    for claim in claims:
        if sender is None or not _within(sender, trusted):
            break
        sender = _address(claim)
    return sender is not None and _within(sender, allow)


def _within(address: Address, ranges: Sequence[Network]) -> bool:
    return any(address.version == r.version and address in r for r in ranges)


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is neither an address nor a CIDR range") from None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:
        return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network


def _address(text: str) -> Address | None:
    """One entry of X-Forwarded-For: an address, perhaps with a port, brackets or quotes."""
    bare = text[:100].strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _candidates(tokens: list[str]) -> list[bytes]:
    found: list[bytes] = []
    for token in tokens[:_MOST_CANDIDATES]:
        if token:
            found.append(token.encode())
        bare = re.sub(r"^v[0-9]{1,4}=", "", token)
        if bare and bare != token:
            found.append(bare.encode())
    return found


def _basic(header: str) -> bytes | None:
    scheme, _, token = header[:_LONGEST_HEADER].strip().partition(" ")
    token = token.strip().rstrip("=")
    if scheme.lower() != "basic" or not token.isascii():
        return None
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None

"""The webhook's signature, credentials and address (PLATFORM §6.5)."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.signature import (
    PLATFORM_ADDRESSES,
    SignatureInvalid,
    address_allowed,
    basic_credentials_match,
    networks,
    read_timestamp,
    sign,
    verify,
)

NOW = datetime(2024, 5, 2, 9, 5, tzinfo=UTC)
SECONDS = str(int(NOW.timestamp()))
BODY = b'{"id": "1", "name": "\xff not even UTF-8"}'
SECRETS = ("old secret", "new sécret")


def header(timestamp: str = SECONDS, secret: str = SECRETS[1]) -> str:
    return f"{timestamp}, {sign(BODY, secret, timestamp)}"


def test_a_signature_is_base64_of_the_hmac_over_timestamp_dot_body() -> None:
    digest = hmac.new(b"s", b"123." + BODY, hashlib.sha256).digest()
    assert sign(BODY, "s", "123") == base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    "timestamp",
    [
        SECONDS,
        SECONDS + ".5",
        SECONDS + "123",
        "2024-05-02T09:05:00Z",
        "2024-05-02T09:05:00.123456Z",
        "2024-05-02T11:05:00.000+0200",
        "2024-05-02T09:05:00",
    ],
)
@pytest.mark.parametrize("secret", SECRETS)
def test_any_secret_and_every_known_timestamp_is_accepted(timestamp: str, secret: str) -> None:
    verified = verify(header(timestamp, secret), BODY, SECRETS, NOW, 1)
    assert not verified.freshness_unchecked
    assert verified.timestamp == timestamp


@pytest.mark.parametrize(
    "shape", ["{t},{s}", "{t} ,\t{s} ", "{t}, v1={s}", "{t}, {x}, {s}", "{t}, v0={x}, v2={s},,"]
)
def test_the_parser_accepts_spaces_versions_and_several_signatures(shape: str) -> None:
    signature = sign(BODY, SECRETS[0], SECONDS)
    text = shape.format(t=SECONDS, s=signature, x=sign(BODY, "another", SECONDS))
    assert verify(text, BODY, SECRETS, NOW, 600).signed_at == NOW


def test_an_unreadable_timestamp_is_accepted_and_flagged() -> None:
    for timestamp in ("yesterday", "t=123", SECONDS + "123456", "9" * 19):
        assert verify(header(timestamp), BODY, SECRETS, NOW, 600).freshness_unchecked


@pytest.mark.parametrize(
    ("moved", "reason"), [(-601, "too old"), (601, "in the future"), (-1e9, "too old")]
)
def test_a_timestamp_outside_the_tolerance_is_invalid(moved: float, reason: str) -> None:
    timestamp = (NOW + timedelta(seconds=moved)).isoformat()
    with pytest.raises(SignatureInvalid) as caught:
        verify(header(timestamp), BODY, SECRETS, NOW, 600)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        (SECONDS, "malformed"),
        (",", "malformed"),
        (f"{SECONDS},", "malformed"),
        (f", {sign(BODY, SECRETS[0], '')}", "malformed"),
        (f"{SECONDS}, \xe9", "malformed"),
        ("," * 100_000, "malformed"),
        (f"{SECONDS}, \x00", "mismatch"),
        (f"{SECONDS}, {sign(BODY, 'other', SECONDS)}", "mismatch"),
        (f"{SECONDS}, {sign(BODY, SECRETS[0], SECONDS).lower()}", "mismatch"),
        (f"{int(SECONDS) + 1}, {sign(BODY, SECRETS[0], SECONDS)}", "mismatch"),
    ],
)
def test_anything_else_is_invalid(text: str | None, reason: str) -> None:
    with pytest.raises(SignatureInvalid) as caught:
        verify(text, BODY, SECRETS, NOW, 600)
    assert caught.value.reason == reason


def test_a_changed_body_is_invalid() -> None:
    with pytest.raises(SignatureInvalid, match="mismatch"):
        verify(header(), BODY + b" ", SECRETS, NOW, 600)


@pytest.mark.parametrize("secrets", [(), ("",)])
def test_without_a_secret_nothing_is_valid(secrets: tuple[str, ...]) -> None:
    with pytest.raises(SignatureInvalid, match="mismatch"):
        verify(header(secret=""), BODY, secrets, NOW, 600)


HEADERS = st.one_of(
    st.text(max_size=200),
    st.text(alphabet=f", =v1\x00{SECONDS}é", max_size=300),
    st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")),
    st.lists(st.text(max_size=20), max_size=40).map(",".join),
)


@given(text=HEADERS, body=st.binary(max_size=50))
def test_no_header_raises_anything_but_signature_invalid(text: str, body: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify(text, body, SECRETS, NOW, 600)


@given(body=st.binary(), secret=st.text(min_size=1), other=st.text(min_size=1))
def test_only_the_same_secret_verifies(body: bytes, secret: str, other: str) -> None:
    text = f"{SECONDS}, {sign(body, secret, SECONDS)}"
    assert verify(text, body, [secret], NOW, 1).timestamp == SECONDS
    # HMAC pads keys with zeroes up to a block: secrets that differ only in those are one.
    if secret.rstrip("\x00") != other.rstrip("\x00") and len(other.encode()) <= 64:
        with pytest.raises(SignatureInvalid):
            verify(text, body, [other], NOW, 1)


@given(st.text(max_size=40) | st.from_regex(r"[0-9T:.Z+-]{0,40}", fullmatch=True))
def test_a_timestamp_is_read_or_not_but_never_raises(text: str) -> None:
    moment = read_timestamp(text)
    assert moment is None or moment.tzinfo is UTC


def basic(credentials: bytes) -> str:
    return "Basic " + base64.b64encode(credentials).decode()


@pytest.mark.parametrize(
    "text",
    [
        basic("usér:pass:word".encode()),
        basic("usér:pass:word".encode("latin-1")),
        basic("usér:pass:word".encode()).replace("Basic ", "bASIC   ").rstrip("="),
    ],
)
def test_credentials_match_in_either_encoding(text: str) -> None:
    assert basic_credentials_match(text, "usér:pass:word")


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "Basic", "Basic ", "Basic é", "Basic !!!!", "Basic a", "Bearer dTpw"),
        *(basic(b""), basic(b"u:"), basic(b"u:P"), basic(b"??:p"), "Basic " + "A" * 100_000),
    ],
)
def test_other_credentials_do_not_match(text: str | None) -> None:
    assert not basic_credentials_match(text, "u:p")


def test_characters_beyond_latin_1_are_not_replaced_before_comparing() -> None:
    assert not basic_credentials_match(basic(b"??:p"), "日本:p")


@given(st.text() | st.text().map("Basic ".__add__), st.text())
def test_credentials_never_raise(text: str, expected: str) -> None:
    assert basic_credentials_match(text, expected) in (True, False)


ALLOW = networks("platform, 10.9.0.0/16")
PROXIES = networks("127.0.0.1, 172.16.0.0/12, ::ffff:192.168.0.0/112, 2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "allowed"),
    [
        ("209.87.180.77", [], True),
        ("::ffff:209.87.180.77", [], True),
        ("209.87.181.1", [], False),
        # An untrusted peer's own claim counts for nothing.
        ("6.6.6.6", ["209.87.180.77"], False),
        ("209.87.180.77", ["6.6.6.6"], True),
        ("127.0.0.1", ["209.87.180.77"], True),
        ("127.0.0.1", ["209.87.180.77:443"], True),
        ("127.0.0.1", ["[::ffff:209.87.180.77]:443"], True),
        ("192.168.0.9", ["209.87.180.77"], True),
        ("2001:db8::1", ["209.87.180.77, 172.16.3.4", "127.0.0.1"], True),
        # What the sender made up stands to the left of its address.
        ("127.0.0.1", ["209.87.180.77, 6.6.6.6"], False),
        ("127.0.0.1", ["209.87.180.77", "6.6.6.6, 172.16.0.1"], False),
        ("127.0.0.1", ["6.6.6.6, 209.87.180.77"], True),
        ("127.0.0.1", ["209.87.180.77, "], False),
        ("127.0.0.1", ["unknown"], False),
        ("127.0.0.1", ["209.87.180.77," + "172.16.0.1," * 50 + "172.16.0.1"], False),
        ("127.0.0.1", [], False),
        (None, ["209.87.180.77"], False),
        ("not an address", [], False),
    ],
)
def test_the_right_most_untrusted_address_decides(
    peer: str | None, forwarded: list[str], allowed: bool
) -> None:
    assert address_allowed(peer, forwarded, ALLOW, PROXIES) is allowed


def test_an_empty_list_allows_nobody() -> None:
    assert not address_allowed("209.87.180.77", [], (), ())


def test_the_published_list_is_complete() -> None:
    assert len(networks("platform")) == len(PLATFORM_ADDRESSES) == 13
    assert sum(network.num_addresses for network in networks("platform")) == 10 + 256 + 256 + 8


def test_a_range_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r"'10\.0\.0\.0/99'"):
        networks("platform,10.0.0.0/99")


@given(st.text(max_size=50), st.lists(st.text(max_size=60), max_size=5))
def test_no_address_header_raises(peer: str, forwarded: list[str]) -> None:
    assert address_allowed(peer, forwarded, ALLOW, ()) in (True, False)
    assert address_allowed("127.0.0.1", forwarded, ALLOW, PROXIES) in (True, False)

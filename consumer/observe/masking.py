"""What must not be shown: client secrets anywhere, personal data and codes in logs (I8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MASK = "***"
DEEPEST = 60  # levels; nothing that we store or log is half as deep

# All are tried once a word, not at each of its letters: texts of others may be long.
# `{id}_{uuid}` (PLATFORM §1.3), where ids hold digits and words like "checkout" do not.
CLIENT_SECRET = re.compile(
    r"(?<![A-Za-z0-9-])(?=[A-Za-z-]*[0-9])[A-Za-z0-9-]{4,}_"
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    re.IGNORECASE,
)
_CREDENTIAL = re.compile(
    r"\b(?:sk|pk)_[A-Za-z0-9_]{4,}|\bwhsec_[A-Za-z0-9+/=]+|\b(?:bearer|basic)\s+[\w.~+/=-]{4,}",
    re.IGNORECASE,
)
_FRAUD = re.compile(r"(?<![\w.-])[\w.-]*fraud[\w.-]*", re.IGNORECASE)
_EMAIL = re.compile(r"[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")

# Names in lower case without - and _. `error` and `message` are where the platform's own words
# about a failure would end up; what we say ourselves is in `event` and `reason`.
_SECRET_NAMES = frozenset(
    """
    authorization clientsecret apikey key platformkey secret secrets signature token tokens
    password cookie setcookie
    """.split()
)
_PERSONAL_NAMES = frozenset(
    """
    address billto body browserip city createrequest declinecode document email error errors
    failurecode failuremessage firstname forwarded ip lastname line1 line2 message name
    organization owner phone phonenumber postalcode remoteip shipfrom shipto shipping taxidentifiers
    username
    """.split()
)
_CODE_NAMES = frozenset({"code", "cancelreason", "fraudstate", "parameter"})


# What a stored body keeps when its person is forgotten, in the same spelling. Customers' ids are
# theirs; all else that is a text or a number and is not named here goes.
_KEPT_NAMES = frozenset(
    """
    id ids checkoutid checkoutids orderid orderids upstreamid sourceid paymentsessionid sessionid
    chargeid itemid fulfillmentid invoiceid subscriptionid skuid planid eventid purchaseid
    webhookids requestid checkoutsessionid sellingentity
    state fraudstate sessionstate sourcestate type kind status outcome code parameter failurecode
    cancelreason flow reusable enabled captured refunded requesttobeforgotten livemode hasmore
    currency amount totalamount subtotal totaltax totalfees totalduty totalshipping totaldiscount
    totalimportertax capturedamount cancelledamount refundedamount availabletorefundamount
    amountcontributed amountremaining amountremainingtobecontributed quantity
    createdtime updatedtime created updated at due settledat retryafter
    attempt sequence version order orders how held rule
    """.split()
)


_DROPPED_NAMES = frozenset({"metadata", "customer", "creditcard"})
_GONE_NAMES = _PERSONAL_NAMES | _SECRET_NAMES | _DROPPED_NAMES


@lru_cache(maxsize=2048)  # the same few names come again and again
def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


@lru_cache(maxsize=2048)
def hidden_in_logs(name: str) -> bool:
    """Whether a value of this name must not be logged."""
    plain = _plain(name)
    if plain in _SECRET_NAMES or plain in _PERSONAL_NAMES or plain in _CODE_NAMES:
        return True
    return plain.endswith(("secret", "password", "token", "apikey", "email"))


def masked_text(text: str) -> str:
    """The text without client secrets, credentials, e-mail addresses and fraud words."""
    # What a pattern can't match without is looked for first: it is found much faster.
    text = _CREDENTIAL.sub(MASK, _without_secret(text))
    if "@" in text:
        text = _EMAIL.sub(MASK, text)
    if "fraud" in text.lower():
        text = _FRAUD.sub(MASK, text)
    return text


def _without_secret(text: str) -> str:
    return CLIENT_SECRET.sub(MASK, text) if "_" in text else text


def masked(value: Any, depth: int = 0) -> Any:
    """A value as it may be logged; mappings lose what their names give away."""
    if depth > DEEPEST:
        return MASK
    match value:
        case str():
            return masked_text(value)
        case Mapping():
            return {
                masked_text(str(name)): MASK if hidden_in_logs(str(name)) else masked(v, depth + 1)
                for name, v in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [masked(entry, depth + 1) for entry in value]
        case None | bool() | int() | float():
            return value
        case _:
            return masked_text(str(value))


def without_personal_data(value: Any, name: str = "", depth: int = 0) -> Any:
    """JSON with the ids, states, amounts and times that the books need, and nothing else."""
    if depth > DEEPEST:
        return None
    match value:
        case dict():
            return {
                inner: kept
                for inner, entry in value.items()
                if _plain(inner) not in _GONE_NAMES
                and (kept := without_personal_data(entry, inner, depth + 1)) is not None
            }
        case list():
            kept_items = (without_personal_data(entry, name, depth + 1) for entry in value)
            return [entry for entry in kept_items if entry is not None]
        case None | bool():
            return value
        case _:
            return value if _plain(name) in _KEPT_NAMES and not _is_email(value) else None


def _is_email(value: Any) -> bool:
    return isinstance(value, str) and bool(_EMAIL.search(value))


def without_client_secrets(value: Any, depth: int = 0) -> Any:
    """JSON without client secrets: fields of that name are left out, others' texts masked."""
    if depth > DEEPEST:
        return MASK
    match value:
        case str():
            return _without_secret(value)
        case dict():
            return {
                _without_secret(name): without_client_secrets(entry, depth + 1)
                for name, entry in value.items()
                if _plain(name) != "clientsecret"
            }
        case list():
            return [without_client_secrets(entry, depth + 1) for entry in value]
        case _:
            return value

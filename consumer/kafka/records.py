"""From a record to a fact: the platform's envelope or an event of ours, plain or as a CloudEvent.

CloudEvents 1.0 in both modes of its Kafka binding. The envelope is the event's data; of what it
does not say itself, the CloudEvent's `id`, `type` and `time` stand in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from consumer.events import LIMIT, OURS, Malformed, bad, checkout_of, light, parse
from consumer.observe.tracing import HEADER, received
from consumer.store.inbox import Delivery
from schemas.facts import Origin

UNREADABLE = "unreadable record"
KEPT = 64 * 1024  # bytes of a record that is too long; the whole of it is still on its topic
STRUCTURED = "application/cloudevents"
STAND_INS = (("id", "id"), ("type", "type"), ("createdTime", "time"))


class Record(Protocol):
    """What the client library hands over."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def delivery(record: Record) -> Delivery:
    """The fact in a record. Raises Malformed."""
    headers = _texts(record.headers)
    body = _body(record.value, headers)
    event = light(body)
    # By its own name, or as an attribute of a CloudEvent in binary mode.
    told = headers.get(HEADER) or headers.get(f"ce_{HEADER}")
    trace = received({HEADER: told}) if told else None
    if event.type in OURS:
        about = checkout_of(event)
        return Delivery(Origin.MERCHANT, event.id, event.type, "kafka", body, about, trace=trace)
    return Delivery(Origin.PLATFORM, event.id, event.type, "kafka", body, event.about, trace=trace)


def letter(record: Record) -> Delivery:
    """The same record as a dead letter, by its place. Where a topic was made anew, another
    record may have that place: the value is part of the id."""
    value = record.value or b""
    place = f"{record.topic}/{record.partition}/{record.offset}"
    digest = hashlib.sha256(value).hexdigest()[:16]
    kept = value if len(value) <= LIMIT else value[:KEPT]
    return Delivery(Origin.MERCHANT, f"{place}#{digest}", UNREADABLE, "kafka", kept)


def _texts(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    """Headers by their lower-case names; what is not UTF-8 is read as far as it goes."""
    return {name.lower(): (value or b"").decode(errors="replace") for name, value in headers}


def _body(value: bytes | None, headers: Mapping[str, str]) -> bytes:
    if value is None:
        raise bad("", "is a tombstone")
    if len(value) > LIMIT:
        raise bad("", f"is {len(value)} bytes long; the most is {LIMIT}")
    if headers.get("content-type", "").strip().lower().startswith(STRUCTURED):
        return _structured(_object(value))
    if "ce_specversion" in headers:
        told = {name.removeprefix("ce_"): text for name, text in headers.items()}
        return _completed(value, told)
    known = _object(value)
    # A producer that forgot the header: no envelope has a `specversion`.
    return _structured(known) if "specversion" in known else value


def _object(value: bytes) -> dict[str, Any]:
    found = parse(value)
    if not isinstance(found, dict):
        raise bad("", "must be a JSON object")
    return found


def _structured(event: dict[str, Any]) -> bytes:
    data = event.get("data")
    if "data_base64" in event:
        try:
            inner = base64.b64decode(event["data_base64"], validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise bad("data_base64", "must be base64") from None
    elif isinstance(data, dict):
        inner = _written(data)
    else:
        raise bad("data", "must be an object")
    return _completed(inner, event)


def _completed(inner: bytes, told: Mapping[str, Any]) -> bytes:
    """The envelope inside, with what only the CloudEvent says."""
    if not str(told.get("specversion")).startswith("1."):
        raise bad("specversion", "must be 1.0")
    envelope = _object(inner)
    wanted = [(ours, told.get(name)) for ours, name in STAND_INS if ours not in envelope]
    missing = {ours: value for ours, value in wanted if value is not None}
    return _written(envelope | missing) if missing else inner


def _written(value: dict[str, Any]) -> bytes:
    """Not much longer than it came."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def reason(error: Malformed) -> str:
    """Why a record is a dead letter, short enough to be stored."""
    return f"not understood: {error}"[:255]

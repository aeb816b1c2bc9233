"""From a record to a fact, or to a dead letter: whatever comes, it is one of the two."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.events import LIMIT, Malformed
from consumer.kafka.records import KEPT, delivery, letter, reason
from schemas.facts import Origin

ENVELOPE: dict[str, Any] = {
    "id": "e1",
    "type": "order.accepted",
    "createdTime": "2026-01-01T00:00:00Z",
    "data": {"object": {"id": "o1"}},
}
CLOUD = {"specversion": "1.0", "id": "ce1", "source": "/shop", "type": "t", "time": "2026"}
STRUCTURED = (("content-type", b"application/cloudevents+json"),)


@dataclass(frozen=True)
class Given:
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    topic: str = "events"
    partition: int = 2
    offset: int = 7


def given_json(body: Any, headers: Sequence[tuple[str, bytes]] = ()) -> Given:
    return Given(json.dumps(body).encode(), headers)


def test_the_platforms_event_is_kept_as_it_came() -> None:
    record = given_json(ENVELOPE)
    fact = delivery(record)
    assert (fact.origin, fact.id, fact.about) == (Origin.PLATFORM, "e1", "o1")
    assert (fact.transport, fact.body) == ("kafka", record.value)


def test_our_own_events_are_the_merchants_and_checked_strictly() -> None:
    wanted = ENVELOPE | {"type": "purchase.submit_requested"}
    fact = delivery(given_json(wanted | {"data": {"object": {"checkoutId": "c1"}}}))
    assert (fact.origin, fact.about) == (Origin.MERCHANT, "c1")
    with pytest.raises(Malformed, match=r"^data\.object\.checkoutid"):
        delivery(given_json(wanted | {"data": {"object": {"checkoutId": "c1", "checkoutid": 1}}}))


def test_what_the_envelope_says_itself_wins() -> None:
    fact = delivery(given_json(CLOUD | {"data": ENVELOPE}, STRUCTURED))
    assert (fact.id, fact.type) == ("e1", "order.accepted")


def test_what_the_envelope_lacks_the_cloudevent_says() -> None:
    bare = {"data": ENVELOPE["data"]}
    told = CLOUD | {"type": "order.blocked", "time": "2026-01-02T00:00:00Z"}
    inner = base64.b64encode(json.dumps(bare).encode()).decode()
    headers = [(f"CE_{name}", text.encode()) for name, text in told.items()]
    for record in (
        given_json(told | {"data": bare}, STRUCTURED),
        given_json(told | {"data_base64": inner}, STRUCTURED),
        given_json(bare, headers),
    ):
        fact = delivery(record)
        assert (fact.id, fact.type) == ("ce1", "order.blocked")
        assert json.loads(fact.body)["createdTime"] == told["time"]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (Given(None), "body: is a tombstone"),
        (Given(b" " * (LIMIT + 1)), f"body: is {LIMIT + 1} bytes long"),
        (given_json(CLOUD | {"data": "text"}, STRUCTURED), "data: must be an object"),
        (given_json(CLOUD | {"data_base64": "~"}, STRUCTURED), "data_base64: must be base64"),
        (given_json(CLOUD | {"specversion": "0.3", "data": ENVELOPE}), "specversion: must be 1.0"),
        (given_json([CLOUD], STRUCTURED), "body: must be a JSON object"),
        (Given(b"\x00\x00\x00\x00\x07avro"), "body: is not JSON"),
    ],
)
def test_what_is_no_event_is_told_by_field(record: Given, told: str) -> None:
    with pytest.raises(Malformed) as caught:
        delivery(record)
    assert str(caught.value).startswith(told)


def test_a_dead_letter_has_the_place_and_the_value_but_not_all_of_a_long_one() -> None:
    short, long = letter(Given(b"x")), letter(Given(b"x" * (LIMIT + 1)))
    assert short.id.startswith("events/2/7#")
    assert (short.body, len(long.body)) == (b"x", KEPT)
    assert letter(Given(b"y")).id != short.id  # the same place of a topic that was made anew
    assert letter(Given(None)).body == b""


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
NAMES = st.sampled_from(("id", "type", "createdTime", "data", "specversion", "data_base64", "time"))
CHANGES = st.dictionaries(NAMES, ANY_JSON)
NEARLY = CHANGES.map(lambda changes: json.dumps(ENVELOPE | changes).encode())
HEADERS = st.lists(
    st.tuples(st.sampled_from(("content-type", "ce_specversion", "ce_id")), st.binary(max_size=30))
)


@given(st.none() | st.binary(max_size=200) | NEARLY, HEADERS | st.just(list(STRUCTURED)))
def test_anything_is_a_fact_or_a_dead_letter(
    value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    record = Given(value, headers)
    why, found = "", letter(record)
    try:
        found = delivery(record)
    except Malformed as error:
        why = reason(error)
    assert 0 < len(found.id) <= 255
    assert len(why) <= 255
    assert why or found.body

"""Events that name only what purchases share: one fact for each, once (PLATFORM §6.1)."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from consumer.clock import SystemClock
from consumer.platform import LocalLimiter, Platform
from consumer.router import Router
from consumer.signals import Signal
from consumer.store import entries, inbox, links, purchases
from consumer.store.engine import Store
from consumer.store.inbox import Delivery
from handlers.links import email_digest, noted
from handlers.links import links as links_of
from handlers.policy import Policy
from schemas.facts import Origin
from schemas.purchase import Declined, Link, OrderRecord, Purchase, Reason, State

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def purchase(number: int, **fields: Any) -> Purchase:
    given: dict[str, Any] = {
        "id": f"pur_{number}",
        "upstream_id": f"web-{number}",
        "state": State.HELD,
        "reason": Reason.PAYMENT_REQUIRED,
        "chain": (Link(checkout_id=f"c{number}", session_id=f"s{number}"),),
        "customer_id": "cust-1",
        "confirmed_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Purchase(**given | fields)


async def stored(store: Store, *several: Purchase) -> None:
    for each in several:
        await store.write(partial(purchases.insert_new, purchase=each))


async def routed(
    store: Store,
    type: str,
    resource: dict[str, Any],
    id: str = "e1",
    origin: Origin = Origin.PLATFORM,
) -> None:
    """Store an event and route all that is new."""
    event = {
        "id": id,
        "type": type,
        "data": {"object": resource},
        "liveMode": Policy().live,
        "createdTime": datetime.now(UTC).isoformat(),
    }
    delivery = Delivery(origin, id, type, "webhook", json.dumps(event).encode())
    await store.write(lambda c: inbox.append(c, [delivery], NOW))
    clock = SystemClock()
    platform = Platform("http://127.0.0.1:9", "sk_test_1", LocalLimiter(9.0, clock), clock)
    router = Router(
        *(store, platform, clock, False, Policy().hold_deadline, Signal(), Signal()),
        seen=lambda _status, _reason: None,
    )
    async with platform:
        await router._route_some()


async def facts(store: Store, number: int) -> list[str]:
    found = await store.read(lambda c: entries.of_purchase(c, f"pur_{number}"))
    return [entry.type for entry in found]


async def test_a_customers_event_is_one_fact_for_each_unresolved_purchase(store: Store) -> None:
    ended = purchase(3, state=State.LOST, reason=Reason.EXPIRED)
    other = purchase(4, customer_id="cust-2")
    await stored(store, purchase(1), purchase(2), ended, other)
    customer = {"id": "cust-1", "enabled": False}
    await routed(store, "customer.updated", customer)
    await routed(store, "customer.updated", customer)  # the same event once more
    told = [await facts(store, number) for number in (1, 2, 3, 4)]
    assert told == [["customer.updated"], ["customer.updated"], [], []]


async def test_an_event_that_is_routed_again_gives_nobody_a_second_fact(store: Store) -> None:
    await stored(store, purchase(1), purchase(2))
    await routed(store, "customer.updated", {"id": "cust-1", "enabled": False})
    entry = await store.read(lambda c: entries.entry(c, 1))
    assert entry is not None
    assert (entry.status, entry.reason) == ("done", "fanned_out")
    await store.write(lambda c: inbox.mark(c, 1, "new"))
    await routed(store, "order.created", {}, id="e2")
    assert [await facts(store, number) for number in (1, 2)] == [["customer.updated"]] * 2


@pytest.mark.parametrize(
    ("type", "resource", "fields"),
    [
        ("source.chargeable", {"id": "src-1"}, {"wanted_source": "src-1"}),
        ("customer.source.deleted", {"id": "src-1"}, {"attached_source": "src-1"}),
        (
            "customer.source.deleted",
            {"id": "src-1"},
            {"declined": (Declined(source_id="src-1", again=1),)},
        ),
    ],
)
async def test_an_event_of_a_source_reaches_who_wants_or_holds_it(
    store: Store, type: str, resource: dict[str, Any], fields: dict[str, Any]
) -> None:
    await stored(store, purchase(1, **fields), purchase(2))
    await routed(store, type, resource)
    assert [await facts(store, number) for number in (1, 2)] == [[type], []]


async def test_a_sources_own_session_wins_over_who_else_had_it(store: Store) -> None:
    await stored(store, purchase(1, attached_source="src-1"), purchase(2))
    await routed(store, "source.chargeable", {"id": "src-1", "paymentSessionId": "s2"})
    assert [await facts(store, number) for number in (1, 2)] == [[], ["source.chargeable"]]


async def test_links_stay_when_the_purchase_moves_on(store: Store) -> None:
    before = purchase(1, wanted_source="src-1")
    await stored(store, before)
    after = before.model_copy(update={"wanted_source": "src-2"})
    await store.write(lambda c: links.note_new(c, [(before, after)]))
    for source in ("src-1", "src-2"):
        found = await store.read(partial(links.every, named=[("source", source)]))
        assert found == ["pur_1"]


def test_an_address_is_a_digest_however_it_is_written() -> None:
    found = noted(purchase(1), {"email": " Ada@Example.test", "customerId": "cust-9"})
    assert found.email_digest == email_digest("ada@example.test")
    assert found.customer_id == "cust-9"
    assert "example" not in found.model_dump_json()
    assert noted(found, None) == found


def test_every_source_of_a_purchase_is_a_link() -> None:
    order = OrderRecord(id="o1", checkout_id="c1", state="accepted", source_id="src-3")
    found = links_of(purchase(1, wanted_source="src-1", attached_source="src-2", orders=(order,)))
    assert {value for kind, value in found if kind == "source"} == {"src-1", "src-2", "src-3"}

"""Lives that once went wrong: checkouts, their replacements and what shoppers are asked for."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from handlers.cloning import MARK, clone
from handlers.policy import Policy
from handlers.routing import Route, route
from schemas.base import JsonObject
from schemas.purchase import Condition, Reason, State
from schemas.requests import CREATE_ONLY
from schemas.wire import Envelope
from tests.core.test_regressions import HOUR, chosen, where
from tests.core.world import REQUEST, World, rejected

ITEMS = [{"skuId": "kbd-2", "quantity": 1, "price": 50.0}]
EMAIL = "new@example.test"
CORRECTIONS: list[JsonObject] = [{"email": EMAIL}, {"items": ITEMS}]


def held(create: bool = True) -> World:
    """A purchase that waits for its payment."""
    world = World()
    world.open()
    world.begin(create=create)
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    return world


def shows(world: World, checkout_id: str, fields: JsonObject) -> bool:
    """Whether the platform's checkout has the corrected values."""
    checkout = world.checkouts[checkout_id]
    if "items" in fields:
        return [item["skuId"] for item in checkout["items"]] == ["kbd-2"]
    return bool(checkout["email"] == EMAIL)


# 5
@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("fields", CORRECTIONS, ids=["email", "items"])
@pytest.mark.parametrize("when", ["before", "in flight", "searched for", "found"])
def test_a_correction_during_a_replacement_is_in_what_is_submitted(
    when: str, fields: JsonObject, create: bool
) -> None:
    world = chosen("insufficient_funds", create=create)
    slot = world.until("open_checkout")
    if when == "before":
        assert world.correct(fields)
    elif when == "in flight":
        answer = world.send(slot)
        assert world.correct(fields)
        world.answer(slot, answer)
    else:
        world.finish(slot, "cut")
        slot = world.until("find_checkout")
        found = world.send(slot) if when == "found" else None
        assert world.correct(fields)
        if found is not None:
            world.answer(slot, found)
    world.live(60)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert world.choose(world.pay("good"))
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)
    assert shows(world, world.sent[-1].checkout_id, fields)


# 6
@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("fault", [None, "cut", "lost", "stalled", "died"])
def test_corrected_items_stay_corrected_in_every_later_clone(
    fault: str | None, create: bool
) -> None:
    world = held(create)
    assert world.correct({"items": ITEMS})
    world.run(fault, on="open_checkout")
    world.live(600)
    assert shows(world, world.purchase.current.checkout_id, {"items": ITEMS})
    for behaviour in ("insufficient_funds", "insufficient_funds", "good"):
        assert world.choose(world.pay(behaviour))
        world.live(60)
    assert where(world) == (State.ACCEPTED, None)
    assert all(shows(world, sent.checkout_id, {"items": ITEMS}) for sent in world.sent)


# 13
CREATED = REQUEST | {"discount": {"amountOff": 5.0}, "disclosures": {"disclosures": [{"id": "d"}]}}


@pytest.mark.parametrize("again", ["request", "resume", "correction"])
@pytest.mark.parametrize(
    "parameter", ["items", "items[0].price", "discount", "taxInclusive", "disclosures", "price"]
)
def test_what_only_a_new_checkout_can_take_is_never_updated(parameter: str, again: str) -> None:
    world = chosen(createRequest=CREATED)
    world.run(rejected(400, "invalid_parameter", parameter), on="submit")
    world.live(60)
    match again:
        case "request":
            world.request(checkout_id="c1", create_request=CREATED)
        case "resume":
            world.decided("resume")
        case _:
            world.correct({"email": EMAIL})
    world.live(HOUR)
    fields = {name for command in world.planned("update_checkout") for name in command.changes}
    assert not fields & CREATE_ONLY
    assert len(world.sent) == 1


# 15
READ: JsonObject = {
    "id": "c1",
    "currency": "EUR",
    "email": "later@example.test",
    "locale": "fr_FR",
    "browserIp": "203.0.113.9",
    "shipTo": {"name": "B", "address": {"line1": "x", "country": "FR"}},
    "billTo": {"name": "C", "address": {"country": "FR"}},
    "shipFrom": {"address": {"country": "DE"}},
    "shippingChoice": {"id": "q-78", "amount": 9.0, "taxAmount": 1.0},
    "taxIdentifiers": [{"id": "tax-1", "type": "fr", "value": "FR1"}],
    "invoiceAttributes": {"id": "inv-1", "type": "x"},
    "metadata": {"basket": "b-13"},
    "items": [],
    "payment": {"sources": [], "session": {"id": "s1"}},
}
GIVEN = REQUEST | {"taxIdentifiers": [{"id": "tax-0"}], "invoiceAttributeId": "inv-0"}


@pytest.mark.parametrize(
    "name", ["email", "locale", "browserIp", "shipTo", "billTo", "shipFrom", "currency"]
)
def test_a_clone_takes_later_updates_whole(name: str) -> None:
    assert clone(GIVEN, READ, {}, "m")[name] == READ[name]


def test_a_clone_takes_the_later_choice_of_shipping_unless_its_amount_would_be_net() -> None:
    assert clone(GIVEN, READ, {}, "m")["shippingChoice"] == {"id": "q-78", "amount": 9.0}
    choice = {"id": "q-77", "amount": 3.78, "taxAmount": 0.72}
    same = clone(GIVEN | {"taxInclusive": True}, READ | {"shippingChoice": choice}, {}, "m")
    assert same["shippingChoice"] == GIVEN["shippingChoice"]


@pytest.mark.parametrize(
    ("shown", "cloned"), [(READ["taxIdentifiers"], [{"id": "tax-1"}]), ([], []), (None, [])]
)
def test_a_clone_names_the_tax_identifiers_of_the_reading(shown: Any, cloned: Any) -> None:
    assert clone(GIVEN, READ | {"taxIdentifiers": shown}, {}, "m")["taxIdentifiers"] == cloned


def test_a_clone_has_the_later_invoice_attribute_and_metadata() -> None:
    request = clone(GIVEN, READ, {}, "m")
    assert request["invoiceAttributeId"] == "inv-1"
    assert request["metadata"] == {"basket": "b-13", MARK: "m"}
    assert "invoiceAttributes" not in request


@pytest.mark.parametrize("name", ["items", "chargeType", "taxInclusive"])
def test_a_clone_keeps_what_only_the_create_request_says(name: str) -> None:
    assert clone(GIVEN, READ, {}, "m")[name] == GIVEN[name]


# 16
@pytest.mark.parametrize("create", [True, False])
def test_a_replacement_carries_the_purchases_upstream_id(create: bool) -> None:
    world = World()
    world.open()
    del world.checkouts["c1"]["upstreamId"]
    world.begin(create=create)
    world.run()
    world.choose(world.pay("insufficient_funds"))
    world.run()
    [command] = world.planned("open_checkout")
    assert command.request["upstreamId"] == world.purchase.upstream_id == "web-1"


# 18
@pytest.mark.parametrize("missing", ["line1", "city", "postalCode", "country", "address"])
def test_a_source_owner_without_a_full_address_is_no_one_to_bill(missing: str) -> None:
    world = held()
    del world.checkouts["c1"]["billTo"]
    world.purchase = world.purchase.model_copy(update={"create_request": None})
    card = world.pay("good")
    owner = copy.deepcopy(world.sources[card]["owner"])
    (owner if missing == "address" else owner["address"]).pop(missing)
    world.sources[card]["owner"] = owner
    world.choose(card)
    world.run()
    assert where(world) == (State.HELD, Reason.CORRECTION_REQUIRED)
    paths = [field["path"] for field in (world.purchase.next_action or {})["fields"]]
    assert any(path.startswith("billTo.address") for path in paths)
    assert not world.sent


@pytest.mark.parametrize("saved", [True, False])
def test_what_is_billed_again_needs_a_source_that_can_be_charged_again(saved: bool) -> None:
    world = held()
    info = {"planId": "p", "autoRenewal": True, "terms": "monthly"}
    world.checkouts["c1"]["items"][0]["subscriptionInfo"] = info
    world.choose(world.pay("good", saved=saved))
    world.run()
    reached = (State.ACCEPTED, None) if saved else (State.HELD, Reason.PAYMENT_REQUIRED)
    assert where(world) == reached


# 19
@pytest.mark.parametrize("code", ["invalid_parameter", "missing_parameter", "unheard-of"])
def test_a_400_about_the_source_asks_for_a_payment(code: str) -> None:
    world = chosen("good")
    world.run(rejected(400, code, "sourceId"), on="submit")
    world.live(60)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert world.purchase.checkout_ids == ("c1",)


@pytest.mark.parametrize("code", ["out_of_inventory", "sku_inactive"])
def test_goods_that_can_not_be_had_are_asked_for_by_the_name_of_their_field(code: str) -> None:
    world = chosen("good", saved=True)
    world.run(rejected(409, code, "items"), on="submit")
    world.live(60)
    assert where(world) == (State.HELD, Reason.CORRECTION_REQUIRED)
    action = world.purchase.next_action or {}
    assert [field["path"] for field in action["fields"]] == ["items"]
    assert world.purchase.chain[0].condition is Condition.DEAD
    assert world.correct({"items": ITEMS})
    world.live(60)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    world.choose(world.pay("good"))
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)
    assert shows(world, world.sent[-1].checkout_id, {"items": ITEMS})


# 20
@pytest.mark.parametrize("fault", ["busy", "lost"])
@pytest.mark.parametrize("kind", ["attach_source", "update_checkout", "open_checkout"])
def test_a_change_that_the_platform_keeps_putting_off_shows_and_has_a_deadline(
    kind: str, fault: str
) -> None:
    world, reached = _put_off(kind, fault)
    world.live(45)
    assert where(world) == (State.HELD, Reason.RETRY_SCHEDULED)
    assert world.purchase.deadline is not None
    world.faults.clear()
    world.live(900)
    assert where(world) == reached


@pytest.mark.parametrize("fault", ["busy", "lost"])
@pytest.mark.parametrize("kind", ["attach_source", "update_checkout", "open_checkout"])
def test_a_change_that_is_put_off_for_ever_ends(kind: str, fault: str) -> None:
    world, _ = _put_off(kind, fault)
    world.policy = Policy(retry_deadline=timedelta(minutes=20))
    world.live(HOUR)
    assert world.purchase.state in (State.LOST, State.REVIEW)


def _put_off(kind: str, fault: str) -> tuple[World, tuple[State, Reason | None]]:
    """The platform puts this off; and what comes of it when it does no longer."""
    world = held()
    world.faults[kind] = fault
    match kind:
        case "attach_source":
            world.choose(world.pay("good"))
            return world, (State.ACCEPTED, None)
        case "update_checkout":
            world.correct({"email": EMAIL})
        case _:
            world.choose(world.pay("insufficient_funds"))
    return world, (State.HELD, Reason.PAYMENT_REQUIRED)


# 21
def test_a_look_for_an_event_that_fails_leaves_what_the_shopper_is_asked_for() -> None:
    world = held()
    asked = world.purchase.next_action
    world.attach("c1", world.pay("good"))
    world.post("checkout.updated", world.checkouts["c1"])
    world.deliver(-1)
    world.run("busy", on="read_checkout")
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert world.purchase.next_action == asked
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)


# 22
@pytest.mark.parametrize("state", ["confirmed", "processing", "chargeable"])
def test_an_event_while_the_payment_is_in_flight_is_looked_into_at_once(state: str) -> None:
    world = held()
    world.attach("c1", world.pay("good"))
    world.checkouts["c1"]["payment"]["session"]["state"] = state
    world.request(checkout_id="c1")
    world.live(100)
    assert where(world) == (State.HELD, Reason.IN_FLIGHT)
    world.resettle("c1")
    world.post("checkout.updated", world.checkouts["c1"])
    world.deliver(-1)
    world.run()
    assert where(world) == (State.ACCEPTED, None)


# 23
def test_a_source_chosen_while_the_payment_is_in_flight_is_attached_once_it_is_not() -> None:
    world = held()
    session = world.checkouts["c1"]["payment"]["session"]
    session["state"] = "processing"
    card = world.pay("good")
    assert world.choose(card)
    world.live(100)
    assert where(world) == (State.HELD, Reason.IN_FLIGHT)
    assert not world.planned("attach_source")
    world.resettle("c1")
    world.live(900)
    assert where(world) == (State.ACCEPTED, None)
    assert world.sent[0].source_id == card


@pytest.mark.parametrize("state", ["confirmed", "processing", "a_future_state"])
def test_a_payment_that_stays_in_flight_past_its_deadline_is_for_a_person(state: str) -> None:
    world = World(policy=Policy(hold_deadline=timedelta(hours=2)))
    world.open()
    world.checkouts["c1"]["payment"]["session"]["state"] = state
    world.begin()
    world.live(HOUR)
    assert where(world) == (State.HELD, Reason.IN_FLIGHT)
    world.live(2 * HOUR)
    assert where(world) == (State.REVIEW, Reason.UNDECIDED)
    assert world.alerts


# 24
@pytest.mark.parametrize(
    ("refusal", "tries"),
    [
        (rejected(400, "order_submit_failed"), 1),
        (rejected(400, "missing_parameter", "shipping.name"), 2),
        (rejected(400, "invalid_parameter", "email"), 2),
    ],
    ids=["session", "name", "email"],
)
def test_only_a_refused_session_spoils_the_one_attempt_for_nothing(
    refusal: Any, tries: int
) -> None:
    world = World()
    world.open(0.0)
    world.checkouts["c1"]["payment"]["session"]["state"] = "requires_source"
    world.begin()
    world.run(refusal, on="submit")
    world.correct({"email": EMAIL, "shipTo": {"name": "B"}})
    world.checkouts["c1"]["payment"]["session"]["state"] = "requires_source"
    world.faults["submit"] = "busy"
    world.live(1)
    assert len(world.sent) == tries


# -- a checkout that is gone


def deleted(world: World, checkout_id: str) -> None:
    """The platform tells that somebody deleted this checkout."""
    gone = world.checkouts.pop(checkout_id)
    world.post("checkout.deleted", gone)
    world.deliver(-1)


def test_a_person_learns_of_a_checkout_that_is_gone_before_the_shopper_comes_back_to_it() -> None:
    world = held()
    deleted(world, "c1")
    world.live(300)
    assert where(world) == (State.REVIEW, Reason.CHECKOUT_NOT_FOUND)
    assert world.alerts == ["checkout_not_found"]


def test_a_checkout_that_was_replaced_may_go() -> None:
    world = held()
    assert world.request(checkoutId=world.open())
    world.run()
    before = world.purchase
    deleted(world, "c1")
    assert world.purchase == before


def test_an_event_of_a_deleted_checkout_is_routed_by_what_it_was() -> None:
    event = Envelope.model_validate(
        {
            **{"id": "e1", "type": "checkout.deleted", "createdTime": "2024-05-02T09:00:00Z"},
            "data": {"object": {}, "previousAttributes": {"id": "c1"}},
        }
    )
    assert route(event.type, event.data.resource) == Route((("checkout", "c1"),))

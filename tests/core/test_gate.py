"""The gate: PLATFORM §3.1, §3.2, §3.4, §4.5 and DESIGN I1, I11, I12, seen from outside."""

from datetime import timedelta
from typing import Any

import pytest

from schemas.money import Money
from tests.core.world import World

NOT_READY = (
    *("requires_source", "requires_action", "confirmed", "processing", "chargeable"),
    *("pending_redirect", "pending_funds", "pending", "complete", "failed", "cancelled"),
    *("a_future_state", "", None),
)


def ready(total: float = 64.86) -> World:
    """A checkout that has a source and passes the gate."""
    world = World()
    id = world.open(total)
    world.attach(id, world.pay("good", checkout=id))
    return world


def session(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.checkouts["c1"]["payment"]["session"]
    return found


def test_a_ready_checkout_is_submitted_once() -> None:
    world = ready()
    world.begin()
    world.run()
    assert len(world.sent) == 1
    assert world.purchase.state == "accepted"


@pytest.mark.parametrize("remaining", [0.0, 64.86, None])
@pytest.mark.parametrize("state", NOT_READY)
def test_no_other_state_passes_whatever_remains(state: str | None, remaining: float | None) -> None:
    world = ready()
    session(world).update(state=state, amountRemainingToBeContributed=remaining)
    world.begin()
    world.run()
    assert not world.sent
    assert world.purchase.state in ("held", "review", "pending")
    assert world.decisions[-1].rule


@pytest.mark.parametrize("remaining", [0.01, 10.0, -0.01, None])
def test_the_safe_state_alone_is_not_enough(remaining: float | None) -> None:
    world = ready()
    session(world)["amountRemainingToBeContributed"] = remaining
    world.begin()
    world.run()
    assert not world.sent
    assert world.purchase.state == "held"


@pytest.mark.parametrize("contributed", [0.0, 64.0, 70.0])
def test_contributions_that_do_not_make_the_total_do_not_pass(contributed: float) -> None:
    world = ready()
    session(world)["amountContributed"] = contributed
    world.begin()
    world.run()
    assert not world.sent


def test_float_noise_is_not_a_difference() -> None:
    world = ready(53.77)
    session(world)["amountContributed"] = 53.769999999999996
    world.begin(confirmed_total=Money(amount=53.77, currency="EUR"))
    world.run()
    assert len(world.sent) == 1


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("requires_source", "payment_required"),
        ("requires_action", "step_up_required"),
        ("confirmed", "in_flight"),
        ("processing", "in_flight"),
        ("chargeable", "in_flight"),
    ],
)
def test_a_hold_says_why(state: str, reason: str) -> None:
    world = ready()
    session(world)["state"] = state
    if state == "requires_source":
        world.checkouts["c1"]["payment"]["sources"] = []
        session(world).update(amountContributed=0.0, amountRemainingToBeContributed=64.86)
    world.begin()
    world.run()
    assert (world.purchase.state, world.purchase.reason) == ("held", reason)


@pytest.mark.parametrize("state", ["requires_confirmation", "requires_source"])
def test_a_zero_total_without_a_source_is_submitted(state: str) -> None:
    world = World()
    world.open(0.0)
    session(world)["state"] = state
    world.begin()
    world.run()
    assert len(world.sent) == 1


def test_an_unknown_state_does_not_pass_even_for_nothing() -> None:
    world = World()
    world.open(0.0)
    session(world)["state"] = "a_future_state"
    world.begin()
    world.run()
    assert not world.sent


def test_a_zero_total_refused_for_its_session_is_not_tried_again() -> None:
    world = World()
    world.open(0.0)
    session(world)["state"] = "requires_source"
    world.begin()
    world.run()  # the world answers 400 order_submit_failed
    world.live(600)
    assert len(world.sent) == 1
    assert world.purchase.state == "held"


def test_a_free_trial_needs_a_source_all_the_same() -> None:
    world = World()
    world.open(0.0)
    session(world)["state"] = "requires_source"
    item = world.checkouts["c1"]["items"][0]
    item |= {
        "amount": 0.0,
        "subscriptionInfo": {"planId": "p", "autoRenewal": True, "terms": "t", "freeTrial": True},
    }
    world.begin()
    world.run()
    assert not world.sent
    assert world.purchase.reason == "payment_required"


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("email",), None, "email"),
        (("email",), "no address", "email"),
        (("shipTo", "name"), None, "shipTo.name"),
        (("shipTo", "address", "line1"), None, "shipTo.address.line1"),
        (("shipTo", "address", "city"), None, "shipTo.address.city"),
        (("shipTo", "address", "postalCode"), None, "shipTo.address.postalCode"),
        (("shipTo", "address", "postalCode"), "1011", "shipTo.address.postalCode"),
        (("shipTo", "address", "country"), None, "shipTo.address.country"),
        (("shipFrom", "address", "country"), None, "shipFrom.address.country"),
        (("billTo", "address", "postalCode"), "1011", "billTo.address.postalCode"),
    ],
)
def test_missing_or_malformed_data_is_asked_for_before_submitting(
    path: tuple[str, ...], value: Any, field: str
) -> None:
    world = ready()
    place: Any = world.checkouts["c1"]
    for name in path[:-1]:
        place[name] = dict(place[name])
        place = place[name]
    place[path[-1]] = value
    world.begin(create=False)
    world.run()
    assert not world.sent
    assert world.purchase.reason == "correction_required"
    action = world.purchase.next_action or {}
    assert field in [f["path"] for f in action["fields"]]


@pytest.mark.parametrize(
    ("country", "state", "code", "fine"),
    [
        ("US", "MN", "55343", True),
        ("US", "MN", "55343-1234", True),
        ("US", "GU", "96910", True),
        ("US", "XX", "55343", False),
        ("US", None, "55343", False),
        ("US", "MN", "5534", False),
        ("CA", "ON", "K1A 0B1", True),
        ("CA", "ON", "K1A0B1", True),
        ("CA", "ON", "D1A 0B1", False),
        ("CA", "ON", "W1A 0B1", False),
        ("CA", "ON", "K1O 0B1", False),
        ("GB", None, "SW1A 1AA", True),
        ("GB", None, "GIR 0AA", True),
        ("GB", None, "12345", False),
        ("DE", None, "10115", True),
        ("FR", None, "7500", False),
        ("ES", None, "280011", False),
        ("IT", None, "0018A", False),
        ("JP", None, "anything", True),
    ],
)
def test_postal_codes_and_states_follow_appendix_c(
    country: str, state: str | None, code: str, fine: bool
) -> None:
    world = ready()
    address = {"line1": "1 Road", "city": "Town", "postalCode": code, "country": country}
    address |= {"state": state} if state else {}
    for party in ("shipTo", "billTo"):
        world.checkouts["c1"][party] = {"name": "Ada", "email": "a@b.test", "address": address}
    world.begin(create=False)
    world.run()
    assert bool(world.sent) is fine


def test_the_sources_owner_stands_in_for_bill_to() -> None:
    world = ready()
    del world.checkouts["c1"]["billTo"]
    world.begin(create=False)
    world.run()
    assert len(world.sent) == 1


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ({"state": "cancelled"}, False),
        ({"state": "failed"}, False),
        ({"state": "requires_action"}, False),
        ({"state": "consumed"}, True),  # on this very session: §8 #49
        ({"state": "pending_redirect", "flow": "redirect", "type": "klarnaCredit"}, True),
        ({"state": "pending_redirect", "flow": "redirect", "type": "payPal"}, False),
        ({"state": "pending_funds", "flow": "receiver", "type": "wireTransfer"}, True),
        ({"creditCard": {"expirationMonth": 4, "expirationYear": 2024}}, False),
        ({"creditCard": {"expirationMonth": 5, "expirationYear": 2024}}, True),
        ({"reusable": True, "customerId": "cust-1"}, False),  # the checkout has no customer
    ],
)
def test_an_unusable_source_is_not_submitted(fields: dict[str, Any], passes: bool) -> None:
    world = ready()
    world.sources["src2"] |= fields
    world.begin()
    world.run()
    assert bool(world.sent) is passes


def test_a_blocked_customer_is_for_a_person() -> None:
    world = ready()
    world.checkouts["c1"]["customerId"] = "cust-1"
    world.customer = {"id": "cust-1", "enabled": False}
    world.begin()
    world.run()
    assert not world.sent
    assert world.purchase.state == "review"


@pytest.mark.parametrize(
    "total", [Money(amount=64.85, currency="EUR"), Money(amount=64.86, currency="USD")]
)
def test_another_total_or_currency_waits_for_the_shopper(total: Money) -> None:
    world = ready()
    world.begin(confirmed_total=total)
    world.run()
    assert not world.sent
    assert world.purchase.reason == "confirmation_required"
    action = world.purchase.next_action or {}
    assert action["action"] == "confirm_total"
    assert world.agree()
    world.run()
    assert len(world.sent) == 1


def test_a_later_call_without_a_total_renews_consent_and_not_the_total() -> None:
    world = ready()
    world.begin(confirmed_total=Money(amount=1.0, currency="EUR"))
    world.run()
    world.request(checkout_id="c1")
    world.run()
    assert not world.sent


def test_a_shopper_who_left_is_asked_again() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    card = world.pay("good")
    world.advance(timedelta(minutes=31).total_seconds())
    world.attach("c1", card)
    world.post("checkout.updated", world.checkouts["c1"])
    world.deliver()
    world.run()
    assert not world.sent
    assert world.purchase.reason == "confirmation_required"
    assert world.agree()
    world.run()
    assert len(world.sent) == 1


def test_a_merchant_who_submits_is_told_that_it_is_ready_and_nothing_is_sent() -> None:
    world = ready()
    world.begin(submits="merchant")
    world.run()
    assert (world.purchase.state, world.purchase.reason) == ("held", "ready")
    assert world.purchase.next_action is None
    assert not world.sent
    assert world.request(checkout_id="c1", submits="service")
    world.run()
    assert len(world.sent) == 1


@pytest.mark.parametrize(
    ("behaviour", "state", "reason", "action"),
    [
        ("good", "accepted", None, None),
        ("watched", "pending", "fraud_review", None),
        ("redirect", "pending", "redirect", "redirect"),
        ("funds", "pending", "funds", "show_payment_instructions"),
        ("slow", "pending", "processing", None),
    ],
)
def test_a_201_is_recorded_by_the_matrix(
    behaviour: str, state: str, reason: str | None, action: str | None
) -> None:
    world = World()
    id = world.open()
    world.attach(id, world.pay(behaviour, checkout=id))
    world.begin()
    world.run()
    assert (world.purchase.state, world.purchase.reason) == (state, reason)
    assert (world.purchase.next_action or {}).get("action") == action
    world.request(checkout_id="c1")
    world.live(3600)
    assert len(world.sent) == 1


@pytest.mark.parametrize("behaviour", ["redirect", "funds", "slow", "watched"])
@pytest.mark.parametrize("end", ["accepted", "cancelled", "blocked"])
def test_an_order_event_settles_what_is_pending(behaviour: str, end: str) -> None:
    world = World()
    id = world.open()
    world.attach(id, world.pay(behaviour, checkout=id))
    world.begin()
    world.run()
    world.move(next(iter(world.orders)), end, "complete" if end == "accepted" else "failed")
    while world.mail:
        world.deliver()
        world.run()
    state = world.purchase.state
    if end == "accepted":
        assert state == "accepted"
    elif end == "blocked":
        assert (state, world.purchase.reason) == ("lost", "blocked")
    else:
        assert state in ("held", "lost")
    assert len(world.sent) == 1


def test_an_unknown_order_state_is_not_fulfilled_not_cloned_and_alerts() -> None:
    world = World()
    id = world.open()
    world.attach(id, world.pay("strange", checkout=id))
    world.begin()
    world.run()
    world.live(600)
    assert world.alerts
    assert world.purchase.checkout_ids == (id,)
    assert world.purchase.state in ("pending", "review")

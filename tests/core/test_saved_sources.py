"""PLATFORM §5.5, one test per row: guests, customers, and the sources that they saved."""

import copy
from datetime import datetime
from typing import Any

import pytest

from handlers.presentation import view
from handlers.saved import listed
from schemas.results import Rejected, Succeeded
from tests.core.world import REQUEST, START, World, rejected

CARD = {"brand": "Visa", "lastFourDigits": "4242", "expirationMonth": 1, "expirationYear": 2031}


def begun(*, customer: bool = False, **changes: Any) -> World:
    """A checkout without a source, handed over; perhaps a customer's."""
    world = World()
    world.open(request=REQUEST | changes)
    if customer:
        world.register(checkout="c1")
    world.begin(createRequest=REQUEST | changes)
    world.run()
    return world


def saved(world: World, behaviour: str = "good", customer: str = "cust-1") -> str:
    """A saved source of a customer."""
    id = world.pay(behaviour, saved=True)
    world.sources[id] |= {"customerId": customer, "paymentSessionId": None}
    return id


def refused(world: World) -> tuple[str | None, str | None]:
    """Why the purchase is held, and what the shopper reads."""
    return world.purchase.reason, world.purchase.message


def shown(world: World, *sources: dict[str, Any], now: datetime = START) -> list[str]:
    customer = {"id": "cust-1", "sources": list(sources)}
    return [one["id"] for one in listed(world.purchase, customer, now)]


def source(id: str = "s1", **fields: Any) -> dict[str, Any]:
    found = {"id": id, "type": "creditCard", "reusable": True, "state": "chargeable"}
    return found | {"creditCard": CARD, "clientSecret": f"{id}_x"} | fields


# Guest


def test_guest_a_source_is_attached_unsaved_and_it_shows() -> None:
    world = begun()
    world.choose(world.pay(), save=True)
    world.run()
    assert world.purchase.state == "accepted"
    assert "source.nobody_to_save_for" in world.rules
    assert not world.planned("save_source")


# Registered


def test_registered_the_customer_of_the_checkout_goes_to_the_replacement() -> None:
    world = begun(customer=True, customerId="cust-1")
    world.choose(saved(world, "insufficient_funds"))
    world.run()
    assert world.checkouts[world.purchase.current.checkout_id]["customerId"] == "cust-1"


def test_registered_no_source_is_taken_over_by_the_replacement() -> None:
    world = begun(customer=True, customerId="cust-1", sourceId="src-default")
    world.choose(saved(world, "insufficient_funds"))
    world.run()
    assert [c.request.get("sourceId") for c in world.planned("open_checkout")] == [None]
    assert world.purchase.reason == "payment_required"


# Save


def test_save_the_source_is_saved_before_it_is_attached() -> None:
    world = begun(customer=True)
    card = world.pay()
    world.choose(card, save=True)
    world.run()
    kinds = [p.command.kind for d in world.decisions for p in d.commands]
    assert kinds.index("save_source") < kinds.index("attach_source") < kinds.index("submit")
    assert world.sources[card]["reusable"]
    assert world.purchase.state == "accepted"


def test_save_nothing_is_saved_unasked() -> None:
    world = begun(customer=True)
    world.choose(world.pay())
    world.run()
    assert not world.planned("save_source")
    assert world.purchase.state == "accepted"


def test_save_what_is_saved_already_is_attached_at_once() -> None:
    world = begun(customer=True)
    world.choose(saved(world), save=True)
    world.run()
    assert not world.planned("save_source")
    assert world.purchase.state == "accepted"


@pytest.mark.parametrize("fault", ["lost", "cut", "late", "stalled", "died", "busy"])
def test_save_an_answer_that_is_lost_is_read_and_costs_nothing(fault: str) -> None:
    world = begun(customer=True)
    card = world.pay()
    world.choose(card, save=True)
    world.run(fault, on="save_source")
    world.live(600)
    assert world.purchase.state == "accepted"
    assert world.sources[card]["reusable"]


def test_save_without_any_answer_it_is_attached_unsaved_in_the_end() -> None:
    world = begun(customer=True)
    world.faults["save_source"] = "lost"
    world.choose(world.pay(), save=True)
    world.live(600)
    assert world.purchase.state == "accepted"
    assert "source.saving_given_up" in world.rules


def test_save_a_source_that_is_attached_already_is_left_as_it_is() -> None:
    world = begun(customer=True)
    card = world.pay()
    world.attach("c1", card)
    world.choose(card, save=True)
    world.run()
    assert "source.attached_unsaved" in world.rules
    assert world.purchase.state == "accepted"


# Save errors


@pytest.mark.parametrize(
    "answer",
    [rejected(409, "nonreusable_source"), rejected(409, "source_not_chargeable", "sourceId")],
)
def test_save_errors_do_not_cost_the_shopper_the_order(answer: Rejected) -> None:
    world = begun(customer=True)
    world.choose(world.pay(), save=True)
    world.run(answer, on="save_source")
    assert "source.not_saved" in world.rules
    assert world.purchase.state == "accepted"


def test_save_errors_hold_what_is_billed_again() -> None:
    info = {"autoRenewal": True, "terms": "t", "planId": "p", "freeTrial": False}
    items = [{"skuId": "kbd-1", "quantity": 1, "price": 50.0, "subscriptionInfo": info}]
    world = begun(customer=True, items=items)
    world.choose(world.pay(), save=True)
    world.run(rejected(409, "nonreusable_source"), on="save_source")
    assert not world.sent
    assert "gate.source_not_saved" in world.rules


# Remove


@pytest.mark.parametrize("state", ["cancelled", "failed", "consumed"])
def test_remove_a_source_that_is_gone_is_not_attached(state: str) -> None:
    world = begun(customer=True)
    card = saved(world)
    world.sources[card]["state"] = state
    world.choose(card)
    world.run()
    assert refused(world) == ("payment_required", "payment.source_gone")
    assert not world.planned("attach_source")
    assert world.decisions[-1].evidence["sourceState"] == state


def test_remove_a_source_that_nobody_knows_is_not_attached() -> None:
    world = begun(customer=True)
    world.choose("src-nobody")
    world.run()
    assert refused(world) == ("payment_required", "payment.source_gone")


def test_remove_a_source_removed_between_choice_and_attachment_asks_for_another() -> None:
    world = begun(customer=True)
    card = saved(world)
    world.choose(card)
    world.until("attach_source")
    world.remove(card)
    world.run()
    assert refused(world) == ("payment_required", "payment.choose_another")
    world.choose(world.pay())
    world.run()
    assert world.purchase.state == "accepted"


def test_an_expired_card_is_not_attached() -> None:
    world = begun(customer=True)
    card = saved(world)
    world.sources[card]["creditCard"] = {"expirationMonth": 4, "expirationYear": 2024}
    world.choose(card)
    world.run()
    assert refused(world) == ("payment_required", "payment.source_expired")
    assert not world.planned("attach_source")


# Use


def test_use_a_saved_source_pays_the_checkout_of_its_customer() -> None:
    world = begun(customer=True)
    world.choose(saved(world))
    world.run()
    assert world.purchase.state == "accepted"


def test_use_the_checkout_is_told_the_customer_that_the_own_request_names() -> None:
    world = World()
    world.open()
    world.register()
    world.begin(createRequest=REQUEST | {"customerId": "cust-1"})
    world.run()
    world.choose(saved(world))
    world.run()
    assert [c.changes for c in world.planned("update_checkout")] == [{"customerId": "cust-1"}]
    assert world.purchase.state == "accepted"


@pytest.mark.parametrize("named", [None, "cust-2"])
def test_use_another_customers_source_is_refused(named: str | None) -> None:
    world = World()
    world.open()
    world.register("cust-2", "c1" if named else None)
    world.begin()
    world.run()
    world.choose(saved(world, customer="cust-1"))
    world.run()
    assert refused(world) == ("payment_required", "payment.choose_another")
    assert "source.of_another" in world.rules
    assert not world.planned("attach_source")
    assert not world.planned("update_checkout")


def test_use_a_customer_that_the_checkout_does_not_take_is_named_once() -> None:
    world = World()
    world.open()
    world.register()
    world.begin(createRequest=REQUEST | {"customerId": "cust-1"})
    world.run()
    world.choose(saved(world))
    slot = world.until("update_checkout")
    answer = world.send(slot)
    world.checkouts["c1"].pop("customerId")  # it says yes and does not do it
    world.answer(slot, answer)
    world.run()
    assert len(world.planned("update_checkout")) == 1
    assert "source.of_another" in world.rules


# authenticateSource results, SCA scope


@pytest.mark.parametrize(
    ("charge", "asked"),
    [("customer_initiated", True), ("merchant_initiated", False), ("moto", False), (None, True)],
)
def test_sca_scope_only_customer_initiated_charges_are_authenticated(
    charge: str | None, asked: bool
) -> None:
    world = begun(customer=True, chargeType=charge)
    found = listed(world.purchase, {"id": "cust-1", "sources": [source()]}, START)
    assert [one["authenticate"] for one in found] == [asked]


def test_authenticate_results_a_saved_source_may_be_chosen_once_more_after_failing() -> None:
    world = begun(customer=True)
    card = saved(world, "authentication_required")
    world.choose(card)
    world.run()
    world.behaviour[card] = "good"  # now the front end authenticates it on the new session
    assert world.choose(card)
    world.run()
    assert world.purchase.state == "accepted"
    assert len(world.purchase.chain) == 2


# Server-side ability: what is shown, so that the front end can do it


def test_server_side_ability_a_saved_source_is_shown_with_what_the_front_end_needs() -> None:
    world = begun(customer=True)
    assert listed(world.purchase, {"id": "cust-1", "sources": [source()]}, START) == [
        {
            "id": "s1",
            "type": "creditCard",
            "brand": "Visa",
            "lastFour": "4242",
            "expires": "2031-01",
            "clientSecret": "s1_x",
            "authenticate": True,
        }
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "cancelled"},
        {"state": "consumed"},
        {"state": None},
        {"reusable": False},
        {"reusable": None},
        {"customerId": "cust-2"},
        {"creditCard": {"expirationMonth": 4, "expirationYear": 2024}},
        {"id": None},
    ],
)
def test_only_usable_sources_are_offered(fields: dict[str, Any]) -> None:
    world = begun(customer=True)
    assert shown(world, source("s2"), source(**fields), source("s3")) == ["s2", "s3"]


def test_a_card_is_offered_until_its_last_month_ends() -> None:
    world = begun(customer=True)
    card = source(creditCard=CARD | {"expirationMonth": 5, "expirationYear": 2024})
    assert shown(world, card, now=START) == ["s1"]
    assert shown(world, card, now=datetime.fromisoformat("2024-06-01T00:00:00Z")) == []


@pytest.mark.parametrize("sources", [None, 3, {}, ["x", None, {"id": 7}]])
def test_a_customer_of_another_shape_has_no_saved_sources(sources: Any) -> None:
    world = begun(customer=True)
    assert listed(world.purchase, {"id": "cust-1", "sources": sources}, START) == []


# Fallback order for automatic source choice: there is none


def test_fallback_a_declined_saved_source_is_neither_offered_nor_taken_again() -> None:
    world = begun(customer=True)
    card = saved(world, "insufficient_funds")
    world.choose(card)
    world.run()
    assert shown(world, source(card), source("other")) == ["other"]
    attached = len(world.planned("attach_source"))
    world.choose(card)
    world.run()
    assert len(world.planned("attach_source")) == attached
    assert len(world.sent) == 1


def test_fallback_no_source_is_charged_in_place_of_the_one_that_was_refused() -> None:
    world = begun(customer=True)
    first, second = saved(world), saved(world)
    world.checkouts["c1"]["totalAmount"] = 70.0  # so that the first one waits for a word
    world.choose(first)
    world.run()
    assert world.purchase.reason == "confirmation_required"
    world.remove(second)
    world.choose(second)
    world.run()
    assert refused(world) == ("payment_required", "payment.source_gone")
    world.agree()
    world.post("checkout.updated", world.checkouts["c1"])
    world.deliver(-1)
    world.run()
    assert not world.sent
    assert refused(world) == ("payment_required", "payment.source_gone")
    world.choose(first)  # the shopper says so
    world.run()
    assert [sent.source_id for sent in world.sent] == [first]


def test_fallback_a_default_source_that_a_replacement_inherits_is_not_charged() -> None:
    world = begun(customer=True, customerId="cust-1")
    card = saved(world)
    world.choose(world.pay("insufficient_funds"))
    slot = world.until("open_checkout")
    opened = world.send(slot)
    assert isinstance(opened, Succeeded)
    world.attach(opened.body["id"], card)
    shown = copy.deepcopy(world.checkouts[opened.body["id"]])
    world.answer(slot, opened.model_copy(update={"body": shown}))
    world.run()
    assert len(world.sent) == 1
    assert world.purchase.reason == "payment_required"
    world.choose(card)
    world.run()
    assert [sent.source_id for sent in world.sent][1:] == [card]


def test_what_a_refused_source_was_like_is_not_told_to_shoppers() -> None:
    world = begun(customer=True)
    world.choose(saved(world, customer="cust-9"))
    world.run()
    text = view(world.purchase, shop=True).model_dump_json()
    assert "cust-9" not in text
    assert "another customer" not in text

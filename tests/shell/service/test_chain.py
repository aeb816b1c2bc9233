"""Which purchase a call is about, who submits, and cancelling."""

import asyncio

import pytest

from tests.shell.service.serving import OPS, READ, eventually
from tests.shell.service.stage import DECLINED_CARD, TOTAL, Json, Stage, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def request(checkout_id: str, upstream: str, **more: object) -> Json:
    return {"checkoutId": checkout_id, "upstreamId": upstream, **more}


async def test_the_same_checkout_again_is_the_same_purchase(stage: Stage) -> None:
    checkout = await stage.checkout()
    body = request(checkout.id, checkout.upstream)
    first = await stage.call("POST", "/v1/purchases", body)
    again = await stage.call("POST", "/v1/purchases", body)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]


async def test_one_checkout_handed_over_many_times_at_once_becomes_one_order(
    stage: Stage,
) -> None:
    checkout = await stage.paid()
    body = request(checkout.id, checkout.upstream, createRequest=checkout.request)
    calls = [stage.call("POST", "/v1/purchases", body, wait=15) for _ in range(12)]
    answers = await asyncio.gather(*calls)
    assert len({answer.json()["id"] for answer in answers}) == 1
    await stage.reaches(answers[0].json(), "accepted")
    assert len(stage.submissions(checkout.upstream)) == 1
    stage.in_order(checkout.upstream)


async def test_a_new_checkout_joins_while_held_and_supersedes_the_unsubmitted_one(
    stage: Stage,
) -> None:
    old = await stage.checkout()
    held = await stage.buy(old)
    new = await stage.paid(upstreamId=old.upstream)
    answer = await stage.call(
        "POST", "/v1/purchases", request(new.id, old.upstream, createRequest=new.request)
    )
    assert (answer.status_code, answer.json()["id"]) == (202, held["id"])
    done = await stage.reaches(held, "accepted")
    assert (done["checkoutIds"], done["order"]["checkoutId"]) == ([old.id, new.id], new.id)
    assert [s["checkoutId"] for s in stage.submissions(old.upstream)] == [new.id]


async def test_a_new_checkout_is_refused_while_the_outcome_is_unknown(stage: Stage) -> None:
    old = await stage.paid()
    await stage.fault(old, "before_commit")
    unknown = await stage.buy(old)
    new = await stage.paid(upstreamId=old.upstream)
    answer = await stage.call("POST", "/v1/purchases", request(new.id, old.upstream))
    assert (answer.status_code, answer.json()["state"]) == (409, "unknown")
    await stage.reaches(unknown, "accepted", seconds=20.0)
    assert {s["checkoutId"] for s in stage.submissions(old.upstream)} == {old.id}


async def test_a_new_checkout_of_an_accepted_purchase_changes_nothing(stage: Stage) -> None:
    old = await stage.paid()
    done = await stage.buy(old)
    new = await stage.paid(upstreamId=old.upstream)
    answer = await stage.call("POST", "/v1/purchases", request(new.id, old.upstream))
    assert (answer.status_code, answer.json()["id"]) == (200, done["id"])
    assert answer.json()["state"] == "accepted"
    assert len(stage.submissions(old.upstream)) == 1


async def test_after_a_lost_purchase_the_upstream_id_begins_a_new_one(stage: Stage) -> None:
    old = await stage.checkout()
    held = await stage.buy(old)
    lost = await stage.tell(held, "cancel")
    assert (lost["state"], lost["reason"]) == ("lost", "cancelled")
    new = await stage.paid(upstreamId=old.upstream)
    answer = await stage.call("POST", "/v1/purchases", request(new.id, old.upstream), wait=15)
    assert answer.json()["id"] != held["id"]
    assert answer.json()["state"] == "accepted"


async def test_checkout_and_upstream_id_of_two_purchases_is_a_conflict_that_names_both(
    stage: Stage,
) -> None:
    one, two = await stage.checkout(), await stage.checkout()
    first, second = await stage.buy(one), await stage.buy(two)
    answer = await stage.call("POST", "/v1/purchases", request(one.id, two.upstream))
    assert answer.status_code == 409
    assert {p["id"] for p in answer.json()["purchases"]} == {first["id"], second["id"]}


async def test_where_the_merchant_submits_nothing_is_posted_until_it_hands_over(
    stage: Stage,
) -> None:
    checkout = await stage.paid()
    ready = await stage.buy(checkout, submits="merchant")
    assert (ready["state"], ready["reason"]) == ("held", "ready")
    assert ready["shopper"]["nextAction"] is None
    total = {"checkoutId": checkout.id, "totalAmount": TOTAL, "currency": "EUR"}
    ready = await stage.tell(ready, "confirmation", total)
    assert (ready["state"], ready["reason"]) == ("held", "ready")
    assert stage.submissions(checkout.upstream) == []
    done = await stage.buy(checkout, submits="service")
    assert done["state"] == "accepted"


async def test_where_the_merchant_submits_its_order_is_recognised_by_the_events(
    stage: Stage,
) -> None:
    checkout = await stage.paid()
    ready = await stage.buy(checkout, submits="merchant")
    order = await stage.platform("POST", "/orders", {"checkoutId": checkout.id})
    done = await stage.reaches(ready, "accepted")
    assert done["orderId"] == order["id"]
    assert len(stage.submissions(checkout.upstream)) == 1


async def test_cancelled_while_held_is_lost_at_once(stage: Stage) -> None:
    checkout = await stage.checkout()
    held = await stage.buy(checkout)
    lost = await stage.tell(held, "cancel")
    assert (lost["state"], lost["reason"]) == ("lost", "cancelled")
    await stage.attach(checkout.id, await stage.source(checkout.session))
    again = await stage.call("POST", f"/v1/purchases/{held['id']}/cancel")
    assert again.status_code == 202
    assert stage.submissions(checkout.upstream) == []


async def test_cancelled_while_unknown_the_order_that_is_found_is_taken_back(
    stage: Stage,
) -> None:
    checkout = await stage.paid()
    await stage.fault(checkout, "late_commit", seconds=0.7)
    unknown = await stage.buy(checkout)
    assert unknown["state"] == "unknown"
    answer = await stage.call("POST", f"/v1/purchases/{unknown['id']}/cancel")
    assert answer.status_code == 202
    assert answer.json()["state"] == "unknown"
    await stage.reaches(unknown, "lost", "cancelled")
    [order] = stage.orders(checkout.upstream, live=False)
    assert order["state"] == "cancelled"
    assert len(stage.submissions(checkout.upstream)) == 1


async def test_cancelled_while_unknown_without_an_order_is_lost_after_settling(
    stage: Stage,
) -> None:
    checkout = await stage.paid()
    await stage.fault(checkout, "before_commit")
    unknown = await stage.buy(checkout)
    await stage.tell(unknown, "cancel", wait=0)
    await stage.reaches(unknown, "lost", "cancelled")
    assert len(stage.submissions(checkout.upstream)) == 1
    assert stage.orders(checkout.upstream) == []


async def test_cancelled_while_the_order_is_in_review_it_is_taken_back(stage: Stage) -> None:
    checkout = await stage.paid(last="Review")
    pending = await stage.buy(checkout)
    assert (pending["state"], pending["reason"]) == ("pending", "processing")
    await stage.tell(pending, "cancel", wait=0)
    await stage.eventually(pending, lambda p: p["state"] in ("lost", "accepted"))
    lost = await stage.reaches(pending, "lost", "cancelled")
    assert lost["order"]["state"] == "cancelled"
    assert stage.orders(checkout.upstream) == []


async def test_an_accepted_purchase_can_no_longer_be_cancelled(stage: Stage) -> None:
    checkout = await stage.paid()
    done = await stage.buy(checkout)
    answer = await stage.call("POST", f"/v1/purchases/{done['id']}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (409, "accepted")
    assert len(stage.orders(checkout.upstream)) == 1


async def test_an_own_event_hands_a_checkout_over_once(stage: Stage) -> None:
    checkout = await stage.paid()
    event = own_event(f"evt-{checkout.id}", request(checkout.id, checkout.upstream))
    for _ in range(2):
        answer = await stage.call("POST", "/v1/events", event)
        assert answer.status_code == 202
    done = await found(stage, checkout.id)
    await stage.reaches(done, "accepted")
    assert len(stage.submissions(checkout.upstream)) == 1


async def stale_letter(stage: Stage, checkout_id: str, body: Json) -> Json:
    """What becomes of an event of the storefront that is years old."""
    old = own_event(f"old-{checkout_id}", body, "2024-05-02T09:05:00Z")
    assert (await stage.call("POST", "/v1/events", old)).status_code == 202
    letter = await dead_letter(stage, checkout_id)
    assert letter["reason"] == "stale"
    listed = await stage.call("GET", f"/v1/purchases?checkoutId={checkout_id}", token=READ)
    assert listed.json()["data"] == []
    return letter


async def test_a_stale_own_event_submits_nothing_until_it_is_sent_anew(stage: Stage) -> None:
    checkout = await stage.paid()
    body = request(checkout.id, checkout.upstream)
    await stale_letter(stage, checkout.id, body)
    assert stage.submissions(checkout.upstream) == []
    anew = own_event(f"anew-{checkout.id}", body)
    assert (await stage.call("POST", "/v1/events", anew)).status_code == 202
    await stage.reaches(await found(stage, checkout.id), "accepted")


async def test_a_stale_own_event_counts_as_fresh_when_it_is_redriven(stage: Stage) -> None:
    checkout = await stage.paid()
    letter = await stale_letter(stage, checkout.id, request(checkout.id, checkout.upstream))
    path = f"/v1/dead-letters/{letter['id']}/redrive"
    assert (await stage.call("POST", path, token=OPS)).status_code == 202
    # Fresh, but the shopper is long gone: they confirm again (I12).
    await stage.reaches(await found(stage, checkout.id), "held", "confirmation_required")


def own_event(id: str, body: Json, created: str = "2099-01-01T00:00:00Z") -> Json:
    return {
        "id": id,
        "type": "purchase.submit_requested",
        "data": {"object": body},
        "createdTime": created,
    }


async def found(stage: Stage, checkout_id: str) -> Json:
    """The purchase of a checkout, once the router made it."""

    async def listed() -> list[Json]:
        answer = await stage.call("GET", f"/v1/purchases?checkoutId={checkout_id}", token=OPS)
        data: list[Json] = answer.json()["data"]
        return data

    purchases: list[Json] = await eventually(listed)
    return purchases[0]


async def test_an_own_event_in_conflict_is_a_dead_letter_that_can_be_redriven(
    stage: Stage,
) -> None:
    one, two = await stage.checkout(), await stage.checkout()
    await stage.buy(one)
    held = await stage.buy(two)
    event = own_event(f"conflict-{one.id}", request(one.id, two.upstream))
    assert (await stage.call("POST", "/v1/events", event)).status_code == 202
    letter = await dead_letter(stage, one.id)
    assert letter["origin"] == "merchant"
    assert letter["reason"]
    again = await stage.call("POST", f"/v1/dead-letters/{letter['id']}/redrive", token=OPS)
    assert again.status_code == 202
    back = await dead_letter(stage, one.id)
    assert back["id"] == letter["id"]  # still in conflict: it comes back, once
    assert (await stage.purchase(held["id"]))["state"] == "held"


async def dead_letter(stage: Stage, text: str) -> Json:
    """The dead letter whose body holds this text."""

    async def listed() -> list[Json]:
        answer = await stage.call("GET", "/v1/dead-letters?limit=100", token=OPS)
        return [letter for letter in answer.json()["data"] if text in str(letter["body"])]

    letters: list[Json] = await eventually(listed)
    return letters[0]


async def test_an_unreadable_event_is_a_visible_dead_letter_and_stops_nothing(
    stage: Stage,
) -> None:
    checkout = await stage.paid()
    poison = {"id": checkout.id, "items": "none", "checkoutId": {"not": "text"}}
    stage.sandbox.world.emit("order.accepted", True, poison)
    stage.sandbox.world.emit("checkout.updated", True, {"id": ["x"], "metadata": "none"})
    unreadable = stage.sandbox.world.emit("checkout.updated", False, {"id": "unreadable-1"})
    unreadable.body["liveMode"] = "perhaps"
    for hook in stage.sandbox.world.webhooks.values():
        stage.sandbox.sender.send(hook, unreadable)
    done = await stage.buy(checkout)
    assert done["state"] == "accepted"
    letter = await dead_letter(stage, "unreadable-1")
    assert (letter["type"], letter["reason"]) == ("checkout.updated", "not understood: liveMode")
    again = await stage.call("POST", f"/v1/dead-letters/{letter['id']}/redrive", token=OPS)
    assert again.status_code == 202
    assert (await dead_letter(stage, "unreadable-1"))["id"] == letter["id"]


async def test_a_declined_shopper_who_brings_an_own_new_checkout_is_served_on_that(
    stage: Stage,
) -> None:
    old = await stage.paid(number=DECLINED_CARD)
    held = await stage.reaches(await stage.buy(old), "held", "payment_required")
    new = await stage.paid(upstreamId=old.upstream)
    answer = await stage.call(
        "POST", "/v1/purchases", request(new.id, old.upstream, createRequest=new.request), wait=15
    )
    assert (answer.json()["id"], answer.json()["state"]) == (held["id"], "accepted")
    assert answer.json()["order"]["checkoutId"] == new.id
    await until(lambda: len(stage.orders(old.upstream)) == 1)
    stage.in_order(old.upstream)

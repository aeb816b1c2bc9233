"""The merchant keeps `POST /orders`: rejections it reports, its turn, adoption and merges."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest

from tests.shell.service.serving import OPS, eventually
from tests.shell.service.stage import DECLINED_CARD, Checkout, Json, Stage
from tests.shell.service.test_chain import dead_letter, found, request

pytestmark = pytest.mark.asyncio(loop_scope="module")
ADOPTION = 30.0  # seconds: the router gives a storefront's call its time


async def place(stage: Stage, checkout_id: str) -> tuple[int, Json]:
    """The merchant's own `POST /orders`: status and body."""
    answer = await stage.http.post(
        stage.sandbox.url + "/orders",
        json={"checkoutId": checkout_id},
        headers={"Authorization": f"Bearer {stage.service.settings['PLATFORM_KEY']}"},
    )
    return answer.status_code, answer.json() if answer.content else {}


async def report(
    stage: Stage, checkout: Checkout, status: int, error: Json, *, age: float = 0.0, **more: object
) -> Json:
    """`order.rejected`, as the merchant's back end sends it."""
    event = {
        "id": f"rejected-{secrets.token_hex(6)}",
        "type": "order.rejected",
        "createdTime": (datetime.now(UTC) - timedelta(seconds=age)).isoformat(),
        "data": {
            "object": {
                **{"checkoutId": checkout.id, "upstreamId": checkout.upstream, "status": status},
                **{"createRequest": checkout.request, "error": error},
                **more,
            }
        },
    }
    answer = await stage.call("POST", "/v1/events", event)
    assert answer.status_code == 202, answer.text
    return event


async def declined(stage: Stage) -> tuple[Checkout, Json]:
    """A checkout that the merchant submitted in vain and reported; the held purchase."""
    checkout = await stage.paid(number=DECLINED_CARD)
    status, error = await place(stage, checkout.id)
    assert status == 409
    await report(stage, checkout, status, error)
    held = await found(stage, checkout.id)
    return checkout, await stage.reaches(held, "held", "payment_required")


async def test_a_reported_rejection_ends_with_the_merchants_own_order(stage: Stage) -> None:
    checkout, held = await declined(stage)
    assert (held["submits"], len(held["checkoutIds"])) == ("merchant", 2)
    assert held["submissions"][0]["remedy"] == "new_checkout"
    session = held["shopper"]["nextAction"]["sessionId"]
    ready = await stage.tell(held, "payment-source", {"sourceId": await stage.source(session)})
    assert (ready["state"], ready["reason"]) == ("held", "ready")
    assert ready["shopper"]["nextAction"] is None
    status, order = await place(stage, ready["checkoutId"])
    assert status == 201
    done = await stage.reaches(held, "accepted")
    assert (done["orderId"], done["fulfil"]) == (order["id"], True)
    stage.in_order(checkout.upstream)
    assert len(stage.submissions(checkout.upstream)) == 2  # both the merchant's
    rules = await stage.rules(held)
    assert "gate.passed" not in rules


async def test_a_second_rejection_goes_on_from_the_replacement(stage: Stage) -> None:
    checkout, held = await declined(stage)
    session = held["shopper"]["nextAction"]["sessionId"]
    card = await stage.source(session, number=DECLINED_CARD)
    ready = await stage.tell(held, "payment-source", {"sourceId": card})
    status, error = await place(stage, ready["checkoutId"])
    second = Checkout(ready["checkoutId"], session, checkout.upstream, checkout.request)
    await report(stage, second, status, error)
    after = await stage.eventually(held, lambda p: len(p["checkoutIds"]) == 3)
    assert [s["number"] for s in after["submissions"]] == [1, 2]
    stage.in_order(checkout.upstream)


async def test_the_same_event_twice_is_one_rejection(stage: Stage) -> None:
    checkout = await stage.paid(number=DECLINED_CARD)
    status, error = await place(stage, checkout.id)
    event = await report(stage, checkout, status, error)
    assert (await stage.call("POST", "/v1/events", event)).status_code == 202
    await report(stage, checkout, status, error)
    held = await stage.reaches(await found(stage, checkout.id), "held", "payment_required")
    assert len(held["submissions"]) == 1
    assert len(stage.opened(checkout.upstream)) == 2


async def test_a_lost_answer_that_was_an_order_is_found(stage: Stage) -> None:
    checkout = await stage.paid()
    await stage.fault(checkout, "after_commit")
    status, error = await place(stage, checkout.id)
    assert status == 504
    await report(stage, checkout, status, error)
    done = await stage.reaches(await found(stage, checkout.id), "accepted")
    assert len(stage.orders(checkout.upstream)) == 1
    assert done["submissions"][0]["status"] == 504


async def test_a_lost_answer_that_was_no_order_is_the_merchants_turn_again(stage: Stage) -> None:
    checkout = await stage.paid()
    await stage.fault(checkout, "before_commit")
    status, error = await place(stage, checkout.id)
    await report(stage, checkout, status, error)
    ready = await stage.reaches(await found(stage, checkout.id), "held", "ready")
    assert ready["checkoutIds"] == [checkout.id]
    assert len(stage.submissions(checkout.upstream)) == 1
    assert (await place(stage, checkout.id))[0] == 201
    await stage.reaches(ready, "accepted")


async def test_handing_over_lets_the_service_submit(stage: Stage) -> None:
    checkout, held = await declined(stage)
    session = held["shopper"]["nextAction"]["sessionId"]
    await stage.tell(held, "payment-source", {"sourceId": await stage.source(session)})
    body = request(held["checkoutId"], checkout.upstream, submits="service")
    answer = await stage.call("POST", "/v1/purchases", body, wait=15)
    assert (answer.json()["id"], answer.json()["state"]) == (held["id"], "accepted")
    stage.in_order(checkout.upstream)


async def test_a_stale_rejection_opens_nothing(stage: Stage) -> None:
    checkout = await stage.checkout()
    await report(stage, checkout, 409, {}, age=4 * 86_400.0)
    letter = await dead_letter(stage, checkout.id)
    assert (letter["type"], letter["reason"]) == ("order.rejected", "stale")


async def test_an_event_that_replaces_what_nobody_knows_is_a_dead_letter(stage: Stage) -> None:
    checkout = await stage.checkout()
    event = {
        "id": f"evt-{checkout.id}",
        "type": "purchase.submit_requested",
        "createdTime": datetime.now(UTC).isoformat(),
        "data": {"object": {"checkoutId": checkout.id, "replaces": "nobody-knows"}},
    }
    assert (await stage.call("POST", "/v1/events", event)).status_code == 202
    letter = await dead_letter(stage, checkout.id)
    assert letter["reason"] == "replaces names no known purchase"


async def test_a_new_checkout_replaces_the_held_ones_without_an_upstream_id(stage: Stage) -> None:
    old = await stage.paid(number=DECLINED_CARD)
    held = await stage.reaches(await stage.buy(old), "held", "payment_required")
    new = await stage.paid(upstreamId=None)
    body = {"checkoutId": new.id, "replaces": old.id, "createRequest": new.request}
    answer = await stage.call("POST", "/v1/purchases", body, wait=15)
    assert (answer.json()["id"], answer.json()["state"]) == (held["id"], "accepted")
    again = {"checkoutId": (await stage.checkout(upstreamId=None)).id}
    known = await stage.call(
        "POST", "/v1/purchases", again | {"replaces": answer.json()["orderId"]}
    )
    assert (known.status_code, known.json()["id"]) == (200, held["id"])


async def test_of_two_purchases_that_are_one_the_unsubmitted_yields_with_its_keys(
    stage: Stage,
) -> None:
    first = await stage.paid()
    done = await stage.buy(first)
    assert done["state"] == "accepted"
    twin = await stage.checkout(upstreamId=first.upstream)
    answer = await stage.call("POST", "/v1/purchases", {"checkoutId": twin.id}, wait=15)
    newcomer = answer.json()
    assert newcomer["id"] != done["id"]
    await stage.reaches(newcomer, "lost", "superseded")
    listed = await stage.call("GET", f"/v1/purchases?checkoutId={twin.id}", token=OPS)
    assert [known["id"] for known in listed.json()["data"]] == [done["id"]]
    assert (await stage.purchase(done["id"]))["state"] == "accepted"

    async def told() -> bool:
        return "chain.took_over" in await stage.rules(done)

    await eventually(told)


async def adopted(stage: Stage, checkout: Checkout) -> Json:
    """The purchase that the router makes of the merchant's order."""

    async def listed() -> list[Json]:
        path = f"/v1/purchases?checkoutId={checkout.id}"
        data: list[Json] = (await stage.call("GET", path, token=OPS)).json()["data"]
        return data

    purchases: list[Json] = await eventually(listed, ADOPTION, "adopted")
    return purchases[0]


async def test_an_order_that_nobody_handed_over_is_observed_until_it_is_claimed(
    stage: Stage,
) -> None:
    checkout = await stage.paid()
    status, order = await place(stage, checkout.id)
    assert status == 201
    seen = await adopted(stage, checkout)
    done = await stage.reaches(seen, "accepted")
    assert (done["orderId"], done["submits"], done["fulfil"]) == (order["id"], "merchant", True)
    refused = await stage.call("POST", f"/v1/purchases/{seen['id']}/cancel")
    assert refused.status_code == 409
    answer = await stage.call("POST", "/v1/purchases", request(checkout.id, checkout.upstream))
    assert (answer.status_code, answer.json()["id"]) == (200, seen["id"])
    assert "request.claimed" in await stage.rules(seen)
    assert (await stage.purchase(seen["id"]))["state"] == "accepted"
    assert len(stage.submissions(checkout.upstream)) == 1

"""Saved sources, step-up and store credit on real sockets, against the stand-in platform."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.shell.service.serving import eventually
from tests.shell.service.stage import DECLINED_CARD, TOTAL, Checkout, Json, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stepping(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("stepping")
    async with staged(folder, STEP_UP="true") as found:
        yield found


async def customer(stage: Stage, id: str) -> str:
    await stage.platform("POST", "/customers", {"id": id, "email": "ada@example.test"})
    return id


async def session(stage: Stage, purchase: Json) -> Json:
    answer = await stage.call("GET", f"/v1/purchases/{purchase['id']}/payment-session")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: Json = answer.json()
    return found


async def give(stage: Stage, checkout: Checkout, amount: float) -> str:
    body = {"type": "customerCredit", "paymentSessionId": checkout.session, "amount": amount}
    made = await stage.platform("POST", "/sources", body)
    await stage.attach(checkout.id, made["id"])
    return str(made["id"])


async def credits(stage: Stage, checkout_id: str) -> list[float]:
    shown = await stage.platform("GET", f"/checkouts/{checkout_id}")
    sources = shown["payment"]["sources"]
    return [one["amount"] for one in sources if one["type"] == "customerCredit"]


async def test_a_saved_source_pays_the_next_purchase(stage: Stage) -> None:
    name = await customer(stage, "ada-saves")
    first = await stage.checkout(customerId=name)
    held = await stage.buy(first)
    card = await stage.source((await session(stage, held))["sessionId"])
    choice = {"sourceId": card, "saveToCustomer": True}
    done = await stage.tell(held, "payment-source", choice)
    await stage.reaches(done, "accepted")

    second = await stage.checkout(customerId=name)
    held = await stage.buy(second)
    shown = await session(stage, held)
    (saved,) = shown["savedSources"]
    assert (saved["id"], saved["lastFour"], saved["expires"]) == (card, "1111", "2040-01")
    assert saved["authenticate"] is True
    assert saved["clientSecret"].startswith(card)
    proof = {"sessionId": shown["sessionId"], "sourceId": card}
    await stage.platform("POST", "/_browser/authenticate", proof)
    done = await stage.tell(held, "payment-source", {"sourceId": card})
    await stage.reaches(done, "accepted")
    for checkout in (first, second):
        stage.in_order(checkout.upstream)
    assert saved["clientSecret"] not in str(await stage.timeline(held))


async def test_what_can_not_be_saved_pays_all_the_same(stage: Stage) -> None:
    checkout = await stage.checkout(customerId=await customer(stage, "ada-wires"))
    held = await stage.buy(checkout)
    wire = await stage.source(checkout.session, type="wireTransfer", card=None)
    choice = {"sourceId": wire, "saveToCustomer": True}
    pending = await stage.tell(held, "payment-source", choice)
    await stage.reaches(pending, "pending", "funds")
    assert "source.not_saved" in await stage.rules(pending)


async def test_a_removed_source_is_refused_with_its_reason(stage: Stage) -> None:
    name = await customer(stage, "ada-removes")
    card = await stage.source(None, reusable=True, customerId=name)
    checkout = await stage.checkout(customerId=name)
    held = await stage.buy(checkout)
    await stage.platform("DELETE", f"/customers/{name}/sources/{card}")
    told = await stage.tell(held, "payment-source", {"sourceId": card})
    assert told["shopper"]["message"]["key"] == "payment.source_gone"
    assert (await session(stage, held))["savedSources"] == []
    assert stage.submissions(checkout.upstream) == []


async def test_a_guests_checkout_learns_the_customer_that_the_own_request_names(
    stage: Stage,
) -> None:
    name = await customer(stage, "ada-logs-in")
    card = await stage.source(None, reusable=True, customerId=name)
    guest = await stage.checkout()
    named = Checkout(guest.id, guest.session, guest.upstream, guest.request | {"customerId": name})
    held = await stage.buy(named)
    done = await stage.tell(held, "payment-source", {"sourceId": card})
    await stage.reaches(done, "accepted")


async def test_another_customers_source_is_refused(stage: Stage) -> None:
    card = await stage.source(
        None, reusable=True, customerId=await customer(stage, "ada-is-another")
    )
    checkout = await stage.checkout(customerId=await customer(stage, "ada-is-one"))
    held = await stage.buy(checkout)
    told = await stage.tell(held, "payment-source", {"sourceId": card})
    assert told["shopper"]["message"]["key"] == "payment.choose_another"
    assert "source.of_another" in await stage.rules(held)


async def test_credits_are_made_again_on_the_replacement_before_the_card(stage: Stage) -> None:
    checkout = await stage.checkout()
    for amount in (20.0, 9.95):
        await give(stage, checkout, amount)
    await stage.attach(checkout.id, await stage.source(checkout.session, number=DECLINED_CARD))
    held = await stage.buy(checkout)
    held = await stage.reaches(held, "held", "payment_incomplete")
    assert await credits(stage, held["checkoutId"]) == [20.0, 9.95]
    shown = await session(stage, held)
    assert shown["amountRemaining"] == pytest.approx(TOTAL - 29.95)
    card = await stage.source(shown["sessionId"])
    done = await stage.tell(held, "payment-source", {"sourceId": card})
    await stage.reaches(done, "accepted")
    stage.in_order(checkout.upstream)


async def test_an_order_can_be_paid_by_credit_alone(stage: Stage) -> None:
    checkout = await stage.checkout()
    await give(stage, checkout, TOTAL)
    done = await stage.buy(checkout)
    await stage.reaches(done, "accepted")
    stage.in_order(checkout.upstream)


async def test_a_cancelled_purchase_gives_its_credit_back(stage: Stage) -> None:
    checkout = await stage.checkout()
    credit = await give(stage, checkout, 20.0)
    held = await stage.buy(checkout)
    assert held["reason"] == "payment_incomplete"
    await stage.tell(held, "cancel", {}, wait=0)
    await stage.reaches(held, "lost", "cancelled")

    async def released() -> bool:
        return str((await stage.platform("GET", f"/sources/{credit}"))["state"]) == "cancelled"

    await eventually(released)


async def step_up(stage: Stage) -> tuple[Checkout, Json]:
    checkout = await stage.checkout()
    card = await stage.source(checkout.session, last="StepUp", reusable=True)
    await stage.attach(checkout.id, card)
    return checkout, await stage.buy(checkout)


async def test_without_the_setting_a_step_up_ends_the_checkout(stage: Stage) -> None:
    checkout, held = await step_up(stage)
    await stage.eventually(held, lambda p: len(p["checkoutIds"]) == 2)
    assert len(stage.submissions(checkout.upstream)) == 1


async def test_with_the_setting_the_shopper_steps_up_and_the_checkout_is_kept(
    stepping: Stage,
) -> None:
    checkout, held = await step_up(stepping)
    held = await stepping.reaches(held, "held", "step_up_required")
    action = held["shopper"]["nextAction"]
    assert (action["action"], action["checkoutId"]) == ("step_up", checkout.id)
    shown = await session(stepping, held)
    assert shown["nextAction"]["action"] == "sca_required"
    proof = {
        "sessionId": action["sessionId"],
        "sourceId": shown["nextAction"]["data"]["sourceId"],
    }
    await stepping.platform("POST", "/_browser/authenticate", proof)
    done = await stepping.tell(held, "return", {})
    await stepping.reaches(done, "accepted")
    sent = [one["checkoutId"] for one in stepping.submissions(checkout.upstream)]
    assert sent == [checkout.id, checkout.id]


async def test_a_step_that_the_shopper_does_not_do_is_asked_for_again(stepping: Stage) -> None:
    checkout, held = await step_up(stepping)
    held = await stepping.reaches(held, "held", "step_up_required")
    again = await stepping.tell(held, "return", {})
    await stepping.reaches(again, "held", "step_up_required")
    assert len(stepping.submissions(checkout.upstream)) == 1

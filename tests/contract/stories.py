"""Everything that the service asks the platform: shoppers' stories, and each command by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import get_args

from consumer.backfill import PAGE, Backfill
from consumer.cli.checking import platform_problems
from consumer.clock import SystemClock
from consumer.platform import LocalLimiter, Platform
from consumer.settings import load
from consumer.store.commands import Task
from consumer.store.migrate import migrate
from consumer.store.sqlite import SqliteStore, sqlite_engine
from consumer.worker.perform import perform
from schemas.commands import (
    AttachSource,
    CancelOrder,
    CreateCredit,
    DeleteCheckout,
    DetachSource,
    FindCheckout,
    FindOrders,
    InspectOrder,
    Line,
    OpenCheckout,
    Permit,
    PlatformCommand,
    ReadCheckout,
    ReadOrder,
    RefreshOrder,
    SaveSource,
    Submit,
    UpdateCheckout,
)
from schemas.money import Money
from schemas.results import Succeeded
from tests.contract.recorder import Exchange, recording
from tests.contract.samples import FULL
from tests.shell.sandbox.shop import CHECKOUT, PLACE
from tests.shell.service.serving import KEY, SETTINGS, eventually
from tests.shell.service.stage import DECLINED_CARD, Checkout, Json, Stage, staged

NOW = datetime(2024, 5, 2, 9, 0, tzinfo=UTC)


async def everything(folder: Path) -> list[Exchange]:
    """What was said between the service, or its client, and the sandbox."""
    async with recording() as recorder, staged(folder, PLATFORM_URL=recorder.url) as stage:
        recorder.point_at(stage.sandbox.url)
        await asyncio.gather(*(story(stage) for story in STORIES))
        await every_command(stage, recorder.url)
        await check(recorder.url)
        await catches_up(folder, stage, recorder.url)
        return recorder.platform()


async def pays_at_once(stage: Stage) -> None:
    bought = await stage.buy(await stage.paid())
    assert bought["state"] == "accepted", bought


async def chooses_a_source(stage: Stage) -> None:
    held = await stage.buy(await stage.checkout())
    session = (await stage.call("GET", f"/v1/purchases/{held['id']}/payment-session")).json()
    chosen = {"sourceId": await stage.source(session["sessionId"]), "browserIp": "203.0.113.9"}
    done = await stage.tell(held, "payment-source", chosen)
    assert done["state"] == "accepted", done


async def with_a_declined_card(stage: Stage) -> Checkout:
    """Everything that a checkout can hold; its subscription needs a source that can be kept."""
    checkout = await stage.checkout(**FULL)
    card = await stage.source(checkout.session, number=DECLINED_CARD, reusable=True)
    await stage.attach(checkout.id, card)
    return checkout


async def is_declined(stage: Stage) -> None:
    """The new checkout is made from the storefront's own request."""
    held = await stage.buy(await with_a_declined_card(stage))
    await stage.eventually(held, lambda p: len(p["checkoutIds"]) == 2)


async def is_declined_without_a_create_request(stage: Stage) -> None:
    """The new checkout is made from what the platform shows of the old one."""
    held = await stage.buy(await with_a_declined_card(stage), create=False)
    await stage.eventually(held, lambda p: len(p["checkoutIds"]) == 2)


async def is_mended_by_itself(stage: Stage) -> None:
    """The create request knows the name that the checkout lost."""
    paid = await stage.paid()
    await stage.platform("POST", f"/checkouts/{paid.id}", {"shipTo": {"address": PLACE}})
    bought = await stage.buy(paid)
    await stage.reaches(bought, "accepted")


async def corrects_the_data(stage: Stage) -> None:
    paid = await stage.paid(shipTo={"address": PLACE})
    held = await stage.buy(paid, create=False)
    assert held["reason"] == "correction_required", held
    change = {
        "shipTo": {"name": "Ada Probe"},
        "customerType": "individual",
        "purchaseLocation": {"country": "DE"},
        "metadata": {"gift": True},
    }
    done = await stage.tell(held, "corrections", {"checkout": change})
    await stage.reaches(done, "accepted")


async def corrects_what_only_a_new_checkout_takes(stage: Stage) -> None:
    held = await stage.buy(await stage.checkout())
    change = {"discount": {"percentOff": 5}, "taxInclusive": True}
    await stage.tell(held, "corrections", {"checkout": change}, wait=0)
    await stage.eventually(held, lambda p: len(p["checkoutIds"]) == 2)


async def cancels_a_pending_order(stage: Stage) -> None:
    checkout = await stage.checkout()
    source = await stage.source(checkout.session, type="wireTransfer", card=None)
    await stage.attach(checkout.id, source)
    pending = await stage.buy(checkout)
    assert pending["state"] == "pending", pending
    await stage.tell(pending, "cancel", {}, wait=0)
    await stage.reaches(pending, "lost", "cancelled")


async def hears_of_a_charge_without_its_order(stage: Stage) -> None:
    pending = await stage.buy(await stage.paid("ChargeRemainPending"))
    charge = stage.sandbox.world.orders[pending["orderId"]].charge_ids[0]
    read = f"/charges/{charge}"
    event = {"type": "order.charge.pending", "object": {"id": charge}, "liveMode": True}
    await stage.platform("POST", "/_sandbox/events", event)

    async def settled() -> bool:
        items = await stage.timeline(pending)
        return any(i["kind"] == "fact" and i["body"].get("data") == {"object": {"id": charge}}
                   for i in items)  # fmt: skip

    await eventually(settled, 20.0, read)


async def loses_an_answer(stage: Stage) -> None:
    paid = await stage.paid()
    await stage.fault(paid, "after_commit")
    await stage.reaches(await stage.buy(paid, wait=0), "accepted")


async def loses_the_answer_to_a_new_checkout(stage: Stage) -> None:
    paid = await stage.paid(number=DECLINED_CARD)
    await stage.fault(paid, "after_commit", path="/checkouts")
    held = await stage.buy(paid, wait=0)
    await stage.eventually(held, lambda p: len(p["checkoutIds"]) == 2)


async def is_registered(stage: Stage) -> None:
    await stage.platform("POST", "/customers", {"id": "ada/1", "email": "ada@example.test"})
    checkout = await stage.checkout(customerId="ada/1")
    bought = await stage.buy(checkout)
    saved = await stage.source(None, reusable=True, customerId="ada/1")
    done = await stage.tell(bought, "payment-source", {"sourceId": saved})
    await stage.reaches(done, "accepted")


async def saves_a_source(stage: Stage) -> None:
    await stage.platform("POST", "/customers", {"id": "ada/2", "email": "ada@example.test"})
    checkout = await stage.checkout(customerId="ada/2")
    held = await stage.buy(checkout)
    choice = {"sourceId": await stage.source(checkout.session), "saveToCustomer": True}
    done = await stage.tell(held, "payment-source", choice)
    await stage.reaches(done, "accepted")


async def gives_credit(stage: Stage, checkout: Checkout, amount: float) -> None:
    owner = {"firstName": "Ada", "lastName": "Probe", "address": PLACE}
    body = {"type": "customerCredit", "paymentSessionId": checkout.session, "amount": amount}
    made = await stage.platform("POST", "/sources", {**body, "upstreamId": "c-1", "owner": owner})
    await stage.attach(checkout.id, made["id"])


async def has_store_credit(stage: Stage) -> None:
    """It is put on the new checkout, and given back when the shopper cancels."""
    checkout = await stage.checkout()
    await gives_credit(stage, checkout, 10.0)
    await stage.attach(checkout.id, await stage.source(checkout.session, number=DECLINED_CARD))
    held = await stage.reaches(await stage.buy(checkout), "held", "payment_incomplete")
    assert len(held["checkoutIds"]) == 2
    await stage.tell(held, "cancel", {}, wait=0)
    await stage.reaches(held, "lost", "cancelled")


STORIES: tuple[Callable[[Stage], Awaitable[None]], ...] = (
    pays_at_once, chooses_a_source, is_declined, is_declined_without_a_create_request,
    is_mended_by_itself, corrects_the_data, corrects_what_only_a_new_checkout_takes,
    cancels_a_pending_order, loses_an_answer, loses_the_answer_to_a_new_checkout, is_registered,
    saves_a_source, has_store_credit, hears_of_a_charge_without_its_order,
)  # fmt: skip


async def every_command(stage: Stage, url: str) -> None:
    """Each kind of command once, through the real client; each must succeed."""
    clock = SystemClock()
    async with Platform(url, KEY, LocalLimiter(240.0, clock), clock) as platform:
        done = set()
        for command in await commands(stage):
            task = Task("p/1", "p", command, "sending", 1, NOW, None, 1)
            result = await perform(platform, task, monotonic() + 10)
            assert isinstance(result, Succeeded), (command, result)
            done.add(type(command))
    assert done == set(get_args(PlatformCommand))


async def commands(stage: Stage) -> list[PlatformCommand]:
    """One of each kind, about things that exist."""
    upstream = "commands/1"
    paid, bare = await stage.paid(upstream=upstream), await stage.checkout(upstream=upstream)
    order = await placed(stage)
    ids = (paid.id, bare.id)
    request: Json = {**CHECKOUT, **FULL, "upstreamId": upstream}
    request["metadata"] = {"order_rescue": "p/1"}
    await stage.platform("POST", "/customers", {"id": "ada/3", "email": "ada@example.test"})
    card, kept = await stage.source(bare.session), await stage.source(None)
    line = Line(item_id=order["items"][0]["id"], quantity=2)
    return [
        ReadCheckout(checkout_id=paid.id, checkout_ids=ids, upstream_id=upstream),
        FindOrders(checkout_ids=ids, upstream_id=upstream),
        OpenCheckout(request=request, mark="p/1"),
        FindCheckout(upstream_id=upstream, mark="p/1", request={}),
        UpdateCheckout(checkout_id=bare.id, changes={"email": "b@example.test"}),
        SaveSource(customer_id="ada/3", source_id=kept),
        CreateCredit(session_id=bare.session, amount=5.0, upstream_id="c-1"),
        AttachSource(checkout_id=bare.id, source_id=card),
        DetachSource(checkout_id=bare.id, source_id=card),
        Submit(permit=permit(paid.id)),
        DeleteCheckout(checkout_id=bare.id),
        ReadOrder(order_id=order["id"]),
        InspectOrder(order_id=order["id"]),
        RefreshOrder(order_id=order["id"]),
        CancelOrder(order_id=order["id"], lines=(line,)),
    ]


async def placed(stage: Stage) -> Json:
    return await stage.platform("POST", "/orders", {"checkoutId": (await stage.paid()).id})


def permit(checkout_id: str) -> Permit:
    return Permit(
        number=1,
        attempt=1,
        checkout_id=checkout_id,
        source_id=None,
        reusable=False,
        version=1,
        epoch=1,
        session_state="requires_confirmation",
        amount_remaining=0.0,
        total=Money(amount=1.0, currency="EUR"),
        granted_at=NOW,
        not_after=NOW,
    )


async def catches_up(folder: Path, stage: Stage, url: str) -> None:
    """`order-rescue backfill` reads the list of events, between two times."""
    for number in range(PAGE):  # more than one page
        stage.sandbox.world.emit("tax_identifier.verified", True, {"id": f"tax-{number}"})
    engine = sqlite_engine(f"sqlite:///{folder}/backfill.db")
    migrate(engine)
    store, clock = SqliteStore(engine), SystemClock()
    try:
        async with Platform(url, KEY, LocalLimiter(240.0, clock), clock) as platform:
            now = clock.now()
            done = await Backfill(store, platform, clock).run(now - timedelta(hours=1), now)
    finally:
        await store.close()
    assert done.pages > 1, done
    assert done.dead == 0, done


async def check(url: str) -> None:
    """`order-rescue check` asks, too."""
    variables = {f"ORDER_RESCUE_{name}": value for name, value in SETTINGS.items()}
    settings = load(variables | {"ORDER_RESCUE_PLATFORM_URL": url}, None)
    assert await platform_problems(settings) == []

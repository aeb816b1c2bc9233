"""Orders of the platform's own checkout page, which no merchant posts (PLATFORM §6.1)."""

from . import browser, checkouts, orders, sources, submission
from .fields import FLAG, LIST, OBJECT, TEXT, check
from .model import Json, Order
from .world import World

FIELDS = {
    "checkout": OBJECT, "owner": OBJECT, "card": OBJECT, "type": TEXT, "consents": LIST,
    "liveMode": FLAG,
}  # fmt: skip
PLACE: Json = {"line1": "Teststr. 1", "city": "Berlin", "postalCode": "10115", "country": "DE"}
CHECKOUT: Json = {
    "currency": "EUR",
    "email": "ada@example.test",
    "items": [{"skuId": "kbd-1", "quantity": 1, "price": 25.0}],
    "billTo": {"name": "Ada Probe", "address": PLACE},
}
CARD = {"number": "4444222233331111", "expirationMonth": 1, "expirationYear": 2040}
OWNER: Json = {"firstName": "Ada", "lastName": "Probe", "address": PLACE}


def buy(world: World, live: bool, body: Json) -> Order:
    """A shopper goes through the platform's own page. Raises what POST /orders would answer."""
    check(body, FIELDS)
    checkout = checkouts.create(world, live, {**CHECKOUT, **(body.get("checkout") or {})})
    kind = body.get("type") or "creditCard"
    wanted: Json = {
        "sessionId": checkout.session.id,
        "type": kind,
        "owner": body.get("owner") or OWNER,
    }
    if kind == "creditCard":
        wanted["card"] = body.get("card") or CARD
    source = browser.create_source(world, wanted)
    sources.attach(world, checkout, source, checkouts.totals(checkout).total)
    session_id = world.new_id()
    order = submission.submit(world, live, {"checkoutId": checkout.id}, session_id)
    _announce(world, order, body.get("consents") or [])
    return order


def _announce(world: World, order: Order, consents: list[Json]) -> None:
    """Like an order, with whole sources (PLATFORM §2.3)."""
    shown = orders.view(world, order)
    shown["payment"]["sources"] = [sources.view(world.sources[one]) for one in order.shares]
    shown |= {"checkoutSessionId": order.checkout_session_id, "consents": consents}
    world.emit("checkout_session.order.created", order.live, shown)

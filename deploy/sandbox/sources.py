"""Sources: made in the browser or as store credit, attached to and detached from a session.

The session rules are PLATFORM §3.3; the errors Appendix A.1.
"""

from decimal import Decimal
from typing import Any

from . import cards
from .clock import stamp
from .errors import Refusal, invalid, missing, not_found, session_closed
from .fields import ANY, NUMBER, OBJECT, TEXT, check, check_place, text
from .model import Checkout, Json, Source
from .totals import money
from .world import World

CREDIT = {
    "type": TEXT, "paymentSessionId": TEXT, "amount": NUMBER, "upstreamId": TEXT,
    "customerCredit": ANY, "owner": OBJECT, "currency": TEXT,
}  # fmt: skip


def find(world: World, live: bool, source_id: str, parameter: str = "id") -> Source:
    source = world.sources.get(source_id)
    if source is None or source.live != live:
        raise not_found(parameter, f"Source '{source_id}' not found.")
    return source


def view(source: Source) -> Json:
    """The whole source, as `GET /sources/{id}` shows it (PLATFORM §2.7)."""
    shown: Json = {
        "id": source.id,
        "createdTime": stamp(source.created),
        "type": source.type,
        "currency": source.currency,
        "amount": float(source.amount),
        "reusable": source.reusable,
        "state": source.state,
        "flow": source.flow,
        "customerId": source.customer_id,
        "owner": source.owner,
        "paymentSessionId": source.session_id,
        "clientSecret": source.secret,
        "upstreamId": source.upstream_id,
        source.type: source.details,
        "liveMode": source.live,
    }
    return {name: value for name, value in shown.items() if value is not None}


def brief(source: Source, amount: Decimal) -> Json:
    """The five keys that checkouts and orders show (PLATFORM §2.3)."""
    shown: Json = {
        "id": source.id,
        "type": source.type,
        "amount": float(amount),
        "owner": source.owner,
        source.type: source.details,
    }
    if source.upstream_id is not None:
        shown["upstreamId"] = source.upstream_id
    return shown


def list_brief(world: World, shares: dict[str, Decimal]) -> list[Json]:
    return [brief(world.sources[source_id], amount) for source_id, amount in shares.items()]


def attached(world: World, checkout: Checkout) -> list[Source]:
    return [world.sources[source_id] for source_id in checkout.shares]


def primary(world: World, checkout: Checkout) -> Source | None:
    return next((one for one in attached(world, checkout) if not one.credit), None)


def credits(world: World, checkout: Checkout) -> Decimal:
    taken = (
        amount for source_id, amount in checkout.shares.items() if world.sources[source_id].credit
    )
    return sum(taken, Decimal(0))


def create_credit(world: World, live: bool, body: Json) -> Source:
    """`POST /sources`: store credit only; a server can't make a card (PLATFORM §3.5)."""
    check(body, CREDIT)
    check_place("owner", body.get("owner"))
    if text(body, "type") != "customerCredit":
        raise invalid("type", f"'{body['type']}' is not a valid type.")
    session_id = text(body, "paymentSessionId")
    checkout = world.checkouts.get(world.sessions.get(session_id, ""))
    if checkout is None or checkout.live != live:
        message = f"Payment session '{session_id}' not found."
        raise not_found("paymentSessionId", message)
    if body.get("amount") is None:
        raise missing("amount")
    if body["amount"] <= 0:
        raise Refusal(400, "invalid_amount", "The amount is not valid.", "amount")
    owner, told_address = owner_of(checkout, body.get("owner"))
    source = Source(
        id=world.new_id(),
        secret="",
        live=live,
        created=world.now(),
        type="customerCredit",
        flow="standard",
        state="chargeable",
        owner=owner,
        told_address=told_address and bool(body.get("owner")),
        details={},
        currency=checkout.fields["currency"],
        amount=money(body["amount"]),
        session_id=session_id,
        upstream_id=body.get("upstreamId"),
    )
    store(world, source)
    return source


def store(world: World, source: Source) -> None:
    source.secret = world.new_secret(source.id)
    world.sources[source.id] = source
    world.emit("source.created", source.live, view(source))
    if source.state == "chargeable":
        world.emit("source.chargeable", source.live, view(source))


def owner_of(checkout: Checkout | None, told: Json | None) -> tuple[Json, bool]:
    """The owner that was told, or made of what the checkout knows; and whether an address was told.

    An owner always shows an address with a country, which the vendor's file requires.
    """
    fields: Json = checkout.fields if checkout else {}
    bill_to: dict[str, Any] = fields.get("billTo") or {}
    known: dict[str, Any] = bill_to.get("address") or {}
    if not told:
        first, _, last = str(bill_to.get("name") or "").partition(" ")
        email = bill_to.get("email") or fields.get("email")
        told = {"firstName": first, "lastName": last, "email": email, "address": known}
    owner = {name: value for name, value in told.items() if value}
    address = {name: value for name, value in (owner.get("address") or {}).items() if value}
    made_up = known or (fields.get("shipTo") or {}).get("address") or {}
    owner["address"] = {"country": made_up.get("country") or "US", **(address or made_up)}
    return owner, bool(address)


def attach(world: World, checkout: Checkout, source: Source, total: Decimal) -> None:
    """Joins a source to a checkout's session, or raises the 409 that the platform gives."""
    if checkout.dead or checkout.order_id:
        raise session_closed()
    if source.id in checkout.shares:
        return
    _check_usable(checkout, source)
    if source.credit:
        _check_credit(world, checkout, source, total)
        checkout.shares[source.id] = source.amount
        if source.told_address:
            bill(checkout, source)
    else:
        old = primary(world, checkout)
        if old is not None:
            release(world, checkout, old)
        checkout.shares[source.id] = Decimal(0)
        checkout.session.next_action = None
        bill(checkout, source)
    if not source.reusable:
        source.session_id = checkout.session.id
    source.currency = checkout.fields["currency"]
    share_out(world, checkout, total)


def _check_usable(checkout: Checkout, source: Source) -> None:
    if source.removed:
        message = f"Source '{source.id}' is not chargeable."
        raise Refusal(409, "source_not_chargeable", message, "sourceId")
    foreign = not source.reusable and source.session_id not in (None, checkout.session.id)
    if foreign or source.state in ("cancelled", "failed", "consumed"):
        message = "The source status is invalid for this session."
        raise Refusal(409, "source_status_invalid_for_session", message)


def _check_credit(world: World, checkout: Checkout, source: Source, total: Decimal) -> None:
    main = primary(world, checkout)
    if main is not None and not main.reusable:
        raise session_closed()
    if source.amount > total - credits(world, checkout):
        message = "Source amount(s) exceed session amount"
        raise Refusal(409, "session_source_amount_too_large", message)


def bill(checkout: Checkout, source: Source) -> None:
    """The owner attached last becomes the billing address (PLATFORM §2.14, §3.5)."""
    owner = source.owner
    address = owner["address"] if source.told_address else {}
    bill_to = dict(checkout.fields.get("billTo") or {})
    old = bill_to.get("address") or {}
    bill_to["address"] = address if address.get("line1") else {**old, **address}
    name = " ".join(part for part in (owner.get("firstName"), owner.get("lastName")) if part)
    if name:
        bill_to["name"] = name
    if owner.get("email"):
        bill_to["email"] = owner["email"]
    if owner.get("organization"):
        bill_to["organization"] = owner["organization"]
    checkout.fields["billTo"] = bill_to


def release(world: World, checkout: Checkout, source: Source) -> None:
    """Detaching a source that can't be reused cancels it (PLATFORM §3.3)."""
    del checkout.shares[source.id]
    if not source.reusable:
        source.state = "cancelled"


def detach(world: World, checkout: Checkout, source_id: str) -> None:
    if checkout.dead or checkout.order_id:
        raise session_closed()
    if source_id not in checkout.shares:
        raise Refusal(400, "source_not_found", f"Source '{source_id}' was not found.", "sourceId")
    release(world, checkout, world.sources[source_id])


def share_out(world: World, checkout: Checkout, total: Decimal) -> None:
    """A primary source always fills what credits leave open (PLATFORM §3.2)."""
    main = primary(world, checkout)
    if main is not None:
        main.amount = max(Decimal(0), total - credits(world, checkout))
        checkout.shares[main.id] = main.amount


def can_save(source: Source) -> bool:
    return source.type in cards.RECURRING

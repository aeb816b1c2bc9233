"""Stands in for DigitalRiver.js: makes sources and authenticates them, without a secret key."""

from . import cards, customers, sources, waiting
from .errors import Refusal, invalid, not_found
from .fields import FLAG, NUMBER, OBJECT, TEXT, check, check_place
from .limiter import is_live
from .model import Checkout, Json, Source
from .world import World

FIELDS = {
    "sessionId": TEXT, "type": TEXT, "card": OBJECT, "owner": OBJECT, "customerId": TEXT,
    "reusable": FLAG, "flow": TEXT, "returnUrl": TEXT, "cancelUrl": TEXT, "amount": NUMBER,
}  # fmt: skip
BLOCKS: dict[str, Json] = {
    "wireTransfer": {
        "accountHolder": "Global Collect BV", "bankName": "Rabobank N.A.", "city": "Ontario",
        "country": "NL", "referenceId": "890701505439", "accountNumber": "0487369908",
    },
    "konbini": {
        "storeId": "10", "receiptNumber": "123456", "storeName": "Seven Eleven",
        "printableInvoiceUrl": "https://example.test/konbini/123456",
    },
}  # fmt: skip


def create_source(world: World, body: Json) -> Source:
    """Raises 400 for data that no source can be made of."""
    check(body, FIELDS)
    check_place("owner", body.get("owner"))
    checkout = _checkout(world, body.get("sessionId"))
    kind = body.get("type") or "creditCard"
    if kind not in cards.KNOWN:
        raise invalid("type", f"'{kind}' is not a valid type.")
    owner, told_address = sources.owner_of(checkout, body.get("owner"))
    if "firstName" in owner and not owner["firstName"]:
        raise invalid("owner.firstName", "'' is not a valid owner.firstname.")
    number = _number(body) if kind == "creditCard" else None
    if number == cards.SOURCE_FAILS or owner.get("lastName") in cards.CREATION_FAILS:
        message = "The source could not be created with the details provided."
        raise Refusal(400, "source_creation_failed", message)
    source = _source(world, body, kind, number, owner, checkout)
    source.told_address = told_address
    sources.store(world, source)
    _save(world, source, body)
    return source


def _checkout(world: World, session_id: str | None) -> Checkout | None:
    if session_id is None:
        return None
    checkout = world.checkouts.get(world.sessions.get(session_id, ""))
    if checkout is None:
        raise not_found("sessionId", f"Payment session '{session_id}' not found.")
    return checkout


def _number(body: Json) -> str:
    number = str((body.get("card") or {}).get("number", "")).replace(" ", "")
    if not number.isascii() or not number.isdigit() or len(number) > 19:
        raise Refusal(
            400, "invalid_card_number", "Your card number is invalid.", kind="validation_error"
        )
    if len(number) < 12:
        message = "Your card number is incomplete."
        raise Refusal(400, "incomplete_card_number", message, kind="validation_error")
    return number


def _source(
    world: World, body: Json, kind: str, number: str | None, owner: Json, checkout: Checkout | None
) -> Source:
    flow = body.get("flow") or cards.flow_of(kind)
    if flow not in cards.FIRST_STATES:
        raise invalid("flow", f"'{flow}' is not a valid flow.")
    last_name = str(owner.get("lastName") or "")
    source = Source(
        id=world.new_id(),
        secret="",
        live=checkout.live if checkout else is_live(world.keys[0]),
        created=world.now(),
        type=kind,
        flow=flow,
        state=cards.FIRST_STATES[flow],
        owner=owner,
        details=_details(body, kind, number),
        currency=checkout.fields["currency"] if checkout else None,
        session_id=checkout.session.id if checkout else None,
        fingerprint=cards.fingerprint(number) if number else None,
        decline=cards.decline_of(number, last_name),
        trouble=cards.trouble_of(number, last_name),
    )
    if flow == "redirect":
        source.return_url, source.cancel_url = body.get("returnUrl"), body.get("cancelUrl")
        _show_redirect(world, source)
    return source


def _show_redirect(world: World, source: Source) -> None:
    """Only where the vendor's file has room for it, which differs by type."""
    if source.type not in cards.SHOW_REDIRECT:
        return
    shown = {"redirectUrl": waiting.url(world, source), "returnUrl": source.return_url}
    if source.redirects_first:
        shown["cancelUrl"] = source.cancel_url
    source.details["redirect"] = {name: url for name, url in shown.items() if url}


def _details(body: Json, kind: str, number: str | None) -> Json:
    if number is None:
        return dict(BLOCKS.get(kind, {}))
    card = body.get("card") or {}
    month, year = card.get("expirationMonth", 12), card.get("expirationYear", 2035)
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in (month, year))
    if not whole or not 1 <= month <= 12:
        message = "Your card's expiration date is invalid."
        raise Refusal(400, "invalid_expiration_date", message, kind="validation_error")
    return {
        "brand": cards.brand_of(number),
        "expirationMonth": month,
        "expirationYear": year,
        "lastFourDigits": number[-4:],
    }


def _save(world: World, source: Source, body: Json) -> None:
    """A shortcut for tests: the source is the customer's saved one from the start."""
    if not body.get("reusable"):
        return
    source.reusable = True
    customer = world.customers.get(body.get("customerId") or "")
    if customer is not None:
        source.session_id = None
        customers.save(world, customer, source)


def authenticate(world: World, body: Json) -> Json:
    """`authenticateSource`: the results are PLATFORM §5.5's."""
    check(body, {"sessionId": TEXT, "sourceId": TEXT, "sourceClientSecret": TEXT})
    source = world.sources.get(body.get("sourceId") or "")
    if source is None:
        raise not_found("sourceId", f"Source '{body.get('sourceId')}' not found.")
    checkout = _checkout(world, body.get("sessionId"))
    if source.last_name == "AuthenticationFail":
        return {"result": "failed"}
    if source.state == "requires_action":
        source.state = "chargeable"
        world.emit("source.chargeable", source.live, sources.view(source))
    if checkout is not None:
        source.authenticated.add(checkout.session.id)
        if not checkout.order_id:
            checkout.session.next_action = None
    return {"result": "complete"}

"""Where events belong: what a batch of them needs of the store, and how each moves on."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from consumer.events import REJECTED
from consumer.store import admission, forgetting, inbox, links, parking, purchases
from consumer.store.engine import Raced
from consumer.store.facts import Undecidable, envelope, reported, requested
from consumer.store.inbox import REDRIVEN, Entry, Key, Mark
from handlers.paths import as_id
from handlers.routing import Ignored, Route, asks_to_be_forgotten, route, stale, wrong_mode
from schemas.base import JsonObject
from schemas.requests import ForgetRequest, PurchaseRequest
from schemas.wire import Envelope

UNPLACED = "waits for its order"
LOOKED_UP = "waits for its purchase"
NEWER = "waits for a newer version"


def admitted(
    connection: Connection, entries: Sequence[Entry], now: datetime, most: timedelta, *, live: bool
) -> list[Mark]:
    """The merchant's own events open or continue purchases, if not older than `most`."""
    found = [_asked(entry, now, most, live=live) for entry in entries]
    asked = [ask for ask in found if not isinstance(ask, Mark)]
    verdicts = iter(admission.place_all(connection, asked))
    marks, waits = [], list[tuple[int, Key]]()
    for entry, ask in zip(entries, found, strict=True):
        mark = ask if isinstance(ask, Mark) else _answered(entry, next(verdicts))
        marks.append(mark)
        if mark.status == "parked" and not isinstance(ask, Mark):
            waits += [(entry.seq, key) for key in admission.keys(ask[0])]
    parking.wait(connection, waits)
    return marks


def _asked(
    entry: Entry, now: datetime, most: timedelta, *, live: bool
) -> tuple[PurchaseRequest, datetime] | Mark:
    """The request and when the shopper confirmed it, or how the event moves on without."""
    try:
        event = envelope(entry)
        if wrong_mode(event.live_mode, live=live):
            return Mark(entry.seq, "ignored", "wrong_mode")
        rejected = event.type == REJECTED
        request = reported(event).as_request() if rejected else requested(event)
    except Undecidable as error:
        return Mark(entry.seq, "dead", str(error))
    if stale(event.created_time, now, most, redriven=entry.reason == REDRIVEN):
        return Mark(entry.seq, "dead", "stale")
    return request, min(event.created_time, now)


def _answered(entry: Entry, verdict: admission.Verdict | admission.Newer) -> Mark:
    match verdict:
        case admission.Newer():
            return Mark(entry.seq, "parked", NEWER)
        case admission.Admitted(purchase=purchase):
            return Mark(entry.seq, "routed", None, purchase.id)
        case admission.Unknown(field=field):
            return Mark(entry.seq, "dead", f"{field} names no known purchase")
        case admission.Refused(detail=detail):
            return Mark(entry.seq, "dead", detail)


def placed(connection: Connection, entries: Sequence[Entry], *, live: bool) -> list[Mark]:
    """Finds the purchases of the platform's events, by the keys that they name.

    What may get one later is noted to wait for its keys.
    """
    found = [_read(connection, entry, live=live) for entry in entries]
    routes = [way for way in found if isinstance(way, Route)]
    owners = purchases.owners(connection, [key for way in routes for key in way.keys])
    marks, waits = [], list[tuple[int, Key]]()
    for entry, way in zip(entries, found, strict=True):
        mark = _place(connection, entry, way, owners) if isinstance(way, Route) else way
        marks.append(mark)
        if mark.status == "parked" and isinstance(way, Route):
            waits += [(entry.seq, key) for key in way.keys]
    parking.wait(connection, waits)
    return marks


def _read(connection: Connection, entry: Entry, *, live: bool) -> Route | Mark:
    """Where to look for an event's purchase, or how it moves on without."""
    try:
        event = envelope(entry)
        if wrong_mode(event.live_mode, live=live):
            return Mark(entry.seq, "ignored", "wrong_mode")
        resource = event.data.resource
        if asks_to_be_forgotten(event.type, resource):
            return _forget(connection, entry, event)
        way = route(event.type, resource)
    except Undecidable as error:
        return Mark(entry.seq, "dead", str(error))
    except (SQLAlchemyError, Raced):
        raise
    except Exception as error:  # noqa: BLE001 - one event must not stop the others; it is shown
        return Mark(entry.seq, "dead", f"no route: {type(error).__name__}")
    if isinstance(way, Ignored):
        return Mark(entry.seq, "dead" if way.odd else "ignored", way.reason)
    return way


def _place(connection: Connection, entry: Entry, way: Route, owners: Mapping[Key, str]) -> Mark:
    owner = next((owners[key] for key in way.keys if key in owners), None)
    if owner and entry.type == "checkout.created":
        return Mark(entry.seq, "ignored", "known_checkout")
    if owner is None and way.purchase_id and purchases.exists(connection, way.purchase_id):
        owner = way.purchase_id
    if owner:
        return Mark(entry.seq, "routed", None, owner)
    if concerned := links.unresolved(connection, way.links):
        return _fan_out(connection, entry, concerned)
    if not way.wait:
        return Mark(entry.seq, "ignored", "not_ours")
    only_order = all(kind in ("order", "charge") for kind, _ in way.keys)
    return Mark(entry.seq, "parked", UNPLACED if only_order else LOOKED_UP)


def _forget(connection: Connection, entry: Entry, event: Envelope) -> Mark:
    """Raises `Undecidable`."""
    wanted = _person(event.data.resource)
    forgetting.request(connection, wanted, f"event/{event.id}", "internal", entry.at)
    return Mark(entry.seq, "done", "forget")


def _person(customer: JsonObject) -> ForgetRequest:
    """Whom a customer's event is about. Raises `Undecidable`."""
    try:
        return ForgetRequest(customer_id=as_id(customer.get("id")))
    except ValidationError as error:
        raise Undecidable("not understood: data.object.id") from error


def _fan_out(connection: Connection, entry: Entry, owners: list[str]) -> Mark:
    """One fact for each purchase. All get copies, whose ids name the purchase: routed again,
    the event finds them there and gives nobody a second one."""
    inbox.copy(connection, entry, owners)
    return Mark(entry.seq, "done", "fanned_out")

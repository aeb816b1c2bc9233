"""From a stored row to a fact."""

from pydantic import TypeAdapter, ValidationError

from consumer.events import REJECTED
from consumer.store.inbox import Entry
from schemas.facts import Fact, OrderRejected, Origin, PlatformEvent, PurchaseRequested
from schemas.requests import PurchaseRequest, RejectionReport
from schemas.wire import Envelope

FACT: TypeAdapter[Fact] = TypeAdapter(Fact)
ENVELOPED = frozenset({Origin.PLATFORM, Origin.MERCHANT})


class Undecidable(Exception):
    """The row is no fact that we know; `str()` names what is wrong, without its values."""


def envelope(entry: Entry) -> Envelope:
    """The event in a row of the platform or of the merchant. Raises `Undecidable`."""
    try:
        return Envelope.model_validate_json(entry.body)
    except ValidationError as error:
        raise Undecidable(_named(error)) from error


def decoded(entry: Entry) -> Fact:
    """The fact in a row. Raises `Undecidable`."""
    if entry.origin in ENVELOPED:
        return _from_event(entry)
    try:
        return FACT.validate_json(entry.body)
    except ValidationError as error:
        raise Undecidable(_named(error)) from error


def _from_event(entry: Entry) -> Fact:
    event = envelope(entry)
    if entry.origin is Origin.PLATFORM:
        return PlatformEvent(
            event_id=event.id,
            type=event.type,
            object=event.data.resource,
            created=event.created_time,
        )
    if event.type == REJECTED:
        return OrderRejected(report=reported(event), created=event.created_time)
    return PurchaseRequested(request=requested(event), confirmed_at=event.created_time)


def requested(event: Envelope) -> PurchaseRequest:
    """The request in a `purchase.submit_requested`. Raises `Undecidable`."""
    try:
        return PurchaseRequest.model_validate(event.data.object)
    except ValidationError as error:
        raise Undecidable(_named(error)) from error


def reported(event: Envelope) -> RejectionReport:
    """The report in an `order.rejected`. Raises `Undecidable`."""
    try:
        return RejectionReport.model_validate(event.data.object)
    except ValidationError as error:
        raise Undecidable(_named(error)) from error


def _named(error: ValidationError) -> str:
    """The fields that are wrong, never their values."""
    places = (".".join(map(str, e["loc"])) or "body" for e in error.errors(include_input=False))
    return "not understood: " + ", ".join(sorted(set(places)))[:200]

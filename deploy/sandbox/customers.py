"""Customers and their saved sources (PLATFORM §2.8, §5.5)."""

from . import sources
from .clock import stamp
from .errors import Refusal, invalid, not_found
from .fields import ANY, FLAG, OBJECT, TEXT, check, check_metadata
from .model import Customer, Json, Source
from .world import World

CREATE = {
    "id": TEXT, "email": TEXT, "shipping": OBJECT, "defaultSourceId": TEXT, "type": TEXT,
    "taxCertificate": ANY, "metadata": OBJECT, "locale": TEXT, "enabled": FLAG,
}  # fmt: skip
UPDATE = {**CREATE, "requestToBeForgotten": FLAG}
ECHOED = ("email", "shipping", "type", "metadata", "locale")


def find(world: World, live: bool, customer_id: str) -> Customer:
    customer = world.customers.get(customer_id)
    if customer is None or customer.live != live:
        raise not_found("id", f"Customer '{customer_id}' not found.")
    return customer


def create(world: World, live: bool, body: Json) -> Customer:
    check(body, CREATE)
    check_metadata(body.get("metadata"))
    customer_id = body.get("id") or world.new_id()
    if len(customer_id) > 40:
        raise invalid("id", "The id is too long.")
    if customer_id in world.customers:
        message = f"Customer '{customer_id}' already exists."
        raise Refusal(409, "already_exists", message, "id")
    moment = world.now()
    customer = Customer(customer_id, live, moment, moment, {}, enabled=body.get("enabled", True))
    customer.fields = {name: body[name] for name in ECHOED if body.get(name) is not None}
    world.customers[customer_id] = customer
    world.emit("customer.created", live, view(world, customer))
    return customer


def update(world: World, customer: Customer, body: Json) -> Customer:
    check(body, {name: kind for name, kind in UPDATE.items() if name != "id"})
    check_metadata(body.get("metadata"))
    wanted = body.get("defaultSourceId")
    if wanted is not None and wanted not in customer.source_ids:
        raise invalid("defaultSourceId", f"Source '{wanted}' is not the customer's.")
    before = view(world, customer)
    customer.fields |= {name: body[name] for name in ECHOED if name in body}
    customer.default_source_id = wanted or customer.default_source_id
    customer.enabled = body.get("enabled", customer.enabled)
    customer.forget = body.get("requestToBeForgotten", customer.forget)
    customer.updated = world.now()
    after = view(world, customer)
    previous = {name: before.get(name) for name in after if before.get(name) != after[name]}
    world.emit("customer.updated", customer.live, after, previous)
    return customer


def delete(world: World, customer: Customer) -> None:
    del world.customers[customer.id]
    world.emit("customer.deleted", customer.live, {}, view(world, customer))


def view(world: World, customer: Customer) -> Json:
    shown: Json = {
        "id": customer.id,
        "createdTime": stamp(customer.created),
        "updatedTime": stamp(customer.updated),
        **{name: value for name, value in customer.fields.items() if value is not None},
        "sources": [sources.view(world.sources[one]) for one in customer.source_ids],
        "taxIdentifiers": [],
        "taxCertificates": [],
        "enabled": customer.enabled,
        "requestToBeForgotten": customer.forget,
        "liveMode": customer.live,
    }
    if customer.default_source_id:
        shown["defaultSourceId"] = customer.default_source_id
    return shown


def save(world: World, customer: Customer, source: Source) -> Source:
    """Only a chargeable source of a type that can be stored; it becomes reusable."""
    if source.id in customer.source_ids:
        return source
    if source.customer_id not in (None, customer.id):
        message = f"Source '{source.id}' is attached to a different customer."
        raise Refusal(409, "source_in_use", message, "sourceId")
    if source.state != "chargeable":
        message = f"Source '{source.id}' is not chargeable."
        raise Refusal(409, "source_not_chargeable", message, "sourceId")
    if not sources.can_save(source):
        message = "Only a reusable source may be attached to a customer."
        raise Refusal(409, "nonreusable_source", message)
    source.reusable = True
    source.customer_id = customer.id
    customer.source_ids.append(source.id)
    customer.default_source_id = customer.default_source_id or source.id
    world.emit("customer.source.created", customer.live, sources.view(source))
    return source


def remove(world: World, customer: Customer, source_id: str) -> None:
    """The source is cancelled for good (PLATFORM §5.5)."""
    if source_id not in customer.source_ids:
        raise not_found("sourceId", f"Source '{source_id}' not found.")
    source = world.sources[source_id]
    customer.source_ids.remove(source_id)
    if customer.default_source_id == source_id:
        customer.default_source_id = customer.source_ids[0] if customer.source_ids else None
    source.state = "cancelled"
    source.removed = True
    world.emit("customer.source.deleted", customer.live, sources.view(source))

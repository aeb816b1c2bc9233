"""The platform's calls: which method and path leads to which function."""

from . import changing, reading
from .call import Answer, Call, Handler
from .errors import Refusal


def no_such_path(call: Call) -> Answer:
    raise Refusal(404, "not_found", "The requested resource was not found.")


CALLS: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/checkouts", changing.create_checkout),
    ("GET", "/checkouts", reading.list_checkouts),
    ("GET", "/checkouts/{id}", reading.get_checkout),
    ("POST", "/checkouts/{id}", changing.update_checkout),
    ("DELETE", "/checkouts/{id}", changing.delete_checkout),
    ("POST", "/checkouts/{id}/sources/{source}", changing.attach_source),
    ("DELETE", "/checkouts/{id}/sources/{source}", changing.detach_source),
    ("POST", "/sources", changing.create_source),
    ("GET", "/sources/{id}", reading.get_source),
    ("POST", "/orders", changing.create_order),
    ("GET", "/orders", reading.list_orders),
    ("GET", "/orders/{id}", reading.get_order),
    ("POST", "/orders/{id}", changing.update_order),
    ("POST", "/orders/{id}/refresh", changing.refresh_order),
    ("GET", "/charges/{id}", reading.get_charge),
    ("POST", "/fulfillments", changing.create_fulfillment),
    ("POST", "/customers", changing.create_customer),
    ("GET", "/customers", reading.list_customers),
    ("GET", "/customers/{id}", reading.get_customer),
    ("POST", "/customers/{id}", changing.update_customer),
    ("DELETE", "/customers/{id}", changing.delete_customer),
    ("POST", "/customers/{id}/sources/{source}", changing.save_source),
    ("DELETE", "/customers/{id}/sources/{source}", changing.remove_source),
    ("GET", "/events", reading.list_events),
    ("GET", "/events/{id}", reading.get_event),
    ("GET", "/webhooks", reading.list_webhooks),
    ("POST", "/webhooks", changing.create_webhook),
    ("GET", "/webhooks/{id}", reading.get_webhook),
    ("PATCH", "/webhooks/{id}", changing.update_webhook),
    ("DELETE", "/webhooks/{id}", changing.delete_webhook),
)

"""Event names and envelopes, which differ from event to event (PLATFORM §2.11, §6.1, §8 #19)."""

from .model import Json

VERSION = "2021-12-13"
# Names that are still listed, or that only a checklist has (PLATFORM §6.1, §8 #22).
LEGACY = {
    "order.charge.pending": "order.charge.created",
    "order.charge.complete": "order.charge.completed",
    "order.charge.capture.pending": "order.charge.capture.created",
    "order.charge.capture.complete": "order.charge.capture.completed",
    "order.review_opened": "order.pending_review",
    "checkout_session.order.created": "checkout_session.order.create",
    "fulfillment.created": "fulfillment.create",
}


def names(kind: str, setting: str) -> list[str]:
    """Each is told in an event of its own."""
    legacy = LEGACY.get(kind)
    if legacy is None or setting == "current":
        return [kind]
    return [legacy] if setting == "legacy" else [kind, legacy]


def vary(body: Json, setting: str, turn: int, hooks: list[str]) -> None:
    """Adds what the setting says to the parts that every event has."""
    if setting == "full" or (setting == "varied" and turn % 2):
        body["webhookIds"] = hooks
    if setting == "full" or (setting == "varied" and turn % 5 != 4):
        body["digitalriverVersion"] = VERSION
    if setting == "spec":
        body |= {"digitalRiverVersion": VERSION, "pendingWebhooks": len(hooks)}

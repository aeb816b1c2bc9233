"""Choices that PLATFORM leaves open; every one can be switched while the sandbox runs."""

from dataclasses import dataclass, fields
from typing import Any

from .errors import invalid, unknown

CHOICES: dict[str, tuple[str, ...]] = {
    "signature_timestamp": ("ms", "s", "iso"),
    "signature_rotation": ("both", "newest"),
    "consumed_checkout": ("readable", "gone"),
    "charge_failed_shape": ("charge", "order"),
    "charge_failed_leaves": ("cancelled", "pending_payment"),
    "after_redirect": ("later", "refresh", "at_once"),
    "redirect_url": ("shown", "missing"),
    "instructions": ("action", "source"),
    "expiry_events": ("cancelled", "failed_cancelled", "cancelled_failed", "failed"),
    "review_closed": ("after", "before", "never"),
    "cancels": ("allowed", "refused", "ignored", "later"),
    "saved_sources": ("free", "authenticated"),
    "event_names": ("current", "legacy", "both"),
    "envelope": ("varied", "full", "bare", "spec"),
    "webhooks": ("on", "off"),
}


@dataclass(slots=True)
class Settings:
    """Times are platform seconds, which the clock's speed divides.

    `after_redirect`: an approved redirect goes on with a refresh, or by itself `later` (after
    `settlement_seconds`), with a `refresh` alone, or `at_once` (PLATFORM §5.6 names the refresh).
    `redirect_url`, `instructions`: rows 4 and 6 of PLATFORM §4.1 instead of 3 and 5.
    `expiry_events`: what an unpaid transfer tells (§5.7, §8 #2). `charge_failed_leaves`: what
    becomes of an order that waits (§8 #3). `cancels` of orders that wait (§8 #14).
    `saved_sources`: whether a shopper must authenticate them for each session (§5.5).
    """

    signature_timestamp: str = "ms"
    signature_rotation: str = "both"
    consumed_checkout: str = "readable"
    charge_failed_shape: str = "charge"
    charge_failed_leaves: str = "cancelled"
    after_redirect: str = "later"
    redirect_url: str = "shown"
    instructions: str = "action"
    expiry_events: str = "cancelled"
    review_closed: str = "after"
    cancels: str = "allowed"
    saved_sources: str = "free"
    event_names: str = "current"
    envelope: str = "varied"
    webhooks: str = "on"
    review_seconds: float = 60.0
    settlement_seconds: float = 60.0
    funds_seconds: float = 7 * 86400.0  # the sample of PLATFORM §5.7
    disable_after: int = 20
    webhook_timeout: float = 3.0

    def change(self, wanted: dict[str, Any]) -> None:
        """Changes nothing if anything in it is not understood. Raises Refusal."""
        known = {one.name: one.type for one in fields(self)}
        for name, value in wanted.items():
            if name not in known:
                raise unknown(name)
            if name in CHOICES and value not in CHOICES[name]:
                raise invalid(name, f"one of {', '.join(CHOICES[name])}")
            if name not in CHOICES and (isinstance(value, bool) or not _positive(value)):
                raise invalid(name, "a number above zero")
        for name, value in wanted.items():
            setattr(self, name, value)

    def view(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and value > 0

"""Choices that PLATFORM leaves open; every one can be switched while the sandbox runs."""

from dataclasses import dataclass, fields
from typing import Any

from .errors import invalid, unknown

CHOICES: dict[str, tuple[str, ...]] = {
    "signature_timestamp": ("ms", "s", "iso"),
    "signature_rotation": ("both", "newest"),
    "consumed_checkout": ("readable", "gone"),
    "charge_failed_shape": ("charge", "order"),
}


@dataclass(slots=True)
class Settings:
    """Times are platform seconds, which the clock's speed divides."""

    signature_timestamp: str = "ms"
    signature_rotation: str = "both"
    consumed_checkout: str = "readable"
    charge_failed_shape: str = "charge"
    review_seconds: float = 60.0
    settlement_seconds: float = 60.0
    disable_after: int = 20
    webhook_timeout: float = 3.0

    def change(self, wanted: dict[str, Any]) -> None:
        known = {one.name: one.type for one in fields(self)}
        for name, value in wanted.items():
            if name not in known:
                raise unknown(name)
            if name in CHOICES and value not in CHOICES[name]:
                raise invalid(name, f"one of {', '.join(CHOICES[name])}")
            if name not in CHOICES and (isinstance(value, bool) or not _positive(value)):
                raise invalid(name, "a number above zero")
            setattr(self, name, value)

    def view(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and value > 0

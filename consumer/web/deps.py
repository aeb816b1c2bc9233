"""What the HTTP side is given. Nothing here is made by itself or found by import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from consumer.clock import Clock
from consumer.observe.metrics import Metrics
from consumer.platform import Platform
from consumer.settings import Settings
from consumer.settings.values import Token
from consumer.signals import Changes, Edge, Signal
from consumer.signature import Network
from consumer.store.engine import Store


@dataclass(frozen=True, slots=True)
class WebhookRules:
    """How a webhook proves itself. `tolerance` in seconds; `allow` None: from anywhere."""

    secrets: tuple[str, ...]
    tolerance: float = 600.0
    basic: str | None = None
    allow: tuple[Network, ...] | None = None
    trusted: tuple[Network, ...] = ()


def _all_well() -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Deps:
    """Everything that an answer may need.

    `webhook` None: webhooks are off. `stored` is set whenever a purchase got a fact, `arrived` when
    an event came that has none yet. `stopping` ends waiting calls early. `ailing` names the tasks
    that should run and do not.
    """

    store: Store
    platform: Platform
    clock: Clock
    tokens: tuple[Token, ...]
    webhook: WebhookRules | None
    stored: Signal
    changes: Changes
    metrics: Metrics
    arrived: Signal = field(default_factory=Signal)
    edge: Edge = field(default_factory=Edge)
    ailing: Callable[[], Sequence[str]] = _all_well
    stopping: Callable[[], bool] = bool


def webhook_rules(settings: Settings) -> WebhookRules | None:
    """The rules that the settings ask for; None when webhooks are off."""
    if not settings.webhooks:
        return None
    basic = settings.webhook_basic
    return WebhookRules(
        secrets=tuple(secret.get_secret_value() for secret in settings.webhook_secrets),
        tolerance=settings.webhook_tolerance,
        basic=basic.get_secret_value() if basic else None,
        allow=settings.webhook_allow,
        trusted=settings.trusted_proxies,
    )

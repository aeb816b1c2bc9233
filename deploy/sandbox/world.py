"""Everything that the stand-in platform knows, and how a change becomes an event."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from . import envelopes
from .clock import Clock, fine_stamp, whole
from .faults import Faults
from .ledger import Ledger
from .limiter import Limiter
from .model import (
    Charge,
    Checkout,
    Customer,
    Event,
    Json,
    Order,
    Source,
    Webhook,
)
from .settings import Settings

VERSION = envelopes.VERSION


@dataclass(slots=True)
class World:
    """One account, both modes. Test and live resources do not see each other.

    Without a seed, ids never repeat from one run to the next: consumers that remember events
    would take a restarted sandbox's for old ones. `chosen`: the settings of the start.
    """

    clock: Clock
    seed: int | None = None
    rate: float | None = None
    url: str = ""
    settings: Settings = field(default_factory=Settings)
    chosen: dict[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ("sk_test_sandbox",)
    ledger: Ledger = field(default_factory=Ledger)
    checkouts: dict[str, Checkout] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    fulfillments: dict[str, Json] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    webhooks: dict[str, Webhook] = field(default_factory=dict)
    deliver: Callable[[Webhook, Event, bytes], None] | None = None
    later: Callable[[float, Callable[[], None]], None] | None = None
    random: Random = field(init=False)
    faults: Faults = field(init=False)
    limiter: Limiter = field(init=False)
    number: int = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.faults = Faults(Random(self.random.random()))
        self.number = self.random.randrange(10_000_000)
        self.limiter = Limiter(self.rate)

    def now(self) -> datetime:
        return whole(self.clock.now())

    def new_id(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def new_secret(self, owner: str) -> str:
        return f"{owner}_{self.new_id()}"

    def new_number(self) -> str:
        """Order and item ids are 12 digits (PLATFORM §1.3)."""
        self.number += 1
        return f"{30_000_000 + self.number}0336"

    def emit(self, kind: str, live: bool, thing: Json, previous: Json | None = None) -> Event:
        """Stores an event and hands it to every enabled webhook that wants it."""
        told = [
            self._told(name, live, thing, previous)
            for name in envelopes.names(kind, self.settings.event_names)
        ]
        return told[0]

    def _told(self, kind: str, live: bool, thing: Json, previous: Json | None) -> Event:
        data: Json = {"object": thing}
        if previous is not None:
            data["previousAttributes"] = previous
        moment = self.clock.now()
        body: Json = {
            "id": self.new_id(),
            "type": kind,
            "data": data,
            "liveMode": live,
            "createdTime": fine_stamp(moment),
        }
        hooks = [
            hook
            for hook in self.webhooks.values()
            if hook.enabled and hook.live == live and hook.wants(kind)
        ]
        ids = [hook.id for hook in hooks]
        envelopes.vary(body, self.settings.envelope, len(self.events), ids)
        event = Event(body["id"], live, moment, kind, body)
        self.events[event.id] = event
        raw = encoded(body)
        for hook in hooks:
            if self.deliver is not None:
                self.deliver(hook, event, raw)
        return event

    def forget_everything(self) -> None:
        for table in (
            self.checkouts, self.sessions, self.sources, self.customers, self.orders,
            self.charges, self.fulfillments, self.events,
        ):  # fmt: skip
            table.clear()
        self.ledger = Ledger()
        self.limiter = Limiter(self.rate)
        self.settings = Settings()
        self.settings.change(self.chosen)
        self.faults.clear()


def encoded(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()

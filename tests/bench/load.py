"""Signed events, made before they are sent: 2.5 KB each, every id its own."""

import itertools
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from consumer.signature import sign

SECRET = "whsec_bench"
SIZE = 2500  # bytes of one event
MARK = "@ID@"
_batches = itertools.count(1)
_run = secrets.token_hex(3)


def event(id: str, type: str, resource: dict[str, Any]) -> dict[str, Any]:
    """An event in the platform's envelope, made now."""
    return {
        "id": id,
        "type": type,
        "createdTime": datetime.now(UTC).isoformat(),
        "liveMode": True,
        "data": {"object": resource},
    }


def checkout_updated() -> str:
    """An event about a checkout that nobody handed over, as most of a shop's are; with MARK."""
    item = {"skuId": "kbd-1", "quantity": 2, "price": 25.0, "metadata": {"line": "1"}}
    place = {"line1": "Teststr. 1", "city": "Berlin", "postalCode": "10115", "country": "DE"}
    checkout = {
        "id": f"c-{MARK}",
        "currency": "EUR",
        "email": "ada@example.test",
        "totalAmount": 59.95,
        "shipTo": {"name": "Ada Probe", "address": place},
        "billTo": {"name": "Ada Probe", "address": place},
        "items": [{"id": str(n), **item} for n in range(8)],
        "payment": {"session": {"id": "s-1", "state": "requires_source"}},
        "metadata": {"note": ""},
    }
    made = event(MARK, "checkout.updated", checkout)
    checkout["metadata"] = {"note": "x" * (SIZE - len(json.dumps(made).replace(MARK, "i" * 16)))}
    return json.dumps(made)


def body(template: str, id: str) -> str:
    """The template as one event."""
    return template.replace(MARK, id)


@dataclass(frozen=True)
class Load:
    """Two files for wrk, and how many events are in them."""

    template: Path
    events: Path
    number: int


def signed(folder: Path, number: int) -> Load:
    """So many events, signed now: they are good for the service's `WEBHOOK_TOLERANCE`.

    The body holds its id once: a checkout's id may be shared, an event's may not.
    """
    template = checkout_updated().replace(f"c-{MARK}", "c-bench")
    batch, stamp = next(_batches), str(int(time.time() * 1000))
    made = Load(folder / "event.json", folder / f"events-{batch}.txt", number)
    made.template.write_text(template)
    with made.events.open("w") as file:
        for each in range(number):
            id = f"{_run}-{batch:03}-{each:07}"
            signature = sign(body(template, id).encode(), SECRET, stamp)
            file.write(f"{id} {stamp}, {signature}\n")
    return made

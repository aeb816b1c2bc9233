"""Facts that change a purchase and need no call of the platform, one fact for each purchase."""

import time
from typing import Any

from consumer.store.purchases import identity
from schemas.facts import CancelRequested
from schemas.purchase import Purchase, Reason, State
from tests.bench import documents
from tests.bench.books import count, do, fill
from tests.bench.report import Case
from tests.bench.stage import Bench
from tests.bench.waiting import until
from tests.bench.wrk import Broken

TARGET = 1500.0  # decisions a second
KINDS = 3
DECIDED = "SELECT count(*) FROM decisions"


async def decisions(bench: Bench) -> list[Case]:
    """From the first decision to the last."""
    each = max(500, int(TARGET * bench.options.seconds / KINDS))
    return [
        Case(
            *("postgres", "/s", "at least", TARGET),
            [await _decided(bench, each) for _ in range(bench.options.rounds)],
        )
    ]


async def _decided(bench: Bench, each: int) -> float:
    with bench.database("postgres") as url:
        await _preload(url, each)
        number = each * KINDS

        async def begun() -> int:
            return await count(url, DECIDED)

        async def ended() -> bool:
            return await count(url, DECIDED) >= number

        async with bench.serving(url) as server:
            before: int = await until(begun, 30.0, "the first decision", every=0.02)
            began = time.monotonic()
            async with bench.costing(server, "postgres", "decision") as done:
                await until(ended, 300.0, "the last decision", every=0.05)
                done.append(number - before)
            rate = (number - before) / (time.monotonic() - began)
        await _check(url, each)
    return rate


async def _check(url: str, each: int) -> None:
    """Every fact changed its purchase, as it should, and planned nothing."""
    query = "SELECT count(*) FROM purchases WHERE version = 6 AND state = '{}'"
    for state in ("accepted", "lost", "unknown"):
        if (found := await count(url, query.format(state))) != each:
            raise Broken(f"{found} of {each} purchases are {state}")
    if planned := await count(url, "SELECT count(*) FROM commands"):
        raise Broken(f"{planned} commands were planned")


async def _preload(url: str, each: int) -> None:
    """A third each: an order was read and is accepted; a shopper cancels; a merchant's event
    confirms again what is unknown, which only the router can place."""
    at = documents.ago(minutes=10)
    pending = [
        documents.purchase(t, State.PENDING, Reason.PROCESSING, at)
        for t in documents.tags("p", each)
    ]
    held = [
        documents.purchase(t, State.HELD, Reason.PAYMENT_REQUIRED, at)
        for t in documents.tags("h", each)
    ]
    unknown = [documents.purchase(t, State.UNKNOWN, None, at) for t in documents.tags("u", each)]
    everything = [one for three in zip(pending, held, unknown, strict=True) for one in three]
    await fill(url, "purchases", map(documents.columns, everything))
    await fill(url, "leases", map(_lease, everything))
    keys = [
        {"kind": kind, "value": value, "purchase_id": one.id}
        for one in everything
        for kind, value in identity(one)
    ]
    await fill(url, "keys", keys)
    await fill(url, "inbox", map(_fact, everything))
    await do(url, "ANALYZE")  # as autovacuum has done on a database that was not filled just now


def _lease(purchase: Purchase) -> dict[str, Any]:
    long_ago = documents.ago(days=10_000)
    return {"name": f"purchase/{purchase.id}", "owner": "", "epoch": 0, "until": long_ago}


def _fact(purchase: Purchase) -> dict[str, Any]:
    tag, now = purchase.id.removeprefix("pur_"), documents.ago(seconds=1)
    row = {"digest": "", "at": now, "status": "routed", "purchase_id": purchase.id}
    match purchase.state:
        case State.PENDING:
            read = documents.order_was_read(tag, now)
            named = {"origin": "command", "id": f"{read.key}/1", "transport": "internal"}
            return row | named | {"type": read.kind, "body": _json(read)}
        case State.HELD:
            asked = CancelRequested()
            named = {"origin": "shop", "id": f"cancel-{tag}", "transport": "api"}
            return row | named | {"type": asked.kind, "body": _json(asked)}
        case _:
            return documents.submit_requested(f"c-{tag}", documents.request(f"web-{tag}"), now)


def _json(fact: Any) -> bytes:
    return bytes(fact.model_dump_json(by_alias=True), "utf-8")

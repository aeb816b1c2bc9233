"""What the person in front of the demo sees: a live table, or plain lines without a terminal."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from .books import Books, Document
from .crowd import Crowd, Visit

EVERY = 0.25  # seconds between pictures
PLAIN_EVERY = 5.0  # seconds between lines
LINES = 20  # of what is wrong
LONGEST = 160  # characters of one line of a timeline


async def show(console: Console, crowd: Crowd, began: float) -> None:
    """Shows progress until it is cancelled."""
    if not console.is_terminal:
        await _plainly(console, crowd, began)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(progress(crowd, time.monotonic() - began), refresh=True)
            await asyncio.sleep(EVERY)


async def _plainly(console: Console, crowd: Crowd, began: float) -> None:
    with suppress(asyncio.CancelledError):
        while True:
            console.print(headline(crowd, time.monotonic() - began), soft_wrap=True)
            await asyncio.sleep(PLAIN_EVERY)
    console.print(headline(crowd, time.monotonic() - began), soft_wrap=True)


def headline(crowd: Crowd, elapsed: float) -> str:
    """Where we are, in one line."""
    states = Counter(visit.state for visit in crowd.visits if visit.ended)
    inside = sum(visit.started and not visit.ended for visit in crowd.visits)
    service = "killed, starting again" if crowd.down else "up"
    return (
        f"{elapsed:4.0f} s  {crowd.ended}/{len(crowd.visits)} shoppers done: "
        f"{states['accepted']} ordered, {states['lost']} not; {inside} in the shop; "
        f"service {service}, {crowd.kills} kills"
    )


def progress(crowd: Crowd, elapsed: float) -> Table:
    """One row for each situation."""
    table = Table(title=headline(crowd, elapsed), title_justify="left")
    for name in ("situation", "shoppers", "to come", "in the shop", "ordered", "not ordered"):
        table.add_column(name, justify="left" if name == "situation" else "right")
    for name, visits in by_situation(crowd.visits).items():
        states = Counter(visit.state for visit in visits if visit.ended)
        numbers = (
            len(visits),
            sum(not visit.started for visit in visits),
            sum(visit.started and not visit.ended for visit in visits),
            states["accepted"],
            sum(states.values()) - states["accepted"],
        )
        table.add_row(name, *(str(number) for number in numbers))
    return table


def by_situation(visits: Sequence[Visit]) -> dict[str, list[Visit]]:
    """The visits under their situation's name."""
    found: dict[str, list[Visit]] = {}
    for visit in visits:
        found.setdefault(visit.situation.name, []).append(visit)
    return dict(sorted(found.items()))


def result(crowd: Crowd, ledger: Document, purchases: Sequence[Document], books: Books) -> Table:
    """The ledger and the service's books for each situation."""
    theirs = {purchase["upstreamId"]: purchase for purchase in purchases}
    orders = Counter(order["upstreamId"] for order in ledger["orders"] if order["live"])
    table = Table(
        title="orders: the platform's ledger against the service's books", title_justify="left"
    )
    columns = ("situation", "shoppers", "in the ledger", "in the service",
               "prevented", "recovered", "why not ordered")  # fmt: skip
    for name in columns:
        table.add_column(name, justify="left" if name in (columns[0], columns[-1]) else "right")
    for name, visits in by_situation(crowd.visits).items():
        names = [visit.shopper.name for visit in visits]
        found = [theirs[one] for one in names if one in theirs]
        numbers = (
            len(visits),
            sum(orders[one] for one in names),
            sum(purchase["state"] == "accepted" for purchase in found),
            sum(purchase["id"] in books.prevented for purchase in found),
            sum(purchase["id"] in books.recovered for purchase in found),
        )
        table.add_row(name, *(str(number) for number in numbers), _why(len(visits), found))
    return table


def _why(shoppers: int, found: Sequence[Document]) -> str:
    reasons = Counter(
        str(purchase["reason"] or purchase["state"])
        for purchase in found
        if purchase["state"] != "accepted"
    )
    if shoppers > len(found):
        reasons["no purchase"] = shoppers - len(found)
    return ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())


def weather(ledger: Document) -> str:
    """What the platform did to us."""
    hooks = ledger["webhooks"]
    failed = Counter(entry["status"] for entry in ledger["submissions"])
    answers = ", ".join(f"{status or 'none'} {count}" for status, count in failed.most_common())
    return (
        f"platform: {ledger['requests']} requests, {ledger['rateLimited']} refused with 429, "
        f"{len(ledger['lateCommits'])} made late; answers to submissions: {answers}\n"
        f"webhooks: {hooks['sent']} sent, {hooks['acknowledged']} acknowledged, "
        f"{hooks['doubled']} doubled, {hooks['delayed']} late, {hooks['reordered']} reordered, "
        f"{hooks['lost']} lost, {hooks['retried']} repeated"
    )


def first(lines: Sequence[str]) -> list[str]:
    """As many as a person reads, and how many more there are."""
    if len(lines) <= LINES:
        return list(lines)
    return [*lines[:LINES], f"… and {len(lines) - LINES} more"]


def story(purchase_id: str, timeline: Sequence[Mapping[str, Any]]) -> str:
    """A timeline, a line for each item."""
    lines = [f"timeline of {purchase_id}:"]
    for item in timeline:
        rest = {name: value for name, value in item.items() if name not in ("at", "kind")}
        text = f"  {item['at']} {item['kind']:8} {_brief(rest)}"
        lines.append(text[:LONGEST])
    return "\n".join(lines)


def _brief(item: Mapping[str, Any]) -> str:
    first = [str(item[name]) for name in ("type", "rule", "command", "state", "reason", "status")
             if item.get(name) is not None]  # fmt: skip
    rest = {name: item[name] for name in ("evidence", "key", "id", "body") if item.get(name)}
    return " ".join(first) + " " + json.dumps(rest, ensure_ascii=False, default=str)

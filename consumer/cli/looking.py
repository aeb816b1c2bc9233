"""Commands that only look: purchases, show, why, dead-letters."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from consumer.cli.failures import Failure
from consumer.cli.opening import in_database, purchase_named
from consumer.cli.printing import console, plain, print_fields, print_json, print_table
from consumer.store import letters, purchases
from consumer.store.timeline import Item, timeline
from handlers.presentation import view
from schemas.purchase import Purchase

View = dict[str, Any]


def list_purchases(*, as_json: bool, limit: int, **filters: str | None) -> None:
    """Print purchases, newest first. `filters` are those of `purchases.listed`."""
    found = in_database(lambda c: purchases.listed(c, limit=limit + 1, **filters))
    views = [_viewed(purchase) for purchase in found[:limit]]
    if as_json:
        return print_json({"hasMore": len(found) > limit, "data": views})
    print_table(
        ("id", "state", "reason", "checkout", "order", "total", "updated"), [_row(v) for v in views]
    )
    if len(found) > limit:
        console().print(f"more: --starting-after {plain(views[-1]['id'])}")


def show(name: str, *, as_json: bool) -> None:
    """Print a purchase as operators see it."""
    shown = in_database(lambda c: _viewed(purchase_named(c, name)))
    if as_json:
        return print_json(shown)
    apart = ("shopper", "submissions", "order", "total")
    print_fields(
        [
            *((field, value) for field, value in shown.items() if field not in apart),
            ("total", _total(shown)),
            ("order", shown["order"]),
            ("message", (shown["shopper"]["message"] or {}).get("text")),
            ("nextAction", shown["shopper"]["nextAction"]),
        ]
    )
    for entry in shown["submissions"]:
        console().print(f"submission {plain(entry)}", soft_wrap=True)


def why(name: str, *, as_json: bool) -> None:
    """Print every decision about a purchase: on which fact, by which rule, with what result."""
    purchase, decisions = in_database(lambda c: _explained(c, name))
    if as_json:
        head = {"id": purchase.id, "state": purchase.state, "reason": purchase.reason}
        return print_json({**head, "data": decisions})
    reason = f" ({purchase.reason})" if purchase.reason else ""
    console().print(f"{purchase.id} is {purchase.state}{reason}\n", soft_wrap=True)
    for decision in decisions:
        _print_decision(decision)


def _explained(connection: Connection, name: str) -> tuple[Purchase, list[Item]]:
    purchase = purchase_named(connection, name)
    return purchase, explained(timeline(connection, purchase.id) or [])


def list_dead_letters(*, as_json: bool, limit: int, starting_after: str | None) -> None:
    """Print facts that could not be decided and outcomes that could not be delivered."""
    found = in_database(lambda c: letters.dead(c, limit + 1, starting_after))
    if found is None:
        raise Failure("--starting-after is not the id of a dead letter")
    if as_json:
        return print_json({"hasMore": len(found) > limit, "data": found[:limit]})
    columns = ("id", "at", "origin", "type", "reason", "purchaseId")
    print_table(columns, [[letter[name] for name in columns] for letter in found[:limit]])


def explained(items: list[Item]) -> list[Item]:
    """The decisions of a timeline, each with its fact and all that followed until the next one."""
    facts = {item["seq"]: item for item in items if item["kind"] == "fact"}
    decisions: list[Item] = []
    for item in items:
        if item["kind"] == "decision":
            decisions.append(item | {"fact": facts.get(item["factSeq"]), "then": []})
        elif item["kind"] != "fact" and decisions:
            decisions[-1]["then"].append(item)
    return decisions


def _print_decision(decision: Item) -> None:
    reason = f" ({decision['reason']})" if decision["reason"] else ""
    line = f"{decision['at']}  version {decision['version']}: {decision['state']}{reason}"
    console().print(plain(line), style="bold", soft_wrap=True)
    fields = [("because of", _fact(decision["fact"])), ("rule", _rule(decision))]
    fields.append(("evidence", decision["evidence"]))
    if decision["alternatives"]:
        fields.append(("rather than", decision["alternatives"]))
    fields += [("then", _consequence(item)) for item in decision["then"]]
    print_fields(fields, indent=2)
    console().print()


def _rule(decision: Item) -> str:
    return f"{decision['rule']}, from {decision['source']}"


def _fact(fact: Item | None) -> str:
    if fact is None:
        return "a fact that is no longer stored"
    text = f"{fact['type']} ({fact['origin']} {fact['id']}, by {fact['transport']})"
    result = fact["body"].get("result") if isinstance(fact["body"], dict) else None
    if isinstance(result, dict):
        told = [result.get("outcome"), result.get("status"), result.get("problems")]
        text += ": " + ", ".join(plain(part) for part in told if part)
    return text


def _consequence(item: Item) -> str:
    if item["kind"] == "outcome":
        sent = ", ".join(f"{d['sink']} {d['status']}" for d in item["deliveries"])
        return f"outcome {item['type']}" + (f": {sent}" if sent else "")
    due = f", due {item['due']}" if item["status"] == "planned" else ""
    return f"{item['command']} {item['key']}: {item['status']}, attempt {item['attempt']}{due}"


def _viewed(purchase: Purchase) -> View:
    return view(purchase, shop=False).model_dump(mode="json", by_alias=True)


def _row(shown: View) -> list[Any]:
    columns = ("id", "state", "reason", "checkoutId", "orderId")
    return [*(shown[name] for name in columns), _total(shown), shown["updatedAt"]]


def _total(shown: View) -> str | None:
    total = shown["total"]
    if total is None:
        return None
    agreed = "" if total["confirmed"] else " (not confirmed)"
    return f"{total['amount']:.2f} {total['currency']}{agreed}"

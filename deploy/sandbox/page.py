"""The ledger as a page: orders, charge attempts, submissions; problems stand out."""

from collections import Counter
from collections.abc import Callable
from html import escape

from .model import Json

STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; }
h1 { font-size: 1.3em; } h2 { font-size: 1.05em; margin-top: 2em; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2em .8em .2em 0; }
th { border-bottom: 1px solid #999; } td { border-bottom: 1px solid #eee; white-space: nowrap; }
.problem td { background: #fdd; font-weight: bold; } .figures span { margin-right: 2em; }
"""
SHOWN = 200


def page(ledger: Json, hooks: list[Json]) -> str:
    """A whole page without external assets; everything from outside is escaped."""
    upstream = Counter(one["upstreamId"] for one in ledger["orders"] if one["live"])
    sections = (
        _table("Orders", [_order_row(one) for one in ledger["orders"]],
               ("createdTime", "id", "checkoutId", "upstreamId", "states", "totalAmount",
                "currency", "money"),
               lambda one: one["live"] and one["upstreamId"] and upstream[one["upstreamId"]] > 1),
        _table("Charge attempts", ledger["chargeAttempts"],
               ("at", "checkoutId", "orderId", "sourceId", "card", "amount", "currency",
                "result", "code"),
               lambda one: False),
        _table("Cancels", ledger["cancels"],
               ("at", "orderId", "upstreamId", "by", "reason", "result", "state", "sessionState",
                "moneyOnItsWay"),
               lambda one: one["moneyOnItsWay"] and one["state"] == "pending_payment"
               and one["by"] == "merchant"),
        _table("Late payments", ledger["latePayments"],
               ("at", "sourceId", "type", "choice", "orderId", "orderState", "amount",
                "currency"),
               lambda one: one["orderId"]),
        _table("Submissions", ledger["submissions"],
               ("at", "checkoutId", "upstreamId", "sessionState", "amountRemaining", "status",
                "code", "fault", "committed", "orderId"),
               lambda one: not one["ready"] or one["dead"] or one["consumed"]),
        _table("Dead checkouts touched", ledger["deadTouches"],
               ("at", "method", "path", "checkoutId", "told"),
               lambda one: one["told"]),
        _table("Webhooks", hooks, ("address", "types", "enabled", "liveMode"),
               lambda one: not one["enabled"]),
    )  # fmt: skip
    webhooks = ledger["webhooks"]
    figures = {
        "requests": ledger["requests"],
        "rate limited": ledger["rateLimited"],
        **{f"webhooks {name}": count for name, count in webhooks.items()},
    }
    shown = "".join(f"<span>{escape(name)}: {count}</span>" for name, count in figures.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="refresh" content="2"><title>Sandbox ledger</title>'
        f"<style>{STYLE}</style></head><body><h1>Sandbox ledger</h1>"
        f'<p class="figures">{shown}</p>{"".join(sections)}</body></html>'
    )


def _order_row(order: Json) -> Json:
    """The states on the way, and what became of each charge."""
    states = [step["state"] for step in order["history"]]
    path = [state for place, state in enumerate(states) if states[place - 1 : place] != [state]]
    money = ", ".join(f"{one['type']} {one['amount']} {one['money']}" for one in order["charges"])
    return {**order, "states": " > ".join(path), "money": money or None}


def _table(
    title: str, rows: list[Json], columns: tuple[str, ...], problem: Callable[[Json], object]
) -> str:
    bad = sum(1 for row in rows if problem(row))
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f'<tr class="{"problem" if problem(row) else ""}">'
        + "".join(f"<td>{_cell(row.get(name))}</td>" for name in columns)
        + "</tr>"
        for row in reversed(rows[-SHOWN:])
    )
    return (
        f"<h2>{escape(title)}: {len(rows)} ({bad} problems)</h2>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(value: object) -> str:
    return "-" if value is None else escape(str(value))

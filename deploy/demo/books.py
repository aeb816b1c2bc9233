"""The sandbox's ledger against the service's own books. Pure functions over both documents.

`ledger` is the answer of `GET /_sandbox/ledger`; `purchases` are those of `GET /v1/purchases` as
operators see them; a timeline is the `data` of `GET /v1/purchases/{id}/timeline`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Document = Mapping[str, Any]
Timelines = Mapping[str, Sequence[Document]]  # by purchase id

# What may be wrong with an order and leaves its purchase accepted.
TROUBLES = frozenset({"capture_failed", "reauthorization_failed", "disputed", "chargeback"})
FAILED = frozenset({"failed", "blocked"})  # results of charge attempts that took no money
HELD = frozenset({"held", "captured"})  # what became of the money of a charge
CREATED, CONFLICT = 201, 409

# Decisions of the gate, and repairs before it, without which the platform would have refused.
PREVENTING = frozenset({
    "gate.data_incomplete", "gate.payment_required", "gate.payment_incomplete",
    "gate.contributions_differ", "gate.amounts_unknown", "gate.session_broken",
    "gate.billing_incomplete", "gate.source_unusable", "gate.source_of_another",
    "gate.source_not_ready", "reading.mend",
})  # fmt: skip
DECLINED_BEFORE = frozenset({"gate.source_declined_before", "call.source_declined_before"})


class Kind(StrEnum):
    """What can be wrong with the books."""

    TWICE = "orders twice"
    PAID = "paid but not ordered"
    UNREADY = "submissions of unready checkouts"
    DEAD = "dead checkouts touched"
    RECHARGED = "declined cards charged again"
    STALE = "orders cancelled with money on its way"
    CREDIT = "store credit lost or doubled"
    OUTCOME = "shoppers without their outcome"


@dataclass(frozen=True, slots=True)
class Expectation:
    """How a shopper should end: with an order, in trouble or not, or lost for this reason."""

    upstream_id: str
    situation: str
    reason: str | None = None

    @property
    def state(self) -> str:
        """The purchase's state at the end."""
        return "accepted" if self.reason is None or self.reason in TROUBLES else "lost"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. The purchase is None if nobody knows one."""

    kind: Kind
    text: str
    purchase_id: str | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """The result; balanced if nothing was found."""

    findings: tuple[Finding, ...]
    prevented: frozenset[str]
    recovered: frozenset[str]

    @property
    def balanced(self) -> bool:
        """Whether all is as it should be."""
        return not self.findings

    def line(self) -> str:
        """The last word."""
        counts = Counter(finding.kind for finding in self.findings)
        shown = [f"{kind}: {counts[kind]}" for kind in (Kind.TWICE, Kind.PAID, Kind.UNREADY,
                                                        Kind.DEAD)]  # fmt: skip
        shown.append(f"rejections prevented: {len(self.prevented)}")
        shown.append(f"rejected orders recovered: {len(self.recovered)}")
        return ", ".join(shown)


def balance(
    ledger: Document,
    purchases: Sequence[Document],
    timelines: Timelines,
    expectations: Sequence[Expectation],
) -> Books:
    """Everything that is wrong, and what went well in spite of everything."""
    return Books(
        findings=(
            *orders_twice(ledger, purchases),
            *paid_but_not_ordered(ledger, purchases),
            *unready_submissions(ledger, purchases),
            *dead_touches(ledger, purchases, timelines),
            *charged_again(ledger, purchases),
            *cancelled_paid(ledger, purchases),
            *credit_astray(ledger, purchases),
            *without_outcome(purchases, expectations),
        ),
        prevented=frozenset(id for id, story in timelines.items() if prevented(story)),
        recovered=frozenset(one["id"] for one in purchases if recovered(one)),
    )


def orders_twice(ledger: Document, purchases: Sequence[Document]) -> Iterator[Finding]:
    """More than one live order of one shopper in the ledger."""
    live = defaultdict(list)
    for order in ledger["orders"]:
        if order["live"]:
            live[order["upstreamId"]].append(order["id"])
    for name, ids in live.items():
        if len(ids) > 1:
            text = f"{name} has the orders {', '.join(ids)}"
            yield Finding(Kind.TWICE, text, _by_name(purchases).get(name))


def paid_but_not_ordered(ledger: Document, purchases: Sequence[Document]) -> Iterator[Finding]:
    """Money that was taken without an order that both sides know, and the other way round.

    A charge counts as released when its order was cancelled or blocked at the platform.
    """
    orders = {order["id"]: order for order in ledger["orders"]}
    taken = [charge for charge in ledger["chargeAttempts"] if charge["result"] not in FAILED]
    charged = Counter((charge["orderId"], charge["sourceId"]) for charge in taken)
    paid = {order_id for order_id, _ in charged}
    owners = _by_checkout(purchases)
    for charge in taken:
        if charge["orderId"] not in orders:
            owner = owners.get(charge["checkoutId"])
            text = f"a charge of checkout {charge['checkoutId']} has no order"
            yield Finding(Kind.PAID, text, owner)
    for (order_id, _), times in charged.items():
        if times > 1 and order_id in orders:
            owner = owners.get(orders[order_id]["checkoutId"])
            yield Finding(Kind.PAID, f"order {order_id} was charged {times} times", owner)
    yield from _not_known(ledger, purchases)
    live = {order["id"] for order in ledger["orders"] if order["live"]}
    for purchase in purchases:
        order_id = purchase["orderId"]
        if purchase["state"] == "accepted" and not (order_id in live and order_id in paid):
            text = f"{purchase['upstreamId']} is accepted with order {order_id}, which is not paid"
            yield Finding(Kind.PAID, text, purchase["id"])


def _not_known(ledger: Document, purchases: Sequence[Document]) -> Iterator[Finding]:
    """Live orders that the service does not take for accepted."""
    accepted = {one["orderId"]: one["id"] for one in purchases if one["state"] == "accepted"}
    for order in ledger["orders"]:
        if order["live"] and order["id"] not in accepted:
            name = order["upstreamId"]
            text = f"the service does not know order {order['id']} of {name} as accepted"
            yield Finding(Kind.PAID, text, _by_name(purchases).get(name))


def unready_submissions(ledger: Document, purchases: Sequence[Document]) -> Iterator[Finding]:
    """Submissions at a moment when the payment session could not carry an order (I1)."""
    owners = _by_checkout(purchases)
    for sent in ledger["submissions"]:
        if not sent["ready"]:
            text = f"{sent['at']}: checkout {sent['checkoutId']} was {sent['sessionState']}"
            yield Finding(Kind.UNREADY, text, owners.get(sent["checkoutId"]))


def dead_touches(
    ledger: Document, purchases: Sequence[Document], timelines: Timelines
) -> Iterator[Finding]:
    """Changes of a checkout after a 409 that the service received (I3).

    Not counted: touches after an answer that never arrived, by the ledger (`told` is false), or
    with which the service was killed, by its own books (`_unread`).
    """
    owners = _by_checkout(purchases)
    for touch in ledger["deadTouches"]:
        owner = owners.get(touch["checkoutId"])
        story = timelines.get(owner or "", ())
        if touch["told"] and not _unread(story, touch["checkoutId"], touch["at"]):
            text = f"{touch['at']}: {touch['method']} {touch['path']}"
            yield Finding(Kind.DEAD, text, owner)


def _unread(timeline: Sequence[Document], checkout_id: str, moment: str) -> bool:
    """Whether a submission was abandoned by a dead process, and no 409 was stored before."""
    abandoned = False
    for item in timeline:
        if item["kind"] != "fact" or item["type"] != "command_ended" or item["at"] >= moment:
            continue
        command, answer = item["body"]["command"], item["body"]["result"]
        if command["kind"] != "submit" or command["permit"]["checkoutId"] != checkout_id:
            continue
        if answer.get("status") == CONFLICT:
            return False
        abandoned = abandoned or answer["outcome"] == "abandoned"
    return abandoned


def charged_again(ledger: Document, purchases: Sequence[Document]) -> Iterator[Finding]:
    """Sources that were charged after a decline (I9); no shopper of the demo may do that."""
    owners = _by_checkout(purchases)
    declined: set[str] = set()
    for charge in ledger["chargeAttempts"]:
        if charge["sourceId"] in declined:
            text = f"{charge['at']}: source {charge['sourceId']} again"
            yield Finding(Kind.RECHARGED, text, owners.get(charge["checkoutId"]))
        if charge["result"] in FAILED:
            declined.add(charge["sourceId"])


def cancelled_paid(ledger: Document, purchases: Sequence[Document]) -> Iterator[Finding]:
    """Orders that were cancelled to be replaced although their money was on its way (I5).

    A shopper who no longer wants an order may have one taken back that is paid.
    """
    wanted = {one["id"] for one in purchases if one["reason"] != "cancelled"}
    orders = {o["id"]: one["id"] for one in purchases for o in one["orders"]}
    for cancel in ledger["cancels"]:
        owner = orders.get(cancel["orderId"])
        ours = cancel["by"] == "merchant" and owner in wanted
        if ours and cancel["moneyOnItsWay"]:
            yield Finding(Kind.STALE, f"order {cancel['orderId']} was being paid", owner)


def credit_astray(ledger: Document, purchases: Sequence[Document]) -> Iterator[Finding]:
    """Live orders that hold not exactly the store credit that the shopper gave."""
    for order in ledger["orders"]:
        credits = [charge for charge in order["charges"] if charge["credit"]]
        held = sum(charge["amount"] for charge in credits if charge["money"] in HELD)
        wanted = order["metadata"].get("credit", 0)
        if order["live"] and held != wanted:
            text = f"order {order['id']} has {held} of store credit, not {wanted}"
            yield Finding(Kind.CREDIT, text, _by_name(purchases).get(order["upstreamId"]))


def without_outcome(
    purchases: Sequence[Document], expectations: Sequence[Expectation]
) -> Iterator[Finding]:
    """Shoppers with no purchase, with several, or with one that did not end as it should."""
    found = defaultdict(list)
    for purchase in purchases:
        found[purchase["upstreamId"]].append(purchase)
    for wanted in expectations:
        theirs = found.pop(wanted.upstream_id, [])
        who = f"{wanted.upstream_id} ({wanted.situation})"
        if len(theirs) != 1:
            last = theirs[0]["id"] if theirs else None
            yield Finding(Kind.OUTCOME, f"{who} has {len(theirs)} purchases", last)
            continue
        state, reason = theirs[0]["state"], theirs[0]["reason"]
        if (state, reason) != (wanted.state, wanted.reason):
            text = f"{who} is {_named(state, reason)}, not {_named(wanted.state, wanted.reason)}"
            yield Finding(Kind.OUTCOME, text, theirs[0]["id"])
    for name, strange in found.items():
        yield Finding(Kind.OUTCOME, f"{name} belongs to no shopper", strange[0]["id"])


def prevented(timeline: Sequence[Document]) -> bool:
    """Whether the gate saved this purchase from a rejection.

    Counted once a purchase, from the service's own decisions: if the gate held, or mended, what
    the platform would have refused before the first submission was allowed; or if at any time it
    refused a source that had been declined for good. Holds between a rejection and the next
    payment are not counted: every decline would bring one.
    """
    submitted = False
    for item in timeline:
        if item["kind"] != "decision":
            continue
        if item["rule"] in DECLINED_BEFORE or (not submitted and item["rule"] in PREVENTING):
            return True
        submitted = submitted or item["rule"] == "gate.passed"
    return False


def recovered(purchase: Document) -> bool:
    """Whether an order was accepted although an earlier one was rejected or failed.

    Any HTTP status but 201 counts; a connection that broke without a status does not.
    """
    errors = [one for one in purchase["submissions"] if one["status"] not in (None, CREATED)]
    failed = [one for one in purchase["orders"] if one["id"] != purchase["orderId"]]
    return purchase["state"] == "accepted" and bool(errors or failed)


def _named(state: str, reason: str | None) -> str:
    return f"{state}: {reason}" if reason else state


def _by_name(purchases: Sequence[Document]) -> dict[str, str]:
    return {purchase["upstreamId"]: purchase["id"] for purchase in purchases}


def _by_checkout(purchases: Sequence[Document]) -> dict[str, str]:
    return {checkout: one["id"] for one in purchases for checkout in one["checkoutIds"]}

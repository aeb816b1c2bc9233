"""Amounts: the identity of PLATFORM §2.3 with a flat tax of 10 % (SANDBOX-CHOICE of §7.2)."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from .model import Item

RATE = Decimal("0.1")
WHOLE = frozenset({"JPY", "KRW", "CLP", "VND", "ISK", "HUF"})
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Line:
    amount: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class Totals:
    """Net amounts in major units; `total = subtotal + tax`."""

    lines: list[Line]
    shipping: Decimal
    shipping_tax: Decimal
    discount: Decimal
    tax: Decimal
    subtotal: Decimal
    total: Decimal


def money(value: object) -> Decimal:
    return Decimal(str(value))


def rounded(value: Decimal, currency: str) -> Decimal:
    unit = Decimal(1) if currency in WHOLE else Decimal("0.01")
    return value.quantize(unit, ROUND_HALF_UP)


def off(discount: dict[str, Any] | None, amount: Decimal) -> Decimal:
    """What a discount takes from an amount, never more than the amount."""
    if not discount:
        return ZERO
    if discount.get("percentOff") is not None:
        return amount * money(discount["percentOff"]) / 100
    return min(amount, money(discount.get("amountOff") or 0))


def asked(item: Item, currency: str) -> Decimal:
    """The line's amount as requested, after the line's own discount."""
    request = item.request
    if "aggregatePrice" in request:
        full = money(request["aggregatePrice"])
    else:
        full = money(request.get("price", 0)) * item.quantity
    return rounded(full - off(request.get("discount"), full), currency)


def tax_of(amount: Decimal, inclusive: bool, currency: str) -> Decimal:
    tax = amount - amount / (1 + RATE) if inclusive else amount * RATE
    return rounded(tax, currency)


def shares(amounts: list[Decimal], whole: Decimal, currency: str) -> list[Decimal]:
    """Splits an order discount over the lines; the last line takes the rounding."""
    base = sum(amounts, ZERO)
    if not base or not whole:
        return [ZERO for _ in amounts]
    parts = [rounded(whole * amount / base, currency) for amount in amounts]
    parts[-1] += whole - sum(parts, ZERO)
    return parts


def compute(
    items: list[Item],
    currency: str,
    inclusive: bool,
    shipping: object = 0,
    discount: dict[str, Any] | None = None,
    shipping_discount: dict[str, Any] | None = None,
) -> Totals:
    amounts = [asked(item, currency) for item in items]
    taken = rounded(off(discount, sum(amounts, ZERO)), currency)
    ship = rounded(money(shipping or 0), currency)
    ship_taken = rounded(off(shipping_discount, ship), currency)
    parts = shares(amounts, taken, currency)
    line_taxes = [
        tax_of(amount - part, inclusive, currency)
        for amount, part in zip(amounts, parts, strict=True)
    ]
    ship_tax = tax_of(ship - ship_taken, inclusive, currency)
    tax = sum(line_taxes, ship_tax)
    charged = sum(amounts, ZERO) - taken + ship - ship_taken
    total = charged if inclusive else charged + tax
    nets = [
        amount - tax_of(amount, inclusive, currency) if inclusive else amount for amount in amounts
    ]
    ship_net = ship - tax_of(ship, inclusive, currency) if inclusive else ship
    subtotal = total - tax
    return Totals(
        lines=[Line(net, line) for net, line in zip(nets, line_taxes, strict=True)],
        shipping=ship_net,
        shipping_tax=ship_tax,
        discount=sum(nets, ZERO) + ship_net - subtotal,
        tax=tax,
        subtotal=subtotal,
        total=total,
    )

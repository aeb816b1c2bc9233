"""The gate: whether a checkout, as just read, can become an order (I1, I9, I11, I12)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from handlers.asks import collect_payment, correct_checkout
from handlers.completeness import bills, faults, recurring
from handlers.decision import Moment
from handlers.policy import Policy
from handlers.remedies.sessions import session_row
from handlers.remedies.words import Action
from handlers.sight import Sight, expired
from handlers.step_up import asked
from schemas.base import JsonObject
from schemas.money import minor_units
from schemas.purchase import Fault, Purchase, Reason


@dataclass(frozen=True, slots=True)
class Hold:
    """Why the checkout is not submitted now, and what would release it."""

    reason: Reason
    rule: str
    source: str
    message: str
    next_action: JsonObject | None = None
    faults: tuple[Fault, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)


Check = Callable[[Purchase, Sight, Moment, Policy], Hold | None]

CREDIT = "customerCredit"
UNUSABLE_SOURCES = frozenset({"failed", "cancelled"})
NOT_WITH_CREDIT = frozenset({"amazonPay"})  # PLATFORM §3.5
# A source that the provider must still release before the submission (PLATFORM §2.7).
REDIRECT_FIRST = frozenset({"payPal", "payPalCredit", "payPalBilling"})


def examine(
    purchase: Purchase, sight: Sight, moment: Moment, policy: Policy
) -> tuple[Hold | None, tuple[str, ...]]:
    """The first check that holds, or `None` if all pass; and the names of those that passed."""
    passed: list[str] = []
    for check in CHECKS:
        if held := check(purchase, sight, moment, policy):
            return held, tuple(passed)
        passed.append(check.__name__)
    return None, tuple(passed)


def _collect(sight: Sight) -> JsonObject:
    return collect_payment(sight.checkout.id, sight.session.id)


def incomplete(found: tuple[Fault, ...], rule: str, source: str) -> Hold:
    """Held until these fields are corrected."""
    return Hold(
        *(Reason.CORRECTION_REQUIRED, rule, source, "checkout.correct"),
        next_action=correct_checkout(found),
        faults=found,
        evidence={"fields": [fault.path for fault in found]},
    )


def _payment(sight: Sight, rule: str, source: str, message: str = "payment.required") -> Hold:
    return Hold(Reason.PAYMENT_REQUIRED, rule, source, message, _collect(sight))


def customer_enabled(_p: Purchase, sight: Sight, _m: Moment, _policy: Policy) -> Hold | None:
    """The merchant has not blocked the customer."""
    if sight.customer is None or sight.customer.enabled is not False:
        return None
    return Hold(
        *(Reason.CUSTOMER_DISABLED, "gate.customer_disabled", "PLATFORM §2.8", "order.failed")
    )


def data_complete(_p: Purchase, sight: Sight, _m: Moment, _policy: Policy) -> Hold | None:
    """Everything but the bill-to address is there, which the source may bring."""
    found = faults(sight.raw, source_owner=True)
    return incomplete(found, "gate.data_incomplete", "PLATFORM §4.5") if found else None


def corrected(purchase: Purchase, _s: Sight, _m: Moment, _policy: Policy) -> Hold | None:
    """Nothing stands that the platform refused in this checkout."""
    found = tuple(fault for fault in purchase.faults if not fault.path.startswith("payment."))
    return incomplete(found, "gate.refused_before", "PLATFORM §4.3") if found else None


def credits_kept(purchase: Purchase, sight: Sight, _m: Moment, _policy: Policy) -> Hold | None:
    """No store credit was refused that the shopper still counts on (PLATFORM §3.5)."""
    if not any(credit.refused for credit in purchase.credits):
        return None
    some = bool(sight.checkout.payment.sources)
    reason = Reason.PAYMENT_INCOMPLETE if some else Reason.PAYMENT_REQUIRED
    message = "payment.required" if purchase.notice else "payment.credit_refused"
    return Hold(
        *(reason, "gate.credit_refused", "PLATFORM §3.5", message), next_action=_collect(sight)
    )


def stepped_up(purchase: Purchase, sight: Sight, _m: Moment, _policy: Policy) -> Hold | None:
    """The shopper has done the step that the session asked for (PLATFORM §4.2)."""
    if purchase.current.step_seen and asked(sight.session):
        return _step_up(sight)
    return None


def session_ready(purchase: Purchase, sight: Sight, _m: Moment, policy: Policy) -> Hold | None:
    """The session is in the one state that is safe to submit (PLATFORM §3.1)."""
    sources = bool(sight.checkout.payment.sources)
    row = session_row(sight.session.state, sources=sources).then
    if row.action is Action.SUBMIT or (policy.submit_free and _free(purchase, sight)):
        return None
    if row.action is Action.TOP_UP:
        return _short(sight, row.rule)
    if row.action is Action.COLLECT:
        return _payment(sight, row.rule, row.source, row.message)
    if row.action is Action.STEP_UP:
        return _step_up(sight)
    return Hold(Reason.IN_FLIGHT, row.rule, row.source, row.message)


def _free(purchase: Purchase, sight: Sight) -> bool:
    """Nothing to pay, nothing recurring, not tried in vain before (PLATFORM §3.4)."""
    session = sight.session
    nothing = minor_units(sight.total.amount, sight.total.currency) == 0
    return (
        session.state in (None, "requires_source")
        and nothing
        and not session.amount_remaining
        and not recurring(sight.raw)
        and not any(f.startswith("order_submit_failed/") for f in purchase.current.failed)
    )


def _short(sight: Sight, rule: str) -> Hold:
    return Hold(
        *(Reason.PAYMENT_INCOMPLETE, rule, "PLATFORM §3.2", "payment.incomplete"),
        next_action=_collect(sight),
    )


def _step_up(sight: Sight) -> Hold:
    return Hold(
        *(Reason.STEP_UP_REQUIRED, "gate.step_up", "PLATFORM §3.1", "payment.confirm_with_bank"),
        next_action=_collect(sight) | {"action": "step_up"},
    )


def paid_in_full(_p: Purchase, sight: Sight, _m: Moment, _policy: Policy) -> Hold | None:
    """Nothing remains to be contributed and the contributions make the total (§3.2)."""
    session, currency = sight.session, sight.total.currency
    total = minor_units(sight.total.amount, currency)
    if session.amount_remaining is None:
        return None if total == 0 else _short(sight, "gate.amounts_unknown")
    if minor_units(session.amount_remaining, currency) != 0:
        return _short(sight, "gate.payment_incomplete")
    contributed = session.amount_contributed
    credits = [s.amount or 0.0 for s in sight.checkout.payment.sources if s.type == CREDIT]
    differ = contributed is not None and minor_units(contributed, currency) != total
    if differ or sum(minor_units(amount, currency) for amount in credits) > total:
        return _short(sight, "gate.contributions_differ")
    return None


def billable(_p: Purchase, sight: Sight, _m: Moment, _policy: Policy) -> Hold | None:
    """There is a bill-to address, of the checkout or of the owner attached last (§3.5)."""
    found = faults(sight.raw, source_owner=any(bills(owner) for owner in _owners(sight)))
    return incomplete(found, "gate.billing_incomplete", "PLATFORM §4.5") if found else None


def _owners(sight: Sight) -> list[JsonObject | None]:
    """The owner of the source attached last, as the checkout and as the source itself show it."""
    primary = sight.checkout.primary_source
    last = next((s for s in reversed(sight.checkout.payment.sources) if s.owner), primary)
    if last is None or (primary and last.id == primary.id):
        return [s.owner for s in (last, sight.source) if s]
    return [last.owner]


def source_usable(_p: Purchase, sight: Sight, moment: Moment, _policy: Policy) -> Hold | None:
    """The primary source can be charged. `consumed` on this very session says nothing (§8 #49)."""
    source = sight.source
    if source is None:
        return None
    if source.state in UNUSABLE_SOURCES or expired(source, moment.now):
        rule = "gate.source_unusable"
        return _payment(sight, rule, "PLATFORM §4.5", "payment.choose_another")
    if source.state == "requires_action":
        return _step_up(sight)
    if source.state == "pending_redirect" and source.type in REDIRECT_FIRST:
        return replace(_short(sight, "gate.source_not_ready"), message="payment.redirect")
    return None


def credit_combinable(_p: Purchase, sight: Sight, _m: Moment, _policy: Policy) -> Hold | None:
    """Store credit goes with nearly every other source (PLATFORM §3.5)."""
    types = {source.type for source in sight.checkout.payment.sources}
    if CREDIT not in types or not types & NOT_WITH_CREDIT:
        return None
    return _payment(sight, "gate.source_not_with_credit", "PLATFORM §3.5", "payment.choose_another")


def source_belongs(_p: Purchase, sight: Sight, _m: Moment, _policy: Policy) -> Hold | None:
    """A saved source is the checkout's own customer's (PLATFORM §4.5)."""
    source = sight.source
    if not source or not source.customer_id or source.customer_id == sight.checkout.customer_id:
        return None
    return _payment(sight, "gate.source_of_another", "PLATFORM §5.5", "payment.choose_another")


def source_saved(_p: Purchase, sight: Sight, _m: Moment, _policy: Policy) -> Hold | None:
    """What is billed again needs a source that can be charged again (PLATFORM §4.5)."""
    if not recurring(sight.raw) or sight.source is None or sight.source.reusable is not False:
        return None
    return _payment(sight, "gate.source_not_saved", "PLATFORM §4.5", "payment.choose_another")


def source_not_declined(purchase: Purchase, sight: Sight, _m: Moment, _p: Policy) -> Hold | None:
    """The source was not declined for good before (I9)."""
    primary = sight.checkout.primary_source
    spent = {source.source_id for source in purchase.declined if source.again <= 0}
    if primary is None or primary.id not in spent:
        return None
    return _payment(sight, "gate.source_declined_before", "I9", "payment.choose_another")


def session_not_refused(purchase: Purchase, sight: Sight, _m: Moment, _p: Policy) -> Hold | None:
    """The platform did not refuse exactly this session before (PLATFORM §4.3)."""
    if not any(fault.path.startswith("payment.") for fault in purchase.faults):
        return None
    return _payment(sight, "gate.session_refused_before", "PLATFORM §4.3")


def total_confirmed(purchase: Purchase, sight: Sight, _m: Moment, _policy: Policy) -> Hold | None:
    """The shopper confirmed exactly this total (I11)."""
    if purchase.confirmed and purchase.confirmed.same_as(sight.total):
        return None
    return confirm(purchase, sight, "gate.total_changed", "I11")


def shopper_present(purchase: Purchase, sight: Sight, moment: Moment, p: Policy) -> Hold | None:
    """The last confirming call is recent enough (I12); a merchant who submits sees to that."""
    if purchase.submits == "merchant" or moment.now <= purchase.confirmed_at + p.consent_window:
        return None
    return confirm(purchase, sight, "gate.consent_expired", "I12")


def confirm(purchase: Purchase, sight: Sight, rule: str, source: str) -> Hold:
    """Held until the shopper confirms the total as it is now."""
    confirmed = purchase.confirmed.model_dump() if purchase.confirmed else None
    totals = {"confirmed": confirmed, "now": sight.total.model_dump()}
    return Hold(
        *(Reason.CONFIRMATION_REQUIRED, rule, source, "checkout.confirm_total"),
        next_action={"action": "confirm_total", "totals": totals},
        evidence={"totals": totals},
    )


# In the order in which a shopper is asked: data, payment, agreement.
CHECKS: tuple[Check, ...] = (
    customer_enabled,
    data_complete,
    corrected,
    credits_kept,
    stepped_up,
    session_ready,
    paid_in_full,
    billable,
    source_usable,
    credit_combinable,
    source_belongs,
    source_saved,
    source_not_declined,
    session_not_refused,
    total_confirmed,
    shopper_present,
)

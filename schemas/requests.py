"""Bodies of the storefront's and the operators' calls. Strict: a wrong field is named."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    model_validator,
)

from schemas.base import JsonObject, Strict
from schemas.money import Money
from schemas.results import PlatformProblem, listed_problems

# Ids are opaque and never validated by format (PLATFORM §1.3); they must only fit into a URL: no
# control characters, and neither "." nor "..". The API's document publishes the same expression.
_PLAIN = r"[^\x00-\x1f\x7f-\x9f]"
IDENTIFIER = rf"^(\.{{0,2}}[^\x00-\x1f\x7f-\x9f.]{_PLAIN}*|\.{{3}}{_PLAIN}*)$"


def _identifier(value: str) -> str:
    if not re.fullmatch(IDENTIFIER, value):
        raise ValueError("must hold no control characters, and must not be . or ..")
    return value


Identifier = Annotated[
    str,
    Field(min_length=1, max_length=255, json_schema_extra={"pattern": IDENTIFIER}),
    AfterValidator(_identifier),
]
Submits = Literal["service", "merchant"]


class PurchaseRequest(Strict):
    """`POST /v1/purchases`, and the object of `purchase.submit_requested`."""

    checkout_id: Identifier
    upstream_id: Identifier | None = None
    create_request: JsonObject | None = None
    confirmed_total: Money | None = None
    submits: Submits = "service"
    replaces: Identifier | None = None
    subscription_id: Identifier | None = None


class RejectionError(Strict):
    """The platform's error envelope as the merchant received it, read tolerantly (§2.12)."""

    type: str | None = None
    errors: tuple[PlatformProblem, ...] = ()


def _envelope(value: Any) -> Any:
    """Whatever an error body may look like; only what is no object at all is refused."""
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    return RejectionError(
        type=kind[:255] if isinstance(kind, str) else None, errors=listed_problems(value)
    )


class RejectionReport(Strict):
    """The object of `order.rejected`: the merchant's own `POST /orders` was not answered by 201.

    `status`: the platform's; a merchant who got no answer at all says 504. `error` may be left out
    where there was no body, as with a 429.
    """

    checkout_id: Identifier
    upstream_id: Identifier | None = None
    create_request: JsonObject | None = None
    submits: Submits = "merchant"
    status: Annotated[int, Field(ge=400, le=599)]
    error: Annotated[RejectionError, BeforeValidator(_envelope)] = RejectionError()

    def as_request(self) -> PurchaseRequest:
        """The report as a request, for the rules about whose checkout it is."""
        return PurchaseRequest(
            checkout_id=self.checkout_id,
            upstream_id=self.upstream_id,
            create_request=self.create_request,
            submits=self.submits,
        )


class SourceRequest(Strict):
    """The shopper chose a payment source and confirmed."""

    source_id: Identifier
    confirmed_total: Money | None = None
    save_to_customer: bool = False
    browser_ip: Identifier | None = None


# PLATFORM §2.4; `sourceId` has a call of its own and `upstreamId` is ours to keep.
UPDATABLE = frozenset(
    {
        *("customerId", "currency", "email", "locale", "invoiceAttributeId", "browserIp"),
        *("taxIdentifiers", "shipFrom", "shipTo", "billTo", "organization", "shippingDiscount"),
        *("chargeType", "customerType", "purchaseLocation", "shippingChoice", "metadata"),
        "billingOptimization",
    }
)
CREATE_ONLY = frozenset({"items", "discount", "taxInclusive", "disclosures"})


def _checkout_fields(value: JsonObject) -> JsonObject:
    unknown = sorted(set(value) - UPDATABLE - CREATE_ONLY)
    if unknown:
        raise ValueError(f"can't be corrected: {', '.join(name[:40] for name in unknown[:5])}")
    return value


class CorrectionsRequest(Strict):
    """Fields of the checkout that the shopper corrected; a confirming call.

    Objects are merged with what the checkout has, lists and plain values replace it. Fields that
    only a new checkout can take (PLATFORM §2.4) lead to one.
    """

    checkout: Annotated[JsonObject, Field(min_length=1), AfterValidator(_checkout_fields)]
    confirmed_total: Money | None = None


class ConfirmationRequest(Strict):
    """The shopper saw this total of this checkout and agrees."""

    checkout_id: Identifier
    total_amount: float = Field(ge=0, le=1e12, allow_inf_nan=False)
    currency: str = Field(pattern=r"^[A-Z]{3}$")

    @property
    def total(self) -> Money:
        """The confirmed total."""
        return Money(amount=self.total_amount, currency=self.currency)


class ReturnRequest(Strict):
    """The shopper is back from a redirect or a step-up. No fields."""


class CancelRequest(Strict):
    """The shopper no longer wants it. No fields."""


class ForgetRequest(Strict):
    """Who asks to be forgotten: one customer, one e-mail address, or one upstream id's shopper."""

    customer_id: Identifier | None = None
    email: Identifier | None = None
    upstream_id: Identifier | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [self.customer_id, self.email, self.upstream_id]
        if sum(value is not None for value in given) != 1:
            raise ValueError("exactly one of customerId, email and upstreamId is needed")
        return self


class DecisionRequest(Strict):
    """An operator's way out of `review` or `unknown`."""

    decision: Literal["adopt_order", "no_order", "resume", "stop"]
    order_id: Identifier | None = None
    note: Annotated[str, StringConstraints(min_length=1, max_length=2000)]

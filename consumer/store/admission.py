"""Taking on a checkout: the chain rules, and the keys that they claim, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from consumer.store import inbox, purchases
from consumer.store.inbox import Delivery, Key, Transport
from handlers import chain
from handlers.links import noted
from schemas.facts import Origin, PurchaseRequested
from schemas.purchase import Link, Purchase
from schemas.requests import PurchaseRequest


@dataclass(frozen=True, slots=True)
class Admitted:
    """The purchase that a request is about; `status` is what the API answers: 202 or 200."""

    purchase: Purchase
    status: int

    @property
    def created(self) -> bool:
        """Whether the request began something."""
        return self.status == 202


@dataclass(frozen=True, slots=True)
class Refused:
    """A conflict (409), and the purchases that it is with."""

    detail: str
    purchases: tuple[Purchase, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request names, in this field, something that nobody knows (409)."""

    field: str


def admit(
    connection: Connection,
    request: PurchaseRequest,
    *,
    origin: Origin,
    fact_id: str,
    transport: Transport,
    now: datetime,
) -> Admitted | Refused | Unknown:
    """Find or begin the purchase and append the request to its facts."""
    verdict = place(connection, request, now)
    if not isinstance(verdict, Admitted):
        return verdict
    fact = PurchaseRequested(request=request)
    body = fact.model_dump_json(by_alias=True).encode()
    delivery = Delivery(
        origin, fact_id, fact.kind, transport, body, purchase_id=verdict.purchase.id
    )
    inbox.append(connection, [delivery], now)
    return verdict


@dataclass(frozen=True, slots=True)
class Newer:
    """A newer version wrote the purchase; a process of that version can answer."""


Verdict = Admitted | Refused | Unknown


def place_all(
    connection: Connection, requests: Sequence[tuple[PurchaseRequest, datetime]]
) -> list[Verdict | Newer]:
    """`place` for many, in their order: those that change nothing are answered together."""
    named = [keys(request) for request, _ in requests]
    owners = purchases.owners(connection, [key for each in named for key in each])
    known = purchases.pinned_all(connection, set(owners.values()))
    changed: set[Key] = set()
    verdicts: list[Verdict | Newer] = []
    for (request, now), mine in zip(requests, named, strict=True):
        found = [known.get(owners.get(key, "")) for key in mine]
        verdict: Verdict | Newer | None = None if changed & {*mine} else _unchanged(request, found)
        if verdict is None:
            verdict = _placed(connection, request, now)
            changed.update(mine)
        verdicts.append(verdict)
    return verdicts


def _unchanged(
    request: PurchaseRequest, found: Sequence[Purchase | purchases.Unreadable | None]
) -> Admitted | None:
    """The answer to a request that goes on with a known purchase as it is."""
    checkout, *upstream = (one if isinstance(one, Purchase) else None for one in found)
    if checkout is None or request.replaces or any(one is None for one in upstream):
        return None
    match chain.admit(request, checkout, *(upstream or [None])):
        case chain.Continue(purchase=purchase):
            return Admitted(purchase, 200)
        case _:
            return None


def _placed(connection: Connection, request: PurchaseRequest, now: datetime) -> Verdict | Newer:
    try:
        return place(connection, request, now)
    except purchases.TooNew:
        return Newer()


def keys(request: PurchaseRequest) -> list[Key]:
    """The checkout, and the upstream id if there is one."""
    upstream = chain.upstream_id(request)
    return [("checkout", request.checkout_id), *([("upstream", upstream)] if upstream else [])]


def place(connection: Connection, request: PurchaseRequest, now: datetime) -> Verdict:
    """Find or begin the purchase and claim its keys, without a fact.

    `now` is when the shopper confirmed.
    """
    owner = _owner(connection, "checkout", request.checkout_id)
    named = chain.upstream_id(request)
    namesake = _owner(connection, "upstream", named) if named else None
    replaced = _known(connection, request.replaces) if request.replaces else None
    if request.replaces and replaced is None:
        return Unknown("replaces")
    match chain.admit(request, owner, namesake, replaced):
        case chain.Conflict(detail=detail, purchases=involved):
            return Refused(detail, involved)
        case chain.Continue(purchase=purchase):
            return Admitted(purchase, 200)
        case chain.Join(purchase=purchase):
            purchases.add_key(connection, ("checkout", request.checkout_id), purchase.id)
            if named and namesake is None:  # another name of the same purchase
                purchases.add_key(connection, ("upstream", named), purchase.id)
            return Admitted(purchase, 202)
        case chain.Begin():
            purchase = _begun(request, now)
            if named and namesake:  # which is lost
                purchases.hand_over(connection, ("upstream", named), namesake.id, purchase.id)
            purchases.insert_new(connection, purchase)
            return Admitted(purchase, 202)


def _known(connection: Connection, id: str) -> Purchase | None:
    """The purchase of this id, or of a checkout, an order or an upstream id."""
    kinds = ("checkout", "order", "upstream")
    found = purchases.find(connection, [(kind, id) for kind in kinds])
    return purchases.pinned(connection, found or id)


def _owner(connection: Connection, kind: str, value: str) -> Purchase | None:
    owner = purchases.owner_of(connection, (kind, value))
    return purchases.pinned(connection, owner) if owner else None


def _begun(request: PurchaseRequest, now: datetime) -> Purchase:
    id = purchases.new_id(now)
    purchase = Purchase(
        id=id,
        upstream_id=chain.upstream_id(request) or id,
        submits=request.submits,
        chain=(Link(checkout_id=request.checkout_id),),
        create_request=request.create_request,
        subscription_id=request.subscription_id,
        confirmed=request.confirmed_total,
        confirmed_at=now,
        message="order.checking",
        created_at=now,
        updated_at=now,
    )
    return noted(purchase, request.create_request)

"""A world for the decision core: the platform (PLATFORM §2-§5), the wire and a clock, in memory.

`World` executes what `decide` plans, as the worker does: keys collide, a submission needs its
permit, results come back as facts. It keeps its own ledger and raises `AssertionError` as soon as
an invariant of DESIGN is broken, with the story so far.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from handlers.adoption import adopted
from handlers.chain import Continue, Join, admit
from handlers.decide import decide
from handlers.decision import Decision, Moment
from handlers.fence import void
from handlers.paths import contains, merged
from handlers.policy import Policy
from handlers.presentation import outcome, view
from handlers.refusals import Call, refusal
from schemas.base import JsonObject
from schemas.commands import (
    MUTATIONS,
    AttachSource,
    CancelOrder,
    Command,
    CreateCredit,
    DeleteCheckout,
    DetachSource,
    FindCheckout,
    FindOrders,
    InspectOrder,
    OpenCheckout,
    Planned,
    ReadCheckout,
    ReadOrder,
    RefreshOrder,
    SaveSource,
    Submit,
    UpdateCheckout,
    Wake,
)
from schemas.facts import (
    CancelRequested,
    CheckoutCorrected,
    CommandEnded,
    Fact,
    OperatorDecided,
    OrderRejected,
    PlatformEvent,
    PurchaseRequested,
    ShopperReturned,
    SourceChosen,
    TimerFired,
    TotalConfirmed,
)
from schemas.money import Money
from schemas.purchase import REASONS, SHOPPER_HELD, Link, Purchase, Reason, State
from schemas.requests import (
    ConfirmationRequest,
    CorrectionsRequest,
    DecisionRequest,
    PurchaseRequest,
    RejectionReport,
    SourceRequest,
)
from schemas.results import (
    Abandoned,
    NeverSent,
    OutcomeUnknown,
    PlatformProblem,
    Reading,
    Rejected,
    Result,
    Succeeded,
    Unavailable,
)

START = datetime(2024, 5, 2, 9, 0, tzinfo=UTC)
ADDRESS = {"line1": "Teststr. 1", "city": "Berlin", "postalCode": "10115", "country": "DE"}
PARTY = {"name": "Ada Probe", "email": "ada@example.test", "address": ADDRESS}
REQUEST: JsonObject = {
    "currency": "EUR",
    "taxInclusive": False,
    "chargeType": "customer_initiated",
    "email": "ada@example.test",
    "locale": "de_DE",
    "shipFrom": {"address": {"country": "NL"}},
    "shipTo": PARTY,
    "billTo": PARTY,
    "shippingChoice": {"id": "q-77", "amount": 4.5},
    "items": [{"skuId": "kbd-1", "quantity": 2, "price": 25.0}],
    "metadata": {"basket": "b-12"},
}
# How the platform answers a submission paid by a source that behaves so (PLATFORM §4.1).
ORDERS: dict[str, tuple[str, str | None, str]] = {
    "good": ("accepted", "passed", "complete"),
    "watched": ("in_review", "review_opened", "complete"),
    "redirect": ("pending_payment", None, "pending_redirect"),
    "funds": ("pending_payment", None, "pending_funds"),
    "slow": ("pending_payment", None, "pending"),
    "broken": ("pending_payment", None, "failed"),
    "strange": ("levitating", None, "complete"),
}
# PLATFORM §5.8, column Act CIT.
HARD = tuple(
    "account_closed account_frozen blacklisted_card card_expired card_limit_exceeded"
    " card_not_active card_type_block card_velocity_exceeded declined decline_do_not_retry"
    " insufficient_funds invalid_currency invalid_payment_method invalid_transaction_type"
    " issuer_invalid_card issuer_not_found limit_exceeded lost_stolen_card mid_limit_exceeded"
    " new_card_issued pin_try_exceeded restricted_card stop_recurring"
    " voice_authorization_required".split()
)
ONCE_MORE = tuple(
    "authentication_required declined_can_retry do_not_honor invalid_address invalid_card_bin"
    " invalid_card_number invalid_expiration_date invalid_field_data invalid_pin"
    " invalid_security_code invalid_security_field issuer_unavailable no_response"
    " sca_not_completed unidentified_error".split()
)
STEP_UP = "additional_payment_action_required"
FRAUD = (*("fraud", "fraud_block", "illegal_action", "suspected_fraud", "order-fraud-failure"),)
OPERATOR = ("invalid_amount", "invalid_merchant")
GONE = ("cancelled", "blocked")
QUIET = ("fraud", "blocked", "in_review", "review_opened", "clientSecret", "fraud_review")


def rejected(status: int, code: str | None = None, parameter: str | None = None) -> Rejected:
    """The platform's no."""
    found = PlatformProblem(code=code, parameter=parameter, message="A message of theirs.")
    return Rejected(status=status, problems=(found,), request_id="req-1")


@dataclass
class Slot:
    """A command as stored."""

    key: str
    command: Command
    due: datetime
    attempt: int = 1
    status: str = "planned"


@dataclass(frozen=True)
class Sent:
    """A submission that left us, in the world's own books."""

    at: datetime
    checkout_id: str
    source_id: str | None
    number: int


@dataclass
class World:
    """One purchase, its platform and its virtual time."""

    policy: Policy = field(default_factory=Policy)
    now: datetime = START
    epoch: int = 1
    checkouts: dict[str, JsonObject] = field(default_factory=dict)
    sources: dict[str, JsonObject] = field(default_factory=dict)
    behaviour: dict[str, str] = field(default_factory=dict)
    orders: dict[str, JsonObject] = field(default_factory=dict)
    listed_at: dict[str, datetime] = field(default_factory=dict)
    customer: JsonObject | None = None
    slots: dict[str, Slot] = field(default_factory=dict)
    mail: list[PlatformEvent] = field(default_factory=list)  # not yet delivered
    old_mail: list[PlatformEvent] = field(default_factory=list)
    stragglers: list[CommandEnded] = field(default_factory=list)
    later: list[tuple[datetime, Callable[[], object]]] = field(default_factory=list)
    acting: bool = True  # a session that asks for a step says so in its state too (§3.1: silent)
    cancels: str = "allowed"  # or refused, or ignored: taken without effect (PLATFORM §8 #14)
    extra_total: float = 0.0  # what the next opened checkout costs more
    blur: JsonObject = field(default_factory=dict)  # how orders look on the wire instead
    faults: dict[str, str | Result] = field(default_factory=dict)  # by kind, until taken away

    # The ledger.
    story: list[str] = field(default_factory=list)
    seen: set[tuple[State, Reason | None]] = field(default_factory=set)
    rules: set[str] = field(default_factory=set)
    alerts: list[str] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    unsettled: dict[str, datetime] = field(default_factory=dict)  # checkout: last possible send
    spoiled: set[str] = field(default_factory=set)  # checkouts whose session was refused
    refused: set[str] = field(default_factory=set)  # checkouts of which we heard a 409
    stepping: set[str] = field(default_factory=set)  # checkouts whose one step-up we heard of
    given: dict[str, float] = field(default_factory=dict)  # store credit by storefront's checkout
    wished: str | None = None  # the source that the shopper wanted last
    became: set[str] = field(default_factory=set)  # checkouts of which we heard an order
    over: set[str] = field(default_factory=set)  # orders that were seen to be cancelled or blocked
    strikes: dict[str, int] = field(default_factory=dict)  # source: declines heard
    barred: set[str] = field(default_factory=set)  # sources hard-declined, as heard
    readings: dict[str, tuple[datetime, JsonObject, tuple[str, ...]]] = field(default_factory=dict)
    awaited: bool = True  # whether what is being run is what the purchase waits for
    looked: tuple[datetime, tuple[str, ...], bool] | None = None
    inspected: dict[str, bool] = field(default_factory=dict)  # order: was it paid when looked at?
    agreed: Money | None = None
    tried: list[Sent] = field(default_factory=list)  # what the merchant submitted by itself
    their_silence: dict[str, datetime] = field(default_factory=dict)  # the same, as it told us
    asked: JsonObject = field(default_factory=dict)  # corrections that we took and nobody refused
    cancelled: bool = False
    present: datetime = START
    began: bool = False
    serial: int = 0

    # -- the purchase ------------------------------------------------------------------------

    def begin(self, *, submits: str = "service", create: bool = True, **fields: Any) -> Purchase:
        """The storefront hands over a checkout that `open` made; the first confirming call."""
        request = PurchaseRequest.model_validate(
            {
                "checkoutId": next(iter(self.checkouts)),
                "upstreamId": "web-1",
                "submits": submits,
                "createRequest": REQUEST if create else None,
            }
            | fields
        )
        self.purchase = self._begun(request, self.now)
        self.agreed = request.confirmed_total
        self.tell(PurchaseRequested(request=request))
        return self.purchase

    def _begun(self, request: PurchaseRequest, confirmed_at: datetime) -> Purchase:
        return Purchase(
            id="pur_1",
            upstream_id=request.upstream_id or "pur_1",
            submits=request.submits,
            chain=(Link(checkout_id=request.checkout_id),),
            create_request=request.create_request,
            confirmed=request.confirmed_total,
            confirmed_at=confirmed_at,
            message="order.checking",
            created_at=self.now,
            updated_at=self.now,
        )

    def begin_rejected(self, fact: OrderRejected) -> Purchase:
        """The merchant's own submission was rejected, and that is the first that we hear."""
        self.purchase = self._begun(fact.report.as_request(), min(fact.created, self.now))
        self.present, self.began = self.purchase.confirmed_at, True
        self.tell(fact)
        return self.purchase

    def begin_adopted(self, event: PlatformEvent, *, observed: bool) -> Purchase:
        """An order that nobody handed us, as the router finds it."""
        order = self.orders[str(event.object.get("orderId") or event.object["id"])]
        made = adopted(
            *(self._shown(order),),
            id="pur_1",
            ordered=event.created,
            now=self.now,
            observed=observed,
        )
        assert isinstance(made, Purchase)
        self.purchase, self.agreed, self.present = made, made.confirmed, made.confirmed_at
        self.began = True
        self.tell(event)
        return self.purchase

    def merchant_orders(self, checkout_id: str | None = None, lag: float = 0.0) -> Result:
        """The merchant's own `POST /orders`, without our Submit; what it is answered."""
        id = checkout_id or self.purchase.current.checkout_id
        attached = self.checkouts[id]["payment"]["sources"]
        self.tried.append(Sent(self.now, id, attached[0]["id"] if attached else None, 0))
        return self.place(id, lag)

    def reported(
        self, checkout_id: str, status: int, *codes: str, parameter: str | None = None, **more: Any
    ) -> OrderRejected:
        """What the merchant says of it."""
        errors = [{"code": code, "parameter": parameter, "message": "Theirs."} for code in codes]
        body = {"checkoutId": checkout_id, "upstreamId": "web-1", "status": status}
        body |= {"error": {"type": "conflict", "errors": errors}} | more
        return OrderRejected(report=RejectionReport.model_validate(body), created=self.now)

    def report(self, fact: OrderRejected) -> bool:
        """`order.rejected`, through admission."""
        request = fact.report.as_request()
        known = self.purchase if request.checkout_id in self.purchase.checkout_ids else None
        match admit(request, known, self.purchase):
            case Continue() | Join():
                self.tell(fact)
                return True
        return False

    def tell(self, fact: Fact) -> Decision:
        """Decide one fact and save the decision, as one transaction does."""
        before, moment = self.purchase, Moment(self.now, self.now, self.epoch)
        self.story.append(f"{self.now:%d %H:%M:%S} {_brief(fact)}")
        self._hear(fact)
        decision = decide(before, fact, moment, self.policy)
        assert decision == decide(before, fact, moment, self.policy), "not deterministic"
        after = decision.purchase
        if after != before:
            updates = {"version": before.version + 1, "updated_at": self.now}
            after = after.model_copy(update=updates)
        self.purchase = Purchase.model_validate_json(after.model_dump_json())
        if self.agreed is None:
            self.agreed = after.total  # only the first call may leave it to the first reading (I11)
        for planned in decision.commands:
            self._plan(planned)
        self.decisions.append(decision)
        self.rules.add(decision.rule)
        if decision.alert:
            self.alerts.append(decision.alert)
        self.story.append(
            f"    -> {after.state}/{after.reason or '-'} v{after.version} [{decision.rule}]"
            f" {' '.join(p.command.kind for p in decision.commands)}"
        )
        self._check_decision(before, after, decision, fact)
        return decision

    def call(self, fact: Call) -> bool:
        """A call of the storefront, if the API would take it."""
        if refusal(self.purchase, fact) is not None:
            return False
        self.tell(fact)
        return True

    def request(self, **fields: Any) -> bool:
        """`POST /v1/purchases` again, through admission."""
        request = PurchaseRequest.model_validate({"upstreamId": "web-1"} | fields)
        known = self.purchase if request.checkout_id in self.purchase.checkout_ids else None
        match admit(request, known, self.purchase):
            case Continue() | Join():
                self.tell(PurchaseRequested(request=request))
                return True
        return False

    def correct(self, fields: JsonObject) -> bool:
        """The shopper corrected these fields of the checkout."""
        return self.call(CheckoutCorrected(request=CorrectionsRequest(checkout=fields)))

    def decided(
        self,
        decision: Literal["adopt_order", "no_order", "resume", "stop"],
        order_id: str | None = None,
    ) -> bool:
        """A person decides, if the API would take it. `no_order` from a person is proof (I6)."""
        request = DecisionRequest(decision=decision, order_id=order_id, note="Looked at it.")
        fact = OperatorDecided(request=request)
        if refusal(self.purchase, fact) is not None:
            return False
        if decision == "no_order":
            self.unsettled.clear()
            self.their_silence.clear()
        self.tell(fact)
        return True

    def planned(self, kind: str) -> list[Any]:
        """All commands of a kind that were ever planned, in order."""
        commands = (p.command for decision in self.decisions for p in decision.commands)
        return [command for command in commands if command.kind == kind]

    def _plan(self, planned: Planned) -> None:
        slot = self.slots.get(planned.key)
        if slot is None or slot.status == "ended":
            attempt = slot.attempt + 1 if slot else 1
            due = planned.due or self.now
            self.slots.pop(planned.key, None)
            self.slots[planned.key] = Slot(planned.key, planned.command, due, attempt)

    # -- time and commands -------------------------------------------------------------------

    def due(self) -> Slot | None:
        """The oldest command or timer that is due."""
        ready = [s for s in self.slots.values() if s.status == "planned" and s.due <= self.now]
        return min(ready, key=lambda s: s.due, default=None)

    def next_due(self) -> datetime | None:
        """When the next command or timer is due."""
        return min((s.due for s in self.slots.values() if s.status == "planned"), default=None)

    def advance(self, seconds: float) -> None:
        """Let time pass; what the platform does late happens meanwhile."""
        until = self.now + timedelta(seconds=seconds)
        for at, act in sorted(self.later, key=lambda pair: pair[0]):
            if at <= until:
                self.now = max(self.now, at)
                act()
        self.later = [pair for pair in self.later if pair[0] > until]
        self.now = until

    def step(self, fault: str | Result | None = None) -> bool:
        """Run what is due next and decide its result. False if nothing is due."""
        slot = self.due()
        if slot is None:
            return False
        self.finish(slot, fault)
        return True

    def until(self, kind: str, seconds: float = 900) -> Slot:
        """Live without faults until a command of this kind is due, and leave it unsent."""
        end = self.now + timedelta(seconds=seconds)
        for _ in range(300):
            slot = self.due()
            if slot is not None and slot.command.kind == kind:
                return slot
            if slot is not None:
                self.finish(slot)
                continue
            upcoming = self.next_due()
            if upcoming is None or upcoming > end:
                break
            self.advance((upcoming - self.now).total_seconds())
        raise AssertionError("\n".join([f"no {kind} comes", *self.story]))

    def finish(self, slot: Slot, fault: str | Result | None = None) -> None:
        """Run a command, and decide its result: `send`, then `answer`."""
        if isinstance(slot.command, Wake):
            slot.status = "ended"
            name, number = slot.command.name, slot.command.hold
            self.tell(TimerFired(key=slot.key, name=name, hold=number))
            return
        self.answer(slot, self.send(slot, fault))

    def send(self, slot: Slot, fault: str | Result | None = None) -> Result:
        """Run a command with a fault of the wire, or with an answer that is not the platform's.

        `busy`: not processed. `lost`: not processed, no answer. `cut`: processed, no answer.
        `late`: processed within settling, no answer. `stalled`: processed, abandoned, the answer
        comes any time later. `died`: abandoned, processed late or not at all.
        """
        command = slot.command
        if void(self.purchase, slot.key, command, self.epoch, self.now):
            return NeverSent()
        self._check_command(command)
        self.awaited = slot.key == self.purchase.awaiting
        fault = fault or self.faults.get(command.kind)
        reading = command.kind.startswith(("read", "find", "inspect", "refresh"))
        if isinstance(fault, str) and fault != "busy" and reading:
            fault = "busy"  # a reading is never unknown
        match fault:
            case None:
                return self._process(command)
            case "busy":
                return Unavailable(status=429, retry_after=3)
            case "lost":
                return OutcomeUnknown(status=502)
            case "cut":
                self._process(command)
                return OutcomeUnknown()
            case "late":
                wait = self.policy.settle.total_seconds() * 0.8
                self._postpone(wait, lambda: self._process(command))
                return OutcomeUnknown(status=504)
            case "stalled":
                answer = self._process(command)
                fact = CommandEnded(
                    key=slot.key, attempt=slot.attempt, command=command, result=answer
                )
                self.stragglers.append(fact)
                self.epoch += 1
                return Abandoned(sent_by=self.now)
            case "died":
                self.epoch += 1
                return Abandoned(sent_by=self.now)
            case str():
                raise ValueError(fault)
            case _:
                return fault

    def _postpone(self, seconds: float, act: Callable[[], object]) -> None:
        self.later.append((self.now + timedelta(seconds=seconds), act))

    def answer(self, slot: Slot, result: Result) -> None:
        """The result of a command that was sent reaches us."""
        slot.status = "ended"
        fact = CommandEnded(key=slot.key, attempt=slot.attempt, command=slot.command, result=result)
        self.tell(fact)

    def run(self, fault: str | Result | None = None, *, on: str | None = None) -> None:
        """Run all that is due now; `fault` happens once, at the first command of kind `on`."""
        for _ in range(60):
            slot = self.due()
            if slot is None:
                return
            if fault is not None and slot.command.kind == (on or slot.command.kind):
                hit, fault = fault, None
                self.finish(slot, hit)
            else:
                self.finish(slot)
        self.fail("goes round in circles: 60 commands at one moment")

    def live(self, seconds: float) -> None:
        """Let this much time pass, running what falls due, without faults."""
        end = self.now + timedelta(seconds=seconds)
        for _ in range(3000):
            self.run()
            upcoming = [self.next_due(), *(at for at, _ in self.later)]
            times = [at for at in upcoming if at is not None and self.now < at <= end]
            if not times:
                self.advance((end - self.now).total_seconds())
                return
            self.advance((min(times) - self.now).total_seconds())
        self.fail("never comes to rest")

    # -- what the shopper and the browser do --------------------------------------------------

    def open(self, total: float = 64.86, request: JsonObject | None = None) -> str:
        """POST /checkouts by whomever. Returns its id."""
        self.serial += 1
        id = f"c{self.serial}"
        document = copy.deepcopy(request or REQUEST)
        document.pop("taxInclusive", None)
        document.pop("chargeType", None)
        items = [
            {
                "id": f"i{self.serial}",
                "amount": 50.0,
                **{k: v for k, v in item.items() if k != "price"},
            }
            for item in document.get("items", [])
        ]
        self.checkouts[id] = document | {
            "id": id,
            "items": items,
            "upstreamId": document.get("upstreamId", "web-1"),
            "totalAmount": total,
            "liveMode": False,
            "payment": {"sources": [], "session": {"id": f"s{self.serial}"}},
        }
        self.resettle(id)
        return id

    def pay(
        self, behaviour: str = "good", *, checkout: str | None = None, saved: bool = False
    ) -> str:
        """The browser makes a source on the session of a checkout. Not attached yet."""
        checkout = checkout or self.purchase.current.checkout_id
        self.serial += 1
        id = f"src{self.serial}"
        self.behaviour[id] = behaviour
        self.sources[id] = {
            "id": id,
            "type": "creditCard",
            "state": "chargeable",
            "reusable": saved,
            "flow": {"redirect": "redirect", "funds": "receiver"}.get(behaviour, "standard"),
            "owner": {"firstName": "Ada", "lastName": "Probe", "address": ADDRESS},
            "paymentSessionId": self.checkouts[checkout]["payment"]["session"]["id"],
            "creditCard": {"brand": "Visa", "expirationMonth": 7, "expirationYear": 2030},
        }
        return id

    def choose(self, source_id: str, *, save: bool = False) -> bool:
        """The shopper chose this source."""
        request = SourceRequest(source_id=source_id, save_to_customer=save)
        return self.call(SourceChosen(request=request))

    def register(self, id: str = "cust-1", checkout: str | None = None) -> JsonObject:
        """There is such a customer, and perhaps a checkout names it."""
        self.customer = {"id": id, "enabled": True, "sources": []}
        if checkout:
            self.checkouts[checkout]["customerId"] = id
        return self.customer

    def keep(self, source_id: str, customer_id: str = "cust-1") -> Result:
        """POST /customers/{id}/sources/{sourceId} (PLATFORM §5.5)."""
        source = self.sources.get(source_id)
        if source is None or self.customer is None or self.customer["id"] != customer_id:
            return rejected(404, "not_found", "id")
        if source["state"] != "chargeable":
            return rejected(409, "source_not_chargeable", "sourceId")
        if source["type"] != "creditCard":
            return rejected(409, "nonreusable_source")
        source |= {"reusable": True, "customerId": customer_id}
        return Succeeded(status=200, body=copy.deepcopy(source))

    def remove(self, source_id: str) -> None:
        """The customer removes a saved source: it is cancelled for good (PLATFORM §5.5)."""
        self.sources[source_id] |= {"state": "cancelled"}

    def credit(
        self, amount: float, *, session: str | None = None, upstream: str | None = None
    ) -> str:
        """POST /sources by whomever: store credit on a session, not attached (PLATFORM §3.5)."""
        session = session or self.checkouts["c1"]["payment"]["session"]["id"]
        self.serial += 1
        id = f"cr{self.serial}"
        self.sources[id] = {
            "id": id,
            "type": "customerCredit",
            "state": "chargeable",
            "flow": "standard",
            "reusable": False,
            "amount": amount,
            "upstreamId": upstream,
            "owner": {"firstName": "Ada", "lastName": "Probe", "address": ADDRESS},
            "paymentSessionId": session,
        }
        return id

    def give(self, amount: float, checkout: str = "c1") -> str:
        """The storefront puts store credit of the shopper on a checkout."""
        session = self.checkouts[checkout]["payment"]["session"]["id"]
        id = self.credit(amount, session=session, upstream=f"line-{amount}")
        if isinstance(self.attach(checkout, id), Succeeded):
            self.given[checkout] = self.given.get(checkout, 0.0) + amount
        return id

    def come_back(self) -> None:
        """The shopper is back from the step or the provider."""
        self.tell(ShopperReturned())

    def credits_on(self, checkout_id: str) -> list[float]:
        """The amounts of the credits on a checkout, in order."""
        sources = self.checkouts[checkout_id]["payment"]["sources"]
        return [one["amount"] for one in sources if one["type"] == "customerCredit"]

    def agree(self) -> bool:
        """The shopper agrees to the total as the platform has it."""
        current = self.checkouts[self.purchase.current.checkout_id]
        request = ConfirmationRequest(
            checkout_id=current["id"],
            total_amount=current["totalAmount"],
            currency=current["currency"],
        )
        return self.call(TotalConfirmed(request=request))

    def attach(self, checkout_id: str, source_id: str) -> Result:
        """POST /checkouts/{id}/sources/{sourceId} (PLATFORM §3.3)."""
        checkout, source = self.checkouts.get(checkout_id), self.sources.get(source_id)
        if checkout is None or source is None:
            return rejected(404, "not_found", "id")
        session = checkout["payment"]["session"]
        elsewhere = not source["reusable"] and source["paymentSessionId"] != session["id"]
        if source["state"] not in ("chargeable", "pending_redirect", "pending_funds") or elsewhere:
            return rejected(409, "source_status_invalid_for_session")
        attached = checkout["payment"]["sources"]
        if any(one["id"] == source_id for one in attached):
            return Succeeded(status=200, body=copy.deepcopy(source))
        credits = [one for one in attached if one["type"] == "customerCredit"]
        mains = [self.sources[one["id"]] for one in attached if one["type"] != "customerCredit"]
        if source["type"] == "customerCredit":
            if any(not main["reusable"] for main in mains):
                return rejected(409, "session_update_not_allowed")
            if (
                source["amount"]
                > checkout["totalAmount"] - sum(c["amount"] for c in credits) + 1e-6
            ):
                return rejected(409, "session_source_amount_too_large")
        else:
            for main in mains:
                main["state"] = main["state"] if main["reusable"] else "cancelled"
            attached = credits
        keep = ("id", "type", "owner", "creditCard", "amount", "upstreamId")
        shown = {k: source[k] for k in keep if k in source}
        checkout["payment"]["sources"] = [*attached, shown]
        checkout["payment"]["session"].pop("nextAction", None)
        self.resettle(checkout_id)
        return Succeeded(status=200, body=copy.deepcopy(source))

    def detach(self, checkout_id: str, source_id: str) -> Result:
        """DELETE /checkouts/{id}/sources/{sourceId} (PLATFORM §3.3)."""
        payment, source = self.checkouts[checkout_id]["payment"], self.sources[source_id]
        payment["sources"] = [one for one in payment["sources"] if one["id"] != source_id]
        source["state"] = source["state"] if source["reusable"] else "cancelled"
        self.resettle(checkout_id)
        return Succeeded(status=204)

    def confirm_at_bank(self) -> None:
        """The storefront has run the step that a session asked for."""
        for checkout_id, checkout in self.checkouts.items():
            if checkout["payment"]["session"].pop("nextAction", None):
                self.resettle(checkout_id)

    def resettle(self, checkout_id: str) -> None:
        """The session as PLATFORM §3.1 has it: complete with a primary source, else open."""
        checkout = self.checkouts[checkout_id]
        total, attached = checkout["totalAmount"], checkout["payment"]["sources"]
        credit = round(sum(self.credits_on(checkout_id)), 2)
        paid = any(one["type"] != "customerCredit" for one in attached)
        full = paid or credit == total
        checkout["payment"]["session"] |= {
            "state": "requires_confirmation" if full else "requires_source",
            "amountContributed": total if full else credit,
            "amountRemainingToBeContributed": 0.0 if full else round(total - credit, 2),
        }

    # -- the platform ------------------------------------------------------------------------

    def _process(self, command: Command) -> Result:
        match command:
            case ReadCheckout():
                return self._read(command)
            case FindOrders():
                found = self._listed(command.checkout_ids, command.upstream_id)
                self.looked = (self.now, command.checkout_ids, self._any_alive(found))
                return Succeeded(status=200, body={"orders": found})
            case ReadOrder():
                order = self.orders.get(command.order_id)
                if order is None:
                    return rejected(404, "not_found", "id")
                return Succeeded(status=200, body=self._shown(order))
            case InspectOrder():
                order = self.orders.get(command.order_id)
                if order is None:
                    return rejected(404, "not_found", "id")
                ids = [source["id"] for source in order["payment"]["sources"]]
                found = [copy.deepcopy(self.sources[id]) for id in ids]
                self.inspected[order["id"]] = self._paid(order)
                return Succeeded(status=200, body={"order": self._shown(order), "sources": found})
            case RefreshOrder():
                return self._refresh(command.order_id)
            case DetachSource():
                return self.detach(command.checkout_id, command.source_id)
            case Submit():
                return self.place(command.permit.checkout_id)
            case OpenCheckout():
                total = max(c["totalAmount"] for c in self.checkouts.values())
                id = self.open(total + self.extra_total, command.request)
                self.extra_total = 0.0
                return Succeeded(status=201, body=copy.deepcopy(self.checkouts[id]))
            case FindCheckout():
                for checkout in reversed(self.checkouts.values()):
                    if checkout.get("metadata", {}).get("order_rescue") == command.mark:
                        return Succeeded(status=200, body={"checkout": copy.deepcopy(checkout)})
                return Succeeded(status=200, body={"checkout": None})
            case UpdateCheckout():
                changed = self.checkouts.get(command.checkout_id)
                if changed is None:
                    return rejected(404, "not_found", "id")
                changed.update(copy.deepcopy(command.changes))
                return Succeeded(status=200, body=copy.deepcopy(changed))
            case AttachSource():
                return self.attach(command.checkout_id, command.source_id)
            case SaveSource():
                return self.keep(command.source_id, command.customer_id)
            case CreateCredit():
                id = self.credit(
                    command.amount, session=command.session_id, upstream=command.upstream_id
                )
                return Succeeded(status=201, body=copy.deepcopy(self.sources[id]))
            case DeleteCheckout():
                self.checkouts.pop(command.checkout_id, None)
                return Succeeded(status=204)
            case CancelOrder():
                return self._cancel(command.order_id)
        raise TypeError(command)

    def _read(self, command: ReadCheckout) -> Result:
        checkout = copy.deepcopy(self.checkouts.get(command.checkout_id))
        found = self._listed(command.checkout_ids, command.upstream_id)
        attached = checkout["payment"]["sources"] if checkout else []
        main = _main(attached)
        source = copy.deepcopy(self.sources.get(main)) if main else None
        wanted = copy.deepcopy(self.sources.get(command.wanted_source or ""))
        if checkout and self.awaited:
            self.readings[command.checkout_id] = (self.now, checkout, command.checkout_ids)
        alive, before = self._any_alive(found), self.looked
        if alive or before is None or not set(command.checkout_ids) < set(before[1]):
            self.looked = (self.now, command.checkout_ids, alive)  # not by an older, smaller look
        reading = Reading(
            checkout=checkout,
            orders=tuple(found),
            source=source,
            wanted=wanted,
            customer=copy.deepcopy(self.customer),
        )
        return Succeeded(status=200, body=reading.model_dump(by_alias=True))

    def _listed(self, checkout_ids: tuple[str, ...], upstream_id: str) -> list[JsonObject]:
        return [
            self._shown(order)
            for order in self.orders.values()
            if self.listed_at[order["id"]] <= self.now
            and (order["checkoutId"] in checkout_ids or order.get("upstreamId") == upstream_id)
        ]

    def _any_alive(self, found: list[JsonObject]) -> bool:
        """Whether one of these lives, however a list that lags shows it."""
        shown = [order for order in found if order["state"] not in GONE]
        return any(self.orders.get(o["id"], o)["state"] not in GONE for o in shown)

    def _shown(self, order: JsonObject) -> JsonObject:
        """An order as the wire carries it."""
        return copy.deepcopy(order) | copy.deepcopy(self.blur)

    def place(self, checkout_id: str, lag: float = 0.0) -> Result:
        """POST /orders (PLATFORM §4). `lag`: seconds until lists show the order."""
        checkout = self.checkouts.get(checkout_id)
        if checkout is None or any(o["checkoutId"] == checkout_id for o in self.orders.values()):
            gone = PlatformProblem(code="not_found", parameter="orderId")
            return OutcomeUnknown(status=404, problems=(gone,))
        if checkout["payment"]["session"].get("state") != "requires_confirmation":
            return rejected(400, "order_submit_failed")
        main = _main(checkout["payment"]["sources"])
        source = self.sources[main] if main else None
        behaviour = self.behaviour[source["id"]] if source else "good"
        waits = {"redirect": "pending_redirect", "funds": "pending_funds"}.get(behaviour)
        if source and behaviour != STEP_UP and (waits or not source["reusable"]):
            source["state"] = waits or "consumed"
        if behaviour == STEP_UP:
            session = checkout["payment"]["session"]
            session["nextAction"] = {"action": "sca_required", "data": {}}
            session["state"] = "requires_action" if self.acting else session["state"]
        if behaviour not in ORDERS:
            return rejected(409, behaviour)
        state, fraud, session = ORDERS[behaviour]
        self.serial += 1
        id = f"o{self.serial}"
        self.listed_at[id] = self.now + timedelta(seconds=lag)
        checkout["payment"]["session"]["state"] = session
        following = {
            "pending_redirect": {
                "action": "redirect",
                "data": {"redirectUrl": "https://api.digitalriver.com/payments/redirects/1"},
            },
            "pending_funds": {
                "action": "show_payment_instructions",
                "data": {"sourceId": source["id"] if source else None},
            },
        }.get(session)
        self.orders[id] = {
            "id": id,
            "checkoutId": checkout_id,
            "upstreamId": checkout.get("upstreamId"),
            "currency": checkout["currency"],
            "totalAmount": checkout["totalAmount"],
            "state": state,
            "fraudState": fraud,
            "updatedTime": self.now.isoformat(),
            "items": [{"id": f"oi{self.serial}", "quantity": 2, "state": "created"}],
            "payment": {
                "charges": [{"id": f"ch{self.serial}", "state": "capturable"}]
                if session == "complete"
                else [],
                "sources": [
                    {"id": one["id"], "type": one["type"]} for one in checkout["payment"]["sources"]
                ],
                "session": {"id": "s", "state": session, "nextAction": following},
            },
            "liveMode": False,
        }
        self.post(f"order.{_event_of(state)}", self._shown(self.orders[id]))
        self._check_one_order()
        return Succeeded(status=201, body=self._shown(self.orders[id]))

    def move(self, order_id: str, state: str, session: str | None = None) -> None:
        """An order changes at the platform, with its event."""
        order = self.orders[order_id]
        order["state"], order["updatedTime"] = state, self.now.isoformat()
        if state == "blocked":
            order["fraudState"] = "blocked"
        if session:
            order["payment"]["session"]["state"] = session
        self.post(f"order.{_event_of(state)}", self._shown(order))
        self._check_one_order()

    def fail_charge(self, order_id: str, code: str = "declined", *, shape: str = "charge") -> None:
        """A charge fails after the order was made; no other event tells (PLATFORM §8 #1, #3)."""
        order = self.orders[order_id]
        payment = order["payment"]
        source = payment["sources"][0]["id"] if payment["sources"] else None
        charge = {"id": "ch-late", "state": "failed", "sourceId": source, "failureCode": code}
        payment["charges"] = [charge]
        order["updatedTime"] = self.now.isoformat()
        told = charge | {"orderId": order_id} if shape == "charge" else self._shown(order)
        self.post("order.charge.failed", told)

    def _refresh(self, order_id: str) -> Result:
        """POST /orders/{id}/refresh: what the shopper did there counts (PLATFORM §5.6)."""
        order = self.orders.get(order_id)
        if order is None:
            return rejected(404, "not_found", "id")
        payment = order["payment"]
        if order["state"] == "pending_payment" and payment["sources"]:
            source = self.sources[payment["sources"][0]["id"]]
            if source["state"] == "chargeable":
                self.move(order_id, "accepted", "complete")
            elif source["state"] == "failed":
                self.move(order_id, "pending_payment", "failed")
        return Succeeded(status=200, body=self._shown(order))

    def _cancel(self, order_id: str) -> Result:
        order = self.orders.get(order_id)
        if order is None or order["state"] not in ("pending_payment", "accepted", "in_review"):
            return rejected(409, "order_cancelled", "orderId")
        if self.cancels == "refused":
            return rejected(409, "order_not_submitted", "orderId")
        if self.cancels == "ignored":
            return Succeeded(status=201, body={"id": "f1", "orderId": order_id})
        pending = order["state"] == "pending_payment"
        self.move(order_id, "cancelled", "failed" if pending else None)
        return Succeeded(status=201, body={"id": "f1", "orderId": order_id})

    def post(self, type: str, body: JsonObject) -> None:
        """The platform makes an event; whoever has the post office delivers it."""
        self.serial += 1
        self.mail.append(
            PlatformEvent(
                event_id=f"e{self.serial}",
                type=type,
                object=copy.deepcopy(body),
                created=self.now,
            )
        )

    def deliver(self, index: int = 0) -> None:
        """Deliver one event that waits."""
        event = self.mail.pop(index)
        self.old_mail.append(event)
        self.tell(event)

    # -- the ledger --------------------------------------------------------------------------

    def fail(self, why: str) -> None:
        """Raise with the whole story."""
        raise AssertionError("\n".join([why, *self.story]))

    def claim(self, truth: bool, why: str) -> None:
        """Fail unless it is true."""
        if not truth:
            self.fail(why)

    def _hear(self, fact: Fact) -> None:
        """What the purchase knows from now on."""
        calls = SourceChosen | CheckoutCorrected | TotalConfirmed | CancelRequested
        if isinstance(fact, calls) and refusal(self.purchase, fact) is not None:
            return
        if isinstance(fact, CancelRequested):
            self.cancelled = True
        if isinstance(fact, SourceChosen):
            self.wished = fact.request.source_id
        if isinstance(fact, CheckoutCorrected):
            self.asked = merged(self.asked, fact.request.checkout)
        if isinstance(fact, PurchaseRequested):
            total = fact.request.confirmed_total
            if self.began or total:
                self._agree(total)
            told = min(fact.confirmed_at or self.now, self.now)
            if fact.request.checkout_id not in self.purchase.checkout_ids:
                self.asked = {}  # the storefront's own checkout has what it has
            self.began, self.present = True, max(self.present, told)
        elif isinstance(fact, OrderRejected):
            self._hear_report(fact.report)
        elif isinstance(fact, SourceChosen | CheckoutCorrected):
            self._agree(fact.request.confirmed_total)
            self.present = self.now
        elif isinstance(fact, TotalConfirmed):
            self._agree(fact.request.total)
            self.present = self.now
        elif isinstance(fact, CommandEnded):
            self._hear_result(fact.command, fact.result)
        elif isinstance(fact, PlatformEvent) and fact.type.startswith("order."):
            found = fact.object.get("checkoutId")
            if isinstance(found, str) and fact.object.get("items"):
                self.became.add(found)

    def _hear_report(self, report: RejectionReport) -> None:
        """A report counts unless it is about what we submit ourselves, or has an order."""
        id, purchase = report.checkout_id, self.purchase
        ours = purchase.state is State.SUBMITTING or purchase.permit is not None
        ours = ours and id == purchase.current.checkout_id
        if ours or any(order["checkoutId"] == id for order in self.orders.values()):
            return
        if id not in purchase.checkout_ids:
            self.asked = {}
        if report.status == 409 and id not in self.refused:
            self.refused.add(id)
            codes = {problem.code for problem in report.error.errors}
            self._strike(_main(self.checkouts[id]["payment"]["sources"]), codes)
        if report.status in (404, 408) or report.status >= 500:
            self.their_silence[id] = self.now

    def _agree(self, total: Money | None) -> None:
        self.agreed = total or self.agreed

    def _hear_result(self, command: Command, result: Result) -> None:
        orders: list[JsonObject] = []
        if isinstance(command, UpdateCheckout | OpenCheckout) and isinstance(result, Rejected):
            self.asked = {}
        if isinstance(result, Succeeded):
            found = result.body.get("orders", ())
            orders = [o for o in found if isinstance(o, dict)] if found else []
            for order in (*orders, result.body, result.body.get("order")):
                self._hear_charges(order)
            if isinstance(command, Submit):
                self.became.add(command.permit.checkout_id)
                self.unsettled.pop(command.permit.checkout_id, None)
        self.became |= {o["checkoutId"] for o in orders if o.get("checkoutId")}
        if isinstance(command, Submit) and isinstance(result, OutcomeUnknown | Abandoned):
            self.unsettled[command.permit.checkout_id] = max(
                s.at for s in self.sent if s.checkout_id == command.permit.checkout_id
            )
        if isinstance(command, Submit) and isinstance(result, Rejected):
            if any(problem.code == "order_submit_failed" for problem in result.problems):
                self.spoiled.add(command.permit.checkout_id)
            if result.status == 409:
                self._hear_409(command.permit.checkout_id, {p.code for p in result.problems})
                self._strike(command.permit.source_id, {p.code for p in result.problems})

    def _hear_charges(self, order: Any) -> None:
        """An order that is over, and why: its source was declined, as by a 409 (I9)."""
        known = isinstance(order, dict) and order.get("state") in GONE
        if not known or order["id"] in self.over or order["id"] not in self.orders:
            return
        self.over.add(order["id"])
        if order["checkoutId"] not in self.purchase.checkout_ids:
            return
        for charge in (order.get("payment") or {}).get("charges") or ():
            if charge["state"] == "failed":
                self._strike(charge["sourceId"], {charge["failureCode"]})

    def _hear_409(self, checkout_id: str, codes: set[str | None]) -> None:
        """The checkout is dead, but for the one flagged exception, once (PLATFORM §4.2)."""
        exempt = self.policy.step_up and codes == {STEP_UP} and checkout_id not in self.stepping
        if exempt:
            self.stepping.add(checkout_id)
        else:
            self.refused.add(checkout_id)

    def _strike(self, source_id: str | None, codes: set[str | None]) -> None:
        if source_id is None:
            return
        # Nothing was charged: the data was wrong, or the shopper must authenticate (§4.2).
        data = {"create-order-failed", "additional_information_required", "source_in_use"}
        if codes & (data | {"additional_payment_action_required"}):
            return
        self.strikes[source_id] = self.strikes.get(source_id, 0) + 1
        saved = self.sources.get(source_id, {}).get("reusable")
        soft = codes <= set(ONCE_MORE) or (codes == {"failed-request"} and saved)
        if not soft or self.strikes[source_id] > 1:
            self.barred.add(source_id)

    def _check_one_order(self) -> None:
        known = getattr(self, "purchase", None)  # the merchant may order before it tells us
        ours = known.checkout_ids if known else ()
        alive = [
            o["id"]
            for o in self.orders.values()
            if o["checkoutId"] in ours and o["state"] not in GONE
        ]
        self.claim(len(alive) <= 1, f"I5: live orders {alive}")

    def _check_command(self, command: Command) -> None:
        """What may be sent, at the moment at which it is sent."""
        self.story.append(f"{self.now:%d %H:%M:%S} >> {command.kind}")
        changes = command.kind in MUTATIONS
        self.claim(not (changes and self.purchase.observed), "changed what is only observed")
        touched = getattr(command, "checkout_id", None)
        if isinstance(command, UpdateCheckout | AttachSource | DetachSource):
            dead = touched in self.refused | self.stepping
            self.claim(not dead, f"I3: {command.kind} of dead {touched}")
            self.claim(touched not in self.became, f"I2: {command.kind} of consumed {touched}")
        if isinstance(command, OpenCheckout | AttachSource | UpdateCheckout):
            self.claim(not self.unsettled_now(), f"I6: {command.kind} while the outcome is unknown")
        if isinstance(command, CancelOrder):
            self._check_cancel(command.order_id)
        if isinstance(command, OpenCheckout):
            last = max((s.at for s in (*self.sent, *self.tried)), default=START)
            assert self.looked is not None, "I3: opened without a look-up"
            at, ids, found = self.looked
            submitted = {s.checkout_id for s in (*self.sent, *self.tried)}
            self.claim(submitted <= set(ids), "I3: looked up a part of the chain")
            self.claim(at >= last and not found, "I3: opened without proof that no order exists")
        if isinstance(command, DetachSource):
            kept = self.purchase.state is State.LOST
            kept = kept or command.checkout_id != self.purchase.current.checkout_id
            self.claim(kept, "released what may still be ordered")
        if isinstance(command, AttachSource):
            self._check_attachment(command)
        if isinstance(command, Submit):
            self._check_submission(command)

    def _check_cancel(self, order_id: str) -> None:
        """An order whose money is on its way is awaited, unless the shopper takes it back (I5)."""
        if not self.cancelled:
            self.claim(order_id in self.inspected, "I5: cancelled without a look at its money")
            self.claim(not self.inspected[order_id], "I5: cancelled a paid order")

    def _paid(self, order: JsonObject) -> bool:
        payment = order["payment"]
        charges = {charge["state"] for charge in payment["charges"]}
        state = payment["session"]["state"]
        if "capturable" in charges:
            return True
        if charges == {"failed"} or state in ("failed", "cancelled"):
            return False
        sources = [self.sources[source["id"]] for source in payment["sources"]]
        elsewhere = [s for s in sources if s["flow"] != "standard"]
        return state == "pending" or "chargeable" in {s["state"] for s in elsewhere}

    def _check_attachment(self, command: AttachSource) -> None:
        """Only with their own customer, and only what the shopper chose (PLATFORM §5.5, I9)."""
        source, checkout = self.sources.get(command.source_id), self.checkouts[command.checkout_id]
        if source is None or source["type"] == "customerCredit":
            return
        wished = command.source_id == self.wished
        again = any(one["id"] == command.source_id for one in checkout["payment"]["sources"])
        self.claim(wished or again, f"I9: nobody chose {command.source_id}")

    def _check_credits(self, checkout: JsonObject) -> None:
        """Never doubled: not more than there is to pay, nor than the shopper gave (§3.5)."""
        amounts = self.credits_on(checkout["id"])
        given = self.given.get(checkout["id"])
        if given is None:  # one that we opened: what was given on those before
            given = max(self.given.values(), default=0.0)
        self.claim(sum(amounts) <= given + 1e-6, f"doubled credit: {amounts} of {given}")
        if checkout["totalAmount"] == self.agreed_total(checkout):
            total = checkout["totalAmount"]
            self.claim(sum(amounts) <= total + 1e-6, f"more credit than total: {amounts}")

    def agreed_total(self, checkout: JsonObject) -> float:
        """The total that the shopper agreed to, or the checkout's."""
        return self.agreed.amount if self.agreed else float(checkout["totalAmount"])

    def unsettled_now(self) -> bool:
        """Whether a submission may still become an order unseen."""
        theirs = (at for id, at in self.their_silence.items() if id not in self.became)
        silent = (*self._open_ends().values(), *theirs)
        return any(self.now < at + self.policy.settle for at in silent)

    def _open_ends(self) -> dict[str, datetime]:
        """Checkouts whose submission got no answer, and of which we heard no order since."""
        return {id: at for id, at in self.unsettled.items() if id not in self.became}

    def _check_submission(self, command: Submit) -> None:
        permit, purchase = command.permit, self.purchase
        id = permit.checkout_id
        self.claim(purchase.submits == "service", "submitted for a merchant who submits")
        self.claim(
            id == purchase.current.checkout_id, "submitted another than the current checkout"
        )
        self.claim(id not in self.became, f"I2: {id} is consumed")
        self.claim(id not in self.refused, f"I3: {id} is dead")
        earlier = [s for s in self.sent if s.checkout_id == id]
        self.claim(id in self.readings, "I1: submitted unread")
        at, checkout, ids = self.readings[id]
        session = checkout["payment"]["session"]
        last = max((s.at for s in earlier), default=START)
        self.claim(at >= last and self.now - at <= self.policy.permit_life, "I1: an old reading")
        free = checkout["totalAmount"] == 0
        free = free and id not in self.spoiled  # one attempt, PLATFORM §3.4
        ready = session.get("state") == "requires_confirmation" or free
        self.claim(ready and session.get("amountRemainingToBeContributed") == 0, f"I1: {session}")
        self.claim(set(ids) == set(purchase.checkout_ids), "I3: orders of the chain not looked up")
        for unsettled in self._open_ends().values():
            self.claim(self.now >= unsettled + self.policy.settle, "I6: repeated before settling")
        self.claim(
            # A definite 409 with empty look-ups ended those that were refused.
            not (set(self._open_ends()) - self.refused - self.stepping - {id}),
            "I6: another checkout after an unknown outcome",
        )
        self.claim(not self.cancelled, "submitted after the shopper had cancelled")
        self._check_corrections(checkout)
        total = Money(amount=checkout["totalAmount"], currency=checkout["currency"])
        agreed = self.agreed
        self.claim(agreed is not None and agreed.same_as(total), f"I11: {total} for {agreed}")
        self.claim(permit.total.same_as(total), "I11: the permit's total")
        fresh = self.now - self.present <= self.policy.consent_window
        self.claim(fresh, "I12: the shopper is away")
        self._check_credits(self.checkouts[id])
        source_id = _main(checkout["payment"]["sources"])
        self.claim(source_id not in self.barred, f"I9: {source_id} was declined for good")
        theirs = [s.number for s in purchase.submissions if s.by_merchant]
        numbers = {s.number for s in self.sent} | {permit.number, *theirs}
        self.claim(len(numbers) <= self.policy.max_submissions, "I9: too many submissions")
        self.sent.append(Sent(self.now, id, source_id, permit.number))

    def _check_corrections(self, checkout: JsonObject) -> None:
        plain = {name: value for name, value in self.asked.items() if name != "items"}
        skus = [item.get("skuId") for item in checkout["items"] or ()]
        asked = [item.get("skuId") for item in self.asked.get("items", ())]
        kept = contains(checkout, plain) and (not asked or skus == asked)
        self.claim(kept, f"a correction was lost: {self.asked}")

    def _check_decision(
        self, before: Purchase, after: Purchase, decision: Decision, fact: Fact
    ) -> None:
        self.seen.add((after.state, after.reason))
        self.claim(after.reason in REASONS[after.state], "a reason that the state does not have")
        self.claim(bool(decision.rule and decision.source), "a decision without rule or source")
        self._check_direction(before, after, fact)
        if decision.rule == "gate.ready":
            _, checkout, _ = self.readings[after.current.checkout_id]
            turn = _main(checkout["payment"]["sources"]) not in self.barred
            self.claim(turn, "I9: the merchant's turn with a source that was declined for good")
        kinds = {p.command.kind for p in decision.commands}
        if after.state is State.UNKNOWN:
            costly = kinds & {"open_checkout", "attach_source", "update_checkout", "submit"}
            costly |= kinds & {"create_credit", "save_source", "detach_source"}
            self.claim(not costly, f"I6: from unknown: {costly}")
        if before.state is State.UNKNOWN and after.state is State.UNKNOWN:
            self.claim(before.checkout_ids == after.checkout_ids, "I6: the chain grew in unknown")
        self._check_waiting(after)
        self._check_views(before, after)

    def _check_direction(self, before: Purchase, after: Purchase, fact: Fact) -> None:
        if before.state is State.ACCEPTED:
            person = (Reason.DUPLICATE_ORDER, Reason.MERGE)
            fine = after.state is State.ACCEPTED or after.reason in person
            self.claim(fine, "accepted was left")
        if before.state is State.LOST and after.state is not State.LOST:
            told = after.order is not None or after.reason is Reason.DUPLICATE_ORDER
            self.claim(told, "lost was left without an order")
            self.claim(
                after.state in (State.ACCEPTED, State.PENDING, State.REVIEW, State.LOST),
                "lost was left for another try",
            )

    def _check_waiting(self, after: Purchase) -> None:
        """Whoever is not finished waits for something that comes."""
        busy = any(
            s.status == "planned" and not isinstance(s.command, Wake) for s in self.slots.values()
        )
        timers = [
            s
            for s in self.slots.values()
            if s.status == "planned"
            and isinstance(s.command, Wake)
            and s.command.hold == after.hold
        ]
        if after.state in (State.SUBMITTING, State.UNKNOWN) or after.reason is Reason.CHECKING:
            self.claim(busy or bool(timers), "waits for nothing")
        if after.reason is Reason.RETRY_SCHEDULED:
            self.claim(busy or bool(timers), "no retry is scheduled")
        if after.state is State.HELD and after.reason in SHOPPER_HELD:
            self.claim(after.deadline is not None, "held for the shopper without a deadline")
            timed = any(t.due <= after.deadline for t in timers if after.deadline)
            self.claim(timed or busy, "no timer, and no last look")
        awaited = after.awaiting
        if awaited and after.state in (State.HELD, State.SUBMITTING, State.UNKNOWN):
            slot = self.slots.get(awaited)
            self.claim(slot is not None and slot.status != "ended", f"{awaited} never comes")

    def _check_views(self, before: Purchase, after: Purchase) -> None:
        shown = view(after, shop=True)
        text = shown.model_dump_json(by_alias=True, exclude_none=True)
        for word in QUIET:
            self.claim(word not in text, f"I8: {word!r} in {text}")
        own = view(after, shop=False)
        for sight in (shown, own):
            shopper = sight.shopper.model_dump_json(by_alias=True)
            for word in (*QUIET, "A message of theirs", *set(HARD) - {"declined"}):
                self.claim(word not in shopper, f"I8: {word!r} in {shopper}")
            current = after.order is not None and after.order.state == "accepted"
            fine = not sight.fulfil or (after.state is State.ACCEPTED and current)
            self.claim(fine, "fulfils what is not accepted")
        told = outcome(before, after, self.now)
        if told is not None:
            self.claim(told.type == f"order-rescue.purchase.{after.state}", "an outcome's type")


def _main(sources: list[JsonObject]) -> str | None:
    """The primary source among these."""
    return next((one["id"] for one in sources if one["type"] != "customerCredit"), None)


def _event_of(state: str) -> str:
    return {"in_review": "review_opened", "levitating": "updated"}.get(state, state)


def _brief(fact: Fact) -> str:
    match fact:
        case CommandEnded():
            return f"<< {fact.command.kind} #{fact.attempt} {_outcome(fact.result)} ({fact.key})"
        case PlatformEvent():
            return f"event {fact.type} {fact.object.get('id')} {fact.object.get('state')}"
        case TimerFired():
            return f"timer {fact.name} hold {fact.hold}"
        case _:
            return f"{fact.kind} {fact.model_dump(exclude_none=True, exclude={'kind'})}"[:160]


def _outcome(result: Result) -> str:
    code = result.first.code if isinstance(result, Rejected) else ""
    return f"{result.outcome} {getattr(result, 'status', '')} {code}"

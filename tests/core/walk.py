"""A random life of one purchase: what may happen next, chosen by a script of bytes.

The script is a plain byte string so that hypothesis can shrink it: low bytes choose the ordinary
next thing, an empty script is an uneventful life.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar

from handlers.policy import Policy
from schemas.base import JsonObject
from schemas.commands import Wake
from schemas.facts import (
    CancelRequested,
    CheckoutCorrected,
    Fact,
    KeyTaken,
    OrderRejected,
    PlatformEvent,
    PurchaseRequested,
    ShopperReturned,
    SourceChosen,
    TimerFired,
    TotalConfirmed,
)
from schemas.money import Money
from schemas.purchase import Reason, State
from schemas.requests import (
    ConfirmationRequest,
    CorrectionsRequest,
    PurchaseRequest,
    SourceRequest,
)
from schemas.results import Rejected, Result, Succeeded
from tests.core.world import World, rejected

T = TypeVar("T")

BEHAVIOURS = (
    *("good", "good", "watched", "redirect", "funds", "slow", "broken", "strange"),
    *("insufficient_funds", "do_not_honor", "fraud", "failed-request", "create-order-failed"),
    *("order-fraud-failure", "unheard-of", "additional_payment_action_required"),
)
ANSWERS = (
    rejected(400, "missing_parameter", "shipping.name"),
    rejected(400, "order_submit_failed"),
    rejected(400, "invalid_parameter", "address.postalCode"),
    rejected(400, "plan_not_active", "planId"),
    rejected(401),
    rejected(403),
    rejected(415),
    rejected(418, "teapot"),
    rejected(422, "unheard-of", "nobody.knows"),
    rejected(409, "source_in_use", "sourceId"),
    rejected(409, "additional_information_required", "taxIdentifiers"),
    rejected(409, "customer_disabled"),
    rejected(409),
)
NULLS: tuple[JsonObject, ...] = (
    {"payment": None},
    {"items": None, "fraudState": None},
    {"items": [{"id": "i1", "quantity": 1.5, "metadata": None}]},
    {"payment": {"sources": None, "charges": None, "session": None}},
    {"upstreamId": None, "updatedTime": None},
)
FAULTS = ("lost", "cut", "late", "stalled", "died", "busy")
JUNK: tuple[Any, ...] = (
    {},
    {"id": None},
    {"id": 7, "state": ["accepted"]},
    {"id": "o-else", "checkoutId": "c-else", "state": "accepted", "items": []},
    {"id": "c1", "payment": 3},
    {"payment": {"session": {"state": "\x00"}}},
    {"orderId": "o-else", "id": "ch", "state": {"a": 1}},
    {"id": "o-else", "items": [None, 3], "payment": {"charges": "no"}},
)
TYPES = (
    *("order.accepted", "order.charge.failed", "order.cancelled", "order.blocked", "order.updated"),
    *("checkout.updated", "checkout.created", "checkout.deleted", "source.chargeable"),
    *("customer.updated", "order.charge.capture.failed", "entirely.new", ""),
)


TROUBLES = ("order.charge.capture.failed", "order.charge.reauth.failed", "order.chargeback")
ENDS = ("order.charge.capture.complete", "order.dispute.resolved")


class Walk:
    """Takes choices from the script until it is used up."""

    def __init__(self, script: bytes) -> None:
        self.script = iter(script)
        self.spent = False
        policy = Policy(
            hold_deadline=timedelta(hours=2),
            retry_deadline=timedelta(hours=2),
            step_up=self.pick((False, True)),
        )
        self.world = World(policy=policy, acting=len(script) % 2 == 0)
        self.cards: list[str] = []
        self.untold: list[OrderRejected] = []

    def pick(self, options: Sequence[T]) -> T:
        """The next choice; the first option when the script is used up."""
        byte = next(self.script, None)
        if byte is None:
            self.spent = True
            return options[0]
        return options[byte % len(options)]

    def live(self) -> World:
        """One whole life: until the script ends, then until nothing happens any more."""
        world = self.world
        world.open(self.pick((64.86, 64.86, 64.86, 0.0)))
        if self.pick((False, False, True)):
            world.register(checkout=self.pick((None, "c1")))
        for _ in range(self.pick((0, 0, 0, 1, 2))):
            world.give(self.pick((10.0, 4.86, 60.0, 64.86)))
        if self.pick((False, False, True)):
            card = world.pay(self.pick(BEHAVIOURS), checkout="c1", saved=self.pick((False, True)))
            world.attach("c1", card)
            self.cards.append(card)
        world.blur = self.pick(({}, {}, {}, *NULLS))
        total = self.pick((None, Money(amount=64.86, currency="EUR")))
        submits = self.pick(("service",) * 6 + ("merchant", "rejected", "adopted", "observed"))
        if not (submits in ("rejected", "adopted", "observed") and self.begin_late(submits)):
            world.begin(
                submits=submits if submits in ("service", "merchant") else "merchant",
                create=self.pick((True, False)),
                confirmed_total=total,
            )
        while not self.spent:
            self.happen()
        return world

    def begin_late(self, how: str) -> bool:
        """The merchant ordered before we heard of it; false if that can't have been."""
        world = self.world
        answer = world.merchant_orders("c1")
        if how == "rejected" and isinstance(answer, Rejected):
            codes = [problem.code for problem in answer.problems if problem.code]
            world.begin_rejected(world.reported("c1", answer.status, *codes))
        elif how != "rejected" and isinstance(answer, Succeeded):
            event = world.mail.pop(0)
            world.old_mail.append(event)
            world.begin_adopted(event, observed=how == "observed")
        else:
            return False
        return True

    def merchant(self) -> None:
        """It is the merchant's turn: it orders, and tells what came of it, perhaps twice."""
        world = self.world
        current = world.purchase.current.checkout_id
        if world.purchase.reason is not Reason.READY or current not in world.checkouts:
            return
        silence = self.pick((None, None, None, 429, 401, 500, 504))
        answer: Result | None = None
        if silence is None or (silence > 429 and self.pick((False, True))):
            answer = world.merchant_orders()
        if silence is None and isinstance(answer, Succeeded):
            return  # the merchant tells rejections only; the order's event is on its way
        codes: list[str] = []
        if silence is None and answer is not None:
            codes = [p.code for p in getattr(answer, "problems", ()) if p.code]
        status = silence or getattr(answer, "status", None) or 504
        told = world.reported(current, status, *codes)
        if self.pick((False,) * 4 + (True,)):
            self.untold.append(told)
            return
        for _ in range(self.pick((1, 1, 1, 2))):
            world.report(told)

    def gossip(self) -> None:
        """The merchant tells at last what became of an order of its own."""
        if self.untold:
            self.world.report(self.untold.pop(self.pick(range(len(self.untold)))))

    def happen(self) -> None:
        """One thing that may happen now."""
        things: tuple[Callable[[], object], ...] = (
            *(self.world.step,) * 12,
            *(self.faulty,) * 3,
            *(self.shopper,) * 4,
            *(self.time,) * 3,
            *(self.post_office,) * 2,
            *(self.operator,) * 2,
            self.platform,
            self.provider,
            self.aftermath,
            self.straggler,
            self.junk,
            self.stale_call,
            self.browser,
            *(self.in_flight,) * 2,
            self.refused_key,
            self.wallet,
            *(self.merchant,) * 3,
            self.gossip,
        )
        self.pick(things)()

    def faulty(self) -> None:
        """The next command meets a fault."""
        slot = self.world.due()
        if slot is None:
            return
        faults: list[str | Result] = []
        if slot.command.kind == "submit":
            faults += [*FAULTS, *ANSWERS]
        elif slot.command.kind in ("read_order", "inspect_order", "refresh_order"):
            faults += ["busy", rejected(401), rejected(403), rejected(404, "x")]
        elif slot.command.kind.startswith(("read", "find")):
            faults += [*("busy",) * 8, rejected(401), rejected(404, "x")]
        else:
            odd = [rejected(409, "unheard-of"), rejected(400, "unheard-of", "x"), rejected(403)]
            if slot.command.kind in ("create_credit", "attach_source"):
                odd.append(rejected(409, "session_source_amount_too_large"))
            faults += [*FAULTS, *odd]
        self.world.finish(slot, self.pick(faults))

    def in_flight(self) -> None:
        """Something happens between a command and its answer."""
        world = self.world
        slot = world.due()
        if slot is None or isinstance(slot.command, Wake):
            return
        answer = world.send(slot, self.pick((None, None, None, "cut", "busy", "lost")))
        for _ in range(self.pick((1, 1, 2))):
            self.pick(
                (
                    *(self.shopper,) * 3,
                    *(self.post_office,) * 2,
                    *(self.stale_call, self.straggler, self.cancel, self.mend, self.browser),
                )
            )()
        world.answer(slot, answer)

    def refused_key(self) -> None:
        """Our key is refused, perhaps after the shopper had cancelled; then a person looks."""
        world = self.world
        slot = world.due()
        if slot is None or isinstance(slot.command, Wake):
            return
        if self.pick((False, True)):
            self.cancel()
        world.finish(slot, rejected(401))
        for _ in range(self.pick((0, 1, 3))):
            world.step()
        self.operator()

    def cancel(self) -> None:
        """The shopper cancels, now and then."""
        if self.pick((False, False, True)):
            self.world.call(CancelRequested())

    def mend(self) -> None:
        """The shopper corrects something, while whatever is under way."""
        updates: Sequence[JsonObject]
        updates = ({"email": "b@example.test"}, {"shipTo": {"name": "B"}})
        fields = self.pick((self.pick(updates), {"items": [{"skuId": "k", "quantity": 1}]}))
        self.world.correct(fields)

    def shopper(self) -> None:
        """The shopper, or the storefront, does something that the API takes."""
        world = self.world
        rest = ("again", "reuse", "agree", "agree", "call", "mend", "back", "back", "turn", "other")
        kind = self.pick((*("pay",) * 6, *rest))
        world.story.append(f"{world.now:%d %H:%M:%S} the shopper: {kind}")
        match kind:
            case "pay":
                card = world.pay(self.pick(BEHAVIOURS), saved=self.pick((False, True)))
                self.cards.append(card)
                world.choose(card, save=self.pick((False, False, True)))
            case "again" if self.cards:
                world.choose(self.pick(self.cards))
            case "agree":
                world.agree()
            case "call":
                world.request(checkout_id=world.purchase.current.checkout_id)
            case "turn":
                current = world.purchase.current.checkout_id
                submits = self.pick(("service", "merchant"))
                world.request(checkout_id=current, submits=submits)
            case "mend":
                self.mend()
            case "back":
                world.call(ShopperReturned())
            case "reuse" if world.purchase.declined:
                world.choose(world.purchase.declined[-1].source_id)
            case "other":
                if self.pick((False,) * 4 + (True,)):
                    world.call(CancelRequested())
                else:
                    world.request(checkout_id=world.open(self.pick((64.86, 70.0))))
            case _:
                return

    def wallet(self) -> None:
        """A saved source comes, goes, or is somebody else's; the shopper is back from a step."""
        world = self.world
        kind = self.pick(("back", "step", "remove", "keep", "foreign", "expire"))
        card = self.pick(self.cards) if self.cards else None
        if kind == "back":
            world.come_back()
        elif kind == "step":
            world.confirm_at_bank()
            world.come_back()
        elif card and kind == "remove":
            world.remove(card)
        elif card and kind == "keep":
            world.keep(card)
        elif card and kind == "foreign":
            world.sources[card]["customerId"] = "cust-2"
        elif card:
            world.sources[card]["creditCard"] = {"expirationMonth": 1, "expirationYear": 2020}

    def stale_call(self) -> None:
        """A call that was taken when it applied, and is decided when it may not apply."""
        world = self.world
        current = world.purchase.current.checkout_id
        known = world.checkouts.get(current)
        if known is None:
            return
        total = ConfirmationRequest(
            checkout_id=current, total_amount=known["totalAmount"], currency="EUR"
        )
        again = PurchaseRequest(checkout_id=current, upstream_id="web-1")
        source = SourceRequest(source_id=self.pick((*self.cards, "src-x")))
        facts: Sequence[Fact] = (
            SourceChosen(request=source),
            CheckoutCorrected(request=CorrectionsRequest(checkout={"locale": "fr_FR"})),
            TotalConfirmed(request=total),
            PurchaseRequested(request=again),
        )
        world.tell(self.pick(facts))

    def time(self) -> None:
        """Time passes."""
        world = self.world
        soon = world.next_due()
        wait = (soon - world.now).total_seconds() if soon else 1.0
        world.advance(max(0.0, self.pick((wait, 1.0, 5.0, 30.0, 130.0, 2000.0, 90000.0))))

    def post_office(self) -> None:
        """An event arrives, in any order, perhaps once more."""
        world = self.world
        fresh = bool(world.mail) and self.pick((True, True, False))
        if fresh:
            world.deliver(self.pick(range(len(world.mail))))
        elif world.old_mail:
            world.tell(self.pick(world.old_mail[-6:]))

    def straggler(self) -> None:
        """The answer that an abandoned command got after all."""
        if self.world.stragglers:
            world = self.world
            world.tell(world.stragglers.pop(self.pick(range(len(world.stragglers)))))

    def provider(self) -> None:
        """Whoever pays elsewhere does so, or fails to; and the platform's mood about cancels."""
        world = self.world
        world.cancels = self.pick(("allowed",) * 8 + ("refused", "ignored"))
        waiting = [s for s in world.sources.values() if s["state"].startswith("pending")]
        if waiting:
            source = self.pick(waiting)
            source["state"] = self.pick(("chargeable", "chargeable", "failed"))
            if source["state"] == "chargeable":
                world.post("source.chargeable", source)

    def aftermath(self) -> None:
        """Something goes wrong with an order, later."""
        world = self.world
        if not world.orders:
            return
        id = self.pick(tuple(world.orders))
        if self.pick((False, True)) and world.orders[id]["state"] == "pending_payment":
            world.fail_charge(id, self.pick(("declined", "do_not_honor", "fraud")))
            return
        world.post(self.pick((*TROUBLES, *ENDS)), world.orders[id])

    def platform(self) -> None:
        """An order of ours goes on at the platform."""
        world = self.world
        ours = [o for o in world.orders.values() if o["state"] not in ("cancelled", "blocked")]
        if not ours:
            return
        order = self.pick(ours)
        following = {
            "pending_payment": ("accepted", "cancelled", "in_review", "pending_payment"),
            "in_review": ("accepted", "blocked", "cancelled"),
            "accepted": ("fulfilled", "cancelled", "dispute"),
        }.get(order["state"], ("complete",))
        state = self.pick(following)
        session = {"accepted": "complete", "cancelled": "failed"}.get(state)
        world.move(order["id"], state, session)
        if self.pick((False, True)):
            charge = {"id": "ch", "orderId": order["id"], "state": "capturable", "amount": 1.0}
            world.post(self.pick(("order.charge.failed", "order.charge.capturable")), charge)

    def junk(self) -> None:
        """Something that makes no sense, or that is about something else."""
        world = self.world
        kind = self.pick(("event", "timer", *("event",) * 9, "key"))
        if kind == "timer":
            world.tell(TimerFired(key="pur_1/none", name="none", hold=world.purchase.hold))
        elif kind == "key" and world.purchase.state in (State.HELD, State.PENDING):
            world.tell(KeyTaken(key=f"checkout/{self.pick(('c1', 'c-else'))}", owner="pur_2"))
        else:
            world.tell(
                PlatformEvent(
                    event_id="e-junk",
                    type=self.pick(TYPES),
                    object=self.pick(JUNK),
                    created=world.now,
                )
            )

    def operator(self) -> None:
        """A person decides, where the API lets them; `no_order` only when it is true."""
        world = self.world
        decision: Literal["adopt_order", "no_order", "resume", "stop"] = self.pick(
            ("resume", "resume", "adopt_order", "no_order", "stop")
        )
        ours = [
            o["id"]
            for o in world.orders.values()
            if o["checkoutId"] in world.purchase.checkout_ids
            and o["state"] not in ("cancelled", "blocked")
        ]
        open_ends = [f for f in world.stragglers if not isinstance(f.result, Rejected)]
        waiting = bool(world.later or open_ends or world.mail)
        if decision in ("no_order", "resume", "stop") and (ours or waiting):
            return
        order_id = ours[0] if ours and decision == "adopt_order" else None
        if decision != "adopt_order" or order_id:
            world.decided(decision, order_id)

    def browser(self) -> None:
        """The storefront's page changes the checkout behind our back."""
        world = self.world
        current = world.checkouts.get(world.purchase.current.checkout_id)
        closed = {*world.refused, *(order["checkoutId"] for order in world.orders.values())}
        if current is None or current["id"] in closed:  # it takes no change (PLATFORM §7.2)
            return
        match self.pick(("attach", "total", "state", "gone", "customer", "credit")):
            case "attach" if self.cards:
                world.attach(current["id"], self.pick(self.cards))
            case "total":
                current["totalAmount"] = self.pick((64.86, 70.0, 0.0))
                world.resettle(current["id"])
            case "state":
                current["payment"]["session"]["state"] = self.pick(
                    ("requires_action", "processing", "failed", "levitating", "requires_source")
                )
            case "credit":
                self._change_credit(current["id"])
            case "customer":
                world.customer = {"id": "cust-1", "enabled": self.pick((False, True))}
            case _:
                return
        world.post("checkout.updated", current)

    def _change_credit(self, checkout_id: str) -> None:
        """The storefront gives more credit, or takes some away."""
        world = self.world
        on = [s["id"] for s in world.checkouts[checkout_id]["payment"]["sources"] if "amount" in s]
        taken = self.pick([*on, None])
        if taken:
            world.detach(checkout_id, taken)
        else:
            world.given.setdefault(checkout_id, max(world.given.values(), default=0.0))
            world.give(self.pick((5.0, 10.0)), checkout_id)


def finish(world: World) -> None:
    """No more faults: all letters and answers arrive, all timers fire, the shopper has left."""
    for _ in range(4):
        for fact in (*world.stragglers,):
            world.tell(fact)
        world.stragglers.clear()
        world.live(world.policy.settle.total_seconds() * 2)
        while world.mail:
            world.deliver()
        world.run()
    world.live(timedelta(hours=5).total_seconds())

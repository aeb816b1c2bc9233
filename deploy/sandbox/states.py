"""The steps of an order: its state, its session's and the fraud verdict, each kept for auditors."""

from .clock import fine_stamp
from .model import Json, Order
from .world import World


def move(world: World, order: Order, state: str) -> None:
    moment = world.now()
    order.state = state
    order.transitions[state] = moment
    order.updated = moment
    remember(world, order)


def judge(world: World, order: Order, verdict: str) -> None:
    order.fraud_state = verdict
    order.fraud_transitions[verdict] = world.now()


def set_session(world: World, order: Order, state: str) -> None:
    """The order's own state stays what it is (PLATFORM §3.1)."""
    order.session.settled = state
    order.updated = world.now()
    remember(world, order)


def remember(world: World, order: Order) -> None:
    """Appends to the order's history for the ledger, unless nothing has changed."""
    step: Json = {"state": order.state, "sessionState": order.session.settled}
    if order.history and {name: order.history[-1][name] for name in step} == step:
        return
    order.history.append({"at": fine_stamp(world.clock.now()), **step})


def end_items(world: World, order: Order, state: str) -> None:
    for item in order.items:
        item.state = state
        item.transitions[state] = world.now()
        if state == "cancelled":
            item.cancelled = item.quantity - item.shipped

"""Commands that write: migrate, decide, redrive. A running service picks up what they store."""

from __future__ import annotations

import secrets

from pydantic import ValidationError
from sqlalchemy import Connection

from consumer.cli.failures import USAGE, Failure
from consumer.cli.opening import engine_for, in_database, purchase_named, store_settings
from consumer.cli.printing import console, print_json
from consumer.clock import Clock
from consumer.store import forgetting, inbox, letters
from consumer.store import migrate as migrations
from consumer.store.inbox import Delivery
from handlers.refusals import refusal
from schemas.facts import OperatorDecided, Origin
from schemas.requests import DecisionRequest, ForgetRequest


def migrate(*, as_json: bool) -> None:
    """Make or complete the tables."""
    done = migrations.migrate(engine_for(store_settings()))
    if as_json:
        return print_json({"before": done.before, "after": done.after})
    before = f"was at revision {done.before}" if done.before else "had no tables"
    console().print(f"the database is at revision {done.after} ({before})")


def decide(
    name: str, decision: str, *, note: str, order_id: str | None, clock: Clock, as_json: bool
) -> None:
    """Record an operator's decision about a purchase. Raises Failure if it does not apply now."""
    fact = OperatorDecided(request=_request(decision, note, order_id))
    fact_id = secrets.token_hex(16)

    def record(connection: Connection) -> str:
        purchase = purchase_named(connection, name, writing=True)
        if refused := refusal(purchase, fact):
            raise Failure(f"{refused.detail}; it is {purchase.state}")
        body = fact.model_dump_json(by_alias=True).encode()
        delivery = Delivery(
            *(Origin.OPERATOR, fact_id, fact.kind, "cli", body), purchase_id=purchase.id
        )
        inbox.append(connection, [delivery], clock.now())
        return purchase.id

    id = in_database(record, writing=True)
    if as_json:
        return print_json({"id": id, "decision": decision, "factId": fact_id})
    console().print(f"recorded for {id}; the service acts on it when it runs")


def redrive(id: str, *, clock: Clock, as_json: bool) -> None:
    """Let a dead letter go its way again. Raises Failure if there is none of this id."""
    if not in_database(lambda c: letters.redrive(c, id, clock.now()), writing=True):
        raise Failure("there is no dead letter of that id")
    if as_json:
        return print_json({"id": id})
    console().print(f"{id} is tried again when the service runs")


def forget(given: dict[str, str | None], *, clock: Clock, as_json: bool) -> None:
    """Record that a person is to be forgotten. Raises Failure unless exactly one is named."""
    try:
        wanted = ForgetRequest.model_validate({n: v for n, v in given.items() if v is not None})
    except ValidationError as error:
        raise Failure("name exactly one: --customer-id, --email or --upstream-id", USAGE) from error
    id = secrets.token_hex(16)
    now = clock.now()
    in_database(lambda c: forgetting.request(c, wanted, id, "cli", now), writing=True)
    if as_json:
        return print_json({"id": id})
    console().print("recorded; the service forgets when it runs")


def _request(decision: str, note: str, order_id: str | None) -> DecisionRequest:
    if decision == "adopt_order" and order_id is None:
        raise Failure("adopt_order needs --order-id", USAGE)
    given = {"decision": decision, "note": note, "orderId": order_id}
    try:
        return DecisionRequest.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Failure(f"{first['loc'][0]}: {first['msg']}", USAGE) from error

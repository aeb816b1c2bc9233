"""Stored bodies without personal data: what is kept is named, all else goes.

Our own facts and commands stay readable as such; the platform's events keep ids, states, amounts
and times, so that a redacted event still says what it is about.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from consumer.observe.masking import MASK, without_personal_data
from consumer.store.commands import COMMAND
from consumer.store.facts import ENVELOPED, FACT
from consumer.store.inbox import Entry
from handlers.forgetting import speechless
from schemas.commands import Command
from schemas.facts import (
    CheckoutCorrected,
    CommandEnded,
    Fact,
    OperatorDecided,
    PurchaseRequested,
    SourceChosen,
)
from schemas.outcomes import Outcome
from schemas.results import OutcomeUnknown, Rejected, Result, Succeeded

Model = TypeVar("Model", bound=BaseModel)
# Events whose object is the customer: its id is the person's.
CUSTOMER_EVENT = re.compile(r"customer\.(?!source\b)")


def fact_body(entry: Entry) -> bytes:
    """The body of a fact."""
    if entry.origin not in ENVELOPED:
        try:
            fact = _fact(FACT.validate_json(entry.body))
            return fact.model_dump_json(by_alias=True).encode()
        except ValidationError:
            pass  # not one of ours any more: by structure, below
    return text(entry.body, customer=bool(CUSTOMER_EVENT.match(entry.type)))


def text(body: bytes | str, *, customer: bool = False) -> bytes:
    """Any JSON, by structure; what is none is nothing."""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return b"{}"
    kept = without_personal_data(found)
    if customer and isinstance(kept, dict):
        resource = (kept.get("data") or {}).get("object") or {}
        names = ("requestToBeForgotten", "enabled", "paymentSessionId", "state")
        kept["data"] = {"object": {n: v for n, v in resource.items() if n in names}}
    return json.dumps(kept).encode()


def outcome_body(body: str) -> str:
    """The body of an outcome: still one, without what the storefront and the shopper brought."""
    outcome = Outcome.model_validate_json(body)
    view = outcome.data
    order = view.order
    items = order and tuple(_changed(item, {"metadata": {}}) for item in order.items)
    bare = {
        "shopper": _changed(view.shopper, {"next_action": None}),
        "order": order and _changed(order, {"items": items}),
    }
    return _changed(outcome, {"data": _changed(view, bare)}).model_dump_json(by_alias=True)


def command_body(body: str) -> str:
    """The body of a command."""
    return _command(COMMAND.validate_json(body)).model_dump_json(by_alias=True)


def _command(command: Command) -> Command:
    empty: dict[str, Any] = {"request": {}, "changes": {}, "owner": None}
    return _changed(command, {n: v for n, v in empty.items() if n in type(command).model_fields})


def _fact(fact: Fact) -> Fact:
    match fact:
        case PurchaseRequested(request=request):
            return _changed(fact, {"request": _changed(request, {"create_request": None})})
        case SourceChosen(request=source):
            return _changed(fact, {"request": _changed(source, {"browser_ip": None})})
        case CheckoutCorrected(request=corrections):
            names = dict.fromkeys(corrections.checkout)
            return _changed(fact, {"request": _changed(corrections, {"checkout": names})})
        case OperatorDecided(request=decision):
            return _changed(fact, {"request": _changed(decision, {"note": MASK})})
        case CommandEnded(command=command, result=result):
            return _changed(fact, {"command": _command(command), "result": _result(result)})
        case _:
            return fact


def _result(result: Result) -> Result:
    match result:
        case Succeeded(body=body):
            return _changed(result, {"body": without_personal_data(body)})
        case Rejected(problems=problems) | OutcomeUnknown(problems=problems):
            return _changed(result, {"problems": speechless(problems)})
        case _:
            return result


def _changed(model: Model, update: dict[str, Any]) -> Model:
    return model.model_copy(update=update)

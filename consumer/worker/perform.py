"""Commands as calls of the platform, and the platform's answers as results."""

import asyncio
from collections.abc import Awaitable
from typing import Any, assert_never

from consumer.errors import OutcomeUnknown as OutcomeUnknownError
from consumer.errors import Rejected as RejectedError
from consumer.errors import Unavailable as UnavailableError
from consumer.observe.masking import without_client_secrets
from consumer.platform import Answer, ImpossiblePath, Platform, Priority, Turn, path
from consumer.store.commands import Task
from handlers.cloning import MARK
from handlers.paths import value_at
from schemas.base import JsonObject
from schemas.commands import (
    AttachSource,
    CancelOrder,
    CreateCredit,
    DeleteCheckout,
    DetachSource,
    FindCheckout,
    FindOrders,
    InspectOrder,
    OpenCheckout,
    ReadCheckout,
    ReadOrder,
    RefreshOrder,
    SaveSource,
    Submit,
    UpdateCheckout,
    Wake,
)
from schemas.results import OutcomeUnknown, Reading, Rejected, Result, Succeeded, Unavailable

PAGE = 100  # the most that the platform lists at once (PLATFORM §1.4)


async def perform(
    platform: Platform,
    task: Task,
    send_by: float,
    priority: Priority = Priority.INTERACTIVE,
    turn: Turn | None = None,
) -> Result:
    """Run one command. `send_by`: the monotonic moment after which nothing may be sent any more.
    `turn`: budget for its first change of something.

    Client secrets are taken out of what comes back: they are never stored (I8).
    """
    call = Calls(platform, f"{task.key}/{task.attempt}", send_by, priority, turn)
    try:
        answer = await call.run(task)
    except RejectedError as error:
        return Rejected(status=error.status, problems=error.errors, request_id=error.request_id)
    except UnavailableError as error:
        return Unavailable(status=error.status, retry_after=error.retry_after)
    except ImpossiblePath:
        return Rejected(status=404)  # an id like ".." names nothing and can't be asked for
    except OutcomeUnknownError as error:
        return OutcomeUnknown(
            status=error.status, problems=error.errors, request_id=error.request_id
        )
    body = without_client_secrets(answer.body or {})
    return Succeeded(status=answer.status, body=body, request_id=answer.request_id)


class Calls:
    """The calls of one command; all carry its key as `upstream-id`."""

    def __init__(
        self,
        platform: Platform,
        upstream_id: str,
        send_by: float,
        priority: Priority,
        turn: Turn | None,
    ) -> None:
        self._platform = platform
        self._upstream_id = upstream_id
        self._send_by = send_by
        self._priority = priority
        self._turn = turn

    async def run(self, task: Task) -> Answer:
        """The platform's answer. Raises the errors of `consumer.errors`."""
        match task.command:
            case ReadCheckout() as command:
                return await self._reading(command)
            case FindOrders() as command:
                orders = await self._orders(command.checkout_ids, command.upstream_id)
                return _composed({"orders": orders})
            case ReadOrder() as command:
                return await self._get(path("orders", command.order_id))
            case InspectOrder() as command:
                return await self._inspected(command)
            case RefreshOrder() as command:
                return await self._refreshed(command)
            case FindCheckout() as command:
                return await self._marked(command)
            case Submit() as command:
                return await self._send(
                    "POST", "/orders", {"checkoutId": command.permit.checkout_id}
                )
            case OpenCheckout() as command:
                return await self._send("POST", "/checkouts", command.request)
            case UpdateCheckout() as command:
                return await self._send(
                    "POST", path("checkouts", command.checkout_id), command.changes
                )
            case AttachSource() as command:
                where = path("checkouts", command.checkout_id, "sources", command.source_id)
                return await self._send("POST", where)
            case DetachSource() as command:
                where = path("checkouts", command.checkout_id, "sources", command.source_id)
                return await self._send("DELETE", where)
            case SaveSource() as command:
                where = path("customers", command.customer_id, "sources", command.source_id)
                return await self._send("POST", where)
            case CreateCredit() as command:
                return await self._send("POST", "/sources", _credit(command))
            case DeleteCheckout() as command:
                return await self._send("DELETE", path("checkouts", command.checkout_id))
            case CancelOrder() as command:
                return await self._cancel(command)
            case Wake():
                raise AssertionError("a timer is not performed")
            case _ as unreachable:
                assert_never(unreachable)

    async def _get(self, where: str, params: dict[str, str | int] | None = None) -> Answer:
        return await self._platform.get(
            where, params, upstream_id=self._upstream_id, priority=self._priority
        )

    async def _send(self, method: str, where: str, body: JsonObject | None = None) -> Answer:
        turn, self._turn = self._turn, None
        return await self._platform.send(
            *(method, where, body),
            upstream_id=self._upstream_id,
            priority=self._priority,
            send_by=self._send_by,
            turn=turn,
        )

    async def _reading(self, command: ReadCheckout) -> Answer:
        checkout, orders = await _all(
            self._found(path("checkouts", command.checkout_id)),
            self._orders(command.checkout_ids, command.upstream_id),
        )
        source, wanted, customer = await _all(
            self._found_by(("sources",), _primary_source(checkout)),
            self._found_by(("sources",), command.wanted_source),
            self._found_by(("customers",), (checkout or {}).get("customerId")),
        )
        reading = Reading(
            checkout=checkout, orders=orders, source=source, wanted=wanted, customer=customer
        )
        return _composed(reading.model_dump(by_alias=True))

    async def _inspected(self, command: InspectOrder) -> Answer:
        order = (await self._get(path("orders", command.order_id))).body or {}
        ids = [source.get("id") for source in _sources(order)]
        found = await _all(*(self._found_by(("sources",), id) for id in ids))
        return _composed({"order": order, "sources": [source for source in found if source]})

    async def _refreshed(self, command: RefreshOrder) -> Answer:
        """The order as it is now; what can't be refreshed is read (PLATFORM §8 #39)."""
        where = path("orders", command.order_id)
        try:
            answer = await self._send("POST", f"{where}/refresh")
        except (RejectedError, OutcomeUnknownError):
            return await self._get(where)
        return answer if (answer.body or {}).get("id") else await self._get(where)

    async def _found(self, where: str) -> JsonObject | None:
        """The resource, or `None` if the platform has none there."""
        try:
            return (await self._get(where)).body
        except RejectedError as error:
            if error.status == 404:
                return None
            raise

    async def _found_by(self, collection: tuple[str, ...], id: Any) -> JsonObject | None:
        try:
            return await self._found(path(*collection, str(id))) if id else None
        except ImpossiblePath:
            return None  # such an id names nothing

    async def _orders(self, checkout_ids: tuple[str, ...], upstream_id: str) -> list[JsonObject]:
        """All orders of these checkouts and of the upstream id, each once (I3, I6)."""
        filters: list[dict[str, str | int]] = [{"checkoutId": id} for id in checkout_ids]
        filters.append({"upstreamIds": upstream_id})
        pages = await _all(*(self._list("/orders", each) for each in filters))
        return list({str(order.get("id")): order for page in pages for order in page}.values())

    async def _list(self, where: str, filters: dict[str, str | int]) -> list[JsonObject]:
        answer = await self._get(where, {**filters, "limit": PAGE})
        data = (answer.body or {}).get("data")
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            # Not a list is not an empty list: it proves nothing.
            raise UnavailableError(status=answer.status, reason="the list can't be read")
        return data

    async def _marked(self, command: FindCheckout) -> Answer:
        listed = await self._list("/checkouts", {"upstreamIds": command.upstream_id})
        marked = (c for c in listed if value_at(c, f"metadata.{MARK}") == command.mark)
        return _composed({"checkout": next(marked, None)})

    async def _cancel(self, command: CancelOrder) -> Answer:
        items = [
            {"itemId": line.item_id, "cancelQuantity": line.quantity} for line in command.lines
        ]
        return await self._send(
            "POST", "/fulfillments", {"orderId": command.order_id, "items": items}
        )


def _primary_source(checkout: JsonObject | None) -> str | None:
    primaries = (s for s in _sources(checkout or {}) if s.get("type") != "customerCredit")
    return next((source.get("id") for source in primaries), None)


def _sources(resource: JsonObject) -> list[JsonObject]:
    """The sources of a checkout or an order, as far as they can be read."""
    payment = resource.get("payment")
    sources = payment.get("sources") if isinstance(payment, dict) else None
    listed = sources if isinstance(sources, list) else []
    return [source for source in listed if isinstance(source, dict)]


def _credit(command: CreateCredit) -> JsonObject:
    body: JsonObject = {
        "type": "customerCredit",
        "paymentSessionId": command.session_id,
        "amount": command.amount,
        "customerCredit": {},
    }
    given = {"upstreamId": command.upstream_id, "owner": command.owner}
    return body | {name: value for name, value in given.items() if value}


def _composed(body: JsonObject) -> Answer:
    """Several readings as one answer."""
    return Answer(200, body, None, 0.0)


async def _all(*calls: Awaitable[Any]) -> list[Any]:
    """The results of calls that run side by side; the first platform error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_awaited(call)) for call in calls]
    except* (RejectedError, UnavailableError, ImpossiblePath) as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call

"""The Starlette application: routes, and one way to answer whatever goes wrong."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import cast

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consumer.events import Malformed
from consumer.observe.logs import describe
from consumer.store.purchases import TooNew
from consumer.web import merchant, openapi, operators, purchases, session
from consumer.web.auth import ANY, OPERATOR, READ, SHOP
from consumer.web.calls import Operation, resource
from consumer.web.collector import Collector
from consumer.web.deps import Deps
from consumer.web.health import Health
from consumer.web.ingress import PATH, Ingress
from consumer.web.problems import Problem, malformed, unavailable

# What a status says about a webhook or an event when its room did not say more itself.
REFUSALS = {0: "other", 413: "too_large", 415: "media_type", 499: "other", 500: "other"}
EVENT_REFUSALS = {400: "malformed", 413: "malformed", 503: "unavailable"}

log = structlog.get_logger("order_rescue.web")


def application(deps: Deps) -> Starlette:
    """The HTTP application. Nothing runs in the background and nothing is global."""
    return _served(deps, [*_webhooks(deps), *_calls(deps), _described(), *_health(deps)])


def watched(deps: Deps) -> Starlette:
    """That of a process which nobody calls: whether it lives and can work, and its metrics."""
    return _served(deps, _health(deps))


def _served(deps: Deps, routes: list[Route]) -> Starlette:
    return Starlette(
        routes=routes,
        middleware=[Middleware(Watch, deps=deps)],
        exception_handlers={
            Problem: _problem,
            Malformed: _malformed,
            HTTPException: _http_error,
            TooNew: _too_new,
        },
    )


def _webhooks(deps: Deps) -> list[Route]:
    if deps.webhook is None:
        return []
    ingress = Ingress(deps, deps.webhook, Collector(deps.store, deps.clock))
    return [Route(PATH, ingress.receive, methods=["POST"])]


OPERATIONS = {
    "/v1/events": {"POST": Operation(merchant.receive, SHOP)},
    "/v1/purchases": {
        "POST": Operation(purchases.create, SHOP),
        "GET": Operation(purchases.listing, ANY, purchases.FILTERS),
    },
    "/v1/purchases/{id}": {"GET": Operation(purchases.show, ANY)},
    "/v1/purchases/{id}/payment-source": {"POST": Operation(purchases.choose_source, SHOP)},
    "/v1/purchases/{id}/corrections": {"POST": Operation(purchases.correct, SHOP)},
    "/v1/purchases/{id}/confirmation": {"POST": Operation(purchases.confirm, SHOP)},
    "/v1/purchases/{id}/return": {"POST": Operation(purchases.back, SHOP)},
    "/v1/purchases/{id}/cancel": {"POST": Operation(purchases.cancel, SHOP)},
    "/v1/purchases/{id}/payment-session": {"GET": Operation(session.show, SHOP)},
    "/v1/purchases/{id}/timeline": {"GET": Operation(operators.story, READ)},
    "/v1/purchases/{id}/decision": {"POST": Operation(purchases.decide, OPERATOR)},
    "/v1/forget": {"POST": Operation(operators.forget, OPERATOR)},
    "/v1/dead-letters": {"GET": Operation(operators.dead_letters, READ, operators.PAGES)},
    "/v1/dead-letters/{id}/redrive": {"POST": Operation(operators.redrive, OPERATOR)},
}


def _calls(deps: Deps) -> list[Route]:
    return [resource(deps, path, operations) for path, operations in OPERATIONS.items()]


def _described() -> Route:
    document = openapi.document()

    async def described(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    return Route("/openapi.json", described)


def _health(deps: Deps) -> list[Route]:
    health = Health(deps)
    return [
        Route("/healthz", health.alive),
        Route("/readyz", health.ready),
        Route("/metrics", health.metrics),
    ]


async def _problem(_request: Request, error: Exception) -> Response:
    return cast(Problem, error).response()


async def _malformed(_request: Request, error: Exception) -> Response:
    return malformed(cast(Malformed, error)).response()


async def _too_new(_request: Request, _error: Exception) -> Response:
    return unavailable("a newer version of the service has this; ask again").response()


async def _http_error(_request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405."""
    known = cast(HTTPException, error)
    details = {404: "there is no such resource", 405: "the resource does not know this method"}
    detail = details.get(known.status_code, HTTPStatus(known.status_code).phrase)
    return Problem(known.status_code, detail, headers=known.headers or {}).response()


class Watch:
    """Counts every answer, and turns what nobody expected into one log line and a 500."""

    def __init__(self, app: ASGIApp, deps: Deps) -> None:
        self._app = app
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no websockets; uvicorn then refuses the handshake
        started = time.perf_counter()
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except ClientDisconnect:
            status = status or 499  # nobody is there to read an answer
        except Exception as error:  # noqa: BLE001 - the last line: no traceback reaches a log
            log.error("request_failed", route=_route(scope), **describe(error))
            if not status:
                await Problem(500, "an unexpected error; it was logged").response()(
                    scope, receive, sent
                )
        finally:
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route, state = _route(scope), scope.get("state", {})
        if route == PATH:
            result = state.get("result") or REFUSALS.get(status, "malformed")
            self._deps.metrics.webhook(result, seconds)
            return
        if route == "/v1/events":
            result = state.get("result") or EVENT_REFUSALS.get(status)
            if result:
                self._deps.metrics.event(result)
        self._deps.metrics.api(scope["method"], route, status, seconds)


def _route(scope: Scope) -> str:
    """The matched path with its placeholders: bounded, and without ids."""
    route = scope.get("route")
    return route.path if isinstance(route, Route) else "unmatched"

"""The server: health, draining, and errors that nobody expected."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from consumer.web.app import OPERATIONS
from consumer.web.openapi import described
from consumer.web.server import listener, serve
from tests.shell.web.service import Running, Service, event, until


async def test_it_is_alive_and_ready_without_a_platform(service: Service) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert (await service.client.get(path)).status_code == 200, path


async def test_it_is_not_ready_while_the_store_is_locked(service: Service) -> None:
    lock = sqlite3.connect(service.database, isolation_level=None)
    lock.execute("begin immediate")
    answer = await service.client.get("/readyz")
    assert answer.status_code == 503
    assert "store" in answer.json()["detail"]
    assert (await service.client.get("/healthz")).status_code == 200
    call = await service.call("POST", "/v1/purchases", {"checkoutId": "c1"})
    assert (call.status_code, "retry-after" in call.headers) == (503, True)
    lock.execute("rollback")
    lock.close()


async def test_it_is_not_ready_when_a_task_is_missing(running: Running) -> None:
    async with running(ailing=lambda: ["router"]) as service:
        answer = await service.client.get("/readyz")
        assert answer.status_code == 503
        assert "router" in answer.json()["detail"]


async def test_an_unexpected_error_is_one_line_and_a_500(service: Service) -> None:
    # No request is known to do this: a file that somebody damaged shows the last line of defence.
    purchase = await service.purchase("c-damaged")
    with contextlib.closing(sqlite3.connect(service.database)) as damage, damage:
        damage.execute("update purchases set document = 'c-damaged'")
    with capture_logs() as lines:
        answer = await service.call("GET", f"/v1/purchases/{purchase['id']}")
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert "ValidationError" not in answer.text
    assert [line["event"] for line in lines] == ["request_failed"]
    assert "ValidationError" in str(lines)
    assert "c-damaged" not in str(lines)


async def test_a_stop_answers_what_came_in_and_ends_waiting_calls(running: Running) -> None:
    async with running() as service:
        calling = asyncio.create_task(
            service.call("POST", "/v1/purchases", {"checkoutId": "c1"}, Prefer="wait=30")
        )
        delivered = await service.deliver(event())
        await until(lambda: stored_twice(service))
        service.stop.set()
        assert (await calling).status_code == delivered.status_code == 202
        await until(lambda: refused(service))


async def stored_twice(service: Service) -> bool:
    return len(await service.stored()) == 2


async def refused(service: Service) -> bool:
    try:
        async with httpx.AsyncClient() as late:
            await late.get(f"{service.url}/healthz")
    except httpx.TransportError:
        return True
    return False


async def test_the_server_leaves_the_process_its_signals() -> None:
    async def pid(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(os.getpid()))

    before = [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]
    sock, stop, ready = listener("127.0.0.1", 0), asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(Starlette(routes=[Route("/", pid)]), sock, stop, ready.set))
        await ready.wait()
        assert [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)] == before
        stop.set()


def test_a_port_that_is_taken_is_an_error_at_once() -> None:
    taken = listener("127.0.0.1", 0)
    taken.listen()
    with taken, pytest.raises(OSError, match="in use"):
        listener("127.0.0.1", taken.getsockname()[1])


def test_the_document_names_exactly_the_calls_that_exist() -> None:
    documented = {
        path: {method.upper() for method in item if method in ("get", "post")}
        for path, item in described()["paths"].items()
        if path.startswith("/v1/")
    }
    assert documented == {path: set(methods) for path, methods in OPERATIONS.items()}
    for path, operations in OPERATIONS.items():
        item = described()["paths"][path]
        for method, operation in operations.items():
            named = item[method.lower()].get("parameters", [])
            query = {p["name"] for p in named if p["in"] == "query"}
            assert query == operation.query, path

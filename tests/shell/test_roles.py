"""`serve --only`: one process for each role, or one for several; what can't work does not start."""

import base64
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from consumer.roles import ALL, Role, RolesInvalid, overrides, parsed
from deploy.sandbox.server import Options, add_webhook, running
from tests.shell.sandbox.shop import receiving
from tests.shell.service.serving import KEY, SETTINGS, WEBHOOK_SECRET, Service, until
from tests.shell.service.stage import Stage, webhook_address

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + base64.b64encode(b"outcome key of the merchant 123").decode()
NOWHERE = "postgresql://nobody@127.0.0.1:9/nothing"
Shares = dict[str, Service]


def only(folder: Path, roles: str, settings: dict[str, str]) -> Service:
    """A process with these roles, as the command line makes it."""
    place = folder / roles.replace(",", "-")
    place.mkdir()
    program = (sys.executable, "-m", "consumer", "serve", "--only", roles)
    return Service(place, settings, {"PYTHONPATH": str(ROOT)}, program)


def refusal(folder: Path, roles: str, **settings: str) -> tuple[int, list[str]]:
    """How such a start ends: its exit code and what it says."""
    service = only(folder, roles, SETTINGS | {"DATABASE_URL": NOWHERE} | settings)
    process = service.launch()
    assert isinstance(process, subprocess.Popen)
    code = process.wait(30)
    return code, service.log.read_text().splitlines()


@asynccontextmanager
async def shared(
    folder: Path, url: str, *splits: str, **settings: str
) -> AsyncIterator[tuple[Stage, Shares]]:
    """A stage whose service is several processes; the first one has the HTTP edge."""
    options = Options(keys=(KEY,), speed=60.0, rate=1000.0, webhook_secrets=(WEBHOOK_SECRET,))
    async with running(options) as sandbox, httpx.AsyncClient(timeout=15.0) as http:
        given = SETTINGS | {"PLATFORM_URL": sandbox.url, "DATABASE_URL": url} | settings
        processes = {roles: only(folder, roles, dict(given)) for roles in splits}
        stage = Stage(sandbox, processes[splits[0]], http)
        try:
            for process in processes.values():
                await process.start()
            add_webhook(sandbox.world, options, webhook_address(stage.service), live=True)
            yield stage, processes
        finally:
            for process in processes.values():
                await process.kill()


async def test_processes_of_one_role_each_make_an_order_together(
    tmp_path: Path, postgres_url: str
) -> None:
    async with receiving() as receiver:
        outcomes = {"OUTCOME_WEBHOOK_URL": receiver.url, "OUTCOME_WEBHOOK_SECRET": SECRET}
        splits = ("webhooks", "worker", "relay")
        async with shared(tmp_path, postgres_url, *splits, **outcomes) as (stage, processes):
            checkout = await stage.paid()
            bought = await stage.buy(checkout)
            await stage.reaches(bought, "accepted")
            stage.in_order(checkout.upstream)
            await until(lambda: b"purchase.accepted" in b"".join(b for _, b in receiver.got))
            for process in processes.values():
                assert await process.stop() == 0


async def test_every_process_answers_for_its_health_and_one_alone_for_shoppers(
    tmp_path: Path, postgres_url: str
) -> None:
    async with shared(tmp_path, postgres_url, "webhooks", "worker") as (stage, processes):
        for process in processes.values():
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await stage.http.get(process.url + path)).status_code == 200
        answers = {
            roles: (await stage.http.get(process.url + "/v1/purchases")).status_code
            for roles, process in processes.items()
        }
        assert answers == {"webhooks": 401, "worker": 404}
        assert (await stage.http.get(processes["worker"].url + "/openapi.json")).status_code == 404


async def test_what_has_no_webhooks_needs_no_secrets_for_them(
    tmp_path: Path, postgres_url: str
) -> None:
    settings = {n: v for n, v in SETTINGS.items() if n != "WEBHOOK_SECRETS"}
    settings |= {"PLATFORM_URL": "http://127.0.0.1:9", "DATABASE_URL": postgres_url}
    service = only(tmp_path, "worker", settings)
    try:
        await service.start()
        assert await service.stop() == 0
    finally:
        await service.kill()


@pytest.mark.parametrize(
    ("roles", "settings", "line"),
    [
        ("webhooks,cook", {}, "--only: no such role: cook; there are webhooks, kafka, worker, re"),
        (",", {}, "--only names no role"),
        ("kafka", {}, "--only: the role kafka needs ORDER_RESCUE_KAFKA_BOOTSTRAP_SERVERS"),
        ("relay", {}, "--only: the role relay needs ORDER_RESCUE_OUTCOME_WEBHOOK_URL or"),
        ("worker", {"DATABASE_URL": "sqlite:///shop.db"}, "--only needs PostgreSQL: one process"),
        ("webhooks", {"WEBHOOK_SECRETS": ""}, "ORDER_RESCUE_WEBHOOK_SECRETS: is required"),
    ],
)
def test_a_role_that_cannot_work_stops_the_start_with_one_line(
    tmp_path: Path, roles: str, settings: dict[str, str], line: str
) -> None:
    code, lines = refusal(tmp_path, roles, **settings)
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"order-rescue: {line}")


def test_without_only_a_process_has_all_roles() -> None:
    assert parsed(None) == ALL == parsed("relay, kafka,worker,webhooks")
    assert parsed("worker") == {Role.WORKER}
    assert (overrides(ALL), overrides(parsed("relay"))) == ({}, {"ORDER_RESCUE_WEBHOOKS": "off"})
    with pytest.raises(RolesInvalid):
        parsed("")

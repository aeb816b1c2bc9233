"""The command line: what it prints, what it refuses, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy import Connection

from consumer.cli import main
from consumer.settings import PREFIX
from consumer.store import commands, decisions, entries, forgetting, inbox, outcomes, purchases
from consumer.store.decisions import Record
from consumer.store.inbox import Delivery
from consumer.store.migrate import migrate, newest
from consumer.store.sqlite import sqlite_engine
from consumer.store.timeline import timeline
from handlers.presentation import outcome
from schemas.commands import Planned, ReadCheckout
from schemas.facts import Fact, OperatorDecided, Origin, PurchaseRequested
from schemas.money import Money
from schemas.purchase import Link, Purchase, Reason, State
from schemas.requests import PurchaseRequest
from schemas.results import Succeeded
from tests.shell import lone

ROOT = Path(__file__).parents[2]
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CLIENT_SECRET = "9f553a12-1111-4222-8333-123456789abc_1c2d3e4f-5555-4666-9777-abcdefabcdef"
KEY = "sk_hunter2-hunter2"
READING = {"data": [], "hasMore": False}


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings but the test's own: the environment's are gone and there is no `.env`."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("logging.root.handlers", [])  # commands set logs up; put them back
    yield
    structlog.reset_defaults()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with one purchase in review, its story, and two dead letters."""
    path = tmp_path / "shop.db"
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", f"sqlite:///{path}")
    engine = sqlite_engine(f"sqlite:///{path}")
    migrate(engine)
    with engine.begin() as connection:
        _fill(connection)
    engine.dispose()
    return path


def _fill(connection: Connection) -> None:
    purchase = _purchase()
    purchases.insert_new(connection, purchase)
    fact = PurchaseRequested(request=PurchaseRequest(checkout_id="c1"))
    _append(connection, Origin.SHOP, "f1", fact, purchase.id)
    read = ReadCheckout(checkout_id="c1", checkout_ids=("c1",), upstream_id="web-1")
    commands.plan(connection, purchase.id, [Planned(key="pur_1/1/read", command=read)], AT)
    (task,) = commands.of_purchase(connection, purchase.id)
    body = {"payment": {"session": {"id": "s1", "clientSecret": CLIENT_SECRET}}}
    done = Succeeded(status=200, body=body, request_id="req-1")
    commands.end(connection, task, done, AT + timedelta(seconds=1))
    evidence = {"state": "requires_confirmation", "seen": f"secret {CLIENT_SECRET}"}
    for number, rule in ((1, "request.first"), (2, "gate.undecided")):
        at = AT + timedelta(seconds=number - 1)
        decision = Record(
            *(purchase.id, number, at, number, "review", "undecided", rule, "PLATFORM §3.1"),
            *(evidence, ["gate.ready"]),
        )
        decisions.record(connection, [decision])
    told = outcome(None, purchase, AT)
    assert told is not None
    outcomes.emit(connection, [told], ["webhook"], AT)
    (delivery,) = outcomes.due(connection, "webhook", AT, 1)
    outcomes.settle(connection, delivery, "dead", due=AT, reason="410")
    broken = b'{"id": "e1", "note": "' + CLIENT_SECRET.encode() + b' \\u001b[31m"}'
    stray = Delivery(Origin.PLATFORM, "e1", "order.accepted", "webhook", broken)
    inbox.append(connection, [stray], AT)
    (entry,) = entries.unrouted(connection, 10)
    inbox.mark(connection, entry.seq, "dead", reason="not an event")


def _purchase() -> Purchase:
    return Purchase(
        id="pur_1",
        upstream_id="web-1",
        state=State.REVIEW,
        reason=Reason.UNDECIDED,
        chain=(Link(checkout_id="c1"),),
        total=Money(amount=64.86, currency="EUR"),
        confirmed_at=AT,
        created_at=AT,
        updated_at=AT,
    )


def _append(connection: Connection, origin: Origin, id: str, fact: Fact, purchase_id: str) -> None:
    body = fact.model_dump_json(by_alias=True).encode()
    delivery = Delivery(origin, id, fact.kind, "api", body, purchase_id=purchase_id)
    inbox.append(connection, [delivery], AT)


class Ran:
    """A command that has ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert CLIENT_SECRET not in out + err
        assert "Traceback" not in out + err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> Ran:
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return call


def test_purchases_are_listed_and_filtered(file: Path, run: Any) -> None:
    assert run("purchases").out.split()[7:9] == ["pur_1", "review"]
    found = run("purchases", "--json", "--state", "review", "--checkout-id", "c1").json
    assert (found["hasMore"], [purchase["id"] for purchase in found["data"]]) == (False, ["pur_1"])
    assert run("purchases", "--json", "--state", "lost").json == {"hasMore": False, "data": []}


@pytest.mark.parametrize("name", ["pur_1", "c1", "web-1"])
def test_a_purchase_is_found_by_any_of_its_ids(file: Path, run: Any, name: str) -> None:
    assert run("show", name, "--json").json["id"] == "pur_1"
    assert "64.86 EUR" in run("show", name).out


def test_why_names_fact_rule_source_evidence_alternatives_and_what_followed(
    file: Path, run: Any
) -> None:
    told = run("why", "pur_1").out
    for part in (
        *("pur_1 is review (undecided)", "purchase_requested (shop f1, by api)"),
        *("gate.undecided, from PLATFORM §3.1", "state: requires_confirmation", "gate.ready"),
        *("read_checkout pur_1/1/read: ended", "succeeded, 200"),
        "outcome order-rescue.purchase.review: webhook dead",
    ):
        assert part in told
    first, second = run("why", "pur_1", "--json").json["data"]
    assert first["fact"]["id"] == "f1"
    assert [item["kind"] for item in first["then"]] == ["command", "outcome"]
    assert (second["rule"], second["fact"]["origin"]) == ("gate.undecided", "command")


def test_dead_letters_of_both_kinds_are_listed_and_redriven_once(file: Path, run: Any) -> None:
    letters = run("dead-letters", "--json").json["data"]
    assert {letter["origin"] for letter in letters} == {"platform", "outcome"}
    assert "not an event" in run("dead-letters").out
    for letter in letters:
        assert run("redrive", letter["id"], "--json").json == {"id": letter["id"]}
        again = run("redrive", letter["id"])
        assert (again.code, again.out) == (1, "")
    assert run("dead-letters", "--json").json["data"] == []
    assert run("dead-letters", "--starting-after", "nonsense").code == 1


def test_a_decision_is_stored_as_the_operators_fact(file: Path, run: Any) -> None:
    assert run("decide", "c1", "resume", "--note", "asked support").code == 0
    engine = sqlite_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        facts = [fact for fact in entries.undecided(connection, "pur_1") if fact.transport == "cli"]
    engine.dispose()
    (fact,) = facts
    stored = OperatorDecided.model_validate_json(fact.body)
    assert (fact.origin, stored.request.decision) == (Origin.OPERATOR, "resume")
    assert stored.request.note == "asked support"


def test_a_decision_that_does_not_apply_is_refused_and_not_stored(file: Path, run: Any) -> None:
    engine = sqlite_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        held = _purchase().model_copy(update={"state": State.HELD, "version": 2})
        lone.replace(connection, held, 1)
    refused = run("decide", "pur_1", "stop", "--note", "x")
    assert (refused.code, refused.out) == (1, "")
    assert "it is held" in refused.err
    with engine.connect() as connection:
        stored = entries.of_purchase(connection, "pur_1")
    engine.dispose()
    assert [fact for fact in stored if fact.transport == "cli"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("decide", "pur_1", "adopt_order", "--note", "x"),
        ("decide", "pur_1", "resume", "--note", ""),
        ("decide", "pur_1", "resume"),
        ("decide", "pur_1", "shrug", "--note", "x"),
        ("purchases", "--state", "sold"),
        ("purchases", "--limit", "0"),
        ("show",),
        ("dance",),
    ],
)
def test_wrong_usage_ends_with_two(file: Path, run: Any, arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err


@pytest.mark.parametrize("command", ["show", "why"])
def test_an_unknown_purchase_ends_with_one_line_and_one(file: Path, run: Any, command: str) -> None:
    ended = run(command, "pur_2", "--json")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)


def test_looking_makes_no_database(run: Any, tmp_path: Path) -> None:
    ended = run("purchases")
    assert (ended.code, list(tmp_path.iterdir())) == (1, [])
    assert "order-rescue migrate" in ended.err


def test_migrate_makes_the_tables(run: Any, tmp_path: Path) -> None:
    assert run("migrate", "--json").json == {"before": None, "after": newest()}
    assert (
        run("migrate").out
        == f"the database is at revision {newest()} (was at revision {newest()})\n"
    )
    assert run("purchases", "--json").json == {"hasMore": False, "data": []}
    assert (tmp_path / "order-rescue.db").exists()


def test_an_unforeseen_error_is_one_line(
    file: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sqlite_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE purchases SET document = 'hunter2'")
    engine.dispose()
    ended = run("show", "pur_1")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "Unreadable" in ended.err
    assert "hunter2" not in ended.err


def test_control_characters_do_not_reach_the_terminal(file: Path, run: Any) -> None:
    engine = sqlite_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE decisions SET rule = 'a' || char(27) || '[31mred'")
    engine.dispose()
    assert "\x1b" not in run("why", "pur_1").out


def test_the_timeline_is_in_order_and_absent_for_strangers(file: Path) -> None:
    engine = sqlite_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        items = timeline(connection, "pur_1")
        assert timeline(connection, "pur_2") is None
    engine.dispose()
    assert items is not None
    assert [item["kind"] for item in items] == [
        *("fact", "decision", "command", "outcome"),
        *("fact", "decision"),
    ]
    assert [item["at"] for item in items] == sorted(item["at"] for item in items)
    assert items[4]["body"]["result"]["body"]["payment"]["session"] == {"id": "s1"}
    assert CLIENT_SECRET not in json.dumps(items)


@contextmanager
def platform(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A platform that answers everything alike; yields its address and the paths it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(READING if status == 200 else {"type": "x", "errors": []}).encode()
            self.send_response(status)
            for name, value in (
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("x-dr-requestid", "req-1"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def settings(url: str, file: Path) -> dict[str, str]:
    return {
        f"{PREFIX}PLATFORM_URL": url,
        f"{PREFIX}PLATFORM_KEY": KEY,
        f"{PREFIX}PLATFORM_TIMEOUT": "5",
        f"{PREFIX}WEBHOOK_SECRETS": "hunter2-secret",
        f"{PREFIX}API_TOKENS": "ops:operator:hunter2-token",
        f"{PREFIX}DATABASE_URL": f"sqlite:///{file}",
        f"{PREFIX}PORT": "0",
    }


def set_all(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


def test_check_prints_masked_settings_and_asks_the_platform_without_changing_anything(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with platform() as (url, asked):
        set_all(monkeypatch, settings(url, tmp_path / "new.db"))
        ended = run("check")
        machine = run("check", "--json")
    assert (ended.code, machine.code) == (0, 0)
    assert asked == ["/orders?limit=1"] * 2
    assert "hunter2" not in ended.out + machine.out
    assert machine.json["problems"] == []
    assert url in ended.out
    assert list(tmp_path.iterdir()) == []


def test_check_says_that_the_key_is_refused(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with platform(401) as (url, _asked):
        set_all(monkeypatch, settings(url, tmp_path / "new.db"))
        ended = run("check", "--json")
    assert ended.code == 1
    assert ended.json["problems"] == ["the platform refuses this key (status 401)"]


def test_check_finds_every_problem(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with platform() as (url, _asked):
        pass  # nobody listens there any more
    (tmp_path / "bad.db").write_bytes(b"not a database at all" * 100)
    set_all(monkeypatch, settings(url, tmp_path / "bad.db"))
    ended = run("check")
    assert ended.code == 1
    assert "not a database" in ended.err
    assert "does not answer" in ended.err


def test_wrong_settings_stop_serve_with_a_line_each(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}PLATFORM_KEY", "pk_hunter2")
    monkeypatch.setenv(f"{PREFIX}PROT", "1")
    ended = run("serve")
    assert ended.code == 2
    assert [line.split(": ")[1] for line in ended.err.splitlines()] == [
        f"{PREFIX}PROT",
        f"{PREFIX}PLATFORM_KEY",
        f"{PREFIX}WEBHOOK_SECRETS",
        f"{PREFIX}API_TOKENS",
    ]
    assert "hunter2" not in ended.err


@contextmanager
def serving(environ: dict[str, str], folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`order-rescue serve` as a process of its own; yields it and its address once it listens."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "consumer", "serve"],
        cwd=folder,
        env={**os.environ, **environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            line: dict[str, Any] = {}
            while "url" not in line:
                line = json.loads(process.stderr.readline())
            yield process, line["url"]
        finally:
            process.kill()


def test_serve_runs_refuses_a_second_one_and_ends_with_zero(tmp_path: Path) -> None:
    with platform() as (url, _asked):
        environ = settings(url, tmp_path / "shop.db")
        with serving(environ, tmp_path) as (process, address):
            assert httpx.get(f"{address}/healthz").status_code == 200
            second = subprocess.run(
                [sys.executable, "-m", "consumer", "serve"],
                cwd=tmp_path,
                env={**os.environ, **environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=60,
            )
            process.send_signal(signal.SIGTERM)
            _, rest = process.communicate(timeout=60)
    assert second.returncode == 1
    assert "shop.db is in use by another order-rescue serve" in second.stderr
    assert second.stderr.count("\n") == 1
    assert (process.returncode, "Traceback" in rest) == (0, False)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--email", "ada@example.test"), ("--customer-id", "cust-1"), ("--upstream-id", "web-1")],
)
def test_a_wish_to_be_forgotten_is_stored_for_the_service(
    file: Path, run: Any, option: str, value: str
) -> None:
    id = run("forget", option, value, "--json").json["id"]
    engine = sqlite_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        entry = forgetting.next_request(connection)
    engine.dispose()
    assert entry is not None
    assert (entry.id, entry.origin, entry.transport) == (id, Origin.OPERATOR, "cli")
    assert (value.encode() in entry.body) is (option != "--email")


@pytest.mark.parametrize(
    "arguments", [(), ("--email", "a@b.example", "--customer-id", "c"), ("--upstream-id", "")]
)
def test_exactly_one_person_is_forgotten(file: Path, run: Any, arguments: tuple[str, ...]) -> None:
    refused = run("forget", *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert "exactly one" in refused.err


def test_a_backfill_needs_settings_and_a_database(
    tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "PLATFORM_KEY: is required" in run("backfill", "--since", "1h").err
    for name, value in (
        *(("PLATFORM_KEY", KEY), ("API_TOKENS", "a:shop:long-enough"), ("WEBHOOKS", "off")),
        ("DATABASE_URL", f"sqlite:///{tmp_path}/none.db"),
    ):
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    missing = run("backfill", "--since", "1h")
    assert (missing.code, "run order-rescue migrate" in missing.err) == (1, True)

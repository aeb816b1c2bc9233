"""The demo's books catch what they are there for, and a small demo balances."""

import asyncio
import copy
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.demo.books import Books, Expectation, Kind, balance, prevented, recovered
from deploy.demo.shopper import Shopper
from deploy.demo.situations import SITUATIONS, spread
from deploy.demo.stacks import stacks
from deploy.demo.storefront import Storefront
from deploy.demo.trouble import Trouble

ROOT = Path(__file__).resolve().parents[2]
Document = dict[str, Any]
LAST_LINE = re.compile(
    r"orders twice: 0, paid but not ordered: 0, submissions of unready checkouts: 0, "
    r"dead checkouts touched: 0, rejections prevented: (\d+), rejected orders recovered: (\d+)"
)
EXPECTED = [
    Expectation("web-1", "declined once"),
    Expectation("web-2", "fraud", reason="fraud"),
]


def order(order_id: str, name: str, checkout: str, *, live: bool = True) -> Document:
    made: Document = {"id": order_id, "upstreamId": name, "checkoutId": checkout, "live": live}
    return made | {"metadata": {}, "charges": []}


def charge(checkout: str, source: str, order_id: str | None, result: str) -> Document:
    return {
        "at": "2024-05-02T09:00:00Z",
        "checkoutId": checkout,
        "orderId": order_id,
        "sourceId": source,
        "result": result,
    }


def submission(checkout: str, *, ready: bool = True) -> Document:
    state = "requires_confirmation" if ready else "requires_source"
    at = "2024-05-02T09:00:00Z"
    return {"at": at, "checkoutId": checkout, "ready": ready, "sessionState": state}


def purchase(
    id: str, name: str, checkouts: list[str], state: str, reason: str | None = None, **more: Any
) -> Document:
    known: Document = {"id": id, "upstreamId": name, "checkoutIds": checkouts, "orderId": None}
    return known | {"state": state, "reason": reason, "submissions": [], "orders": []} | more


@pytest.fixture
def ledger() -> Document:
    """One shopper who was declined and then paid, and one whom the platform refused."""
    return {
        "orders": [order("o1", "web-1", "c2")],
        "chargeAttempts": [
            charge("c1", "s1", None, "failed"),
            charge("c2", "s2", "o1", "capturable"),
            charge("c3", "s3", None, "blocked"),
        ],
        "submissions": [submission("c1"), submission("c2"), submission("c3")],
        "deadTouches": [],
        "cancels": [],
    }


@pytest.fixture
def purchases() -> list[Document]:
    answers = [{"status": 409}, {"status": 201}]
    return [
        purchase("p1", "web-1", ["c1", "c2"], "accepted", orderId="o1", submissions=answers),
        purchase("p2", "web-2", ["c3"], "lost", "fraud", submissions=[{"status": 409}]),
    ]


def answered(checkout: str, outcome: str, at: str, status: int | None = None) -> Document:
    command = {"kind": "submit", "permit": {"checkoutId": checkout}}
    result = {"outcome": outcome} | ({"status": status} if status else {})
    body = {"command": command, "result": result}
    return {"kind": "fact", "type": "command_ended", "at": at, "body": body}


def books(ledger: Document, purchases: list[Document]) -> Books:
    return balance(ledger, purchases, {}, EXPECTED)


def kinds(ledger: Document, purchases: list[Document]) -> list[tuple[Kind, str | None]]:
    found = books(ledger, purchases).findings
    return [(finding.kind, finding.purchase_id) for finding in found]


def test_good_books_balance(ledger: Document, purchases: list[Document]) -> None:
    result = books(ledger, purchases)
    assert result.findings == ()
    assert result.balanced
    assert result.recovered == {"p1"}
    assert LAST_LINE.fullmatch(result.line())


def test_a_second_order_of_one_shopper_is_found(
    ledger: Document, purchases: list[Document]
) -> None:
    ledger["orders"].append(order("o2", "web-1", "c9"))
    assert (Kind.TWICE, "p1") in kinds(ledger, purchases)
    assert "orders twice: 1" in books(ledger, purchases).line()


def test_an_order_beside_a_cancelled_one_is_no_second_order(
    ledger: Document, purchases: list[Document]
) -> None:
    ledger["orders"].append(order("o0", "web-1", "c1", live=False))
    assert kinds(ledger, purchases) == []


def test_a_charge_without_an_order_is_found(ledger: Document, purchases: list[Document]) -> None:
    ledger["chargeAttempts"].append(charge("c3", "s9", None, "capturable"))
    assert kinds(ledger, purchases) == [(Kind.PAID, "p2")]
    assert "paid but not ordered: 1" in books(ledger, purchases).line()


def test_a_second_charge_of_one_order_is_found(ledger: Document, purchases: list[Document]) -> None:
    ledger["chargeAttempts"].append(charge("c2", "s2", "o1", "complete"))
    assert kinds(ledger, purchases) == [(Kind.PAID, "p1")]


def test_an_order_that_the_service_does_not_know_is_found(
    ledger: Document, purchases: list[Document]
) -> None:
    purchases[0] |= {"state": "unknown", "orderId": None}
    assert set(kinds(ledger, purchases)) == {(Kind.PAID, "p1"), (Kind.OUTCOME, "p1")}


@pytest.mark.parametrize("gone", ["orders", "chargeAttempts"])
def test_an_acceptance_without_a_paid_order_is_found(
    ledger: Document, purchases: list[Document], gone: str
) -> None:
    ledger = copy.deepcopy(ledger) | {gone: []}
    assert (Kind.PAID, "p1") in kinds(ledger, purchases)


def test_a_submission_of_an_unready_checkout_is_found(
    ledger: Document, purchases: list[Document]
) -> None:
    ledger["submissions"].append(submission("c2", ready=False))
    assert kinds(ledger, purchases) == [(Kind.UNREADY, "p1")]
    assert "submissions of unready checkouts: 1" in books(ledger, purchases).line()


@pytest.mark.parametrize("told", [True, False])
def test_a_touch_of_a_dead_checkout_is_found_if_the_service_could_know(
    ledger: Document, purchases: list[Document], told: bool
) -> None:
    touch = {"at": "2024-05-02T09:00:00Z", "method": "POST", "path": "/orders"}
    ledger["deadTouches"].append(touch | {"checkoutId": "c1", "told": told})
    assert kinds(ledger, purchases) == ([(Kind.DEAD, "p1")] if told else [])


ABANDONED = answered("c1", "abandoned", "2024-05-02T09:00:01Z")
REFUSED = answered("c1", "rejected", "2024-05-02T09:00:02Z", 409)
REFUSED_AGAIN = answered("c1", "rejected", "2024-05-02T09:00:04Z", 409)


@pytest.mark.parametrize(
    ("story", "counts"),
    [
        ([ABANDONED, REFUSED_AGAIN], False),
        ([ABANDONED, REFUSED], True),
        ([REFUSED_AGAIN], True),
        ([answered("c2", "abandoned", "2024-05-02T09:00:01Z")], True),
    ],
)
def test_a_touch_of_a_dead_checkout_is_excused_if_the_answer_died_with_the_service(
    ledger: Document, purchases: list[Document], story: list[Document], counts: bool
) -> None:
    touch = {"at": "2024-05-02T09:00:03Z", "method": "POST", "path": "/orders"}
    ledger["deadTouches"].append(touch | {"checkoutId": "c1", "told": True})
    found = balance(ledger, purchases, {"p1": story}, EXPECTED).findings
    assert [finding.kind for finding in found] == ([Kind.DEAD] if counts else [])


def test_a_declined_source_that_is_charged_again_is_found(
    ledger: Document, purchases: list[Document]
) -> None:
    ledger["chargeAttempts"].append(charge("c2", "s1", None, "failed"))
    assert kinds(ledger, purchases) == [(Kind.RECHARGED, "p1")]


@pytest.mark.parametrize(
    ("state", "reason"),
    [("held", "payment_required"), ("unknown", None), ("accepted", None), ("lost", "exhausted")],
)
def test_a_shopper_without_the_expected_outcome_is_found(
    ledger: Document, purchases: list[Document], state: str, reason: str | None
) -> None:
    purchases[1] |= {"state": state, "reason": reason}
    assert (Kind.OUTCOME, "p2") in kinds(ledger, purchases)


def test_a_shopper_without_a_purchase_or_with_two_is_found(
    ledger: Document, purchases: list[Document]
) -> None:
    assert kinds(ledger, purchases[:1]) == [(Kind.OUTCOME, None)]
    twice = [*purchases, purchase("p3", "web-2", ["c4"], "lost", "fraud")]
    assert kinds(ledger, twice) == [(Kind.OUTCOME, "p2")]


def test_a_purchase_of_nobody_is_found(ledger: Document, purchases: list[Document]) -> None:
    strange = purchase("p3", "web-3", ["c4"], "lost", "cancelled")
    assert kinds(ledger, [*purchases, strange]) == [(Kind.OUTCOME, "p3")]


def decisions(*rules: str) -> list[Document]:
    return [{"kind": "fact"}, *({"kind": "decision", "rule": rule} for rule in rules)]


@pytest.mark.parametrize(
    ("rules", "counts"),
    [
        (("gate.payment_required", "gate.passed"), True),
        (("reading.mend", "gate.passed"), True),
        (("gate.passed", "rejection.declined", "gate.payment_required", "gate.passed"), False),
        (("gate.passed", "rejection.declined", "call.source_declined_before"), True),
        (("gate.total_changed", "gate.passed"), False),
        (("gate.passed", "submission.created"), False),
        ((), False),
    ],
)
def test_prevented_is_what_would_have_been_refused_before_it_was_sent(
    rules: tuple[str, ...], counts: bool
) -> None:
    assert prevented(decisions(*rules)) is counts


@pytest.mark.parametrize(
    ("state", "statuses", "counts"),
    [
        ("accepted", (409, 201), True),
        ("accepted", (504,), True),
        ("accepted", (None,), False),
        ("accepted", (201,), False),
        ("lost", (409,), False),
    ],
)
def test_recovered_is_an_order_in_spite_of_an_error(
    state: str, statuses: tuple[int | None, ...], counts: bool
) -> None:
    answers = [{"status": status} for status in statuses]
    known = {"state": state, "submissions": answers, "orders": [{"id": "o1"}], "orderId": "o1"}
    assert recovered(known) is counts


def test_recovered_is_an_order_after_one_that_failed_later() -> None:
    orders = [{"id": "o1"}, {"id": "o2"}]
    known = {"state": "accepted", "submissions": [], "orders": orders, "orderId": "o2"}
    assert recovered(known)


@pytest.mark.parametrize(
    ("by", "moving", "reason", "found"),
    [
        ("merchant", True, "fraud", True),
        ("merchant", False, "fraud", False),
        ("merchant", True, "cancelled", False),
        ("platform", True, "fraud", False),
    ],
)
def test_an_order_that_was_cancelled_while_it_was_being_paid_is_found(
    ledger: Document,
    purchases: list[Document],
    by: str,
    moving: bool,
    reason: str,
    found: bool,
) -> None:
    ledger["cancels"].append({"orderId": "o9", "by": by, "moneyOnItsWay": moving})
    purchases[1] |= {"reason": reason, "orders": [{"id": "o9"}]}
    assert ((Kind.STALE, "p2") in kinds(ledger, purchases)) is found


@pytest.mark.parametrize("held", [0, 4.5, 9.0])
def test_store_credit_that_is_lost_or_doubled_is_found(
    ledger: Document, purchases: list[Document], held: float
) -> None:
    credit = {"credit": True, "money": "held", "amount": held}
    ledger["orders"][0] |= {"metadata": {"credit": 4.5}, "charges": [credit] if held else []}
    assert ((Kind.CREDIT, "p1") in kinds(ledger, purchases)) is (held != 4.5)


@pytest.mark.parametrize("shoppers", [1, 5, 11, 12, 18, 100, 300, 1000])
def test_every_situation_has_shoppers_if_there_are_enough(shoppers: int) -> None:
    found = spread(shoppers)
    assert len(found) == shoppers
    if shoppers >= len(SITUATIONS):
        assert set(found) == set(SITUATIONS)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_behind(how: signal.Signals) -> None:
    command = [sys.executable, "-m", "deploy.demo", "--shoppers", "18"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        started = run.stdout.readline()
        run.send_signal(how)
        rest = run.communicate(timeout=60)[0]
    ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", started)]
    assert len(ports) == 2, started + rest
    assert run.returncode == 130, rest
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
    folder = re.search(r"kept in (.+)", rest)
    assert folder is not None
    shutil.rmtree(folder[1])


def test_a_small_demo_with_a_kill_balances() -> None:
    options = ("--shoppers", "18", "--kills", "1", "--deadline", "120")
    run = subprocess.run(
        [sys.executable, "-m", "deploy.demo", *options], cwd=ROOT, env=dict(os.environ),
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    lines = [match for line in run.stdout.splitlines() if (match := LAST_LINE.fullmatch(line))]
    assert len(lines) == 1, run.stdout
    assert int(lines[0][1]) > 0
    assert int(lines[0][2]) > 0


def test_a_demo_whose_time_is_over_fails_and_names_who_is_left() -> None:
    options = ("--shoppers", "6", "--kills", "0", "--deadline", "0.5", "--keep")
    run = subprocess.run(
        [sys.executable, "-m", "deploy.demo", *options], cwd=ROOT, env=dict(os.environ),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    try:
        assert run.returncode == 1, run.stdout + run.stderr
        assert "the time is over after 0.5 seconds" in run.stdout
        assert "still in the shop: web-1-000" in run.stdout
        assert "_visit" in (kept(run.stdout) / "stacks.txt").read_text()
    finally:
        shutil.rmtree(kept(run.stdout))


def kept(told: str) -> Path:
    """The folder that a demo left."""
    return Path(told.partition("logs and database are kept in ")[2].split()[0])


async def test_a_shopper_whose_page_is_behind_looks_again_and_goes_home() -> None:
    """The purchase ended between the look at the page and the payment that it asks for."""
    ask = {"action": "collect_payment", "checkoutId": "c1", "sessionId": "s1"}
    old = {"id": "pur_1", "version": 2, "state": "held", "shopper": {"nextAction": ask}}
    new = {"id": "pur_1", "version": 3, "state": "accepted", "shopper": {"nextAction": None}}

    def service(request: httpx.Request) -> httpx.Response:
        ended = request.url.path.endswith("/payment-session")
        return httpx.Response(409) if ended else httpx.Response(200, json=new)

    async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as http:
        shop = Storefront(http, "http://platform", "key", ["http://service"], "token")
        page = {**old, "reason": "payment_incomplete", "checkoutId": "c1"}
        shopper = Shopper("web-1", 1, shop, Trouble(http, "http://platform"), purchase=page)
        async with asyncio.timeout(10.0):
            await shopper.follows()
    assert shopper.purchase["state"] == "accepted"


async def test_what_a_task_waits_for_is_shown_down_to_the_last_call() -> None:
    async def inner() -> None:
        await asyncio.Event().wait()

    async def outer() -> None:
        await inner()

    task = asyncio.create_task(outer(), name="visit")
    await asyncio.sleep(0)
    shown = stacks()
    task.cancel()
    story = shown[shown.index("visit") :].splitlines()
    assert [line.split()[-1] for line in story[1:4]] == ["outer", "inner", "wait"]

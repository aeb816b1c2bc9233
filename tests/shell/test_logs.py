"""Logs are one JSON object a line and hold no secrets, no personal data, no foreign words."""

import asyncio
import errno
import io
import json
import logging
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from consumer import observe
from consumer.observe import Metrics
from consumer.observe.logs import FOREIGN
from consumer.observe.masking import masked_text
from consumer.observe.metrics import MOST_WORDS

CLIENT_SECRET = (
    "9f553a12-1111-4222-8333-123456789abc_1c2d3e4f-5555-4666-9777-abcdefabcdef"  # {id}_{uuid}
)
EMAIL = "maya.shopper@example.com"
log = structlog.get_logger()


@dataclass(frozen=True)
class Call:
    """What the platform client reports."""

    method: str = "POST"
    route: str = "/orders"
    status: int | None = 409
    outcome: str = "rejected"
    seconds: float = 0.25
    waited: float = 0.0
    upstream_id: str = "pur_1/3/submit/1"
    request_id: str | None = "req-1"


class Written(io.StringIO):
    """A stream whose lines are read as JSON."""

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def written() -> Iterator[Written]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = Written()
    observe.configure("json", "debug", stream)
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in FOREIGN:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    "name",
    [
        *("email", "name", "firstName", "phone", "address", "ship_to", "billTo", "line1", "owner"),
        *("clientSecret", "client_secret", "authorization", "api-key", "key", "secret", "token"),
        *("signing_secret", "password", "code", "failureCode", "declineCode", "message", "body"),
        *("cancelReason", "browserIp", "create_request", "errors"),
    ],
)
def test_what_a_name_gives_away_is_not_logged(written: Written, name: str) -> None:
    log.info("line", **{name: "hunter2"}, deep=[{name: {"x": "hunter2"}}])
    assert "hunter2" not in written.getvalue()
    assert written.lines()[0][name] == "***"


@pytest.mark.parametrize(
    "text",
    [
        CLIENT_SECRET,
        EMAIL,
        "sk_live0123456789",
        "whsec_c2VjcmV0",
        "Bearer abcdefgh",
        "Basic dXNlcjpwYXNz",
        "isFraudulent",
    ],
)
def test_secrets_inside_other_texts_are_masked(written: Written, text: str) -> None:
    log.info(f"an event with {text} in it", note=f"x {text}, y", deep={"list": [text]})
    assert text not in written.getvalue()
    assert written.lines()[0]["note"].startswith("x ***")


@pytest.mark.parametrize("word", ["x", "1-", "a.", "fraud", "basic ", "a@b."])
def test_masking_takes_time_in_proportion_to_the_text(word: str) -> None:
    """Ids and names are others' to choose, and one line is masked at a time."""
    started = time.process_time()
    masked_text(word * 200_000)
    assert time.process_time() - started < 5


def test_the_ids_that_join_lines_stay_readable(written: Written) -> None:
    ids: dict[str, str | int | None] = {
        "event_id": "5b0a7a1c-2222-4333-8444-123456789abc",
        "purchase_id": "pur_019ab3f0c1d20123456789abcdef",
        "command": "pur_019ab3f0c1d20123456789abcdef/3/submit",
        "upstream_id": "web_5b0a7a1c-2222-4333-8444-123456789abc",
        "request_id": "req-1",
    }
    with observe.context(**ids, absent=None):
        log.info("inside")
    log.info("outside")
    inside, outside = written.lines()
    assert {name: inside.get(name) for name in ids} == ids
    assert set(outside) == {"event", "level", "at"}


def test_an_exception_is_its_type_and_place_without_its_words(written: Written) -> None:
    try:
        raise ValueError(f"hunter2 {EMAIL}") from KeyError("hunter2")
    except ValueError:
        log.exception("it failed")
    (line,) = written.lines()
    assert "hunter2" not in written.getvalue()
    assert "Traceback" not in written.getvalue()
    assert (line["error_type"], line["cause_type"]) == ("ValueError", "KeyError")
    assert line["where"].startswith("tests/shell/test_logs.py:")


def test_an_error_of_the_system_names_its_kind(written: Written) -> None:
    log.error("it failed", exc_info=OSError(errno.EADDRINUSE, "hunter2"))
    assert written.lines()[0]["errno"] == "EADDRINUSE"
    assert "hunter2" not in written.getvalue()


async def test_a_group_of_errors_is_told_by_its_first(written: Written) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def crash() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(KeyError("hunter2")))
            group.create_task(fail(ValueError("hunter2")))

    with pytest.raises(ExceptionGroup) as caught:
        await crash()
    log.critical("stopped", exc_info=caught.value)
    (line,) = written.lines()
    assert (line["error_type"], line["others"]) == ("KeyError", 1)
    assert "hunter2" not in written.getvalue()


@pytest.mark.parametrize("name", [*FOREIGN, "some.library"])
def test_libraries_write_the_same_format_and_only_warnings(written: Written, name: str) -> None:
    logger = logging.getLogger(name)
    logger.info("GET /?secret=hunter2")
    try:
        raise RuntimeError("hunter2")
    except RuntimeError:
        logger.exception("Task exception was never retrieved\nfuture: <hunter2 %s>", EMAIL)
    (line,) = written.lines()
    assert line["event"] == "Task exception was never retrieved"
    assert (line["logger"], line["level"], line["error_type"]) == (name, "error", "RuntimeError")
    assert "hunter2" not in written.getvalue()


def test_warnings_are_lines_too(written: Written) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)  # inside: leaving the block restores what was before
        warnings.warn("something is old", stacklevel=1)
        logging.captureWarnings(False)
    assert "something is old" in written.lines()[0]["event"]


def test_an_error_that_kills_a_thread_is_one_line(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hook in ("threading.excepthook", "sys.excepthook", "sys.unraisablehook"):
        monkeypatch.setattr(hook, None)  # to be put back afterwards
    observe.take_over_hooks()

    def die() -> None:
        raise ValueError("hunter2")

    thread = threading.Thread(target=die, name="writer")
    thread.start()
    thread.join()
    (line,) = written.lines()
    assert (line["thread"], line["error_type"]) == ("writer", "ValueError")


def test_lines_below_the_level_are_not_written(written: Written) -> None:
    observe.configure("json", "warning", written)
    log.info("quiet")
    assert written.getvalue() == ""


def test_the_console_format_is_masked_as_well(written: Written) -> None:
    observe.configure("console", "info", written)
    log.info("line", email=EMAIL, note=CLIENT_SECRET)
    logging.getLogger("uvicorn.error").warning(EMAIL)
    assert EMAIL not in written.getvalue()
    assert CLIENT_SECRET not in written.getvalue()


def test_a_decision_is_one_line_and_its_counts(written: Written) -> None:
    metrics = Metrics()
    observe.decision(
        metrics,
        purchase_id="pur_1",
        version=3,
        fact="command_ended",
        fact_id="pur_1/3/submit/1/answer",
        rule="rejection.end",
        state="lost",
        reason="fraud",
        seconds=0.002,
    )
    (line,) = written.lines()
    assert (line["rule"], line["state"], line["reason"]) == ("rejection.end", "lost", "exhausted")
    assert counts(metrics, "purchase_states") == {"exhausted,lost": 1}
    assert counts(metrics, "decisions") == {"rejection.end": 1}


def test_a_platform_call_is_counted_and_joined_to_its_command(written: Written) -> None:
    metrics = Metrics()
    watch = observe.calls(metrics)
    with observe.context(purchase_id="pur_1", command="pur_1/3/submit"):
        watch(Call())
    watch(replace(Call(), status=None, outcome="unknown"))
    line = written.lines()[0]
    assert (line["purchase_id"], line["upstream_id"]) == ("pur_1", "pur_1/3/submit/1")
    assert (line["status"], line["request_id"], line["ms"]) == (409, "req-1", 250)
    assert counts(metrics, "platform_calls") == {
        "POST,rejected,/orders,4xx": 1,
        "POST,unknown,/orders,none": 1,
    }


def test_labels_are_from_closed_sets() -> None:
    metrics = Metrics()
    metrics.webhook("card_declined", 0.1)
    metrics.api("BREW", "/v1/purchases/{id}", 4711, 0.1)
    metrics.decision("gate.ready", "strange", "card_declined", 0.1)
    metrics.outcome("webhook", "strange")
    metrics.dead_letter("strange")
    metrics.ignored("suspected fraud")
    metrics.platform_call(replace(Call(), method="BREW", outcome="strange", status=9999))
    page = metrics.render()[0].decode()
    assert "card_declined" not in page
    assert "strange" not in page
    assert "fraud" not in page
    assert "4711" not in page


def test_a_label_can_not_grow_without_end() -> None:
    metrics = Metrics()
    for number in range(MOST_WORDS * 2):
        metrics.ignored(f"reason {number}")
    found = counts(metrics, "facts_ignored")
    assert len(found) == MOST_WORDS + 1
    assert found["other"] == MOST_WORDS


def test_gauges_show_the_last_level() -> None:
    metrics = Metrics()
    metrics.levels(inbox=5, parked=2, writer=1, limiter=7, held=3)
    metrics.levels(inbox=4)
    page = metrics.render()[0].decode()
    assert "order_rescue_inbox_depth 4.0" in page
    assert "order_rescue_facts_parked 2.0" in page


def test_two_services_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.event("stored")
    assert counts(second, "events") == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(CLIENT_SECRET),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text() | st.sampled_from(["clientSecret", CLIENT_SECRET]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_shape_lets_a_client_secret_through(value: object) -> None:
    assert CLIENT_SECRET not in json.dumps(observe.masked({"note": value}))
    assert CLIENT_SECRET not in json.dumps(observe.without_client_secrets(value))


def test_too_deep_a_value_is_cut_and_not_a_crash() -> None:
    deep: object = CLIENT_SECRET
    for _ in range(5000):
        deep = [deep]
    assert "***" in json.dumps(observe.masked(deep))
    assert "***" in json.dumps(observe.without_client_secrets(deep))


def counts(metrics: Metrics, name: str) -> dict[str, float]:
    """The samples of a counter, by the values of its labels in the order of their names."""
    return {
        ",".join(value for _, value in sorted(sample.labels.items())): sample.value
        for family in metrics.registry.collect()
        if family.name == f"order_rescue_{name}"
        for sample in family.samples
        if sample.name.endswith("_total")
    }

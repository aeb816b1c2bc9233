"""Error envelopes, Retry-After and the meaning of a status (PLATFORM §2.12, §1.5; I6)."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import OutcomeUnknown, PlatformError, Rejected, Unavailable
from consumer.platform.answers import Answer, Reply, judge_mutation, judge_reading
from consumer.platform.envelope import LARGEST, is_envelope, json_object, problems
from consumer.platform.retry_after import LONGEST, retry_after
from schemas.results import PlatformProblem

FAILED = {"code": "failed-request", "parameter": "sourceId", "message": "Failed to charge source."}
PROBLEM = PlatformProblem.model_validate(FAILED)


def raw(body: object) -> bytes:
    return json.dumps(body).encode()


def test_code_parameter_and_message_are_read() -> None:
    assert problems(raw({"type": "conflict", "errors": [FAILED]})) == (PROBLEM,)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"errors": [FAILED]}, (PROBLEM,)),
        ({"errors": FAILED}, (PROBLEM,)),
        ({"type": 7, "errors": [FAILED, FAILED]}, (PROBLEM, PROBLEM)),
        ({"errors": [{"description": "D"}]}, (PlatformProblem(message="D"),)),
        ({"errors": [{"code": "c"}]}, (PlatformProblem(code="c"),)),
        ({"errors": [{"code": 409, "parameter": ["p"], "message": "M"}]}, None),
        ({"errors": [{"code": None, "parameter": "", "message": "M\x00"}]}, None),
        ({"errors": [None, "text", 3, [], {}, {"message": "M"}]}, None),
        ({"errors": "text"}, ()),
        ({"errors": None}, ()),
        ({"type": "conflict"}, ()),
        ([FAILED], ()),
        ("text", ()),
        (None, ()),
    ],
)
def test_every_oddity_of_the_envelope_is_read(
    body: object, found: tuple[PlatformProblem, ...] | None
) -> None:
    expected = (PlatformProblem(message="M"),) if found is None else found
    assert problems(raw(body)) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\xff\xfe",
        b"<html>502 Bad Gateway</html>",
        b'{"errors": [{"code": "c"}]',
        b'{"errors": [{"code": "c", "weight": NaN}]}',
        b"[" * 200_000,
        b'{"errors":' * 100_000,
        b'{"errors": ' + b"9" * 10_000 + b"}",
        b" " * (LARGEST + 1),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_envelope_lists_no_problems(body: bytes) -> None:
    assert problems(body) == ()
    assert not is_envelope(body)


def test_problems_are_bounded_in_number_and_length() -> None:
    found = problems(raw({"errors": [{"code": "c", "message": "m" * 10_000}] * 500}))
    assert len(found) == 50
    assert max(len(problem.message or "") for problem in found) == 2000


def test_half_a_surrogate_pair_can_be_stored_afterwards() -> None:
    body = json_object(b'{"a": "\\ud83d\\ude00 \\ud83d", "errors": [{"message": "\\uDC00"}]}')
    assert body is not None
    assert body["a"] == "\U0001f600 ?"
    assert problems(b'{"errors": [{"message": "\\uDC00"}]}') == (PlatformProblem(message="?"),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "errors", "code", "parameter", "message", "description"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(st.binary(max_size=200) | JSON.map(raw))
def test_no_body_raises(body: bytes) -> None:
    for problem in problems(body):
        assert problem != PlatformProblem()
    is_envelope(body)


# What a status means


def reply(status: int, body: object = b"", **more: Any) -> Reply:
    data = body if isinstance(body, bytes) else raw(body)
    return Reply(status, more.pop("content_type", "application/json"), data, **more)


def mutation(got: Reply, submission: bool = True) -> Answer | PlatformError:
    return judge_mutation(got, submission=submission, seconds=1)


ENVELOPE = {"type": "bad_request", "errors": [FAILED]}
CONSUMED = {"errors": [{"code": "not_found", "parameter": "orderId", "message": "Order 1 …"}]}


@pytest.mark.parametrize(
    ("got", "verdict"),
    [
        (reply(201, {"id": "1"}), Answer),
        (reply(200, {"id": "1"}, content_type=""), Answer),
        (reply(200, {"id": "1"}, content_type="application/vnd.x+json; charset=utf-8"), Answer),
        (reply(204), Answer),
        (reply(200), OutcomeUnknown),
        (reply(201, b'{"id": "1'), OutcomeUnknown),
        (reply(201, [1]), OutcomeUnknown),
        (reply(201, b'{"total": 1e999}'), OutcomeUnknown),
        (reply(201, {"id": "1"}, content_type="text/html"), OutcomeUnknown),
        (Reply(201, "application/json", None), OutcomeUnknown),
        (reply(302, ENVELOPE), OutcomeUnknown),
        (reply(408, ENVELOPE), OutcomeUnknown),
        (reply(500, ENVELOPE, request_id="r"), OutcomeUnknown),
        (reply(503, b"<html>"), OutcomeUnknown),
        (reply(429), Unavailable),
        (reply(429, b"<html>", content_type="text/html"), Unavailable),
        (reply(429, ENVELOPE), Unavailable),
        (reply(404, CONSUMED), OutcomeUnknown),
        (reply(404, {"errors": [{"code": "not_found", "parameter": "id"}]}), Rejected),
        (reply(409, ENVELOPE), Rejected),
        (reply(401, {"type": "unauthorized"}), Rejected),
        (reply(409, {"type": "unheard_of"}), OutcomeUnknown),
        (reply(409, b"", request_id="r"), Rejected),
        (Reply(400, "", None, "r"), Rejected),
        (Reply(400, "", None), OutcomeUnknown),
        (reply(403, b"<html>", content_type="text/html"), OutcomeUnknown),
        (reply(403, {"message": "Forbidden"}), OutcomeUnknown),
    ],
    ids=lambda value: f"{value.status}-{value.raw!r:.40}" if isinstance(value, Reply) else None,
)
def test_a_mutation_is_done_rejected_not_processed_or_unknown(got: Reply, verdict: type) -> None:
    assert type(mutation(got)) is verdict


def test_a_404_that_names_an_order_is_unknown_only_for_a_submission() -> None:
    unknown = mutation(reply(404, CONSUMED, request_id="r"))
    assert isinstance(unknown, OutcomeUnknown)
    assert (unknown.status, unknown.request_id) == (404, "r")
    assert unknown.errors[0].parameter == "orderId"
    assert isinstance(mutation(reply(404, CONSUMED), submission=False), Rejected)


def test_a_rejection_keeps_what_a_decision_needs() -> None:
    rejected = mutation(reply(409, ENVELOPE, request_id="r"))
    assert isinstance(rejected, Rejected)
    assert (rejected.status, rejected.errors, rejected.request_id) == (409, (PROBLEM,), "r")


@pytest.mark.parametrize(
    ("got", "verdict"),
    [
        (reply(200, {"data": []}), Answer),
        (reply(200, b"<html>"), Unavailable),
        (reply(404, {"type": "not_found"}), Rejected),
        (reply(404, b"<html>", content_type="text/html"), Unavailable),
        (reply(404, b"", request_id="r"), Rejected),
        (reply(401, ENVELOPE), Rejected),
        (reply(408, ENVELOPE), Unavailable),
        (reply(429), Unavailable),
        (reply(301), Unavailable),
        (reply(500, ENVELOPE), Unavailable),
    ],
)
def test_a_reading_is_never_unknown(got: Reply, verdict: type) -> None:
    assert type(judge_reading(got, seconds=1)) is verdict


@given(st.integers(100, 999), st.binary(max_size=60) | JSON.map(raw), st.booleans())
def test_every_answer_means_something(status: int, body: bytes, signed: bool) -> None:
    got = reply(status, body, request_id="r" if signed else None)
    verdict = mutation(got)
    if isinstance(verdict, Rejected):
        assert 400 <= status < 500
        assert status not in (408, 429)
    if isinstance(verdict, Unavailable):
        assert status == 429
    assert not isinstance(judge_reading(got, seconds=1), OutcomeUnknown)


def test_an_error_shows_no_code_and_no_message() -> None:
    for status in (400, 404, 429, 500):
        error = mutation(reply(status, CONSUMED, request_id="req-1"))
        assert isinstance(error, PlatformError)
        for text in (str(error), repr(error)):
            assert f"status {status}" in text
            assert "req-1" in text
            assert "not_found" not in text
            assert "orderId" not in text
            assert "Order 1" not in text


# Retry-After

NOW = datetime(2024, 5, 2, 9, 5, tzinfo=UTC)
DATE = "Thu, 02 May 2024 08:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("120", None, 120),
        (" 0 ", None, 0),
        ("999999", None, LONGEST),
        ("9" * 5000, None, LONGEST),
        ("Thu, 02 May 2024 09:06:00 GMT", None, 60),
        ("Thu, 02 May 2024 08:00:30 GMT", DATE, 30),
        ("Thu, 02 May 2024 08:00:30 GMT", "garbage", 0),
        ("Thu, 02 May 2024 11:06:00 +0200", None, 60),
        ("Thu, 02 May 2024 09:06:00 -0000", None, 60),
        ("Sun, 06 Nov 1994 08:49:37 GMT", DATE, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DATE, LONGEST),
        ("-5", None, None),
        ("1.5", None, None),
        ("١٢", None, None),
        ("soon", None, None),
        ("", DATE, None),
        (None, DATE, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(
    value: str | None, date: str | None, seconds: float | None
) -> None:
    assert retry_after(value, date, NOW) == seconds


@given(st.text() | st.none(), st.text() | st.none())
def test_retry_after_never_raises_and_stays_within_bounds(
    value: str | None, date: str | None
) -> None:
    seconds = retry_after(value, date, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST

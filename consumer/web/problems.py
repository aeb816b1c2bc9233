"""RFC 9457 problem documents. They name fields, never values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:order-rescue:problem:"
_LONGEST_NAME = 200  # of a field: the names of unknown ones are the caller's own


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field. `field` is its camelCase path: `confirmedTotal.amount`."""

    field: str
    problem: str


@dataclass
class Problem(Exception):
    """Ends a call with this answer. `extra` are further members, such as `state`."""

    status: int
    detail: str
    errors: tuple[FieldProblem, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def response(self) -> Response:
        """The problem as an answer."""
        phrase = HTTPStatus(self.status).phrase
        document: dict[str, Any] = {
            "type": TYPE_PREFIX + phrase.lower().replace(" ", "-"),
            "title": phrase,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }
        if self.errors:
            document["errors"] = [
                {"field": error.field, "problem": error.problem} for error in self.errors
            ]
        content = json.dumps(document, ensure_ascii=True).encode()
        return Response(content, self.status, dict(self.headers), MEDIA_TYPE)


def field_name(path: Iterable[str | int]) -> str:
    """`("items", 0, "id")` -> `items.0.id`, printable and of bounded length."""
    name = ".".join(str(part) for part in path)[:_LONGEST_NAME]
    return "".join(char if char.isprintable() else "�" for char in name)


def bad_field(path: str, problem: str, status: int = 400) -> Problem:
    """400, or 409, that names one field; the empty path is the body itself."""
    where = path or "body"
    return Problem(status, f"{where}: {problem}", (FieldProblem(where, problem),))


def bad_fields(error: ValidationError, prefix: tuple[str, ...] = ()) -> Problem:
    """400 that names every field that pydantic refused."""
    found = tuple(
        FieldProblem(field_name((*prefix, *item["loc"])) or "body", _sentence(item["msg"]))
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    )
    first = found[0]
    return Problem(400, f"{first.field}: {first.problem}", found[:100])


def _sentence(message: str) -> str:
    """Pydantic's words without its prefix for our own validators."""
    return message.removeprefix("Value error, ")


def unavailable(detail: str, retry_after: int = 5) -> Problem:
    """503: nothing was done; repeat after so many seconds."""
    return Problem(503, detail, headers={"Retry-After": str(max(1, retry_after))})


def not_genuine() -> Problem:
    """401 of a webhook: the same whatever was wrong (PLATFORM §6.3)."""
    headers = {"WWW-Authenticate": "DigitalRiver-Signature"}
    return Problem(401, "the delivery could not be authenticated", headers=headers)

"""RFC 9457 problem documents. They name fields, never values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from consumer.events import FieldProblem, Malformed

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:order-rescue:problem:"


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


def bad_field(path: str, problem: str, status: int = 400) -> Problem:
    """400, or 409, that names one field; the empty path is the body itself."""
    where = path or "body"
    return Problem(status, f"{where}: {problem}", (FieldProblem(where, problem),))


def malformed(error: Malformed) -> Problem:
    """400 that names every field that is wrong."""
    return Problem(400, str(error), error.errors)


def unavailable(detail: str, retry_after: int = 5) -> Problem:
    """503: nothing was done; repeat after so many seconds."""
    return Problem(503, detail, headers={"Retry-After": str(max(1, retry_after))})


def not_genuine() -> Problem:
    """401 of a webhook: the same whatever was wrong (PLATFORM §6.3)."""
    headers = {"WWW-Authenticate": "DigitalRiver-Signature"}
    return Problem(401, "the delivery could not be authenticated", headers=headers)

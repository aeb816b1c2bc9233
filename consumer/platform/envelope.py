"""The platform's JSON, read tolerantly: answers and error envelopes (PLATFORM §1.3, §2.12)."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from schemas.results import PlatformProblem, listed_problems

LARGEST = 8 * 1024 * 1024  # bytes of one answer; a list of 100 orders is far below

# PLATFORM §2.12 and Appendix B. Only used to recognise an envelope that lists no errors.
_TYPES = frozenset(
    """
    bad_request not_found request_timeout unauthorized conflict internal_server_error
    too_many_requests method_not_allowed not_acceptable forbidden bad_gateway
    service_unavailable gateway_timeout validation_error
    """.split()
)


def json_object(raw: bytes) -> dict[str, Any] | None:
    """The JSON object in `raw`, or None if there is no such thing.

    Strict where storing it would fail later: no NaN, no number beyond a double, no half of a
    surrogate pair (replaced by `?`). Too deep a nesting is unreadable, not a crash.
    """
    try:
        text = raw.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        if "\\ud" in text or "\\uD" in text:
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def problems(raw: bytes) -> tuple[PlatformProblem, ...]:
    """The problems that an error body lists; empty for HTML, nothing, or any other shape."""
    return listed_problems(json_object(raw)) if len(raw) <= LARGEST else ()


def is_envelope(raw: bytes) -> bool:
    """Whether the platform wrote this error body, rather than something in between."""
    if problems(raw):
        return True
    body = json_object(raw) if len(raw) <= LARGEST else None
    kind = None if body is None else body.get("type")
    return isinstance(kind, str) and kind in _TYPES


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond the range of a double")
    return number

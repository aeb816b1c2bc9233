"""`Retry-After`, in either of its two forms (PLATFORM §1.5 shows seconds; HTTP allows a date)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# The documents' example is 120. A garbled header must not stop a shop for a day.
LONGEST = 3600.0


def retry_after(value: str | None, date: str | None, now: datetime) -> float | None:
    """Seconds to wait, from 0 to `LONGEST`, or None if the header is absent or unreadable.

    A date counts from the answer's own `Date` header when it has one, so that a clock that
    differs from the platform's does no harm; otherwise from `now`.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+", text):
        return LONGEST if len(text) > 6 else min(LONGEST, float(text))
    until = _http_date(text)
    if until is None:
        return None
    since = _http_date((date or "").strip()) or now
    return min(LONGEST, max(0.0, (until - since).total_seconds()))


def _http_date(text: str) -> datetime | None:
    if not text or len(text) > 64:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

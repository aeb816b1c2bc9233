"""Paths of the platform's resources: safe to send, and safe as metric labels."""

from __future__ import annotations

from urllib.parse import quote

# PLATFORM §2.1. Whatever is not one of these words is an id.
WORDS = frozenset(
    """
    charges checkouts customers events files fulfillments invoices open orders refresh
    sources subscriptions tax-identifiers void webhooks
    """.split()
)


LONGEST_ID = 255  # characters, as everywhere; percent-encoded it still fits into any URL


class ImpossiblePath(ValueError):
    """An id that no URL can carry: empty, `.`, `..` or too long."""


def path(*segments: str) -> str:
    """`path("checkouts", id)` -> `/checkouts/<id, percent-encoded>`.

    Ids are opaque and may contain special characters (PLATFORM §1.3). Raises
    ImpossiblePath for an empty or too long segment, and for `.` and `..`, which no URL can carry.
    """
    for segment in segments:
        if segment in ("", ".", "..") or len(segment) > LONGEST_ID:
            raise ImpossiblePath("an id of the platform can't be empty, '.', '..' or that long")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def route(path: str) -> str:
    """The path with `{id}` in the place of every id: `/checkouts/{id}/sources/{id}`."""
    segments = path.strip("/").split("/")[:8]
    return "/" + "/".join(segment if segment in WORDS else "{id}" for segment in segments)

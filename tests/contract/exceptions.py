"""Where the sandbox says what the vendor's document does not: why, and that it is still so.

DEPARTURES break the document: each is a row of PLATFORM §8. UNDECLARED are properties and error
statuses that it does not name, which OpenAPI lets pass but our reading of it does not (see
`vendor`); PLATFORM says of each that the platform does so. An entry that nothing uses any more
fails a test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.contract.vendor import Violation

SOURCES = r"(.*\.)?payment\.sources\.\*|"  # in a checkout or an order, or the source by itself


@dataclass(frozen=True, slots=True)
class Known:
    """A named exception. Every field is a regular expression for the whole of the violation's."""

    source: str
    rule: str
    call: str = ".*"  # method and path
    status: str = ".*"
    where: str = ".*"
    value: str = ".*"

    def covers(self, violation: Violation) -> bool:
        return all(
            re.fullmatch(pattern, text, re.DOTALL)
            for pattern, text in (
                (self.rule, violation.rule),
                (self.call, f"{violation.method} {violation.template}"),
                (self.status, str(violation.status)),
                (self.where, violation.where),
                (self.value, violation.value),
            )
        )


DEPARTURES = (
    Known("§8 #39", "undeclared operation", r"POST /orders/\{id\}/refresh", "None|200"),
    Known("§8 #19", "required", "GET /events.*", value="pendingWebhooks"),
    Known("§8 #19", "required", "GET /events", value="digitalriverVersion"),
    Known("§8 #44", "enum", ".* /webhooks.*", where=r"(\*\.)?apiVersion", value="'2021-12-13'"),
)

EXTRA = "additionalProperties"
UNDECLARED = (
    Known("§8 #9", "undeclared status", "POST /orders", "404"),
    Known("§2.1", "undeclared status", r"POST /checkouts/\{id\}/sources/\{sourceId\}", "409"),
    Known("§8 #38", EXTRA, where=r"(.*\.)?payment\.session", value="nextAction"),
    Known("§8 #19", EXTRA, "GET /events.*", value="digitalriverVersion"),
    Known("§8 #19", EXTRA, "GET /events.*", value="webhookIds"),
    Known("§8 #34", EXTRA, ".* /webhooks.*", where=r"(\*\.)?authentication", value="userName"),
    Known("§2.2", EXTRA, where=r"(.*\.)?shippingChoice", value="id"),
    Known("§2.3", EXTRA, where=SOURCES, value="customerCredit|upstreamId"),
    Known("A.1", EXTRA, "POST /fulfillments", "409", r"errors\.\*", "description"),
    Known("§1.1, the mode flag", EXTRA, ".* /webhooks.*", value="liveMode"),
)
EVERY = (*DEPARTURES, *UNDECLARED)


def unexplained(violations: list[Violation]) -> list[Violation]:
    """Those that no named exception covers."""
    return [each for each in violations if not any(known.covers(each) for known in EVERY)]


def unused(violations: list[Violation]) -> list[Known]:
    """Exceptions that cover nothing."""
    return [known for known in EVERY if not any(known.covers(each) for each in violations)]

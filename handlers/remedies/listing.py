"""The whole table as flat lines: what people and programs are shown of it."""

from dataclasses import dataclass, replace
from enum import StrEnum

from handlers.messages import text
from handlers.policy import Policy
from handlers.remedies.courses import COURSES, in_words
from handlers.remedies.later import LATER
from handlers.remedies.orders import MATRIX, Ending, OrderRow
from handlers.remedies.sessions import SESSIONS
from handlers.remedies.words import Action, Remedy, Row
from handlers.tables import Table

ANY = "any"


class Part(StrEnum):
    """When a row counts."""

    CHECKOUT = "checkout read"
    ANSWER = "answer to the order"
    ORDER = "order read"
    LATER = "after the sale"


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `any` is what does not matter there, `other` what no other row names.

    `budget` is how often or how long it goes on, `again` how often the shopper may choose the same
    saved source once more. `changed`: by the merchant's file.
    """

    part: Part
    status: str
    code: str
    parameter: str
    charge_type: str
    order_state: str
    session_state: str
    note: str
    remedy: str
    budget: str
    again: int
    who_acts: str
    shopper_reads: str
    decline: str | None
    field: str | None
    new: bool
    changed: bool
    rule: str
    source: str


def lines(table: Table, policy: Policy) -> list[Line]:
    """Every row, in the order in which a purchase meets them."""
    return [*_checkouts(policy), *_answers(table, policy), *_orders(policy), *_later(policy)]


def _line(part: Part, then: Remedy, policy: Policy, **given: str) -> Line:
    course = COURSES[then.action]
    where = dict.fromkeys(
        ("status", "code", "parameter", "charge_type", "order_state", "session_state"), ANY
    )
    return Line(
        part=part,
        **(where | {"note": ""} | given),
        remedy=then.action.value,
        budget=in_words(course.budget, policy),
        again=then.again if then.action is Action.NEW_CHECKOUT else 0,
        who_acts=course.who.value,
        shopper_reads=text(then.message),
        decline=then.decline.value if then.decline else None,
        field=then.field,
        new=not then.known,
        changed=False,
        rule=then.rule,
        source=then.source,
    )


def _checkouts(policy: Policy) -> list[Line]:
    notes = {None: "", True: "a source is attached", False: "no source is attached"}
    return [
        _line(
            *(Part.CHECKOUT, row.then, policy),
            session_state=" ".join(sorted(row.states)) if row.states else "other",
            note=notes[row.sources],
        )
        for row in SESSIONS
    ]


def _answers(table: Table, policy: Policy) -> list[Line]:
    changed = set(map(id, table.changed))
    found = []
    for row in (*table.changed, *table.rows):
        line = _line(
            *(Part.ANSWER, row.then, policy),
            status={"none": "no answer", "4xx": "other 4xx"}.get(row.when.status, row.when.status),
            code=row.when.code or ("other" if _catches(row) else ANY),
            parameter=row.when.parameter or ANY,
            charge_type=row.when.charge or ANY,
        )
        found.append(replace(line, changed=id(row) in changed))
    return found


def _catches(row: Row) -> bool:
    return row.when.status in ("409", "4xx") and not row.when.parameter


def _orders(policy: Policy) -> list[Line]:
    return [
        _line(
            *(Part.ORDER, row.then, policy),
            order_state=" ".join(sorted(row.states)) if row.states else "other",
            session_state=" ".join(sorted(row.sessions)) if row.sessions else ANY,
            note=_note(row),
        )
        for row in MATRIX
    ]


def _note(row: OrderRow) -> str:
    page = {True: "its session names a page", False: "its session names no page", None: ""}
    endings = {
        Ending.FRAUD: "cancelled for fraud",
        Ending.UNPAID: "its payment failed or expired, or it was cancelled at once",
        Ending.SOMEBODY: "somebody ended it",
    }
    if row.charges_failed:
        return "a charge failed and none is left"
    return endings[row.ending] if row.ending else page[row.page]


def _later(policy: Policy) -> list[Line]:
    return [
        _line(Part.LATER, row.then, policy, order_state="accepted", note=f"event {row.event}")
        for row in LATER
    ]

"""A merchant's own rows: each may make a rule stricter, never looser (I1 to I12)."""

import difflib
from dataclasses import dataclass, replace

from handlers.messages import TEXTS
from handlers.remedies.words import CHARGES, Action, Remedy, Row, When
from handlers.tables import TABLE

# What each remedy may become; all others are what the invariants ask for, and stay.
STRICTER: dict[Action, tuple[Action, ...]] = {
    Action.NEW_CHECKOUT: (Action.PERSON, Action.STOP),
    Action.REPAIR: (Action.PERSON, Action.STOP),
    Action.REPLACE: (Action.PERSON, Action.STOP),
    Action.STEP_UP: (Action.NEW_CHECKOUT, Action.PERSON, Action.STOP),
    Action.PERSON: (Action.STOP,),
}
READS = {Action.PERSON: "order.checking", Action.STOP: "order.failed"}
SPOKEN = (Action.NEW_CHECKOUT, Action.REPAIR, Action.REPLACE)  # whose message may be another one
CODES = frozenset(row.when.code for row in TABLE.rows if row.when.code)
STATUSES = frozenset(row.when.status for row in TABLE.rows)


@dataclass(frozen=True, slots=True)
class Wish:
    """A row as the merchant wants it. What is None stays as it is."""

    when: When
    remedy: str | None = None
    again: int | None = None
    message: str | None = None


class Refused(Exception):
    """The wish can't be granted; `field` is what of it is at fault, `str()` says why."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def granted(wish: Wish, source: str) -> Row:
    """The row that the wish comes to; `source` says where it is from. Raises Refused."""
    _known(wish.when)
    replaced = [_replaced(wish.when, charge) for charge in _charges(wish.when)]
    for remedy in replaced[1:]:
        _changed(remedy, wish)  # whatever it would hide must not become looser
    row = Row(wish.when, replace(_changed(replaced[0], wish), source=source))
    if replace(row.then, source=replaced[0].source) == replaced[0]:
        raise Refused("status", "changes nothing: the table says so already")
    return row


def _known(when: When) -> None:
    if when.status not in STATUSES:
        family = " (write 4xx)" if when.status.startswith("4") else ""
        raise Refused("status", f"no row of the table is about {when.status}{family}")
    if when.charge not in (None, *CHARGES):
        raise Refused("charge_type", f"must be one of {', '.join(CHARGES)}")
    near = difflib.get_close_matches(when.code or "", CODES, n=1, cutoff=0.85)
    if when.code and when.code not in CODES and near:
        raise Refused("code", f"no such code; did you mean {near[0]}?")


def _charges(when: When) -> tuple[str | None, ...]:
    """The charge types of the rows that it hides: with a parameter it goes before theirs."""
    if when.charge or not when.parameter:
        return (when.charge,)
    return (None, *CHARGES)


def _replaced(when: When, charge: str | None) -> Remedy:
    family = {"4xx": 499, "5xx": 500, "none": None}
    status = family[when.status] if when.status in family else int(when.status)
    parameter = None if when.parameter == "-" else when.parameter
    return TABLE.row(status, when.code, parameter, charge).then


def _changed(base: Remedy, wish: Wish) -> Remedy:
    action = _action(base, wish)
    if wish.again is not None and wish.again > base.again:
        raise Refused("again", f"is looser than the table, which says {base.again} (I9)")
    if action not in SPOKEN and wish.again:
        raise Refused("again", f"contradicts the remedy {action.value}: nothing is chosen again")
    if wish.message is not None and action not in SPOKEN:
        raise Refused("message", f"can't be changed: every {action.value} reads the same (I8)")
    if wish.message is not None and wish.message not in TEXTS:
        raise Refused("message", "no such text; order-rescue remedies --json names those in use")
    if wish.message is not None and wish.message.startswith("order."):
        raise Refused("message", "must begin with payment. or checkout.")
    again = base.again if wish.again is None else wish.again
    return replace(
        base,
        action=action,
        again=again if action in SPOKEN else 0,
        message=wish.message or (base.message if action is base.action else READS.get(
            action, base.message)),
    )  # fmt: skip


def _action(base: Remedy, wish: Wish) -> Action:
    if wish.remedy is None or wish.remedy == base.action.value:
        return base.action
    stricter = [action.value for action in STRICTER.get(base.action, ())]
    if wish.remedy in stricter:
        return Action(wish.remedy)
    may = f"it may become {' or '.join(stricter)}" if stricter else "it can't be changed"
    raise Refused("remedy", f"{wish.remedy} would be looser than {base.action.value}: {may}")

"""Events and bodies as they come in: JSON, the light reading of an event, strict models.

What is wrong is told by field, never with a value (PLATFORM §2.11 for the envelope).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from handlers.routing import about
from schemas.requests import PurchaseRequest, RejectionReport

LIMIT = 1024 * 1024  # bytes of a body or a record
DEPTH = 64  # containers inside one another
LONGEST = 255  # characters of an id or a type
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SUBMIT_REQUESTED, REJECTED = "purchase.submit_requested", "order.rejected"
# The merchant's own events, and what their `data.object` is.
OURS: dict[str, type[PurchaseRequest] | type[RejectionReport]] = {
    SUBMIT_REQUESTED: PurchaseRequest,
    REJECTED: RejectionReport,
}
_LONGEST_NAME = 200  # of a field: the names of unknown ones are the caller's own
_DATE = TypeAdapter(datetime)

Model = TypeVar("Model", bound=BaseModel)
Path = tuple[Any, ...]  # (parent path, name): a list is only made of the one that is reported


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field. `field` is its camelCase path: `confirmedTotal.amount`."""

    field: str
    problem: str


class Malformed(Exception):
    """It is not what it should be. `errors` has at least one problem; `str()` tells the first."""

    def __init__(self, errors: tuple[FieldProblem, ...]) -> None:
        self.errors = errors
        super().__init__(f"{errors[0].field}: {errors[0].problem}")


@dataclass(frozen=True, slots=True)
class Event:
    """`about` is the resource's id: it tells two uses of one event id apart."""

    id: str
    type: str
    about: str
    object: dict[str, Any]


def light(raw: bytes) -> Event:
    """Read what storing needs. Raises Malformed."""
    body = parse(raw)
    if not isinstance(body, dict):
        raise bad("", "must be a JSON object")
    id, type = _word(body, "id"), _word(body, "type")
    if not _is_first(raw, id, type):
        _refuse_doubles(raw)
    data = body.get("data")
    if not isinstance(data, dict):
        raise bad("data", "must be an object")
    resource = data.get("object")
    if not isinstance(resource, dict):
        raise bad("data.object", "must be an object")
    _require_date(body.get("createdTime"))
    if b"\\u0000" in raw:
        _refuse_nul_ids(resource)
    return Event(id, type, about(resource, data), resource)


def checkout_of(event: Event) -> str:
    """The checkout of one of the merchant's own events, whose object is checked strictly.

    Raises Malformed; KeyError if it is not one of `OURS`.
    """
    return as_model(event.object, OURS[event.type], ("data", "object")).checkout_id


def parse(raw: bytes) -> Any:
    """JSON. Malformed: empty, not UTF-8, lone surrogates, NaN, nested too deep."""
    if not raw.strip():
        raise bad("", "must not be empty")
    try:
        return from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        words = str(error)
        if "recursion limit" in words:
            raise _too_deep("") from None
        raise bad("", f"is not JSON in UTF-8: {words}") from None


def as_model(value: Any, model: type[Model], prefix: tuple[str, ...] = ()) -> Model:
    """Strictly validate parsed JSON by its camelCase names; `prefix` leads the reported paths."""
    refuse_hostile(value, prefix)
    try:
        return model.model_validate(value, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Malformed(_refused(error, prefix)) from None


def refuse_hostile(value: Any, prefix: tuple[str, ...] = ()) -> None:
    """Malformed is what can't be stored or written again: depth, NUL, numbers beyond a double."""
    for path, item, depth in _walk(value):
        if depth > DEPTH:
            raise _too_deep(field_name((*prefix, *_names(path)[:4])))
        problem = _hostile(item)
        if problem:
            raise bad(field_name((*prefix, *_names(path))), problem)


def bad(path: str, problem: str) -> Malformed:
    """One field is wrong; the empty path is the body itself."""
    return Malformed((FieldProblem(path or "body", problem),))


def field_name(path: Iterable[str | int]) -> str:
    """`("items", 0, "id")` -> `items.0.id`, printable and of bounded length."""
    name = ".".join(str(part) for part in path)[:_LONGEST_NAME]
    return "".join(char if char.isprintable() else "�" for char in name)


def _refused(error: ValidationError, prefix: tuple[str, ...]) -> tuple[FieldProblem, ...]:
    """Every field that pydantic refused, without its prefix for our own validators."""
    return tuple(
        FieldProblem(
            field_name((*prefix, *item["loc"])) or "body",
            item["msg"].removeprefix("Value error, "),
        )
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    )[:100]


# Of two that differ some readers take the first and some the last. We take the last.
_FIRST = re.compile(rb'\s*{\s*"id"\s*:\s*"([^"\\]*)"\s*,\s*"type"\s*:\s*"([^"\\]*)"')


def _is_first(raw: bytes, id: str, type: str) -> bool:
    """Whether all readers agree, as an event shows that begins with its id and type."""
    found = _FIRST.match(raw)
    return found is not None and found.groups() == (id.encode(), type.encode())


def _refuse_doubles(raw: bytes) -> None:
    """Two ids, and we and a proxy before us could each believe another one."""
    outermost: Sequence[tuple[str, Any]] = ()

    def pairs(found: list[tuple[str, Any]]) -> None:
        nonlocal outermost
        outermost = found  # objects end from the inside out: the last is the event itself

    json.loads(raw, object_pairs_hook=pairs)
    names = [name for name, _ in outermost]
    for name in ("id", "type"):
        if names.count(name) > 1:
            raise bad(name, "is there more than once")


def _word(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise bad(name, "must be a string that is not empty")
    if len(value) > LONGEST:
        raise bad(name, f"must not be longer than {LONGEST} characters")
    if CONTROL.search(value):
        raise bad(name, "must not contain control characters")
    return value


def _require_date(value: Any) -> None:
    try:
        if isinstance(value, str) and "T" in value and _DATE.validate_python(value).tzinfo:
            return
    except ValidationError:
        pass  # reported below, with a missing one
    raise bad("createdTime", "must be a date and time with its zone, in ISO 8601")


def _refuse_nul_ids(resource: dict[str, Any]) -> None:
    for name, value in resource.items():
        if "\0" in name or (isinstance(value, str) and _is_id(name) and "\0" in value):
            raise bad("data.object.id", "ids and names must not contain NUL characters")


def _is_id(name: str) -> bool:
    return name == "id" or name.endswith("Id")


def _hostile(item: Any) -> str | None:
    if isinstance(item, str):
        return "must not contain NUL characters" if "\0" in item else None
    if isinstance(item, dict):
        return "has a name with NUL characters" if any("\0" in name for name in item) else None
    if isinstance(item, float) and not math.isfinite(item):
        return "is too large a number"
    return None


def _walk(root: Any) -> Iterator[tuple[Path, Any, int]]:
    stack: list[tuple[Path, Any, int]] = [((), root, 0)]
    while stack:
        path, item, depth = stack.pop()
        inside = depth + 1 if isinstance(item, dict | list) else depth
        yield path, item, inside
        if isinstance(item, dict):
            stack.extend(((path, name), value, inside) for name, value in item.items())
        elif isinstance(item, list):
            stack.extend(((path, index), value, inside) for index, value in enumerate(item))


def _names(path: Path) -> list[str | int]:
    names: list[str | int] = []
    while path:
        path, name = path
        names.append(name)
    return names[::-1]


def _too_deep(path: str) -> Malformed:
    return bad(path, f"is nested more than {DEPTH} levels deep")

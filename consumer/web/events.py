"""The light reading of an event at the edge: enough to store it once, no more (PLATFORM §2.11)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from consumer.web.bodies import parse
from consumer.web.problems import bad_field
from handlers.routing import about

LONGEST = 255  # characters of an id or a type
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DATE = TypeAdapter(datetime)


@dataclass(frozen=True, slots=True)
class Event:
    """`about` is the resource's id: it tells two uses of one event id apart."""

    id: str
    type: str
    about: str
    object: dict[str, Any]


def light(raw: bytes) -> Event:
    """Read what storing needs. Raises Problem 400 naming the field that is missing or wrong."""
    body = parse(raw)
    if not isinstance(body, dict):
        raise bad_field("", "must be a JSON object")
    _refuse_doubles(raw)
    id, type = _word(body, "id"), _word(body, "type")
    data = body.get("data")
    if not isinstance(data, dict):
        raise bad_field("data", "must be an object")
    resource = data.get("object")
    if not isinstance(resource, dict):
        raise bad_field("data.object", "must be an object")
    _require_date(body.get("createdTime"))
    if b"\\u0000" in raw:
        _refuse_nul_ids(resource)
    return Event(id, type, about(resource, data), resource)


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
            raise bad_field(name, "is there more than once")


def _word(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise bad_field(name, "must be a string that is not empty")
    if len(value) > LONGEST:
        raise bad_field(name, f"must not be longer than {LONGEST} characters")
    if CONTROL.search(value):
        raise bad_field(name, "must not contain control characters")
    return value


def _require_date(value: Any) -> None:
    try:
        if isinstance(value, str) and "T" in value and _DATE.validate_python(value).tzinfo:
            return
    except ValidationError:
        pass  # reported below, with a missing one
    raise bad_field("createdTime", "must be a date and time with its zone, in ISO 8601")


def _refuse_nul_ids(resource: dict[str, Any]) -> None:
    for name, value in resource.items():
        if "\0" in name or (isinstance(value, str) and _is_id(name) and "\0" in value):
            raise bad_field("data.object.id", "ids and names must not contain NUL characters")


def _is_id(name: str) -> bool:
    return name == "id" or name.endswith("Id")

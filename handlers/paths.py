"""Values by dotted path, merges and digests of JSON objects. No rule of the domain is here."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.base import JsonObject

LONGEST_ID = 255


def value_at(document: Mapping[str, Any], path: str) -> Any:
    """The value at `shipTo.address.city`, or `None` where any part is missing."""
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def as_id(value: Any) -> str:
    """An id as text; empty for what can't be one, by its kind or its length."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)
    return text if len(text) <= LONGEST_ID else ""


def nested(path: str, value: Any) -> JsonObject:
    """`{"shipTo": {"name": value}}` for the path `shipTo.name`."""
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> JsonObject:
    """`base` with `changes`: objects are merged, everything else is replaced."""
    result = dict(base)
    for name, value in changes.items():
        known = result.get(name)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        result[name] = merged(known, value) if both else value  # type: ignore[arg-type]  # checked
    return result


def present(value: Any) -> Any:
    """JSON without the fields that are null: those say no more than ones that are not there."""
    if isinstance(value, Mapping):
        return {name: present(item) for name, item in value.items() if item is not None}
    return [present(item) for item in value] if isinstance(value, list | tuple) else value


def without(document: Mapping[str, Any], place: Sequence[str | int]) -> JsonObject:
    """`document` without what is at `place`; a list that it leads into goes as a whole."""
    name = str(place[0])
    inner = document.get(name)
    rest = dict(document)
    if len(place) > 1 and isinstance(inner, Mapping):
        rest[name] = without(inner, place[1:])
    else:
        rest.pop(name, None)
    return rest


def contains(document: Any, part: Any) -> bool:
    """Whether `document` has at least all that `part` has."""
    if isinstance(document, Mapping) and isinstance(part, Mapping):
        return all(contains(document.get(name), value) for name, value in part.items())
    return bool(document == part)


def digest(value: Any) -> str:
    """A short fingerprint, so that personal data is compared without being kept."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

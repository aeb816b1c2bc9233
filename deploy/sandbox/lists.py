"""Lists: filters, ranges and cursors, newest first (PLATFORM §1.4)."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any, TypeVar

from .errors import invalid
from .model import Json

Query = Mapping[str, list[str]]
Record = TypeVar("Record")
Getter = Callable[[Any], Any]
PAGING = ("limit", "startingAfter", "endingBefore")
TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: bool(a == b),
    "gt": lambda a, b: bool(a > b),
    "gte": lambda a, b: bool(a >= b),
    "lt": lambda a, b: bool(a < b),
    "lte": lambda a, b: bool(a <= b),
}


def limit_of(query: Query) -> int:
    raw = query.get("limit", ["10"])[-1]
    if not raw.isascii() or not raw.isdigit() or not 1 <= int(raw) <= 100:
        raise invalid("limit", "The limit is not between 1 and 100.")
    return int(raw)


def moment(name: str, raw: str) -> datetime:
    try:
        found = datetime.fromisoformat(raw.replace(" ", "+"))
    except ValueError as error:
        raise invalid(name, f"{raw} is not a valid timestamp.") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def number(name: str, raw: str) -> float:
    try:
        found = float(raw)
    except ValueError as error:
        raise invalid(name, f"{raw} is not a number.") from error
    if not isfinite(found):
        raise invalid(name, f"{raw} is not a number.")
    return found


def many(query: Query, name: str) -> list[str] | None:
    """Repeated or comma-joined, both are in use (PLATFORM §8 #43)."""
    if name not in query:
        return None
    return [part for raw in query[name] for part in raw.split(",") if part]


def tests(
    query: Query,
    exact: Mapping[str, Getter],
    among: Mapping[str, Getter],
    times: Mapping[str, Getter],
    amounts: Mapping[str, Getter],
) -> list[Callable[[Any], bool]]:
    """One predicate for each filter in the query; filters that are not known are ignored."""
    found: list[Callable[[Any], bool]] = []
    for name, get in exact.items():
        if name in query:
            found.append(_among(get, [query[name][-1]]))
    for name, get in among.items():
        if (values := many(query, name)) is not None:
            found.append(_among(get, values))
    for kind, getters in ((moment, times), (number, amounts)):
        for key, raw in query.items():
            name, _, test = key.partition("[")
            test = test.rstrip("]") or "eq"
            if name not in getters:
                continue
            if test not in TESTS:
                raise invalid(key, f"'{test}' is not a comparison.")
            bound, get, holds = kind(key, raw[-1]), getters[name], TESTS[test]
            found.append(_range(get, bound, holds))
    return found


def _among(get: Getter, values: list[str]) -> Callable[[Any], bool]:
    return lambda one: get(one) in values


def _range(get: Getter, bound: Any, holds: Callable[[Any, Any], bool]) -> Callable[[Any], bool]:
    def test(one: Any) -> bool:
        value = get(one)
        return value is not None and holds(value, bound)

    return test


def listing(
    query: Query,
    records: Iterable[Record],
    wanted: list[Callable[[Any], bool]],
    view: Callable[[Record], Json],
) -> Json:
    """`records` come newest first; `endingBefore` wins over `startingAfter`."""
    size = limit_of(query)
    found = [one for one in records if all(test(one) for test in wanted)]
    ids = [one.id for one in found]  # type: ignore[attr-defined]  # every record has one
    start, stop = 0, len(found)
    if "endingBefore" in query:
        stop = _place(ids, "endingBefore", query)
        start = max(0, stop - size)
        return {"hasMore": start > 0, "data": [view(one) for one in found[start:stop]]}
    if "startingAfter" in query:
        start = _place(ids, "startingAfter", query) + 1
    page = found[start : start + size]
    return {"hasMore": start + size < stop, "data": [view(one) for one in page]}


def _place(ids: list[str], name: str, query: Query) -> int:
    try:
        return ids.index(query[name][-1])
    except ValueError as error:
        raise invalid(name, f"'{query[name][-1]}' is not in the list.") from error

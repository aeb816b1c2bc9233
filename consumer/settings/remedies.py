"""The merchant's changes of the table of remedies: a TOML file, checked before anything starts."""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from handlers.policy import Policy
from handlers.remedies.answers import ROWS
from handlers.remedies.changing import Refused, Wish, granted
from handlers.remedies.words import Row, When
from handlers.tables import Table

LARGEST = 256 * 1024  # bytes
DEFAULTS = Policy()


class RemediesInvalid(Exception):
    """The file can't be used. `lines` has one complaint each, with the line of the file."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class RowGiven(_Model):
    """One `[[row]]`: which answers, and what is different about them."""

    status: StrictInt | Literal["4xx"]
    code: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    parameter: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    charge_type: str | None = None
    remedy: str | None = None
    again: Annotated[StrictInt, Field(ge=0)] | None = None
    message: str | None = None


class Choices(_Model):
    """Where the platform's documents are silent: the safest reading, or a stricter one."""

    submit_free_orders: StrictBool = DEFAULTS.submit_free
    redirect_reopenings: Annotated[StrictInt, Field(ge=0, le=DEFAULTS.reopenings)] = (
        DEFAULTS.reopenings
    )
    repeats: Annotated[StrictInt, Field(ge=0, le=DEFAULTS.max_repeats)] = DEFAULTS.max_repeats


class Limits(_Model):
    """The limits of I9."""

    submissions: Annotated[StrictInt, Field(ge=1, le=DEFAULTS.max_submissions)] = (
        DEFAULTS.max_submissions
    )


class File(_Model):
    """The whole file."""

    row: tuple[RowGiven, ...] = ()
    choices: Choices = Choices()
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Changes:
    """The table with the merchant's rows, and their choices."""

    table: Table
    choices: Choices
    limits: Limits

    def fields(self) -> dict[str, Any]:
        """What of the rules' Policy they set."""
        return {
            "table": self.table,
            "submit_free": self.choices.submit_free_orders,
            "reopenings": self.choices.redirect_reopenings,
            "max_repeats": self.choices.repeats,
            "max_submissions": self.limits.submissions,
        }


def load_changes(path: Path) -> Changes:
    """Read and check the file. Raises RemediesInvalid."""
    text = _text(path)
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RemediesInvalid([f"is not TOML: {error}"]) from None
    try:
        file = File.model_validate(given)
    except ValidationError as error:
        raise RemediesInvalid(_complaints(error, text, given)) from None
    rows, lines = _rows(file, text)
    if lines:
        raise RemediesInvalid(lines)
    return Changes(Table(ROWS, rows), file.choices, file.limits)


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if len(raw) > LARGEST:
            raise RemediesInvalid([f"is larger than {LARGEST // 1024} KiB"])
        return raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RemediesInvalid([f"can't be read ({type(error).__name__})"]) from None


def _rows(file: File, text: str) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    lines: list[str] = []
    first: dict[When, int] = {}
    for index, row in enumerate(file.row):
        when = When(str(row.status), row.code, row.parameter, row.charge_type)
        line = line_of(text, ("row", index))
        if when in first:
            what = f"contradicts line {first[when]}, which is about the same"
            lines.append(f"line {line}, {_name(row.model_dump(), index)}: {what}")
            continue
        first[when] = line
        try:
            wish = Wish(when, row.remedy, row.again, row.message)
            rows.append(granted(wish, f"REMEDIES_FILE, line {line}"))
        except Refused as error:
            at = line_of(text, ("row", index, error.field))
            what = f"{error.field}: {error}"
            lines.append(f"line {at}, {_name(row.model_dump(), index)}: {what}")
    return rows, lines


def _complaints(error: ValidationError, text: str, given: dict[str, Any]) -> list[str]:
    lines: dict[tuple[int, str, str], str] = {}
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        path = problem["loc"]
        named = [str(part) for part in path if isinstance(part, str) and part.isidentifier()]
        field = ".".join(named[1:] if named[:1] == ["row"] else named) or str(path[0])
        said = problem["msg"].replace("Input should be", "must be")
        said = {"extra_forbidden": "no such key", "missing": "is required"}.get(
            problem["type"], said
        )
        where = ""
        if path[0] == "row" and len(path) > 1 and isinstance(path[1], int):
            where = f", {_name(given['row'][path[1]], path[1])}"
        at = line_of(text, path)
        lines.setdefault((at, where, field.split(".")[0]), f"line {at}{where}: {field}: {said}")
    return list(lines.values())


def _name(row: Any, index: int) -> str:
    """`row 2 (409 do_not_honor)`."""
    told = [row.get(n) for n in ("status", "code", "parameter", "charge_type")] if isinstance(
        row, dict
    ) else []  # fmt: skip
    words = " ".join(str(word) for word in told if word is not None)
    return f"row {index + 1}" + (f" ({words[:120]})" if words else "")


def line_of(text: str, path: Sequence[str | int]) -> int:
    """The line, from 1, on which what is at this path of a TOML document begins.

    The parser tells no lines, so it is asked about ever longer beginnings of the document: the
    first that holds the path ends with it. What the document does not hold is where its parent is.
    """
    lines = text.splitlines(keepends=True)

    def beginning(count: int) -> tuple[int, Any]:
        """The longest beginning of at most so many lines that is a document."""
        while True:
            try:
                return count, tomllib.loads("".join(lines[:count]))
            except tomllib.TOMLDecodeError:
                count -= 1

    for length in range(len(path), 0, -1):
        wanted = path[:length]
        found = bisect_left(
            range(len(lines) + 1), True, key=lambda count: _holds(beginning(count)[1], wanted)
        )
        if found <= len(lines):
            return beginning(found - 1)[0] + 1
    return 1


def _holds(document: Any, path: Sequence[str | int]) -> bool:
    for part in path:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            return False
    return True

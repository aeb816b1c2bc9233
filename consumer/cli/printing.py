"""What commands print: JSON for programs, text for people, no client secrets for anyone."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from consumer.observe import without_client_secrets

WIDE = 160  # columns where no terminal says how wide it is
LONGEST = 400  # characters of one value for people; --json has the rest


def print_json(value: Any) -> None:
    """One JSON document, indented, then a line's end."""
    json.dump(without_client_secrets(value), sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")
    sys.stdout.flush()


def console() -> Console:
    """Standard output; colours only on a terminal."""
    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else WIDE, highlight=False, markup=False, emoji=False)


def plain(value: Any) -> str:
    """A value as a person reads it, on one line, without control characters."""
    value = without_client_secrets(value)
    if value is None or value in ((), [], {}):
        text = "-"
    elif isinstance(value, str):
        text = value
    elif isinstance(value, Mapping):
        text = ", ".join(f"{name}: {plain(entry)}" for name, entry in value.items())
    elif isinstance(value, Sequence):
        text = ", ".join(plain(entry) for entry in value)
    else:
        text = json.dumps(value, default=str)
    clean = "".join(char if char.isprintable() else " " for char in text)
    return clean if len(clean) <= LONGEST else clean[:LONGEST] + "…"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table; columns fold rather than lose text."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    console().print(table)


def print_fields(fields: Sequence[tuple[str, Any]], indent: int = 0) -> None:
    """Names and values, one pair a line."""
    width = max((len(name) for name, _ in fields), default=0)
    out = console()
    for name, value in fields:
        line = Text(" " * indent + name.ljust(width), style="dim")
        out.print(line.append("  " + plain(value), style="not dim"), soft_wrap=True)
